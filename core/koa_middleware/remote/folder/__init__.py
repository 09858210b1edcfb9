"""A cache folder as an archive, for reading: its own database is what others follow."""
