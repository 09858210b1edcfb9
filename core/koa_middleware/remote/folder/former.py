"""Which entry of a local feed ended which former version of a LOCAL row."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Ending(NamedTuple):
    """An entry that may have ended a version.

    Attributes
    ----------
    id : str
    n : int
    at : str
    op : str
    is_here : bool
        Whether it tells of a change made here; else of one at the archive that the folder follows.
    """

    id: str
    n: int
    at: str
    op: str
    is_here: bool

    @property
    def ends_local(self) -> bool:
        """Whether it ends what a LOCAL record was: a change here, or its publication."""
        return (self.op != "added") == self.is_here


class Version(NamedTuple):
    """A former version of a row: its number, and until before which it held."""

    id: str
    number: int
    until: str


def paired(versions: Iterable[Version], endings: Iterable[Ending]) -> dict[int, int]:
    """Give the number of the entry that ended each version, by the version's number; both come in their order.

    An entry has the time at which the version ended. Where a record was published under another id, the entry that
    tells of its end came later.
    """
    left: dict[str, list[Ending]] = {}
    for ending in endings:
        if ending.ends_local:
            left.setdefault(ending.id, []).append(ending)
    found: dict[int, int] = {}
    for version in versions:
        of_it = left.get(version.id, [])
        same = [each for each in of_it if each.at == version.until]
        later = [each for each in of_it if each.at > version.until]
        for ending in (*same, *later)[:1]:
            of_it.remove(ending)
            found[version.number] = ending.n
    return found
