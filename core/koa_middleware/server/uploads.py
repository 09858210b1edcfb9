"""Files that publishers send: verified while they come, without a name until their records are published.

An upload stands in ``partial/`` under its own checksum, from where nobody is served it. One that nobody publishes is
removed when it is a day old.
"""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from fastapi.concurrency import run_in_threadpool

from ..cache.folder import Cache
from ..cache.leftovers import sweep
from ..disk.checksums import Digest
from ..disk.room import RESERVE, free_bytes, in_words
from ..disk.writing import cache_errors, cannot_be_written, move_into_place, sync_folder
from ..exceptions import CacheError, ChecksumMismatchError

#: Bytes of the largest file that is taken.
LARGEST = 10_000_000_000

#: Bytes that are hashed and written at once; each such step is one for the thread pool.
_PIECE = 1 << 20


class Uploads:
    """The uploads to one cache folder.

    Parameters
    ----------
    cache : Cache
    """

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._coming = 0
        self._lock = threading.Lock()

    def check_room(self, size: int, coming: int | None = None) -> None:
        """Check that so many bytes find room.

        Parameters
        ----------
        size : int
        coming : int, optional
            Bytes of other uploads; of those that are coming now.

        Raises
        ------
        CacheError
        """
        needed = size + (self._coming if coming is None else coming) + RESERVE
        free = free_bytes(self._cache.partial)
        if size and needed > free:
            raise CacheError(
                f"The archive's server has {in_words(free)} free; this upload needs {in_words(needed)}.",
                f"Its keeper frees some space ({in_words(RESERVE)} stay in reserve); nothing was published.",
                path=self._cache.partial,
            )

    async def receive(self, digits: str, size: int, pieces: AsyncIterator[bytes]) -> None:
        """Take a file in.

        Parameters
        ----------
        digits : str
            Of its sha256.
        size : int
            Bytes that are said to come.
        pieces : async iterator of bytes

        Raises
        ------
        CacheError
            When it finds no room.
        ChecksumMismatchError
            When what came is another file.
        """
        with self._room_for(size):
            coming = await run_in_threadpool(_Coming, self._cache, digits)
            try:
                async for piece in _gathered(pieces):
                    await run_in_threadpool(coming.write, piece)
                await run_in_threadpool(coming.complete)
            except BaseException as error:
                coming.abandon()
                if isinstance(error, CacheError) and cannot_be_written(error):
                    self.check_room(size, 0)  # which says so where the disk is full
                raise

    @contextmanager
    def _room_for(self, size: int) -> Iterator[None]:
        with self._lock:
            self.check_room(size)
            self._coming += size
        try:
            yield
        finally:
            with self._lock:
                self._coming -= size

    def missing(self, sizes: Mapping[str, int]) -> list[str]:
        """Tell which files have yet to come, given their sizes by their digits; the others stay for another day.

        Raises
        ------
        CacheError
            When they would find no room.
        """
        missing = [digits for digits in sizes if not _renewed(self._cache.uploaded(digits))]
        self.check_room(sum(sizes[digits] for digits in missing))
        return missing


def _renewed(path: Path) -> bool:
    try:
        os.utime(path)
    except FileNotFoundError:
        return False
    return True


class _Coming:
    """A file that comes.

    Parameters
    ----------
    cache : Cache
    digits : str
        Of the sha256 that it should have.
    """

    def __init__(self, cache: Cache, digits: str) -> None:
        cache.check_writable()
        sweep(cache)
        self._temporary = cache.temporary()
        self._final = cache.uploaded(digits)
        self._digest = Digest()
        self._expected = f"sha256:{digits}"
        with cache_errors(self._final):
            self._sink: IO[bytes] = self._temporary.open("xb")

    def write(self, piece: bytes) -> None:
        """Write what came."""
        self._digest.update(piece)
        with cache_errors(self._final):
            self._sink.write(piece)

    def complete(self) -> None:
        """Keep it, if it is what it should be."""
        if str(self._digest) != self._expected:
            raise ChecksumMismatchError(
                f"What came has the checksum {self._digest}; {self._expected} was announced.",
                "Send it again; nothing was kept.",
                expected=self._expected,
                found=str(self._digest),
            )
        with cache_errors(self._final):
            self._sink.flush()
            os.fsync(self._sink.fileno())
            self._sink.close()
        move_into_place(self._temporary, self._final, replace=True)
        sync_folder(self._final.parent)

    def abandon(self) -> None:
        """Remove what has come."""
        with suppress(OSError):  # the disk may be full
            self._sink.close()
        self._temporary.unlink(missing_ok=True)


async def _gathered(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    gathered = bytearray()
    async for piece in pieces:
        gathered += piece
        if len(gathered) >= _PIECE:
            yield bytes(gathered)
            gathered.clear()
    if gathered:
        yield bytes(gathered)
