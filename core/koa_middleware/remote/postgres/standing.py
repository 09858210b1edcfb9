"""How a PostgreSQL archive stands to a client: asked in one statement, judged here."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Self

from sqlalchemy import Table

from ..others import OTHER
from ..protocol import ANOTHER_HISTORY, Mark, State
from .errors import init_command
from .identifiers import FEED_TRIGGERS, feed_name, history_name, quote
from .notes import Note
from .position import Position, columns_digest
from .values import names_there

_ANEW = "The archive was read anew:"
_MADE_ANEW = f"{_ANEW} its triggers or columns were switched off, changed or made anew since the last sync."
_COLUMNS = f"{_ANEW} its columns or the plugin's have changed."
_UNKNOWN = f"{_ANEW} this copy followed another archive, or was made by another version."
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


class Standing(NamedTuple):
    """What the archive answered.

    Attributes
    ----------
    table : sqlalchemy.Table
        Of the instrument's class.
    standby : bool
    columns : mapping
        The archive's columns and their types.
    names : mapping
        What the class's columns are called there, as far as they are there.
    newest : Mark or None
        The feed's newest entry; None where there is no feed, or an empty one.
    tokens : mapping
        Of the entries that were asked for, as far as they are there, by number.
    resweep : tuple
        Number and reason of the last entry that asks everybody to read everything.
    switched : mapping
        How each trigger is switched; ``A`` is always on.
    kind : str
        As ``pg_class.relkind`` says: ``r`` is a table.
    blind : str
        Why the feed may lack entries for everybody or for some; empty where it does not.
    here : Position
        Of the newest entry.
    former : mapping
        Columns of the table of former versions and their types; empty where there is none.
    clock : str or None
        Up to when what happened is shown, UTC.
    """

    table: Table
    standby: bool
    columns: Mapping[str, str]
    names: Mapping[str, str]
    newest: Mark | None
    tokens: Mapping[int, str]
    resweep: tuple[int, str | None]
    switched: Mapping[str, str]
    kind: str
    blind: str
    here: Position
    former: Mapping[str, str]
    clock: str | None

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
        return cls(
            table=table,
            standby=found["standby"],
            columns=found["columns"],
            names=names,
            newest=newest,
            tokens={int(n): token for n, token in (found.get("tokens") or {}).items()},
            resweep=(resweep, why),
            switched={name: switched for name, (switched, *_) in triggers.items()},
            kind=found["kind"],
            blind=_HIDDEN if found.get("is_hidden") else _IN_PARTS if found["has_parts"] else "",
            here=Position(
                *(newest or (0, "")),
                columns=columns_digest(table, found["columns"], names),
                cluster=found["cluster"],
                made=json.dumps([found["made"], {name: made for name, (_, *made) in triggers.items()}]),
            ),
            former=found["former"] or {},
            clock=found["clock"],
        )

    def state(self, since: str | None, seen: str | None) -> State:
        """Compare with what a client has."""
        known, newest = Position.read(since), Position.read(seen)
        marks = [position for position in (known, newest) if position is not None]
        because = "" if since is None else self._why_not(known, marks)
        trouble = self._trouble()
        is_ahead = any(position.n > self.here.n for position in marks)
        is_behind = self.standby and is_ahead and because != ANOTHER_HISTORY
        return State(
            bookmark=self.here.bookmark,
            continues=known is not None and not because and not trouble,
            news=known is None or self.here.n > known.n,
            behind=self.here.mark if is_behind else None,
            noticed=(*([because] if because else []), *trouble),
            unknown_columns=tuple(sorted(set(self.columns) - set(self.names.values()))),
            missing_columns=tuple(
                c.key for c in self.table.c if c.key not in {*self.names, "origin"} and OTHER not in c.info
            ),
            clock=self.clock,
            keeps_history=bool(self.former),
        )

    def _why_not(self, known: Position | None, marks: Sequence[Position]) -> str:
        """Say why a client cannot follow from its bookmark; empty where it can."""
        if known is None:
            return _UNKNOWN
        if any(map(self._is_strange, marks)):
            return ANOTHER_HISTORY
        if known.columns != self.here.columns:
            return _COLUMNS
        if known.cluster == self.here.cluster and known.made != self.here.made:
            return _MADE_ANEW
        asked, why = self.resweep
        if asked > known.n:
            return f"{_ANEW} its owner asked for it{f' ({why})' if why else ''}."
        return ""

    def _is_strange(self, position: Position) -> bool:
        """Whether an entry is of another history; what a standby lacks at its end may be to come yet."""
        if self.standby and position.n > self.here.n:
            return False
        return self.newest is not None and self.tokens.get(position.n) != position.token

    def _trouble(self) -> list[str]:
        """Say what keeps everybody from following."""
        name, each = f"The archive's {self.table.name}", "so each sync reads all of it."
        mend = f"The owner mends that with: {init_command(self.table)}"
        if self.kind in _VIEWS:
            return [f"{name} is {_VIEWS[self.kind]}, {each}"]
        if self.newest is None:
            return [f"{name} has no change feed, {each} {mend}"]
        if self.blind:
            return [f"{name} {self.blind}, {each}"]
        for trigger in FEED_TRIGGERS:
            switched = self.switched.get(trigger)
            if switched is None:
                return [f"{name} lacks the trigger {trigger}, which records changes, {each} {mend}"]
            if switched == "D":
                return [f"{name} has the trigger {trigger}, which records changes, switched off, {each} {mend}"]
            if switched != "A":
                how = "is not ENABLE ALWAYS, so it may miss replicated changes"
                return [f"{name} has the trigger {trigger}, which {how}, {each} {mend}"]
        return []
