"""An archive's column in the form and type that a class wants, as SQL that the forms of Python have proven.

Python looks at each different value. Where the server's cast makes the same of it, it is left to the server; the others
are spelt out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Column

from ...instrument.values import default_value, form_of
from .identifiers import quote
from .literals import text_literal
from .values import TEXT_TYPES

#: Texts of which the server's cast to a type makes what Python does.
_PLAIN = {
    "integer": re.compile("-?[0-9]{1,18}"),
    "smallint": re.compile("-?[0-9]{1,18}"),
    "bigint": re.compile("-?[0-9]{1,18}"),
    "double precision": re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,2})?"),
    "boolean": re.compile("true|false"),
}
#: Matches no text.
_NEVER = re.compile("(?!)")
#: Bits of the server's whole numbers, the sign left out.
_BITS = {"smallint": 15, "integer": 31}


@dataclass
class Restating:
    """How the values of a column come into the form of a class's column.

    Attributes
    ----------
    column : sqlalchemy.Column
    type : str
        The type that they get, as the server names it.
    other : dict
        Texts that are spelt out, and what they become.
    refused : list
        Values that have no form.
    changes : bool
        Whether any value becomes another one.
    """

    column: Column[Any]
    type: str
    other: dict[str, str | None] = field(default_factory=dict)
    refused: list[Any] = field(default_factory=list)
    changes: bool = False

    def look_at(self, values: Iterable[Sequence[Any]]) -> None:
        """Look at values, each with its text on the server."""
        for value, written in values:
            try:
                wanted = self._wanted(value)
            except (ValueError, TypeError, ArithmeticError):
                self.refused.append(value)
                continue
            self.changes |= wanted != written
            if not self._is_plain(written, wanted):
                self.other[written] = wanted

    def sql(self, name: str) -> str:
        """Give the expression of a column's new value, by the column's name."""
        text = f"{quote(name)}::text"
        cast = f'lower({text} COLLATE "C")' if self._folds else f"{text}::{self.type}"
        if not self.other:
            return cast
        said = f"{text_literal(json.dumps(self.other, ensure_ascii=False))}::jsonb"
        return f"CASE WHEN jsonb_exists({said}, {text}) THEN ({said} ->> {text})::{self.type} ELSE {cast} END"

    @property
    def _folds(self) -> bool:
        return bool(self.column.info.get("fold")) and self.type.startswith(TEXT_TYPES)

    def _wanted(self, value: Any) -> str | None:
        """Give a value in form, as text.

        Raises
        ------
        ValueError, TypeError, ArithmeticError
            When it has no form, the server's type cannot hold it, or it is none where one is needed.
        """
        wanted = form_of(self.column).of(value)
        if wanted is None and not self.column.nullable:
            wanted = default_value(self.column)
            if wanted is None:
                raise ValueError("no value")
        if self.type in _BITS and wanted is not None and not -1 << _BITS[self.type] <= wanted < 1 << _BITS[self.type]:
            raise ValueError("too large")
        if isinstance(wanted, bool):
            return str(wanted).lower()
        return wanted if wanted is None or isinstance(wanted, str) else repr(wanted)

    def _is_plain(self, written: str, wanted: str | None) -> bool:
        if self._folds:
            return written.isascii() and written.lower() == wanted
        if self.type.startswith(TEXT_TYPES):
            return written == wanted
        return wanted is not None and _PLAIN.get(self.type, _NEVER).fullmatch(written) is not None
