"""An archive on a PostgreSQL server, as `koa_middleware.remote.protocol.Remote` asks for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Generic, TypeVar

from sqlalchemy import Connection, update

from ...exceptions import CalibrationNotFoundError, HeaderError, RemoteError
from ...instrument.orm import ORMCalibration
from ...instrument.values import default_value, normal_form
from ..protocol import Entry, Settled, SetUp, Upload, Values
from .checks import unfit_values
from .database import RemoteDatabase
from .errors import host_of
from .publishing import take_in, writing
from .schema import grants, initialise, planned
from .table import PostgresSource, connected, newest_entry

R = TypeVar("R", bound=ORMCalibration)


class PostgresRemote(Generic[R]):
    """An instrument's table on a PostgreSQL server; connections are opened when they are needed.

    Parameters
    ----------
    orm_class : type
    url : str

    Raises
    ------
    ConfigurationError
        When it is no URL of such a server.
    """

    def __init__(self, orm_class: type[R], url: str) -> None:
        self.orm_class = orm_class
        self.database = RemoteDatabase(orm_class, url)
        self.host = host_of(self.database.engine)
        self.name = self.database.name

    @contextmanager
    def connected(self) -> Iterator[PostgresSource]:
        """Open a connection for reading."""
        with connected(self.database.engine, self.orm_class.table()) as source:
            yield source

    def publish(
        self, rows: Sequence[Values], upload: Upload | None, is_taken_here: Callable[[str], bool], who: str
    ) -> list[Settled]:
        """Take records in, all or none, in one transaction."""
        with writing(self.database, who, queued=True) as connection:
            return take_in(connection, self.orm_class, rows, upload, is_taken_here, self.host)

    def flag(self, id: str, quality: str, reason: str, who: str) -> list[Entry]:
        """Set a record's quality; the feed keeps who did it and why.

        A row from before the server's checks, which refuse any change that leaves it as it is, is mended with it.
        """
        table = self.orm_class.table()
        with writing(self.database, who, reason) as connection:
            values = {**self._mended(connection, id), "quality": quality}
            changed = connection.execute(update(table).where(table.c.id == id).values(values)).rowcount
            entries = newest_entry(connection, table)
        if not changed:
            raise CalibrationNotFoundError(
                f"No record in {self.name} has the id {id!r}.",
                "It was withdrawn there; koa-cal sync brings what there is now.",
                asked={"id": id},
            )
        return entries

    def _mended(self, connection: Connection, id: str) -> Values:
        """Bring what stands against the server's checks into form."""
        mended: Values = {}
        for column, value in unfit_values(connection, self.orm_class.table(), id):
            if column.key == "quality":
                continue
            empty = "REMOTE" if column.key == "origin" else default_value(column)
            try:
                mended[column.key] = normal_form(column, value, f"the archive's row {id}") or empty
            except HeaderError as error:
                raise RemoteError(
                    f"The record {id} cannot be flagged: {error.message}",
                    f"Nothing was changed; the archive's owner corrects the {column.key} there first.",
                ) from error
        return mended

    def set_up(self, reader: str, publisher: str, *, resweep: bool = False, run: bool = True) -> SetUp:
        """Create or complete the instrument's table, and give the grants for two roles."""
        engine, table = self.database.engine, self.orm_class.table()
        with self.database.translated_errors():
            found = (initialise if run else planned)(engine, table, resweep=resweep)
            return SetUp(grants(engine, table, reader, publisher), found.unfit, found.script)

    def close(self) -> None:
        """Close all connections."""
        self.database.close()
