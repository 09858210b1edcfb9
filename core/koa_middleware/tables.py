"""Records and results as tables: for the terminal, and for notebooks."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from astropy.table import Table

    from .orm import ORMCalibration

#: Wide enough for every row; a narrower terminal is given by its width.
_UNBOUNDED = 10_000


def render(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str = "", width: int | None = None
) -> str:
    """Give a table as text, no wider than `width` characters where that is given."""
    from rich import box
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    table = RichTable(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(str(value)) for value in row))
    console = Console(file=io.StringIO(), width=width or _UNBOUNDED, color_system=None)
    with console.capture() as capture:
        console.print(table)
    lines = [line.rstrip() for line in capture.get().splitlines()]
    return "\n".join([*title.splitlines(), *(line for line in lines if line)])


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
