"""A selector's rule in words, for docs and terminals; each criterion says its own part."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..instrument.door import columns_of
from ..instrument.orm import ORMCalibration
from .cases import by_case
from .criteria import criteria_of
from .criterion import Columns, Criterion
from .rule import Declared, rules_of
from .selector import CalibrationSelector, settings_of

_METHODS = ("get_candidates", "select_best", "select_fallback", "select")


def in_words(selector: CalibrationSelector, orm_class: type[ORMCalibration]) -> tuple[str, ...]:
    """Give the rule of a selector as short sentences.

    What holds of every rule is not among them: a calibration is of the type, not flagged as bad, not the frame itself,
    and its time is known. What depends on the frame stands last, by its cases.

    Parameters
    ----------
    selector : CalibrationSelector
        It must be without faults beside the class.
    orm_class : type
    """
    columns = columns_of(orm_class)
    told = {_named(known): [*_sentences(declared, columns)] for known, declared in by_case(settings_of(selector))}
    every = dict.fromkeys(sentence for sentences in told.values() for sentence in sentences)
    common = [sentence for sentence in every if all(sentence in sentences for sentences in told.values())]
    return (*common, *_of_cases(told, common), *_of_methods(selector))


def _sentences(declared: Declared, columns: Columns) -> Iterator[str]:
    """Tell what holds in one case: of all steps, of each, and which of what fits is chosen."""
    if declared.anchor is not None:
        yield f"The time of the {declared.anchor} that the frame gets stands for the frame's."
    steps = [criteria_of(rule) for rule in rules_of(declared)]
    common = [criterion for criterion in steps[0] if all(criterion in step for step in steps)]
    for part in _parts(common, columns):
        yield f"{_capital(part)}."
    if declared.prefer:
        own = [_parts([criterion for criterion in step if criterion not in common], columns) for step in steps]
        yield f"First, {'; else, '.join(' and '.join(parts) or 'any' for parts in own)}."
    yield _choice(declared)
    if declared.same:
        yield f"Both agree in {_listed(declared.same)}."


def _choice(declared: Declared) -> str:
    if declared.validity:
        return f"The one with the latest {declared.validity[0]} is chosen."
    if declared.direction == "bracket":
        return f"The nearest at or before the frame and the nearest after it are chosen, by {declared.time}."
    return f"The nearest in {declared.time} is chosen."


def _parts(criteria: Iterable[Criterion], columns: Columns) -> list[str]:
    """Tell criteria; columns of which the same is said share a part."""
    shared: dict[str, list[str]] = {}
    for criterion in criteria:
        for of, said in criterion.words(columns):
            shared.setdefault(said, []).append(of)
    return [_part([*filter(None, of)], said) for said, of in shared.items()]


def _part(of: list[str], said: str) -> str:
    return f"its {_listed(of)} {'are' if len(of) > 1 else 'is'} {said}" if of else f"it {said}"


def _of_cases(told: dict[str, list[str]], common: list[str]) -> Iterator[str]:
    """Tell what holds in some cases only; those of which the same is said share a sentence."""
    shared: dict[str, list[str]] = {}
    for case, sentences in told.items():
        own = [sentence for sentence in sentences if sentence not in common]
        shared.setdefault("; ".join(f"{each[0].lower()}{each[1:-1]}" for each in own), []).append(case)
    for said, cases in shared.items() if len(told) > 1 else ():
        yield f"For {' or '.join(cases)}: {said or 'no more'}."


def _of_methods(selector: CalibrationSelector) -> Iterator[str]:
    programmed = [method for method in _METHODS if selector._overrides(method)]
    if programmed:
        yield f"Programmed besides: {_listed(programmed)}."


def _named(known: dict[str, object]) -> str:
    return ", ".join(f"{column} {value}" for column, value in known.items())


def _listed(names: Iterable[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def _capital(part: str) -> str:
    return f"{part[0].upper()}{part[1:]}"
