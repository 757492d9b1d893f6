"""What costs did, will do, and would have been. Days are in UTC; dollars are of what is known."""
