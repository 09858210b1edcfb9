"""All types of a frame: which ones it needs, and what is chosen of each. Nothing else goes through them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ..exceptions import CalibrationNotFoundError, ConfigurationError, HeaderError, KoaMiddlewareError, all_in_one
from ..instrument.door import columns_of
from ..instrument.orm import ORMCalibration
from ..instrument.values import normal_form
from .batch import Task, choose_each, records_in
from .frame import says_nothing
from .marking import given_by_user
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
