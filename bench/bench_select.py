"""Selecting by the index, beside a query written by hand; at sizes from a thousand rows to a million."""

from __future__ import annotations

import random
import shutil
import sqlite3
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from koa_middleware import CalibrationSelector
from made import FIRST_MJD, PER_DAY, TABLE, filled_store
from measuring import Row, at_most, medians, row


def by_hand_of(cal_type: str) -> str:
    """Give the query by hand of HISPEC's rule, without its fallback."""
    admitted = (
        f"SELECT * FROM {TABLE} WHERE cal_type = '{cal_type}' AND instrument_era = :era "
        "AND spectrograph = :spectrograph AND master_cal = 1 AND quality <> 'BAD' AND mjd_start"
    )
    return (
        f"SELECT * FROM (SELECT * FROM ({admitted} <= :time ORDER BY mjd_start DESC LIMIT 1) "
        f"UNION ALL SELECT * FROM ({admitted} >= :time ORDER BY mjd_start LIMIT 1)) "
        "ORDER BY abs(mjd_start - :time), mjd_start LIMIT 1"
    )


BY_HAND = by_hand_of("dark")


def rows(quick: bool) -> Iterable[Row]:
    """One row for each size, and one for the growth."""
    sizes = (1_000, 10_000) if quick else (1_000, 10_000, 100_000, 1_000_000)
    found = {}
    for size in sizes:
        ours, by_hand = found[size] = _measure(size, rounds=200 if quick else 3_000)
        yield row(f"select in {size:,} rows", ours, "query by hand", by_hand, 2.5)
    (first, first_by_hand), (last, last_by_hand) = found[sizes[0]], found[sizes[-1]]
    growth = last_by_hand / first_by_hand
    yield row(
        f"select in {sizes[-1]:,} rows",
        last,
        f"in {sizes[0]:,}",
        first,
        max(1.3, growth),
        f"the query by hand grows by {growth:.2f}",
    )
    yield _programmed(2_600 if quick else 260_000)


class Programmed(CalibrationSelector):
    """Takes what the base class would, by a method of its own."""

    cal_type = "dark"

    def get_candidates(self, input: Mapping[str, Any], db: Any) -> Any:
        """Give what the base class does."""
        return super().get_candidates(input, db)


def _programmed(size: int) -> Row:
    frame = {"instrument_era": "1.0.0", "spectrograph": "BSPEC", "mjd_start": FIRST_MJD}
    with tempfile.TemporaryDirectory() as folder, filled_store(Path(folder), size) as store:
        found = medians({"ours": lambda _: store.select(frame, Programmed)}, rounds=3)
    return at_most(f"a programmed selector among {size:,} candidates", found["ours"], 3.0)


def _measure(size: int, rounds: int) -> tuple[float, float]:
    """Medians, in seconds, of our selection and of the query by hand, which must give the same rows."""
    pick = random.Random(size)
    frames = [
        {
            "instrument_era": pick.choice(("1.0.0", "2.0.0")),
            "spectrograph": pick.choice(("BSPEC", "RSPEC")),
            "mjd_start": FIRST_MJD + pick.random() * size / PER_DAY,
        }
        for _ in range(rounds + 50)
    ]
    with tempfile.TemporaryDirectory() as folder, filled_store(Path(folder), size) as store:
        copy = Path(folder) / "copy.db"
        shutil.copyfile(store.local_db.path, copy)
        connection = sqlite3.connect(copy)

        def ours(number: int) -> Any:
            return store.select(frames[number], "dark")

        def by_hand(number: int) -> Any:
            frame = frames[number]
            asked = {"era": frame["instrument_era"], "spectrograph": frame["spectrograph"], "time": frame["mjd_start"]}
            return connection.execute(BY_HAND, asked).fetchone()

        for number in range(50):
            if ours(number).id != by_hand(number)[0]:
                raise RuntimeError(f"the two selections differ for {frames[number]}")
        found = medians({"ours": ours, "by hand": by_hand}, rounds, warm_up=50)
        connection.close()
    return found["ours"], found["by hand"]
