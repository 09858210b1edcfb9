"""An archive that a server of ours serves over HTTP, as `koa_middleware.remote.protocol.Remote` asks for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Generic, TypeVar

from ...database.feed import Judgement
from ...database.local import LocalDatabase
from ...database.table import CalibrationDatabase
from ...exceptions import RemoteError
from ...instrument.orm import ORMCalibration
from ...kept import kept_property
from ..others import Others, with_others
from ..protocol import Entry, Here, Mark, Settled, SetUp, Upload, Values
from . import writing
from .asking import Asking
from .files import HttpFiles
from .mirror import Mirror
from .source import HttpSource
from .url import archive_url

R = TypeVar("R", bound=ORMCalibration)


class HttpRemote(Generic[R]):
    """An instrument's archive at a server of ours; connections are opened when they are needed.

    Parameters
    ----------
    orm_class : type
    url : str
    local : LocalDatabase or None
        As of `koa_middleware.remote.servers.remote_at`.
    access_token : str or None
    cookie_file : pathlib.Path or None

    Attributes
    ----------
    asking : Asking
    files : HttpFiles
    at_least : Mark or None
        The newest entry that something which was written from here gave; no older state is read afterwards.

    Raises
    ------
    ConfigurationError
        When it is no URL of such a server.
    """

    def __init__(
        self,
        orm_class: type[R],
        url: str,
        local: LocalDatabase[R] | None = None,
        access_token: str | None = None,
        cookie_file: Path | None = None,
    ) -> None:
        there = archive_url(url)
        self.orm_class = orm_class
        self.host = there.host
        self.name = f"the archive at {there.host}"
        self._local = local
        self.at_least: Mark | None = None
        self.asking = Asking(there, orm_class.instrument_name, access_token, cookie_file)
        self.files = HttpFiles(self.asking)

    @kept_property
    def _mirror(self) -> Mirror[R]:
        return Mirror(self, self._local)

    @property
    def database(self) -> CalibrationDatabase[R]:
        """The archive's rows as records, for the selections, or queries, that are made next."""
        return self._mirror.asked()

    @contextmanager
    def connected(self, others: Others = ()) -> Iterator[HttpSource]:
        """Give the archive for reading; the rows have the columns of other versions of the class, too."""
        yield HttpSource(self, with_others(self.orm_class.table(), others))

    def plan(self, rows: Sequence[Values], here: Here) -> list[Settled]:
        """Give what a publication would give now; the server asks for a token that may publish."""
        return writing.plan(self, rows, here)

    def publish(
        self,
        rows: Sequence[Values],
        judgements: Mapping[str, Sequence[Judgement]],
        upload: Upload | None,
        here: Here,
        who: str,  # noqa: ARG002
    ) -> list[Settled]:
        """Take records in with what was said of their quality, all or none; the server's token says who it was."""
        return writing.publish(self, rows, judgements, upload, here)

    def flag(self, id: str, quality: str, reason: str, who: str) -> list[Entry]:  # noqa: ARG002
        """Set a record's quality; the server's token says who did it."""
        return writing.flag(self, id, quality, reason)

    def wrote(self, newest: Mark | None) -> None:
        """Read no state from now on that is older than an entry."""
        if newest is not None and (self.at_least is None or newest.n > self.at_least.n):
            self.at_least = newest

    def set_up(self, reader: str, publisher: str, *, resweep: bool = False, run: bool = True) -> SetUp:  # noqa: ARG002
        """Refuse: the owner does it at the database."""
        raise RemoteError(
            f"{self.name[0].upper()}{self.name[1:]} cannot be set up over HTTP.",
            "Its owner does that at the PostgreSQL server: koa-cal remote init, with the database's URL.",
        )

    def close(self) -> None:
        """Close all connections, and remove the private copy."""
        self.asking.close()
        if "_mirror" in vars(self):
            self._mirror.close()

    def __repr__(self) -> str:
        return f"HttpRemote({self.orm_class.instrument_name}, {self.host})"
