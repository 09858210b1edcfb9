"""Records and results as tables: for the terminal, and for notebooks."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING

from .importing import importing

if TYPE_CHECKING:
    from astropy.table import Table

    from .instrument.orm import ORMCalibration

#: A column as narrow as this, in characters, is never folded; a wide one not below half of it.
_NARROW = 16

#: Blanks between columns.
_GAP = 3


def printable(text: str) -> str:
    """Give text in which what is not seen is written out, such as what clears a terminal or turns a line around."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def render(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str = "", width: int | None = None
) -> str:
    """Give a table as text, no wider than `width` characters where that is given.

    Written here, since ``koa-cal list`` would spend a tenth of its time on importing and calling a library for it.
    """
    lines = [[list(map(printable, str(cell).split("\n"))) for cell in row] for row in (columns, *rows)]
    widths = [max(len(line) for row in lines for line in row[i]) for i in range(len(columns))]
    if width is not None:
        widths = _shared(widths, width)
        lines = [[_folded(cell, room) for cell, room in zip(row, widths, strict=True)] for row in lines]
    head, *body = [line for row in lines for line in _aligned(row, widths)]
    rule = "─" * (sum(widths) + _GAP * len(widths) + 1)
    return "\n".join([*map(printable, title.splitlines()), head, rule, *body])


def _shared(widths: Sequence[int], width: int) -> list[int]:
    """Share what the narrow columns leave of the width among the wide ones."""
    wide = [natural for natural in widths if natural > _NARROW]
    room = width - 1 - _GAP * len(widths) - (sum(widths) - sum(wide))
    share = max(_NARROW // 2, room // max(1, len(wide)))
    return [natural if natural <= _NARROW else min(natural, share) for natural in widths]


def _folded(lines: Sequence[str], width: int) -> list[str]:
    if all(len(line) <= width for line in lines):
        return list(lines)
    return [part for line in lines for part in textwrap.wrap(line, width) or [""]]


def _aligned(row: Sequence[Sequence[str]], widths: Sequence[int]) -> Iterator[str]:
    """Give the lines of a row whose cells may have several."""
    for parts in zip_longest(*row, fillvalue=""):
        line = (" " * _GAP).join(part.ljust(width) for part, width in zip(parts, widths, strict=True))
        yield f"  {line}".rstrip()


def astropy_table(orm_class: type[ORMCalibration], records: Sequence[ORMCalibration]) -> Table:
    """Give records as an `astropy.table.Table`: one row each, units on the columns, nulls masked."""
    with importing:
        import numpy as np
        from astropy.table import MaskedColumn, Table

    columns = []
    for column in orm_class.table().c:
        values = [record[column.key] for record in records]
        mask = [value is None for value in values]
        kind = column.type.python_type
        filled = [kind() if value is None else value for value in values]
        columns.append(
            MaskedColumn(
                np.array(filled, dtype=kind),
                name=column.key,
                mask=mask if any(mask) else None,
                unit=column.info.get("unit"),
            )
        )
    return Table(columns)
