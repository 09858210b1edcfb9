"""Which columns the rules of an instrument compare: those that are shown, and those that are asked of a frame."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from ...choosing.selector import given_to, ruling_of
from ...instrument.orm import ORMCalibration

#: Settings whose columns a frame must have, or has where it is to be compared in them.
_OF_FRAMES = ("match", "given", "match_if_known", "within")


@lru_cache(maxsize=256)
def compared_in(orm_class: type[ORMCalibration], cal_type: str | None = None) -> tuple[str, ...]:
    """Give the columns in which frames are compared with calibrations of a type, or of any type."""
    selectors: Iterable[Any] = orm_class.selectors.values()
    if cal_type is not None:
        selectors = [each for each in selectors if each.cal_type == cal_type]
    found: dict[str, None] = {}
    for selector in selectors:
        ruling = ruling_of(selector, orm_class)
        found |= dict.fromkeys(ruling.cases)
        for _, plans in ruling.every():
            for plan in plans:
                found |= dict.fromkeys(
                    name for each in plan.criteria if each.setting in _OF_FRAMES for name in each.columns
                )
    return tuple(found)


@lru_cache(maxsize=64)
def given_columns(orm_class: type[ORMCalibration]) -> tuple[str, ...]:
    """Give the columns that no frame holds, so that the caller gives them."""
    return tuple(dict.fromkeys(name for each in orm_class.selectors.values() for name in given_to(each)))
