"""The cards by which an instrument's pipeline itself says what its files were made with, as a plugin declares them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from ..disk.fits_cards import is_keyword
from ..exceptions import did_you_mean

#: What a pipeline's card may tell of a calibration; of these, file, id and checksum say which one it is.
FIELDS = ("file", "id", "checksum", "version", "quality", "delta_days")

#: How the keywords of this package's own cards begin.
_OURS = "KC"

_CARDS_HINT = 'Write {"bias": {"file": "BIASFILE", "delta_days": "AGEBIAS"}}; of a pair {"file": ("WLS1", "WLS2")}.'
_INPUTS_HINT = 'Write ("INPBIAS", "INPDARK").'
_KEYWORD_HINT = "A keyword has up to 8 of A-Z, 0-9, - and _, is not the structure's, and does not begin with KC."

#: By cal type and field, the keywords: one, or two for the calibrations of a pair in the order of their times.
ProductCards = Mapping[str, Mapping[str, tuple[str, ...]]]


def faults_of_cards(given: Any, cal_types: Collection[str]) -> Iterator[tuple[str, str]]:
    """Say what is wrong with a plugin's `product_cards`, and what to do.

    Parameters
    ----------
    given
    cal_types : collection of str
        Those that there are; empty: any.
    """
    if not isinstance(given, Mapping):
        yield f"its product_cards are {given!r}, not a mapping", _CARDS_HINT
        return
    seen: set[str] = set()
    for cal_type, fields in given.items():
        if not isinstance(cal_type, str) or (cal_types and cal_type not in cal_types):
            hint = f"{did_you_mean(str(cal_type), cal_types)}Its types are {', '.join(cal_types)}."
            yield f"its product_cards name {cal_type!r}, which is not among its types", hint
            continue
        if not isinstance(fields, Mapping):
            yield f"its product_cards of {cal_type} are {fields!r}, not a mapping", _CARDS_HINT
            continue
        for field, keywords in fields.items():
            where = f"its product_cards of {cal_type}"
            if field not in FIELDS:
                hint = f"{did_you_mean(str(field), FIELDS)}It may be {', '.join(FIELDS)}."
                yield f"{where} name {field!r}, which no card tells", hint
            elif not (isinstance(keywords, str) or (isinstance(keywords, tuple | list) and len(keywords) == 2)):
                yield f"{where} have {keywords!r} as the {field}", _CARDS_HINT
            else:
                yield from _faults_of_keywords(where, _listed(keywords), seen)


def faults_of_inputs(given: Any) -> Iterator[tuple[str, str]]:
    """Say what is wrong with a plugin's `inputs`, and what to do."""
    if not isinstance(given, tuple):
        yield f"its inputs are {given!r}, not a list of keywords", _INPUTS_HINT
        return
    yield from _faults_of_keywords("its inputs", given, set())


def _faults_of_keywords(where: str, keywords: Iterable[Any], seen: set[str]) -> Iterator[tuple[str, str]]:
    for keyword in keywords:
        if not is_keyword(keyword) or keyword.startswith(_OURS):
            yield f"{where} have {keyword!r}, which is no keyword of a pipeline's card", _KEYWORD_HINT
        elif keyword in seen:
            yield f"{where} have {keyword}, which stands there twice", "Give each card its own keyword."
        else:
            seen.add(keyword)


def settled_cards(given: Mapping[str, Mapping[str, Any]]) -> ProductCards:
    """Give a plugin's `product_cards`, which have no fault, each with a tuple of keywords."""
    return MappingProxyType(
        {
            cal_type: MappingProxyType({field: _listed(keywords) for field, keywords in fields.items()})
            for cal_type, fields in given.items()
        }
    )


def _listed(keywords: Any) -> tuple[Any, ...]:
    return (keywords,) if isinstance(keywords, str) else tuple(keywords)
