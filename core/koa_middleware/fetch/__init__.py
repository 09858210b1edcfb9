"""A file from a URL, whole and verified."""
