"""The provider manager and its parts."""
