"""Making a lock file of what was chosen for frames."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from ...choosing.bracket import Bracket
from ...choosing.night import FrameSets, reason_of
from ...database.versions import core_version, plugin_version
from ...exceptions import ConfigurationError, KoaMiddlewareError, all_in_one
from ...instrument.orm import ORMCalibration
from .compared import compared_columns, difference, frame_values, given_columns
from .lock_file import LockFile
from .locked import SIDES, ArchiveState, LockedCalibration, LockedChoice, LockedFrame, exact_key


class ChosenIn(NamedTuple):
    """The circumstances of a choice.

    Attributes
    ----------
    archive : ArchiveState or None
    as_of : str or None
        The state that was asked, UTC; None: the present one.
    unregistered : frozenset of str
        Ids that were made up for files of the user's own, which have none.
    """

    archive: ArchiveState | None = None
    as_of: str | None = None
    unregistered: frozenset[str] = frozenset()


def lock_of(sets: FrameSets, chosen_in: ChosenIn) -> LockFile:
    """Make a lock file of what frames get.

    Raises
    ------
    SourceFileError, HeaderError
        When frames cannot be read; says which.
    ConfigurationError
        When two frames have one name and other values, or two calibrations one file name.
    """
    if unread := [each for each in sets.values if isinstance(each, KoaMiddlewareError)]:
        raise all_in_one(unread)
    orm_class = sets.orm_class
    asked = {name: None for one in sets.sets for name in one}
    compared, given_to_all = compared_columns(orm_class, asked), given_columns(orm_class, asked)
    calibrations: dict[str, LockedCalibration] = {}
    for record in (each for one in sets.sets for answer in one.values() for _, each in sides_of(answer)):
        _add(calibrations, _calibration(record, chosen_in.unregistered))
    frames: dict[Any, LockedFrame] = {}
    for given, one in zip(sets.values, sets.sets, strict=True):
        filename, values = frame_values(orm_class, given, compared)  # type: ignore[arg-type]
        choices = [choice for name in sorted(one) for choice in _choices(name, one[name])]
        frame = LockedFrame(filename, values, tuple(choices))
        key = exact_key(filename, values, given_to_all)
        _check_same(frames.setdefault(key, frame), frame, compared)
    return LockFile(
        orm_class.instrument_name,
        core_version()[0],
        plugin_version(orm_class),
        compared,
        tuple(sorted(calibrations.values(), key=lambda each: (each.cal_type, each.filename))),
        tuple(sorted(frames.values(), key=lambda each: (each.filename, sorted(map(str, each.values.items()))))),
        chosen_in.archive,
        chosen_in.as_of,
        left_out={name: columns for name, columns in sets.left_out.items() if name not in asked},
    )


def sides_of(answer: Any) -> Iterator[tuple[str, ORMCalibration]]:
    """Give the records of an answer, each with its side of a pair."""
    if isinstance(answer, Bracket):
        yield from ((side, each) for side, each in zip(SIDES, answer, strict=True) if each is not None)
    elif not isinstance(answer, KoaMiddlewareError):
        yield "", answer


def _calibration(record: ORMCalibration, unregistered: frozenset[str]) -> LockedCalibration:
    return LockedCalibration(
        record.filename,
        record.cal_type,
        record.cal_version,
        record.origin,
        record.datetime_obs,
        "" if record.id in unregistered else record.id,
        record.checksum or "",
        record.file_size,
    )


def _add(calibrations: dict[str, LockedCalibration], one: LockedCalibration) -> None:
    known = calibrations.setdefault(one.filename, one)
    if known != one:
        raise ConfigurationError(
            f"Two calibrations of the name {one.filename} are chosen, which a lock file could not tell apart.",
            "Rename the file that you give yourself, or register it.",
            setting="use",
            variable=None,
        )


def _choices(cal_type: str, answer: Any) -> Iterable[LockedChoice]:
    if isinstance(answer, KoaMiddlewareError):
        return [LockedChoice(cal_type, missing=" ".join(reason_of(answer).split()))]
    return [_choice(cal_type, side, each) for side, each in sides_of(answer)]


def _choice(cal_type: str, side: str, record: ORMCalibration) -> LockedChoice:
    made = record.choice
    return LockedChoice(
        cal_type,
        record.filename,
        side,
        made.rule,
        made.step,
        made.delta_days,
        record.is_fallback,
        made.given_by_user,
    )


def _check_same(known: LockedFrame, frame: LockedFrame, compared: Sequence[str]) -> None:
    differing = difference(frame.values, known, compared).replace("the lock's", "the other's")
    if not differing and known.choices == frame.choices:
        return
    raise ConfigurationError(
        f"Two frames have the name {frame.filename} and differ: {differing or 'they get different calibrations'}.",
        "A lock file knows a frame by its file name; lock them apart.",
        setting="inputs",
        variable=None,
    )
