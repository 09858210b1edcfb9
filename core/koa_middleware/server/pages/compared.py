"""Which columns the rules of an instrument compare: those that are shown, and those that are asked of a frame."""

from __future__ import annotations

from functools import lru_cache

from ...choosing.selector import CalibrationSelector, given_to, ruling_of
from ...instrument.orm import ORMCalibration

#: Settings whose columns a frame must have, or has where it is to be compared in them.
_OF_FRAMES = ("match", "given", "match_if_known", "within")


def compared_in(orm_class: type[ORMCalibration], cal_type: str | None = None) -> tuple[str, ...]:
    """Give the columns in which frames are compared with calibrations of a type, or of any type."""
    selectors = orm_class.selectors.values() if cal_type is None else [orm_class.selectors[cal_type]]
    return tuple(dict.fromkeys(name for each in selectors for name in _compared_by(each, orm_class)))


@lru_cache(maxsize=512)
def _compared_by(selector: CalibrationSelector, orm_class: type[ORMCalibration]) -> tuple[str, ...]:
    ruling = ruling_of(selector, orm_class)
    plans = [plan for _, plans in ruling.every() for plan in plans]
    compared = [name for plan in plans for each in plan.criteria if each.setting in _OF_FRAMES for name in each.columns]
    return tuple(dict.fromkeys([*ruling.cases, *compared]))


def given_columns(orm_class: type[ORMCalibration]) -> tuple[str, ...]:
    """Give the columns that no frame holds, so that the caller gives them."""
    return tuple(dict.fromkeys(name for each in orm_class.selectors.values() for name in given_to(each)))
