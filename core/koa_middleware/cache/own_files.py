"""Files of an instrument that its database does not know.

A database that has no records was lost, unless it is new and the files came later: then a registration was cut off.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import select

from ..database.feed import feed_table
from ..database.local import LocalDatabase
from ..database.soundness import is_lost
from ..disk.writing import cache_errors
from ..exceptions import CacheError, KoaMiddlewareError, warn
from ..instrument.hooks import values_by
from ..instrument.orm import ORMCalibration
from .folder import Cache
from .named import databases_beside, names_in
from .placing import Holdings

#: Files that are read to tell whether one is the instrument's.
_LOOKED_AT = 20

_ADVICE = "koa-cal rebuild brings back what is left of its records; to register the files again would lose the rest."


def row_of(orm_class: type[ORMCalibration], path: Path) -> dict[str, Any]:
    """Give the row that a file's headers and name say, as a registration would.

    Raises
    ------
    HeaderError, SourceFileError, UnsafeFilenameError, InvalidPluginError
        When it is none of the instrument's calibrations.
    """
    return orm_class.complete_row(values_by(orm_class, "values_from_file", str(path), path), str(path))


def files_but(cache: Cache, names: set[str]) -> Iterator[Path]:
    """Give the files of the cache but those of some names."""
    with cache_errors(cache.calibrations, "read"), os.scandir(cache.calibrations) as entries:
        for entry in entries:  # many, at each opening of a database that has no records
            if entry.name not in names and not entry.name.startswith(".") and Path(entry.path).is_file():
                yield Path(entry.path)


def has_files_of(orm_class: type[ORMCalibration], cache: Cache, database: Path) -> bool:
    """Whether among the files that no other database names there is one that the class can read."""
    return next(_files_of(orm_class, cache, database), None) is not None


def _files_of(orm_class: type[ORMCalibration], cache: Cache, database: Path) -> Iterator[Path]:
    """Give files that no other database names and the class can read, of the first few that are looked at."""
    with suppress(OSError):  # what is wrong with the folder, those who need its files tell
        if next(files_but(cache, set()), None) is not None:
            named, _ = named_beside(database)
            if not is_lost(database):
                with suppress(CacheError):  # it is spoilt
                    named |= set(names_in(database, but=orm_class.table().name))
            for path in islice(files_but(cache, named), _LOOKED_AT):
                if _is_of(orm_class, path):
                    yield path


def check_not_emptied(orm_class: type[ORMCalibration], cache: Cache, database: Path) -> None:
    """Check that a database that has lost all its bytes is not taken for a new one.

    Raises
    ------
    CacheError
        When it has none and there are files of the instrument.
    """
    is_empty = False
    with suppress(OSError):  # which the opening of it tells
        is_empty = database.is_file() and is_lost(database)
    if is_empty and has_files_of(orm_class, cache, database):
        said = f"The database {database} is empty, but {cache.calibrations} holds files of {orm_class.instrument_name}."
        raise CacheError(said, _ADVICE, path=database)


def warn_of_no_records(holdings: Holdings[Any]) -> None:
    """Say of a database without records that there are files of the instrument."""
    orm_class, database, cache = holdings.orm_class, holdings.database, holdings.cache
    files = [] if database.had_records else list(_files_of(orm_class, cache, database.path))
    if not files:
        return
    if _is_new(orm_class, database) and all(_came_after(database, path) for path in files):
        those = "1 file is" if len(files) == 1 else f"{len(files)} files are"
        said = f"{those} in no record of {orm_class.instrument_name}: {cache.calibrations / files[0].name}"
        warn(f"{said}. A registration was cut off; to register the same again makes the record.", UserWarning)
        return
    said = f"The database {database.path} has no records, but {cache.calibrations} holds files of "
    warn(f"{said}{orm_class.instrument_name}. {_ADVICE}", UserWarning)


def _is_new(orm_class: type[ORMCalibration], database: LocalDatabase[Any]) -> bool:
    """Whether nothing was ever recorded in a database."""
    with database.connect() as connection:
        return connection.execute(select(feed_table(orm_class).c.n).limit(1)).first() is None


def _came_after(database: LocalDatabase[Any], path: Path) -> bool:
    """Whether a file came when the database was there already."""
    came = datetime.fromtimestamp(path.stat().st_ctime, UTC).replace(tzinfo=None)
    return came.isoformat(timespec="microseconds") >= min((each.since for each in database.versions()), default="9")


def _is_of(orm_class: type[ORMCalibration], path: Path) -> bool:
    try:
        row_of(orm_class, path)
    except KoaMiddlewareError:
        return False
    return True


def named_beside(database: Path) -> tuple[set[str], list[str]]:
    """Give the file names in the databases of other instruments, and what is wrong with those that can't be read."""
    named: set[str] = set()
    faults: list[str] = []
    for path in databases_beside(database):
        try:
            named.update(names_in(path))
        except CacheError as error:
            faults.append(error.message)
    return named, faults
