"""Nouns: the types, errors and settings that every other part speaks. Imports nothing of ours."""
