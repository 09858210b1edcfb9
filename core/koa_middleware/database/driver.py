"""The driver's connection to an SQLite file, made safe for threads that fork and for readers that take their time.

- A fork while another thread is inside SQLite would leave SQLite's locks held for ever in the child; one while a
  transaction is open would let the child believe that it holds the locks of the file. So a fork waits until no other
  thread is inside or has a transaction, of which none begins meanwhile; where that takes too long, or the forking
  thread has one itself, the child gets an error in the place of a connection.
- A connection that came over a fork is neither used nor closed: closing it could roll back the parent's transaction.
- Rows that are read outside of a transaction are fetched at once, so that no lock lasts longer than the statement.
- Readers have time between two commits, and a transaction that writes much shuts them out only at its commit.
- A connection knows its file, so that nobody goes on with one in whose place another file stands by now.
- A lock's error tells a reader from a writer, and one's own thread from others.
- What Python cannot decode is an error of SQLite's, as all else is.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import weakref
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import get_ident
from typing import Any, Self

from ..disk.names import folded

#: Seconds that a fork waits for threads to leave SQLite.
FORK_PATIENCE = 5.0

#: Seconds that readers have between two commits, and how old the last one must be for no pause at all.
READERS_TIME, JUST_NOW = 0.003, 0.1

#: Pages (4 kB) of a transaction that SQLite keeps in memory; with more it writes, and shuts readers out from then on.
PAGES_IN_MEMORY = 50_000

FORKED = "this process was forked while a transaction was open or another thread was inside SQLite"
HELD_HERE = "this thread itself is writing to it"
HELD_BY_READER = "database is locked by others who read"
HELD_BY_WRITER = "database is locked by another writer"

#: How the driver's message begins where a cell holds text that is none.
NO_TEXT = "Could not decode to UTF-8"


def is_damage(error: sqlite3.Error) -> bool:
    """Whether an error says that a file is damaged, or is no database of SQLite."""
    is_said = getattr(error, "sqlite_errorcode", 0) & 0xFF in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
    return is_said or str(error).startswith(NO_TEXT)


def of_no_text(error: UnicodeDecodeError) -> sqlite3.DatabaseError:
    """Give SQLite's error in the place of Python's, which could not decode the message: it quotes a damaged name."""
    said = error.object.decode(errors="backslashreplace")
    found = sqlite3.DatabaseError(f"malformed text: {said}")
    found.sqlite_errorcode, found.sqlite_errorname = sqlite3.SQLITE_CORRUPT, "SQLITE_CORRUPT"
    return found


def text_or_bytes(text: bytes) -> str | bytes:
    """Give text, or the bytes where it is no text; a `text_factory` of connections."""
    try:
        return text.decode()
    except UnicodeDecodeError:
        return text


@contextmanager
def only_errors_of_sqlite() -> Iterator[None]:
    """Let a connection that is not guarded raise no error but SQLite's own."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise of_no_text(error) from error


class _Way:
    """Counts the threads that are inside SQLite.

    Each thread touches its own count alone, so that entering takes no lock.
    """

    def __init__(self, inside: dict[int, int]) -> None:
        self._inside = inside

    def __enter__(self) -> None:
        me = get_ident()
        self._inside[me] = self._inside.get(me, 0) + 1

    def __exit__(self, kind: object = None, error: object = None, trace: object = None) -> None:
        me = get_ident()
        self._inside[me] -= 1
        if not self._inside[me]:
            del self._inside[me]
        if isinstance(error, UnicodeDecodeError):
            raise of_no_text(error) from error


class _Gate(_Way):
    """A way in that is shut while a process forks."""

    def __init__(self, inside: dict[int, int]) -> None:
        super().__init__(inside)
        self._one_fork = threading.Lock()
        self._is_unsafe = False
        self.is_shut = False
        self.is_poisoned = False

    def __enter__(self) -> None:
        me = get_ident()
        depth = self._inside.get(me, 0)
        self._inside[me] = depth + 1
        while self.is_shut and not depth:
            self._inside[me] = 0
            time.sleep(0.001)
            self._inside[me] = 1

    def before_fork(self) -> None:
        """Wait until no other thread is inside, or has a transaction."""
        self._one_fork.acquire()
        self.is_shut = True
        deadline = time.monotonic() + FORK_PATIENCE
        while (self._others_inside() or _has_transaction(but_of=get_ident())) and time.monotonic() < deadline:
            time.sleep(0.001)
        self._is_unsafe = self._others_inside() or _has_transaction()

    def after_fork_in_parent(self) -> None:
        """Let threads in again."""
        self.is_shut = False
        self._one_fork.release()

    def after_fork_in_child(self) -> None:
        """Begin anew, and leave all connections alone that came with the fork."""
        self.is_poisoned = self.is_poisoned or self._is_unsafe
        self._inside.clear()
        self.is_shut = False
        self._one_fork = threading.Lock()
        import ctypes  # here, since it takes long to import and forks are rare

        for connection in _all_connections():
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))  # or Python would close it at its end
        _connections.clear()

    def _others_inside(self) -> bool:
        me = get_ident()
        return any(depth for thread, depth in list(self._inside.items()) if thread != me)


def _has_transaction(but_of: int = 0) -> bool:
    """Whether a connection of this process is in a transaction, those that a thread began left out."""
    here = os.getpid()
    return any(each._process == here and each.in_transaction and each._writer != but_of for each in _all_connections())


def _file_at(path: str) -> tuple[int, int] | None:
    """Give what tells a file from others, device and inode; None where there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116 - it is asked at each statement
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _all_connections() -> list[GuardedConnection]:
    while True:
        try:
            return list(_connections)
        except RuntimeError:  # another thread opens one just now
            continue


_inside: dict[int, int] = {}
_gate, _past_the_gate = _Gate(_inside), _Way(_inside)
_connections: weakref.WeakSet[GuardedConnection] = weakref.WeakSet()
os.register_at_fork(
    before=_gate.before_fork,
    after_in_parent=_gate.after_fork_in_parent,
    after_in_child=_gate.after_fork_in_child,
)


class GuardedConnection(sqlite3.Connection):
    """A connection as the module describes; given to `sqlite3.connect` as its factory."""

    def __init__(self, database: str, *arguments: Any, **settings: Any) -> None:
        if _gate.is_poisoned:
            raise sqlite3.OperationalError(FORKED)
        self._database, self._process, self._writer = str(database), os.getpid(), 0
        with _gate:
            super().__init__(database, *arguments, **settings)
            self.create_function("koa_folded", 1, folded, deterministic=True)
            super().execute(f"PRAGMA cache_spill = {PAGES_IN_MEMORY}")
        self._file = _file_at(self._database)
        _connections.add(self)

    def is_of_its_file(self) -> bool:
        """Whether the file that it reads is the one that stands at its path, if any does; a backup may be put there."""
        found = _file_at(self._database)
        self._file = self._file or found  # SQLite makes a new file when it is first written to
        return found in (None, self._file)

    def cursor(self, factory: Any = None) -> Any:
        """Give a cursor."""
        return super().cursor(factory or GuardedCursor)

    def execute(self, *arguments: Any) -> Any:
        """Execute a statement with a cursor of its own, which the driver would make without asking `cursor`."""
        return GuardedCursor(self).execute(*arguments)

    def begin_immediate(self) -> None:
        """Begin a transaction that writes, and that no power cut takes back once it is committed.

        Raises
        ------
        sqlite3.OperationalError
            When it is another's turn, or this thread writes through another connection, for which it would wait for
            ever.
        """
        me = get_ident()
        for other in _all_connections():
            if other is not self and other._writer == me and other._database == self._database and other.in_transaction:
                raise sqlite3.OperationalError(HELD_HERE)
        self.execute("PRAGMA synchronous = EXTRA")  # else its journal may come back: its removal is not flushed
        self._writer = me
        try:
            self.execute("BEGIN IMMEDIATE")
        except sqlite3.Error:
            self._writer = 0
            raise
        self._let_readers_in()

    def _let_readers_in(self) -> None:
        """Pause before a commit that would follow upon another one: readers are shut out while one is under way."""
        with suppress(OSError):  # a database in memory
            if time.time() - Path(self._database).stat().st_mtime < JUST_NOW:
                time.sleep(READERS_TIME)

    def commit(self) -> None:
        """Commit."""
        self.check_process()
        with self.way_in(), self.telling_reader_from_writer():
            super().commit()
        self._writer = 0

    def rollback(self) -> None:
        """Roll back; of a connection that came over a fork, do nothing."""
        if self._process == os.getpid():
            with self.way_in():
                super().rollback()
            self._writer = 0

    def close(self) -> None:
        """Close; of a connection that came over a fork, do nothing.

        SQLite keeps the locks of one that is closed inside a transaction until its cursors go, and the traceback of
        an interrupted statement may hold these for long.
        """
        if self._process == os.getpid() and self in _connections:
            _connections.discard(self)
            self.rollback()
            with self.way_in():
                super().close()

    def way_in(self) -> _Way:
        """Give the way into SQLite: who is in a transaction comes to its end while a process forks, too."""
        return _past_the_gate if _gate.is_shut and self.in_transaction else _gate

    def check_process(self) -> None:
        """Check that it did not come over a fork.

        Raises
        ------
        sqlite3.ProgrammingError
        """
        if self._process != os.getpid():
            raise sqlite3.ProgrammingError("the connection belongs to the process that forked this one")

    @contextmanager
    def telling_reader_from_writer(self) -> Iterator[None]:
        """Say whose lock it is: only a writer waits for readers."""
        try:
            yield
        except sqlite3.OperationalError as error:
            if str(error) != "database is locked":
                raise
            raise sqlite3.OperationalError(HELD_BY_READER if self.in_transaction else HELD_BY_WRITER) from error


class GuardedCursor(sqlite3.Cursor):
    """A cursor that fetches its rows at once, except in a transaction."""

    connection: GuardedConnection
    _fetched: deque[Any] | None = None

    def execute(self, *arguments: Any) -> Self:
        """Execute a statement."""
        connection = self.connection
        if connection._process != os.getpid():
            connection.check_process()
        self._fetched = None
        try:
            with connection.way_in() if _gate.is_shut else _gate:
                super().execute(*arguments)
                if self.description is not None and not connection.in_transaction:
                    self._fetched = deque(super().fetchall())
        except sqlite3.OperationalError:
            with connection.telling_reader_from_writer():
                raise
        except KeyboardInterrupt:
            super().close()  # else it keeps its lock for as long as the traceback is kept
            raise
        return self

    def executemany(self, *arguments: Any) -> Self:
        """Execute a statement for each of many rows."""
        self.connection.check_process()
        with self.connection.way_in(), self.connection.telling_reader_from_writer():
            super().executemany(*arguments)
        return self

    def fetchone(self) -> Any:
        """Give the next row."""
        if self._fetched is None:
            with self.connection.way_in():
                return super().fetchone()
        return self._fetched.popleft() if self._fetched else None

    def fetchmany(self, size: int | None = None) -> list[Any]:
        """Give the next rows."""
        number = self.arraysize if size is None else size
        if self._fetched is None:
            with self.connection.way_in():
                return super().fetchmany(number)
        return [self._fetched.popleft() for _ in range(min(number, len(self._fetched)))]

    def fetchall(self) -> list[Any]:
        """Give all rows that are left."""
        if self._fetched is None:
            with self.connection.way_in():
                return super().fetchall()
        rows = list(self._fetched)
        self._fetched.clear()
        return rows

    def __next__(self) -> Any:
        if self._fetched is None:
            with self.connection.way_in():
                return super().__next__()
        if not self._fetched:
            raise StopIteration
        return self._fetched.popleft()
