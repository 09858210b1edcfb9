"""Requests that an archive carries out once, however often they are asked.

A client whose connection broke does not know whether its request was carried out, and asks again with the same key. The
answer is kept in the transaction that does the work, so each server of an archive gives the same one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from sqlalchemy import Connection, Table, text

from ...exceptions import ConfigurationError
from ..writable import Asked
from .catalog import Catalog
from .identifiers import quote, requests_name
from .older import granted

#: Days for which an answer is kept.
KEPT_DAYS = 7

#: Rights that a publisher's role has on the table.
RIGHTS = "SELECT, INSERT, DELETE"


def requests_statements(connection: Connection, table: Table, there: Catalog) -> Iterator[str]:
    """SQL that makes the table of keys and answers; who may insert rows of the instrument may use it.

    Parameters
    ----------
    connection : sqlalchemy.Connection
        For reading.
    table : sqlalchemy.Table
    there : Catalog
    """
    name = requests_name(table)
    if name not in there.relations:
        columns = "key text PRIMARY KEY, digest text NOT NULL, at timestamptz NOT NULL, answer text NOT NULL"
        yield f"CREATE TABLE {quote(name)} ({columns})"
        for role in granted(connection, table.name, "INSERT"):
            yield f"GRANT {RIGHTS} ON {quote(name)} TO {role}"
    index = f"ix_{name}_at"
    if index not in there.relations:
        yield f"CREATE INDEX {quote(index)} ON {quote(name)} (at)"


def once(connection: Connection, table: Table, asked: Asked, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Do the work of a request, or give the answer that it got before.

    Parameters
    ----------
    connection : sqlalchemy.Connection
        In the transaction that does the work, which has done nothing yet.
    table : sqlalchemy.Table
    asked : Asked
    work : callable
        Gives the answer, in JSON's terms.

    Raises
    ------
    ConfigurationError
        When the key was used for another request.
    """
    requests = quote(requests_name(table))
    # Who asks again while the first request is at work waits for its end.
    alone = text("SELECT pg_advisory_xact_lock(CAST(CAST(:name AS regclass) AS oid)::integer, hashtext(:key))")
    connection.execute(alone, {"name": requests, "key": asked.key})
    kept = text(f"SELECT digest, answer FROM {requests} WHERE key = :key")
    known = connection.execute(kept, {"key": asked.key}).one_or_none()
    if known is not None:
        return _answer(known.digest, known.answer, asked)
    _forget_old(connection, requests)
    answer = json.dumps(work(), default=str)
    keep = text(f"INSERT INTO {requests} VALUES (:key, :digest, clock_timestamp(), :answer)")
    connection.execute(keep, {**asked._asdict(), "answer": answer})
    return dict(json.loads(answer))


def _answer(digest: str, answer: str, asked: Asked) -> dict[str, Any]:
    if digest != asked.digest:
        raise ConfigurationError(
            f"The key {asked.key} was used for another request.",
            "Ask with a new key; nothing was changed.",
            setting="Idempotency-Key",
        )
    return dict(json.loads(answer))


def _forget_old(connection: Connection, requests: str) -> None:
    alone = text("SELECT pg_try_advisory_xact_lock(CAST(CAST(:name AS regclass) AS oid)::integer, 0)")
    if connection.scalar(alone, {"name": requests}):  # else another one does it, and would be waited for
        connection.exec_driver_sql(f"DELETE FROM {requests} WHERE at < clock_timestamp() - interval '{KEPT_DAYS} days'")
