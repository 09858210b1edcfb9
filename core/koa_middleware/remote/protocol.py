"""A remote as those see it who follow it and publish to it, whatever its server.

Nothing of a server crosses this seam: no engine, no connection, and no error but this package's own.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

from ..database.feed import Judgement
from ..database.table import CalibrationDatabase
from ..instrument.orm import ORMCalibration
from .others import Others

R = TypeVar("R", bound=ORMCalibration)

#: Values in the order of the class's columns, and of those of other versions where a reader asks for them.
Row = tuple[Any, ...]
#: Values by column.
Values = dict[str, Any]

#: What is said of an archive that has lost changes which a client has seen.
ANOTHER_HISTORY = (
    "The archive was read anew: its history is not the one that this copy follows, as after a failover, a crash or a "
    "restored backup."
)


class Moved(Exception):  # noqa: N818 - a signal, not an error
    """A remote changed while it was read, so that the reading has to begin again."""


@dataclass(frozen=True)
class Batch:
    """Some rows of a remote, as a reading of it yields them.

    Attributes
    ----------
    rows : list of Row
        Rows in form: each value is as the local database stores it.
    odd : list of dict
        Rows that are not, as the remote has them: ``{column: value}``.
    """

    rows: list[Row]
    odd: list[Values] = field(default_factory=list)


class Mark(NamedTuple):
    """A place in a remote's feed: an entry's number and its random token, by which histories are told apart."""

    n: int
    token: str


class Entry(NamedTuple):
    """A change that a remote's feed tells of.

    Attributes
    ----------
    n : int
        Its number; numbers are in the order of the commits.
    id : str or None
        Of the record; None where it concerns all.
    op : str
        ``added``, ``changed``, ``flagged``, ``withdrawn``; ``resweep``, which asks all to read everything once; or
        ``begun``, before which the history does not tell all.
    at : str
        When it was committed, UTC by the remote's clock, in microseconds. It grows with `n`; the entries of one
        transaction have one.
    quality : str or None
        The record's quality from then on.
    who, why : str or None
        Who did it, and the reason of a judgement.
    token : str
    """

    n: int
    id: str | None
    op: str
    at: str
    quality: str | None
    who: str | None
    why: str | None
    token: str


@dataclass(frozen=True)
class Page:
    """Some entries of a remote's feed, in order.

    Attributes
    ----------
    entries : list of Entry
    batch : Batch
        The rows of their records as they are now; a record without a row was withdrawn.
    bookmark : str
        Stands for all entries up to the last of these.
    former : Batch
        The versions of rows that these entries ended; see `Past`.
    is_complete : bool
        Whether the last entry is the last one of its transaction; only then the bookmark may be kept.
    """

    entries: list[Entry]
    batch: Batch
    bookmark: str
    former: Batch
    is_complete: bool


#: What a former version has before the row's values: the number of the entry that ended it, and the times (UTC) from
#: which, empty where that is before the history, and until before which it was the row's.
VERSION = ("koa_n", "koa_since", "koa_until")


class Past(NamedTuple):
    """Some entries of a remote's feed, in order, and the former versions of rows.

    Attributes
    ----------
    entries : list of Entry
    former : Batch
        The versions of rows that these entries ended, as far as the remote keeps them; the values of `VERSION` first.
    bookmark : str
        Stands for all entries up to the last of these.
    """

    entries: list[Entry]
    former: Batch
    bookmark: str


@dataclass(frozen=True)
class State:
    """How a remote stands to a client.

    Attributes
    ----------
    bookmark : str
        Stands for all that the remote shows now; only the remote can read it.
    continues : bool
        Whether the client can follow from its bookmark. It cannot without one, when the feed does not tell all that
        happened since, or when either side has got other columns.
    news : bool
        Whether the feed has entries after the client's bookmark.
    behind : Mark or None
        The newest entry of a standby that has not come as far as the client.
    noticed : tuple of str
        Why a client that has a bookmark cannot follow from it, and what keeps everybody from following; sentences.
    unknown_columns : tuple of str
        Columns that the instrument's class does not know.
    missing_columns : tuple of str
        Columns of the class that the remote lacks, and that rows come without.
    clock : str or None
        Up to when what happened there is shown, UTC by the remote's clock, in microseconds.
    keeps_history : bool
        Whether the remote keeps the former versions of rows.
    scopes : tuple of str or None
        What the client's token allows there; empty where it does not hold, None where that is not told.
    """

    bookmark: str
    continues: bool
    news: bool
    behind: Mark | None = None
    noticed: tuple[str, ...] = ()
    unknown_columns: tuple[str, ...] = ()
    missing_columns: tuple[str, ...] = ()
    clock: str | None = None
    keeps_history: bool = False
    scopes: tuple[str, ...] | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Found:
    """What a remote has of some ids, in one view.

    Attributes
    ----------
    batch : Batch
        Their rows.
    entries : list of Entry
        All that its feed tells of them.
    former : Batch
        The versions of rows that these entries ended; see `Past`.
    state : State
        Of this view. Where it is behind the client, nothing is given.
    """

    batch: Batch
    entries: list[Entry]
    former: Batch
    state: State


class Reading(Protocol):
    """A remote while it is read: one view of it, or several, each newer than the one before.

    Where the feed cannot tell what changed between two of them, `Moved` ends the reading.

    Attributes
    ----------
    state : State
        Of the newest view from which anything was given.
    """

    state: State

    def pages(self, since: str) -> Generator[Page]:
        """Give what the feed tells after a bookmark, up to the newest entry of the last page's view."""
        ...

    def sweep(self, after: str) -> Generator[Batch]:
        """All rows whose id comes after a given one, in the order of the ids' code points."""
        ...

    def goes_on_after(self, since: str | None) -> int:
        """Give the number of the entry after which a reader of the history up to a bookmark goes on; 0: none."""
        ...

    def history(self, after: int) -> Generator[Past]:
        """Give all entries after a number, and the versions that they ended."""
        ...


class Source(Protocol):
    """A remote that is being read."""

    def state(self, since: str | None, seen: str | None) -> State:
        """Tell how the remote stands to a client; costs one round trip, whatever the number of rows.

        Parameters
        ----------
        since : str or None
            The client's bookmark.
        seen : str or None
            The bookmark of the newest view from which the client has taken a row; a client that was interrupted may
            have rows that are newer than its bookmark.
        """
        ...

    def reading(self, since: str | None, seen: str | None) -> AbstractContextManager[Reading]:
        """Begin to read.

        Raises
        ------
        SchemaMismatchError
            When the remote lacks a column that the class needs.
        """
        ...

    def lookup(self, ids: Sequence[str], since: str | None, seen: str | None) -> Found:
        """Give what the remote has of some ids; see `state` for the bookmarks."""
        ...


class Settled(NamedTuple):
    """A published record.

    Attributes
    ----------
    row : dict
        As the remote has it; of a record that was there before, its id, file name and version at least.
    is_new : bool
        Whether it was not there before.
    """

    row: Values
    is_new: bool


#: Gets ``(file name here, row as the remote will have it)`` of each record.
Upload = Callable[[Sequence[tuple[str, Values]]], None]


class Files(Protocol):
    """Where an archive takes the files of records itself."""

    def bring(self, files: Sequence[tuple[Path, Values]]) -> None:
        """Bring the files of records that will be published, each given by its path and its row there.

        Raises
        ------
        IntegrityError
            When a file is not what its record says.
        CacheError
            When the server has no room for them.
        """
        ...

    def place(self, files: Sequence[tuple[Path, Values]]) -> set[str]:
        """Let records that are published have their files; gives the ids of those that have them in the end."""
        ...


#: Whether the file of a name here has a checksum.
Holds = Callable[[str, str], bool]


class Here(NamedTuple):
    """What a remote asks of a publisher's side.

    Attributes
    ----------
    is_taken : callable
        Whether a file name belongs to another record.
    holds : callable
        Whether the file of a name has a checksum.
    """

    is_taken: Callable[[str], bool]
    holds: Holds


@dataclass(frozen=True)
class UnfitRow:
    """A row that an archive holds against a check of its table; clients bring it into form or refuse it.

    Attributes
    ----------
    id, filename : str
    column, value : str
        What is not in form.
    """

    id: str
    filename: str
    column: str
    value: str


@dataclass(frozen=True)
class SetUp:
    """What setting up a remote gave.

    Attributes
    ----------
    grants : list of str
        Statements by which the owner lets others read and publish.
    unfit : list of UnfitRow
        Rows from before the checks, which any change to them has to mend.
    statements : list of str
        What was run, or would be, in one transaction; empty where nothing was missing.
    told : list of str
        What old rows don't obey of what the class declares, a sentence each.
    """

    grants: list[str]
    unfit: list[UnfitRow]
    statements: list[str]
    told: list[str]


class Remote(Protocol[R]):
    """An instrument's rows at an archive.

    Every method raises a `RemoteUnavailableError` when the server does not answer, a `RemoteError` when a right is
    missing, and a `SchemaMismatchError` when the archive is not set up for the instrument.

    Attributes
    ----------
    name, host : str
        The archive and its server, as messages call them; hold no secret.
    orm_class : type
    files : Files or None
        Takes the files of records; None where they go to a folder, or nowhere.
    """

    name: str
    host: str
    orm_class: type[R]

    @property
    def files(self) -> Files | None:
        """See above."""
        ...

    @property
    def database(self) -> CalibrationDatabase[R]:
        """The archive's rows as records, for selections that ask the archive itself."""
        ...

    def connected(self, others: Others = ()) -> AbstractContextManager[Source]:
        """Open a connection for reading; the rows have the columns of other versions of the class, too."""
        ...

    def plan(self, rows: Sequence[Values], here: Here) -> list[Settled]:
        """Give what a publication would give now; nothing is changed. It raises what `publish` raises."""
        ...

    def publish(
        self,
        rows: Sequence[Values],
        judgements: Mapping[str, Sequence[Judgement]],
        upload: Upload | None,
        here: Here,
        who: str,
    ) -> list[Settled]:
        """Take records in, all or none; one that is there already only gets the judgements that it lacks.

        Parameters
        ----------
        rows : sequence of dict
        judgements : mapping
            What the publisher's side said of their quality, oldest first, by id.
        upload : callable or None
            Called with all that are new, before anyone sees their rows.
        here : Here
        who : str
            The publisher.

        Returns
        -------
        list of Settled
            Aligned with `rows`. Another version and file name were given where one was taken.

        Raises
        ------
        DuplicateCalibrationError
            When an id or a name belongs to other content.
        """
        ...

    def flag(self, id: str, quality: str, reason: str, who: str) -> list[Entry]:
        """Set a record's quality, and keep who did it and why.

        Returns
        -------
        list of Entry
            What the feed tells of it; empty where the remote has none.

        Raises
        ------
        CalibrationNotFoundError
        """
        ...

    def set_up(self, reader: str, publisher: str, *, resweep: bool = False, run: bool = True) -> SetUp:
        """Make, complete or upgrade what the archive needs, for its owner; running it again changes nothing.

        Parameters
        ----------
        reader, publisher : str
            Roles that the grants name.
        resweep : bool
            Whether all who follow the archive are asked to read everything once.
        run : bool
            Whether to do it; else it is only told.
        """
        ...

    def close(self) -> None:
        """Close all connections."""
        ...
