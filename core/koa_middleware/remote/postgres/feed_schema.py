"""The feed of a PostgreSQL archive: a table that numbers every change of a row in the order of the commits.

A deferred trigger writes an entry for each changed row when its transaction commits. It locks the one row of the lock
table first. So one transaction at a time gives numbers, and it has committed before the next one gives any.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

from sqlalchemy import Connection, Table

from .catalog import Catalog, Function
from .identifiers import FEED_TRIGGERS, feed_name, lock_name, quote
from .older import drop_older, take_over_history

#: How the server's clock is written into `last_updated`, by the column's type.
_CLOCK = {
    "timestamp with time zone": "clock_timestamp()",
    "timestamp without time zone": "clock_timestamp() AT TIME ZONE 'UTC'",
}
_CLOCK_AS_TEXT = """to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US')"""


def feed_statements(connection: Connection, table: Table, there: Catalog, *, resweep: bool) -> Iterator[str]:
    """SQL that makes the feed, or mends it.

    A feed that is new or may have missed a change asks everybody to read everything once.

    Parameters
    ----------
    connection : sqlalchemy.Connection
        For reading.
    table : sqlalchemy.Table
    there : Catalog
    resweep : bool
        Whether to ask in any case.
    """
    is_new = feed_name(table) not in there.relations
    if is_new:
        yield from _feed_table(table)
        yield from take_over_history(table, there)
    yield from drop_older(connection, table, there)
    if lock_name(table) not in there.relations:
        yield _lock_table(table)
    if not _has_rows(connection, lock_name(table), there):
        yield f"INSERT INTO {quote(lock_name(table))} VALUES (true, pg_current_xact_id())"
    triggers = {trigger.name: list(_mend(table, there, trigger)) for trigger in _triggers(table, there)}
    for statements in triggers.values():
        yield from statements
    has_gap = any(triggers[name] for name in FEED_TRIGGERS)
    if resweep or has_gap or not _has_rows(connection, feed_name(table), there):
        yield from _resweep(table)


def _has_rows(connection: Connection, name: str, there: Catalog) -> bool:
    question = f"SELECT EXISTS (SELECT FROM {quote(name)})"
    return name in there.relations and bool(connection.exec_driver_sql(question).scalar())


def _feed_table(table: Table) -> Iterator[str]:
    name, feed = feed_name(table), quote(feed_name(table))
    yield f"""CREATE TABLE {feed} (
    n bigint PRIMARY KEY, id text COLLATE "C", op text NOT NULL, at timestamptz NOT NULL,
    quality text, who text, why text, token uuid NOT NULL)"""
    yield f"CREATE INDEX {quote(f'ix_{name}_resweep')} ON {feed} (n) WHERE op = 'resweep'"
    yield f"CREATE INDEX {quote(f'ix_{name}_why')} ON {feed} (n) WHERE why IS NOT NULL"


def _lock_table(table: Table) -> str:
    columns = "one boolean PRIMARY KEY DEFAULT true CHECK (one), xact xid8 NOT NULL"
    return f"CREATE TABLE {quote(lock_name(table))} ({columns})"


def _resweep(table: Table) -> Iterator[str]:
    feed = quote(feed_name(table))
    yield f"UPDATE {quote(lock_name(table))} SET xact = pg_current_xact_id()"
    yield f"""INSERT INTO {feed} (n, op, at, who, token)
    SELECT coalesce(max(n), 0) + 1, 'resweep', greatest(clock_timestamp(), max(at) + interval '1 microsecond'),
        session_user, gen_random_uuid()
    FROM (SELECT n, at FROM {feed} ORDER BY n DESC LIMIT 1) AS last"""


class _Trigger(NamedTuple):
    name: str
    event: str  #: ``{0}`` is the table
    function: str  #: its name
    body: str
    is_deferred: bool = False


def _triggers(table: Table, there: Catalog) -> list[_Trigger]:
    clock = _CLOCK.get(there.columns.get("last_updated", ""), _CLOCK_AS_TEXT)
    return [
        _Trigger("koa_stamp", "BEFORE INSERT OR UPDATE ON {0} FOR EACH ROW", f"{table.name}_stamp", _stamp(clock)),
        _Trigger(
            "koa_feed",
            "AFTER INSERT OR UPDATE OR DELETE ON {0} DEFERRABLE INITIALLY DEFERRED FOR EACH ROW",
            f"{table.name}_feed",
            _enter(table),
            is_deferred=True,
        ),
        _Trigger(
            "koa_feed_truncate",
            "BEFORE TRUNCATE ON {0} FOR EACH STATEMENT",
            f"{table.name}_feed_truncate",
            _enter_truncation(table),
        ),
    ]


def _mend(table: Table, there: Catalog, trigger: _Trigger) -> Iterator[str]:
    """SQL that a trigger and its function need; a trigger in order is not touched, since clients notice that."""
    name, function = quote(table.name), quote(trigger.function)
    # A plan that was made when the feed was short would read all of it for each row of a long transaction.
    settings = (f"search_path={there.schema}, pg_temp", "enable_seqscan=off")
    # The owner's rights: those who write rows need no right on the feed.
    definition = (
        f"CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER\n"
        f"SET {' SET '.join(settings)} AS $body${trigger.body}$body$"
    )
    if there.functions.get(trigger.function) != Function(trigger.body, settings, True):
        yield definition
        # Nobody else makes entries by a trigger on a table of their own.
        yield f"REVOKE EXECUTE ON FUNCTION {function}() FROM PUBLIC"
    kind = "CONSTRAINT TRIGGER" if trigger.is_deferred else "TRIGGER"
    creation = f"CREATE {kind} {trigger.name} {trigger.event.format(name)} EXECUTE FUNCTION {function}()"
    digest = hashlib.sha256(f"{definition}{creation}".encode()).hexdigest()[:16]
    known = there.triggers.get(trigger.name)
    if known is not None and known.comment != digest:
        yield f"DROP TRIGGER {trigger.name} ON {name}"
        known = None
    if known is None:
        yield creation
        yield f"COMMENT ON TRIGGER {trigger.name} ON {name} IS '{digest}'"
    if known is None or known.enabled != "A":
        # Rows that come by replication count, too.
        yield f"ALTER TABLE {name} ENABLE ALWAYS TRIGGER {trigger.name}"


def _stamp(clock: str) -> str:
    return f"""
BEGIN
    NEW.last_updated := {clock};
    RETURN NEW;
END"""


_DECLARED = """
DECLARE
    last record;
    judge text := coalesce(nullif(current_setting('koa.who', true), ''), session_user);
    reason text := nullif(current_setting('koa.why', true), '');"""


def _take_turn(table: Table) -> str:
    """Wait until no other transaction gives numbers, unless this one has waited already, and read the last entry."""
    lock = quote(lock_name(table))
    return f"""
    PERFORM FROM {lock} WHERE xact = pg_current_xact_id() AND xmin = pg_current_xact_id()::xid;
    IF NOT FOUND THEN
        UPDATE {lock} SET xact = pg_current_xact_id();
        IF NOT FOUND THEN
            RAISE EXCEPTION '{lock_name(table)} is empty; the owner of the archive mends it with: koa-cal remote init';
        END IF;
    END IF;
    SELECT n, at INTO last FROM {quote(feed_name(table))} ORDER BY n DESC LIMIT 1;"""


def _enter(table: Table) -> str:
    feed = quote(feed_name(table))
    n, at = "coalesce(last.n, 0) + 1", "greatest(clock_timestamp(), last.at + interval '1 microsecond')"
    return f"""{_DECLARED}
BEGIN{_take_turn(table)}
    IF TG_OP <> 'INSERT' AND OLD.id IS DISTINCT FROM NEW.id THEN
        INSERT INTO {feed} VALUES
            ({n}, OLD.id::text, 'withdrawn', {at},
            NULL, judge, reason, gen_random_uuid())
            RETURNING n, at INTO last;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO {feed} VALUES
            ({n}, NEW.id::text,
            CASE WHEN OLD.id IS DISTINCT FROM NEW.id THEN 'added'
                WHEN reason IS NOT NULL OR OLD.quality IS DISTINCT FROM NEW.quality THEN 'flagged'
                ELSE 'changed' END,
            {at}, NEW.quality::text, judge, reason, gen_random_uuid());
    END IF;
    RETURN NULL;
END"""


def _enter_truncation(table: Table) -> str:
    return f"""{_DECLARED}
    start timestamptz;
BEGIN{_take_turn(table)}
    start := greatest(clock_timestamp(), last.at);
    INSERT INTO {quote(feed_name(table))}
        SELECT coalesce(last.n, 0) + place, gone.id, 'withdrawn', start + place * interval '1 microsecond',
            NULL, judge, reason, gen_random_uuid()
        FROM (SELECT id::text, row_number() OVER (ORDER BY id) AS place FROM {quote(table.name)}) AS gone;
    RETURN NULL;
END"""
