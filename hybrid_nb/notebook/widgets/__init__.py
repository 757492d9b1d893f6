"""The widgets: each one a panel over a router, one a file."""
