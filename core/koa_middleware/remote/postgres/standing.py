"""What a PostgreSQL archive says of itself: asked in one statement, read here."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Self

from sqlalchemy import Table

from ..matching import names_there
from ..protocol import Mark
from ..standing import Facts
from .errors import init_command
from .identifiers import FEED_TRIGGERS, feed_name, history_name, quote
from .notes import Note

_VIEWS = {"v": "a view", "m": "a materialized view", "f": "a foreign table"}
_IN_PARTS = "is partitioned or has tables that inherit from it, in which changes go unrecorded"
_HIDDEN = "has a feed with row-level security, which may hide entries"


#: SQL that writes a time as `Entry.at` has it.
AS_TEXT = """to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US')"""


def shown_until(feed: str | None) -> str:
    """SQL of the time up to which what happened is shown.

    A statement's time comes before its view, which has all that was committed by then.
    """
    shown = "CASE WHEN pg_is_in_recovery() THEN pg_last_xact_replay_timestamp() ELSE statement_timestamp() END"
    newest = "" if feed is None else f"(SELECT at FROM {feed} ORDER BY n DESC LIMIT 1), "
    return AS_TEXT.format(f"greatest({newest}{shown})")


def question(table: Table, has_feed: bool) -> str:
    """SQL with the parameters ``table``, ``triggers`` and ``asked``, which gives one JSON text.

    Its cost does not depend on the number of rows: each entry of the feed is one probe of an index.
    """
    feed = quote(feed_name(table))
    of_feed = f"""
        'newest', (SELECT json_build_array(n, token) FROM {feed} ORDER BY n DESC LIMIT 1),
        'tokens', (SELECT json_object_agg(n, token) FROM {feed} WHERE n = ANY(%(asked)s::bigint[])),
        'resweep', (SELECT json_build_array(n, why) FROM {feed} WHERE op = 'resweep' ORDER BY n DESC LIMIT 1),
        'is_hidden', (SELECT relrowsecurity FROM pg_class WHERE oid = '{feed}'::regclass),"""
    columns = "pg_attribute WHERE attrelid = %(table)s::regclass AND attnum > 0 AND NOT attisdropped"
    former = f"pg_attribute WHERE attrelid = to_regclass('{quote(history_name(table))}') AND attnum > 0"
    return f"""SELECT json_build_object({of_feed if has_feed else ""}
        'standby', pg_is_in_recovery(),
        'clock', {shown_until(feed if has_feed else None)},
        'former', (SELECT json_object_agg(attname, format_type(atttypid, atttypmod)) FROM {former}
            AND NOT attisdropped),
        'cluster', (SELECT system_identifier FROM pg_control_system())::text,
        'columns', (SELECT json_object_agg(attname, format_type(atttypid, atttypmod)) FROM {columns}),
        'made', (SELECT json_agg(json_build_array(attnum, attname, xmin::text) ORDER BY attnum) FROM {columns}),
        'triggers', (SELECT json_object_agg(
                tgname, json_build_array(tgenabled, t.oid, t.xmin::text, p.oid, p.xmin::text) ORDER BY tgname)
            FROM pg_trigger AS t JOIN pg_proc AS p ON p.oid = tgfoid
            WHERE tgrelid = %(table)s::regclass AND tgname = ANY(%(triggers)s)),
        'kind', (SELECT relkind FROM pg_class WHERE oid = %(table)s::regclass),
        'has_parts', (SELECT relhassubclass FROM pg_class WHERE oid = %(table)s::regclass))::text"""


class There(NamedTuple):
    """What the archive answered.

    Attributes
    ----------
    facts : Facts
    former : mapping
        Columns of the table of former versions and their types; empty where there is none.
    """

    facts: Facts
    former: Mapping[str, str]

    @classmethod
    def of(cls, table: Table, answer: str, noted: Callable[[], Sequence[Note]]) -> Self:
        """Read the answer to `question`; who set the archive up is asked where a column of the class is not there."""
        found: dict[str, Any] = json.loads(answer)
        newest = Mark(*found["newest"]) if found.get("newest") else None
        triggers: dict[str, list[Any]] = found["triggers"] or {}
        resweep, why = found.get("resweep") or (0, None)
        names = names_there(table, found["columns"], ())
        if len(names) < len(table.c):
            names = names_there(table, found["columns"], [note.declared for note in noted()])
        blind = _HIDDEN if found.get("is_hidden") else _IN_PARTS if found["has_parts"] else ""
        switched = {name: switched for name, (switched, *_) in triggers.items()}
        facts = Facts(
            newest=newest,
            tokens={int(n): token for n, token in (found.get("tokens") or {}).items()},
            standby=found["standby"],
            cluster=found["cluster"],
            made=json.dumps([found["made"], {name: made for name, (_, *made) in triggers.items()}]),
            resweep=(resweep, why),
            trouble=tuple(_trouble(table, found["kind"], newest is not None, blind, switched)),
            clock=found["clock"],
            keeps_history=bool(found["former"]),
            stored=found["columns"],
            names=names,
        )
        return cls(facts, found["former"] or {})


def _trouble(table: Table, kind: str, has_feed: bool, blind: str, switched: Mapping[str, str]) -> list[str]:
    """Say what keeps everybody from following.

    Parameters
    ----------
    table : sqlalchemy.Table
        Of the instrument's class.
    kind : str
        As ``pg_class.relkind`` says: ``r`` is a table.
    has_feed : bool
    blind : str
        Why the feed may lack entries for everybody or for some; empty where it does not.
    switched : mapping
        How each trigger is switched; ``A`` is always on.
    """
    name, each = f"The archive's {table.name}", "so each sync reads all of it."
    mend = f"The owner mends that with: {init_command(table)}"
    if kind in _VIEWS:
        return [f"{name} is {_VIEWS[kind]}, {each}"]
    if not has_feed:
        return [f"{name} has no change feed, {each} {mend}"]
    if blind:
        return [f"{name} {blind}, {each}"]
    for trigger in FEED_TRIGGERS:
        how = switched.get(trigger)
        if how is None:
            return [f"{name} lacks the trigger {trigger}, which records changes, {each} {mend}"]
        if how == "D":
            return [f"{name} has the trigger {trigger}, which records changes, switched off, {each} {mend}"]
        if how != "A":
            said = "is not ENABLE ALWAYS, so it may miss replicated changes"
            return [f"{name} has the trigger {trigger}, which {said}, {each} {mend}"]
    return []
