r"""The cards that say which calibrations a product was made with: their keywords, and their text.

Keywords are ``KC``, two digits that count the calibrations, and four characters that say what is told; ``KCNUM`` says
how many there are. Neither the FITS standard, nor the data standard of extreme-precision radial velocities, nor a Keck
instrument has a keyword of that form.

FITS knows no text but printable ASCII. Whatever else a text holds stands in its card as Python writes it in a string:
``\xe9`` for an e with an accent, ``\\`` for the backslash itself. So do the quote and the ampersand, which FITS and
its long texts use, and a blank at the end, which FITS drops.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from ...disk.fits_cards import long_text_card, new_header
from ...exceptions import ConfigurationError

if TYPE_CHECKING:
    from astropy.io.fits import Header

MOST = 99
"""Calibrations that two digits count."""

NUMBER = "KCNUM"

#: What is told of all calibrations together, by keyword: its name here, and the comment of its card.
TOGETHER = {
    NUMBER: ("number", "calibrations of this product, KC01... on"),
    "KCCORE": ("core", "version of koa-middleware"),
    "KCINST": ("instrument", "its plugin"),
    "KCPLUG": ("plugin", "version of that plugin"),
    "KCMISS": ("missing", "types of which nothing was found"),
}

#: What is told of each calibration, by the last four characters of its keyword.
OF_EACH = {
    "TYPE": ("cal_type", "type of calibration"),
    "ROLE": ("role", "side of a pair, before or after"),
    "FILE": ("file", "its file"),
    "IDEN": ("id", "its id"),
    "CSUM": ("checksum", "of its file"),
    "VERS": ("version", "its version"),
    "QUAL": ("quality", "its quality when it was used"),
    "DELT": ("delta_days", "[d] its time minus the frame's"),
    "WGHT": ("weight", "its weight in a linear interpolation"),
    "RULE": ("rule", "selector that chose it"),
    "STEP": ("step", "preference that gave it"),
    "USER": ("given_by_user", "whether the user gave it"),
    "ASOF": ("as_of", "UTC, state of the database"),
}

#: The comment of a card by what it tells.
COMMENTS = dict(OF_EACH.values())

_OURS = re.compile(rf"KC(\d\d)({'|'.join(OF_EACH)})")

#: Longer text would leave no room for a comment, which then would be continued too.
_SHORT = 20


def is_ours(keyword: str) -> bool:
    """Whether a card of this keyword is one of ours."""
    return keyword.startswith("KC") and (keyword in TOGETHER or _OURS.fullmatch(keyword) is not None)


class Told(NamedTuple):
    """What a header says of its calibrations.

    Attributes
    ----------
    together : dict
        Of all: ``number``, ``core`` and so on.
    each : list of dict
        Of each calibration, in their order: ``cal_type``, ``file`` and so on.
    """

    together: dict[str, Any]
    each: list[dict[str, Any]]


def as_cards(together: Mapping[str, Any], each: Iterable[Mapping[str, Any]]) -> Header:
    """Give a header of these cards; what is None, or a number that is not finite, has none.

    Raises
    ------
    ConfigurationError
        When there are more calibrations than two digits count.
    """
    calibrations = list(each)
    if len(calibrations) > MOST:
        raise ConfigurationError(
            f"{len(calibrations)} calibrations have no room in a header, where two digits count them.",
            f"Give {MOST} or fewer; to_dict() and history() tell of all.",
            setting="results",
        )
    cards = list(_cards(together, calibrations))
    header = new_header()
    header.extend(cards)
    if any(len(str(card)) > 80 for card in header.cards):
        header.insert(0, long_text_card())
    return header


def _cards(together: Mapping[str, Any], each: list[Mapping[str, Any]]) -> Iterator[tuple[str, Any, str]]:
    for keyword, (name, comment) in TOGETHER.items():
        yield from card_of(keyword, together.get(name), comment)
    for number, calibration in enumerate(each, 1):
        for ending, (name, comment) in OF_EACH.items():
            yield from card_of(f"KC{number:02}{ending}", calibration.get(name), comment)


def card_of(keyword: str, value: Any, comment: str = "") -> Iterator[tuple[str, Any, str]]:
    """Give the card of a value; none of a value that is missing."""
    if isinstance(value, str):
        text = escaped(value)
        yield keyword, text, comment if len(text) <= _SHORT else ""
    elif value is not None and not (isinstance(value, float) and not math.isfinite(value)):
        yield keyword, value, comment


def escaped(text: str) -> str:
    """Give a text in printable ASCII; `unescaped` gives it back."""
    ascii_ = text.encode("unicode_escape").decode("ascii").replace("'", r"\x27").replace("&", r"\x26")
    return f"{ascii_[:-1]}\\x20" if ascii_.endswith(" ") else ascii_


def unescaped(text: str) -> str:
    """Give the text of a card; where somebody else wrote it in another way, as it stands there."""
    try:
        return text.encode("ascii").decode("unicode_escape")
    except UnicodeError:
        return text


def told_by(cards: Iterable[tuple[str, Any]]) -> Told:
    """Read what our cards say.

    Parameters
    ----------
    cards : iterable of tuple
        Keyword and value; others than ours are passed over.
    """
    told = Told({}, [])
    numbered: dict[str, dict[str, Any]] = {}
    for keyword, value in cards:
        known = unescaped(value) if isinstance(value, str) else value
        if found := _OURS.fullmatch(keyword):
            numbered.setdefault(found[1], {}).setdefault(OF_EACH[found[2]][0], known)
        elif keyword in TOGETHER:
            told.together.setdefault(TOGETHER[keyword][0], known)
    told.each.extend(numbered[number] for number in sorted(numbered))
    return told
