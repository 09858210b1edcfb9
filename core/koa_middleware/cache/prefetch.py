"""What a prefetch brought."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class PrefetchReport:
    """What a prefetch did.

    Attributes
    ----------
    downloaded : list of str
        File names.
    cached : list of str
        Those that were here already.
    failed : dict
        File name to what went wrong.
    unmatched : dict
        Frame, or frame and cal type, to why there is no calibration for it.
    size : int
        Bytes that came.
    """

    downloaded: list[str] = field(default_factory=list)
    cached: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    unmatched: dict[str, str] = field(default_factory=dict)
    size: int = 0

    @property
    def ok(self) -> bool:
        """Whether everything that was wanted is here."""
        return not self.failed and not self.unmatched

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return vars(self).copy()
