"""From process start to the end of a command: what a user waits for at the terminal."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

from koa_middleware import get_plugin
from made import filled_store
from measuring import Row, at_most, child, koa_cal, medians, python, row

#: Libraries that a command may need, and what it costs to import no more than them.
SQL = "import sqlalchemy.orm"
SQL_AND_FITS = "import sqlalchemy.orm, astropy.io.fits"


def rows(quick: bool) -> Iterable[Row]:
    """Imports and the short commands, then those that read a cache."""
    rounds = 2 if quick else 15
    commands = {
        "pass": python("pass"),
        "import sqlalchemy": python("import sqlalchemy"),
        SQL: python(SQL),
        "import koa_middleware": python("import koa_middleware"),
        "CalibrationStore": python("from koa_middleware import CalibrationStore"),
        "koa-cal --help": koa_cal("--help"),
    }
    found = medians({name: child(command) for name, command in commands.items()}, rounds, warm_up=2)
    yield row("import koa_middleware", found["import koa_middleware"], "python -c pass", found["pass"])
    yield row("import its CalibrationStore", found["CalibrationStore"], SQL, found[SQL])
    yield row("koa-cal --help", found["koa-cal --help"], "python -c pass", found["pass"])
    yield row("koa-cal --help", found["koa-cal --help"], "import sqlalchemy", found["import sqlalchemy"])
    yield at_most("koa-cal --help", found["koa-cal --help"], 0.15)
    yield from _commands(2, 1_000) if quick else _commands(11, 100_000)


def _commands(rounds: int, size: int) -> Iterable[Row]:
    demo = get_plugin("hispec").demo
    assert demo is not None
    with tempfile.TemporaryDirectory() as name:
        night, cache = Path(name) / "night", Path(name) / "cache"
        calibrations, (frame, *_) = demo(night)
        with filled_store(cache, size) as store:
            for calibration in calibrations:
                store.register_calibration(calibration)
        list_, best = koa_cal("list", "-i", "hispec"), koa_cal("best", str(frame))
        cached = {"KOA_CALIBRATION_CACHE": str(cache)}
        found = medians(
            {
                "list": child(list_, **cached),
                "best": child(best, **cached),
                SQL: child(python(SQL)),
                SQL_AND_FITS: child(python(SQL_AND_FITS)),
            },
            rounds,
            warm_up=2,
        )
    yield row(f"koa-cal list, 100 of {size:,}", found["list"], SQL, found[SQL], 1.3)
    yield row("koa-cal best FRAME, ten types", found["best"], SQL_AND_FITS, found[SQL_AND_FITS], 1.2)
