"""Selecting while six processes flag one record after the other, beside selecting alone.

A commit keeps readers out while the disk flushes. So flushes of another file are timed meanwhile, and what the slowest
of them take is added to the limits of 10 and 50 ms.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from made import FIRST_MJD, ORM, PER_DAY, filled_store
from measuring import Row, at_most, row
from sqlalchemy import update

WRITERS, SIZE = 6, 2_000

_FLAG = """
import random, sys
from pathlib import Path
from koa_middleware import open_store

with open_store("hispec", cache_dir=sys.argv[1]) as store:
    ids = [record.id for record in store.query()]
    while not Path(sys.argv[1], "stop").exists():
        store.flag(random.choice(ids), "GOOD", "again")
"""

_FLUSH = """
import json, os, sys, time
from pathlib import Path

file = os.open(Path(sys.argv[1], "flushed"), os.O_RDWR | os.O_CREAT)
found = []
while not Path(sys.argv[1], "stop").exists():
    os.pwrite(file, b"x" * 4096, 0)
    start = time.perf_counter()
    os.fsync(file)
    found.append(time.perf_counter() - start)
    time.sleep(0.002)
print(json.dumps(sorted(found)))
"""


def rows(quick: bool) -> Iterable[Row]:
    """The slowest of a thousand, and of all, beside the same where nobody writes, and beside their limits."""
    seconds = 1.0 if quick else 20.0
    with tempfile.TemporaryDirectory() as folder, filled_store(Path(folder), SIZE) as store:
        with store.local_db.begin() as connection:  # which may be flagged without an archive
            connection.execute(update(ORM.table()).values(origin="LOCAL"))
        alone = _durations(store, seconds)
        with _flushes(Path(folder)) as flushes, _writers(Path(folder), 1 if quick else WRITERS):
            beside = _durations(store, seconds)
    for what, share in (("median", 0.5), ("slowest of 1,000", 0.999), ("slowest", 1.0)):
        yield row(f"select beside six writers, {what}", _at(beside, share), "alone", _at(alone, share))
    yield row("a flush meanwhile, slowest of 1,000", _at(flushes, 0.999), "median", _at(flushes, 0.5))
    of_disk = _at(flushes, 0.999), flushes[-1]
    yield at_most("the slowest of 1,000", _at(beside, 0.999), max(0.010 + of_disk[0], 3 * _at(alone, 0.999)))
    yield at_most("the slowest", beside[-1], max(0.050 + of_disk[1], 3 * alone[-1]))


def _durations(store: Any, seconds: float) -> list[float]:
    end, found = time.monotonic() + seconds, []
    while time.monotonic() < end:
        frame = {
            "mjd_start": FIRST_MJD + random.random() * SIZE / PER_DAY,
            "spectrograph": "BSPEC",
            "instrument_era": "1.0.0",
        }
        start = time.perf_counter()
        store.select(frame, "dark")
        found.append(time.perf_counter() - start)
        time.sleep(0.002)
    return sorted(found)


def _at(durations: list[float], share: float) -> float:
    return durations[min(len(durations) - 1, int(len(durations) * share))]


@contextmanager
def _flushes(folder: Path) -> Iterator[list[float]]:
    """Time the disk's flushes until the writers stop; the list has them, sorted, afterwards."""
    found: list[float] = []
    process = subprocess.Popen([sys.executable, "-c", _FLUSH, str(folder)], stdout=subprocess.PIPE)
    yield found
    found += json.loads(process.communicate()[0])


@contextmanager
def _writers(folder: Path, number: int) -> Iterator[None]:
    processes = [subprocess.Popen([sys.executable, "-c", _FLAG, str(folder)]) for _ in range(number)]
    time.sleep(3)
    try:
        yield
    finally:
        (folder / "stop").touch()
        for process in processes:
            process.wait()
