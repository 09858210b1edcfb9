"""Which calibrations a product was made with: as FITS cards, as lines of a pipeline's history, and in terms of PROV."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...choosing.bracket import Bracket
from ...choosing.wording import offset
from ...database.versions import core_version, plugin_version
from ...display import html_table, in_brackets, render
from ...exceptions import ConfigurationError, HeaderWarning, KoaMiddlewareError, warn
from ...given import listed, path_of, record_of
from ...instrument.orm import ORMCalibration
from ...instrument.plain import shown
from .cards import COMMENTS, as_cards, card_of, escaped, is_ours, told_by
from .product import check_no_calibration
from .prov_json import as_prov
from .uses import name_key

if TYPE_CHECKING:
    from astropy.io.fits import Header

_SIDES = ("before", "after")

#: Characters of a line of HISTORY, which has eight for its keyword.
_LINE = 72


@dataclass(frozen=True)
class Calibration:
    """One calibration that a product was made with.

    Attributes
    ----------
    cal_type : str
    record : record
    quality : str
        As it counted when it was chosen: what was judged here, else what its row says.
    role : str or None
        Its side of a pair, ``"before"`` or ``"after"``.
    weight : float or None
        Its weight in a linear interpolation between the two.
    """

    cal_type: str
    record: ORMCalibration
    quality: str
    role: str | None = None
    weight: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        record, choice = self.record, self.record.choice
        return {
            "cal_type": self.cal_type,
            "role": self.role,
            "file": record.filename,
            "id": record.id,
            "checksum": record.checksum,
            "version": record.cal_version,
            "quality": self.quality,
            "delta_days": choice and choice.delta_days,
            "weight": self.weight,
            "rule": choice and choice.rule,
            "step": choice and choice.step,
            "given_by_user": choice and choice.given_by_user,
            "as_of": choice and choice.as_of,
        }


@dataclass(frozen=True)
class Provenance:
    """What a product was made with.

    Attributes
    ----------
    calibrations : sequence of Calibration
    missing : sequence of str
        Types of which nothing was found.
    orm_class : type
    """

    calibrations: Sequence[Calibration]
    missing: Sequence[str]
    orm_class: type[ORMCalibration] = field(repr=False)
    _folders: Sequence[Path] = field(repr=False, compare=False)

    def cards(self) -> Header:
        """Give the cards of a product's header: ours, and those that the plugin says its pipeline has.

        Returns
        -------
        astropy.io.fits.Header

        Raises
        ------
        ConfigurationError
            When there are more than 99 calibrations.
        """
        header = as_cards(self._together(), [each.to_dict() for each in self.calibrations])
        header.extend(self._product_cards())
        return header

    def put_into(self, header: Header) -> None:
        """Put the cards into a header, in the place of those of an earlier time.

        Parameters
        ----------
        header : astropy.io.fits.Header
            Is changed.

        Raises
        ------
        ConfigurationError
            When it is no header, or there are more than 99 calibrations.
        """
        from ...disk.fits import check_header
        from ...disk.fits_cards import put_cards

        check_header(header)
        before = [(keyword, header[keyword]) for keyword in header if self._is_of_calibrations(keyword)]
        put_cards(header, self.cards(), self._replaced(before))

    def write(self, path: str | os.PathLike[str]) -> Path:
        """Put the cards into the primary header of a product; all else in the file stays.

        The file is written beside its place and takes it in one step, its CHECKSUM is brought up to date where it has
        one. It may be compressed with gzip.

        Returns
        -------
        pathlib.Path
            The product.

        Raises
        ------
        SourceFileError
            When it is no FITS file, is damaged, packed (fpack), or compressed otherwise.
        ConfigurationError
            When it is a file of the cache, or there are more than 99 calibrations.
        CacheError
            When it cannot be written.
        """
        from ...disk.fits_cards import cards_of_all_units, write_cards
        from ...disk.reading import user_path

        product, cards = user_path(path_of("path", path)), self.cards()
        check_no_calibration(product, self._folders)
        before, *_ = cards_of_all_units(product, self._is_of_calibrations)
        write_cards(product, cards, self._replaced(before))
        self._tell_of_others(product, dict(reversed(before)), cards)
        return product

    def _tell_of_others(self, product: Path, before: Mapping[str, Any], cards: Header) -> None:
        """Warn where the pipeline itself had named another file."""
        for fields in self.orm_class.product_cards.values():
            for keyword in fields.get("file", ()):
                said, says = before.get(keyword), cards.get(keyword)
                if isinstance(said, str) and says and name_key(said) != name_key(says):
                    warn(f"{product} said {keyword} = {said}; it says {says} now.", HeaderWarning)

    def history(self) -> list[str]:
        """Give lines for the HISTORY of a header, each of 72 characters or fewer."""
        core, plugin = core_version()[0], plugin_version(self.orm_class)
        number = len(self.calibrations)
        said = f"{number} calibration{'' if number == 1 else 's'} by koa-middleware {core}"
        lines = [f"{said}, {self.orm_class.instrument_name} {plugin}".rstrip()]
        for each in self.calibrations:
            lines += _lines(each)
        if self.missing:
            lines.append(f"nothing found: {', '.join(self.missing)}")
        return [line[start : start + _LINE] for line in lines for start in range(0, len(line), _LINE)]

    def to_dict(self) -> dict[str, Any]:
        """Give it in the terms of W3C PROV, as PROV-JSON."""
        return as_prov(self._together(), [(each.to_dict(), each.record) for each in self.calibrations])

    def __repr__(self) -> str:
        return in_brackets(self, self._title())

    def __str__(self) -> str:
        return render(("type", "calibration", "id", "quality", "time"), self._rows(), title=self._title())

    def _repr_html_(self) -> str:
        return html_table(("type", "calibration", "id", "quality", "time"), self._rows(), title=self._title())

    def _title(self) -> str:
        return self.history()[0]

    def _rows(self) -> list[Sequence[str]]:
        return [
            (
                f"{each.cal_type}, {each.role}" if each.role else each.cal_type,
                each.record.filename,
                each.record.id,
                each.quality,
                offset(each.record.choice and each.record.choice.delta_days),
            )
            for each in self.calibrations
        ]

    def _together(self) -> dict[str, Any]:
        return {
            "number": len(self.calibrations),
            "core": core_version()[0],
            "instrument": self.orm_class.instrument_name,
            "plugin": plugin_version(self.orm_class) or None,
            "missing": ", ".join(self.missing) or None,
        }

    def _product_cards(self) -> Iterator[tuple[str, Any, str]]:
        """Give the pipeline's own cards; where there are two of a kind, each calibration of the type takes the next."""
        for cal_type, fields in self.orm_class.product_cards.items():
            told = [each.to_dict() for each in self.calibrations if each.cal_type == cal_type]
            for name, keywords in fields.items():
                for keyword, calibration in zip(keywords, told, strict=False):
                    yield from card_of(keyword, calibration[name], f"{COMMENTS[name]}, {cal_type}")

    def _is_of_calibrations(self, keyword: str) -> bool:
        """Whether a card is one of ours, or one of the pipeline's own."""
        fields = self.orm_class.product_cards.values()
        return is_ours(keyword) or any(keyword in keywords for each in fields for keywords in each.values())

    def _replaced(self, before: Sequence[tuple[str, Any]]) -> Callable[[str], bool]:
        """Say which cards go: ours, and the pipeline's of these types, and of those that an earlier block wrote."""
        own, said = self.orm_class.product_cards, dict(before)
        types = {each.cal_type for each in self.calibrations}
        for known in told_by(before).each:
            of_file = own.get(known.get("cal_type", ""), {}).get("file", ())
            if any(said.get(keyword) == escaped(str(known.get("file"))) for keyword in of_file):
                types.add(known["cal_type"])
        going = {keyword for name in types for keywords in own.get(name, {}).values() for keyword in keywords}
        return lambda keyword: is_ours(keyword) or keyword in going


def _lines(each: Calibration) -> list[str]:
    told = each.to_dict()
    side = f", {each.role}" if each.role else ""
    facts = [f"version {told['version']}", each.quality]
    if each.record.choice is not None:
        facts += [offset(told["delta_days"]), told["rule"]]
        facts += [f"step {told['step']}"] if told["step"] else []
        facts += ["given by the user"] if told["given_by_user"] else []
    more = [f" id {each.record.id}", f" {', '.join(facts)}"]
    more += [f" {each.record.checksum}"] if each.record.checksum else []
    return [f"{each.cal_type}{side}: {each.record.filename}", *more]


def provenance_of(
    results: Any,
    orm_class: type[ORMCalibration],
    judged: Mapping[str, str | None],
    folders: Sequence[Path],
) -> Provenance:
    """Give the provenance of what a product was made with.

    Parameters
    ----------
    results : mapping or iterable
        By cal type, or in a list: records, results, pairs of either, and errors.
    orm_class : type
    judged : mapping
        By id, the quality that was judged here, which counts.
    folders : sequence of pathlib.Path
        Where the calibrations stand, which no cards are written into.

    Raises
    ------
    ConfigurationError
        When something else is given.
    """
    if isinstance(results, Mapping):
        answers = list(results.items())
    else:
        answers = [(None, answer) for answer in ([results] if _is_one(results) else listed(results, str))]
    calibrations: list[Calibration] = []
    missing: list[str] = []
    for cal_type, answer in answers:
        if isinstance(answer, KoaMiddlewareError):
            missing.append(str(cal_type or getattr(answer, "cal_type", None) or "unknown"))
            continue
        for role, weight, side in _sides(answer):
            record = _record(side, orm_class)
            named = cal_type or (record.choice and record.choice.cal_type) or record.cal_type
            _check_type(str(named), record)
            quality = judged.get(record.id) or record.quality
            calibrations.append(Calibration(str(named), record, quality, role, weight))
    return Provenance(tuple(calibrations), tuple(missing), orm_class, tuple(folders))


def _check_type(cal_type: str, record: ORMCalibration) -> None:
    if cal_type != record.cal_type:
        raise ConfigurationError(
            f"{record.filename} is given as a {cal_type}, and is of the type {record.cal_type}.",
            "Give what get_calibrations or select_set gave.",
            setting="results",
        )


def _is_one(given: Any) -> bool:
    """Whether this is one answer, of which some are tuples or can be iterated over."""
    return isinstance(given, Bracket | ORMCalibration) or hasattr(given, "calibration")


def _sides(answer: Any) -> Iterator[tuple[str | None, float | None, Any]]:
    if not isinstance(answer, Bracket):
        yield None, None, answer
        return
    weight = answer.weight
    weights = (None, None) if weight is None else (1 - weight, weight)
    for role, share, side in zip(_SIDES, weights, answer, strict=True):
        if side is not None:
            yield role, share, side


def _record(given: Any, orm_class: type[ORMCalibration]) -> ORMCalibration:
    record = getattr(given, "calibration", given)
    if isinstance(record, orm_class):
        return record_of(record)
    raise ConfigurationError(
        f"{shown(given)} is no calibration of {orm_class.instrument_name}.",
        "Give what get_calibrations or select_set gave, one frame's set of select_sets, or a list of results, records, "
        "pairs.",
        setting="results",
    )
