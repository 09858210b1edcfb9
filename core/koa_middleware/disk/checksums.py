"""The content of files: checksums, and signatures that change when a file does."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import NamedTuple, Self

ALGORITHMS = ("sha256", "md5")
"""Kinds of checksums that a record may have."""


def digest_of(path: Path, algorithm: str = "sha256") -> str:
    """Checksum of a file, ``"<algorithm>:<hex>"``."""
    with path.open("rb") as stream:
        return f"{algorithm}:{hashlib.file_digest(stream, algorithm).hexdigest()}"


class Signature(NamedTuple):
    """What changes when a file does: size in bytes, time of change in ns, inode."""

    size: int
    mtime_ns: int
    inode: int

    @classmethod
    def of(cls, path: Path) -> Self:
        """Give the signature of a file.

        Raises
        ------
        FileNotFoundError
        """
        return cls.of_status(path.stat())

    @classmethod
    def of_status(cls, status: os.stat_result) -> Self:
        """Give the signature of a file whose status is known."""
        return cls(status.st_size, status.st_mtime_ns, status.st_ino)
