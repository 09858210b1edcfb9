"""An archive on a PostgreSQL server, as `koa_middleware.remote.protocol.Remote` asks for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, QueuePool

from ...database.feed import Judgement
from ...exceptions import CalibrationNotFoundError
from ...instrument.judged import Judged, judged_nothing
from ...instrument.orm import ORMCalibration
from ..others import Others, with_others
from ..protocol import Entry, Here, Mark, Settled, SetUp, Upload, Values
from ..viewed import Following
from ..writable import Asked, Flagged, Publication
from .database import RemoteDatabase
from .engine import postgresql_engine
from .errors import host_of
from .once import once
from .publishing import judge, rows_there, send_judgements, settle, take_in, writing
from .schema import grants, initialise, planned
from .standbys import StandbyFirst
from .table import PostgresSource, connected, newest_entry, newest_mark

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

    files = None

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
            return self._publish(connection, rows, judgements, upload, here)

    def plan(self, rows: Sequence[Values], here: Here) -> list[Settled]:
        """Give what a publication would give now; nothing is changed."""
        with self.database.connect() as connection:
            return settle(connection, self.orm_class, rows, here, self.host).settled

    def publish_once(
        self,
        asked: Asked,
        rows: Sequence[Values],
        judgements: Mapping[str, Sequence[Judgement]],
        upload: Upload,
        here: Here,
        who: str,
    ) -> Publication:
        """Take records in, or give the answer that the request got before."""
        table = self.orm_class.table()
        with writing(self.database, who, queued=True) as connection:

            def work() -> dict[str, Any]:
                settled = self._publish(connection, rows, judgements, upload, here)
                return {"settled": settled, "newest": newest_mark(connection, table)}

            answer = once(connection, table, asked, work)
        return Publication([Settled(*each) for each in answer["settled"]], _mark(answer["newest"]))

    def _publish(
        self,
        connection: Connection,
        rows: Sequence[Values],
        judgements: Mapping[str, Sequence[Judgement]],
        upload: Upload | None,
        here: Here,
    ) -> list[Settled]:
        settled = take_in(connection, self.orm_class, rows, upload, here, self.host)
        said = {there.row["id"]: judgements.get(own["id"], ()) for own, there in zip(rows, settled, strict=True)}
        send_judgements(connection, self.orm_class, said)
        return settled

    def flag(self, id: str, quality: str, reason: str, who: str) -> list[Entry]:
        """Set a record's quality; the feed keeps who did it and why."""
        with writing(self.database, who, reason) as connection:
            return self._flag(connection, id, quality)

    def flag_once(self, asked: Asked, id: str, quality: str, reason: str, who: str) -> Flagged:
        """Set a record's quality, or give the answer that the request got before."""
        table = self.orm_class.table()
        with writing(self.database, who, reason) as connection:

            def work() -> dict[str, Any]:
                return {"entries": self._flag(connection, id, quality), "newest": newest_mark(connection, table)}

            answer = once(connection, table, asked, work)
        return Flagged([Entry(*each) for each in answer["entries"]], _mark(answer["newest"]))

    def _flag(self, connection: Connection, id: str, quality: str) -> list[Entry]:
        if not judge(connection, self.orm_class, id, quality):
            raise CalibrationNotFoundError(
                f"No record in {self.name} has the id {id!r}.",
                "It was withdrawn there; koa-cal sync brings what there is now.",
                asked={"id": id},
            )
        return newest_entry(connection, self.orm_class.table())

    def with_rows(self, ids: Sequence[str], do: Callable[[Sequence[Values]], None]) -> None:
        """Do something with the rows of some ids while nobody else publishes."""
        with writing(self.database, "", queued=True) as connection:
            do(rows_there(connection, self.orm_class, ids))

    def set_up(self, reader: str, publisher: str, *, resweep: bool = False, run: bool = True) -> SetUp:
        """Create or complete the instrument's table, and give the grants for two roles."""
        engine, table = self.database.engine, self.orm_class.table()
        with self.database.translated_errors():
            found = (initialise if run else planned)(engine, self.orm_class, resweep=resweep)
            return SetUp(grants(engine, table, reader, publisher), found.unfit, found.script, found.told)

    def connections_in_use(self) -> int:
        """Give how many of the kept connections are in use."""
        pools = {self._reads.pool, self.database.engine.pool}
        return sum(pool.checkedout() for pool in pools if isinstance(pool, QueuePool))

    def close(self) -> None:
        """Close all connections."""
        self._reads.dispose()
        self.database.close()


def _mark(found: Sequence[Any] | None) -> Mark | None:
    return None if found is None else Mark(*found)
