"""The rows that a server sends, as those of a client's class, which may be of another version than the server's."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any

from sqlalchemy import Column, Table

from ...database.declared import Declaration
from ...instrument.orm import DERIVED
from ..matching import is_required, names_there
from ..protocol import VERSION, Batch, Row
from .wire import ORIGIN, SentColumn, decoded, scalar_default


class Mapped:
    """A client's columns beside those of a server.

    Parameters
    ----------
    table : sqlalchemy.Table
        Of the client's class, with the columns of other versions that it takes along.
    sent : sequence of SentColumn

    Attributes
    ----------
    names : dict
        What the archive calls the client's columns, as far as they come.
    missing : tuple of str
        Columns that a row cannot do without, and that don't come.
    otherwise : str
        What the server's class makes of the values that the client's makes something else of.
    """

    def __init__(self, table: Table, sent: Sequence[SentColumn]) -> None:
        by_name = {column.name: column for column in sent}
        declared = Declaration({column.name: column.said for column in sent}, {}, (), ())
        there = names_there(table, by_name, [declared])
        pairs = {name: by_name[other] for name, other in there.items()}
        differing = {name: _form_there(each) for name, each in pairs.items() if _form_there(each) != _form(table, name)}
        self.names = {name: each.stored for name, each in pairs.items()}
        self.missing = tuple(c.name for c in table.c if is_required(c) and c.name not in pairs)
        self.otherwise = json.dumps(differing, sort_keys=True, default=str) if differing else ""
        self._columns = table.c.keys()
        self._pairs = {name: each.name for name, each in pairs.items() if name != ORIGIN}
        self._absent = {name: _absent(table, name) for name in self._columns if name not in self._pairs}
        self._needed = [
            number
            for number, column in enumerate(table.c)
            if column.name in self._pairs and (column.name in table.info[DERIVED] or not _may_be_nothing(column))
        ]
        forms = any(_form_there(pairs[name])[:-1] != _form(table, name)[:-1] for name in differing)
        self._all_odd = forms or any(not _is_whole_without(table, name) for name in self._absent)
        self._sent = [column.name for column in sent if column.name != ORIGIN]

    def batch(self, names: Sequence[str], found: Mapping[str, Any], before: Sequence[str] = ()) -> Batch:
        """Give rows.

        Parameters
        ----------
        names : sequence of str
            Of the columns of the rows that came.
        found : mapping
            The rows that came, as ``rows`` and ``odd``.
        before : sequence of str
            What stands before the values of a row.

        Raises
        ------
        KeyError, TypeError, ValueError, ArithmeticError
            When these are no rows.
        """
        if list(names) != self._sent:
            raise ValueError("the rows have other columns than the archive's state tells")
        rows, odd = [], []
        for row in self._in_order(names, found["rows"], len(before)):
            if self._all_odd or None in [row[number + len(before)] for number in self._needed]:
                odd.append(dict(zip([*before, *self._columns], row, strict=True)))
            else:
                rows.append(row)
        odd += [self._odd(values, before) for values in found["odd"]]
        return Batch(rows, odd)

    def former(self, names: Sequence[str], found: Mapping[str, Any]) -> Batch:
        """Give former versions of rows; see `batch`."""
        return self.batch(names, found, VERSION)

    def _in_order(self, names: Sequence[str], rows: Sequence[Sequence[Any]], before: int) -> Iterator[Row]:
        places = {name: before + number for number, name in enumerate(names)}
        length = before + len(names)
        added = tuple(self._absent.values())
        places_added = {name: length + number for number, name in enumerate(self._absent)}
        own = (places[self._pairs[name]] if name in self._pairs else places_added[name] for name in self._columns)
        pick = itemgetter(*range(before), *own)
        for row in rows:
            if len(row) != length:
                raise ValueError("a row has another number of values than of columns")
            yield pick((*row, *added))

    def _odd(self, values: Mapping[str, Any], before: Sequence[str]) -> dict[str, Any]:
        own = {name: decoded(values[other]) for name, other in self._pairs.items()}
        return {**{name: values[name] for name in before}, **self._absent, **own}


def _form(table: Table, name: str) -> tuple[Any, ...]:
    column = table.c[name]
    nulls = column.info.get("nulls")
    form = type(column.type).__name__, column.info.get("fold") or False
    return *form, None if nulls is None else tuple(sorted(nulls)), scalar_default(column)


def _form_there(column: SentColumn) -> tuple[Any, ...]:
    return *column.said.form, column.default


def _absent(table: Table, name: str) -> Any:
    """Give the value of a column that does not come."""
    return "REMOTE" if name == ORIGIN else scalar_default(table.c[name])


def _may_be_nothing(column: Column[Any]) -> bool:
    return bool(column.nullable) and column.default is None


def _is_whole_without(table: Table, name: str) -> bool:
    """Whether a row that comes without a column needs nothing made from the others."""
    column = table.c[name]
    is_told = name == ORIGIN or scalar_default(column) is not None or _may_be_nothing(column)
    return is_told and name not in table.info[DERIVED]
