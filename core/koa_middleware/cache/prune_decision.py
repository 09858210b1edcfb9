"""What pruning may take, and why a file stays. Nothing is read or removed here: `prune` does both."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

IN_USE_S = 600.0
"""Seconds since its last use within which a file stays."""

_DAY_S = 86400.0


@dataclass(frozen=True)
class Limits:
    """What may go: each file that any of the limits names; without limits none.

    Attributes
    ----------
    max_size : int or None
        Bytes that this instrument's files may have afterwards.
    older_than_days : float or None
        Files that were not used for longer than so many days.
    cal_type : str or None
        Only this type; all of it where nothing else is said.
    """

    max_size: int | None = None
    older_than_days: float | None = None
    cal_type: str | None = None

    @property
    def given(self) -> bool:
        """Whether any limit is given; else only leftovers go."""
        return (self.max_size, self.older_than_days, self.cal_type) != (None, None, None)


@dataclass(frozen=True)
class CachedFile:
    """A file of this instrument in the cache.

    Attributes
    ----------
    filename : str
    size : int
        Bytes.
    unused_s : float
        Seconds since its last use.
    origin : str
        Of its record; of the withdrawn one where it has none.
    cal_type : str or None
        Of its record; None where that was withdrawn.
    is_named_elsewhere : bool
        Whether another table of the cache's databases names it.
    is_open : bool
        Whether a process has it open.
    copy_seen : bool
        Whether the archive's copy was seen, and can come again.
    """

    filename: str
    size: int
    unused_s: float
    origin: str = "REMOTE"
    cal_type: str | None = None
    is_named_elsewhere: bool = False
    is_open: bool = False
    copy_seen: bool = True


@dataclass
class Choice:
    """What pruning takes.

    Attributes
    ----------
    going, in_use, unseen : list of CachedFile
        Those that go, and those that would go if they were not in use, or their copy in the archive had been seen; not
        used for longest first.
    size_left : int
        Bytes of the files that stay.
    """

    going: list[CachedFile] = field(default_factory=list)
    in_use: list[CachedFile] = field(default_factory=list)
    unseen: list[CachedFile] = field(default_factory=list)
    size_left: int = 0

    def keep(self, file: CachedFile) -> None:
        """Keep a file that has come into use meanwhile."""
        self.going.remove(file)
        self.in_use.append(file)
        self.size_left += file.size


def reason_to_stay(file: CachedFile, limits: Limits) -> str:
    """Say why a file stays whatever its size and age are; empty where it may go."""
    if file.origin != "REMOTE":
        return "it is LOCAL"
    if file.is_named_elsewhere:
        return "another instrument has it too"
    if limits.cal_type not in {None, file.cal_type}:
        return f"it is no {limits.cal_type}"
    return ""


def reason_to_go(file: CachedFile, limits: Limits, size: int) -> str:
    """Say which limit a file exceeds, with the size of all files in bytes; empty where it exceeds none."""
    if limits.older_than_days is not None and file.unused_s > limits.older_than_days * _DAY_S:
        return f"it was not used for {file.unused_s / _DAY_S:.1f} days"
    if limits.max_size is not None and size > limits.max_size:
        return "the cache is too large"
    if limits.cal_type is not None and limits.older_than_days is None and limits.max_size is None:
        return f"it is a {limits.cal_type}"
    return ""


def choose(files: Iterable[CachedFile], limits: Limits) -> Choice:
    """Choose what goes, beginning with what was not used for longest."""
    in_turn = sorted(files, key=lambda file: (-file.unused_s, file.filename))
    choice = Choice(size_left=sum(file.size for file in in_turn))
    for file in in_turn:
        if reason_to_stay(file, limits) or not reason_to_go(file, limits, choice.size_left):
            continue
        if not file.copy_seen:
            choice.unseen.append(file)
        elif file.is_open or file.unused_s < IN_USE_S:
            choice.in_use.append(file)
        else:
            choice.going.append(file)
            choice.size_left -= file.size
    return choice
