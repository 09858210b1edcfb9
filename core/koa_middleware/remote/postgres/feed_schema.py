"""The feed of a PostgreSQL archive: a table that numbers every change of a row in the order of the commits.

A deferred trigger writes an entry for each changed row when its transaction commits, and keeps the row's former
version. It locks the one row of the lock table first. So one transaction at a time gives numbers, and it has committed
before the next one gives any. All entries of a transaction have one time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

from sqlalchemy import Connection, Table

from .catalog import Catalog, Function
from .history_schema import history_statements
from .identifiers import FEED_TRIGGERS, feed_name, history_name, lock_name, quote
from .older import drop_older, take_over_history

#: How the server's clock is written into `last_updated`, by the column's type.
_CLOCK = {
    "timestamp with time zone": "clock_timestamp()",
    "timestamp without time zone": "clock_timestamp() AT TIME ZONE 'UTC'",
}
_CLOCK_AS_TEXT = """to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US')"""


#: What a trigger's function needs set. A plan that was made when the feed was short would read all of it for each row
#: of a long transaction. Numbers are kept with all digits.
_SETTINGS = ("enable_seqscan=off", "extra_float_digits=1")


def feed_statements(
    connection: Connection, table: Table, there: Catalog, *, asked: bool, restates: bool
) -> Iterator[str]:
    """SQL that makes the feed and the history, or mends them.

    A feed that is new or may have missed a change asks everybody to read everything once, and its history begins anew.

    Parameters
    ----------
    connection : sqlalchemy.Connection
        For reading.
    table : sqlalchemy.Table
    there : Catalog
    asked : bool
        Whether the owner says that changes were missed.
    restates : bool
        Whether rows get other names or values without entries.
    """
    is_new = feed_name(table) not in there.relations
    is_empty = not _has_rows(connection, feed_name(table), there)
    if is_new:
        yield from _feed_table(table)
        yield from take_over_history(table, there)
    yield from _feed_indexes(table, there)
    yield from history_statements(connection, table, there, is_another=is_empty)
    yield from drop_older(connection, table, there)
    if lock_name(table) not in there.relations:
        yield _lock_table(table)
    if not _has_rows(connection, lock_name(table), there):
        yield f"INSERT INTO {quote(lock_name(table))} VALUES (true, pg_current_xact_id())"
    triggers = _triggers(table, there)
    mending = {trigger.name: list(_mend(table, there, trigger)) for trigger in triggers}
    for statements in mending.values():
        yield from statements
    is_blind = any(trigger.name in FEED_TRIGGERS and _may_miss(table, there, trigger) for trigger in triggers)
    if is_empty or asked or is_blind or not there.former:
        yield from _entry(table, "begun", "upgraded" if table.name in there.relations else "made new")
    if not is_empty and (asked or restates or any(mending[name] for name in FEED_TRIGGERS)):
        yield from _entry(table, "resweep")


def _has_rows(connection: Connection, name: str, there: Catalog) -> bool:
    question = f"SELECT EXISTS (SELECT FROM {quote(name)})"
    return name in there.relations and bool(connection.exec_driver_sql(question).scalar())


def _feed_table(table: Table) -> Iterator[str]:
    feed = quote(feed_name(table))
    yield f"""CREATE TABLE {feed} (
    n bigint PRIMARY KEY, id text COLLATE "C", op text NOT NULL, at timestamptz NOT NULL,
    quality text, who text, why text, token uuid NOT NULL)"""


def _feed_indexes(table: Table, there: Catalog) -> Iterator[str]:
    name, feed = feed_name(table), quote(feed_name(table))
    wanted = {
        "resweep": "(n) WHERE op = 'resweep'",
        "begun": "(n) WHERE op = 'begun'",
        "why": "(n) WHERE why IS NOT NULL",
        "id": "(id, at)",
    }
    for what, columns in wanted.items():
        if f"ix_{name}_{what}" not in there.relations:
            yield f"CREATE INDEX {quote(f'ix_{name}_{what}')} ON {feed} {columns}"


def _lock_table(table: Table) -> str:
    columns = "one boolean PRIMARY KEY DEFAULT true CHECK (one), xact xid8 NOT NULL"
    return f"CREATE TABLE {quote(lock_name(table))} ({columns})"


def _entry(table: Table, op: str, why: str | None = None) -> Iterator[str]:
    feed = quote(feed_name(table))
    yield f"UPDATE {quote(lock_name(table))} SET xact = pg_current_xact_id()"
    yield f"""INSERT INTO {feed} (n, op, at, who, why, token)
    SELECT coalesce(max(n), 0) + 1, '{op}', greatest(clock_timestamp(), max(at) + interval '1 microsecond'),
        session_user, {f"'{why}'" if why else "NULL"}, gen_random_uuid()
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
    name = quote(table.name)
    wanted = Function(trigger.body, (f"search_path={there.schema}, pg_temp", *_SETTINGS), True)
    if there.functions.get(trigger.function) != wanted:
        yield _definition(trigger, wanted)
        # Nobody else makes entries by a trigger on a table of their own.
        yield f"REVOKE EXECUTE ON FUNCTION {quote(trigger.function)}() FROM PUBLIC"
    digest = _digest(table, trigger, wanted)
    known = there.triggers.get(trigger.name)
    if known is not None and known.comment != digest:
        yield f"DROP TRIGGER {trigger.name} ON {name}"
        known = None
    if known is None:
        yield _creation(table, trigger)
        yield f"COMMENT ON TRIGGER {trigger.name} ON {name} IS '{digest}'"
    if known is None or known.enabled != "A":
        # Rows that come by replication count, too.
        yield f"ALTER TABLE {name} ENABLE ALWAYS TRIGGER {trigger.name}"


def _may_miss(table: Table, there: Catalog, trigger: _Trigger) -> bool:
    """Whether a trigger is missing, off at times, or not as any version made it."""
    known, function = there.triggers.get(trigger.name), there.functions.get(trigger.function)
    if known is None or function is None or known.enabled != "A":
        return True
    return known.comment != _digest(table, trigger, function)


def _definition(trigger: _Trigger, function: Function) -> str:
    # The owner's rights: those who write rows need no right on the feed.
    rights = "SECURITY DEFINER" if function.is_owners else "SECURITY INVOKER"
    return (
        f"CREATE OR REPLACE FUNCTION {quote(trigger.function)}() RETURNS trigger LANGUAGE plpgsql {rights}\n"
        f"SET {' SET '.join(function.settings)} AS $body${function.body}$body$"
    )


def _creation(table: Table, trigger: _Trigger) -> str:
    kind = "CONSTRAINT TRIGGER" if trigger.is_deferred else "TRIGGER"
    event = trigger.event.format(quote(table.name))
    return f"CREATE {kind} {trigger.name} {event} EXECUTE FUNCTION {quote(trigger.function)}()"


def _digest(table: Table, trigger: _Trigger, function: Function) -> str:
    said = f"{_definition(trigger, function)}{_creation(table, trigger)}"
    return hashlib.sha256(said.encode()).hexdigest()[:16]


def _stamp(clock: str) -> str:
    return f"""
BEGIN
    NEW.last_updated := {clock};
    RETURN NEW;
END"""


_DECLARED = """
DECLARE
    last record;
    moment timestamptz;
    judge text := coalesce(nullif(current_setting('koa.who', true), ''), session_user);
    reason text := nullif(current_setting('koa.why', true), '');"""


def _take_turn(table: Table) -> str:
    """Wait until no other transaction gives numbers, unless this one has waited already, and read the last entry.

    Who has waited has written an entry, whose time is the transaction's. The lock's row may have been written by a
    part of the transaction (a savepoint), whose number is higher than its own.
    """
    lock = quote(lock_name(table))
    return f"""
    PERFORM FROM {lock} WHERE xact = pg_current_xact_id() AND age(xmin) <= age(pg_current_xact_id()::xid);
    IF FOUND THEN
        SELECT n, at INTO last FROM {quote(feed_name(table))} ORDER BY n DESC LIMIT 1;
        moment := last.at;
    ELSE
        UPDATE {lock} SET xact = pg_current_xact_id();
        IF NOT FOUND THEN
            RAISE EXCEPTION '{lock_name(table)} is empty; the owner of the archive mends it with: koa-cal remote init';
        END IF;
        SELECT n, at INTO last FROM {quote(feed_name(table))} ORDER BY n DESC LIMIT 1;
        moment := greatest(clock_timestamp(), last.at + interval '1 microsecond');
    END IF;"""


def _kept(table: Table, row: str, number: str, *, fitting: bool) -> str:
    """SQL that gives a row's former version, by the names of the columns: they may have changed since this was made.

    With `fitting`, of the columns whose types are the history's, so that one that was changed by hand stops no writer.
    """
    name, history = quote(table.name), quote(history_name(table))
    since = f"(SELECT max(at) FROM {quote(feed_name(table))} WHERE id = ({row}).id::text)"
    values, said = f"to_jsonb({row})", f"'koa_n', {number}, 'koa_since', {since}, 'koa_until', moment"
    if fitting:
        same = "(former.attname, former.atttypid, former.atttypmod) = (own.attname, own.atttypid, own.atttypmod)"
        values = f"""({values} - ARRAY(
                SELECT attname::text FROM pg_attribute AS own WHERE attrelid = '{name}'::regclass AND NOT EXISTS (
                    SELECT FROM pg_attribute AS former WHERE attrelid = '{history}'::regclass AND {same})))"""
    return f"jsonb_populate_record(NULL::{history}, {values} || jsonb_build_object({said}))"


def _enter(table: Table) -> str:
    feed, history, number = quote(feed_name(table)), quote(history_name(table)), "coalesce(last.n, 0) + 1"
    return f"""{_DECLARED}
BEGIN{_take_turn(table)}
    IF TG_OP <> 'INSERT' THEN
        BEGIN
            IF current_setting('server_encoding') = 'SQL_ASCII' THEN
                PERFORM convert_to(to_jsonb(OLD)::text, 'UTF8');
            END IF;
            INSERT INTO {history} SELECT * FROM {_kept(table, "OLD", number, fitting=False)};
        EXCEPTION WHEN character_not_in_repertoire THEN
            NULL; -- no client could read it, nor what comes after it
        WHEN data_exception THEN
            INSERT INTO {history} SELECT * FROM {_kept(table, "OLD", number, fitting=True)};
        END;
    END IF;
    IF TG_OP = 'DELETE' OR (TG_OP = 'UPDATE' AND OLD.id IS DISTINCT FROM NEW.id) THEN
        INSERT INTO {feed} VALUES
            ({number}, OLD.id::text, 'withdrawn', moment, NULL, judge, reason, gen_random_uuid())
            RETURNING n, at INTO last;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO {feed} VALUES
            ({number}, NEW.id::text,
            CASE WHEN OLD.id IS DISTINCT FROM NEW.id THEN 'added'
                WHEN reason IS NOT NULL OR OLD.quality IS DISTINCT FROM NEW.quality THEN 'flagged'
                ELSE 'changed' END,
            moment, NEW.quality::text, judge, reason, gen_random_uuid());
    END IF;
    RETURN NULL;
END"""


def _enter_truncation(table: Table) -> str:
    name = quote(table.name)
    numbered = f"SELECT koa_gone, row_number() OVER (ORDER BY id) AS place FROM {name} AS koa_gone"
    return f"""{_DECLARED}
BEGIN
    IF NOT EXISTS (SELECT FROM {name}) THEN
        RETURN NULL;
    END IF;{_take_turn(table)}
    INSERT INTO {quote(history_name(table))}
        SELECT kept.* FROM ({numbered}) AS numbered,
            {_kept(table, "numbered.koa_gone", "coalesce(last.n, 0) + numbered.place", fitting=True)} AS kept;
    INSERT INTO {quote(feed_name(table))}
        SELECT coalesce(last.n, 0) + place, (koa_gone).id::text, 'withdrawn', moment,
            NULL, judge, reason, gen_random_uuid()
        FROM ({numbered}) AS numbered;
    RETURN NULL;
END"""
