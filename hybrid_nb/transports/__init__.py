"""How bytes travel. `http` is the only module that imports an HTTP client."""
