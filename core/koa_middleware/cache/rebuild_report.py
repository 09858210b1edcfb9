"""What a rebuilding of a database says of itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..display import Report


@dataclass(repr=False)
class RebuildReport(Report):
    """What a rebuilding did.

    Attributes
    ----------
    database : str
        Its path.
    fault : str
        What was wrong with it; empty where it is sound and names all files, and then nothing was changed.
    set_aside : str or None
        Path of the spoilt one.
    from_old, from_copies, from_archive, from_files : int
        Number of records that were read of the old database, of the copies beside it, of the archive, and of files
        alone.
    lost : dict
        What could not be recovered, by file name, or by id where the file name is lost too.
    is_completed : bool
        Whether a sound database got the records of files that it did not name; what it had stays as it was.
    noticed : list of str
        What else there is to know; sentences.
    """

    database: str
    fault: str = ""
    set_aside: str | None = None
    from_old: int = 0
    from_copies: int = 0
    from_archive: int = 0
    from_files: int = 0
    lost: dict[str, str] = field(default_factory=dict)
    is_completed: bool = False
    noticed: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return vars(self).copy()

    @property
    def ok(self) -> bool:
        """Whether all was recovered."""
        return not self.lost
