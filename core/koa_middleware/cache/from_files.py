"""Records made of files alone: of their headers, their names, and the times at which they came.

Files whose header or name says the version come first, others get the next free one, in the order in which they came.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

from ..disk.checksums import Checksum, Signature, digest_of
from ..disk.names import folded
from ..disk.wholeness import check_whole
from ..disk.writing import cache_errors
from ..exceptions import DuplicateCalibrationError, HeaderError, KoaMiddlewareError
from ..instrument.detached import record_builder
from ..instrument.hooks import filename_of, values_by
from ..instrument.orm import ORMCalibration, family_of
from .processes import applied

#: Files without a record that are worth a process that reads them.
WORTH_A_PROCESS = 1000

#: Python's filter of warnings, which the reading of FITS files sets, is one for all threads.
_one_at_a_time = Lock()

_OF_NO_FILE = Signature(-1, 0, 0)
_THREE_DIGITS = re.compile(r"(?<!\d)\d{3}(?!\d)")


@dataclass
class OwnFile:
    """A file of the cache, as it was read.

    Attributes
    ----------
    path : pathlib.Path
    signature : Signature
    checksum : str
        Of the kind of its record's; sha256 where it has none.
    row : dict
        What headers and name say; empty where it has a record.
    says_version, says_id : bool
        Whether they say so themselves.
    error : KoaMiddlewareError or None
        Why it could not be read.
    """

    path: Path
    signature: Signature = _OF_NO_FILE
    checksum: str = ""
    row: dict[str, Any] = field(default_factory=dict)
    says_version: bool = False
    says_id: bool = False
    error: KoaMiddlewareError | None = None

    @property
    def is_of_another(self) -> bool:
        """Whether its header names another instrument."""
        return isinstance(self.error, HeaderError) and self.error.keywords == ("INSTRUME",)


def read_files(
    orm_class: type[ORMCalibration], paths: Sequence[Path], known: Mapping[str, str | None]
) -> Iterator[OwnFile]:
    """Hash files in parallel, and read those that have no record.

    Parameters
    ----------
    orm_class : type
    paths : sequence of pathlib.Path
    known : mapping
        The recorded checksums, by the names of files that have a record.
    """
    recorded = [path for path in paths if path.name in known]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(lambda path: _hashed(path, _kind(known[path.name])), recorded)
    unknown = [path for path in paths if path.name not in known]
    yield from applied(partial(_read, orm_class), unknown, WORTH_A_PROCESS)


def _hashed(path: Path, kind: str) -> OwnFile:
    found = OwnFile(path)
    with _error_noted(found):
        found.signature = Signature.of(path)
        found.checksum = digest_of(path, kind)
    return found


def _read(orm_class: type[ORMCalibration], path: Path) -> OwnFile:
    found = OwnFile(path)
    with _error_noted(found):
        found.signature = Signature.of(path)
        with _one_at_a_time:
            _read_row(orm_class, found)
        found.checksum = digest_of(path)
    return found


@contextmanager
def _error_noted(found: OwnFile) -> Iterator[None]:
    try:
        with cache_errors(found.path, "read"):
            yield
    except KoaMiddlewareError as error:
        found.error = error


def _kind(recorded: str | None) -> str:
    try:
        return Checksum.parse(recorded or "").kind
    except ValueError:
        return "sha256"


def _read_row(orm_class: type[ORMCalibration], found: OwnFile) -> None:
    path = found.path
    values = values_by(orm_class, "values_from_file", str(path), path)
    found.row = orm_class.complete_row(values, str(path))
    check_whole(path)
    found.says_id = values.get("id") is not None
    named = _version_in_name(orm_class, found.row)
    found.says_version = bool(named) or values.get("cal_version") is not None
    found.row["cal_version"] = named or found.row["cal_version"]


def _version_in_name(orm_class: type[ORMCalibration], row: Mapping[str, Any]) -> str:
    """Give the version in a file's name, which is where it stands when a registration gave it; empty without one."""
    build, names = record_builder(orm_class), orm_class.column_names()

    def named(version: str) -> str:
        return filename_of(build([{**row, "cal_version": version}[name] for name in names]))

    for digits in _THREE_DIGITS.findall(row["filename"]):
        other = "998" if digits == "999" else "999"
        if digits != "000" and named(digits) == row["filename"] != named(other):
            return str(digits)
    return ""


class Versions:
    """Ids, file names and versions that are taken.

    Parameters
    ----------
    orm_class : type
    rows : iterable of mapping
        The records that are there.
    """

    def __init__(self, orm_class: type[ORMCalibration], rows: Iterable[Mapping[str, Any]]) -> None:
        self._orm_class = orm_class
        self._ids: set[str] = set()
        self._names: dict[str, str] = {}
        self._versions: dict[tuple[Any, ...], set[str]] = {}
        for row in rows:
            self._take(row)

    def settle(self, file: OwnFile, new_id: str) -> list[str]:
        """Settle id and version of a file's row; says what the file does not say, or says otherwise.

        Raises
        ------
        DuplicateCalibrationError
            When another record has its name, or no version is free.
        """
        row, told = file.row, []
        existing = self._names.get(folded(row["filename"]))
        if existing is not None:
            raise self._duplicate(row, existing, f"{existing} has this name on some disks")
        if not file.says_id or row["id"] in self._ids:
            told.append("its id is new")
            row["id"] = new_id
        taken = self._versions.get(self._family(row), set())
        if not file.says_version or row["cal_version"] in taken:
            free = (f"{number:03d}" for number in range(1, 1000) if f"{number:03d}" not in taken)
            version = next(free, None)
            if version is None:
                raise self._duplicate(row, row["filename"], "no version is free, as they end at 999")
            row["cal_version"] = version
            if taken:
                told.append(f"its version {version} is the next free one")
        self._take(row)
        return told

    def _family(self, row: Mapping[str, Any]) -> tuple[Any, ...]:
        return tuple(family_of(self._orm_class, row).values())

    def _take(self, row: Mapping[str, Any]) -> None:
        self._ids.add(row["id"])
        self._names[folded(row["filename"])] = row["filename"]
        self._versions.setdefault(self._family(row), set()).add(row["cal_version"])

    def _duplicate(self, row: Mapping[str, Any], existing: str, why: str) -> DuplicateCalibrationError:
        said = f"{row['filename']} cannot have a record: {why}."
        return DuplicateCalibrationError(said, "Rename it.", filename=row["filename"], existing=existing)


def in_order(files: Iterable[OwnFile]) -> list[OwnFile]:
    """Give files in the order in which they get ids and versions."""
    return sorted(files, key=lambda file: (not file.says_version, file.signature.mtime_ns, file.path.name))
