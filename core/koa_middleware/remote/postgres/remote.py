"""An archive on a PostgreSQL server, as `koa_middleware.remote.protocol.Remote` asks for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Generic, TypeVar

from ...database.feed import Judgement
from ...exceptions import CalibrationNotFoundError
from ...instrument.judged import Judged, judged_nothing
from ...instrument.orm import ORMCalibration
from ..following import Following
from ..others import Others, with_others
from ..protocol import Entry, Here, Settled, SetUp, Upload, Values
from .database import RemoteDatabase
from .engine import postgresql_engine
from .errors import host_of
from .publishing import judge, send_judgements, take_in, writing
from .schema import grants, initialise, planned
from .standbys import StandbyFirst
from .table import PostgresSource, connected, newest_entry

R = TypeVar("R", bound=ORMCalibration)


class PostgresRemote(Generic[R]):
    """An instrument's table on a PostgreSQL server; connections are opened when they are needed.

    Parameters
    ----------
    orm_class : type
    url : str
    judged : callable
        As of `RemoteDatabase`.
    connections : int
        How many connections are kept at most for reading, and as many for writing, since publishers wait for each
        other; 0: none is. Where the URL names several hosts, kept ones read at a standby and write at the primary.

    Raises
    ------
    ConfigurationError
        When it is no URL of such a server.
    """

    def __init__(self, orm_class: type[R], url: str, judged: Judged = judged_nothing, connections: int = 0) -> None:
        self.orm_class = orm_class
        self.database = RemoteDatabase(orm_class, url, judged, connections)
        engine = self.database.engine
        self._reads = postgresql_engine(url, connections, "prefer-standby") if connections else engine
        self.host = host_of(self.database.engine)
        self.name = self.database.name

    @contextmanager
    def connected(self, others: Others = ()) -> Iterator[Following]:
        """Open a connection for reading; the rows have the columns of other versions of the class, too."""
        with self.viewed(others) as views:
            yield Following(views, views.table)

    @contextmanager
    def viewed(self, others: Others = ()) -> Iterator[PostgresSource | StandbyFirst]:
        """Open a connection for a server that serves what it reads."""
        table = with_others(self.orm_class.table(), others)
        with connected(self._reads, table) as views:
            yield views if self._reads is self.database.engine else StandbyFirst(views, self.database.engine)

    def publish(
        self,
        rows: Sequence[Values],
        judgements: Mapping[str, Sequence[Judgement]],
        upload: Upload | None,
        here: Here,
        who: str,
    ) -> list[Settled]:
        """Take records in with what was said of their quality, all or none, in one transaction."""
        with writing(self.database, who, queued=True) as connection:
            settled = take_in(connection, self.orm_class, rows, upload, here, self.host)
            said = {there.row["id"]: judgements.get(own["id"], ()) for own, there in zip(rows, settled, strict=True)}
            send_judgements(connection, self.orm_class, said)
            return settled

    def flag(self, id: str, quality: str, reason: str, who: str) -> list[Entry]:
        """Set a record's quality; the feed keeps who did it and why."""
        with writing(self.database, who, reason) as connection:
            is_there = judge(connection, self.orm_class, id, quality)
            entries = newest_entry(connection, self.orm_class.table())
        if not is_there:
            raise CalibrationNotFoundError(
                f"No record in {self.name} has the id {id!r}.",
                "It was withdrawn there; koa-cal sync brings what there is now.",
                asked={"id": id},
            )
        return entries

    def set_up(self, reader: str, publisher: str, *, resweep: bool = False, run: bool = True) -> SetUp:
        """Create or complete the instrument's table, and give the grants for two roles."""
        engine, table = self.database.engine, self.orm_class.table()
        with self.database.translated_errors():
            found = (initialise if run else planned)(engine, self.orm_class, resweep=resweep)
            return SetUp(grants(engine, table, reader, publisher), found.unfit, found.script, found.told)

    def close(self) -> None:
        """Close all connections."""
        self._reads.dispose()
        self.database.close()
