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
    is_former : bool
        Whether they are former values, which become null where they have no form.
    other : dict
        Texts that are spelt out, and what they become.
    refused : list
        Values that have no form.
    changes : bool
        Whether any value becomes another one.
    lost : int
        Former values that become null.
    """

    column: Column[Any]
    type: str
    is_former: bool = False
    other: dict[str, str | None] = field(default_factory=dict)
    refused: list[Any] = field(default_factory=list)
    changes: bool = False
    lost: int = 0

    def look_at(self, values: Iterable[Sequence[Any]]) -> None:
        """Look at values, each with its text on the server; of former ones also their number."""
        form, needed = form_of(self.column), not self.column.nullable and not self.is_former
        for value, written, *number in values:
            try:
                wanted = form.of(value)
            except (ValueError, TypeError, ArithmeticError):
                self._refuse(value, written, *number)
                continue
            if wanted is None and needed:
                wanted = default_value(self.column)
            if self._can_be(wanted):
                self._take(written, wanted)
            else:
                self._refuse(value, written, *number)

    def _refuse(self, value: Any, written: str, number: int = 1) -> None:
        if self.is_former:
            self._take(written, None)
            self.lost += number
        else:
            self.refused.append(value)

    def _can_be(self, wanted: Any) -> bool:
        """Whether the server's column can hold a value in form."""
        if wanted is None:
            return self.is_former or bool(self.column.nullable)
        bits = _BITS.get(self.type)
        return bits is None or -1 << bits <= wanted < 1 << bits

    def _take(self, written: str, wanted: Any) -> None:
        text = str(wanted).lower() if isinstance(wanted, bool) else wanted
        text = text if text is None or isinstance(text, str) else repr(text)
        self.changes |= text != written
        if not self._is_plain(written, text):
            self.other[written] = text

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

    def _is_plain(self, written: str, wanted: str | None) -> bool:
        if self._folds:
            return written.isascii() and written.lower() == wanted
        if self.type.startswith(TEXT_TYPES):
            return written == wanted
        return wanted is not None and _PLAIN.get(self.type, _NEVER).fullmatch(written) is not None
