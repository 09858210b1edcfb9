"""The content of files: checksums, and signatures that change when a file does."""

from __future__ import annotations

import errno
import hashlib
import os
import re
from pathlib import Path
from typing import NamedTuple, Self

#: Kinds of checksums that a record may have, the usual one first, and the number of their hexadecimal digits.
KINDS = {"sha256": 64, "md5": 32}

_CHECKSUM = re.compile(rf"(?:({'|'.join(KINDS)}):)?([0-9a-f]+)")


class Checksum(NamedTuple):
    """A checksum of a known kind; its text is ``"<kind>:<hex>"``, in lower case."""

    kind: str
    digits: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a checksum in any letter case; one without a kind is known by the number of its digits.

        Raises
        ------
        ValueError
            When it is none, or of an unknown kind.
        """
        found = _CHECKSUM.fullmatch(text.strip().lower())
        kind, digits = found.groups() if found else (None, "")
        kind = kind or next((name for name, length in KINDS.items() if length == len(digits)), None)
        if kind is None:
            raise ValueError(f"not a checksum ({' or '.join(f'{name}:' for name in KINDS)}, then hexadecimal digits)")
        return cls(kind, digits)

    def __str__(self) -> str:
        return f"{self.kind}:{self.digits}"


def digest_of(path: Path, kind: str = "sha256") -> str:
    """Checksum of a file, ``"<kind>:<hex>"``."""
    with path.open("rb") as stream:
        return f"{kind}:{hashlib.file_digest(stream, kind).hexdigest()}"


def is_of(path: Path, checksum: str) -> bool:
    """Whether a file has a checksum; it has none that is of no known kind."""
    try:
        recorded = Checksum.parse(checksum)
    except ValueError:
        return False
    return digest_of(path, recorded.kind) == str(recorded)


class Digest:
    """The checksum of bytes that come piece by piece; its text is ``"<kind>:<hex>"``."""

    def __init__(self, kind: str = "sha256") -> None:
        self._kind = kind
        self._hash = hashlib.new(kind, usedforsecurity=False)
        self.update = self._hash.update

    def __str__(self) -> str:
        return f"{self._kind}:{self._hash.hexdigest()}"


class Signature(NamedTuple):
    """What changes when a file does: size in bytes, time of change in ns, inode."""

    size: int
    mtime_ns: int
    inode: int

    @classmethod
    def of(cls, path: Path) -> Self:
        """Give the signature of a file; of a link that leads to itself, its own.

        Raises
        ------
        FileNotFoundError
        """
        try:
            return cls.of_status(path.stat())
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
        return cls.of_status(path.lstat())

    @classmethod
    def of_status(cls, status: os.stat_result) -> Self:
        """Give the signature of a file whose status is known."""
        return cls(status.st_size, status.st_mtime_ns, status.st_ino)
