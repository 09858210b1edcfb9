"""What crosses HTTP between an archive's server and its clients, as JSON, written and read in one place.

The rows of an answer are arrays beside one list of the columns' names. Values that JSON has stand as they are; of
others, which only odd rows hold, an object names the kind: ``{"decimal": "0.1"}``.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from operator import itemgetter
from typing import Any, NamedTuple

from sqlalchemy import Column, Table

from ...database.declared import Declaration, DeclaredColumn
from ...instrument.orm import ORMCalibration
from ..others import Others
from ..protocol import VERSION, Batch, Entry, Mark, Row
from ..standing import Facts

#: Header with the time up to which an answer shows what happened, UTC, in microseconds.
CLOCK = "Koa-Clock"
#: What a token that was sent allows there: scopes, or `NOTHING`; left out where none was sent.
WORTH = "Koa-Token"
NOTHING = "none"

#: The column that rows come without, since it is the same in all.
ORIGIN = "origin"

#: Rows or entries that one answer may hold.
MOST = 10_000

#: Types whose values JSON always has.
_WITHOUT_INFINITY = ("String", "Text", "Integer", "BigInteger", "SmallInteger", "Boolean")

_KINDS: dict[str, Callable[[str], Any]] = {
    "float": float,
    "decimal": Decimal,
    "datetime": datetime.fromisoformat,
    "date": date.fromisoformat,
    "time": time.fromisoformat,
    "bytes": lambda text: memoryview(base64.b64decode(text)),
    "json": json.loads,
}


class SentColumn(NamedTuple):
    """A column of a server's rows.

    Attributes
    ----------
    name : str
        In the server's class, or in another version of it.
    stored : str
        What the archive's table calls it.
    said : DeclaredColumn
    default : Any
        What a row without a value has; None where there is no such value.
    """

    name: str
    stored: str
    said: DeclaredColumn
    default: Any


class Columns:
    """The columns of a class and of other versions that an archive has, as a server sends their values.

    Parameters
    ----------
    orm_class : type
        The server's.
    table : sqlalchemy.Table
        With the columns of other versions.
    others : Others
    names : mapping
        What the archive calls them, as far as it has them.
    """

    def __init__(self, orm_class: type[ORMCalibration], table: Table, others: Others, names: Mapping[str, str]) -> None:
        declared = {**dict(others), **Declaration.of(orm_class).columns}
        keys = table.c.keys()
        self.sent = [
            SentColumn(key, names[key], declared[key], scalar_default(table.c[key])) for key in keys if key in names
        ]
        self.names = [column.name for column in self.sent if column.name != ORIGIN]
        self._keys = keys
        self._numbers = [keys.index(each.name) for each in self.sent if each.said.type not in _WITHOUT_INFINITY]
        self._pick = itemgetter(*(keys.index(name) for name in self.names))
        self._pick_former = itemgetter(*range(len(VERSION)), *(keys.index(name) + len(VERSION) for name in self.names))

    def batch(self, batch: Batch) -> dict[str, Any]:
        """Give rows."""
        return self._given(batch, self._pick, ())

    def former(self, batch: Batch) -> dict[str, Any]:
        """Give former versions of rows."""
        return self._given(batch, self._pick_former, VERSION)

    def _given(self, batch: Batch, pick: Callable[[Row], Any], before: Sequence[str]) -> dict[str, Any]:
        """Give rows; one with a number that JSON does not have is taken for an odd one."""
        places = [len(before) + place for place in self._numbers]
        odd = [row for row in batch.rows if any(type(row[n]) is float and not math.isfinite(row[n]) for n in places)]
        rows = [row for row in batch.rows if row not in odd] if odd else batch.rows
        named = [dict(zip([*before, *self._keys], row, strict=True)) for row in odd]
        return {"rows": list(map(pick, rows)), "odd": [self._odd(values) for values in [*batch.odd, *named]]}

    def _odd(self, values: Mapping[str, Any]) -> dict[str, Any]:
        return {name: encoded(values[name]) for name in (*VERSION, *self.names) if name in values}

    def state(self, facts: Facts) -> dict[str, Any]:
        """Give what an archive says of itself, but for the tokens and the clock."""
        said = {
            "newest": facts.newest,
            "standby": facts.standby,
            "cluster": facts.cluster,
            "made": facts.made,
            "resweep": facts.resweep,
            "trouble": facts.trouble,
            "keeps_history": facts.keeps_history,
            "stored": dict(facts.stored),
            "columns": [
                {"name": each.name, "stored": each.stored, "default": encoded(each.default), **each.said._asdict()}
                for each in self.sent
            ],
        }
        changing = {"newest", "standby", "resweep"}
        return {**said, "shape": _digest({name: said[name] for name in said.keys() - changing})}

    def view(self, facts: Facts) -> dict[str, Any]:
        """Give the state of the archive that an answer shows."""
        state = self.state(facts)
        shown = {name: state[name] for name in ("newest", "standby", "shape")}
        return {**shown, "clock": facts.clock, "etag": etag_of(state)}


def etag_of(state: Mapping[str, Any]) -> str:
    """Give the ETag of a state."""
    return f'"{_digest(state)}"'


def same_etag(one: str, other: str) -> bool:
    """Whether two ETags are of one state; a proxy that compressed the answer may have marked its ETag."""
    bare = [etag.strip().removeprefix("W/").strip('"').removesuffix("-gzip") for etag in (one, other)]
    return bare[0] == bare[1]


def facts_of(state: Mapping[str, Any], names: Mapping[str, str], otherwise: str, etag: str) -> Facts:
    """Read what an archive says of itself, as JSON.

    Parameters
    ----------
    state : mapping
    names, otherwise
        Of a client's class; see `Facts`.
    etag : str

    Raises
    ------
    KeyError, TypeError, ValueError
        When it is no such thing.
    """
    resweep, why = state["resweep"]
    return Facts(
        newest=mark_of(state["newest"]),
        tokens={int(n): str(token) for n, token in state.get("tokens", {}).items()},
        standby=bool(state["standby"]),
        cluster=str(state["cluster"]),
        made=str(state["made"]),
        resweep=(int(resweep), None if why is None else str(why)),
        trouble=tuple(map(str, state["trouble"])),
        clock=text_of(state.get("clock")),
        keeps_history=bool(state["keeps_history"]),
        stored={str(name): str(kind) for name, kind in state["stored"].items()},
        names=names,
        otherwise=otherwise,
        etag=etag,
    )


def columns_of(state: Mapping[str, Any]) -> list[SentColumn]:
    """Read which columns a server sends.

    Raises
    ------
    KeyError, TypeError, ValueError
    """
    found = []
    for each in state["columns"]:
        nulls = each["nulls"]
        said = DeclaredColumn(
            str(each["type"]),
            each["fold"],
            None if nulls is None else tuple(map(str, nulls)),
            bool(each["is_required"]),
            bool(each["is_unique"]),
            tuple(map(str, each["renamed_from"])),
        )
        found.append(SentColumn(str(each["name"]), str(each["stored"]), said, decoded(each["default"])))
    return found


def entries_of(found: Sequence[Any]) -> list[Entry]:
    """Read entries of a feed.

    Raises
    ------
    TypeError, ValueError
    """
    entries = [Entry(*each) for each in found]
    if not all(type(e.n) is int and all(isinstance(text, str) for text in (e.op, e.at, e.token)) for e in entries):
        raise ValueError("an entry is none")
    return entries


def mark_of(found: Any) -> Mark | None:
    """Read a place in a feed.

    Raises
    ------
    TypeError, ValueError
    """
    return None if found is None else Mark(int(found[0]), str(found[1]))


def text_of(found: Any) -> str | None:
    """Read text that may be missing."""
    return None if found is None else str(found)


def encoded(value: Any) -> Any:
    """Give a value as JSON has it."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"float": repr(value)}
    if isinstance(value, Decimal):
        return {"decimal": str(value)}
    if isinstance(value, date | time):  # a datetime is a date
        return {type(value).__name__: value.isoformat()}
    if isinstance(value, bytes | memoryview):
        return {"bytes": base64.b64encode(value).decode()}
    if isinstance(value, list | tuple):
        return [encoded(each) for each in value]
    return {"json": json.dumps(value)} if isinstance(value, dict) else str(value)


def decoded(found: Any) -> Any:
    """Give the value that JSON tells.

    Raises
    ------
    KeyError, TypeError, ValueError, ArithmeticError
        When it tells none.
    """
    if isinstance(found, list):
        return [decoded(each) for each in found]
    if not isinstance(found, dict):
        return found
    ((kind, text),) = found.items()
    return _KINDS[kind](text)


def scalar_default(column: Column[Any]) -> Any:
    """Give the value that a column has where a row has none; None where there is no such value."""
    default: Any = column.default
    return default.arg if default is not None and default.is_scalar else None


def _digest(said: Any) -> str:
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:32]
