"""An archive as a server reads it: views, each of one state, read a page at a time.

Whoever follows such an archive himself reads the views by `koa_middleware.remote.viewed`.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from ..instrument.orm import ORMCalibration
from .others import Others
from .protocol import Batch, Entry, Remote
from .standing import Facts

R = TypeVar("R", bound=ORMCalibration)


@dataclass(frozen=True)
class Told:
    """Some entries of a feed, in order, with what belongs to them.

    Attributes
    ----------
    entries : list of Entry
    former : Batch
        The versions of rows that these entries ended; the values of `VERSION` first.
    batch : Batch
        The rows of their records as they are now, where they were asked for.
    is_complete : bool
        Whether the last entry is the last one of its transaction.
    """

    entries: list[Entry]
    former: Batch
    batch: Batch = field(default_factory=lambda: Batch([]))
    is_complete: bool = True


class View(Protocol):
    """One state of an archive.

    Attributes
    ----------
    facts : Facts
    """

    facts: Facts

    def tokens(self, numbers: Collection[int]) -> dict[int, str]:
        """Give the tokens of entries, as far as they are there, by number."""
        ...

    def changes(self, after: int, limit: int) -> Told:
        """Give the first entries after a number, with the rows of their records."""
        ...

    def rows(self, after: str, limit: int) -> Batch:
        """Give the first rows whose id comes after a given one, in the order of the ids' code points."""
        ...

    def sweep(self, after: str) -> Generator[Batch]:
        """All rows whose id comes after a given one, in that order."""
        ...

    def history(self, after: int, until: int, limit: int) -> Told:
        """Give the first entries after a number and up to another, without rows."""
        ...

    def lookup(self, ids: Sequence[str]) -> Told:
        """Give the rows of some ids, and all entries on them."""
        ...


class Views(Protocol):
    """An archive that is being read, over one connection."""

    def others(self) -> Others:
        """Give the columns of other versions of the class that the archive has, as the newest one declares them."""
        ...

    def facts(self, asked: Collection[int] = ()) -> Facts:
        """Ask what the archive says of itself, and for the tokens of some entries; one round trip."""
        ...

    def view(self, asked: Collection[int] = ()) -> AbstractContextManager[View]:
        """Give a view; its facts have the tokens of the entries that are asked for.

        Raises
        ------
        SchemaMismatchError
            When the archive lacks a column that the class needs.
        """
        ...


class Origin(Remote[R], Protocol[R]):
    """A remote that is no server of ours, so that one can serve it."""

    def viewed(self, others: Others = ()) -> AbstractContextManager[Views]:
        """Open a connection for reading; the rows have the columns of other versions of the class, too."""
        ...

    def connections_in_use(self) -> int:
        """Give how many of the kept connections are in use."""
        ...
