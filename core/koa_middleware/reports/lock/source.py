"""Reading a lock file, which somebody may have changed by hand; an error gives the place of the fault."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from ...disk.checksums import Checksum
from ...disk.names import check_filename
from ...disk.reading import check_readable, open_source
from ...exceptions import ConfigurationError, SourceFileError, UnsafeFilenameError
from ...instrument.plain import shown
from .locked import SIDES, ArchiveState, LockedCalibration, LockedChoice, LockedFrame, exact_key
from .text import FORMAT

T = TypeVar("T")

#: The largest file that is read, bytes: of some 100,000 frames.
LARGEST = 50_000_000

_VALUES = (str, int, float, bool)
_TEXT, _NUMBER, _COUNT = (str,), (float, int), (int,)

#: What may stand in each table, and of which type it is.
_HEAD = {
    **dict.fromkeys(("instrument", "as_of"), _TEXT),
    "format": _COUNT,
    **dict.fromkeys(("compared", "calibration", "frame"), (list,)),
    **dict.fromkeys(("versions", "archive"), (dict,)),
}
_VERSIONS = dict.fromkeys(("core", "plugin"), _TEXT)
_ARCHIVE = {"name": _TEXT, "entry": _COUNT, "at": _TEXT}
_CALIBRATION = {**dict.fromkeys(LockedCalibration._fields, _TEXT), "file_size": _COUNT}
_FRAME = {"filename": _TEXT, "values": (dict,), "choices": (list,)}
_CHOICE = {
    **dict.fromkeys(LockedChoice._fields, _TEXT),
    "step": _COUNT,
    "delta_days": _NUMBER,
    "is_fallback": (bool,),
    "given_by_user": (bool,),
}
_NEEDED_OF_CALIBRATION = ("filename", "cal_type", "cal_version", "origin", "datetime_obs")


class _Fault(Exception):  # noqa: N818 - a signal, not an error
    """What is wrong, as the rest of a sentence that begins with the file's path."""


def read_lock(path: Path) -> dict[str, Any]:
    """Read a lock file, as the attributes of a `LockFile`.

    Raises
    ------
    SourceFileError
        When it is missing, or none.
    ConfigurationError
        When it is of another format.
    """
    found = _toml(path)
    number = found.get("format")
    if isinstance(number, int) and not isinstance(number, bool) and number != FORMAT:
        said = f"{path} is a lock file of the format {number}; this version reads the format {FORMAT}."
        raise ConfigurationError(said, "Install the koa-middleware that wrote it, or make it again.", setting="lock")
    try:
        return _parts(found)
    except _Fault as fault:
        hint = "Make it again with koa-cal lock, or take the file that was written."
        raise SourceFileError(f"{path} is no lock file that can be used: {fault}.", hint, path=path) from None


def _toml(path: Path) -> dict[str, Any]:
    check_readable(path)
    if (size := path.stat().st_size) > LARGEST:
        said = f"{path} is no lock file: it has {size / 1e6:.0f} MB, and a lock file at most {LARGEST / 1e6:.0f} MB."
        raise SourceFileError(said, "Name a file that koa-cal lock wrote.", path=path)
    try:
        with open_source(path) as stream:
            return tomllib.load(stream)
    except (ValueError, RecursionError) as error:
        fault = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        said = f"{path} is no lock file, since it is no TOML: {fault.rstrip('.')}."
        raise SourceFileError(said, "Name a file that koa-cal lock wrote.", path=path) from error


def _parts(found: Mapping[str, Any]) -> dict[str, Any]:
    head = _checked(found, _HEAD, "it", ("format", "instrument", "versions", "compared"))
    versions = _checked(head["versions"], _VERSIONS, "its table of versions", ("core",))
    archive = head.get("archive")
    calibrations = _each(head, "calibration", _calibration)
    names = {each.filename for each in calibrations}
    if len(names) < len(calibrations):
        raise _Fault("it has two calibrations of one file name")
    compared = head["compared"]
    if not all(isinstance(each, str) for each in compared):
        raise _Fault("the columns that it says were compared are no names")
    frames = _each(head, "frame", _frame)
    if len({exact_key(each.filename, each.values, each.values) for each in frames}) < len(frames):
        raise _Fault("it has two frames of one file name, or of none, and the same values")
    types = {each.filename: each.cal_type for each in calibrations}
    for frame in frames:
        for choice in filter(lambda each: each.calibration, frame.choices):
            where = f"{frame.filename or 'a frame'} has {shown(choice.calibration)}"
            if choice.calibration not in names:
                raise _Fault(f"{where}, which is none of its calibrations")
            if (kind := types[choice.calibration]) != choice.cal_type:
                raise _Fault(f"{where} as its {choice.cal_type}, which is a calibration of the type {kind}")
    return {
        "instrument": head["instrument"],
        "core": versions["core"],
        "plugin": versions.get("plugin", ""),
        "compared": tuple(compared),
        "calibrations": calibrations,
        "frames": frames,
        "archive": None if archive is None else ArchiveState(**_checked(archive, _ARCHIVE, "its archive", ("name",))),
        "as_of": head.get("as_of"),
    }


def _each(head: Mapping[str, Any], name: str, make: Callable[[Any, str], T]) -> tuple[T, ...]:
    return tuple([make(each, f"{name} {number}") for number, each in enumerate(head.get(name, ()), 1)])


def _calibration(given: Any, where: str) -> LockedCalibration:
    values = _checked(given, _CALIBRATION, where, _NEEDED_OF_CALIBRATION)
    _check_name(values["filename"], where)
    if checksum := values.get("checksum"):
        try:
            values["checksum"] = str(Checksum.parse(checksum))
        except ValueError as error:
            raise _Fault(f"the checksum of {values['filename']} is {shown(checksum)}: {error}") from None
    if values.get("file_size", 0) < 0:
        raise _Fault(f"the file_size of {values['filename']} is {values['file_size']}")
    return LockedCalibration(**values)


def _frame(given: Any, where: str) -> LockedFrame:
    values = _checked(given, _FRAME, where, ("values", "choices"))
    filename = values.get("filename", "")
    where = filename or where
    for name, value in values["values"].items():
        if not isinstance(value, _VALUES):
            raise _Fault(f"the {name} of {where} is {shown(value)}, which no column can hold")
        if isinstance(value, float) and not math.isfinite(value):
            raise _Fault(f"the {name} of {where} is {value}")
    choices = [_choice(each, f"a choice of {where}") for each in values["choices"]]
    sides = [(each.cal_type, each.side) for each in choices]
    for cal_type, side in sides:
        if sides.count((cal_type, side)) > 1 or (side and (cal_type, "") in sides):
            raise _Fault(f"{where} has several choices of the type {cal_type}")
    return LockedFrame(filename, values["values"], tuple(choices))


def _choice(given: Any, where: str) -> LockedChoice:
    values = _checked(given, _CHOICE, where, ("cal_type",))
    choice = LockedChoice(**values)
    if bool(choice.calibration) == bool(choice.missing):
        raise _Fault(f"{where} names a calibration and says that it is missing, or neither")
    if choice.side not in ("", *SIDES):
        raise _Fault(f"the side of {where} is {shown(choice.side)}, which is none of {' and '.join(SIDES)}")
    if choice.step is not None and choice.step < 1:
        raise _Fault(f"the step of {where} is {choice.step}")
    return choice


def _checked(
    given: Any, known: Mapping[str, tuple[type, ...]], where: str, needed: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Give a table of which every value is known and of its type."""
    if not isinstance(given, dict):
        raise _Fault(f"{where} is {shown(given)}, no table")
    for name, value in given.items():
        if name not in known:
            raise _Fault(f"{where} has {shown(name)}, which this format does not know")
        kinds = known[name]
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise _Fault(f"the {name} of {where} is {shown(value)}")
    if lacking := [name for name in needed if name not in given]:
        raise _Fault(f"{where} has no {lacking[0]}")
    return given


def _check_name(filename: str, where: str) -> None:
    try:
        check_filename(filename)
    except UnsafeFilenameError as error:
        raise _Fault(f"the file name of {where} is {shown(filename)}: {error.reason}") from None
