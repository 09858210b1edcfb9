"""A frame's values that rules ask for, and how it differs from a frame that was written down."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from sqlalchemy import Column

from ...choosing.cases import columns_of_cases, every_case
from ...choosing.frame import Frame, frame_name, own_values
from ...choosing.own_methods import is_programmed
from ...choosing.selector import CalibrationSelector, given_to, settings_of
from ...exceptions import CalibrationNotFoundError, HeaderError
from ...instrument.door import columns_of
from ...instrument.forms import is_mjd
from ...instrument.orm import ORMCalibration
from .lock_file import LockFile
from .locked import LockedFrame

#: Columns that say nothing of a frame for which a calibration is chosen.
_OF_FILES = frozenset({"id", "filename", "checksum", "file_size", "last_updated"})


def compared_columns(orm_class: type[ORMCalibration], cal_types: Iterable[str]) -> tuple[str, ...]:
    """Columns of a frame that the rules of some types ask for, in the class's order; all where a method chooses."""
    found: set[str] = set()
    pending, seen = list(cal_types), set()
    while pending:
        cal_type = pending.pop()
        selector = orm_class.selectors.get(cal_type)
        if selector is None or cal_type in seen:
            continue
        seen.add(cal_type)
        if _is_by_method(selector):
            found.update(columns_of(orm_class))
        settings = settings_of(selector)
        found.update(columns_of_cases(settings))
        for declared in every_case(settings):
            names = declared.match, declared.given, declared.match_if_known, declared.within
            found.update(*names, *(step.within for step in declared.prefer), (declared.time,))
            pending += [] if declared.anchor is None else [declared.anchor.strip().lower()]
    return tuple(name for name in columns_of(orm_class) if name in found - _OF_FILES)


def _is_by_method(selector: CalibrationSelector) -> bool:
    return is_programmed(selector) or selector._overrides("select") or selector._overrides("select_fallback")


def frame_values(
    orm_class: type[ORMCalibration], given: Mapping[str, Any], compared: Sequence[str]
) -> tuple[str, dict[str, Any]]:
    """Give a frame's file name, empty where it has none, and its values of some columns, nulls left out."""
    columns = columns_of(orm_class)
    frame, itself = Frame(orm_class, columns, given, ""), own_values(given)
    own_id = itself["own_id"]
    values = {} if own_id is None else {"id": own_id}
    for name in compared:
        if (value := _value(frame, name, columns[name])) is not None:
            values[name] = value
    return itself["own_filename"] or "", values


def _value(frame: Frame, name: str, column: Column[Any]) -> Any:
    with suppress(HeaderError):  # what cannot be used is as what is not there
        return frame.own_time_if_known(name) if is_mjd(column) else frame.known(name)
    return None


def locked_frame(lock: LockFile, orm_class: type[ORMCalibration], given: Mapping[str, Any]) -> LockedFrame:
    """Give a frame of a lock, which must have the same values there.

    Raises
    ------
    CalibrationNotFoundError
        When the lock does not have it, or has it with other values; names both.
    """
    filename, values = frame_values(orm_class, given, lock.compared)
    found = {difference(values, each, lock.compared): each for each in lock.frames_of(filename, values)}
    if "" in found:
        return found[""]
    hint = "Lock it too, or open the store without the lock."
    if not found:
        asked = filename or frame_name(given, "mjd_start").removeprefix("the frame").strip()
        raise CalibrationNotFoundError(f"{lock.name} has no frame {asked}.", hint)
    said = f"{filename} is not as the frame of that name in {lock.name}: {'; '.join(found)}."
    if unsaid := [name for name in given_columns(orm_class, orm_class.selectors) if _is_unsaid(name, values, found)]:
        hint = f"Say it (--set {' '.join(f'{name}=...' for name in unsaid)}), lock it too, or leave the lock out."
    raise CalibrationNotFoundError(said, hint)


def _is_unsaid(name: str, values: Mapping[str, Any], found: Mapping[str, LockedFrame]) -> bool:
    return name not in values and all(name in each.values for each in found.values())


def given_columns(orm_class: type[ORMCalibration], cal_types: Iterable[str]) -> list[str]:
    """Columns that the rules of some types take from the caller alone."""
    selectors = [orm_class.selectors[each] for each in cal_types if each in orm_class.selectors]
    return list(dict.fromkeys(name for each in selectors for name in given_to(each)))


def difference(values: Mapping[str, Any], locked: LockedFrame, compared: Sequence[str]) -> str:
    """Say in what a frame differs from the one of a lock; empty where it does not."""
    for name in compared:
        now, then = values.get(name), locked.values.get(name)
        if now != then:
            is_now = f"its {name} is {now}" if now is not None else f"it has no {name}"
            return f"{is_now}, the lock's is {then}" if then is not None else f"{is_now}, the lock's has none"
    return ""
