"""The SQLite file of one instrument, on the user's machine."""

from __future__ import annotations

import json
import os
import shlex
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar, cast

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Select,
    exc,
    select,
)
from sqlalchemy.dialects.sqlite import dialect as sqlite_dialect
from sqlalchemy.schema import CreateTable

from ..disk.checksums import Signature
from ..disk.names import folded
from ..disk.reading import fault_of_kind, leave_to_sqlite
from ..disk.writing import cannot_be_written, hidden_name
from ..exceptions import (
    CacheError,
    CalibrationNotFoundError,
    SchemaMismatchError,
    SchemaWarning,
    warn,
)
from ..instrument.detached import record_builder
from ..instrument.judged import Said, know_judgements
from ..instrument.orm import ORMCalibration
from .backup import copies_kept
from .driver import GuardedConnection
from .file_names import has_name, stored_names
from .hints import hint
from .history import one_moment, one_moment_in_sessions
from .judgements import all_said_of, holding, last_said_of, select_judged, write_judgement
from .kept_apart import Conflict, select_conflict, select_conflicts
from .soundness import strangers
from .sqlite import BUSY_TIMEOUT, NO_FILE, ReadConnections, driver_of, make_read_only, quote, sqlite_engine
from .table import CalibrationDatabase, asked_name
from .together import gives_one_row, read_together
from .upgrade import Standing, upgrade
from .versions import VERSIONS, Version, leading_class
from .views import Readable, views

R = TypeVar("R", bound=ORMCalibration)

_ERRORS = (exc.DBAPIError, exc.TimeoutError, sqlite3.Error)


class LocalDatabase(CalibrationDatabase[R]):
    """The SQLite file of one instrument; made where it is missing, and given what an older version did not make.

    What cannot be written is read as it is, where that is safe.

    Parameters
    ----------
    orm_class : type
    path : pathlib.Path
    may_be_missing : bool
        Whether a file that cannot be made is taken for one without rows.

    Attributes
    ----------
    path : pathlib.Path
    had_records : bool
        Whether there were any when it was opened.
    was_new : bool
        Whether it had no table of the class when it was opened.
    unnoted : dict
        Checksums and signatures of files that were hashed and could not be noted, by their keys.

    Raises
    ------
    CacheError
        When the file cannot be opened or is not an SQLite database.
    SchemaMismatchError
        When its table lacks columns of the class that cannot be added, or it needs an upgrade and cannot be written.
    """

    def __init__(self, orm_class: type[R], path: Path, *, may_be_missing: bool = False) -> None:
        leave_to_sqlite(path)
        _make(path)
        self.has_file = not may_be_missing or os.path.lexists(path)
        super().__init__(orm_class, sqlite_engine(path if self.has_file else NO_FILE), str(path))
        one_moment_in_sessions(self.engine, orm_class)
        self._readers = ReadConnections(self.engine)
        self._newer_core: Version | None = None
        self._is_up_to_date = False
        self._unwritable: CacheError | None = None
        self._leading: tuple[str, str] | None = None
        self.path = path
        self.unnoted: dict[str, tuple[str, Signature]] = {}
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise

    def _prepare(self) -> None:
        with self.driver_connection() as connection:
            standing = Standing.of(connection, self.orm_class)
            self._check_ours(standing.found.columns)
            standing.check(str(self.path))
            name = self.orm_class.table().name
            some = f"SELECT 1 FROM {quote(name)} LIMIT 1"  # noqa: S608
            self.had_records = name in standing.found.columns and connection.execute(some).fetchone() is not None
            self.was_new = name not in standing.found.columns
        self._newer_core, self._leading = standing.newer_core, standing.leading
        if not self.has_file:
            self._unwritable = _not_made(self.path)
            self._only_read()
        elif standing.newer_core is not None:
            self._only_read()
        elif not standing.is_up_to_date:
            try:
                self._upgrade()
            except CacheError as error:
                if not cannot_be_written(error):
                    raise
                self._unwritable = error
                self._only_read()
        self._is_up_to_date = self._newer_core is None and self._unwritable is None

    def _only_read(self) -> None:
        """Read what is there in the place of an upgrade."""
        make_read_only(self.engine, views(self.readable()))

    def readable(self) -> Readable:
        """Give what the database has of the class's tables; see `Readable.of`."""
        if self._is_up_to_date:
            return Readable.whole(self.orm_class)
        with self.driver_connection() as connection:
            return Readable.of(connection, self.orm_class, str(self.path))

    @property
    def refusal(self) -> CacheError | SchemaMismatchError | None:
        """The error of each write where none can be: to a newer core's database, or to one that was not upgraded."""
        if self._newer_core is not None:
            return self._of_newer_core(self._newer_core)
        return None if (error := self._unwritable) is None else CacheError(error.message, error.hint, path=self.path)

    def refuse(self, error: CacheError) -> None:
        """Make each write this error from now on."""
        self._unwritable = error
        self._readers.close()
        self._only_read()

    def check_writable(self) -> None:
        """Check that no refusal of writes is known.

        Raises
        ------
        CacheError, SchemaMismatchError
        """
        if (refusal := self.refusal) is not None:
            raise refusal

    def _check_ours(self, columns: Mapping[str, set[str]]) -> None:
        if others := strangers(list(columns), self.orm_class):
            older = [name for name in others if columns[name] >= {"id", "filename"}]
            raise CacheError(
                f"The database {self.path} is another program's, with the tables {', '.join(others)}.",
                f"Where it is the older koa_middleware's, name another cache and run koa-cal import-legacy "
                f"{shlex.quote(str(self.path.parent.parent))}."
                if older
                else "Choose another one with KOA_LOCAL_DATABASE_FILENAME, or let koa-cal rebuild set it aside.",
                path=self.path,
            )

    def _upgrade(self) -> None:
        with copies_kept(self.path) as keep_copy, super().begin() as writing:
            told = upgrade(writing, self.orm_class, str(self.path), keep_copy)
            self._leading = Standing.of(driver_of(writing), self.orm_class).leading
        for sentence in told:
            warn(f"{sentence} ({self.path})", SchemaWarning)

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """Give a connection in a writing transaction, committed at the end, rolled back on an error.

        All that it changes happens at one time, also for whom asks for a state of the past.

        Raises
        ------
        SchemaMismatchError
            When a newer class has changed the database since it was opened, so that this one cannot write to it.
        """
        with super().begin() as connection:
            driver = driver_of(connection)
            self.check_unchanged(driver)
            with one_moment(driver, self.orm_class):
                yield connection

    def check_unchanged(self, connection: sqlite3.Connection) -> None:
        """Check, in a writing transaction, that no newer class has changed what this one knows.

        Raises
        ------
        SchemaMismatchError
        """
        leading = leading_class(connection, self.orm_class.instrument_name)
        if leading != self._leading:
            Standing.of(connection, self.orm_class).check(str(self.path))
            self._leading = leading

    def fetch(self, statement: Select[Any], parameters: Mapping[str, Any]) -> list[R]:
        """Records of a statement that selects the table's columns.

        See `rows` for why it does not go through SQLAlchemy's execution.
        """
        build = record_builder(self.orm_class, raw=True)
        return [build(row) for row in self.rows(statement, parameters)]

    def rows(self, statement: Select[Any], parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Rows of a statement as the driver gives them.

        The statement is compiled once and then goes to the driver as text, which takes half the time of an
        execution by SQLAlchemy.
        """
        sql, constants = compiled(statement)
        try:
            return self._readers.read(sql, {**constants, **parameters})
        except _ERRORS as error:
            raise self._translated(error) from error

    def fetch_many(self, statement: Select[Any], parameters: Sequence[Mapping[str, Any]], *, rows: bool) -> list[Any]:
        """Records of a statement for each of many parameters; or, with `rows`, what it gives as it is.

        What gives one row is asked for in one statement. Else they are read in portions, each in one transaction, since
        taking the file's lock takes longer than the statement; a writer waits for a portion.
        """
        try:
            if gives_one_row(statement):
                found = read_together(statement, parameters, self._readers.read)
            else:
                sql, constants = compiled(statement)
                found = self._readers.read_many(sql, [{**constants, **each} for each in parameters])
        except _ERRORS as error:
            raise self._translated(error) from error
        build = record_builder(self.orm_class, raw=True)
        return found if rows else [[build(row) for row in each] for each in found]

    @contextmanager
    def driver_connection(self) -> Iterator[sqlite3.Connection]:
        """Give a connection of the driver's own, for bulk statements; it opens no transaction by itself."""
        with self.translated_errors():
            pooled = self.engine.raw_connection()
            try:
                yield cast(sqlite3.Connection, pooled.driver_connection)
            finally:
                pooled.close()

    def query_by_id(self, id: str) -> R:
        """Record of an id; also one of the archive that is kept apart because a LOCAL one has its name.

        Raises
        ------
        CalibrationNotFoundError
        """
        try:
            return super().query_by_id(id)
        except CalibrationNotFoundError:
            apart = self.conflicts(asked_name(id))
            if not apart:
                raise
            return record_builder(self.orm_class)([apart[0].record.get(name) for name in self.orm_class.column_names()])

    def versions(self) -> list[Version]:
        """Versions of core and of the instrument's class that opened the database; the class that leads comes last."""
        with self.driver_connection() as connection:
            found = Standing.of(connection, self.orm_class)
        return [*found.core, *found.plugins]

    def query_by_filename(self, filename: str) -> R:
        """Record of a file name; names that some disk takes for one are one.

        Raises
        ------
        CalibrationNotFoundError
        """
        try:
            return super().query_by_filename(filename)
        except CalibrationNotFoundError:
            table = self.orm_class.table()
            found = self.fetch(select(table).where(has_name(table, asked_name(filename))), {})
            if not found:
                raise
            return found[0]

    def _is(self, column: Column[Any], value: Any) -> ColumnElement[bool]:
        is_name = column.key == "filename" and value is not None
        return has_name(self.orm_class.table(), value) if is_name else super()._is(column, value)

    def insert(self, connection: Connection, rows: list[dict[str, Any]]) -> None:
        """Insert complete rows in a transaction; sets their `last_updated`.

        Raises
        ------
        DuplicateCalibrationError
            When an id is taken, or a file name that some disk takes for the same.
        """
        names: dict[str, str] = {}
        for row in rows:
            first = names.setdefault(folded(row["filename"]), row["filename"])
            if first != row["filename"]:
                raise self._duplicate(row["filename"], first)
        sql = stored_names(self.orm_class.table().name, "SELECT value FROM json_each(?1)")
        for (existing,) in connection.exec_driver_sql(sql, (json.dumps(list(names)),)):
            raise self._duplicate(names[folded(existing)], existing)
        super().insert(connection, rows)

    def judge(self, record: R, quality: str | None, reason: str, who: str) -> None:
        """Keep the store's own judgement of a record; None takes it back.

        Raises
        ------
        CalibrationNotFoundError
            When there is none to take back.
        """
        with self.begin() as connection:
            write_judgement(connection, record, quality, reason, who)

    def judged_here(self) -> dict[str, Said]:
        """Give the store's own judgements that hold, by id."""
        return self.judged_at(None)

    def judged_at(self, moment: str | None) -> dict[str, Said]:
        """Give the store's own judgements that hold, or held at a time, by id."""
        found = self.rows(select_judged(self.orm_class), {})
        return holding(row for row in found if moment is None or row[-1] <= moment)

    def all_said_of(self, id: str) -> list[Said]:
        """All that was said of a calibration's quality, at the archive and here, oldest first."""
        with self.connect() as connection:
            return all_said_of(connection, self.orm_class, id)

    def last_said_of(self, ids: Iterable[str]) -> dict[str, Said]:
        """What was said last of the quality of some calibrations, by id; the store's own judgement comes first."""
        with self.connect() as connection:
            return last_said_of(connection, self.orm_class, ids)

    def conflicts(self, id: str | None = None) -> list[Conflict]:
        """Rows of the archive that are kept apart, by file name; or the one of an id."""
        statement = select_conflicts(self.orm_class) if id is None else select_conflict(self.orm_class)
        return list(map(Conflict._make, sorted(self.rows(statement, {} if id is None else {"id": asked_name(id)}))))

    def find(self, id_or_filename: str) -> R:
        """Record of an id, also of one that is kept apart, or of a file name.

        Raises
        ------
        CalibrationNotFoundError
        """
        try:
            return super().find(id_or_filename)
        except CalibrationNotFoundError as error:
            try:
                return self.query_by_id(id_or_filename)
            except CalibrationNotFoundError:
                raise error from None

    @contextmanager
    def translated_errors(self) -> Iterator[None]:
        """Turn SQLite's errors into `CacheError`; a column that needs a value and is unknown, `SchemaMismatchError`."""
        try:
            yield
        except _ERRORS as error:
            first = _before_savepoint(error)
            raise self._translated(first) from first

    def _translated(self, error: Exception) -> CacheError | SchemaMismatchError:
        cause = error.orig if isinstance(error, exc.DBAPIError) else error
        if getattr(cause, "sqlite_errorname", None) == "SQLITE_CONSTRAINT_NOTNULL":
            table, _, column = str(cause).removeprefix("NOT NULL constraint failed: ").partition(".")
            if column not in self.orm_class.metadata.tables[table].c:
                return self._needs_unknown(table, column)
        reason = str(cause)
        if "readonly" in reason and (refusal := self.refusal) is not None:
            return refusal
        if reason.startswith(("no such column", "table ")) and (changed := self._changed_meanwhile()) is not None:
            return changed
        said = hint(reason, self.path, BUSY_TIMEOUT)
        if getattr(cause, "sqlite_errorname", None) == "SQLITE_READONLY_DBMOVED":
            said = "Another file has its name now, which koa-cal rebuild may have made; open the store again."
        return CacheError(f"The database {self.path} cannot be used: {reason}.", said, path=self.path)

    def _of_newer_core(self, core: Version) -> SchemaMismatchError:
        return SchemaMismatchError(
            f"The database {self.path} was made by koa-middleware {core.version}; this older one only reads it.",
            f"Install koa-middleware {core.version} or newer.",
            database=str(self.path),
            table=self.orm_class.table().name,
            missing=(),
        )

    def _changed_meanwhile(self) -> SchemaMismatchError | None:
        """Give what a newer class did to a column since the database was opened, where that is why one is missing."""
        try:
            with closing(GuardedConnection(str(self.path))) as connection:
                Standing.of(connection, self.orm_class).check(str(self.path))
        except SchemaMismatchError as error:
            return error
        return None

    def _needs_unknown(self, table: str, column: str) -> SchemaMismatchError:
        return SchemaMismatchError(
            f"The table {table} in {self.path} needs a value in {column}, a column that the class "
            f"{self.orm_class.__name__} does not have.",
            "A newer version of the plugin made it; install that version, or use another cache folder.",
            database=str(self.path),
            table=table,
            missing=(column,),
        )

    def close(self) -> None:
        """Close all connections."""
        self._readers.close()
        super().close()


def _before_savepoint(error: Exception) -> Exception:
    """Give the error for which SQLite rolled back all, where it is hidden by a savepoint that is gone with that."""
    missing = error.__cause__
    before = None if missing is None else missing.__context__
    return before if str(missing).startswith("no such savepoint") and isinstance(before, _ERRORS) else error


def _not_made(path: Path) -> CacheError:
    folder = next((each for each in path.parents if each.is_dir()), path.parent)
    said = f"The database {path} cannot be made: {folder} cannot be written."
    return CacheError(said, "Correct its permissions, or choose another cache folder.", path=path)


def _make(path: Path) -> None:
    """Make a database where there is none: SQLite itself would let no group write, whatever the umask says.

    It has a table before it has its name, so that a database without a byte is always one that was lost. It is closed
    by then, so that nobody but SQLite ever closes a database that is in use. Where links do not work SQLite makes the
    file, and it tells what is wrong with a folder.
    """
    if os.path.lexists(path):
        _check_file(path)
        return
    made = hidden_name(path.parent)
    with suppress(OSError, sqlite3.Error):
        made.touch(exist_ok=False)
        try:
            _fill(made)
            os.link(made, path)
        finally:
            made.unlink()


def _fill(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = MEMORY")  # nothing is left beside it when this process is killed
        connection.execute(str(CreateTable(VERSIONS)))


def _check_file(path: Path) -> None:
    fault = ""
    with suppress(OSError):  # a link to nothing, where SQLite makes a file, or what SQLite tells
        fault = fault_of_kind(path)
    if fault:
        said = "Move it away, or choose another cache folder."
        raise CacheError(f"The database {path} cannot be used: {fault}.", said, path=path)


_DIALECT = sqlite_dialect(paramstyle="named")
know_judgements(_DIALECT)


@lru_cache(maxsize=512)
def compiled(statement: Select[Any]) -> tuple[str, dict[str, Any]]:
    """SQL text of a statement, with named parameters, and the values that stand in the statement itself."""
    compiled = statement.compile(dialect=_DIALECT, compile_kwargs={"render_postcompile": True})
    return str(compiled), dict(compiled.params)
