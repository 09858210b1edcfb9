"""A cache folder as `koa_middleware.remote.protocol.Remote` asks for an archive."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Generic, NoReturn, TypeVar

from ...database.local import LocalDatabase
from ...exceptions import CacheError, RemoteError
from ...instrument.orm import ORMCalibration
from ..others import Others, with_others
from ..viewed import Following
from .views import FolderViews, unreadable

R = TypeVar("R", bound=ORMCalibration)


class FolderRemote(Generic[R]):
    """The rows of a cache folder's own database, which others follow and nobody else writes to.

    All rows are served as REMOTE, and stay what they are in the folder. Rows of an archive that are kept apart, and the
    store's own judgements, are the folder's own affair.

    Parameters
    ----------
    local : LocalDatabase
        The folder's, which the caller closes.
    """

    files = None

    def __init__(self, local: LocalDatabase[R]) -> None:
        self.orm_class = local.orm_class
        self.database = local
        self.host = str(local.path)
        self.name = f"the cache folder's database {local.path}"

    @contextmanager
    def connected(self, others: Others = ()) -> Iterator[Following]:
        """Open a connection for reading; while a view of it is open, nobody commits to the folder's database."""
        with self.viewed(others) as views:
            yield Following(views, views.table)

    @contextmanager
    def viewed(self, others: Others = ()) -> Iterator[FolderViews]:
        """Open a connection for a server that serves what it reads."""
        with ExitStack() as opened:
            try:
                connection = opened.enter_context(self.database.driver_connection())
            except CacheError as error:
                raise unreadable(self.host, error.__cause__ or error.message) from error
            yield FolderViews(self.database, connection, with_others(self.orm_class.table(), others))

    def plan(self, *_: object, **__: object) -> NoReturn:
        """Refuse."""
        raise self._refusal()

    def publish(self, *_: object, **__: object) -> NoReturn:
        """Refuse."""
        raise self._refusal()

    def flag(self, *_: object, **__: object) -> NoReturn:
        """Refuse."""
        raise self._refusal()

    def set_up(self, *_: object, **__: object) -> NoReturn:
        """Refuse."""
        raise self._refusal()

    def connections_in_use(self) -> int:
        """Give 0, since none are kept."""
        return 0

    def close(self) -> None:
        """Leave the database open for its owner."""

    def _refusal(self) -> RemoteError:
        return RemoteError(
            "The archive is a cache folder, which is served for reading only.",
            "Register and flag in that folder itself; nothing was changed.",
        )
