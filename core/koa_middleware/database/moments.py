"""The time of a past state, and whether a database can tell that state."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from typing import Any, NamedTuple

from ..exceptions import ConfigurationError
from ..instrument.forms import TIME_BOUND
from ..instrument.orm import ORMCalibration
from ..instrument.plain import shown
from ..instrument.times import now_iso
from .copy_state import copy_table
from .feed import feed_table
from .history import MADE_NEW, history_table, next_time
from .schema import read_schema
from .sqlite import quote


def moment_of(given: Any) -> str:
    """Give a time as UTC with microseconds: ISO text, a datetime, an astropy Time.

    A date alone is the end of that day, and today's is now.

    Raises
    ------
    ConfigurationError
        When it is no time.
    """
    try:
        text = TIME_BOUND.of(given)
    except (ValueError, TypeError, ArithmeticError) as error:
        raise _unusable(f"The as_of is {shown(given)}, which is {error}.", _FORM) from error
    if text is None:
        raise _unusable(f"The as_of is {shown(given)}, which is not a time.", _FORM)
    if len(text) > len("2026-11-02"):
        return _exact(given, text)
    now = now_iso()
    return now if now.startswith(text) else f"{text}T23:59:59.999999"


_FORM = "Give an ISO time or a datetime, UTC, such as '2026-11-02T10:00:00'."


def _exact(given: Any, text: str) -> str:
    """Give the microseconds of a time of which `text` has the milliseconds."""
    try:
        moment = given if isinstance(given, datetime) else datetime.fromisoformat(str(given).strip())
    except ValueError:
        return f"{text}000"
    found = moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC).replace(tzinfo=None)
    is_it = abs((found - datetime.fromisoformat(text)).total_seconds()) <= 0.0005  # as to which `text` is rounded
    return found.isoformat(timespec="microseconds") if is_it else f"{text}000"


class Known(NamedTuple):
    """The times whose state a database can tell.

    Attributes
    ----------
    since : str or None
        From when on all is kept, UTC; None where nothing is.
    until : str
        Now; or the time of the last change, where a clock was ahead.
    follows : bool
        Whether it has entries of an archive.
    archive_until : str or None
        Up to when it knows what happened at the archive; None where it was never synced.
    """

    since: str | None
    until: str
    follows: bool
    archive_until: str | None

    @classmethod
    def of(cls, connection: sqlite3.Connection, orm_class: type[ORMCalibration]) -> Known:
        """Read it of a connection's main database."""
        there = read_schema(connection).columns
        feed, history = feed_table(orm_class).name, history_table(orm_class).name
        if not {feed, history} <= there.keys():
            return cls(None, "", False, None)
        begun = f"SELECT at, why, archive_n IS NULL FROM {quote(feed)} WHERE op = 'begun' ORDER BY at DESC"  # noqa: S608
        found = connection.execute(begun).fetchall()
        here = next(((at, why) for at, why, is_here in found if is_here), None)
        there_at = next((at for at, _, is_here in found if not is_here), None)
        asked = f"SELECT EXISTS (SELECT 1 FROM {quote(feed)} WHERE archive_n IS NOT NULL)"  # noqa: S608
        follows = bool(connection.execute(asked).fetchone()[0])
        synced_at, archive_until = _synced(connection, orm_class, there)
        since = None if here is None else here[0]
        if here is not None and (follows or synced_at is not None):
            of_archive = there_at or synced_at or here[0]
            since = of_archive if here[1] == MADE_NEW else max(of_archive, here[0])
        until = max(next_time(connection, orm_class), archive_until or "")
        return cls(since, until, follows, archive_until or synced_at)

    def check(self, moment: str, database: str, *, has_archive: bool) -> None:
        """Check that the state at a time can be told.

        Parameters
        ----------
        moment : str
        database : str
            As messages call it.
        has_archive : bool
            Whether an archive is followed, of which no more is known than the last sync brought.

        Raises
        ------
        ConfigurationError
        """
        said = f"The state of {moment} was asked"
        if self.since is None:
            raise _unusable(
                f"{said}, and {database} keeps no history.", "Let someone who can write to it open it once."
            )
        if moment < self.since:
            hint = f"Ask for a time from {self.since} on."
            raise _unusable(f"{said}, and the history of {database} begins at {self.since}.", hint)
        if moment > self.until:
            raise _unusable(f"{said}, which is still to come: it is {self.until}.", "Ask for a time that is past.")
        if has_archive and self.archive_until is None:
            raise _unusable(f"{said}, and {database} was never synced with its archive.", "Run koa-cal sync.")
        if has_archive and self.archive_until is not None and moment > self.archive_until:
            hint = f"Run koa-cal sync, or ask for a time until {self.archive_until}."
            raise _unusable(
                f"{said}, and the last sync of {database} knows the archive until {self.archive_until}.", hint
            )


def _synced(
    connection: sqlite3.Connection, orm_class: type[ORMCalibration], there: dict[str, set[str]]
) -> tuple[str | None, str | None]:
    """Give the end of the last complete sync by the local clock, and up to when the archive is known by its own."""
    name = copy_table(orm_class).name
    if "known_until" not in there.get(name, set()):
        return None, None
    row = connection.execute(f"SELECT synced_at, known_until FROM {quote(name)}").fetchone()  # noqa: S608
    if row is None or not isinstance(row[0], float | int):
        return None, None
    at = datetime.fromtimestamp(row[0], UTC).replace(tzinfo=None).isoformat(timespec="microseconds")
    return at, row[1]


def _unusable(message: str, hint: str) -> ConfigurationError:
    return ConfigurationError(message, hint, setting="as_of", variable=None)
