"""The file of a bundle: one uncompressed tar, its manifest first, then the calibrations' files.

The manifest, ``manifest.json``, holds the format's version, the instrument, the versions that wrote it, and for each
record its column values and the checksum and size of its file, which is the member ``calibrations/<filename>``. A
bundle may come from anywhere, so nothing is ever extracted by the archive's own names: members are looked up by the
manifest, and read as streams.
"""

from __future__ import annotations

import json
import os
import re
import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO, Literal, NamedTuple, cast

from ..disk.checksums import Digest, digest_of
from ..disk.compression import compression_of
from ..disk.names import check_filename
from ..disk.reading import open_source
from ..disk.writing import whole_file
from ..exceptions import CacheError, KoaMiddlewareError, SourceFileError, UnsafeFilenameError
from ..fetch.progress import counted
from ..instrument.declaration import fault_of_name
from ..instrument.orm import ORMCalibration
from .bundle_columns import LONGEST, MOST
from .bundle_head import FORMAT, Head

MANIFEST = "manifest.json"

#: Bytes; a manifest of 100,000 records has about 100 MB.
_LONGEST_MANIFEST = 1 << 28
#: Bytes that one read may ask for; headers that claim more are no headers of ours.
_LONGEST_READ = 1 << 24
_ENTRY = ("columns", "checksum", "size")
_SHA256 = re.compile("sha256:[0-9a-f]{64}")
#: What tarfile and json raise on damaged or made-up archives.
DAMAGE = (tarfile.TarError, OSError, ValueError, OverflowError, EOFError, IndexError, RecursionError)


@dataclass(frozen=True)
class Entry:
    """One calibration of a bundle.

    Attributes
    ----------
    columns : dict
        The record's column values, as they stand in the manifest.
    checksum : str
        Of the file, ``"sha256:<hex>"``.
    size : int
        Of the file, bytes.
    """

    columns: dict[str, Any]
    checksum: str
    size: int

    @property
    def filename(self) -> str:
        """The record's file name, as the manifest says it."""
        return str(self.columns["filename"])

    @property
    def member(self) -> str:
        """Name of the file in the archive."""
        return f"calibrations/{self.filename}"


def entry_of(columns: dict[str, Any], path: Path) -> Entry:
    """Entry of a record and its verified file."""
    known = str(columns["checksum"])
    return Entry(columns, known if _SHA256.fullmatch(known) else digest_of(path), path.stat().st_size)


def write_bundle(path: Path, head: Head, entries: Sequence[tuple[Entry, Path]], *, overwrite: bool) -> None:
    """Write a bundle under a temporary name, hashing each file once more, and move it to its name.

    Raises
    ------
    FileExistsError
        When there is a file of this name that is not to be replaced.
    SourceFileError
        When a file cannot be read, or is not what the manifest says; no bundle is left then.
    CacheError
        When the bundle cannot be written.
    """
    with whole_file(path, replace=overwrite) as sink, _tar(sink, "w") as archive:
        _fill(archive, head, entries)


def stream_bundle(sink: BinaryIO, head: Head, entries: Sequence[tuple[Entry, Path]]) -> None:
    """Write a bundle to a stream that cannot be rewound; what was written before an error is no whole bundle.

    Raises
    ------
    SourceFileError
        As in `write_bundle`.
    CacheError
        When the bundle cannot be written.
    BrokenPipeError
        When nobody reads it any more.
    """
    try:
        with _tar(sink, "w|") as archive:
            _fill(archive, head, entries)
        sink.flush()
    except (KoaMiddlewareError, BrokenPipeError):
        raise
    except OSError as error:
        raise CacheError(
            f"The bundle cannot be written to standard output: {error.strerror}.",
            "Free some space where it goes; what came is no whole bundle.",
            path=Path("-"),
        ) from error


def _tar(sink: IO[bytes], mode: Literal["w", "w|"]) -> tarfile.TarFile:
    return tarfile.open(fileobj=sink, mode=mode, format=tarfile.PAX_FORMAT)


def _fill(archive: tarfile.TarFile, head: Head, entries: Sequence[tuple[Entry, Path]]) -> None:
    records = [vars(entry) for entry, _ in entries]
    manifest = json.dumps({**head.to_dict(), "records": records})
    _add(archive, MANIFEST, manifest.encode())
    for entry, source in counted(entries, len(entries), "file"):
        _add_file(archive, entry, source)


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    from io import BytesIO

    archive.addfile(_header(name, len(content)), BytesIO(content))


def _add_file(archive: tarfile.TarFile, entry: Entry, source: Path) -> None:
    try:
        stream = source.open("rb")
    except OSError as error:
        raise _changed(source) from error
    with stream:
        hashing = _Hashing(stream)
        if os.fstat(stream.fileno()).st_size != entry.size:
            raise _changed(source)
        archive.addfile(_header(entry.member, entry.size), cast("IO[bytes]", hashing))
    if str(hashing.digest) != entry.checksum:
        raise _changed(source)


def _header(name: str, size: int) -> tarfile.TarInfo:
    header = tarfile.TarInfo(name)
    header.size = size
    return header


class _Hashing:
    """A stream that hashes what is read."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.digest = Digest()

    def read(self, size: int) -> bytes:
        piece = self._stream.read(size)
        self.digest.update(piece)
        return piece


class _Bounded:
    """A file that refuses huge and negative reads, which a header may ask for."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.seek, self.tell = stream.seek, stream.tell

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _LONGEST_READ:
            raise tarfile.ReadError(f"a header claims {size} bytes")
        return self._stream.read(size)


Opener = Callable[[Entry], IO[bytes]]


class Bundle(NamedTuple):
    """An open bundle.

    Attributes
    ----------
    head : Head
    entries : list of Entry
    open_file : callable
        Opens the file of an entry.
    """

    head: Head
    entries: list[Entry]
    open_file: Opener


@contextmanager
def open_bundle(path: Path, instrument: str, name: str) -> Iterator[Bundle]:
    """Open a bundle; messages use the given name.

    Everything but the files' content is checked before.

    Raises
    ------
    SourceFileError
        When it is no bundle, a damaged or a hostile one, or one of another version or instrument.
    """
    with open_source(path) as stream:
        with _faults_of(path, name):
            archive, end = _opened(stream)
            manifest = _manifest(archive, end)
            head = Head.read(manifest, instrument)
            entries = _entries(manifest)
            members = _members(archive, {entry.member: entry.size for entry in entries}, end)

        def open_file(entry: Entry) -> IO[bytes]:
            return cast("IO[bytes]", archive.extractfile(members[entry.member]))

        with archive:
            yield Bundle(head, entries, open_file)


def instrument_of(path: Path) -> str:
    """Give the instrument of a bundle, as its manifest says it.

    Raises
    ------
    SourceFileError
        When it is no bundle of this package.
    """
    with open_source(path) as stream, _faults_of(path, str(path)):
        instrument = _manifest(*_opened(stream)).get("instrument")
        if not isinstance(instrument, str) or not instrument.isidentifier():
            raise _refusal("names no instrument in its manifest.")
    return instrument


def _opened(stream: IO[bytes]) -> tuple[tarfile.TarFile, int]:
    """Give the archive in a file, and the file's size."""
    if way := compression_of(stream.read(tarfile.BLOCKSIZE)):
        hint = f"Uncompress it first, with {way} -d; nothing was imported."
        raise SourceFileError(f"is compressed with {way}, which no bundle is.", hint, path=None)
    stream.seek(0)
    archive = tarfile.open(fileobj=cast("IO[bytes]", _Bounded(stream)), mode="r:")  # noqa: SIM115
    return archive, os.fstat(stream.fileno()).st_size


@contextmanager
def _faults_of(path: Path, name: str) -> Iterator[None]:
    """Turn a bundle's faults into errors that name it."""
    try:
        yield
    except SourceFileError as error:
        raise SourceFileError(f"{name} {error.message}", error.hint, path=path) from error
    except DAMAGE as error:
        raise SourceFileError(
            f"{name} is not a whole bundle: {error}.", "Copy or export it again; nothing was imported.", path=path
        ) from error


def _manifest(archive: tarfile.TarFile, end: int) -> dict[str, Any]:
    first = archive.next()
    if first is None or first.name != MANIFEST:
        raise _refusal("is not a bundle: its first member is not a manifest.")
    _check(first, end)
    if first.size > _LONGEST_MANIFEST:
        raise _refusal("has a manifest that is too long to be one.")
    reading = cast("IO[bytes]", archive.extractfile(first))
    manifest = json.loads(b"".join(iter(lambda: reading.read(1 << 20), b"")))
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise _refusal("is not a bundle: its manifest is of another kind.")
    return manifest


def _entries(manifest: dict[str, Any]) -> list[Entry]:
    records = manifest.get("records")
    if not isinstance(records, list):
        raise _refusal("has no list of records in its manifest.")
    entries = [_entry(given) for given in records]
    for what in ("id", "filename"):
        if len({entry.columns[what] for entry in entries}) < len(entries):
            raise _refusal(f"names one {what} twice in its manifest.")
    names = {name for entry in entries for name in entry.columns}
    if len(names) > MOST or not all(name.isprintable() and 0 < len(name) <= LONGEST for name in names):
        raise _refusal("names columns in its manifest that are none.")
    if taken := sorted(name for name in names if fault_of_name(ORMCalibration, name)):
        raise _refusal(f"names columns in its manifest that are none, as no class may have them: {', '.join(taken)}.")
    return entries


def _entry(given: Any) -> Entry:
    columns, checksum, size = (given.get(name) if isinstance(given, dict) else None for name in _ENTRY)
    known = columns if isinstance(columns, dict) else {}
    texts = (known.get("id"), known.get("filename"), checksum)
    if not all(isinstance(text, str) for text in texts) or not _SHA256.fullmatch(str(checksum)):
        raise _refusal("has a record without id, file name or checksum in its manifest.")
    if not known["id"].strip() or not known["id"].isprintable():
        raise _refusal(f"has a record with the id {known['id']!r} in its manifest.")
    try:
        check_filename(known["filename"])
    except UnsafeFilenameError as error:
        raise _refusal(f"names a file {known['filename']!r}: {error.reason}.") from error
    if type(size) is not int or size < 0:
        raise _refusal(f"has {known['filename']!r} without a size in its manifest.")
    return Entry(known, str(checksum), size)


def _members(archive: tarfile.TarFile, sizes: dict[str, int], end: int) -> dict[str, tarfile.TarInfo]:
    """Members by name: exactly those of the manifest, each once and of its size."""
    found: dict[str, tarfile.TarInfo] = {}
    while (member := archive.next()) is not None:
        _check(member, end)
        if member.name not in sizes:
            raise _refusal(f"has a member {member.name!r} that its manifest does not name.")
        if member.name in found:
            raise _refusal(f"has the member {member.name!r} twice.")
        if member.size != sizes[member.name]:
            raise _refusal(f"has {member.size} bytes of {member.name!r}; its manifest says {sizes[member.name]}.")
        found[member.name] = member
    missing = sorted(sizes.keys() - found)
    if missing:
        raise _refusal(f"lacks {len(missing)} files that its manifest names, such as {missing[0]!r}.")
    return found


def _check(member: tarfile.TarInfo, end: int) -> None:
    """Check that a member is a plain file that ends before the archive does."""
    if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or member.sparse is not None:
        raise _refusal(f"has a member {member.name!r} that is not a plain file.")
    if member.offset_data + member.size > end:
        raise _refusal(f"ends before its member {member.name!r} does.")


def _refusal(fault: str) -> SourceFileError:
    return SourceFileError(fault, "Copy or export it again; nothing was imported.", path=None)


def _changed(source: Path) -> SourceFileError:
    return SourceFileError(
        f"{source} changed or vanished while the bundle was written.", "Export again; no bundle was left.", path=source
    )
