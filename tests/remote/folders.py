"""A cache folder as an archive that others follow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from koa_middleware.database.local import LocalDatabase
from koa_middleware.remote import viewed
from koa_middleware.remote.folder.remote import FolderRemote
from koa_middleware.remote.protocol import Remote
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
        self.folder = folder
        self.path = folder / "survey_calibrations.db"
        folder.mkdir()
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
        self.database = LocalDatabase(Survey, self.path)
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

    @staticmethod
    def small_batches(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
        """Let a reading give so many rows at once."""
        monkeypatch.setattr(viewed, "BATCH", size)

    def close(self) -> None:
        """Close the database."""
        self.database.close()


class Following(FolderArchive):
    """A cache folder that itself follows an archive, and adds records of its own."""

    def __init__(self, folder: Path, archive: Any) -> None:
        super().__init__(folder)
        self.client = Client.__new__(Client)
        self.client.archive, self.client.database = archive, self.database

    def sync(self, **arguments: Any) -> Any:
        """Follow the archive."""
        return self.client.sync(**arguments)
