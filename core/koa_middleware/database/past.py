"""A local database as it was at a time, for reading: its connections have views of that state in the tables' places.

A state is that of the rows that have not changed since, and of the former versions that held then. Where few of these
held, a connection copies them, so that no rule has to look for them among all others; what changes later is read too.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Generic, NoReturn, TypeVar, cast

from sqlalchemy import ScalarSelect, Select, Table, bindparam, select
from sqlalchemy.sql.visitors import replacement_traverse

from ..exceptions import CacheError, CalibrationNotFoundError
from ..instrument.orm import ORMCalibration
from .history import history_table, main_indexes
from .layered import LayeredDatabase, attached_as_shared, ordered_last, reading_shared
from .local import LocalDatabase, compiled
from .moments import Known
from .sqlite import make_read_only, quote
from .table import asked_name
from .views import SHARED, Then, views

R = TypeVar("R", bound=ORMCalibration)

#: Former versions that ended later, which are looked at, and of those the ones that are copied.
_LOOKED_AT, _COPIED = 5000, 2000

_BOUND = "koa_bound_"

#: Forms of a statement that are tried for one that SQLite does not sort.
_TRIED = 5


class PastDatabase(LocalDatabase[R]):
    """A local database as it was at a time.

    Parameters
    ----------
    known : LocalDatabase
        The present one, with a shared one under it or without.
    moment : str
        As `moment_of` gives it.
    has_archive : bool
        Whether an archive is followed, of which no more is known than the last sync brought.

    Attributes
    ----------
    moment : str
        The time.

    Raises
    ------
    ConfigurationError
        When the state of that time cannot be told.
    """

    def __init__(self, known: LocalDatabase[R], moment: str, *, has_archive: bool) -> None:
        self._known, self._has_archive = known, has_archive
        self.moment = self._moment = moment
        self._ordered: dict[Select[Any], Select[Any]] = {}
        super().__init__(known.orm_class, known.path, may_be_missing=not known.has_file)
        self.unnoted = known.unnoted

    def _prepare(self) -> None:
        known = self._known
        begin: list[str] = []
        then = Then(self._moment, follows=False, former=[])
        if self.has_file:
            with self.driver_connection() as connection:
                then, begin = self._then(connection, "main", str(self.path))
        if isinstance(known, LayeredDatabase):
            with reading_shared(known.shared) as connection:
                shared_then, more = self._then(connection, SHARED, str(known.shared))
            begin = [attached_as_shared(known.shared), *begin, *more]
            made = views(known.own.readable(), known.below, then, shared_then)
        else:
            made = views(known.readable(), None, then)
        make_read_only(self.engine, [*begin, *made])

    def _then(self, connection: sqlite3.Connection, schema: str, database: str) -> tuple[Then, list[str]]:
        """Find out how the state is told, and what a connection needs for it."""
        found = Known.of(connection, self.orm_class)
        found.check(self._moment, database, has_archive=self._has_archive and schema == "main")
        history = quote(history_table(self.orm_class).name)
        last = connection.execute(f"SELECT ifnull(max(koa_n), 0) FROM {history}").fetchone()[0]  # noqa: S608
        ended = f"SELECT koa_since FROM {history} WHERE koa_until > '{self._moment}' LIMIT {_LOOKED_AT}"  # noqa: S608
        counting = f"SELECT count(*), count(CASE WHEN koa_since <= '{self._moment}' THEN 1 END) FROM ({ended})"  # noqa: S608
        later, held = connection.execute(counting).fetchone()
        if later == _LOOKED_AT or held > _COPIED:
            return Then(self._moment, found.follows, [(f"{schema}.{history}", "")]), []
        alias = "own" if schema == "main" else "shared"
        table, few = f"{schema}.{history}", f"temp.koa_few_{schema}"
        is_new = f"{alias}.koa_n > {last}"
        if not held:
            return Then(self._moment, found.follows, [(table, is_new)]), []
        copied = f"koa_until > '{self._moment}' AND koa_since <= '{self._moment}' AND +koa_n <= {last}"
        copying = [f"CREATE TABLE {few} AS SELECT * FROM {table} WHERE {copied}"]  # noqa: S608
        keys = [["id"], ["filename COLLATE NOCASE"], *(map(quote, each) for each in main_indexes(self.orm_class))]
        for number, columns in enumerate(keys):
            copying.append(f"CREATE INDEX {few}_{number} ON koa_few_{schema} ({', '.join(columns)})")
        is_new += f" AND NOT EXISTS (SELECT 1 FROM {few} AS few WHERE few.id = {alias}.id)"  # noqa: S608
        return Then(self._moment, found.follows, [(few, ""), (table, is_new)]), copying

    def begin(self) -> NoReturn:
        """Refuse to write.

        Raises
        ------
        CacheError
        """
        said = f"The state of {self._moment} of {self.path} is past; nothing is written there."
        raise CacheError(said, "Write to the store's present database.", path=self.path)

    def query_by_filename(self, filename: str) -> R:
        """Record that had a file name; names that some disk takes for one are one.

        Raises
        ------
        CalibrationNotFoundError
        """
        name = asked_name(filename)
        found = self.query(filename=name)
        if not found:
            said = f"No calibration in {self.name} had the filename {name!r} at {self._moment}."
            raise CalibrationNotFoundError(said, "koa-cal list --as-of shows what there was.", asked={"filename": name})
        return next((each for each in found if each.filename == name), found[0])

    def rows(self, statement: Select[Any], parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Rows of a statement as the driver gives them."""
        probing, asking = _apart(statement)
        if probing is not None:
            found = super().rows(self._in_order(probing, parameters), parameters)
            parameters = {**parameters, **_bounds(found[0])}
        return super().rows(self._in_order(asking, parameters), parameters)

    def fetch_many(self, statement: Select[Any], parameters: Sequence[Mapping[str, Any]], *, rows: bool) -> list[Any]:
        """Records of a statement, or its rows, for each of many parameters."""
        probing, asking = _apart(statement)
        if probing is not None:
            found = super().fetch_many(self._in_order(probing, parameters[0]), parameters, rows=True)
            parameters = [{**each, **_bounds(one[0])} for each, one in zip(parameters, found, strict=True)]
        return super().fetch_many(self._in_order(asking, parameters[0]), parameters, rows=rows)

    def _in_order(self, statement: Select[Any], parameters: Mapping[str, Any]) -> Select[Any]:
        """Give a statement that SQLite answers in the order of an index, where it can be made to.

        SQLite before 3.43 sorts where its estimate of the rows is a certain number, which one more term changes.
        """
        if statement not in self._ordered:
            terms = (_with_terms(statement, number) for number in range(_TRIED))
            self._ordered[statement] = next((each for each in terms if not self._sorts(each, parameters)), statement)
        return self._ordered[statement]

    def _sorts(self, statement: Select[Any], parameters: Mapping[str, Any]) -> bool:
        sql, constants = compiled(statement)
        with self.translated_errors():
            plan = self._readers.read(f"EXPLAIN QUERY PLAN {sql}", {**constants, **parameters})
        by_index = {
            parent for _, parent, _, detail in plan if " USING INDEX " in detail or " COVERING INDEX " in detail
        }
        return any(parent in by_index and detail.endswith("FOR ORDER BY") for _, parent, _, detail in plan)


def _with_terms(statement: Select[Any], number: int) -> Select[Any]:
    """Give a statement with so many more terms, which each row meets, in each of its parts that are ordered."""
    if not number:
        return statement

    def with_more(asking: Any) -> Any:
        table = next((each for each in asking.get_final_froms() if isinstance(each, Table)), None)
        if table is None or not asking._order_by_clauses:
            return asking
        return asking.where(*(table.c.id.is_distinct_from(f"{_BOUND}{each}") for each in range(number)))

    columns = [
        with_more(column.element).scalar_subquery() if isinstance(column, ScalarSelect) else column
        for column in statement._raw_columns
    ]
    are_parts = any(isinstance(column, ScalarSelect) for column in columns)
    return select(*columns) if are_parts else with_more(statement)


@lru_cache(maxsize=512)
def _apart(statement: Select[Any]) -> tuple[Select[Any] | None, Select[Any]]:
    """Give what asks for the single values in a statement's clauses, and the statement that takes them as parameters.

    Else SQLite looks each up again for each part of the view.
    """
    single: list[ScalarSelect[Any]] = []

    def as_parameter(element: Any, **_: Any) -> Any:
        if not isinstance(element, ScalarSelect) or not isinstance(element.element, Select):
            return None
        single.append(element)
        return bindparam(f"{_BOUND}{len(single) - 1}", None, type_=element.type)

    asking = cast("Select[Any]", replacement_traverse(statement, {}, as_parameter))
    return (select(*single) if single else None), ordered_last(asking if single else statement)


def _bounds(values: Sequence[Any]) -> dict[str, Any]:
    return {f"{_BOUND}{number}": value for number, value in enumerate(values)}


class Pasts(Generic[R]):
    """The states that were asked last, kept open."""

    _MOST = 4

    def __init__(self) -> None:
        self._open: dict[str, PastDatabase[R]] = {}

    def at(self, known: LocalDatabase[R], moment: str, *, has_archive: bool) -> PastDatabase[R]:
        """Give a database's state at a time; see `PastDatabase`."""
        found = self._open.pop(moment, None) or PastDatabase(known, moment, has_archive=has_archive)
        self._open[moment] = found
        while len(self._open) > self._MOST:
            self._open.pop(next(iter(self._open))).close()
        return found

    def close(self) -> None:
        """Close them all, as where a sync may have changed the past."""
        while self._open:
            self._open.popitem()[1].close()
