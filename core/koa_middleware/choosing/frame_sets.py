"""All types of a frame: which ones it needs, and what is chosen of each. Nothing else goes through them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePath
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from ..display import render
from ..exceptions import CalibrationNotFoundError, ConfigurationError, HeaderError, KoaMiddlewareError, all_in_one
from ..instrument.door import columns_of
from ..instrument.orm import ORMCalibration
from ..instrument.values import normal_form
from .batch import Task, choose_each, records_in
from .bracket import Bracket
from .conditions import NotItself
from .deciding import Prepared, given_by_user
from .frame import says_nothing
from .misses import told_once
from .selector import given_to, selector_for

if TYPE_CHECKING:
    from .selector import Database

R = TypeVar("R", bound=ORMCalibration)


def types_for(
    orm_class: type[ORMCalibration], values: Mapping[str, Any], cal_types: str | Iterable[str] | None = None
) -> list[str]:
    """Cal types to choose for a frame, in order.

    Parameters
    ----------
    orm_class : type
    values : mapping
        The frame's column values.
    cal_types : str or iterable of str, optional
        The user's choice of them. By default what the plugin says that a frame of its type needs, else all that have
        a selector; but those whose selector compares a `given` column of which the frame says nothing.
    """
    if cal_types is not None:
        return [_type_name(name) for name in ([cal_types] if isinstance(cal_types, str) else _listed(cal_types))]
    unsaid = _left_out_of(orm_class, values)
    return [name for name in _needed(orm_class, values) if name not in unsaid]


def left_out_of(
    orm_class: type[ORMCalibration],
    frames: Sequence[Mapping[str, Any] | KoaMiddlewareError],
    cal_types: str | Iterable[str] | None = None,
) -> dict[str, tuple[str, ...]]:
    """Types that frames need and that are not chosen, and the `given` columns of which a frame says nothing.

    Where the user names the types, none is left out.
    """
    if cal_types is not None:
        return {}
    known = [{} if isinstance(each, KoaMiddlewareError) else each for each in frames]
    return {name: columns for values in known for name, columns in _left_out_of(orm_class, values).items()}


def _left_out_of(orm_class: type[ORMCalibration], values: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    columns = columns_of(orm_class)
    given = {name: given_to(orm_class.selectors[name]) for name in _needed(orm_class, values)}
    return {
        name: tuple(names)
        for name, names in given.items()
        if any(says_nothing(values.get(each), columns[each].info.get("nulls")) for each in names)
    }


def _needed(orm_class: type[ORMCalibration], values: Mapping[str, Any]) -> Iterable[str]:
    """Types that the plugin says a frame needs; where it says nothing of such frames, all."""
    if not orm_class.needs:
        return orm_class.selectors
    given = values.get("cal_type")
    own = normal_form(columns_of(orm_class)["cal_type"], given, "the input") if not says_nothing(given) else None
    is_calibration = own in orm_class.needs or own in orm_class.selectors or own in orm_class.cal_types
    return orm_class.needs.get(own if is_calibration else None, orm_class.selectors)


def _listed(cal_types: Any) -> list[Any]:
    try:
        return list(cal_types)
    except TypeError:
        raise _no_types(cal_types) from None


def _type_name(given: Any) -> str:
    if not isinstance(given, str):
        raise _no_types(given)
    return given.strip().lower()


def _no_types(given: object) -> ConfigurationError:
    said = f"{given!r} is not the name of a cal type."
    return ConfigurationError(said, "Give names, such as ['dark', 'flat'].", setting="cal_types")


def choose_sets(
    orm_class: type[ORMCalibration],
    frames: Sequence[Mapping[str, Any] | KoaMiddlewareError],
    cal_types: str | Iterable[str] | None,
    db: Database,
    own: Mapping[str, ORMCalibration] = MappingProxyType({}),
) -> list[dict[str, Any]]:
    """Choose one calibration of each type for many frames at once.

    Parameters
    ----------
    orm_class : type
    frames : sequence
        Each frame's column values, or the error of one that cannot be read.
    cal_types : str, iterable of str, or None
        As in `types_for`.
    db : Database
    own : mapping
        By type, records that the user gave in the place of what the rules choose; those of other types besides.

    Returns
    -------
    list of dict
        For each frame, by type: the record, a `Bracket` where the selector's direction is one, or the error. That of a
        frame that cannot be read stands for each of the types.
    """
    named = cal_types if cal_types is None or isinstance(cal_types, str) else _listed(cal_types)
    types = [
        list(dict.fromkeys([*types_for(orm_class, {} if isinstance(each, KoaMiddlewareError) else each, named), *own]))
        for each in frames
    ]
    selectors = {name: selector_for(orm_class, name) for names in types for name in names}
    tasks = [
        Task(selectors[name], frame)
        for frame, names in zip(frames, types, strict=True)
        if not isinstance(frame, KoaMiddlewareError)
        for name in names
        if name not in own
    ]
    answers = iter(choose_each(tasks, db, pairs=True, own=own))

    def answer(frame: Any, name: str) -> Any:
        if isinstance(frame, KoaMiddlewareError):
            return frame
        return given_by_user(selectors[name], own[name], frame) if name in own else _usable(next(answers))

    return [{name: answer(frame, name) for name in names} for frame, names in zip(frames, types, strict=True)]


def _usable(answer: Any) -> Any:
    """Give what may stand in a set; what is wrong with the plugin itself is raised."""
    if isinstance(answer, KoaMiddlewareError) and not isinstance(answer, CalibrationNotFoundError | HeaderError):
        raise answer
    return answer


def raise_failures(found: Mapping[str, Any]) -> None:
    """Raise what went wrong in a set: failures, where there are some, else all types that nothing fits, in one error.

    Parameters
    ----------
    found : mapping
        By cal type, an error where there is no answer.
    """
    misses = {name: error for name, error in found.items() if isinstance(error, CalibrationNotFoundError)}
    failures = {
        name: error for name, error in found.items() if isinstance(error, KoaMiddlewareError) and name not in misses
    }
    if failures:
        raise all_in_one([told.error.saying(told.message) for told in told_once(failures)])
    if misses:
        causes = told_once(misses)
        said = " ".join(cause.message for cause in causes)
        raise CalibrationNotFoundError(said, causes[0].hint, misses=misses)


@dataclass
class Wanted(Generic[R]):
    """What a prefetch is to bring.

    Attributes
    ----------
    records : list of records
    unmatched : dict
        Frame, or frame and cal type, to why there is no calibration for it.
    """

    records: list[R] = field(default_factory=list)
    unmatched: dict[str, str] = field(default_factory=dict)


def wanted_of(names: Sequence[str], frames: Sequence[Any], sets: Sequence[Mapping[str, Any]]) -> Wanted[Any]:
    """Give what the sets of some frames ask for.

    Parameters
    ----------
    names : sequence of str
        What each frame is called.
    frames : sequence
        Each frame's column values, or the error of one that cannot be read.
    sets : sequence of mapping
        As `choose_sets` gives them.
    """
    wanted: Wanted[Any] = Wanted()
    for name, frame, found in zip(names, frames, sets, strict=True):
        if isinstance(frame, KoaMiddlewareError):
            wanted.unmatched[name] = str(frame)
            continue
        for cal_type, answer in found.items():
            wanted.records += records_in(answer)
            if isinstance(answer, KoaMiddlewareError):
                wanted.unmatched[f"{name}, {cal_type}"] = str(answer)
    return wanted


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
    """

    frames: Sequence[str]
    sets: Sequence[Mapping[str, Any]]
    not_here: Mapping[str, ORMCalibration]
    orm_class: type[ORMCalibration] = field(repr=False)
    values: Sequence[Mapping[str, Any] | KoaMiddlewareError] = field(repr=False)
    left_out: Mapping[str, Sequence[str]] = field(default_factory=dict)

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

    @cached_property
    def configurations(self) -> Sequence[Mapping[str, Mapping[str, Any]]]:
        """For each frame, by type: its values in the columns that are compared."""
        return configurations_of(self.orm_class, self.values, self.sets)

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

    def __str__(self) -> str:
        return self.to_text()

    def to_text(self, width: int | None = None) -> str:
        """Give a table by type and configuration: what frames get, those that get the same in one line, or lack."""
        groups: dict[tuple[str, str, str], list[str]] = {}
        for name, one, of_types in zip(self.frames, self.sets, self.configurations, strict=True):
            for cal_type, answer in one.items():
                values = ", ".join(str(value) for value in of_types[cal_type].values() if value is not None)
                groups.setdefault((cal_type, values, _in_words(answer, self.not_here)), []).append(name)
        rows = [
            (*group, _frames_in_words(names)) for group, names in sorted(groups.items(), key=lambda each: each[0][:2])
        ]
        needed, lacking = sum(map(len, self.sets)), sum(map(len, self.missing.values()))
        number, away = len(self.sets), len(self.not_here)
        title = f"{number} {'frame' if number == 1 else 'frames'}: {needed - lacking} of {needed} calibrations found"
        if away:
            title += f", {away} {'file is' if away == 1 else 'files are'} not here"
        if self.left_out:
            title += f"; not asked for: {', '.join(self.left_out)}"
        return render(("type", "for", "calibration", "frames"), rows, title=title, width=width)


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


def _in_words(answer: Any, not_here: Mapping[str, Any]) -> str:
    if isinstance(answer, KoaMiddlewareError):
        return f"missing: {_why(answer)}"
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


def _why(error: KoaMiddlewareError) -> str:
    """Say why there is none in the words that frames have in common, without their files and times."""
    if isinstance(error, HeaderError) and error.column:
        return f"no {error.column} in the header"
    if not isinstance(error, CalibrationNotFoundError) or (error.total and not error.nearest):
        return error.message
    if not error.total:
        return "none is known"
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
        if isinstance(given, KoaMiddlewareError):
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
