"""Which index each statement of a plugin's selectors needs, and whether SQLite probes it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select

from ..choosing.required import Required
from ..choosing.selector import CalibrationSelector, ruling_of
from ..choosing.statement import Plan
from ..instrument.orm import ORMCalibration


class Asked(NamedTuple):
    """A statement of a selector, and the columns of the index that each search of the table in it needs.

    Attributes
    ----------
    name : str
        Selector, case and step, as messages name them.
    equal : tuple of str
        Columns that the index finds by equality.
    ordered : str
        The column that comes last, of which a stretch is read.
    """

    name: str
    statement: Select[Any]
    equal: tuple[str, ...]
    ordered: str


def missing_indexes(
    connection: Connection, orm_class: type[ORMCalibration], selectors: Iterable[CalibrationSelector]
) -> list[str]:
    """Say of each statement that SQLite does not answer by probes alone what it asks and which index to declare.

    Parameters
    ----------
    connection : sqlalchemy.Connection
        To a new database of the class.
    """
    faults: dict[str, None] = {}
    for selector in selectors:
        for asked in _asked(selector, orm_class):
            details = _query_plan(connection, asked.statement)
            table = orm_class.table().name
            searches = [line for line in details if line.startswith((f"SEARCH {table} ", f"SCAN {table}"))]
            if not all(_is_probe(line, asked) for line in searches):
                faults[_fault(asked, orm_class, details)] = None
    return list(faults)


def _fault(asked: Asked, orm_class: type[ORMCalibration], details: list[str]) -> str:
    names = (*asked.equal, asked.ordered)
    index = ", ".join(f'"{name}"' for name in names)
    return (
        f"{asked.name}: no index on ({', '.join(names)}) answers it. Write Index(None, {index}) into the "
        f"__table_args__ of {orm_class.__name__}. SQLite's plan: {'; '.join(details)}."
    )


def _asked(selector: CalibrationSelector, orm_class: type[ORMCalibration]) -> Iterator[Asked]:
    """Give the statements of all cases and steps."""
    for known, plans in ruling_of(selector, orm_class).every():
        for plan in plans:
            name = _name(selector, known, plan)
            equal, ordered = (*plan.probed, *_own_values(plan, plans)), plan.order[1]
            for statement in plan.answers:
                yield Asked(name, statement, equal, ordered)
            for statement in (*plan.outwards.values(), *plan.grouped.values()) if plan.rule.same else ():
                yield Asked(f"{name}, pairs of the same {', '.join(plan.rule.same)}", statement, equal, ordered)


def _name(selector: CalibrationSelector, known: Mapping[str, Any], plan: Plan) -> str:
    case = "".join(f", for {column} {value!r}" for column, value in known.items())
    step = "" if plan.rule.step is None else f", step {plan.rule.step}"
    return f"{type(selector).__name__} of {plan.rule.cal_type}{case}{step}"


def _own_values(plan: Plan, plans: Iterable[Plan]) -> list[str]:
    """Columns of which a step requires one value that not all steps do: where none has it, all would be read."""
    common = set.intersection(*(set(each.criteria) for each in plans))
    required = (each for each in plan.criteria if isinstance(each, Required) and each not in common)
    return [each.column for each in required if each.is_one_value and each.column not in plan.probed]


def _is_probe(line: str, asked: Asked) -> bool:
    """Whether a line of a plan is a search by equality in all columns, and by bounds, or a value, in the last one."""
    _, _, terms = line.partition("(")
    found = set(terms.removesuffix(")").split(" AND "))
    bounds = {f"{asked.ordered}>?", f"{asked.ordered}<?"}
    return found >= {f"{name}=?" for name in asked.equal} and (found >= bounds or f"{asked.ordered}=?" in found)


def _query_plan(connection: Connection, statement: Select[Any]) -> list[str]:
    compiled = statement.compile(connection, compile_kwargs={"render_postcompile": True})
    parameters = tuple(compiled.params[name] for name in compiled.positiontup or ())
    rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}", parameters)
    return [str(row[3]) for row in rows]
