"""Compressed files, by the suffixes of their names."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, NamedTuple, cast


class _NotCutShort:
    """Says of data that end too early that they are damaged: astropy takes an EOFError for the end of the file."""

    def read(self, size: int | None = -1) -> Any:
        return _whole(super().read, size)  # type: ignore[misc]

    def seek(self, offset: int, whence: int = 0) -> Any:
        return _whole(super().seek, offset, whence)  # type: ignore[misc]


class _Gzip(_NotCutShort, gzip.GzipFile): ...


class _Bzip2(_NotCutShort, bz2.BZ2File): ...


class _Xz(_NotCutShort, lzma.LZMAFile): ...


class _Kind(NamedTuple):
    """A way to compress: its name, the first bytes of its files, and what opens these."""

    name: str
    begins: bytes
    open: Callable[..., Any]


_KINDS = {
    ".gz": _Kind("gzip", b"\x1f\x8b", _Gzip),
    ".bz2": _Kind("bzip2", b"BZh", _Bzip2),
    ".xz": _Kind("xz", b"\xfd7zXZ\0", _Xz),
}

#: Endings of compressed files, that of fpack among them, which astropy reads.
_ENDINGS = (*_KINDS, ".fz")

_LONGEST = 8

NOT_READ = frozenset({".z", ".zip", ".zst", ".lzma", ".lz4", ".7z"})
"""Suffixes of files that are compressed in a way that is not read here."""

DAMAGE = (EOFError, zlib.error, lzma.LZMAError)
"""What reading damaged compressed data raises, besides an `OSError`."""


def is_compressed_name(name: str) -> bool:
    """Whether a file of this name holds compressed data."""
    return name.lower().endswith(tuple(_KINDS))


def without_compression(name: str) -> str:
    """Give a name without the suffix that says how the file is compressed, in lower case."""
    lower = name.lower()
    return lower.rpartition(".")[0] if is_compressed_name(lower) else lower


def names_of_content(name: str) -> tuple[str, ...]:
    """Give the names that a file may have whose content is that of `name`: uncompressed, and compressed in each way."""
    own = next((ending for ending in _ENDINGS if name.lower().endswith(ending)), "")
    stem = name.removesuffix(name[len(name) - len(own) :])
    return tuple(name if ending == own else f"{stem}{ending}" for ending in ("", *_ENDINGS))


def _whole(take: Callable[..., Any], *arguments: int | None) -> Any:
    try:
        return take(*arguments)
    except EOFError as error:
        raise OSError(f"its compressed data are cut short ({error})") from error


def open_content(path: Path) -> IO[bytes]:
    """Open a file for its content, uncompressed where its name says that it is compressed.

    Raises
    ------
    OSError
        When it cannot be opened, or is not compressed as its name says.
    """
    kind = _KINDS.get(path.suffix.lower())
    if kind is None:
        return path.open("rb")
    with path.open("rb") as stream:
        beginning = stream.read(_LONGEST)
    if beginning[: len(kind.begins)] != kind.begins[: len(beginning)]:
        raise OSError(f"its name says {kind.name}, but it {beginning_of(beginning)}")
    return cast("IO[bytes]", kind.open(path, "rb"))


def beginning_of(content: bytes) -> str:
    """Say how a file is compressed, or else with which bytes it begins."""
    name = compression_of(content)
    return f"is compressed with {name}" if name else f"begins with {content[:_LONGEST]!r}"


def compression_of(content: bytes) -> str:
    """Give the name of the way in which a file is compressed, by its first bytes; empty where it is not."""
    return next((kind.name for kind in _KINDS.values() if content.startswith(kind.begins)), "")
