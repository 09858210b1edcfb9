"""What a verification of all cached files found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..exceptions import IntegrityError, KoaMiddlewareError
from ..instrument.orm import ORMCalibration


@dataclass
class VerificationReport:
    """What a verification found.

    Attributes
    ----------
    checked : int
        Number of files that are here and were hashed.
    bad : dict
        File name to what is wrong with it.
    missing : list of str
        File names of LOCAL records whose file is not here; a REMOTE one can be downloaded when it is needed.
    repaired : list of str
        Bad ones that were replaced.
    unchecked : list of str
        Records without a checksum: their files have the recorded size, more is not known.
    without_record : list of str
        Names of files that no record of any instrument names; no fault.
    leftovers : list of str
        Paths of what killed processes left, in the cache or where the archive is a folder there; no fault.
    """

    checked: int = 0
    bad: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    repaired: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)
    without_record: list[str] = field(default_factory=list)
    leftovers: list[str] = field(default_factory=list)

    def note(self, record: ORMCalibration, fault: str | None) -> None:
        """Take in what is wrong with one record's file: empty where nothing is, None where there is no file."""
        if fault is None:
            if record.origin == "LOCAL":
                self.missing.append(record.filename)
            return
        self.checked += 1
        if fault:
            self.bad[record.filename] = fault
        elif record.checksum is None:
            self.unchecked.append(record.filename)

    def note_repair(self, record: ORMCalibration, error: KoaMiddlewareError | None) -> None:
        """Take in how the repair of a bad file ended."""
        if error is None:
            self.repaired.append(record.filename)
        elif not isinstance(error, IntegrityError):  # which says no more than the fault
            self.bad[record.filename] += f"; it could not be downloaded again: {error.message}"

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return vars(self).copy()

    @property
    def ok(self) -> bool:
        """Whether every file is what its record says, after repair."""
        return not self.missing and set(self.bad) <= set(self.repaired)
