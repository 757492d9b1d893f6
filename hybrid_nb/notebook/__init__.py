"""The notebook: the only part that knows IPython."""
