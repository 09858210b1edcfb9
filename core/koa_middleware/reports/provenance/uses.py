"""Which calibrations a file says it was made with: by our cards, its pipeline's own, and those that name its inputs.

A calibration is known by checksum and id where a card has them, else by its file's name.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Generic, NamedTuple, Self, TypeVar

from ...disk.checksums import Checksum
from ...disk.compression import without_compression
from ...disk.fits_cards import cards_of_all_units
from ...disk.names import folded
from ...exceptions import KoaMiddlewareError
from ...instrument.orm import ORMCalibration
from ..lock.lock_file import LockFile
from .cards import is_ours, told_by

T = TypeVar("T", bound=Hashable)


class Use(NamedTuple):
    """What a file says of a calibration that it was made with; empty what it does not say.

    Attributes
    ----------
    filename, id, checksum : str
    """

    filename: str = ""
    id: str = ""
    checksum: str = ""


class Keywords(NamedTuple):
    """The keywords that name calibrations in an instrument's files.

    Attributes
    ----------
    products : tuple of Use
        Of each calibration of a product, the keywords of file name, id and checksum.
    inputs : tuple of str
        Each names a file that a master was made from.
    """

    products: tuple[Use, ...]
    inputs: tuple[str, ...]

    @classmethod
    def of(cls, orm_class: type[ORMCalibration]) -> Self:
        """Give those that an instrument's plugin declares."""
        products = []
        for fields in orm_class.product_cards.values():
            of_each = [fields.get(name, ()) for name in ("file", "id", "checksum")]
            for number in range(max(map(len, of_each))):
                products.append(Use(*(each[number] if number < len(each) else "" for each in of_each)))
        return cls(tuple(products), tuple(orm_class.inputs))

    def all(self) -> frozenset[str]:
        """Give them all."""
        return frozenset(filter(None, (*self.inputs, *(keyword for use in self.products for keyword in use))))


def uses_in(path: str, keywords: Keywords) -> list[Use] | str:
    """Give what a FITS file says it was made with, in all its headers; or why it cannot be read."""
    own = keywords.all()
    try:
        units = cards_of_all_units(Path(path), lambda keyword: keyword in own or is_ours(keyword))
    except KoaMiddlewareError as error:
        return error.message
    return list(dict.fromkeys(use for cards in units for use in _uses(cards, keywords) if any(use)))


def _uses(cards: list[tuple[str, Any]], keywords: Keywords) -> Iterator[Use]:
    for each in told_by(cards).each:
        yield _use(each, Use("file", "id", "checksum"))
    values: dict[str, list[str]] = {}  # of a keyword that stands there twice, all
    for keyword, value in cards:
        if isinstance(value, str):
            values.setdefault(keyword, []).append(value)
    for names in keywords.products:
        for number in range(max(len(values.get(name, ())) for name in names)):
            yield _use({name: values[name][number] for name in names if number < len(values.get(name, ()))}, names)
    for keyword, value in cards:
        if keyword in keywords.inputs and isinstance(value, str):
            yield Use(_base(value))


def _use(values: Mapping[str, Any], names: Use) -> Use:
    """Give a use from the values of some names."""
    filename, id_, checksum = (str(values.get(name) or "").strip() for name in names)
    return Use(_base(filename), id_, checksum)


def _base(path: str) -> str:
    return re.split(r"[/\\]", path.strip())[-1]


def uses_of_lock(path: Path) -> list[Use] | str:
    """Give the calibrations of a lock file; or why it cannot be read."""
    try:
        return [Use(each.filename, each.id, each.checksum) for each in LockFile.read(path).calibrations]
    except KoaMiddlewareError as error:
        return error.message


class Calibration(NamedTuple):
    """What is known of a calibration.

    Attributes
    ----------
    id, filename, cal_type, quality : str
    checksum : str or None
    """

    id: str
    filename: str
    cal_type: str
    quality: str
    checksum: str | None


class Users(Generic[T]):
    """Who used which calibrations, to be asked by calibration.

    Parameters
    ----------
    uses : iterable of tuple
        Who, and one use.
    """

    def __init__(self, uses: Iterable[tuple[T, Use]]) -> None:
        self._by: dict[tuple[str, str], dict[tuple[T, Use], None]] = {}
        for who, use in uses:
            for key in _keys(use.filename, use.id, use.checksum):
                self._by.setdefault(key, {}).setdefault((who, use))

    def of(self, calibration: Calibration) -> dict[T, str]:
        """Give who used a calibration, and by what it is known there: its checksum, its id or its file name."""
        found: dict[T, str] = {}
        for key in _keys(calibration.filename, calibration.id, calibration.checksum or ""):
            for who, use in self._by.get(key, ()):
                if by := known_by(use, calibration):
                    found.setdefault(who, by)
        return found


def known_by(use: Use, calibration: Calibration) -> str:
    """Say what identifies a calibration in a use: its checksum, its id or its file name; empty where nothing does.

    Of one name and other content it is not, unless it has the id.
    """
    said, recorded = _checksum(use.checksum), _checksum(calibration.checksum or "")
    if said and said == recorded:
        return "checksum"
    if use.id and use.id == calibration.id:
        return "id"
    is_of_other_content = said is not None and recorded is not None and said.kind == recorded.kind
    if use.id or is_of_other_content or not use.filename:
        return ""
    return "file name" if name_key(use.filename) == name_key(calibration.filename) else ""


def _keys(filename: str, id_: str, checksum: str) -> Iterator[tuple[str, str]]:
    """Give what a calibration is looked for by: the surest first."""
    if parsed := _checksum(checksum):
        yield "checksum", str(parsed)
    if id_:
        yield "id", id_
    if filename:
        yield "file name", name_key(filename)


def _checksum(text: str) -> Checksum | None:
    try:
        return Checksum.parse(text)
    except ValueError:
        return None


def name_key(filename: str) -> str:
    """Give what the names of one content have in common, wherever it stands and however it is compressed."""
    return folded(without_compression(_base(filename)).removesuffix(".fz"))
