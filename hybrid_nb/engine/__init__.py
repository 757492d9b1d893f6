"""The routing engine: a plan (pure), a schedule of attempts (pure), and the loop that runs them."""
