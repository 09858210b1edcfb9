"""A cache of the older ``koa_middleware``, brought in; both of its eras left a SQLite table with a row for each file.

The first era made the table with SQLAlchemy, under a name of the class's, the second with sqlite-utils, under the
instrument's. Files stand in ``calibrations/``, in later releases in a folder of the instrument's there, and have their
MD5 digest in the column ``file_md5``.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from ..database.sqlite import quote
from ..disk.checksums import digest_of
from ..disk.names import check_filename, folded
from ..disk.reading import is_left_to_sqlite
from ..exceptions import KoaMiddlewareError, SourceFileError
from ..fetch.progress import counted
from ..instrument.orm import ORMCalibration
from .bundle import BundleImport
from .bundle_columns import to_json
from .bundle_file import Bundle, Entry, entry_of
from .bundle_head import Head

#: Columns that every table of the older package has.
_ALWAYS = {"id", "filename"}

#: The file's MD5 digest, in later releases.
_MD5 = "file_md5"

#: Left out: this machine's clock at the time of an insertion, in its own zone.
_LEFT_OUT = {_MD5, "last_updated"}


#: Columns of the first era, and what they are called now.
_RENAMED = {"master": "master_cal", "instera": "instrument_era"}

#: How a database begins, and how often one is copied that is being written.
_SQLITE, _TRIES = b"SQLite format 3\0", 5


class LegacyTable(NamedTuple):
    """A table of the older package.

    Attributes
    ----------
    database : pathlib.Path
    name : str
    types : dict
        The declared type of each column.
    rows : list of dict
    """

    database: Path
    name: str
    types: dict[str, str]
    rows: list[dict[str, Any]]


def databases_in(folder: Path) -> list[Path]:
    """Give the databases of a cache, by their names.

    Raises
    ------
    SourceFileError
        When there is none.
    """
    found = sorted(path for path in (folder / "database").glob("*") if _is_database(path))
    if not found:
        raise SourceFileError(
            f"{folder} is no cache: it has no database in database/.",
            "Name the folder that KOA_CALIBRATION_CACHE named for the older koa_middleware.",
            path=folder,
        )
    return found


def _is_database(path: Path) -> bool:
    if not path.is_file():
        return False
    if path.suffix == ".db" or is_left_to_sqlite(path.resolve()):
        return True
    with path.open("rb") as stream:
        return stream.read(len(_SQLITE)) == _SQLITE


def read_table(folder: Path, orm_class: type[ORMCalibration], report: BundleImport) -> LegacyTable:
    """Find and read the older package's table of an instrument; tells of rows beside it that are not read.

    Raises
    ------
    SourceFileError
        When there is none, when several may be meant, or when a database cannot be read.
    """
    found = [table for path in databases_in(folder) for table in _tables_of(path)]
    named = [table for table in found if table.name.lower() == orm_class.instrument_name]
    if len(chosen := named or found) == 1:
        for other in found:
            if other is not chosen[0] and other.database == chosen[0].database and other.rows:
                said = f"Its rows in {other.database.name}, {len(other.rows)} in all, are not read."
                report.failed[f"table {other.name}"] = f"{said} Move them to the table {chosen[0].name}."
        return chosen[0]
    if not found:
        said = f"No database in {folder / 'database'} has a table of the older koa_middleware."
        raise SourceFileError(said, "Name the folder of an older cache.", path=folder)
    tables = ", ".join(f"{table.name} in {table.database.name}" for table in chosen)
    said = f"{folder} has several tables that may be {orm_class.instrument_name}'s: {tables}."
    raise SourceFileError(said, "Move the databases of other instruments away, and try again.", path=folder)


def _tables_of(path: Path) -> Iterator[LegacyTable]:
    try:
        with _opened(path.resolve()) as connection:
            names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            for name in sorted(names):
                types = {row[1]: row[2] for row in connection.execute(f"PRAGMA table_info({quote(name)})")}
                if types.keys() >= _ALWAYS and not _is_ours(name, names):
                    rows = connection.execute(f"SELECT * FROM {quote(name)}")  # noqa: S608 - the database's own name
                    yield LegacyTable(path, name, types, [dict(zip(types, row, strict=True)) for row in rows])
    except (sqlite3.Error, OSError) as error:
        said = f"{path} cannot be read: {error}."
        raise SourceFileError(said, "Copy it again from where it is whole.", path=path) from error


def _is_ours(name: str, names: list[str]) -> bool:
    """Tell whether this package made a table, for whatever instrument; each has a feed beside it."""
    return any(name.startswith(feed.removesuffix("_feed")) for feed in names if feed.endswith("_calibrations_feed"))


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a database for reading, with what a journal beside it says, so that nothing there is touched.

    It is a copy that is opened, but where the database is a store's of this process.
    """
    with tempfile.TemporaryDirectory(prefix="koa-legacy-") as name:
        opened = path
        if not is_left_to_sqlite(path):
            opened = Path(name) / path.name
            _copy(path, opened)
        with closing(sqlite3.connect(opened)) as connection:
            connection.execute("PRAGMA query_only = 1")
            connection.text_factory = lambda text: text.decode("utf-8", "backslashreplace")
            yield connection


def _copy(path: Path, copy: Path) -> None:
    """Copy a database and what stands beside it; anew where somebody writes to it meanwhile."""
    sources = [
        source for suffix in ("", "-journal", "-wal") if (source := path.with_name(path.name + suffix)).is_file()
    ]
    for _ in range(_TRIES):
        before = [(source.stat().st_size, source.stat().st_mtime_ns) for source in sources]
        for source in sources:
            shutil.copyfile(source, copy.with_name(copy.name + source.name.removeprefix(path.name)))
        if before == [(source.stat().st_size, source.stat().st_mtime_ns) for source in sources]:
            return
    raise SourceFileError(f"{path} is being written.", "End the process that writes to it.", path=path)


def as_bundle(folder: Path, table: LegacyTable, orm_class: type[ORMCalibration], report: BundleImport) -> Bundle:
    """Give what can be taken in, as if a bundle held it; says in the report what cannot."""
    places = _files_of(folder, orm_class.instrument_name)
    paths: dict[str, Path] = {}
    entries: list[Entry] = []
    ids: set[str] = set()
    for number, row in enumerate(counted(table.rows, len(table.rows), "file"), 1):
        name = str(row["filename"] or "") or f"row {number}"
        try:
            path = _checked(row, name, places)
            if name in paths or row["id"] in ids:
                what = "file name" if name in paths else "id"
                raise _left(f"Row {number}, {name}, has the {what} of another row.", "Correct the table.", path)
            entry = entry_of(_columns(row, path, orm_class), path)
        except (KoaMiddlewareError, OSError) as error:
            report.failed[f"{name} (row {number})" if name in paths or name in report.failed else name] = str(error)
        else:
            paths[name] = path
            ids.add(row["id"])
            entries.append(entry)
    own = {name.lower() for name in orm_class.column_names()}
    known = own | _LEFT_OUT | {old for old, new in _RENAMED.items() if new in own}
    others = {name: type_ or "TEXT" for name, type_ in table.types.items() if name.lower() not in known}
    if others and entries:
        named = ", ".join(others)
        report.noticed.append(f"{orm_class.instrument_name} has no column {named}; its values are kept, for no rule.")
    return Bundle(
        Head(orm_class.instrument_name, others=others), entries, lambda entry: paths[entry.filename].open("rb")
    )


def _files_of(folder: Path, instrument: str) -> dict[str, list[Path]]:
    """Give the files of an older cache by their names, those in the instrument's own folder first."""
    calibrations = folder / "calibrations"
    folders = [*(each for each in calibrations.glob("*") if folded(each.name) == instrument), calibrations]
    found: dict[str, list[Path]] = {}
    for path in (path for each in folders if each.is_dir() for path in each.iterdir() if path.is_file()):
        found.setdefault(path.name, []).append(path)
    return found


def _checked(row: dict[str, Any], name: str, places: dict[str, list[Path]]) -> Path:
    """Give the file of a row.

    Raises
    ------
    UnsafeFilenameError, SourceFileError
    """
    lacking = [column for column in sorted(_ALWAYS) if not (isinstance(row[column], str) and row[column].strip())]
    if isinstance(row["id"], int):
        raise _left(f"{name} has the id {row['id']}, which is a number, no text.", "Correct the table.", None)
    if lacking:
        raise _left(f"{name} has no {lacking[0]}.", "Correct the table, or register the file.", None)
    paths = places.get(check_filename(name))
    if not paths:
        raise _left(f"{name} is missing in the older cache.", "Put it into calibrations/ there and import again.", None)
    if not (said := row.get(_MD5)):
        return paths[0]
    digests = {digest_of(path, "md5").removeprefix("md5:"): path for path in paths}
    if (path := digests.get(str(said).strip().lower())) is None:
        fault = f"{name} has the MD5 digest {' or '.join(digests)}, its row says {said}."
        raise _left(fault, "Copy the file again from where it is whole.", paths[0])
    return path


def _left(said: str, hint: str, path: Path | None) -> SourceFileError:
    return SourceFileError(said, hint, path=path)


def _columns(row: dict[str, Any], path: Path, orm_class: type[ORMCalibration]) -> dict[str, Any]:
    """Give a row's values as this package has them."""
    values = {name: to_json(value) for name, value in row.items() if name not in _LEFT_OUT}
    for old, new in _RENAMED.items():
        if old in values and new in orm_class.column_names():
            values.setdefault(new, values.pop(old))
    return values | {"checksum": digest_of(path), "file_size": path.stat().st_size, "last_updated": None}
