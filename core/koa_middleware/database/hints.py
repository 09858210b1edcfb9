"""What to do when SQLite refuses: said only where it is true."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

from ..disk.writing import room_is_made
from . import driver

#: How SQLite's messages begin where the statement is at fault, not the file.
_OF_STATEMENT = (
    "no such column",
    "no such function",
    "ambiguous column",
    "near ",
    "unrecognized token",
    "incomplete input",
    "too many SQL variables",
    "Error binding parameter",
    "You did not supply a value",
    "Incorrect number of bindings",
    "type '",
)
_OF_ROW = (
    "NOT NULL constraint",
    "UNIQUE constraint",
    "CHECK constraint",
    "FOREIGN KEY constraint",
    "datatype mismatch",
)
#: What SQLite takes for writing is also the reading of such a database.
_OF_WAL = "In SQLite's mode wal only those read it who may write; let its owner run PRAGMA journal_mode=delete on it."
_OF_DAMAGE = ("malformed", "not a database", "no such table", driver.NO_TEXT)


def hint(reason: str, path: Path, patience: float) -> str:
    """Say what to do about an error of SQLite; empty where nothing is known.

    Parameters
    ----------
    reason : str
        SQLite's message, or one of `driver`.
    path : pathlib.Path
        The database.
    patience : float
        Seconds for which a lock was waited for.
    """
    if driver.FORKED in reason:
        return "Start processes with spawn or forkserver, or when no transaction is open."
    if driver.HELD_HERE in reason:
        return "Write when the session, or the save() of the model, is done."
    if driver.HELD_BY_READER in reason:
        return f"Others have been reading it for more than {patience:.0f} s; try again when they are done."
    if "locked" in reason:
        return f"Another process or thread has been writing for more than {patience:.0f} s; try again when it is done."
    if reason.startswith(_OF_STATEMENT):
        return "Correct the statement; nothing was changed."
    if reason.startswith("NOT NULL constraint"):
        return "Give the row that value; a column that the plugin does not know is of a newer version of it."
    if reason.startswith(_OF_ROW):
        return "Correct the row; nothing was changed."
    if any(word in reason for word in _OF_DAMAGE):
        if path.exists() and not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)):
            return "The file is damaged, and you may not write to it; let its owner run koa-cal rebuild."
        return "The file is damaged; koa-cal rebuild makes it anew from all that is left, and keeps the damaged one."
    if "full" in reason:
        return f"{room_is_made(path.parent)}; nothing was changed."
    if _waits_for_recovery(path):
        return (
            "A writer died in the middle of its work; open the cache once where it can be written, which undoes that."
        )
    if "I/O error" in reason:
        return f"Check that the disk of {path.parent} works. {room_is_made(path.parent)}; nothing was changed."
    return _of_the_file(path)


def _waits_for_recovery(path: Path) -> bool:
    """Whether a dead writer's journal lies beside a database and cannot be played back from here."""
    journal = path.with_name(f"{path.name}-journal")
    try:
        return journal.stat().st_size > 0 and not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK))
    except OSError:
        return False


def _of_the_file(path: Path) -> str:
    """Look why a file could not be opened, read or written."""
    if (number := _cannot_open_more()) is not None:
        which = "this process" if number == errno.EMFILE else "this machine"
        return f"Too many files are open in {which} (ulimit -n); close stores that are done, or raise the limit."
    try:
        folder = path.parent
        if not folder.is_dir():
            return f"The folder {folder} is gone; make the store anew."
        needed = os.R_OK | os.W_OK
        if not os.access(folder, needed | os.X_OK) or (path.exists() and not os.access(path, needed)):
            return _OF_WAL if _is_in_wal_mode(path) else "Check the permissions of the file and its folder."
        room = os.statvfs(folder)
        if room.f_files and not room.f_favail:
            return f"{room_is_made(folder)}; nothing was changed."
    except OSError as error:
        return f"The folder cannot be read: {error.strerror}."
    return ""


def _is_in_wal_mode(path: Path) -> bool:
    """Whether a database has a write-ahead log (sqlite.org/fileformat2.html, 1.3.3).

    Another process reads it: to close it here would drop the locks that SQLite holds on it in this process.
    """
    done = subprocess.run(["head", "-c", "20", str(path)], capture_output=True, check=False)  # noqa: S603, S607
    return done.stdout[18:20] == b"\2\2"


def _cannot_open_more() -> int | None:
    """Give the error number where no file can be opened, since too many are."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return error.errno if error.errno in {errno.EMFILE, errno.ENFILE} else None
    return None
