"""Calibrations that a user gives in the place of what a rule chooses: records of the store, or files of one's own."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from .choosing.criteria import is_itself, not_bad
from .choosing.frame import frame_name
from .choosing.selector import CalibrationSelector, selector_for
from .database.local import LocalDatabase
from .database.table import asked_name
from .disk.checksums import digest_of
from .disk.reading import check_readable, user_path
from .disk.wholeness import check_whole
from .exceptions import (
    CalibrationNotFoundError,
    ConfigurationError,
    HeaderError,
    HeaderWarning,
    QualityWarning,
    warn,
)
from .given import check_kind, record_of
from .instrument.hooks import values_by
from .instrument.orm import ORMCalibration
from .instrument.plain import brief, shown

R = TypeVar("R", bound=ORMCalibration)


@dataclass
class OwnChoices(Generic[R]):
    """What a user gives by cal type.

    Attributes
    ----------
    records : dict
        By cal type.
    paths : dict
        By id, those of files that no record of the store is of: they are used where they lie.
    """

    records: dict[str, R] = field(default_factory=dict)
    paths: dict[str, Path] = field(default_factory=dict)


def own_choices(
    use: Mapping[str, Any] | None,
    frames: Sequence[Mapping[str, Any]],
    database: LocalDatabase[R],
    path_in_cache: Callable[[R], Path],
) -> OwnChoices[R]:
    """Find the calibrations that a user gives; warn of what is bad, or differs from a frame.

    Parameters
    ----------
    use : mapping or None
        Cal type to a path, an id, a file name or a record.
    frames : sequence of mapping
        Column values of the frames for which they are given.
    database : LocalDatabase
    path_in_cache : callable
        Gives the path of a record's file.

    Raises
    ------
    ConfigurationError
        When there is no selector of a type, or what is given is of another type, is a frame itself, or is one of two
        of a type.
    CalibrationNotFoundError
        When it is neither a file nor known here.
    SourceFileError, HeaderError
        When a file is damaged, or its header does not describe it.
    """
    check_kind("use", use, Mapping, "a dict of cal types to paths or ids, such as {'dark': 'dark.fits'}")
    found: OwnChoices[R] = OwnChoices()
    for cal_type, given in (use or {}).items():
        selector = selector_for(database.orm_class, cal_type)
        name = selector.cal_type.strip().lower()
        if name in found.records:
            raise _unusable(f"Two calibrations are given as the {name}.", "Give one.")
        record = _known(given, database, path_in_cache)
        if record is None:
            path = user_path(given)
            record = _described(path, database.orm_class, name)
            found.paths[record.id] = path
        if record.cal_type != name:
            said = f"{record.filename}, which is to be used as the {name}, is of the type {record.cal_type}."
            raise _unusable(said, f"Give a file of the type {name}.")
        if any(is_itself(record, frame) for frame in frames):
            said = f"{record.filename}, which is to be used as the {name}, is the frame itself."
            raise _unusable(said, "Give another file.")
        if not not_bad([record], database):
            warn(f"{record.filename}, which is used as the {name}, is flagged as bad.", QualityWarning)
        for frame in frames:
            if differing := "; ".join(_differing(selector, record, frame)):
                of_it = f"{record.filename}, which is used as the {name}, differs from"
                warn(f"{of_it} {frame_name(frame, selector.time)}: {differing}.", HeaderWarning)
        found.records[name] = record
    return found


def _known(given: Any, database: LocalDatabase[R], path_in_cache: Callable[[R], Path]) -> R | None:
    """Give the record that is meant; None where a file is meant that is that of no record."""
    if isinstance(given, ORMCalibration):
        return database.query_by_id(record_of(given).id)
    if not isinstance(given, str | os.PathLike):
        raise _unusable(f"{shown(given)} is no calibration.", "Give a path, an id, or a record.")
    path = user_path(given)
    with suppress(CalibrationNotFoundError):
        record = database.find(asked_name(path.name))
        in_cache = path_in_cache(record)
        if path.name == str(given) or (_is_there(path) and in_cache.exists() and path.samefile(in_cache)):
            return record
    if path.name != str(given) or _is_there(path):
        return None
    return database.find(asked_name(given))  # which says that there is none


def _is_there(path: Path) -> bool:
    """Whether there is such a file; none has a name that no system takes."""
    try:
        return path.exists()
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return False
        raise


def _differing(selector: CalibrationSelector, record: R, given: Mapping[str, Any]) -> Iterator[str]:
    """Say in which columns that must agree a calibration is not as the frame; nothing of those the frame lacks."""
    ruling = selector._ruling(type(record))
    frame = ruling.frame(given)
    with suppress(HeaderError):  # without the value that decides the rule, nothing is compared
        declared, _ = ruling.settled(frame)
        for name in dict.fromkeys((*declared.match, *declared.given, *declared.match_if_known)):
            asked, found = frame.known(name), record[name]
            if asked is not None and found != asked and not (found is None and name in declared.match_if_known):
                own = f"it has no {name}" if found is None else f"its {name} is {brief(found)}"
                yield f"{own}, the frame's is {brief(asked)}"


def _unusable(message: str, hint: str) -> ConfigurationError:
    return ConfigurationError(message, hint, setting="use", variable=None)


def _described(path: Path, orm_class: type[R], cal_type: str) -> R:
    """Give the record of a file that is not registered; a header that names no type is of the one that is asked for."""
    check_readable(path)
    check_whole(path)
    values = values_by(orm_class, "values_from_file", str(path), path)
    if values.get("cal_type") is None:
        warn(f"The header of {path.name} names no type; it is used as the {cal_type}.", HeaderWarning)
    named = {"cal_type": cal_type, **{name: value for name, value in values.items() if value is not None}}
    row = orm_class.complete_row(named, str(path))
    return orm_class(**{**row, "checksum": digest_of(path), "file_size": path.stat().st_size})
