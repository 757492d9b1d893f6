"""Pure translation between our types and each family's JSON, and the framing under it."""
