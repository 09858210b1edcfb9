"""An archive on a PostgreSQL server."""
