"""What to fetch, and what came."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from ..disk.checksums import KINDS, Checksum, digest_of
from ..disk.writing import cache_errors
from ..exceptions import ChecksumMismatchError, DownloadError
from .addresses import shown


@dataclass(frozen=True)
class Transfer:
    """One file to fetch.

    Parameters
    ----------
    url : str
        As `FileServer.url_for` gives it. Not part of the repr: secrets may stand in it.
    destination : pathlib.Path
        Final name, in a folder that exists.
    checksum : str or None
        ``"sha256:<hex>"`` or ``"md5:<hex>"``, as recorded.
    file_size : int or None
        Bytes, as recorded.
    """

    url: str = field(repr=False)
    destination: Path
    checksum: str | None = None
    file_size: int | None = None

    @property
    def name(self) -> str:
        """The final file name."""
        return self.destination.name

    @property
    def place(self) -> str:
        """The server's name, for messages."""
        return urlsplit(shown(self.url)).hostname or "the archive"

    @property
    def key(self) -> str:
        """The same for all who want this content under this name; no secret stands in it."""
        wanted = f"{self.name}\0{self.checksum}\0{self.file_size}"
        return hashlib.sha256(wanted.encode()).hexdigest()[:16]

    @property
    def algorithm(self) -> str:
        """Of the recorded checksum; ``"sha256"`` where there is none."""
        return self._recorded.kind if self.checksum else next(iter(KINDS))

    @property
    def _recorded(self) -> Checksum:
        try:
            return Checksum.parse(self.checksum or "")
        except ValueError as error:
            raise DownloadError(
                f"{self.name} cannot be verified: its recorded checksum is {self.checksum!r}, {error}.",
                "Correct the record.",
            ) from error

    def already_there(self) -> Fetched | None:
        """Give the file that has the final name where it has the recorded content: another process may have brought it.

        Raises
        ------
        CacheError
            When it cannot be read.
        """
        if self.checksum is None and self.file_size is None:
            return None
        with cache_errors(self.destination, "read"):
            try:
                size = self.destination.stat().st_size
                if not self.destination.is_file():
                    return None
                if self.file_size not in {None, size}:
                    return None
                found = digest_of(self.destination, self.algorithm)
            except FileNotFoundError:
                return None
        if not self.accepts(size, lambda: found):
            return None
        return Fetched(self.destination, size, found, transferred=False)

    def accepts(self, size: int, checksum: Callable[[], str]) -> bool:
        """Whether a content is the recorded one, as far as size and checksum are recorded."""
        if self.file_size not in {None, size}:
            return False
        return self.checksum is None or checksum() == str(self._recorded)

    def mismatch(self, size: int, checksum: str = "") -> ChecksumMismatchError:
        """Return the error of a content that is not accepted."""
        expected, found = self.checksum or "", checksum
        if self.file_size not in {None, size}:
            expected, found = f"{self.file_size} bytes", f"{size} bytes"
        return ChecksumMismatchError(
            f"{self.name} arrived with other content than recorded: {found} in place of {expected}.",
            "Run koa-cal sync in case the record is out of date; otherwise tell the archive.",
            url=shown(self.url),
            expected=expected,
            found=found,
        )


@dataclass(frozen=True)
class Fetched:
    """A file that stands, whole and verified, under its final name.

    Attributes
    ----------
    path : pathlib.Path
    file_size : int
        Bytes.
    checksum : str
        Of its content, of the recorded checksum's kind; sha256 where none is recorded.
    transferred : bool
        False where it stood there already: another process had brought it in the meantime.
    """

    path: Path
    file_size: int
    checksum: str
    transferred: bool
