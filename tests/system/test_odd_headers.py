"""Odd values in every keyword of every plugin: what cannot be read is told by an error of this package."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from koa_middleware import CalibrationStore, KoaMiddlewareError, available_instruments, get_plugin

from tests.conftest import repetitions

ODD: list[Any] = [
    *("", " ", "N/A", "bogus", "2026-02-12", "2026-02-12T01:02", "1e400", "9" * 400, "T", "None", "nan", "é", "24:00"),
    *("0001-01-01", "9999-12-31T23:59:59.999", "9999-12-31T23:59:60", "2026-02-30T00:00:00", "P1D", "1,2", "bias_"),
    *(0, -1, 1, 3.7, -999.0, 1e300, True, False, 10**30, 2461083.5, float("inf"), float("nan"), None, b"x", b"\xff"),
    *(np.float32(3), np.int64(2), np.ma.masked, np.array([1, 2]), [1], {"a": 1}, object()),
]

NAMES = [
    None,
    "x.fits",
    "x.csv",
    "HB.20260212.20000.00.mastercal-dark.001.fits",
    "HB.20261399.99999.99.mastercal-dark.001.fits",
    "HB.99999999.99999.00.fits",
    "HB.00000000.00000.fits",
    "kpf_20260212_master_bias_autocal-bias.fits",
    "KP.20260212.99999.99_master_bias_L1.fits",
    "kpf_20269999_master_bias.fits",
    "kpf_00010101_master_bias.fits",
    "kpf_99991231_master_WLS_autocal-lfc-all-morn_L1.fits",
    "KP.20260212.43200.00.fits",
    "master_dark_300s.fits",
    "master_dark_20260212_300s.fits",
    "master_lfc_99999999_fiber3.fits",
    "x20260212010203.fits",
    "x99999999999999.fits",
]


def keywords_of(orm_class: Any) -> list[str]:
    own = {keyword for column in orm_class.table().c for keyword in column.info.get("keywords", ())}
    return sorted(own | {"INSTRUME", "TIMESYS", "UTC", "UT", "TIME-OBS", "DATE-MID", "EXTNAME"})


def headers(keywords: list[str], pick: random.Random) -> Iterator[dict[str, Any]]:
    """Headers of which one keyword is odd in every way, then such of which any are."""
    sound = {"MJD-OBS": 61083.2, "CALTYPE": "dark", "IMTYPE": "Bias", "EXPTIME": 300.0, "READSPED": "regular"}
    for keyword in keywords:
        for value in ODD:
            yield {**pick.choice(({}, sound)), keyword: value}
    while True:
        yield {keyword: pick.choice(ODD) for keyword in pick.sample(keywords, pick.randint(1, len(keywords)))}


@pytest.mark.parametrize("instrument", available_instruments())
def test_an_odd_header_is_read_or_refused_by_an_error_of_this_package(tmp_path: Any, instrument: str) -> None:
    plugin, pick = get_plugin(instrument), random.Random(instrument)
    keywords = keywords_of(plugin.ORM)
    tries = len(keywords) * len(ODD) * repetitions(1, 40)
    with CalibrationStore(plugin.ORM, tmp_path) as store:
        for _, header in zip(range(tries), headers(keywords, pick), strict=False):
            name = pick.choice(NAMES)
            selectors = list(plugin.ORM.selectors)
            outcomes(store, header, name, pick.sample(selectors, repetitions(1, len(selectors))))


def outcomes(
    store: CalibrationStore[Any], header: dict[str, Any], name: str | None, selectors: Iterable[str] | None = None
) -> None:
    """Read a header as a calibration's and as a frame's; another error than ours ends the test."""
    orm_class = store.orm_class
    try:
        row = orm_class.complete_row({"filename": "x.fits", **orm_class.values_from_header(header, name)}, "x")
    except KoaMiddlewareError:
        pass
    else:
        assert orm_class.complete_row(row, "x") == row
        assert 15020 <= row["mjd_start"] < 88069
    for selector in orm_class.selectors if selectors is None else selectors:
        with suppress(KoaMiddlewareError):
            store.select({**header, **({} if name is None else {"filename": name})}, selector)
