"""An archive as a server of ours writes to it for others.

Its clients may ask twice, when an answer was lost, and see what a publication would give before they send it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol, TypeVar, runtime_checkable

from ..database.feed import Judgement
from ..instrument.orm import ORMCalibration
from .protocol import Entry, Here, Mark, Remote, Settled, Upload, Values

R = TypeVar("R", bound=ORMCalibration)


class Asked(NamedTuple):
    """A request that is carried out once, however often it is asked.

    Attributes
    ----------
    key : str
        Of the client's choice; the same each time it asks.
    digest : str
        Of all that it asks.
    """

    key: str
    digest: str


class Publication(NamedTuple):
    """What a publication gave.

    Attributes
    ----------
    settled : list of Settled
        Aligned with the rows that were sent.
    newest : Mark or None
        An entry of the feed; who has read up to it has all of the publication. None where there is no feed.
    """

    settled: list[Settled]
    newest: Mark | None


class Flagged(NamedTuple):
    """What a judgement gave.

    Attributes
    ----------
    entries : list of Entry
        What the feed tells of it.
    newest : Mark or None
        As of `Publication`.
    """

    entries: list[Entry]
    newest: Mark | None


@runtime_checkable
class WritableRemote(Remote[R], Protocol[R]):
    """An archive to which a server writes for others."""

    def plan(self, rows: Sequence[Values], here: Here) -> list[Settled]:
        """Say what a publication would do now; nothing is changed.

        Raises
        ------
        DuplicateCalibrationError
        """
        ...

    def publish_once(
        self,
        asked: Asked,
        rows: Sequence[Values],
        judgements: Mapping[str, Sequence[Judgement]],
        upload: Upload,
        here: Here,
        who: str,
    ) -> Publication:
        """Take records in as `Remote.publish` does, or give the answer that the request got before.

        Raises
        ------
        ConfigurationError
            When the key was used for another request.
        """
        ...

    def flag_once(self, asked: Asked, id: str, quality: str, reason: str, who: str) -> Flagged:
        """Judge a record as `Remote.flag` does, or give the answer that the request got before.

        Raises
        ------
        ConfigurationError
            When the key was used for another request.
        """
        ...

    def with_rows(self, ids: Sequence[str], do: Callable[[Sequence[Values]], None]) -> None:
        """Do something with the rows of some ids while nobody else publishes; those that are not there are left out."""
        ...
