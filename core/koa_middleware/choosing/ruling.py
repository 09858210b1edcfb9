"""A selector's settings beside an instrument's class: which rules they make for a frame, with their statements."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from ..instrument.door import columns_of
from ..instrument.orm import ORMCalibration
from .cases import by_case, columns_of_cases, settled, unlisted
from .frame import Frame
from .rule import Declared, rules_of
from .statement import Plan


class Ruling:
    """The rules that settings make, prepared for an instrument's class.

    Parameters
    ----------
    orm_class : type
    settings : mapping
        A selector's settings by name, without faults beside that class.

    Attributes
    ----------
    cal_type : str
    cases : tuple of str
        Columns of the frame on which settings depend.
    """

    def __init__(self, orm_class: type[ORMCalibration], settings: Mapping[str, Any]) -> None:
        self.orm_class = orm_class
        self.cal_type: str = settings["cal_type"].strip().lower()
        self.cases = columns_of_cases(settings)
        self._settings = dict(settings)
        self._made: dict[Hashable, tuple[Declared, tuple[Plan, ...]]] = {}

    def frame(self, given: Mapping[str, Any]) -> Frame:
        """Give a frame that the rules are asked for."""
        return Frame(self.orm_class, columns_of(self.orm_class), given, self.cal_type)

    def settled(self, frame: Frame) -> tuple[Declared, tuple[Plan, ...]]:
        """Give the settings that hold for a frame, and a plan for each step, in order.

        Raises
        ------
        HeaderError
            When settings depend on a value that the frame lacks, or that none of the cases lists.
        """
        known = tuple([frame.needed(name) for name in self.cases])
        made = self._made.get(known)
        if made is None:
            try:
                declared = settled(self._settings, dict(zip(self.cases, known, strict=True)))
            except LookupError as error:
                setting, value = error.args
                raise unlisted(setting, value, frame, self.cal_type) from None
            made = self._made[known] = self._plans_of(declared)
        return made

    def every(self) -> list[tuple[dict[str, Any], tuple[Plan, ...]]]:
        """Give each combination of cases, as the frame's values by column, with its plans."""
        return [(known, self._plans_of(declared)[1]) for known, declared in by_case(self._settings)]

    def _plans_of(self, declared: Declared) -> tuple[Declared, tuple[Plan, ...]]:
        return declared, tuple(Plan(self.orm_class, rule) for rule in rules_of(declared))
