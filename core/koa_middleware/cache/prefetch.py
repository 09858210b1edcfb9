"""What a prefetch will bring, and what it brought."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from ..disk.room import free_bytes, in_words
from ..display import Report
from ..exceptions import KoaMiddlewareError
from ..instrument.orm import ORMCalibration
from .decision import Decision, NotToBeHad, to_come


class Provided(NamedTuple):
    """A record's verified file.

    Attributes
    ----------
    path : pathlib.Path
    came : int
        Bytes that were downloaded for it; 0 where it was here.
    """

    path: Path
    came: int = 0


@dataclass(repr=False)
class PrefetchReport(Report):
    """What a prefetch did.

    Attributes
    ----------
    downloaded : list of str
        File names.
    cached : list of str
        Those that were here already.
    failed : dict
        File name to the error.
    unmatched : dict
        Frame, or frame and cal type, to why there is no calibration for it.
    left_out : dict
        Types that were not asked for, to the columns of which a frame says nothing.
    size : int
        Bytes that were downloaded.
    """

    downloaded: list[str] = field(default_factory=list)
    cached: list[str] = field(default_factory=list)
    failed: dict[str, KoaMiddlewareError] = field(default_factory=dict)
    unmatched: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, tuple[str, ...]] = field(default_factory=dict)
    size: int = 0

    def note(self, filename: str, outcome: Provided | KoaMiddlewareError) -> None:
        """Note how it ended for one file."""
        if isinstance(outcome, KoaMiddlewareError):
            self.failed[filename] = outcome
            return
        (self.downloaded if outcome.came else self.cached).append(filename)
        self.size += outcome.came

    @property
    def ok(self) -> bool:
        """Whether everything that was wanted is here."""
        return not self.failed and not self.unmatched

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {**vars(self), "failed": {name: str(error) for name, error in self.failed.items()}}


@dataclass(frozen=True)
class Plan:
    """What a prefetch will do.

    Attributes
    ----------
    here, coming, not_to_be_had : int
        Numbers of files.
    size : int
        Bytes to download, as far as the sizes are recorded.
    sizes_are_known : bool
        Whether all of them are.
    """

    here: int
    coming: int
    not_to_be_had: int
    size: int
    sizes_are_known: bool = True

    @classmethod
    def of(cls, records: Sequence[ORMCalibration], decisions: Iterable[Decision]) -> Plan:
        """Count what was decided of some records."""
        decided = list(decisions)
        sizes = [record.file_size for record, each in zip(records, decided, strict=True) if to_come(each)]
        failing = sum(isinstance(each, NotToBeHad) for each in decided)
        here = len(decided) - len(sizes) - failing
        return cls(here, len(sizes), failing, sum(size or 0 for size in sizes), None not in sizes)

    def in_words(self, folder: Path) -> str:
        """Say it in one line, with the room in a folder where something is to be downloaded."""
        number = self.here + self.coming + self.not_to_be_had
        parts = [f"{self.here} {'is' if self.here == 1 else 'are'} here"] if self.here else []
        if self.not_to_be_had:
            parts.append(f"{self.not_to_be_had} cannot be downloaded")
        if self.coming:
            size = f"{'' if self.sizes_are_known else 'at least '}{in_words(self.size)}"
            parts.append(f"{self.coming} {'file' if self.coming == 1 else 'files'} ({size}) to download")
        said = f"{number} {'calibration' if number == 1 else 'calibrations'}"
        said = f"{said}: {', '.join(parts)}" if parts else said
        return f"{said}; {folder} has {in_words(free_bytes(folder))} free" if self.coming else said
