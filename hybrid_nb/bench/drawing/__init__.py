"""A run in pictures, and its report in one file."""
