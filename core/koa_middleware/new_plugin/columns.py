"""Which columns a FITS file's headers suggest for a new plugin."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..disk.fits import open_fits
from ..instrument.keywords import bare
from ..instrument.orm import ORMCalibration
from .standard import CAL_TYPE, COLUMNS, DATES, NOTHING, OF_THE_BASE, STARTS, STRUCTURE, Role, Standard

#: SQLAlchemy's type for a card's.
_KINDS = {bool: "Boolean", int: "Integer", float: "Float", str: "String"}

#: Python's type for SQLAlchemy's.
PYTHON = {"Boolean": "bool", "Integer": "int", "Float": "float", "String": "str"}

#: What types are called where a header does not say.
TYPES = ("bias", "dark", "flat", "arc")


@dataclass(frozen=True)
class Card:
    """A card of a header; `keyword` is as `fits_column` takes it, with the extension's name before it."""

    keyword: str
    value: Any
    comment: str


@dataclass(frozen=True)
class Picked:
    """A column of a new class.

    Attributes
    ----------
    name : str
    keywords : tuple of str
    kind : str
        SQLAlchemy's type.
    role : str
    unit, doc : str
    value
        What the header has.
    """

    name: str
    keywords: tuple[str, ...]
    kind: str
    role: Role = "none"
    unit: str = ""
    doc: str = ""
    value: Any = None


@dataclass(frozen=True)
class Suggestion:
    """What a header suggests.

    Attributes
    ----------
    columns : tuple of Picked
        In order, those of the base with other keywords first.
    instrume : str
        What the header's INSTRUME says; empty: nothing.
    types : tuple of str
        What a bias, a dark, a flat and an arc are called.
    left_out : tuple of str
        Keywords that fill no column.
    """

    columns: tuple[Picked, ...]
    instrume: str = ""
    types: tuple[str, ...] = TYPES
    left_out: tuple[str, ...] = field(default=())


#: Of no header.
PLAIN = Suggestion(
    (
        Picked("binning", ("BINNING",), "Integer", "detector", doc="Pixels that were read as one", value=1),
        Picked("filter_name", ("FILTER",), "String", "optics", doc="Name of the filter", value="clear"),
        Picked("exposure_time", ("EXPTIME",), "Float", "exposure", "s", "Exposure time", 30.0),
    )
)


def suggested_by(path: Path) -> Suggestion:
    """Read a FITS file's headers, and suggest columns.

    Raises
    ------
    SourceFileError
        When the file cannot be read as FITS.
    """
    with open_fits(path) as hdus:
        named = [(hdu.header, hdu.name if number else "PRIMARY") for number, hdu in enumerate(hdus)]
        cards = [card for header, name in named for card in _cards(header, name)]
    return suggested(cards)


def suggested(cards: Iterable[Card]) -> Suggestion:
    """Suggest columns for the cards of a file's headers; of a keyword in several headers the first counts."""
    by_keyword: dict[str, Card] = {}
    for card in cards:
        by_keyword.setdefault(card.keyword.rpartition(":")[2], card)
    base = [*_of_the_base(by_keyword)]
    own = [column for standard in COLUMNS for column in _standard(standard, by_keyword)]
    used = {keyword.rpartition(":")[2] for column in (*base, *own) for keyword in column.keywords}
    instrume = str(by_keyword["INSTRUME"].value) if "INSTRUME" in by_keyword else ""
    left_out = [c.keyword for keyword, c in by_keyword.items() if keyword not in used and keyword not in OF_THE_BASE]
    return Suggestion((*base, *own), instrume if bare(instrume) else "", _types(by_keyword), tuple(left_out))


def _types(cards: dict[str, Card]) -> tuple[str, ...]:
    """Give the types, one of them by the header's own word for it: ``arclamp`` for ``arc``."""
    said = next((str(cards[keyword].value).lower() for keyword in CAL_TYPE if keyword in cards), "")
    return tuple(said if re.fullmatch(rf"{name}[a-z0-9_]*", said) else name for name in TYPES)


def _cards(header: Any, extname: str) -> Iterable[Card]:
    if not re.fullmatch(r"[A-Za-z0-9_-]+", extname):  # a column names no extension without a name
        return
    prefix = f"{extname}:" if extname != "PRIMARY" else ""
    for card in header.cards:
        keyword = str(card.keyword)
        if not re.fullmatch(r"[A-Z0-9_-]{1,8}", keyword) or keyword.startswith(STRUCTURE):
            continue
        value = card.value.strip() if isinstance(card.value, str) else card.value
        if type(value) in _KINDS and str(value).upper() not in ("", *NOTHING):
            yield Card(f"{prefix}{keyword}", value, str(card.comment).strip())


def _of_the_base(cards: dict[str, Card]) -> Iterable[Picked]:
    """Common columns that the header fills by other keywords than the base's."""
    table = ORMCalibration.__dict__
    for name, others in (("cal_type", CAL_TYPE), ("datetime_obs", DATES), ("mjd_start", STARTS)):
        known = tuple(table[name].column.info["keywords"])
        found = next((keyword for keyword in others if keyword in cards), None)
        if found is not None and not any(keyword in cards for keyword in known):
            kind = "Float" if name == "mjd_start" else "String"
            doc = cards[found].comment
            yield Picked(name, (*known, cards[found].keyword), kind, "none", "d" * (kind == "Float"), doc)


def _standard(standard: Standard, cards: dict[str, Card]) -> Iterable[Picked]:
    """Give the column of the keywords that the header has; of several with different values the first counts."""
    found = [cards[keyword] for keyword in standard.keywords if keyword in cards]
    if found:
        kind = standard.kind or _KINDS[type(found[0].value)]
        keywords = tuple(card.keyword for card in found if kind == _KINDS[type(card.value)] or kind == "Float")
        value = found[0].value
        if kind == "Float" and not isinstance(value, float):
            value = _number(value)
        if keywords and value is not None:
            is_compared = standard.role in ("detector", "optics")
            role = "none" if is_compared and kind == "Float" else standard.role  # floats are seldom equal
            yield Picked(standard.name, keywords, kind, role, standard.unit, found[0].comment, value)


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
