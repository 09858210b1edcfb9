"""One statement for many parameters, which gives one row of a table for each.

The parameters stand in a table of values. For each of them the statement looks up the best row:
a join whose order SQLite must keep, since it would else read all calibrations for each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from itertools import chain, repeat
from operator import itemgetter
from typing import Any, NamedTuple, cast

from sqlalchemy import BindParameter, ColumnElement, Select, Table, UnaryExpression, literal_column, select
from sqlalchemy.dialects.sqlite import dialect as sqlite_dialect
from sqlalchemy.sql.visitors import replacement_traverse

from ..instrument.judged import know_judgements
from .chunks import in_chunks

#: Parameters that one statement takes; more would fill its table of values for no gain.
_AT_ONCE = 250

Row = tuple[Any, ...]


@lru_cache(maxsize=512)
def gives_one_row(statement: Select[Any]) -> bool:
    """Whether a statement gives one row of one table, and thus can be asked for many."""
    most, froms = statement._limit_clause, statement.get_final_froms()
    if not isinstance(most, BindParameter) or most.value != 1 or statement._offset_clause is not None:
        return False
    if len(froms) != 1 or not isinstance(froms[0], Table) or not statement._order_by_clauses:
        return False
    return list(statement.selected_columns) == list(froms[0].c)


def read_together(
    statement: Select[Any], parameters: Sequence[Mapping[str, Any]], read: Callable[[str, Sequence[Any]], list[Row]]
) -> list[list[Row]]:
    """Give the row of a statement for each of many parameters, or none.

    Parameters
    ----------
    statement : sqlalchemy statement
        As `gives_one_row` says.
    parameters : sequence of mapping
        All with the same names.
    read : callable
        Gives the rows of SQL text with its parameters in order.
    """
    first = parameters[0]
    names = tuple([name for name in first if any(each[name] != first[name] for each in parameters)])
    asking = _for_many(statement, names)
    constants = [first.get(name, value) for name, value in asking.constants]
    given = list(map(_getter(names), parameters))
    found: list[list[Row]] = [[] for _ in parameters]
    for numbers in in_chunks(_near_in_index(given), _AT_ONCE):
        values = chain.from_iterable([(number, *given[number]) for number in numbers])
        for row in read(asking.sql(len(numbers)), [*values, *constants]):
            found[row[0]].append(row[1:])
    return found


def _getter(names: tuple[str, ...]) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
    if len(names) > 1:
        return itemgetter(*names)
    return lambda parameters: tuple([parameters[name] for name in names])


def _near_in_index(given: Sequence[tuple[Any, ...]]) -> Sequence[int]:
    """Give the numbers of parameters so that those stand together whose rows do: the same pages are read once then."""
    try:
        return sorted(range(len(given)), key=given.__getitem__)
    except TypeError:  # some are null
        return range(len(given))


class _ForMany(NamedTuple):
    """A statement for many parameters.

    Attributes
    ----------
    names : tuple of str
        Of the parameters that differ.
    text : str
        What stands after the table of their values.
    constants : tuple of pairs
        Name and value of the others, in the order of the text.
    """

    names: tuple[str, ...]
    text: str
    constants: tuple[tuple[str, Any], ...]

    def sql(self, number: int) -> str:
        """Give it with room for some parameters."""
        room = f"({', '.join(repeat('?', len(self.names) + 1))})"
        columns = ", ".join(f'"{name}"' for name in ("number", *self.names))
        return f"WITH asked ({columns}) AS (VALUES {', '.join(repeat(room, number))}) {self.text}"


_DIALECT = sqlite_dialect(paramstyle="qmark")
know_judgements(_DIALECT)


@lru_cache(maxsize=512)
def _for_many(statement: Select[Any], names: tuple[str, ...]) -> _ForMany:
    table = cast(Table, statement.get_final_froms()[0])
    key: ColumnElement[int] = literal_column(f'"{table.name}"._rowid_').label("row")  # ids lie far apart in their index
    order = [_unmodified(clause) for clause in statement._order_by_clauses]
    terms = [term.label(f"term{number}") for number, (term, _) in enumerate(order)]
    fitting = statement.with_only_columns(key, *terms).order_by(None).limit(None).subquery()  # since ORDER BY may not
    by = [modified(fitting.c[f"term{number}"]) for number, (_, modified) in enumerate(order)]  # name the values
    best = select(fitting.c["row"]).order_by(*by).limit(1)

    def as_value(element: Any, **_: Any) -> Any:
        is_asked = isinstance(element, BindParameter) and element.key in names
        return literal_column(f'asked."{element.key}"', element.type) if is_asked else None

    asked = cast("Select[Any]", replacement_traverse(best, {}, as_value))
    compiled = asked.compile(dialect=_DIALECT, compile_kwargs={"render_postcompile": True})
    constants = tuple((name, compiled.params[name]) for name in compiled.positiontup or ())
    columns = ", ".join(f'"{table.name}"."{column.name}"' for column in table.c)
    text = (  # of names that stand in a class
        f'SELECT asked."number", {columns} FROM asked CROSS JOIN "{table.name}" '  # noqa: S608
        f'WHERE "{table.name}"._rowid_ = ({compiled})'
    )
    return _ForMany(names, text, constants)


def _unmodified(clause: Any) -> tuple[ColumnElement[Any], Callable[[ColumnElement[Any]], ColumnElement[Any]]]:
    """Give a term of ORDER BY without its direction, and what gives another one that direction."""
    modifiers = []
    while isinstance(clause, UnaryExpression) and clause.modifier is not None:
        modifiers.append(clause.modifier)
        clause = clause.element

    def modified(term: ColumnElement[Any]) -> ColumnElement[Any]:
        for modifier in reversed(modifiers):
            term = UnaryExpression(term, modifier=modifier)
        return term

    return clause, modified
