"""The chat: a controller without widgets, two front ends, and the cell that shows them."""
