"""Files of an instrument that its database does not know.

A database that has no records was lost, unless it is new and one file came later: then a registration was cut off.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

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

#: Seconds by which the times of files may be behind the clock.
_CLOCK_S = 0.05

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
    """Whether the class can read any of the files that no other database names."""
    return next(_files_of(orm_class, cache, database), None) is not None


def _files_of(
    orm_class: type[ORMCalibration], cache: Cache, database: Path, known: LocalDatabase[Any] | None = None
) -> Iterator[Path]:
    """Give files that no other database names and the class can read, of the first few that are looked at.

    Parameters
    ----------
    known : LocalDatabase, optional
        What stands under the database: its files are no loss.
    """
    with suppress(OSError):  # what is wrong with the folder, those who need its files tell
        if next(files_but(cache, set()), None) is not None:
            named, _ = named_beside(database, orm_class)
            if not is_lost(database):
                with suppress(CacheError):  # it is spoilt
                    named |= set(names_in(database, but=orm_class.table().name))
            if known is not None:
                named |= {name for (name,) in known.execute(select(orm_class.table().c.filename))}
            for path in islice(files_but(cache, named), _LOOKED_AT):
                if is_of(orm_class, path):
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


class NoRecords(NamedTuple):
    """A database without records beside files of its instrument.

    Attributes
    ----------
    said : str
    advice : str
    is_lost : bool
        Whether a database was lost; false: a first registration was cut off.
    is_new : bool
        Whether nothing was ever recorded in the one that is there.
    """

    said: str
    advice: str
    is_lost: bool
    is_new: bool


def no_records(holdings: Holdings[Any], known: LocalDatabase[Any]) -> NoRecords | None:
    """Find out whether a database has no records beside files of its instrument.

    Parameters
    ----------
    holdings : Holdings
    known : LocalDatabase
        Theirs, or what stands under it too.
    """
    orm_class, database, cache = holdings.orm_class, holdings.database, holdings.cache
    if len(database):
        return None
    files = list(_files_of(orm_class, cache, database.path, None if known is database else known))
    if not files:
        return None
    is_new = _is_new(orm_class, database)
    if is_new and len(files) == 1 and _came_after(database, files[0]):  # a registration leaves one at most
        said = f"1 file is in no record of {orm_class.instrument_name}: {cache.calibrations / files[0].name}."
        advice = "A registration was cut off; to register the same again makes the record."
        return NoRecords(said, advice, is_lost=False, is_new=True)
    said = f"The database {database.path} has no records, but {cache.calibrations} holds files of "
    return NoRecords(f"{said}{orm_class.instrument_name}.", _ADVICE, is_lost=True, is_new=is_new)


def tell_of_no_records(holdings: Holdings[Any], known: LocalDatabase[Any]) -> None:
    """Say of a database without records that there are files of the instrument; a new one is not written to.

    What was registered in it would hide that another one was lost.
    """
    if holdings.database.had_records:
        return
    found = no_records(holdings, known)
    if found is not None:
        if found.is_lost and found.is_new:
            holdings.database.refuse(CacheError(found.said, found.advice, path=holdings.database.path))
        warn(f"{found.said} {found.advice}", UserWarning)


def _is_new(orm_class: type[ORMCalibration], database: LocalDatabase[Any]) -> bool:
    """Whether nothing was ever recorded in a database."""
    with database.connect() as connection:
        feed = feed_table(orm_class).c
        return connection.execute(select(feed.n).where(feed.op != "begun").limit(1)).first() is None


def _came_after(database: LocalDatabase[Any], path: Path) -> bool:
    """Whether a file came when the database was there already."""
    status = path.stat()
    came = datetime.fromtimestamp(min(status.st_ctime, status.st_mtime) + _CLOCK_S, UTC).replace(tzinfo=None)
    return came.isoformat(timespec="microseconds") >= min((each.since for each in database.versions()), default="9")


def is_of(orm_class: type[ORMCalibration], path: Path) -> bool:
    """Whether a file is a calibration of a class's instrument."""
    try:
        row_of(orm_class, path)
    except KoaMiddlewareError:
        return False
    return True


def named_beside(database: Path, orm_class: type[ORMCalibration]) -> tuple[set[str], list[str]]:
    """Give the file names in the databases of other instruments, and what is wrong with those that can't be read."""
    named: set[str] = set()
    faults: list[str] = []
    for path in databases_beside(database):
        try:
            named.update(names_in(path, but=orm_class.table().name))
        except CacheError as error:
            faults.append(error.message)
    return named, faults
