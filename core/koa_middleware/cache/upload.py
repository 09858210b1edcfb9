"""Files of published records: copied to where the archive serves them, and known under the names that it gave."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit
from urllib.request import url2pathname

from ..database.local import LocalDatabase
from ..disk.checksums import Checksum, digest_of
from ..disk.writing import cache_errors, copy_stream, whole_file
from ..exceptions import ConfigurationError, IntegrityError
from ..instrument.orm import ORMCalibration
from .folder import Cache

R = TypeVar("R", bound=ORMCalibration)


class Uploader(Generic[R]):
    """The files of a publication.

    Parameters
    ----------
    cache : Cache
    local : LocalDatabase
    destination : path or file URL, optional
        The folder that `upload` copies to.

    Raises
    ------
    ConfigurationError
        When the destination is no folder.
    """

    def __init__(
        self, cache: Cache, local: LocalDatabase[R], destination: str | os.PathLike[str] | None = None
    ) -> None:
        self._cache = cache
        self._local = local
        self._folder = None if destination is None else _folder(destination)

    def upload(self, files: Sequence[tuple[str, dict[str, Any]]]) -> None:
        """Copy files, each given by its name here and its record there, which names the copy.

        Raises
        ------
        IntegrityError
            When a file is missing, is not what its record says, or another one stands in its place.
        """
        if self._folder is not None:
            for filename, row in files:
                _copy(self._cache.path(filename), self._folder / self._cache.path(row["filename"]).name, row)

    def place(self, old: str, new: str) -> None:
        """Let a file stand under its new name too."""
        path = self._cache.path(old)
        if path.is_file() and not self._cache.path(new).exists():
            self._cache.place(self._cache.stage(path), new)

    def forget(self, names: Iterable[str]) -> None:
        """Remove files of names that no record has any more."""
        for name in names:
            if not self._local.count(filename=name):
                self._cache.path(name).unlink(missing_ok=True)


def _copy(source: Path, final: Path, row: dict[str, Any]) -> None:
    """Copy a file, which gets its name when it is whole and verified."""
    if not source.is_file():
        raise IntegrityError(
            f"{source} is missing, so it cannot be uploaded.",
            "Nothing was published; register the file again.",
            path=source,
        )
    expected = Checksum.parse(row["checksum"] or digest_of(source))
    if not final.exists():
        with contextlib.suppress(FileExistsError):  # another publisher was faster
            _write(source, final, expected)
            return
    if digest_of(final, expected.kind) != str(expected):
        raise IntegrityError(
            f"{final} exists and has other content than {source}.",
            "Nothing was published; move one of them.",
            path=final,
        )


def _write(source: Path, final: Path, expected: Checksum) -> None:
    with cache_errors(source, "read"), source.open("rb") as stream, whole_file(final) as sink:
        found = copy_stream(stream, sink, expected.kind)
        if found != str(expected):
            raise IntegrityError(
                f"{source} has the checksum {found}; its record says {expected}.",
                "Nothing was published; register the right file.",
                path=source,
            )


def _folder(destination: str | os.PathLike[str]) -> Path:
    text = os.fspath(destination)
    if text.startswith("file://"):
        text = url2pathname(urlsplit(text).path)
    folder = Path(text).expanduser()
    if "://" in text or not folder.is_dir():
        raise ConfigurationError(
            f"{destination} is not a folder, so nothing can be uploaded to it.",
            "Name a folder that exists, or a file:// URL of one.",
            setting="upload_to",
            variable=None,
        )
    return folder
