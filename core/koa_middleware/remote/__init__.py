"""Following and publishing to an archive, whatever its server."""
