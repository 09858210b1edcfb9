"""All types of a frame: which ones it needs, and what is chosen of each. Nothing else goes through them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from ..exceptions import CalibrationNotFoundError, ConfigurationError, HeaderError, KoaMiddlewareError, all_in_one
from ..instrument.door import columns_of
from ..instrument.frames import column_values
from ..instrument.orm import ORMCalibration
from ..instrument.values import normal_form
from .frame import says_nothing
from .misses import told_once

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
    columns = columns_of(orm_class)
    return [
        name
        for name in _needed(orm_class, values)
        if not any(
            says_nothing(values.get(column), columns[column].info.get("nulls"))
            for column in orm_class.selectors[name].given
        )
    ]


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


def choose_set(
    values: Mapping[str, Any], cal_types: Iterable[str], choose: Callable[[Mapping[str, Any], str], R]
) -> dict[str, R | KoaMiddlewareError]:
    """Choose one calibration of each type for a frame; the error of a type that has none stands in its place.

    Parameters
    ----------
    values : mapping
        The frame's column values.
    cal_types : iterable of str
        As `types_for` gives them.
    choose : callable
        Gives the best record for a frame's values and a cal type, as `CalibrationStore.select`.
    """
    found: dict[str, R | KoaMiddlewareError] = {}
    for cal_type in cal_types:
        try:
            found[cal_type] = choose(values, cal_type)
        except (CalibrationNotFoundError, HeaderError) as error:
            found[cal_type] = error
    return found


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


def wanted_for(
    orm_class: type[R], frames: Iterable[Any], cal_types: str | Iterable[str] | None, choose: Callable[[Any, str], R]
) -> Wanted[R]:
    """Choose the calibrations of some frames; goes on after a frame or a type that has none.

    Parameters
    ----------
    orm_class : type
    frames : iterable
        Each as in `column_values`.
    cal_types : str, iterable of str, or None
        As in `types_for`.
    choose : callable
        Gives the best record for a frame's values and a cal type.
    """
    wanted: Wanted[R] = Wanted()
    types = cal_types if cal_types is None or isinstance(cal_types, str) else _listed(cal_types)
    for number, frame in enumerate(frames, 1):
        name = str(frame) if isinstance(frame, str | os.PathLike) else f"frame {number}"
        try:
            values = column_values(orm_class, frame)
        except KoaMiddlewareError as error:
            wanted.unmatched[name] = str(error)
        else:
            found = choose_set(values, types_for(orm_class, values, types), choose)
            misses = {
                cal_type: str(error) for cal_type, error in found.items() if isinstance(error, KoaMiddlewareError)
            }
            wanted.unmatched |= {f"{name}, {cal_type}": said for cal_type, said in misses.items()}
            wanted.records += [record for record in found.values() if not isinstance(record, KoaMiddlewareError)]
    return wanted
