"""Records and results as tables: for the terminal, and for notebooks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from astropy.table import Table

    from .orm import ORMCalibration

#: A column as narrow as this, in characters, is never folded.
_NARROW = 16

#: Blanks between columns.
_GAP = 3


def render(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str = "", width: int | None = None
) -> str:
    """Give a table as text, no wider than `width` characters where that is given."""
    from prettytable import HRuleStyle, PrettyTable, VRuleStyle

    table = PrettyTable(columns)
    table.align = "l"
    table.hrules, table.vrules = HRuleStyle.HEADER, VRuleStyle.NONE
    table.horizontal_char, table.junction_char = "─", "─"
    table.add_rows([[str(value) for value in row] for row in rows])
    if width is not None:
        table.max_width.update(_folded(columns, table.rows, width))
    lines = [*title.splitlines(), *table.get_string().splitlines()]
    return "\n".join(line.rstrip() for line in lines)


def _folded(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> dict[str, int]:
    """Share what the narrow columns leave of the width among the wide ones."""
    natural = {
        column: max(len(line) for cell in (column, *cells) for line in cell.splitlines() or [""])
        for column, *cells in zip(columns, *rows, strict=True)
    }
    wide = [column for column in columns if natural[column] > _NARROW]
    room = width - 1 - _GAP * len(columns) - sum(natural[column] for column in columns if column not in wide)
    return {column: max(_NARROW, room // len(wide)) for column in wide}


def astropy_table(orm_class: type[ORMCalibration], records: Sequence[ORMCalibration]) -> Table:
    """Give records as an `astropy.table.Table`: one row each, units on the columns, nulls masked."""
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
