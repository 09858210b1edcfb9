"""What would be chosen differently now than a lock file says, and why."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ...choosing.night import FrameSets
from ...display import html_table, in_brackets, render
from ...exceptions import FallbackWarning, KoaMiddlewareError
from ...instrument.orm import ORMCalibration
from .causes import Causes, Why
from .differences import Differing, differences, values_of
from .lock_file import LockFile
from .locked import LockedCalibration, LockedFrame
from .locking import ChosenIn, lock_of

#: Chooses for frames' values, of some types; of others the user gave what the lock names.
Choose = Callable[[list[Any], list[str], Mapping[str, str]], list[dict[str, Any]]]


#: Calibrations in the place of others that the text tells of one cause.
_MOST_INSTEAD = 3


class Cause(NamedTuple):
    """Why frames would get something else of a type.

    Attributes
    ----------
    kind : str
        ``"new"``, ``"quality"``, ``"withdrawn"``, ``"content"``, ``"changed"`` (its values), ``"anchor"``, ``"rule"``.
    cal_type : str
    message : str
    frames : tuple of str
        What they are called.
    instead : tuple of str
        In words, what would be taken in the place of what: ``"instead of A: B"``, each once.
    """

    kind: str
    cal_type: str
    message: str
    frames: tuple[str, ...]
    instead: tuple[str, ...] = ()

    @property
    def cells(self) -> tuple[str, str, str]:
        """Type, cause and frames, as a table has them."""
        more = len(self.instead) - _MOST_INSTEAD
        told = [*self.instead[:_MOST_INSTEAD], *([f"and {more} more"] if more > 0 else [])]
        return self.cal_type, "\n".join([self.message, *told]), _in_words(self.frames)


@dataclass(frozen=True)
class LockCheck:
    """A lock file beside what would be chosen now.

    Attributes
    ----------
    lock : LockFile
    now : LockFile
        What would be locked now, of the same frames.
    differences : tuple of Differing
        Each choice that would be another one.
    causes : tuple of Cause
        Why, each once.
    notes : tuple of str
        What else there is to say: of which sync the answer is, what is still missing, versions that are others.
    """

    lock: LockFile
    now: LockFile
    differences: tuple[Differing, ...]
    causes: tuple[Cause, ...]
    notes: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether the same would be chosen."""
        return not self.causes

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {
            "ok": self.ok,
            "lock": self.lock.name,
            "frames": len(self.lock.frames),
            "causes": [
                {**each._asdict(), "frames": list(each.frames), "instead": list(each.instead)} for each in self.causes
            ],
            "differences": [each.to_dict() for each in self.differences],
            "notes": list(self.notes),
        }

    def __repr__(self) -> str:
        return in_brackets(self, self._headline())

    def __str__(self) -> str:
        return self.to_text()

    def to_text(self, width: int | None = None) -> str:
        """Give a table of the causes, those of many frames in one line."""
        rows = [each.cells for each in self.causes]
        title = "\n".join([self._headline(), *self.notes])
        return render(("type", "cause", "frames") if rows else (), rows, title=title, width=width)

    def _headline(self) -> str:
        frames = len(self.lock.frames)
        of = f"{self.lock.name}, {frames} {'frame' if frames == 1 else 'frames'}"
        if self.ok:
            return f"{of}: the same would be chosen now"
        asked = sum(len(each.choices) for each in self.lock.frames)
        return f"{of}: {len(self.differences)} of {asked} choices would differ now"

    def _repr_html_(self) -> str:
        """Give the causes as HTML, for notebooks."""
        rows = [each.cells for each in self.causes]
        title = "\n".join([self._headline(), *self.notes])
        return html_table(("type", "cause", "frames") if rows else (), rows, title=title)


def check_lock(
    lock: LockFile, orm_class: type[ORMCalibration], choose: Choose, causes: Causes, chosen_in: ChosenIn
) -> LockCheck:
    """Choose again for the frames of a lock, by their values in it, and tell what differs and why."""
    names, values, sets = [], [], []
    found: list[list[Differing]] = []
    frames: list[LockedFrame] = []
    for frame, asked, one in _chosen(lock, orm_class, choose):
        frames.append(frame)
        names.append(frame.filename)
        values.append(asked)
        sets.append(one)
        found.append(list(differences(lock, frame, asked, one)))
    now = lock_of(FrameSets(names, sets, {}, orm_class, values, {}, lambda _: lock), chosen_in)
    differing = tuple(each for of_frame in found for each in of_frame)
    given = [each for frame in frames for _, each in _given(lock, frame)]
    locked = [each.then for each in differing if each.then is not None]
    causes.read([*locked, *given], [each.now for each in differing if each.now is not None])
    told: dict[tuple[str, str, str], list[tuple[str, str]]] = {}
    for frame, of_frame in zip(frames, found, strict=True):
        for cal_type, name, cause, instead in _causes(lock, frame, of_frame, causes):
            told.setdefault((cause[0], cal_type, cause[1]), []).append((name, instead))
    reasons = tuple(_cause(cause, concerned) for cause, concerned in told.items())
    return LockCheck(
        lock, now, differing, reasons, (*_still_missing(zip(frames, sets, strict=True)), *_notes(lock, now))
    )


def _cause(cause: tuple[str, str, str], concerned: Sequence[tuple[str, str]]) -> Cause:
    names, instead = zip(*concerned, strict=True)
    return Cause(*cause, tuple(dict.fromkeys(names)), tuple(each for each in dict.fromkeys(instead) if each))


def _causes(
    lock: LockFile, frame: LockedFrame, differing: Sequence[Differing], causes: Causes
) -> Iterator[tuple[str, str, Why, str]]:
    """Give type, frame's name, cause and what is taken instead of each difference; and what became of the user's."""
    types = {each.cal_type for each in differing}
    for each in differing:
        for cause in causes.why(each, types):
            yield each.cal_type, each.frame, cause, each.instead
    for cal_type, locked in _given(lock, frame):
        if (fallen := causes.of_locked(locked)) is not None:
            yield cal_type, frame.filename, fallen, ""


def _given(lock: LockFile, frame: LockedFrame) -> Iterator[tuple[str, LockedCalibration]]:
    """Give the registered calibrations that the user gave for a frame, by type."""
    for each in frame.choices:
        if each.given_by_user and (locked := lock.by_filename[each.calibration]).id:
            yield each.cal_type, locked


def _chosen(
    lock: LockFile, orm_class: type[ORMCalibration], choose: Choose
) -> Iterator[tuple[LockedFrame, dict[str, Any], dict[str, Any]]]:
    """Give each frame of a lock with its values and what is chosen for it; like frames are asked together."""
    groups: dict[Any, list[LockedFrame]] = {}
    for frame in lock.frames:
        types = tuple(name for name in frame.cal_types if name in orm_class.selectors)
        given = tuple((one.cal_type, one.calibration) for one in frame.choices if one.given_by_user)
        groups.setdefault((types, given), []).append(frame)
    for (types, given), frames in groups.items():
        values = [values_of(frame, orm_class) for frame in frames]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FallbackWarning)
            sets = choose(values, list(types), {name: file for name, file in given if name in types})
        yield from zip(frames, values, sets, strict=True)


def _still_missing(found_now: Iterable[tuple[LockedFrame, Mapping[str, Any]]]) -> Iterator[str]:
    """Tell which types some frames lacked when they were locked, and lack now."""
    found: dict[str, list[str]] = {}
    for then, now in found_now:
        for each in then.choices:
            if each.missing and isinstance(now.get(each.cal_type), KoaMiddlewareError):
                found.setdefault(each.cal_type, []).append(then.filename or "a frame without a name")
    for cal_type, names in found.items():
        yield f"{cal_type} is still missing for {_in_words(names)}"


def _notes(lock: LockFile, now: LockFile) -> Iterator[str]:
    """Tell which versions are others than those of the lock."""
    for name, then, is_now in (("koa-middleware", lock.core, now.core), ("the plugin", lock.plugin, now.plugin)):
        if then != is_now:
            yield f"the lock is of {name} {then or 'without a version'}, {is_now or 'one without a version'} is here"


def _in_words(frames: Sequence[str]) -> str:
    return frames[0] if len(frames) == 1 else f"{len(frames)} frames, {frames[0]} to {frames[-1]}"
