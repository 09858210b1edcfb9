"""Whether cached files are what their records say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from ..database.local import LocalDatabase
from ..database.verified_files import known_signature, remember_signature
from ..disk.checksums import Checksum, Signature, digest_of
from ..instrument.orm import ORMCalibration
from .folder import Cache

R = TypeVar("R", bound=ORMCalibration)


@dataclass
class VerificationReport:
    """What a verification found.

    Attributes
    ----------
    checked : int
        Number of files that are here and were hashed.
    bad : dict
        File name to what is wrong with it.
    missing : list of str
        File names of LOCAL records whose file is not here; a REMOTE one can be downloaded when it is needed.
    repaired : list of str
        Bad ones that were replaced.
    unchecked : list of str
        Records without a checksum: their files have the recorded size, more is not known.
    """

    checked: int = 0
    bad: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    repaired: list[str] = field(default_factory=list)

    unchecked: list[str] = field(default_factory=list)

    def note(self, record: ORMCalibration, fault: str) -> None:
        """Take in what was found of one record's file: nothing, ``"missing"``, or what is wrong."""
        if fault == "missing":
            if record.origin == "LOCAL":
                self.missing.append(record.filename)
            return
        self.checked += 1
        if fault:
            self.bad[record.filename] = fault
        elif record.checksum is None:
            self.unchecked.append(record.filename)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return vars(self).copy()

    @property
    def ok(self) -> bool:
        """Whether every file is what its record says, after repair."""
        return not self.missing and set(self.bad) <= set(self.repaired)


class Verifier(Generic[R]):
    """Compares cached files with their records.

    Parameters
    ----------
    cache : Cache
    database : LocalDatabase
    """

    def __init__(self, cache: Cache, database: LocalDatabase[R]) -> None:
        self.cache = cache
        self.database = database

    def fault(self, record: R, path: Path, *, rehash: bool = False, key: str | None = None) -> str:
        """Say how a file differs from its record; nothing when it does not.

        The content is hashed when the file's signature is not the one that it had when it was last hashed, or when
        `rehash` says so. `key` is what a shared file is remembered by, in place of its name.
        """
        signature = Signature.of(path)
        if record.file_size is not None and signature.size != record.file_size:
            return f"it has {signature.size} bytes, {record.file_size} are recorded"
        if record.checksum is None:
            return ""
        if not rehash and self._known(record, key or record.filename) == signature:
            return ""
        try:
            recorded = Checksum.parse(record.checksum)
        except ValueError as error:
            return f"its recorded checksum is {record.checksum!r}, {error}"
        found = digest_of(path, recorded.kind)
        if found != str(recorded):
            return f"its checksum is {found}, {record.checksum} is recorded"
        with self.database.begin() as connection:
            remember_signature(connection, self.database.orm_class, record, signature, key)
        return ""

    def check_all(self) -> Iterator[tuple[R, Path, str]]:
        """Hash every file; gives record, path and fault: empty, ``"missing"``, or what is wrong."""
        for record in self.database.query():
            path = self.cache.path(record.filename)
            yield record, path, self.fault(record, path, rehash=True) if path.is_file() else "missing"

    def _known(self, record: R, key: str) -> Signature | None:
        statement = known_signature(self.database.orm_class)
        for checksum, *signature in self.database.rows(statement, {"filename": key}):
            if checksum == record.checksum:
                return Signature(*signature)
        return None
