"""Files of an instrument that its database does not know: a database that has no records, beside them, was lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

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
    with cache_errors(cache.calibrations, "read"):
        for path in cache.calibrations.iterdir():
            if path.name not in names and not path.name.startswith(".") and path.is_file():
                yield path


def has_files_of(orm_class: type[ORMCalibration], cache: Cache, database: Path) -> bool:
    """Whether among the files that no other database names there is one that the class can read."""
    with suppress(OSError):  # what is wrong with the folder, those who need its files tell
        if next(files_but(cache, set()), None) is not None:
            named, _ = named_beside(database)
            if not is_lost(database):
                with suppress(CacheError):  # it is spoilt
                    named |= set(names_in(database, but=orm_class.table().name))
            return any(_is_of(orm_class, path) for path in islice(files_but(cache, named), _LOOKED_AT))
    return False


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
    if not database.had_records and has_files_of(orm_class, cache, database.path):
        said = f"The database {database.path} has no records, but {cache.calibrations} holds files of "
        warn(f"{said}{orm_class.instrument_name}. {_ADVICE}", UserWarning)


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
