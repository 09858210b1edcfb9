"""One instrument's table in a database: SQLite on the user's machine, PostgreSQL at the archive."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import lru_cache
from typing import Any, Generic, TypeVar

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Engine,
    Executable,
    Select,
    bindparam,
    exc,
    false,
    func,
    insert,
    or_,
    select,
)
from sqlalchemy.orm import Session

from ..exceptions import (
    CalibrationNotFoundError,
    ConfigurationError,
    DuplicateCalibrationError,
    HeaderError,
    did_you_mean,
)
from ..former_names import FormerMethod
from ..given import count_of, records_of
from ..instrument.detached import record_builder
from ..instrument.orm import ORMCalibration, check_names
from ..instrument.plain import shown
from ..instrument.times import now_iso
from ..instrument.values import normal_form, time_bound

R = TypeVar("R", bound=ORMCalibration)


class CalibrationDatabase(Generic[R]):
    """One instrument's table, as records.

    Attributes
    ----------
    orm_class : type
    name : str
        The database as messages call it; holds no password.
    moment : str or None
        The time of its state, UTC; None: the present one.
    """

    moment: str | None = None

    def __init__(self, orm_class: type[R], engine: Engine, name: str) -> None:
        self.orm_class = orm_class
        self.name = name
        self.engine = engine

    def as_of(self, moment: str) -> CalibrationDatabase[R]:
        """Give its state at a time, for reading.

        Parameters
        ----------
        moment : str
            UTC, with microseconds, as `moment_of` gives it.

        Raises
        ------
        ConfigurationError
            When the state of that time cannot be told.
        """
        said = f"The state of {moment} was asked of {self.name} itself, which tells the present one alone."
        raise ConfigurationError(said, "Ask the store, by known_at.", setting="as_of", variable=None)

    @contextmanager
    def translated_errors(self) -> Iterator[None]:
        """Turn the database's errors into this package's."""
        yield

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """Give a connection for reading; each statement sees the newest state."""
        with self.translated_errors(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """Give a connection in a writing transaction, committed at the end, rolled back on an error."""
        engine = self.engine.execution_options(sqlite_begin="IMMEDIATE")
        with self.translated_errors(), engine.begin() as connection:
            yield connection

    @contextmanager
    def session_manager(self) -> Iterator[Session]:
        """Give a session for SQL of one's own: committed at the end, rolled back on an error.

        Records loaded in it stay usable after it.
        """
        with self.translated_errors():
            engine = self.engine.execution_options(sqlite_begin="DEFERRED")
            with Session(engine, expire_on_commit=False) as session, session.begin():
                yield session

    def fetch(self, statement: Select[Any], parameters: Mapping[str, Any]) -> list[R]:
        """Records of a statement that selects the table's columns."""
        with self.connect() as connection:
            build = record_builder(self.orm_class)
            return [build(row) for row in connection.execute(statement, dict(parameters))]

    def fetch_many(self, statement: Select[Any], parameters: Sequence[Mapping[str, Any]], *, rows: bool) -> list[Any]:
        """Records of a statement for each of many parameters; or, with `rows`, what it gives as it is."""
        with self.connect() as connection:
            build = record_builder(self.orm_class)
            found = [connection.execute(statement, dict(each)).all() for each in parameters]
        return found if rows else [[build(row) for row in each] for each in found]

    def execute(self, statement: Executable) -> Sequence[Any]:
        """Rows of a statement that reads."""
        with self.connect() as connection:
            return connection.execute(statement).all()

    def add(self, records: R | Iterable[R]) -> None:
        """Insert one record or many, in one transaction and one bulk statement.

        Raises
        ------
        DuplicateCalibrationError
            When an id or file name is taken; then nothing is inserted.
        HeaderError, UnsafeFilenameError
            When a record lacks a needed value or holds an unusable one.
        """
        batch = records_of(records)
        given = [record.to_dict() for record in batch]
        rows = [self.orm_class.complete_row(values, f"the record {values['filename']}") for values in given]
        with self.begin() as connection:
            self.insert(connection, rows)
        for record, values, row in zip(batch, given, rows, strict=True):
            for column, value in row.items():
                if values[column] != value:
                    setattr(record, column, value)

    def insert(self, connection: Connection, rows: list[dict[str, Any]]) -> None:
        """Insert complete rows in a transaction; sets their `last_updated`."""
        stamp = now_iso()
        for row in rows:
            row["last_updated"] = stamp
        if not rows:
            return
        try:
            with connection.begin_nested():  # so that none of these rows is there when the taken one is looked for
                connection.execute(insert(self.orm_class.table()), rows)
        except exc.IntegrityError as error:
            if not _is_of_a_taken_value(error):
                raise
            taken = self._taken(connection, rows)
            if taken is not None:
                raise self._duplicate(taken, taken) from error
            for duplicate in self._not_unique(connection, rows):
                raise duplicate from error
            raise  # another rule of the table

    def _duplicate(self, filename: str, existing: str) -> DuplicateCalibrationError:
        return DuplicateCalibrationError(
            f"{filename} is already in {self.name}{'' if filename == existing else f' as {existing}'}.",
            "Nothing was added; give it an id and a file name that are free.",
            filename=filename,
            existing=existing,
        )

    def _taken(self, connection: Connection, rows: list[dict[str, Any]]) -> str | None:
        table = self.orm_class.table()
        seen: set[str] = set()
        for row in rows:
            clash = (table.c.id == row["id"]) | (table.c.filename == row["filename"])
            if (
                row["id"] in seen
                or row["filename"] in seen
                or connection.execute(select(table.c.id).where(clash)).first()
            ):
                return str(row["filename"])
            seen.update((row["id"], row["filename"]))
        return None

    def _not_unique(self, connection: Connection, rows: list[dict[str, Any]]) -> Iterator[DuplicateCalibrationError]:
        """Give errors for values of a plugin's unique columns that another record has."""
        table = self.orm_class.table()
        for column in (column for column in table.c if column.unique):
            names: dict[Any, str] = {}
            for row in (row for row in rows if row[column.key] is not None):
                value, filename = row[column.key], row["filename"]
                existing = connection.scalar(select(table.c.filename).where(column == value))
                existing = existing or names.get(value)
                if existing is not None:
                    yield DuplicateCalibrationError(
                        f"The {column.key} of {filename} is {shown(value)}, which {existing} has in {self.name}.",
                        f"Nothing was added; {column.key} is to be another one for each calibration.",
                        filename=filename,
                        existing=existing,
                    )
                names[value] = filename

    def query(
        self,
        cal_type: str | Iterable[str] | None = None,
        date_time_start: str | datetime | None = None,
        date_time_end: str | datetime | None = None,
        *,
        newest: int | None = None,
        **columns: Any,
    ) -> list[R]:
        """Records that match, ordered by time, then id.

        Parameters
        ----------
        cal_type : str, optional
        date_time_start, date_time_end : str or datetime, optional
            Bounds of `datetime_obs`, UTC, both inclusive; a date alone as the end means all of that day.
        newest : int, optional
            Only the newest ones, this many.
        **columns
            Values to be equal, of several in a list any; None asks for a null.

        Raises
        ------
        HeaderError
            For an unknown column name or an unusable value.
        ConfigurationError
            For a cal type that the class does not declare, where it declares any, and that no record has.
        """
        statement = self._matching(select(self.orm_class.table()), cal_type, date_time_start, date_time_end, columns)
        time, id_ = self.orm_class.table().c.datetime_obs, self.orm_class.table().c.id
        if newest is None:
            return self.fetch(statement.order_by(time, id_), {})
        statement = statement.order_by(time.desc(), id_.desc()).limit(count_of("newest", newest))
        return self.fetch(statement, {})[::-1]

    def count(
        self,
        cal_type: str | Iterable[str] | None = None,
        date_time_start: str | datetime | None = None,
        date_time_end: str | datetime | None = None,
        **columns: Any,
    ) -> int:
        """Count what `query` would give."""
        counting = select(func.count()).select_from(self.orm_class.table())
        return int(self.execute(self._matching(counting, cal_type, date_time_start, date_time_end, columns))[0][0])

    def _matching(
        self, statement: Select[Any], cal_type: Any, start: Any, end: Any, columns: Mapping[str, Any]
    ) -> Select[Any]:
        table = self.orm_class.table()
        check_names(self.orm_class, columns, "the query")
        asked = dict(columns) if cal_type is None else {"cal_type": cal_type, **columns}
        for name, value in asked.items():
            statement = statement.where(self._is_any_of(table.c[name], value))
        first = time_bound(table.c.datetime_obs, start, "the query")
        if first is not None:
            statement = statement.where(table.c.datetime_obs >= first)
        last = time_bound(table.c.datetime_obs, end, "the query")
        if last is not None:
            last = f"{last}T23:59:59.999" if len(last) == 10 else last
            statement = statement.where(table.c.datetime_obs <= last)
        if first is not None and last is not None and last < first:
            said = f"The end of the query, {last}, is before its start, {first}."
            raise ConfigurationError(said, "Give the earlier time as the start.", setting="date_time_end")
        return statement

    def _is_any_of(self, column: Column[Any], value: Any) -> ColumnElement[bool]:
        """Clause of a column that holds a value; of several, in a list or another collection, any of them."""
        if isinstance(value, list | tuple | set | frozenset) or getattr(value, "ndim", 0) == 1:
            return or_(false(), *(self._is_one(column, each) for each in value))
        return self._is_one(column, value)

    def _is_one(self, column: Column[Any], value: Any) -> ColumnElement[bool]:
        asked = normal_form(column, value, "the query")
        if isinstance(asked, str) and asked != asked_name(asked):
            said = f"The {column.key} of the query is {shown(value)}, which is not valid text."
            raise HeaderError(
                said, "Write it without these characters.", column=column.key, keywords=(), source="the query"
            )
        if column.key == "cal_type" and asked is not None:
            self.check_type(asked)
        return self._is(column, asked)

    def check_type(self, cal_type: str) -> None:
        """Check that the class declares a cal type, or that a record has it; where it declares none, any may be asked.

        Raises
        ------
        ConfigurationError
        """
        known, column = self.orm_class.cal_types, self.orm_class.table().c.cal_type
        if not known or cal_type in known:
            return
        if cal_type == asked_name(cal_type) and self.execute(select(column).where(column == cal_type).limit(1)):
            return
        raise ConfigurationError(
            f"{self.orm_class.instrument_name} has no cal type {cal_type!r}, and no calibration in {self.name} "
            "is of that type.",
            f"{did_you_mean(cal_type, known)}Its types are {', '.join(known)}.",
            setting="cal_type",
        )

    def _is(self, column: Column[Any], value: Any) -> ColumnElement[bool]:
        """Clause of a column that holds a value in normal form."""
        is_equal: ColumnElement[bool] = column == value
        return is_equal

    def query_by_id(self, id: str) -> R:
        """Record of an id.

        Raises
        ------
        CalibrationNotFoundError
        """
        return self._only(self.orm_class.table().c.id, id)

    query_id = FormerMethod("query_id")

    def query_by_filename(self, filename: str) -> R:
        """Record of a file name.

        Raises
        ------
        CalibrationNotFoundError
        """
        return self._only(self.orm_class.table().c.filename, filename)

    def find(self, id_or_filename: str) -> R:
        """Record of an id or of a file name; of the path of a file, that of its name.

        Raises
        ------
        CalibrationNotFoundError
        """
        asked = asked_name(id_or_filename)
        found = self.fetch(_by(self.orm_class, "id"), {"value": asked})
        return found[0] if found else self.query_by_filename(os.path.basename(asked))  # noqa: PTH119 - of any text

    def _only(self, column: Any, value: str) -> R:
        found = self.fetch(_by(self.orm_class, column.key), {"value": asked_name(value)})
        if not found:
            raise CalibrationNotFoundError(
                f"No calibration in {self.name} has the {column.key} {shown(value)}.",
                "koa-cal list shows what there is.",
                asked={column.key: value},
            )
        return found[0]

    def get_last_updated(self) -> str | None:
        """Newest `last_updated`, UTC; None in an empty table."""
        newest: str | None = self.execute(select(func.max(self.orm_class.table().c.last_updated)))[0][0]
        return newest

    def __len__(self) -> int:
        return self.count()

    def __bool__(self) -> bool:
        return True

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def asked_name(given: object) -> str:
    """Give an id or file name that is asked for as text that every database takes; what is none finds nothing.

    A record stands for its id, bytes for their text.
    """
    given = given.id if isinstance(given, ORMCalibration) else given
    given = given.decode("utf-8", "backslashreplace") if isinstance(given, bytes) else given
    try:
        text = str(given)
    except Exception:  # noqa: BLE001 - of a value's own code, or a number of 5,000 digits
        text = shown(given)
    return text.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()


def _is_of_a_taken_value(error: exc.IntegrityError) -> bool:
    """Whether SQLite or PostgreSQL refuses a value because another row has it."""
    reason = getattr(error.orig, "sqlite_errorname", None) or getattr(error.orig, "pgcode", None)
    return reason in {"SQLITE_CONSTRAINT_PRIMARYKEY", "SQLITE_CONSTRAINT_UNIQUE", "23505"}


@lru_cache(maxsize=64)
def _by(orm_class: type[ORMCalibration], column: str) -> Select[Any]:
    table = orm_class.table()
    return select(table).where(table.c[column] == bindparam("value", None))
