"""How answers are scored: what a scorer is, how scorers are run, judges, and code in a process of its own."""
