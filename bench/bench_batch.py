"""Choosing all types of many frames at once, beside a call for each, and beside a query written by hand for each."""

from __future__ import annotations

import random
import sqlite3
import tempfile
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

from bench_select import by_hand_of
from made import FIRST_MJD, ORM, PER_DAY, filled_store
from measuring import Row, medians, row

TYPES = tuple(ORM.selectors)[:8]


def rows(quick: bool) -> Iterable[Row]:
    """Per answer; the first has no limit where the second one is kept."""
    size, number = (10_000, 50) if quick else (1_000_000, 1_000)
    pick = random.Random(size)
    frames = [
        {
            "instrument_era": pick.choice(("1.0.0", "2.0.0")),
            "spectrograph": pick.choice(("BSPEC", "RSPEC")),
            "mjd_start": FIRST_MJD + pick.random() * size / PER_DAY,
        }
        for _ in range(number)
    ]
    with tempfile.TemporaryDirectory() as folder, filled_store(Path(folder), size) as store:
        found = {name: each / number / len(TYPES) for name, each in _measured(store, frames).items()}
    what = f"{number:,} frames x {len(TYPES)} types in {size:,} rows, per answer"
    is_below_a_probe = found["ours"] <= found["by hand"]
    yield row(what, found["ours"], "a call for each", found["single"], None if is_below_a_probe else 1 / 3)
    yield row("the same", found["ours"], "a query by hand for each", found["by hand"])
    yield row("one type of them, per answer", found["one"] * len(TYPES), "a call for each", found["single"], 1 / 2)


def _measured(store: Any, frames: list[dict[str, Any]]) -> dict[str, float]:
    """Medians for all frames, in seconds; the three ways must give the same rows."""
    with closing(sqlite3.connect(store.local_db.path)) as connection:

        def ours(_: int) -> list[list[str]]:
            return [[record.id for record in one.values()] for one in store.select_sets(frames, TYPES)]

        def single(_: int) -> list[list[str]]:
            return [[store.select(frame, name).id for name in TYPES] for frame in frames]

        def by_hand(_: int) -> list[list[str]]:
            asked = [
                {"era": each["instrument_era"], "spectrograph": each["spectrograph"], "time": each["mjd_start"]}
                for each in frames
            ]
            return [[connection.execute(by_hand_of(name), each).fetchone()[0] for name in TYPES] for each in asked]

        def one(_: int) -> list[Any]:
            found: list[Any] = store.select_many(frames, TYPES[0])
            return found

        if not ours(0) == single(0) == by_hand(0):
            raise RuntimeError("the three ways of choosing differ")
        return medians({"ours": ours, "single": single, "by hand": by_hand, "one": one}, rounds=5)
