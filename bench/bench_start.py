"""From process start to the end of a command: what a user waits for at the terminal."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from koa_middleware import get_plugin
from made import filled_store
from measuring import Row, Spent, at_most, koa_cal, processes, python, row

#: Libraries that a command may need, and what it costs to import no more than them.
SQL = "import sqlalchemy.orm"
SQL_AND_FITS = "import sqlalchemy.orm, astropy.io.fits"


def rows(quick: bool) -> Iterable[Row]:
    """Imports and the short commands, then those that read a cache."""
    commands = {
        "python -c pass": python("pass"),
        "import sqlalchemy": python("import sqlalchemy"),
        SQL: python(SQL),
        "import koa_middleware": python("import koa_middleware"),
        "import its CalibrationStore": python("from koa_middleware import CalibrationStore"),
        "koa-cal --help": koa_cal("--help"),
    }
    found = processes(commands, rounds=2 if quick else 15)
    yield _beside(found, "import koa_middleware", "python -c pass")
    yield _beside(found, "import its CalibrationStore", SQL)
    yield _beside(found, "koa-cal --help", "python -c pass")
    yield _beside(found, "koa-cal --help", "import sqlalchemy")
    yield at_most("koa-cal --help", found["koa-cal --help"].clock_s, 0.15)
    yield from _commands(2, 1_000) if quick else _commands(15, 100_000)


def _commands(rounds: int, size: int) -> Iterable[Row]:
    demo = get_plugin("hispec").demo
    assert demo is not None
    list_, best = f"koa-cal list, 100 of {size:,}", "koa-cal best FRAME, ten types"
    with tempfile.TemporaryDirectory() as name:
        night, cache = Path(name) / "night", Path(name) / "cache"
        calibrations, (frame, *_) = demo(night)
        with filled_store(cache, size) as store:
            for calibration in calibrations:
                store.register_calibration(calibration)
        commands = {
            list_: koa_cal("list", "-i", "hispec"),
            best: koa_cal("best", str(frame)),
            SQL: python(SQL),
            SQL_AND_FITS: python(SQL_AND_FITS),
        }
        found = processes(commands, rounds, KOA_CALIBRATION_CACHE=str(cache))
    yield _beside(found, list_, SQL, 1.3)
    yield _beside(found, best, SQL_AND_FITS, 1.2)


def _beside(found: Mapping[str, Spent], what: str, reference: str, limit: float | None = None) -> Row:
    ours, theirs = found[what], found[reference]
    note = f"{ours.processor_s / theirs.processor_s:.2f} in processor time"
    return row(what, ours.clock_s, reference, theirs.clock_s, limit, note)
