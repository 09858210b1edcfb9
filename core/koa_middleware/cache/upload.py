"""Files of published records: brought to where the archive serves them, and known under the names that it gave."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from ..database.local import LocalDatabase
from ..disk.checksums import Checksum, digest_of
from ..disk.reading import check_plain, path_of_url
from ..disk.writing import cache_errors, copy_stream, sweep_beside, whole_file
from ..exceptions import ConfigurationError, IntegrityError
from ..fetch.progress import counted
from ..instrument.orm import ORMCalibration
from ..settings import is_plainly_a_path
from .copies import Copies
from .folder import Cache
from .look import Knowledge, fault_of

if TYPE_CHECKING:
    from ..remote.publish import PublishResult

R = TypeVar("R", bound=ORMCalibration)

#: Paths of files, and the rows of their records in the archive.
Given = Sequence[tuple[Path, dict[str, Any]]]


class Files(Protocol):
    """Where an archive takes the files of records itself."""

    def bring(self, files: Given) -> None:
        """Bring the files of records that will be published."""
        ...

    def place(self, files: Given) -> set[str]:
        """Let records that are published have their files; gives the ids of those that have them in the end."""
        ...


class Uploader(Generic[R]):
    """The files of a publication.

    Parameters
    ----------
    cache : Cache
    local : LocalDatabase
    copies : Copies
    destination : path or file URL, optional
        The folder that `upload` copies to.
    files : Files, optional
        Where the archive takes files itself; used where no folder is named.

    Raises
    ------
    ConfigurationError
        When the destination is no folder.
    """

    def __init__(
        self,
        cache: Cache,
        local: LocalDatabase[R],
        copies: Copies[R],
        destination: str | os.PathLike[str] | None = None,
        files: Files | None = None,
    ) -> None:
        self._cache = cache
        self._local = local
        self._copies = copies
        self._uploaded: list[str] = []
        self._refused: dict[str, str] = {}
        self._folder = None if destination is None else self._checked(_folder(destination))
        self._files = files if destination is None else None

    def upload(self, files: Sequence[tuple[str, dict[str, Any]]]) -> None:
        """Copy files, each given by its name here and its record there, which names the copy.

        Raises
        ------
        IntegrityError
            When a file is missing, is not what its record says, or another one stands in its place.
        """
        if self._folder is not None:
            for filename, row in counted(files, len(files), "file"):
                _copy(self._cache.path(filename), self._folder / self._cache.path(row["filename"]).name, row)
                self._uploaded.append(row["filename"])
        elif self._files is not None:
            self._files.bring([self._given(filename, row) for filename, row in files])

    def sound(self, records: Sequence[R], held: Callable[[Sequence[str]], Collection[str]]) -> list[R]:
        """Give the records whose own file is what they say, or that the archive has; the others are refused.

        Parameters
        ----------
        records : sequence of record
        held : callable
            As of `complete`.
        """
        faults = self._faults(records)
        there = held([record.id for record in records if record.filename in faults]) if faults else ()
        sound = [record for record in records if record.filename not in faults or record.id in there]
        taken = {record.filename for record in sound}
        self._refused |= {name: fault for name, fault in faults.items() if name not in taken}
        return sound

    def _faults(self, records: Sequence[R]) -> dict[str, str]:
        """Say by file name what is wrong with the records' files; a file that is known to be sound is not hashed."""
        knowledge, faults = Knowledge(self._local), {}
        for name, record in ((record.filename, record) for record in records):
            fault = fault_of(record, self._cache.path(name), name, knowledge)
            if fault != "":
                faults[name] = "it is missing" if fault is None else fault
        knowledge.save()
        return faults

    def check_nothing_refused(self, result: PublishResult) -> None:
        """Tell of what was refused, at the end of a publication.

        Raises
        ------
        IntegrityError
        """
        if not self._refused:
            return
        name, fault = next(iter(self._refused.items()))
        path, count = self._cache.path(name), len(self._refused)
        said = (
            f"{path} was not sent to the archive: {fault}."
            if count == 1
            else f"{count} files and their records were not sent to the archive, since they are missing or not what "
            f"their records say: {', '.join(self._refused)}."
        )
        others = "All others were" if result.published + result.unchanged else "Nothing was published"
        hint = f"{others}; register the right file again, or remove the record; koa-cal verify tells what is wrong."
        raise IntegrityError(said, hint, path=path, result=result)

    def _given(self, filename: str, row: dict[str, Any]) -> tuple[Path, dict[str, Any]]:
        path = self._cache.path(filename)
        _check_there(path)
        return path, row

    def complete(self, names: Collection[str] | None, held: Callable[[Sequence[str]], Collection[str]]) -> None:
        """Copy the files of records that were published before, where no copy of them was seen yet.

        Parameters
        ----------
        names : collection of str or None
            Of files, or all.
        held : callable
            Gives those ids that the archive has.
        """
        if self._folder is not None:
            records = self._to_complete(names, held)
            self.upload([(record.filename, record.to_dict()) for record in records])
            self._copies.note(records)
        elif self._files is not None and (records := self._to_complete(names, held)):
            placed = self._files.place([self._given(record.filename, record.to_dict()) for record in records])
            self._copies.note([record for record in records if record.id in placed])

    def _to_complete(self, names: Collection[str] | None, held: Callable[[Sequence[str]], Collection[str]]) -> list[R]:
        return self.sound(self.missing(names, held), lambda _: ())

    def missing(self, names: Collection[str] | None, held: Callable[[Sequence[str]], Collection[str]]) -> list[R]:
        """Give the published records whose copy was not seen; see `complete`."""
        records = self._copies.look(self._copies.unseen(names))
        there = held([record.id for record in records]) if records else ()
        return [record for record in records if record.id in there]

    def finish(self, names: Collection[str] | None, held: Callable[[Sequence[str]], Collection[str]]) -> list[R]:
        """Note which copies of the records that were published just now were seen; gives those without one.

        See `complete` for the parameters.
        """
        for name in self._uploaded:
            self._copies.note(self._local.query(filename=name))
        if self._files is not None:
            self.complete(names, held)
        return self.missing(names, held)

    def place(self, old: str, new: str) -> None:
        """Give a file its new name too; other content of that name is moved aside."""
        path, final = self._cache.path(old), self._cache.path(new)
        if not path.is_file():
            return
        staged = self._cache.stage(path)
        if staged.is_content_of(final):
            staged.path.unlink()
            return
        if os.path.lexists(final):
            self._cache.quarantine(final)
        self._cache.place(staged, new)

    def forget(self, names: Iterable[str]) -> None:
        """Remove files of names that no record has any more."""
        for name in names:
            if not self._local.count(filename=name):
                self._cache.path(name).unlink(missing_ok=True)

    def _checked(self, folder: Path) -> Path:
        if folder.samefile(self._cache.calibrations):
            raise ConfigurationError(
                f"{folder} is this cache's own folder of calibrations, so nothing can be uploaded to it.",
                "Name the archive's folder.",
                setting="upload_to",
                variable=None,
            )
        sweep_beside(folder)
        return folder


def _copy(source: Path, final: Path, row: dict[str, Any]) -> None:
    """Copy a file, which gets its name when it is whole and verified, and read it back."""
    _check_there(source)
    expected = Checksum.parse(row["checksum"] or digest_of(source))
    if not os.path.lexists(final):
        with contextlib.suppress(FileExistsError):  # another publisher was faster
            _write(source, final, expected)
    with cache_errors(final, "read"):
        check_plain(final)
    if digest_of(final, expected.kind) != str(expected):
        raise IntegrityError(
            f"{final} exists and has other content than {source}.",
            "Nothing was published; move one of them.",
            path=final,
        )


def _check_there(source: Path) -> None:
    if not source.is_file():
        raise IntegrityError(
            f"{source} is missing, so it cannot be uploaded.",
            "Nothing was published; register the file again.",
            path=source,
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
    folder = path_of_url(text) if text.startswith("file://") else Path(text).expanduser()
    if ("://" in text and not text.startswith("file://")) or not folder.is_dir():
        shown = text if is_plainly_a_path(text) else "The destination of the upload"  # in which a password may stand
        raise ConfigurationError(
            f"{shown} is not a folder, so nothing can be uploaded to it.",
            "Name a folder that exists, or a file:// URL of one.",
            setting="upload_to",
            variable=None,
        )
    return folder
