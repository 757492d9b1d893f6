"""Arena: two answers without names, and which of them a person prefers."""
