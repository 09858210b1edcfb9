"""Made calibrations of HISPEC in any number: column values, rows, files, and a store that holds them."""

from __future__ import annotations

import random
import sqlite3
import uuid
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from koa_middleware import CalibrationStore, get_plugin
from koa_middleware.instrument.times import iso_from_mjd

ORM = get_plugin("hispec").ORM
TABLE = ORM.table().name
COLUMNS = ORM.column_names()
INSERT = f"INSERT INTO {TABLE} ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"

#: First day of the made calibrations, MJD, and how many there are for each day, of all types together.
#: A larger table spans a longer time, so that candidates are equally dense in all of them.
FIRST_MJD, PER_DAY = 40_000.0, 100


def made_values(count: int, first: int = 0) -> Iterator[dict[str, Any]]:
    """Column values: all types, both spectrographs, two eras, one in ten bad; numbered from `first`."""
    pick = random.Random(first)
    cal_types = list(ORM.selectors)
    for number in range(first, first + count):
        cal_type = pick.choice(cal_types)
        yield {
            "id": str(uuid.UUID(int=pick.getrandbits(128), version=4)),
            "filename": f"HB.{number:08d}.mastercal-{cal_type}.001.fits",
            "cal_type": cal_type,
            "mjd_start": FIRST_MJD + (number + pick.random()) / PER_DAY,
            "origin": "REMOTE",
            "cal_version": "001",
            "quality": "BAD" if pick.random() < 0.1 else "GOOD",
            "master_cal": pick.random() < 0.5,
            "checksum": f"sha256:{pick.getrandbits(256):064x}",
            "file_size": 8_640,
            "spectrograph": pick.choice(("BSPEC", "RSPEC")),
            "instrument_era": pick.choice(("1.0.0", "2.0.0")),
            "koa_id": f"HB.{number:08d}.fits",
            "drp_version": "1.0.0",
        }


def made_rows(count: int, first: int = 0) -> Iterator[tuple[Any, ...]]:
    """The same as whole rows of the SQLite table."""
    for values in made_values(count, first):
        values["datetime_obs"] = iso_from_mjd(values["mjd_start"])
        values["last_updated"] = "2026-01-01T00:00:00.000000"
        yield tuple(values.get(name) for name in COLUMNS)


def filled_store(cache_dir: Path, count: int) -> CalibrationStore[Any]:
    """Store with so many made calibrations, whose files are not there."""
    store = CalibrationStore(ORM, cache_dir)
    fill(store.local_db.path, TABLE, INSERT, made_rows(count))
    return store


def fill(database: Path, table: str, insert: str, rows: Iterable[tuple[Any, ...]]) -> None:
    """Insert rows by hand, making the indexes anew afterwards, which is quicker."""
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA cache_size = -1000000")  # kB
        indexes = connection.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL AND tbl_name = ?", (table,)
        ).fetchall()
        connection.execute("BEGIN")
        for name, _ in indexes:
            connection.execute(f'DROP INDEX "{name}"')
        connection.executemany(insert, rows)
        for _, statement in indexes:
            connection.execute(statement)
        connection.execute("COMMIT")


def made_files(folder: Path, count: int) -> list[Path]:
    """Write FITS files of 71 kB, a calibration each, one second after the other."""
    image = np.zeros((132, 132), dtype="float32")
    paths = []
    for number in range(count):
        header = fits.Header()
        header["CALTYPE"] = "dark"
        header["SPECTROG"] = "BSPEC"
        header["MASTCAL"] = True
        header["EXPMJDST"] = 61_000.0 + number / 86_400
        image[0, 0] = number
        paths.append(folder / f"dark.{number:05d}.fits")
        fits.PrimaryHDU(image, header).writeto(paths[-1])
    return paths
