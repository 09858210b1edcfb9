"""Reading at a standby, and at its primary where the standby has not come as far as a client."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from sqlalchemy import Engine

from ..others import Others
from ..standing import Facts
from .table import PostgresSource, PostgresView, connected


class StandbyFirst:
    """An archive that is read at a standby, and at the primary where the standby is behind what a client has seen.

    Parameters
    ----------
    near : PostgresSource
        At the standby, or at the primary where there is no other.
    primary : sqlalchemy.Engine
        Connects to the primary.
    """

    def __init__(self, near: PostgresSource, primary: Engine) -> None:
        self.table = near.table
        self._near = near
        self._primary = primary

    def others(self) -> Others:
        """Give the columns of other versions of the class that the archive has."""
        return self._near.others()

    def facts(self, asked: Collection[int] = ()) -> Facts:
        """Ask what the archive says of itself, and for the tokens of some entries."""
        found = self._near.facts(asked)
        if not _is_behind(found, asked):
            return found
        with connected(self._primary, self.table) as there:
            return there.facts(asked)

    @contextmanager
    def view(self, asked: Collection[int] = ()) -> Iterator[PostgresView]:
        """Give one consistent view; its facts have the tokens of the entries that are asked for."""
        with self._near.view(asked) as view:
            if not _is_behind(view.facts, asked):
                yield view
                return
        with connected(self._primary, self.table) as there, there.view(asked) as view:
            yield view


def _is_behind(facts: Facts, asked: Collection[int]) -> bool:
    newest = 0 if facts.newest is None else facts.newest.n
    return facts.standby and max(asked, default=0) > newest
