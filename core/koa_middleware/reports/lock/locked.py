"""What stands in a lock file: calibrations, frames, and what was chosen for what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from ...disk.checksums import Checksum
from ...disk.compression import without_compression
from ...instrument.orm import ORMCalibration

#: The sides of a pair, as a choice names them.
SIDES = ("before", "after")


class ArchiveState(NamedTuple):
    """How far the archive was when the choice was made.

    Attributes
    ----------
    name : str
        Its address, without user and password.
    entry : int or None
        Number of the newest entry of its feed that was known here; None where none was.
    at : str or None
        When that entry was made there, UTC.
    """

    name: str
    entry: int | None = None
    at: str | None = None


class LockedCalibration(NamedTuple):
    """A calibration, by what identifies its content.

    Attributes
    ----------
    filename : str
    cal_type, cal_version, origin, datetime_obs : str
    id : str
        Empty for a file of the user's own that was not registered.
    checksum : str
        Empty where none is recorded.
    file_size : int or None
        Bytes.
    """

    filename: str
    cal_type: str
    cal_version: str
    origin: str
    datetime_obs: str
    id: str = ""
    checksum: str = ""
    file_size: int | None = None

    def is_content_of(self, record: ORMCalibration) -> bool:
        """Whether a record has this content: its checksum; where one of them has none, its id and size."""
        if self.checksum and record.checksum:
            return self.checksum == _normal(record.checksum)
        return self.id == record.id and (self.file_size is None or record.file_size in (None, self.file_size))


class LockedChoice(NamedTuple):
    """What was chosen of a type for a frame; or that there was nothing, and why.

    Attributes
    ----------
    cal_type : str
    calibration : str
        File name; empty where nothing was found.
    side : str
        Of a pair ``"before"`` or ``"after"``; else empty.
    rule : str
        Name of the selector's class.
    step : int or None
    delta_days : float or None
    is_fallback, given_by_user : bool
    missing : str
        Why nothing was found, in one line.
    """

    cal_type: str
    calibration: str = ""
    side: str = ""
    rule: str = ""
    step: int | None = None
    delta_days: float | None = None
    is_fallback: bool = False
    given_by_user: bool = False
    missing: str = ""


class LockedFrame(NamedTuple):
    """A frame and what was chosen for it.

    Attributes
    ----------
    filename : str
        Without a folder; empty where it has none.
    values : mapping
        Its values of the compared columns, nulls left out; and its `id` where it has one.
    choices : tuple of LockedChoice
    """

    filename: str
    values: Mapping[str, Any]
    choices: tuple[LockedChoice, ...]

    def of_type(self, cal_type: str) -> tuple[LockedChoice, ...]:
        """Give what was chosen of a type: one, both of a pair, or nothing."""
        return tuple(each for each in self.choices if each.cal_type == cal_type)

    @property
    def cal_types(self) -> tuple[str, ...]:
        """Types that were asked for."""
        return tuple(dict.fromkeys(each.cal_type for each in self.choices))


def _normal(checksum: str) -> str:
    try:
        return str(Checksum.parse(checksum))
    except ValueError:
        return checksum


def frame_key(filename: str, values: Mapping[str, Any]) -> Any:
    """Give a frame's name: its file name without compression; without one its values."""
    return without_compression(filename) if filename else _whole(values)


def exact_key(filename: str, values: Mapping[str, Any], given: Iterable[str]) -> Any:
    """Give what identifies a frame: its name, and its values of the columns that the caller gives."""
    return frame_key(filename, values), _whole({name: values[name] for name in given if name in values})


def _whole(values: Mapping[str, Any]) -> Any:
    return tuple(sorted(values.items()))
