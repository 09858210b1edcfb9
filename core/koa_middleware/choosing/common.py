"""The one calibration for a stack of frames, as for a master that is made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..exceptions import CalibrationNotFoundError, ConfigurationError, HeaderError
from .answering import answer
from .asking import asking, run
from .batch import Task, choose_each
from .common_misses import missed_by_all
from .considered import Considered, Prepared
from .criteria import is_itself
from .criterion import Limit
from .frame import Frame
from .limits import NeverAcross, date_of
from .marking import note_choice, warn_of_step
from .own_methods import check_type, is_programmed
from .ruling import Ruling
from .statement import fetch

if TYPE_CHECKING:
    from .selector import CalibrationSelector, Database

#: Frames that a message names for each value.
_MOST_NAMES = 3


class Stack(Frame):
    """Frames as one: they have a value where all of them have it, and the middle of their times.

    Parameters
    ----------
    frames : sequence of Frame
    cal_type : str
        The type that is chosen, for messages.
    """

    __slots__ = ("_frames",)

    def __init__(self, frames: Sequence[Frame], cal_type: str) -> None:
        name = f"{len(frames)} frames, {frames[0].source} to {frames[-1].source}"
        super().__init__(frames[0]._orm_class, frames[0]._columns, {"filename": name}, cal_type)
        self._frames = frames

    def for_type(self, cal_type: str) -> Stack:
        """Give the same frames for the choice of another type."""
        return Stack([each.for_type(cal_type) for each in self._frames], cal_type)

    def known(self, name: str) -> Any:
        """Value of a column in which all frames agree that have one; None where none has.

        Raises
        ------
        HeaderError
        """
        return self._agreed(name, [each.known(name) for each in self._frames])

    def needed(self, name: str) -> Any:
        """Value of a column that all frames have, and in which they agree.

        Raises
        ------
        HeaderError
        """
        return self._agreed(name, [each.needed(name) for each in self._frames])

    def each(self, name: str) -> list[Any]:
        """Value of each frame in a column that they must have."""
        return [value for frame in self._frames for value in frame.each(name)]

    def own_time(self, name: str) -> float:
        """Middle of the first and the last of the frames' times."""
        times = self._times(name)
        return (min(times) + max(times)) / 2

    def interval(self, limit: Limit, time: float) -> tuple[float, float]:
        """First and last time that fit all frames.

        Raises
        ------
        HeaderError
            When a boundary lies between them.
        """
        if self.anchor is not None:
            return super().interval(limit, time)
        times = self._times(limit.time)
        ends = [limit.interval(each) for each in (min(times), max(times))]
        if isinstance(limit, NeverAcross) and ends[0] != ends[1]:
            raise self._divided(limit, times)
        return max(first for first, _ in ends), min(last for _, last in ends)

    def _times(self, name: str) -> list[float]:
        return [each.own_time(name) for each in self._frames]

    def _agreed(self, name: str, values: Sequence[Any]) -> Any:
        names: dict[Any, list[str]] = {}
        for frame, value in zip(self._frames, values, strict=True):
            if value is not None:
                names.setdefault(value, []).append(frame.source)
        if len(names) > 1:
            said = "; ".join(f"{_listed(sources)} {value}" for value, sources in names.items())
            raise self._error(name, f"do not agree in the {name}, by which a {self._cal_type} is chosen: {said}")
        return next(iter(names), None)

    def _divided(self, limit: NeverAcross, times: Sequence[float]) -> HeaderError:
        first, last = (self._frames[times.index(time)].source for time in (min(times), max(times)))
        boundary = date_of(next(each for each in limit.boundaries if limit.divides(each, min(times), max(times))))
        said = f"cannot have one {self._cal_type}: the boundary {boundary} lies between {first} and {last}"
        return self._error(limit.time, said)

    def _error(self, column: str, said: str) -> HeaderError:
        return HeaderError(
            f"The frames {said}.", "Choose for each part of them.", column=column, keywords=(), source=self.source
        )


class _OfStack(Prepared):
    """What is prepared for a stack: it stands for each frame that is asked for."""

    def __init__(self, stack: Stack) -> None:
        super().__init__(stack._orm_class)
        self._stack = stack

    def frame(self, ruling: Ruling, given: Mapping[str, Any]) -> Frame:  # noqa: ARG002
        return self._stack.for_type(ruling.cal_type)


def choose_common(
    selector: CalibrationSelector, frames: Sequence[Mapping[str, Any]], names: Sequence[str], db: Database
) -> Any:
    """Choose the one record that fits all frames, the nearest to the middle of their times.

    Parameters
    ----------
    selector : CalibrationSelector
    frames : sequence of mapping
        Each frame's column values.
    names : sequence of str
        What each is called.
    db : Database

    Raises
    ------
    HeaderError
        When the frames do not agree in what is compared, or a boundary lies between them.
    CalibrationNotFoundError
        When nothing fits all of them.
    ConfigurationError
        When there are no frames, or a method of the selector's own chooses.
    """
    _check(selector, frames)
    ruling = selector._ruling(db.orm_class)
    each = [ruling.frame(values) for values in frames]
    for frame, name in zip(each, names, strict=True):
        frame.source = name
    stack = Stack(each, ruling.cal_type)
    if ruling.settled(stack)[0].validity:
        return _valid_for_all(selector, stack, frames, db)
    considered = answer(asking(selector, stack.given, db, _OfStack(stack)), lambda ask: run(db, ask))
    record = considered.record
    if record is not None and _is_of(record, frames):
        record = _next_best(selector, considered, frames, db)
    if record is None:
        for frame in each:
            frame.anchor = considered.frame.anchor
        raise missed_by_all(selector, considered, each, db)
    note_choice(selector, record, considered.frame, record.choice.step)  # from the middle, whatever limits there are
    warn_of_step(selector, record, stack.given)
    return record


def _check(selector: CalibrationSelector, frames: Sequence[Any]) -> None:
    check_type(selector)
    if not frames:
        raise ConfigurationError("No frames are given.", "Give one or more.", setting="inputs", variable=None)
    if is_programmed(selector) or selector._overrides("select"):
        said = f"{type(selector).__name__} chooses by a method of its own, and so for each frame by itself."
        raise ConfigurationError(said, "Ask with select_many.", setting="selector", variable=None)


def _valid_for_all(
    selector: CalibrationSelector, stack: Stack, frames: Sequence[Mapping[str, Any]], db: Database
) -> Any:
    """Give the record whose interval holds for each frame."""
    agreed = _agreed_in(selector, stack, db)
    of_each = [
        {**values, **{name: value for name, value in agreed.items() if frame.known(name) is None}}
        for values, frame in zip(frames, stack._frames, strict=True)
    ]
    names: dict[str, list[str]] = {}
    found = choose_each([Task(selector, values) for values in of_each], db)
    for frame, record in zip(stack._frames, found, strict=True):
        if isinstance(record, CalibrationNotFoundError):
            raise record.saying(f"{frame.source}: {record.message}")
        if isinstance(record, Exception):
            raise record
        names.setdefault(record.filename, []).append(frame.source)
    if len(names) > 1:
        said = "; ".join(f"{_listed(sources)} {filename}" for filename, sources in names.items())
        raise stack._error(selector.time, f"have no {selector.cal_type} that is valid for all of them: {said}")
    note_choice(selector, found[0], stack, None)
    return found[0]


def _agreed_in(selector: CalibrationSelector, stack: Stack, db: Database) -> Mapping[str, Any]:
    """Check that frames agree in what an interval's rule compares besides; give the values that some may not know.

    Raises
    ------
    HeaderError
    """
    declared, plans = selector._ruling(db.orm_class).settled(stack)
    for name in (*declared.match, *declared.given):
        stack.needed(name)
    if declared.anchor is None:
        for plan in plans:
            plan.parameters(stack)  # which finds a boundary between the frames
    return {name: value for name in declared.match_if_known if (value := stack.known(name)) is not None}


def _is_of(record: Any, frames: Sequence[Mapping[str, Any]]) -> bool:
    return any(is_itself(record, frame) for frame in frames)


def _next_best(
    selector: CalibrationSelector, considered: Considered, frames: Sequence[Mapping[str, Any]], db: Database
) -> Any:
    """Give the best record that is none of the frames themselves; None where there is none."""
    for plan in considered.plans:
        for record in fetch(db, plan.candidates, plan.parameters(considered.frame)):
            if not _is_of(record, frames):
                record.is_fallback = (plan.rule.step or 1) > 1
                note_choice(selector, record, considered.frame, plan.rule.step)
                return record
    return None


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return f"{', '.join(names[:_MOST_NAMES])}{more} {'have' if len(names) > 1 else 'has'}"
