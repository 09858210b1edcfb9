"""Room on a disk: how much is free, and whether something fits."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

from ..exceptions import CacheError

RESERVE = 100_000_000
"""Bytes that stay free when many files are written at once."""

LARGEST_FILE = 1 << 44
"""Bytes of the largest file of ext4, the least of the file systems in use: 16 TiB."""

_UNITS = ("B", "kB", "MB", "GB", "TB")


def free_bytes(folder: Path) -> int:
    """Bytes that are free on the disk of a folder."""
    return shutil.disk_usage(folder).free


def check_room(folder: Path, needed: int, purpose: str) -> None:
    """Check that so many bytes fit on the disk of a folder, and leave `RESERVE` free.

    Parameters
    ----------
    folder : pathlib.Path
    needed : int
        Bytes.
    purpose : str
        What needs them, such as ``"this download"``.

    Raises
    ------
    CacheError
    """
    free = free_bytes(folder)
    if needed and needed + RESERVE > free:
        raise CacheError(
            f"{folder} has {in_words(free)} free; {purpose} needs {in_words(needed + RESERVE)}.",
            f"Free some space, or ask for fewer files ({in_words(RESERVE)} stay in reserve); nothing was written.",
            path=folder,
        )


def in_words(size: float) -> str:
    """Write a number of bytes as one reads it, such as ``"1.2 GB"``."""
    steps = min(len(_UNITS) - 1, int(math.log(max(size, 1), 1000)))
    scaled = size / 1000**steps
    return f"{scaled:.{0 if steps == 0 or scaled >= 100 else 1}f} {_UNITS[steps]}"
