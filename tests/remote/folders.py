"""A cache folder as an archive that others follow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from http_server import mount
from koa_middleware import CalibrationStore
from koa_middleware.database.local import LocalDatabase
from koa_middleware.database.tokens import SCOPES, Tokens, new_token
from koa_middleware.plugins import InstrumentPlugin
from koa_middleware.remote import viewed
from koa_middleware.remote.folder.remote import FolderRemote
from koa_middleware.remote.http import reading as http_reading
from koa_middleware.remote.protocol import Remote
from koa_middleware.remote.servers import remote_at
from koa_middleware.server.app import make_app
from koa_middleware.server.served import Served
from sqlalchemy import text
from survey import Client, Survey, Writer

TABLE = Survey.table().name


class FolderWriter(Writer):
    """What a folder's owner does in one transaction."""

    def fill(self, number: int) -> None:
        """Insert rows 1 to a number."""
        self.insert(*(f"HB.{each}.fits" for each in range(1, number + 1)))


class FolderArchive:
    """A cache folder's database, and its owner; what tests ask of every kind of archive."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "database" / "survey_calibrations.db"
        self.path.parent.mkdir(parents=True)
        self.open()

    def open(self) -> None:
        """Open the database, or another one of its name."""
        self.database = LocalDatabase(Survey, self.path)

    @contextmanager
    def transaction(self) -> Iterator[FolderWriter]:
        """Give a transaction that is committed at the end."""
        with self.database.begin() as connection:
            yield FolderWriter(connection)

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
        """Replace the folder's database by another one that holds some of its rows only."""
        kept = [record.to_dict() for record in self.database.query() if record.filename in filenames]
        self.database.close()
        self.path.unlink()
        self.open()
        with self.database.begin() as connection:
            connection.execute(Survey.table().insert(), kept)

    def rows(self) -> dict[str, dict[str, Any]]:
        """All rows by file name, as a client sees them."""
        return {record.filename: {**record.to_dict(), "origin": "REMOTE"} for record in self.database.query()}

    def execute(self, *statements: str) -> None:
        """Run statements in one transaction."""
        with self.transaction() as writer:
            writer.execute(*statements)

    def entries(self) -> list[Any]:
        """All that the feed tells, in order."""
        with self.database.connect() as connection:
            return list(connection.execute(text(f"SELECT * FROM {TABLE}_feed ORDER BY n")))

    def remote(self) -> Remote[Survey]:
        """The folder as it is served."""
        return FolderRemote(self.database)

    def for_writer(self) -> Remote[Survey]:
        """The folder as a client with all rights reaches it."""
        return self.remote()

    @staticmethod
    def small_batches(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
        """Let a reading give so many rows at once."""
        monkeypatch.setattr(viewed, "BATCH", size)

    def close(self) -> None:
        """Close the database."""
        self.database.close()


class HttpFolder(FolderArchive):
    """A cache folder behind a server of ours."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._store = CalibrationStore(Survey, folder)
        self._origin = FolderRemote(self.database)
        served = Served(InstrumentPlugin(Survey), self._store, self._origin, False)
        self._url = mount(make_app([served]))

    def open(self) -> None:
        """Open the database, or another one of its name, as a server does that is started again."""
        super().open()
        if "_origin" in vars(self):
            self._origin.database = self.database

    def remote(self) -> Remote[Survey]:
        """The folder as everybody reaches it."""
        return remote_at(self._url, Survey)

    def for_writer(self) -> Remote[Survey]:
        """The folder as a client with all rights reaches it."""
        token = new_token()
        Tokens(self.database).add(token, "client", SCOPES, (), None)
        return remote_at(self._url, Survey, access_token=token)

    @staticmethod
    def small_batches(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
        """Let an answer hold so many rows."""
        monkeypatch.setattr(http_reading, "BATCH", size)

    def close(self) -> None:
        """Close the databases."""
        super().close()
        self._store.close()


class Following(FolderArchive):
    """A cache folder that itself follows an archive, and adds records of its own."""

    def __init__(self, folder: Path, archive: Any) -> None:
        super().__init__(folder)
        self.client = Client.__new__(Client)
        self.client.archive, self.client.database = archive, self.database

    def sync(self, **arguments: Any) -> Any:
        """Follow the archive."""
        return self.client.sync(**arguments)
