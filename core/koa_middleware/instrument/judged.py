"""The quality that counts: a store's own judgement of a calibration, where there is one, else what its row says.

Such a judgement stands beside the rows, since the archive's word in them is to stay as it is. A store's own database
has a table of them, whose last line on an id holds; the archive's is told by a parameter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from sqlalchemy import Column, String, Table, bindparam
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.selectable import AliasedReturnsRows

#: Parameter of a statement for the archive: JSON of qualities by id; None where nothing was judged.
JUDGED = "judged_here"


class Said(NamedTuple):
    """Who said what of a calibration's quality, why, and when (UTC).

    Attributes
    ----------
    quality : str or None
        None where a store's own judgement was taken back.
    who, why : str or None
    at : str
    is_here : bool
        Whether it is the store's own judgement, over the archive's.
    """

    quality: str | None
    who: str | None
    why: str | None
    at: str
    is_here: bool


#: Gives what a store has judged itself by id: what holds now, or held at a time (UTC, microseconds).
Judged = Callable[[str | None], Mapping[str, Said]]


def judged_nothing(moment: str | None) -> Mapping[str, Said]:  # noqa: ARG001 - it is a `Judged`
    """Say of an asker without judgements that there are none."""
    return {}


class QualityHere(FunctionElement[str]):
    """The quality of a row that counts in a database, as a clause of its columns `id` and `quality`.

    It is the row's own in a database of which nothing is known.
    """

    name = "quality_here"
    type = String()
    inherit_cache = True

    def __init__(self, id: Column[Any], quality: Column[Any]) -> None:
        super().__init__(id, quality, bindparam(JUDGED, None, type_=String()))


def judgements_name(table: str) -> str:
    """Give the name of the table of judgements beside an instrument's table."""
    return f"{table}_judgements"


def know_judgements(dialect: Any) -> None:
    """Say of a dialect of SQLite that its databases have the table of judgements."""
    dialect.koa_knows_judgements = True


@compiles(QualityHere)
def _of_the_row(element: QualityHere, compiler: SQLCompiler, **options: Any) -> str:
    _, quality, _ = element.clauses
    return compiler.process(quality, **options)


@compiles(QualityHere, "sqlite")
def _of_the_table(element: QualityHere, compiler: SQLCompiler, **options: Any) -> str:
    if not getattr(compiler.dialect, "koa_knows_judgements", False):
        return _of_the_row(element, compiler, **options)
    id_, quality, _ = element.clauses
    name = compiler.preparer.quote(judgements_name(_table_of(id_).name))
    # To order and limit them would keep SQLite from looking into the parts of a view.
    later = f"SELECT 1 FROM {name} AS later WHERE later.id = said.id AND later.n > said.n"  # noqa: S608
    last = f"SELECT said.quality FROM {name} AS said WHERE said.id = {compiler.process(id_, **options)}"  # noqa: S608
    last += f" AND NOT EXISTS ({later})"
    return f"coalesce(({last}), {compiler.process(quality, **options)})"


@compiles(QualityHere, "postgresql")
def _of_the_parameter(element: QualityHere, compiler: SQLCompiler, **options: Any) -> str:
    id_, quality, judged = (compiler.process(each, **options) for each in element.clauses)
    return f"coalesce(CAST({judged} AS jsonb) ->> CAST({id_} AS text), {quality})"


def _table_of(column: Any) -> Table:
    found: Any = column.table
    while isinstance(found, AliasedReturnsRows):
        found = found.element
    table: Table = found
    return table
