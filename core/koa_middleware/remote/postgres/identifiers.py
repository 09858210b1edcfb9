"""What an instrument's tables and triggers on a PostgreSQL server are called."""

from __future__ import annotations

from sqlalchemy import Table

#: The triggers that write the feed.
FEED_TRIGGERS = ("koa_feed", "koa_feed_truncate")


def quote(name: str) -> str:
    """Give an identifier as PostgreSQL and SQLite read it."""
    return '"' + name.replace('"', '""') + '"'


def feed_name(table: Table) -> str:
    """Name of the table that tells, in the order of the commits, what happened to each row."""
    return f"{table.name}_feed"


def history_name(table: Table) -> str:
    """Name of the table that keeps the former versions of rows."""
    return f"{table.name}_history"


def lock_name(table: Table) -> str:
    """Name of the table whose one row is locked by the transaction that writes to the feed."""
    return f"{table.name}_feed_lock"


def requests_name(table: Table) -> str:
    """Name of the table that keeps the keys of requests that are carried out once, and their answers."""
    return f"{table.name}_requests"
