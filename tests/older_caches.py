"""Caches as the older koa_middleware left them, in both of its eras."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from tests.conftest import dark_keywords, write_fits

#: The first era's columns, as SQLAlchemy declared them.
FIRST = (
    "id VARCHAR NOT NULL, filename VARCHAR NOT NULL, cal_type VARCHAR, datetime_obs VARCHAR, mjd_start FLOAT, "
    "origin VARCHAR, cal_version VARCHAR, quality VARCHAR, master_cal BOOLEAN, spectrograph VARCHAR, "
    "last_updated VARCHAR, PRIMARY KEY (id)"
)
#: The second era's, as sqlite-utils added them when records came; `tray` is known to no class.
SECOND = (
    "id TEXT PRIMARY KEY, filename TEXT, cal_type TEXT, datetime_obs TEXT, mjd_start FLOAT, origin TEXT, "
    "cal_version TEXT, quality TEXT, master_cal INTEGER, spectrograph TEXT, tray TEXT, file_md5 TEXT, last_updated TEXT"
)
ROWS: tuple[dict[str, Any], ...] = (
    {"id": "a", "filename": "mine.fits", "origin": "LOCAL", "cal_version": "002", "mjd_start": 60000.0},
    {"id": "b", "filename": "theirs.fits", "origin": "KECK", "cal_version": "001", "mjd_start": 60001.0},
)
COMMON = {
    "cal_type": "dark",
    "quality": "GOOD",
    "master_cal": 1,
    "spectrograph": "BSPEC",
    "last_updated": "2025-07-01T10:00:00.123456",
}
TIMES = {60000.0: "2023-02-25T00:00:00.000", 60001.0: "2023-02-26T00:00:00.000"}


def add_row(folder: Path, table: str, database: str, **values: Any) -> None:
    """Add a row as it is."""
    with closing(sqlite3.connect(folder / "database" / database)) as connection, connection:
        marks = ", ".join("?" * len(values))
        connection.execute(f'INSERT INTO "{table}" ({", ".join(values)}) VALUES ({marks})', tuple(values.values()))


def make_database(folder: Path, table: str, columns: str, database: str) -> None:
    """Make a database with an empty table."""
    (folder / "database").mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(folder / "database" / database)) as connection, connection:
        connection.execute(f'CREATE TABLE "{table}" ({columns})')


def first_era(
    folder: Path, instrument: str = "demo", table: str = "DemoDarks", keywords: Mapping[str, Any] | None = None
) -> Path:
    """Make a cache of the first era: a table of the class's name, the files in ``calibrations/``."""
    database = f"{instrument}_calibrations.db"
    make_database(folder, table, FIRST, database)
    (folder / "calibrations").mkdir(exist_ok=True)
    for row in ROWS:
        write_fits(folder / "calibrations" / row["filename"], {**dark_keywords(row["mjd_start"]), **(keywords or {})})
        add_row(folder, table, database, **row, **COMMON, datetime_obs=TIMES[row["mjd_start"]])
    return folder


def second_era(folder: Path, instrument: str = "demo") -> Path:
    """Make a cache of the second era: files below the instrument's name, with their digests, and a column more."""
    database = f"{instrument}_calibrations.db"
    make_database(folder, instrument, SECOND, database)
    files = folder / "calibrations" / instrument
    files.mkdir(parents=True)
    for row in ROWS:
        path = write_fits(files / row["filename"], dark_keywords(row["mjd_start"]))
        digest = hashlib.md5(path.read_bytes()).hexdigest()
        more = {"datetime_obs": TIMES[row["mjd_start"]], "tray": "left", "file_md5": digest}
        add_row(folder, instrument, database, **row, **COMMON, **more)
    return folder


@contextmanager
def unchanged(folder: Path) -> Iterator[None]:
    """Check that nothing in a folder is another one at the end, by content and time."""
    before = _state(folder)
    yield
    assert _state(folder) == before


def _state(folder: Path) -> dict[Path, Any]:
    return {
        path: (path.lstat().st_mtime_ns, path.lstat().st_ino, path.read_bytes() if path.is_file() else b"")
        for path in [folder, *folder.rglob("*")]
    }
