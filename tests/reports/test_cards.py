"""The cards of a provenance: any text comes back from a file, and other programs accept them."""

from __future__ import annotations

import io
import math
import re
import warnings
from typing import Any

import pytest
from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning
from hypothesis import given, settings
from hypothesis import strategies as st
from koa_middleware import ConfigurationError
from koa_middleware.reports.provenance.cards import (
    COMMENTS,
    OF_EACH,
    TOGETHER,
    as_cards,
    escaped,
    is_ours,
    told_by,
    unescaped,
)

from tests.conftest import repetitions

#: Keywords of the primary headers of EPRV's data standard, version 1, at levels 2 to 4; # stands for a number.
EPRV = """
    INSTRUME ORGANIZA ORIGIN DATALVL OBSERVER PROGRAM PINAME OBSTYPE OBSMODE READMODE BINNING NUMTRACE NUMORDER
    OBJECT ALIASES FILENAME DATE DATE-OBS JD_UTC EXPTIME TRACE# CLSRC# CSRC# CID# CRA# CDEC# CEQNX# CEPCH# CRV# CPLX#
    CPMR# CPMD# CZ# CCLRN# CCLR# OBSERVAT TELESCOP OBSLON OBSLAT OBSALT SEEING AIRMASS TTIME TEQNX TEPCH TLST# TRA#
    TDEC# TEL# TZA# TAZ# THA# PARANG PARANG2 ROTANG SUNEL MOONANG MOONEL MOONILLU MOONRV INHUM INHUMT OUTTMP OUTTMPT
    OUTHUM OUTHUMT ENVWINDS ENVWINDD DRPTAG EPRVTAG VOCLASS DRPHASH INSTERA EXTRACT EXSNR# EXSNRW# FULLCOMP TELFLAG
    INSTFLAG DRPFLAG ADDFLAG OBSFLAG SUMMFLAG DQLVL# BLZCORR LMPCORR SEDCORR INTERPMD FLXNRMMD DISPCORR BJDTDB RV
    RVERR BERV RVMETHOD SYSVEL SYSACC
"""

TEXTS = st.text(max_size=300)


def written_and_read(header: fits.Header) -> list[tuple[str, Any]]:
    """Give the cards of a header as astropy reads them from a file, in which it finds nothing to complain of."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", AstropyWarning)
        hdus = fits.HDUList([fits.PrimaryHDU()])
        hdus[0].header.extend(header)
        file = io.BytesIO()
        hdus.writeto(file, output_verify="exception")
        with fits.open(io.BytesIO(file.getvalue())) as read:
            read.verify("exception")
            return [(card.keyword, card.value) for card in read[0].header.cards]


@settings(max_examples=repetitions(20, 5000))
@given(st.dictionaries(st.sampled_from([name for name in COMMENTS if name not in ("step", "weight")]), TEXTS))
def test_any_text_comes_back_from_the_cards_of_a_file(texts: dict[str, str]) -> None:
    told = told_by(written_and_read(as_cards({}, [texts])))
    assert told.each == ([texts] if texts else [])


@given(TEXTS)
def test_text_in_a_card_is_what_fits_allows(text: str) -> None:
    assert re.fullmatch(r"[ -%(-~]*", escaped(text)), "printable ASCII without & and '"
    assert not escaped(text).endswith(" ")
    assert unescaped(escaped(text)) == text


@settings(max_examples=repetitions(20, 5000))
@given(st.floats(), st.integers(0, 99), st.booleans())
def test_numbers_come_back_and_what_is_none_has_no_card(delta: float, step: int, given: bool) -> None:
    each = {"delta_days": delta, "step": step, "given_by_user": given, "file": None}
    (read,) = told_by(written_and_read(as_cards({}, [each]))).each
    if math.isfinite(delta):
        assert read.pop("delta_days") == pytest.approx(delta, rel=1e-12)
    assert read == {"step": step, "given_by_user": given}


def full(number: int, long: str = "x" * 200) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    together = {name: long for name, _ in TOGETHER.values()} | {"number": number}
    return together, [{name: f"{n} {long}" for name, _ in OF_EACH.values()} for n in range(number)]


def test_every_card_has_the_form_of_the_standard() -> None:
    """As fitsverify asks: keywords, the length of cards, and that a continued text is announced."""
    header = as_cards(*full(99))
    assert header["KCNUM"] == 99
    assert header.cards[0].keyword == "LONGSTRN"
    keywords = [card.keyword for card in header.cards if card.keyword != "LONGSTRN"]
    assert all(re.fullmatch(r"[A-Z0-9_-]{1,8}", keyword) for keyword in keywords)
    assert len(set(keywords)) == len(keywords)
    assert all(map(is_ours, keywords))
    image = header.tostring()
    assert image.isascii()
    lines = [image[start : start + 80] for start in range(0, len(image), 80)]
    assert all(re.match(r"[A-Z0-9_-]+ *= |CONTINUE  '|END +$| +$", line) for line in lines)


def test_short_text_is_not_announced_as_continued() -> None:
    assert "LONGSTRN" not in as_cards({"number": 1}, [{"file": "dark.fits"}])


def test_no_keyword_is_one_of_the_data_standard() -> None:
    form = [re.compile(keyword.replace("#", r"\d+")) for keyword in EPRV.split()]
    ours = [*TOGETHER, *(f"KC{n:02}{ending}" for n in range(1, 100) for ending in OF_EACH)]
    assert not [keyword for keyword in ours if any(each.fullmatch(keyword) for each in form)]


def test_more_calibrations_than_two_digits_count_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="100 calibrations"):
        as_cards(*full(100))
