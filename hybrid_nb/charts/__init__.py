"""Pictures: one description of what is seen, drawn by plotly to look into and by matplotlib to keep."""
