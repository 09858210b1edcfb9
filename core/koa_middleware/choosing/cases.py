"""Settings that depend on the frame: which cases there are, and what holds in each."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import fields, replace
from itertools import product
from types import MappingProxyType, SimpleNamespace
from typing import Any, cast

from ..exceptions import HeaderError
from ..instrument.orm import ORMCalibration
from ..instrument.plain import shown
from ..instrument.values import normal_form
from .amounts import By, Step
from .criterion import Fault
from .frame import Frame
from .rule import Declared


def cases_in(setting: Any) -> Iterator[By]:
    """Give all the cases that stand in a setting."""
    if isinstance(setting, By):
        yield setting
        for _, each in setting.cases if _is_listed(setting) else ():
            yield from cases_in(each)
    elif isinstance(setting, dict | MappingProxyType):
        for each in setting.values():
            yield from cases_in(each)
    elif isinstance(setting, Step):
        for one in fields(setting):
            yield from cases_in(getattr(setting, one.name))
    elif isinstance(setting, tuple | list):
        for each in setting:
            yield from cases_in(each)


def settled(settings: Mapping[str, Any], known: Mapping[str, Any]) -> Declared:
    """Give the settings that hold for a frame with some values of the columns on which they depend.

    Raises
    ------
    LookupError
        When the frame's value is none of the cases of a setting; holds both.
    """
    return cast(Declared, SimpleNamespace(**{name: _settled(value, known) for name, value in settings.items()}))


def _settled(setting: Any, known: Mapping[str, Any]) -> Any:
    if isinstance(setting, By):
        for value, each in setting.cases:
            if value == known[setting.column] and isinstance(value, bool) == isinstance(known[setting.column], bool):
                return _settled(each, known)
        raise LookupError(setting, known[setting.column])
    if not any(True for _ in cases_in(setting)):
        return setting
    if isinstance(setting, Step):
        return replace(setting, **{one.name: _settled(getattr(setting, one.name), known) for one in fields(setting)})
    if isinstance(setting, dict | MappingProxyType):
        return {name: _settled(each, known) for name, each in setting.items()}
    return tuple([_settled(each, known) for each in setting])


def every_case(settings: Mapping[str, Any]) -> Iterator[Declared]:
    """Give the settings of each combination of cases that all of them list."""
    for _, declared in by_case(settings):
        yield declared


def by_case(settings: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], Declared]]:
    """Give each combination of cases that all of them list, and the settings that hold then.

    A combination is the frame's values by column; it is empty where nothing depends on the frame.
    """
    values: dict[str, dict[Any, None]] = {}
    for setting in cases_in(tuple(settings.values())):
        values.setdefault(setting.column, {}).update({value: None for value, _ in setting.cases})
    for combination in product(*values.values()):
        known = dict(zip(values, combination, strict=True))
        try:
            yield known, settled(settings, known)
        except LookupError:
            continue


def misdeclared_cases(settings: Mapping[str, Any]) -> Iterator[Fault]:
    """Faults of the cases themselves that show without an instrument's class."""
    for name, setting in settings.items():
        for case in cases_in(setting):
            if name in ("cal_type", "time"):
                yield Fault(name, f"has cases of its {name}", f"Write one {name}; another one takes another selector.")
            elif not isinstance(case.column, str):
                yield Fault(name, f"has cases by {shown(case.column)}", "Name the column on which they depend.")
            elif not _is_listed(case):
                hint = f'Write by("{case.column}", {{value: setting}}).'
                yield Fault(name, f"has cases by {case.column} that are no mapping of values to settings", hint)
            elif any(value is None for value, _ in case.cases):
                said = f"has a case for None of {case.column}, but a frame must have the value"
                yield Fault(name, said, "A null cannot be a case; leave it out.")


def faulty_cases(settings: Mapping[str, Any], orm_class: type[ORMCalibration]) -> Iterator[Fault]:
    """Faults of the cases that show beside an instrument's class."""
    columns = orm_class.table().c
    for name, setting in settings.items():
        for case in cases_in(setting):
            if case.column not in columns:
                said = f"has cases by {case.column}, which {orm_class.__name__} does not have"
                yield Fault(name, said, f"Its columns are {', '.join(columns.keys())}.")
                continue
            for value, _ in case.cases:
                try:
                    form = normal_form(columns[case.column], value, "the selector")
                except HeaderError as error:
                    said = f"has a case for {value!r} of {case.column}, which it cannot hold ({error.__cause__})"
                    yield Fault(name, said, "Write a value that it can hold.")
                    continue
                if form != value:
                    said = f"has a case for {value!r} of {case.column}, which holds it as {form!r}"
                    yield Fault(name, said, "Write the value as the column holds it.")


def columns_of_cases(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Columns on which settings depend, each once."""
    return tuple(dict.fromkeys(case.column for case in cases_in(tuple(settings.values()))))


def compared_with(settings: Mapping[str, Any], record: ORMCalibration) -> tuple[str, ...]:
    """Columns in which a frame of the same cases as a record must equal it; none where no case is its own."""
    try:
        declared = settled(settings, {name: record.get(name) for name in columns_of_cases(settings)})
    except LookupError:
        return ()
    return (*declared.match, *declared.given)


def unlisted(setting: By, value: Any, frame: Frame, cal_type: str) -> HeaderError:
    """Give the error for a frame whose value is none of the cases."""
    column, listed = setting.column, [str(each) for each, _ in setting.cases]
    cases = f"cases are {', '.join(listed[:-1])} and {listed[-1]}" if len(listed) > 1 else f"only case is {listed[0]}"
    return HeaderError(
        f"The rule of {cal_type} has no case for the {column} {shown(value)} of {frame.source}; its {cases}.",
        "Correct the header, or give the value yourself.",
        column=column,
        keywords=(),
        source=frame.source,
    )


def _is_listed(setting: By) -> bool:
    cases = setting.cases
    return isinstance(cases, tuple) and bool(cases) and all(isinstance(value, Hashable) for value, _ in cases)
