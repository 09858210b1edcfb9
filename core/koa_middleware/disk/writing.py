"""Writing to a disk: in which pieces, what its errors mean, and what makes names last."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from ..exceptions import CacheError, KoaMiddlewareError

WRITTEN_AT_ONCE = 1 << 16
"""Bytes. For larger writes some kernels look for larger pieces of memory, which on virtual machines may first have to
come back from the host: 512 MB in writes of 64 kB take 0.2 s there, in writes of 1 MB 0.1 to 1.3 s."""

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


@contextlib.contextmanager
def cache_errors(path: Path, action: str = "written") -> Iterator[None]:
    """Turn what the system says of a file of the cache into a `CacheError` that names it.

    A `FileExistsError` goes through: it is an answer to those who ask for a free name.
    """
    try:
        yield
    except (FileExistsError, KoaMiddlewareError):
        raise
    except OSError as error:
        if error.errno in _FULL:
            hint = f"Free some space on the disk of {path.parent}, or raise its limit; nothing was changed."
        elif error.errno in _FORBIDDEN:
            hint = f"Make {path.parent} writable, or choose another cache folder; nothing was changed."
        else:
            hint = f"Check that {path.parent} is there and that its disk is sound; nothing was changed."
        reason = error.strerror or str(error)
        raise CacheError(f"{path} cannot be {action}: {reason}.", hint, path=path) from error


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk."""
    with cache_errors(folder):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
