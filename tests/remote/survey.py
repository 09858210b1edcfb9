"""An instrument for tests of the remote, its archive on a PostgreSQL server, and clients of it."""

from __future__ import annotations

import socket
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from http_server import mount
from koa_middleware import CalibrationStore
from koa_middleware.database.feed import judgements_of, write_flag
from koa_middleware.database.local import LocalDatabase
from koa_middleware.database.tokens import SCOPES, Tokens, new_token
from koa_middleware.exceptions import KoaMiddlewareError
from koa_middleware.instrument.columns import fits_column
from koa_middleware.instrument.orm import TEXT, ORMCalibration
from koa_middleware.plugins import InstrumentPlugin
from koa_middleware.remote import viewed
from koa_middleware.remote.http import reading as http_reading
from koa_middleware.remote.postgres.engine import postgresql_engine
from koa_middleware.remote.postgres.schema import initialise
from koa_middleware.remote.protocol import Remote
from koa_middleware.remote.publish import PublishResult, publish
from koa_middleware.remote.servers import remote_at
from koa_middleware.remote.sync import SyncResult, synchronise
from koa_middleware.server.app import make_app
from koa_middleware.server.served import Served
from sqlalchemy import Connection, Float, Integer, delete, insert, make_url, select, text, update
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
SELECT gen_random_uuid()::text, 'HB.' || i || '.fits', 'dark', '2026-01-01T00:00:00.000', 61041 + i % 900 * 0.001,
    'REMOTE', '001', 'GOOD', i % 2 = 0, 'sha256:' || md5(i::text) || md5((-i)::text), 536870912 + i, 'BSPEC', '0.0.1',
    'HB.' || i, '/koa/' || i || '.fits', 300.5, 6
FROM generate_series(:first, :last) AS i
"""


def free_port() -> int:
    """Give a port of this machine where nothing answers."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port: int = other.getsockname()[1]
    return port


class Writer:
    """What an archive's owner does in one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def insert(self, *filenames: str, **values: Any) -> list[str]:
        """Insert rows; gives their ids."""
        given = {"cal_type": "dark", "datetime_obs": "2026-01-02T03:04:05.678", **values}
        records = [Survey(filename=name, **given) for name in filenames]
        self._connection.execute(insert(Survey.table()), [record.to_dict() for record in records])
        return [record.id for record in records]

    def fill(self, number: int) -> None:
        """Insert rows 1 to a number."""
        self._connection.execute(text(FILL), {"first": 1, "last": number})

    def change(self, filename: str, /, **values: Any) -> None:
        """Change a row."""
        self._connection.execute(update(Survey.table()).where(Survey.table().c.filename == filename).values(values))

    def delete(self, *filenames: str) -> None:
        """Delete rows; all of them where none is named."""
        statement = delete(Survey.table())
        named = statement.where(Survey.table().c.filename.in_(filenames))
        self._connection.execute(named if filenames else statement)

    def execute(self, *statements: str) -> None:
        """Run statements."""
        for statement in statements:
            self._connection.execute(text(statement))


class Archive:
    """An archive on a PostgreSQL server, and its owner."""

    def __init__(self, url: str, *, is_set_up: bool = False) -> None:
        self.url = url
        self.engine = postgresql_engine(url)
        self._roles: list[str] = []
        if not is_set_up:
            initialise(self.engine, Survey)

    # -- what every kind of archive offers to tests ----------------------------------------------------------------

    @contextmanager
    def transaction(self) -> Iterator[Writer]:
        """Give a transaction that is committed at the end, and stays open until then."""
        with self.engine.begin() as connection:
            yield Writer(connection)

    def insert(self, *filenames: str, **values: Any) -> list[str]:
        """Insert rows; gives their ids."""
        with self.transaction() as writer:
            return writer.insert(*filenames, **values)

    def fill(self, number: int) -> None:
        """Insert rows 1 to a number."""
        with self.transaction() as writer:
            writer.fill(number)

    def change(self, filename: str, /, **values: Any) -> None:
        """Change a row."""
        with self.transaction() as writer:
            writer.change(filename, **values)

    def delete(self, *filenames: str) -> None:
        """Delete rows; all of them where none is named."""
        with self.transaction() as writer:
            writer.delete(*filenames)

    def put_back(self, *filenames: str) -> None:
        """Replace the archive by another one that holds some of its rows only."""
        table = Survey.table().name
        self.execute(
            f"CREATE TABLE old AS SELECT * FROM {table} WHERE filename IN ({', '.join(map(repr, filenames))})",
            f"DROP TABLE {table}, {table}_feed, {table}_feed_lock, {table}_history",
        )
        initialise(self.engine, Survey)
        self.execute(f"INSERT INTO {table} SELECT * FROM old")

    def destroy(self) -> None:
        """Remove what was set up."""
        self.execute(f"DROP TABLE {Survey.table().name}")

    def rows(self) -> dict[str, dict[str, Any]]:
        """All rows by file name, as a client sees them."""
        with self.engine.connect() as connection:
            found = connection.execute(select(Survey.table())).mappings()
            return {row["filename"]: {**row, "origin": "REMOTE"} for row in found}

    def entries(self) -> list[Any]:
        """All that the feed tells, in order."""
        with self.engine.connect() as connection:
            return list(connection.execute(text(f"SELECT * FROM {Survey.table().name}_feed ORDER BY n")))

    def former(self) -> list[dict[str, Any]]:
        """All former versions, in order."""
        with self.engine.connect() as connection:
            found = connection.execute(text(f"SELECT * FROM {Survey.table().name}_history ORDER BY koa_n"))
            return [dict(row) for row in found.mappings()]

    def remote(self, who: str = "owner") -> Remote[Survey]:
        """The archive as a client with all rights reaches it."""
        return remote_at(self.url, Survey)

    def owner(self) -> Remote[Survey]:
        """The archive as its owner reaches it, who may set it up."""
        return remote_at(self.url, Survey)

    def for_reader(self) -> Remote[Survey]:
        """The archive as someone reaches it who may only read."""
        name = Survey.table().name
        return remote_at(self.role(f"GRANT SELECT ON {name}, {name}_feed, {name}_history TO {{}}"), Survey)

    def out_of_reach(self) -> Remote[Survey]:
        """The archive under an address where nothing answers."""
        return remote_at(make_url(self.url).set(port=free_port()).render_as_string(hide_password=False), Survey)

    @staticmethod
    def small_batches(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
        """Let a reading give so many rows at once."""
        monkeypatch.setattr(viewed, "BATCH", size)

    # -- what is PostgreSQL's ----------------------------------------------------------------------------------------

    def execute(self, *statements: str) -> None:
        """Run statements in one transaction."""
        with self.transaction() as writer:
            writer.execute(*statements)

    def role(self, *grants: str, name: str = "observer") -> str:
        """Address for a new role that has been granted some rights."""
        name = f"{name}_{uuid.uuid4().hex[:8]}"
        self.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'secret'", *(grant.format(name) for grant in grants))
        self._roles.append(name)
        return make_url(self.url).set(username=name, password="secret").render_as_string(hide_password=False)

    def close(self) -> None:
        """Remove the roles, which belong to the whole server."""
        for name in self._roles:
            self.execute(f"DROP OWNED BY {name}", f"DROP ROLE {name}")
        self.engine.dispose()


class HttpArchive(Archive):
    """The same archive behind a server of ours; its owner still writes to the database itself."""

    def __init__(self, url: str, *, is_set_up: bool = False) -> None:
        super().__init__(url, is_set_up=is_set_up)
        self._folder = tempfile.TemporaryDirectory()
        store = CalibrationStore(Survey, Path(self._folder.name))
        origin: Any = remote_at(url, Survey)
        self.served = Served(InstrumentPlugin(Survey), store, origin, True)
        self.http_url = mount(make_app([self.served]))
        self._tokens: dict[str, str] = {}
        self._lock = threading.Lock()

    def remote(self, who: str = "owner") -> Remote[Survey]:
        """The archive as a client with all rights reaches it."""
        return remote_at(self.http_url, Survey, access_token=self.token(who, *SCOPES))

    def for_reader(self) -> Remote[Survey]:
        """The archive as a client reaches it that may only read."""
        return remote_at(self.http_url, Survey, access_token=self.token("observer", "read"))

    def token(self, name: str, *scopes: str) -> str:
        """Give somebody's token."""
        with self._lock:
            if name not in self._tokens:
                self._tokens[name] = new_token()
                Tokens(self.served.remote.database).add(self._tokens[name], name, scopes, (), None)
            return self._tokens[name]

    def out_of_reach(self) -> Remote[Survey]:
        """The archive under an address where nothing answers."""
        return remote_at(f"http://127.0.0.1:{free_port()}/archive", Survey)

    @staticmethod
    def small_batches(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
        """Let an answer hold so many rows."""
        monkeypatch.setattr(http_reading, "BATCH", size)

    def close(self) -> None:
        """Remove the roles, and what the server has open."""
        super().close()
        self.served.store.close()
        self.served.remote.close()
        self._folder.cleanup()


#: The kinds of archives, by the scheme of their addresses.
KINDS = {"postgresql": Archive, "http": HttpArchive}


class Client:
    """A local database that follows an archive."""

    def __init__(self, path: Path, archive: Archive) -> None:
        self.archive = archive
        self.database = LocalDatabase(Survey, path)

    def sync(self, remote: Remote[Survey] | str | None = None, *, full: bool = False) -> SyncResult:
        """Sync, as the owner unless another remote, or its address, is given."""
        remote = remote_at(remote, Survey) if isinstance(remote, str) else remote
        return synchronise(self.database, remote or self.archive.remote(), full=full)

    def publish(self, remote: Remote[Survey] | None = None, **arguments: Any) -> PublishResult:
        """Publish, as the owner unless another remote is given."""
        return publish(self.database, remote or self.archive.remote(), **arguments)

    def add_local(self, filename: str, **values: Any) -> Survey:
        """Add a LOCAL record."""
        record = Survey(filename=filename, cal_type="dark", datetime_obs="2026-01-02T03:04:05.678", **values)
        self.execute(insert(Survey.table()), record.to_dict())
        return record

    def execute(self, statement: Any, *parameters: Any) -> None:
        """Run a statement."""
        with self.database.begin() as connection:
            connection.execute(text(statement) if isinstance(statement, str) else statement, *parameters)

    def rows(self, origin: str = "REMOTE") -> dict[str, dict[str, Any]]:
        """All rows of an origin, by file name."""
        statement = select(Survey.table()).where(Survey.table().c.origin == origin)
        with self.database.connect() as connection:
            return {row["filename"]: dict(row) for row in connection.execute(statement).mappings()}

    def flag_here(self, id: str, quality: str, why: str, who: str) -> None:
        """Judge a record in this database alone."""
        with self.database.begin() as connection:
            write_flag(connection, Survey, id, quality, why, who)

    def judgements(self, id: str) -> list[tuple[str, str, str | None]]:
        """Quality, who, and why, of all judgements that this database knows of a record."""
        with self.database.connect() as connection:
            return [(said.quality, said.who, said.why) for said in judgements_of(connection, Survey, id)]


class Heard:
    """What a `Follower` told."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.was_full: list[bool] = []
        self._more = threading.Condition()

    def came(self, result: SyncResult) -> None:
        self.was_full.append(result.full)
        self._hear((result.added, result.changed, result.withdrawn))

    def lost(self, error: KoaMiddlewareError) -> None:
        self._hear(error)

    def back(self) -> None:
        self._hear("back")

    def _hear(self, what: Any) -> None:
        with self._more:
            self.told.append(what)
            self._more.notify_all()

    def wait_for(self, is_enough: Callable[[list[Any]], bool]) -> None:
        with self._more:
            assert self._more.wait_for(lambda: is_enough(self.told), 20), self.told
