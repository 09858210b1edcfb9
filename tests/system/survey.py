"""An instrument for tests of the remote, and its engines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from koa_middleware.engines import sqlite_engine
from koa_middleware.orm import TEXT, ORMCalibration, fits_column
from sqlalchemy import Engine, Float, Integer
from sqlalchemy.orm import Mapped


class Survey(ORMCalibration):
    """Twenty columns of all types."""

    instrument_name = "survey"
    version_family = ("spectrograph",)

    spectrograph: Mapped[str | None] = fits_column("SPECTROG", TEXT, default=None)
    instrument_era: Mapped[str] = fits_column("INSTERA", TEXT, default="0.0.1")
    koa_id: Mapped[str | None] = fits_column("KOAID", TEXT, default=None)
    koa_filepath: Mapped[str | None] = fits_column("KOAPATH", TEXT, default=None)
    drp_version: Mapped[str | None] = fits_column("DRPSOFTV", TEXT, default=None)
    last_processed: Mapped[str | None] = fits_column("LASTPROC", TEXT, default=None)
    exptime: Mapped[float | None] = fits_column("EXPTIME", Float, default=None)
    nframes: Mapped[int | None] = fits_column("NFRAMES", Integer, default=None)


COLUMNS = Survey.column_names()

#: Rows numbered from the first to the second parameter.
FILL = """
INSERT INTO survey_calibrations (id, filename, cal_type, datetime_obs, mjd_start, origin, cal_version, quality,
    master_cal, checksum, file_size, spectrograph, instrument_era, koa_id, koa_filepath, exptime, nframes)
SELECT gen_random_uuid()::text, 'HB.' || i || '.fits', 'dark', '2026-01-01T00:00:00.000', 61000 + i * 0.001, 'REMOTE',
    '001', 'GOOD', i % 2 = 0, 'sha256:' || md5(i::text) || md5((-i)::text), 536870912 + i, 'BSPEC', '0.0.1',
    'HB.' || i, '/koa/' || i || '.fits', 300.5, 6
FROM generate_series(:first, :last) AS i
"""


def local_engine(path: Path) -> Engine:
    """Engine of a SQLite database that holds the table."""
    engine = sqlite_engine(path)
    Survey.metadata.create_all(engine)
    return engine


def values(record: Survey) -> tuple[Any, ...]:
    """All values of a record, in the order of the columns."""
    return tuple(record.to_dict().values())
