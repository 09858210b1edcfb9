"""An instrument for tests of the remote, and its engines."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

from koa_middleware.database.sqlite import sqlite_engine
from koa_middleware.instrument.orm import TEXT, ORMCalibration, fits_column
from koa_middleware.remote.postgres.engine import postgresql_engine
from koa_middleware.remote.postgres.schema import initialise
from koa_middleware.remote.sync import SyncResult, synchronise
from sqlalchemy import Engine, Float, Integer, insert, make_url, select, text
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


class Archive:
    """A database that holds the table, and its owner."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine = postgresql_engine(url)
        self._roles: list[str] = []
        initialise(self.engine, Survey.table())

    def execute(self, *statements: str) -> None:
        """Run statements in one transaction."""
        with self.engine.begin() as connection:
            for statement in statements:
                connection.execute(text(statement))

    def insert(self, *filenames: str, **values: Any) -> list[str]:
        """Insert rows; gives their ids."""
        records = [
            Survey(filename=name, cal_type="dark", datetime_obs="2026-01-02T03:04:05.678", **values)
            for name in filenames
        ]
        with self.engine.begin() as connection:
            connection.execute(insert(Survey.table()), [record.to_dict() for record in records])
        return [record.id for record in records]

    def rows(self) -> dict[str, dict[str, Any]]:
        """All rows by file name, as a client sees them."""
        with self.engine.connect() as connection:
            found = connection.execute(select(Survey.table())).mappings()
            return {row["filename"]: {**row, "origin": "REMOTE"} for row in found}

    def role(self, *grants: str, name: str = "observer") -> Engine:
        """Engine of a new role that has been granted some rights."""
        name = f"{name}_{uuid.uuid4().hex[:8]}"
        self.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'secret'", *(grant.format(name) for grant in grants))
        self._roles.append(name)
        url = make_url(self.url).set(username=name, password="secret")
        return postgresql_engine(url.render_as_string(hide_password=False))

    def close(self) -> None:
        """Remove the roles, which belong to the whole server."""
        for name in self._roles:
            self.execute(f"DROP OWNED BY {name}", f"DROP ROLE {name}")
        self.engine.dispose()


class Client:
    """A local database that follows an archive."""

    def __init__(self, path: Path, archive: Archive) -> None:
        self.path = path
        self.engine = local_engine(path)
        self.archive = archive

    def sync(self, remote: Engine | None = None, *, full: bool = False) -> SyncResult:
        """Sync, as the owner unless another engine is given."""
        return synchronise(self.engine, remote or self.archive.engine, Survey, full=full)

    def add_local(self, filename: str, **values: Any) -> Survey:
        """Add a LOCAL record."""
        record = Survey(filename=filename, cal_type="dark", datetime_obs="2026-01-02T03:04:05.678", **values)
        self.execute(insert(Survey.table()), record.to_dict())
        return record

    def execute(self, statement: Any, *parameters: Any) -> None:
        """Run a statement."""
        with self.engine.execution_options(sqlite_begin="IMMEDIATE").begin() as connection:
            connection.execute(text(statement) if isinstance(statement, str) else statement, *parameters)

    def rows(self, origin: str = "REMOTE") -> dict[str, dict[str, Any]]:
        """All rows of an origin, by file name."""
        statement = select(Survey.table()).where(Survey.table().c.origin == origin)
        with self.engine.connect() as connection:
            return {row["filename"]: dict(row) for row in connection.execute(statement).mappings()}
