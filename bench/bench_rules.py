"""Each kind of rule by the index, beside queries written by hand of the same meaning."""

from __future__ import annotations

import random
import sqlite3
import warnings
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing
from datetime import timedelta
from functools import partial
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from koa_middleware import (
    CalibrationSelector,
    CalibrationStore,
    FallbackWarning,
    ORMCalibration,
    Step,
    fits_column,
    relative,
)
from koa_middleware.instrument.times import iso_from_mjd
from koa_middleware.plugins import InstrumentPlugin
from made import FIRST_MJD, fill
from measuring import Row, medians, row
from sqlalchemy import Float, Index, String
from sqlalchemy.orm import Mapped

#: Calibrations for each day, and days between two boundaries.
PER_DAY, BETWEEN_BOUNDARIES = 100, 30.0
BOUNDARIES = tuple(FIRST_MJD + BETWEEN_BOUNDARIES * number for number in range(400))


class RulesCalibration(ORMCalibration):
    """A calibration of an instrument that does not exist."""

    instrument_name = "rules"
    cal_types = ("dark", "wls", "mask", "trace")
    __table_args__ = (
        Index(None, "cal_type", "arm", "mjd_start"),
        Index(None, "cal_type", "arm", "lamp", "mjd_start"),
        Index(None, "cal_type", "arm", "valid_from"),
    )

    arm: Mapped[str | None] = fits_column("ARM", String)
    lamp: Mapped[str | None] = fits_column("LAMP", String)
    exposure_time: Mapped[float | None] = fits_column("EXPTIME", Float)
    valid_from: Mapped[float | None] = fits_column("VALFROM", Float)
    valid_to: Mapped[float | None] = fits_column("VALTO", Float)


TABLE = RulesCalibration.table().name
COLUMNS = RulesCalibration.column_names()
INSERT = f"INSERT INTO {TABLE} ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"


def made_rows(count: int) -> Iterator[tuple[Any, ...]]:
    """Whole rows: all types, arms, lamps and exposure times; one in ten bad, each trace valid until the next one."""
    pick = random.Random(count)
    for number in range(count):
        mjd = FIRST_MJD + (number + pick.random()) / PER_DAY
        values = {
            "id": f"{number:032x}",
            "filename": f"{number:08d}.fits",
            "cal_type": pick.choice(RulesCalibration.cal_types),
            "datetime_obs": iso_from_mjd(mjd),
            "mjd_start": mjd,
            "origin": "REMOTE",
            "cal_version": "001",
            "master_cal": False,
            "quality": "BAD" if pick.random() < 0.1 else "GOOD",
            "last_updated": "2026-01-01T00:00:00.000000",
            "arm": pick.choice(("blue", "red")),
            "lamp": pick.choices(("lfc", "etalon", "thar"), (1, 9, 90))[0],
            "exposure_time": pick.choice((1.0, 10.0, 30.0, 31.0, 300.0)),
            "valid_from": mjd,
            "valid_to": mjd + 1.0,
        }
        yield tuple(values.get(name) for name in COLUMNS)


NEAREST = CalibrationSelector(cal_type="wls", match=("arm",))
RULES = {
    "nearest": NEAREST,
    "bracket, boundaries": CalibrationSelector(
        cal_type="wls", match=("arm",), never_across=BOUNDARIES, max_age=timedelta(days=5), direction="bracket"
    ),
    "within": CalibrationSelector(cal_type="dark", match=("arm",), within={"exposure_time": relative(0.1)}),
    "three steps": CalibrationSelector(
        cal_type="wls",
        match=("arm",),
        prefer=(
            Step({"lamp": "lfc"}, max_age=timedelta(minutes=1)),
            Step({"lamp": "etalon"}, max_age=timedelta(minutes=1)),
            Step({"lamp": "thar"}),
        ),
    ),
    "validity": CalibrationSelector(cal_type="trace", match=("arm",), validity=("valid_from", "valid_to")),
    "anchor": CalibrationSelector(cal_type="mask", match=("arm",), anchor="wls"),
}


class Hand(NamedTuple):
    """A connection, on which queries by hand are made."""

    connection: sqlite3.Connection

    def rows(self, what: str, **asked: Any) -> list[Any]:
        """Give the rows of a query of good ones."""
        query = f"SELECT * FROM {TABLE} WHERE quality <> 'BAD' AND {what}"
        return self.connection.execute(query, asked).fetchall()

    def side(self, cal_type: str, more: str, order: str, **asked: Any) -> list[Any]:
        """Give the row that is nearest on one side."""
        what = f"cal_type = '{cal_type}' AND arm = :arm AND {more} ORDER BY mjd_start {order} LIMIT 1"
        return self.rows(what, **asked)

    def nearest(self, cal_type: str, more: str = "mjd_start", **asked: Any) -> list[Any]:
        """Give the nearest row, of equally near ones the earlier."""
        sides = (("<= :time", "DESC"), (">= :time", ""))
        found = [each for limit, order in sides for each in self.side(cal_type, f"{more} {limit}", order, **asked)]
        return sorted(found, key=lambda each: abs(each[TIME] - asked["time"]))[:1]


TIME = COLUMNS.index("mjd_start")


def _pair(hand: Hand, arm: str, time: float) -> list[Any]:
    place = bisect_right(BOUNDARIES, time)
    first = max(BOUNDARIES[place - 1] if place else 0.0, time - 5)
    last = min(BOUNDARIES[place] if place < len(BOUNDARIES) else 1e9, time + 5)
    before = hand.side("wls", "mjd_start BETWEEN :first AND :time", "DESC", arm=arm, time=time, first=first)
    after = hand.side("wls", "mjd_start > :time AND mjd_start < :last", "", arm=arm, time=time, last=last)
    return before + after


def _steps(hand: Hand, arm: str, time: float) -> list[Any]:
    for lamp, age in (("lfc", 1 / 1440), ("etalon", 1 / 1440), ("thar", None)):
        limits = "mjd_start" if age is None else "mjd_start BETWEEN :time - :age AND :time + :age AND mjd_start"
        found = hand.nearest("wls", f"lamp = :lamp AND {limits}", arm=arm, time=time, lamp=lamp, age=age)
        if found:
            return found
    return []


def _valid(hand: Hand, arm: str, time: float) -> list[Any]:
    valid = "cal_type = 'trace' AND arm = :arm AND valid_from <= :time AND (valid_to IS NULL OR valid_to > :time)"
    return hand.rows(f"{valid} ORDER BY valid_from DESC LIMIT 1", arm=arm, time=time)


def _anchored(hand: Hand, arm: str, time: float) -> list[Any]:
    (anchor,) = hand.nearest("wls", arm=arm, time=time)
    return hand.nearest("mask", arm=arm, time=anchor[TIME])


BY_HAND: dict[str, Callable[[Hand, str, float], list[Any]]] = {
    "nearest": lambda hand, arm, time: hand.nearest("wls", arm=arm, time=time),
    "bracket, boundaries": _pair,
    "within": lambda hand, arm, time: hand.nearest(
        "dark", "exposure_time BETWEEN 27.0 AND 33.0 AND mjd_start", arm=arm, time=time
    ),
    "three steps": _steps,
    "validity": _valid,
    "anchor": _anchored,
}


def rows(quick: bool) -> Iterable[Row]:
    """For each kind of rule the larger table, and the growth from a small one."""
    InstrumentPlugin(RulesCalibration, [NEAREST])
    small, large = (1_000, 10_000) if quick else (1_000, 1_000_000)
    rounds = 20 if quick else 300
    with ExitStack() as stack, warnings.catch_warnings():
        warnings.simplefilter("ignore", FallbackWarning)
        calls = {**_calls(stack, small, rounds + 20), **_calls(stack, large, rounds + 20)}
        found = medians(calls, rounds, warm_up=20)
    for name in RULES:
        what, ours, by_hand = (
            f"{name} in {large:,} rows",
            found[f"{name} in {large}"],
            found[f"{name} by hand in {large}"],
        )
        yield row(what, ours, "queries by hand", by_hand, 4.0)
        growth = by_hand / found[f"{name} by hand in {small}"]
        note = f"by hand it grows by {growth:.2f}"
        yield row(what, ours, f"in {small:,}", found[f"{name} in {small}"], max(1.3, growth), note)


def _calls(stack: ExitStack, size: int, number: int) -> dict[str, Callable[[int], Any]]:
    """Calls of both ways in a table of that size, by name; both must give the same rows."""
    pick = random.Random(size)
    days = size / PER_DAY
    asked = [(pick.choice(("blue", "red")), FIRST_MJD + (0.1 + 0.8 * pick.random()) * days) for _ in range(number)]
    store = stack.enter_context(CalibrationStore(RulesCalibration, stack.enter_context(TemporaryDirectory())))
    fill(store.local_db.path, TABLE, INSERT, made_rows(size))
    hand = Hand(stack.enter_context(closing(sqlite3.connect(store.local_db.path))))
    calls: dict[str, Callable[[int], Any]] = {}
    for name in RULES:
        ours = calls[f"{name} in {size}"] = partial(_ours, store, name, asked)
        by_hand = calls[f"{name} by hand in {size}"] = partial(_by_hand, hand, name, asked)
        for each in range(20):
            if ours(each) != [found[0] for found in by_hand(each)]:
                raise RuntimeError(f"{name}: the two selections differ for {asked[each]}")
    return calls


def _ours(store: Any, name: str, asked: list[tuple[str, float]], number: int) -> list[str]:
    arm, time = asked[number]
    frame: Mapping[str, Any] = {"arm": arm, "mjd_start": time, "exposure_time": 30.0}
    if RULES[name].direction == "bracket":
        return [each.id for each in store.select_bracket(frame, RULES[name]) if each is not None]
    return [store.select(frame, RULES[name]).id]


def _by_hand(hand: Hand, name: str, asked: list[tuple[str, float]], number: int) -> list[Any]:
    return BY_HAND[name](hand, *asked[number])
