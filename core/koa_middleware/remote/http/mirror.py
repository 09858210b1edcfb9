"""A private copy of an archive, which the client's rules ask in the archive's place."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any, Generic, NoReturn, TypeVar

from sqlalchemy import Connection, Select
from sqlalchemy.orm import Session

from ...database.local import LocalDatabase
from ...database.past import PastDatabase, Pasts
from ...database.sqlite import NO_FILE, make_read_only, sqlite_engine
from ...database.table import CalibrationDatabase
from ...exceptions import CacheError, RemoteError
from ...instrument.judged import Said
from ...instrument.orm import ORMCalibration
from ..following import LOOK_S, has_news
from ..local_copy import open_copy
from ..protocol import Remote
from ..sync import follow, synchronise
from .seeding import Judgements, seed

R = TypeVar("R", bound=ORMCalibration)


class Mirror(CalibrationDatabase[R]):
    """An archive's rows as records, from a copy that is brought up to date before each question.

    A question is what is asked from one call of `asked` on; where it takes long, the copy is brought up to date each
    second. The copy is made with the first question, of what the store has already, and stands in a temporary folder
    of this process, which goes with the mirror. The store's own judgements hold in it, its LOCAL records don't.

    Parameters
    ----------
    remote : Remote
    local : LocalDatabase or None
        The store's.
    """

    def __init__(self, remote: Remote[R], local: LocalDatabase[R] | None) -> None:
        super().__init__(remote.orm_class, sqlite_engine(NO_FILE), remote.name)
        self._remote = remote
        self._local = local
        self._of_process: dict[int, _Place[R]] = {}

    def asked(self) -> Mirror[R]:
        """Begin a question."""
        self._place.asked_at = time.monotonic()
        return self

    @property
    def _place(self) -> _Place[R]:
        """Give what is this process's; a copy does not come over a fork."""
        return self._of_process.setdefault(os.getpid(), _Place())

    def _copy(self, *, is_past: bool = False) -> _Copy[R]:
        """Give the copy as the archive is now; for a question of the past, one that knows the past until now.

        Raises
        ------
        RemoteUnavailableError, RemoteError, SchemaMismatchError
            As of a sync.
        """
        place = self._place
        with place.lock:
            began = time.monotonic()
            if place.copy is None:
                place.copy = _Copy(self.orm_class, self._local)
            if is_past or place.polled_at < place.asked_at or began - place.polled_at > LOOK_S:
                place.copy.bring_up_to_date(self._remote, is_past=is_past)
                place.polled_at = began
            return place.copy

    def as_of(self, moment: str) -> PastDatabase[R]:
        """Give its state at a time, for reading; it is the mirror's, which closes it."""
        copy = self._copy(is_past=True)
        then = copy.pasts.at(copy.asked, moment, has_archive=True)
        then.name = self.name
        return then

    def judged_here(self) -> dict[str, Said]:
        """Give the judgements of the store that asks, by id."""
        return self._copy().asked.judged_here()

    def last_said_of(self, ids: Iterable[str]) -> dict[str, Said]:
        """What was said last of the quality of some calibrations, by id; the store's own judgement comes first."""
        return self._copy().asked.last_said_of(ids)

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """Give a connection for reading."""
        with self._copy().asked.connect() as connection:
            yield connection

    @contextmanager
    def session_manager(self) -> Iterator[Session]:
        """Give a session for SQL of one's own, which cannot write."""
        try:
            with self._copy().asked.session_manager() as session:
                yield session
        except CacheError as error:
            if "readonly" not in str(error.__cause__):
                raise
            raise self._refusal() from error

    def begin(self) -> NoReturn:
        """Refuse to write.

        Raises
        ------
        RemoteError
        """
        raise self._refusal()

    def _refusal(self) -> RemoteError:
        said = f"{self.name[0].upper()}{self.name[1:]} is read-only for selections and queries."
        return RemoteError(said, "Write to it with publish and flag.")

    def fetch(self, statement: Select[Any], parameters: Mapping[str, Any]) -> list[R]:
        """Records of a statement that selects the table's columns."""
        return self._copy().asked.fetch(statement, parameters)

    def fetch_many(self, statement: Select[Any], parameters: Sequence[Mapping[str, Any]], *, rows: bool) -> list[Any]:
        """Records of a statement, or its rows, for each of many parameters."""
        return self._copy().asked.fetch_many(statement, parameters, rows=rows)

    def close(self) -> None:
        """Remove the copy; a question after that makes another one."""
        place = self._of_process.pop(os.getpid(), None)
        if place is not None and place.copy is not None:
            place.copy.close()

    def __repr__(self) -> str:
        return f"Mirror({self.orm_class.instrument_name}, {self._remote.host})"


class _Place(Generic[R]):
    """What one process has of a mirror."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.copy: _Copy[R] | None = None
        self.asked_at = 0.0
        self.polled_at = -LOOK_S


class _Copy(Generic[R]):
    """A copy of an archive in a temporary folder.

    Parameters
    ----------
    orm_class : type
    local : LocalDatabase or None
        Which has some of the archive already, and the judgements that hold over it.
    """

    def __init__(self, orm_class: type[R], local: LocalDatabase[R] | None) -> None:
        folder = Path(tempfile.mkdtemp(prefix="koa-archive-"))
        self._remove = weakref.finalize(self, _remove, folder, os.getpid())
        path = folder / f"{orm_class.table().name}.db"
        try:
            if local is not None:
                seed(local, path)
            self._followed = LocalDatabase(orm_class, path)
            self.asked = LocalDatabase(orm_class, path)
        except BaseException:
            self._remove()
            raise
        make_read_only(self.asked.engine)
        self.pasts: Pasts[R] = Pasts()
        self._judgements = None if local is None else Judgements(local)

    def bring_up_to_date(self, remote: Remote[R], *, is_past: bool) -> None:
        """Take in what the archive has, and what the store judges itself."""
        if self._judgements is not None:
            self._judgements.renew(self._followed)
        if is_past:
            synchronise(self._followed, remote)
            return
        with open_copy(self._followed) as copy, remote.connected(copy.others) as source:
            if has_news(copy, source):
                follow(self._followed, copy, source, remote.host)

    def close(self) -> None:
        """Remove it."""
        self.pasts.close()
        self.asked.close()
        self._followed.close()
        self._remove()


def _remove(folder: Path, process: int) -> None:
    """Remove a folder in the process that made it; in a child, the finalizers of its parent run too."""
    if os.getpid() == process:
        shutil.rmtree(folder, ignore_errors=True)
