"""What many frames get of each type: as data, and as one table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, overload

from ..display import html_table, in_brackets, render
from ..exceptions import CalibrationNotFoundError, HeaderError, KoaMiddlewareError
from ..instrument.orm import ORMCalibration
from ..kept import kept_property
from .batch import records_in
from .bracket import Bracket
from .conditions import NotItself
from .considered import Prepared

if TYPE_CHECKING:
    from ..reports.lock.lock_file import LockFile


_COLUMNS = ("type", "for", "calibration", "frames")


@dataclass(frozen=True)
class FrameSets(Sequence[Mapping[str, Any]]):
    """What each of many frames gets of each type that it needs: a record, a `Bracket`, or an error.

    Attributes
    ----------
    frames : sequence of str
        What each frame is called.
    sets : sequence of mapping
        For each frame, by type.
    not_here : mapping
        The chosen records whose files are not on this disk, by file name.
    orm_class : type
    values : sequence
        Each frame's column values, or the error of one that cannot be read.
    left_out : mapping
        Types that were not asked for, since a frame says nothing of the columns that their selector compares.
    making_lock : callable
        Makes the lock file of such a choice.
    """

    frames: Sequence[str]
    sets: Sequence[Mapping[str, Any]]
    not_here: Mapping[str, ORMCalibration]
    orm_class: type[ORMCalibration] = field(repr=False)
    values: Sequence[Mapping[str, Any] | KoaMiddlewareError] = field(repr=False)
    left_out: Mapping[str, Sequence[str]]
    making_lock: Callable[[FrameSets], LockFile] = field(repr=False)

    @overload
    def __getitem__(self, number: int) -> Mapping[str, Any]: ...

    @overload
    def __getitem__(self, number: slice) -> Sequence[Mapping[str, Any]]: ...

    def __getitem__(self, number: int | slice) -> Any:
        return self.sets[number]

    def __len__(self) -> int:
        return len(self.sets)

    @property
    def missing(self) -> Mapping[str, Mapping[str, KoaMiddlewareError]]:
        """By frame and type, why there is no calibration."""
        found = {
            name: {cal_type: each for cal_type, each in one.items() if isinstance(each, KoaMiddlewareError)}
            for name, one in zip(self.frames, self.sets, strict=True)
        }
        return {name: errors for name, errors in found.items() if errors}

    @property
    def ok(self) -> bool:
        """Whether no frame lacks anything; files that are not here can come."""
        return not self.missing

    @property
    def fallbacks(self) -> Mapping[str, Mapping[int | None, Sequence[str]]]:
        """By type and step, the frames that get what is not preferred; None stands for a selector's own fallback."""
        found: dict[str, dict[int | None, list[str]]] = {}
        for name, one in zip(self.frames, self.sets, strict=True):
            for cal_type, answer in one.items():
                by_fallback = [each for each in records_in(answer) if each.is_fallback]
                for step in {each.choice.step if each.choice else None for each in by_fallback}:
                    found.setdefault(cal_type, {}).setdefault(step, []).append(name)
        return found

    @kept_property
    def configurations(self) -> Sequence[Mapping[str, Mapping[str, Any]]]:
        """For each frame, by type: its values in the columns that are compared."""
        return configurations_of(self.orm_class, self.values, self.sets)

    def lock(self) -> LockFile:
        """Give the lock file of what was chosen; see `CalibrationStore.lock`."""
        return self.making_lock(self)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {
            "ok": self.ok,
            "frames": [
                {
                    "frame": name,
                    "calibrations": {
                        cal_type: {"configuration": dict(of_types[cal_type]), **plain(answer)}
                        for cal_type, answer in one.items()
                    },
                }
                for name, one, of_types in zip(self.frames, self.sets, self.configurations, strict=True)
            ],
            "not_here": sorted(self.not_here),
            "left_out": {name: list(columns) for name, columns in self.left_out.items()},
        }

    def __repr__(self) -> str:
        return in_brackets(self, self._title())

    def __str__(self) -> str:
        return self.to_text()

    def to_text(self, width: int | None = None) -> str:
        """Give a table by type and configuration: what frames get, those that get the same in one line, or lack."""
        return render(_COLUMNS, self._rows(), title=self._title(), width=width)

    def _repr_html_(self) -> str:
        return html_table(_COLUMNS, self._rows(), title=self._title())

    def _rows(self) -> list[tuple[str, ...]]:
        groups: dict[tuple[str, str, str], list[str]] = {}
        for name, one, of_types in zip(self.frames, self.sets, self.configurations, strict=True):
            for cal_type, answer in one.items():
                values = ", ".join(str(value) for value in of_types[cal_type].values() if value is not None)
                groups.setdefault((cal_type, values, _in_words(answer, name, self.not_here)), []).append(name)
        by_group = sorted(groups.items(), key=lambda each: each[0][:2])
        return [(*group, _frames_in_words(names)) for group, names in by_group]

    def _title(self) -> str:
        needed, lacking = sum(map(len, self.sets)), sum(map(len, self.missing.values()))
        number, away = len(self.sets), len(self.not_here)
        title = f"{number} {'frame' if number == 1 else 'frames'}: {needed - lacking} of {needed} calibrations found"
        if away:
            title += f", {away} {'file is' if away == 1 else 'files are'} not here"
        if self.left_out:
            title += f"; not asked for: {', '.join(self.left_out)}"
        return title


def plain(answer: Any) -> dict[str, Any]:
    """Give an answer as plain data: what was chosen and for what, both sides of a pair, or the error."""
    if isinstance(answer, KoaMiddlewareError):
        return {"error": type(answer).__name__, "message": str(answer)}
    if isinstance(answer, Bracket):
        sides = {side: None if each is None else plain(each) for side, each in answer._asdict().items()}
        return {**sides, "weight": answer.weight}
    choice = answer.choice
    return {
        "id": answer.id,
        "filename": answer.filename,
        "cal_version": answer.cal_version,
        "delta_days": choice.delta_days,
        "step": choice.step,
        "is_fallback": answer.is_fallback,
        "given_by_user": choice.given_by_user,
    }


def _in_words(answer: Any, frame: str, not_here: Mapping[str, Any]) -> str:
    if isinstance(answer, KoaMiddlewareError):
        return f"missing: {reason_of(answer).replace(PurePath(frame).name, 'the frame')}"
    names = [_named(each, not_here) for each in records_in(answer)]
    if isinstance(answer, Bracket) and len(names) == 1:
        names.append(f"nothing {'before' if answer.before is None else 'after'}")
    return "\n".join(names)


def _named(record: Any, not_here: Mapping[str, Any]) -> str:
    notes = []
    if record.is_fallback:
        step = record.choice.step if record.choice else None
        notes.append("by fallback" if step is None else f"step {step}")
    if record.filename in not_here:
        notes.append("not here")
    return f"{record.filename} ({', '.join(notes)})" if notes else str(record.filename)


def reason_of(error: KoaMiddlewareError) -> str:
    """Say why there is none in the words that frames have in common, without their files and times."""
    if isinstance(error, HeaderError) and error.column:
        return f"no {error.column} in the header"
    if not isinstance(error, CalibrationNotFoundError) or (error.total and not error.nearest):
        return error.message
    if not error.total:
        return "none is known" if error.asked else error.message
    rules = sorted({each.rule for each in error.nearest} - {NotItself.rule})  # whichever was the nearest
    return (
        f"{error.total} known, the nearest refused for {', '.join(rules)}"
        if rules
        else "only the frame itself is known"
    )


def configurations_of(
    orm_class: type[ORMCalibration],
    frames: Sequence[Mapping[str, Any] | KoaMiddlewareError],
    sets: Sequence[Mapping[str, Any]],
) -> list[dict[str, dict[str, Any]]]:
    """Give, for each frame and type of its set, the values in which frame and calibration are compared."""
    prepared = Prepared(orm_class)

    def values_of(given: Mapping[str, Any] | KoaMiddlewareError, cal_type: str) -> dict[str, Any]:
        if isinstance(given, KoaMiddlewareError) or cal_type not in orm_class.selectors:
            return {}
        with suppress(HeaderError):
            ruling = prepared.ruling(orm_class.selectors[cal_type])
            frame = prepared.frame(ruling, given)
            declared, _ = ruling.settled(frame)
            names = (*ruling.cases, *declared.match, *declared.given, *declared.match_if_known, *declared.within)
            return {name: frame.known(name) for name in dict.fromkeys(names)}
        return {}

    return [{name: values_of(frame, name) for name in one} for frame, one in zip(frames, sets, strict=True)]


def _frames_in_words(names: Sequence[str]) -> str:
    first, last = (PurePath(name).name for name in (names[0], names[-1]))
    return first if len(names) == 1 else f"{len(names)} frames, {first} to {last}"
