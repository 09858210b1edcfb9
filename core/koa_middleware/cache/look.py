"""Finding records' files: what is on the disk, and what the database knows of it."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

from sqlalchemy import select

from ..database.chunks import in_chunks
from ..database.local import LocalDatabase
from ..database.table import asked_name
from ..database.verified_files import (
    Verified,
    known_signature,
    record_and_signature,
    remember_signatures,
    signatures_table,
)
from ..disk.checksums import Checksum, Signature, digest_of
from ..disk.writing import cache_errors, cannot_be_written
from ..exceptions import CacheError, CalibrationNotFoundError, KoaMiddlewareError
from ..instrument.detached import record_builder
from ..instrument.orm import ORMCalibration
from .decision import Found
from .folder import Cache
from .shared import SharedCache

R = TypeVar("R", bound=ORMCalibration)

_NO_FILE = {errno.ENOENT, errno.ENOTDIR}

Known = tuple[str, Signature]
"""A file's checksum when it was last hashed, and its signature then."""


class Knowledge(Generic[R]):
    """What the database knows of files: read when it is asked for, or for many records at once.

    Attributes
    ----------
    verified : list of Verified
        What was hashed since, for `save`.
    spoilt : dict
        Signatures that spoilt files had when they were looked at, by their keys.
    """

    def __init__(self, database: LocalDatabase[R]) -> None:
        self._database = database
        self._known: dict[str, Known | None] = {}
        self._owners: dict[str, str | None] = {}
        self.verified: list[Verified] = []
        self.spoilt: dict[str, Signature] = {}

    def read(self, filenames: Sequence[str], keys: Sequence[str]) -> None:
        """Read, in bulk, what `owner` gives for many file names and `known` for many keys."""
        table, signatures = self._database.orm_class.table().c, signatures_table(self._database.orm_class).c
        reading = select(
            signatures.filename, signatures.checksum, signatures.size, signatures.mtime_ns, signatures.inode
        )
        self._known.update(dict.fromkeys(keys))
        with self._database.connect() as connection:
            for some in in_chunks(keys):
                for key, checksum, *signature in connection.execute(reading.where(signatures.filename.in_(some))):
                    self._known[key] = checksum, Signature(*signature)
            for some in in_chunks(filenames):
                owners = connection.execute(select(table.filename, table.id).where(table.filename.in_(some)))
                self._owners.update((filename, id_) for filename, id_ in owners)

    def record(self, id: str) -> R:
        """Give the record of an id, and know its file afterwards: one statement reads both.

        Raises
        ------
        CalibrationNotFoundError
        """
        orm_class = self._database.orm_class
        rows = self._database.rows(record_and_signature(orm_class), {"id": asked_name(id)})
        if not rows:
            return self._database.query_by_id(id)
        *columns, checksum, size, mtime_ns, inode = rows[0]
        record = record_builder(orm_class, raw=True)(columns)
        self._note(record.filename, checksum, size, mtime_ns, inode)
        return record

    def known(self, key: str) -> Known | None:
        """Give what is known of a file by its name, or by its full path where it is a shared one."""
        if key in self._database.unnoted:
            return self._database.unnoted[key]
        if key not in self._known:
            found = self._database.rows(known_signature(self._database.orm_class), {"filename": key})
            self._note(key, *(found[0] if found else (None, 0, 0, 0)))
        return self._known[key]

    def owner(self, filename: str) -> str | None:
        """Give the id of the record that a file name belongs to; None where it belongs to none."""
        if filename not in self._owners:
            try:
                self._owners[filename] = self._database.query_by_filename(filename).id
            except CalibrationNotFoundError:
                self._owners[filename] = None
        return self._owners[filename]

    def save(self) -> None:
        """Remember what was hashed and was not known, in one statement."""
        new = [one for one in self.verified if self._known.get(one.key) != (one.record.checksum, one.signature)]
        note_verified(self._database, new)
        self.verified = []

    def _note(self, key: str, checksum: str | None, size: int, mtime_ns: int, inode: int) -> None:
        self._known[key] = None if checksum is None else (checksum, Signature(size, mtime_ns, inode))


def note_verified(database: LocalDatabase[Any], verified: Sequence[Verified]) -> None:
    """Note which files have their records' content; where the database cannot be written, for this process alone.

    Raises
    ------
    CacheError
        When something else is wrong with the database.
    """
    if not verified:
        return
    try:
        if database.refusal is None:
            with database.begin() as connection:
                remember_signatures(connection, database.orm_class, verified)
            return
    except CacheError as error:
        if not cannot_be_written(error):
            raise
    database.unnoted.update((each.key, (each.record.checksum or "", each.signature)) for each in verified)


class Looker(Generic[R]):
    """Looks for records' files in a cache and in the shared one under it.

    Parameters
    ----------
    cache : Cache
    database : LocalDatabase
    shared : SharedCache
    """

    def __init__(self, cache: Cache, database: LocalDatabase[R], shared: SharedCache) -> None:
        self._cache = cache
        self._database = database
        self._shared = shared

    def look(self, record: R, use_cached: bool = True, knowledge: Knowledge[R] | None = None) -> Found:
        """Find out what there is of a record's file; a file whose signature is not known is hashed.

        Parameters
        ----------
        record : record
        use_cached : bool
            False: a file of the archive is to come again, so that nothing is hashed.
        knowledge : Knowledge, optional
            What was read of its file before.

        Raises
        ------
        CacheError
            When a file cannot be read.
        UnsafeFilenameError
        """
        asked = knowledge or Knowledge(self._database)
        found = self._look(record, use_cached, asked)
        asked.save()
        return found

    def look_past(self, record: R, fault: str | None, knowledge: Knowledge[R]) -> Found:
        """Look for a record's file elsewhere, where the user's own is spoilt or missing."""
        found = self._look_past(record, fault, knowledge)
        knowledge.save()
        return found

    def look_many(self, records: Sequence[R], use_cached: bool) -> list[Found | KoaMiddlewareError]:
        """Look for the files of many records: each is hashed once at most, and the database read and written in bulk.

        Returns
        -------
        list
            Aligned with `records`; an error stands in the place of its record.
        """
        knowledge = Knowledge(self._database)
        names = [record.filename for record in records]
        knowledge.read(names, [*names, *self._shared.keys_of(names)])
        found: list[Found | KoaMiddlewareError] = []
        try:
            for record in records:
                try:
                    found.append(self._look(record, use_cached, knowledge))
                except KoaMiddlewareError as error:
                    found.append(error)
        finally:
            knowledge.save()
        return found

    def _look(self, record: R, use_cached: bool, knowledge: Knowledge[R]) -> Found:
        filename = record.filename
        own = self._cache.path(filename)
        if not use_cached and record.origin != "LOCAL":
            return Found(own, "" if own.is_file() else None, is_of_another=self._is_of_another(record, knowledge))
        fault = fault_of(record, own, filename, knowledge)
        if fault == "":
            return Found(own, fault, is_of_another=record.checksum is None and self._is_of_another(record, knowledge))
        return self._look_past(record, fault, knowledge)

    def _look_past(self, record: R, fault: str | None, knowledge: Knowledge[R]) -> Found:
        shared, shared_fault = self._look_in_shared(record, knowledge)
        own, is_of_another = self._cache.path(record.filename), self._is_of_another(record, knowledge)
        return Found(own, fault, shared, shared_fault, is_of_another, knowledge.spoilt.get(record.filename))

    def _look_in_shared(self, record: R, knowledge: Knowledge[R]) -> tuple[Path | None, str]:
        """Give the path of the shared file, and what is wrong with it; no path where none can be read.

        A folder that is missing, as an unmounted one is, stops nobody's work: a `SharedCacheWarning` says it once.
        """
        path = self._shared.path(record)
        if path is None:
            return None, ""
        try:
            fault = fault_of(record, path, str(path), knowledge)
        except CacheError as error:
            if error.path != path:  # the database's
                raise
            self._shared.warn(f"{error.message} It is not used.")
            return None, ""
        return (None, "") if fault is None else (path, fault)

    def _is_of_another(self, record: R, knowledge: Knowledge[R]) -> bool:
        return knowledge.owner(record.filename) not in {None, record.id}


def fault_of(record: R, path: Path, key: str, knowledge: Knowledge[R], *, rehash: bool = False) -> str | None:
    """Say how a file differs from its record, empty where it does not; None where there is no file.

    The content is hashed when the file's signature is not the one that it had when it was last hashed, or when
    `rehash` says so.

    Raises
    ------
    CacheError
        When the file cannot be read.
    """
    try:
        status = os.stat(path)  # noqa: PTH116 - the fastest: this is each use of a cached file
        size, checksum = record.file_size, record.checksum
        signature = Signature.of_status(status)
        if not stat.S_ISREG(status.st_mode):
            knowledge.spoilt[key] = signature
            return "it is no file"
        if size is not None and status.st_size != size:
            knowledge.spoilt[key] = signature
            return f"it has {status.st_size} bytes, but {size} are recorded"
        if checksum is None:
            return ""
        if not rehash and knowledge.known(key) == (checksum, signature):
            return ""
        try:
            recorded = Checksum.parse(checksum)
        except ValueError as error:
            return f"its recorded checksum is {checksum!r}, {error}"
        found = digest_of(path, recorded.kind)
    except OSError as error:
        if error.errno in _NO_FILE:
            return None
        with cache_errors(path, "read"):
            if error.errno != errno.ELOOP:
                raise
            knowledge.spoilt[key] = Signature.of(path)
            return "it is no file"
    if found != str(recorded):
        knowledge.spoilt[key] = signature
        return f"its checksum is {found}, but {checksum} is recorded"
    knowledge.verified.append(Verified(key, record, signature))
    return ""


def fault_in_words(record: R, cache: Cache, knowledge: Knowledge[R]) -> str | None:
    """Hash a file and say what is wrong with it, for instance that it cannot be read; see `fault_of`."""
    try:
        return fault_of(record, cache.path(record.filename), record.filename, knowledge, rehash=True)
    except KoaMiddlewareError as error:
        return error.message.removesuffix(".")
