"""Putting a calibration into the cache: its file and its row, together or not at all.

The file is staged first. Then, under the database's write lock, version and name are settled, the row is inserted,
the file is moved to its name, and the row is committed. A process killed between the last two leaves a file without a
row; the next registration of that content adopts it.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Mapping, MutableMapping
from pathlib import Path
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, and_, select

from .cache.folder import Cache, Staged
from .database.local import LocalDatabase
from .database.verified_files import remember_signature
from .disk.checksums import Signature, digest_of
from .disk.names import check_filename
from .disk.reading import check_readable, user_path
from .disk.wholeness import check_whole
from .exceptions import DuplicateCalibrationError, SourceFileError
from .instrument.detached import record_builder
from .instrument.orm import ORMCalibration

R = TypeVar("R", bound=ORMCalibration)


class Registration(Generic[R]):
    """Registers calibrations in one cache and database.

    Parameters
    ----------
    cache : Cache
    database : LocalDatabase
    """

    def __init__(self, cache: Cache, database: LocalDatabase[R]) -> None:
        self.cache = cache
        self.database = database
        self.orm_class = database.orm_class

    def register(self, source: Any, origin: str | None, new_version: bool) -> tuple[Path, R]:
        """Register a file, or what a pipeline's model saves; see `CalibrationStore.register_calibration`."""
        if callable(getattr(source, "save", None)):
            return self._model(source, origin, new_version)
        if not isinstance(source, str | os.PathLike):
            raise _unusable(source, "is neither a path nor a model with save() and to_orm() or to_record()")
        return self._file(user_path(source), origin, new_version)

    def _file(self, path: Path, origin: str | None, new_version: bool) -> tuple[Path, R]:
        check_readable(path)
        seen = Signature.of(path)
        check_whole(path)
        values = self.orm_class.values_from_file(path)
        row = self.orm_class.complete_row({**values, **_origin(origin)}, str(path))
        staged = self.cache.stage(path, seen)
        try:
            return self.commit(lambda connection: self._settle(connection, row, staged, new_version))
        finally:
            staged.path.unlink(missing_ok=True)

    def _model(self, model: Any, origin: str | None, new_version: bool) -> tuple[Path, R]:
        describe = getattr(model, "to_orm", None) or getattr(model, "to_record", None)
        if describe is None:
            raise _unusable(model, "has save() but neither to_orm() nor to_record()")
        described = describe()
        values = dict(described) if isinstance(described, Mapping) else described.to_dict()
        named = {"filename": "unnamed", **{k: v for k, v in values.items() if v is not None}, **_origin(origin)}
        row = self.orm_class.complete_row(named, f"the record of {type(model).__name__}")

        def save_and_settle(connection: Connection) -> tuple[Path, R, bool]:
            asked, family = row["filename"], self._family(connection, row)
            settled = bool(family) and new_version
            if settled:
                self._take_next_version(connection, row, family, None)
            _tell(described, row, ("filename", "cal_version") if values.get("filename") else ("cal_version",))
            saved = _saved(model, folder)
            check_whole(saved)
            staged = self.cache.adopt(saved, folder)
            if not values.get("filename"):
                row["filename"] = asked = check_filename(saved.name)
                if settled and not self.is_free(connection, asked, staged):
                    row["filename"] = self.orm_class.filename_for(self._record(row))
            if settled:  # a killed registration may have left this very content under a name that was passed over
                left = {**row, "filename": asked}
                self._take_next_version(connection, left, family, staged)
                if _holds(self.cache.path(left["filename"]), staged):
                    row.update(left)
            return self._settle(connection, row, staged, new_version, asked if settled else None)

        with self.cache.staging_folder() as folder:
            return self.commit(save_and_settle)

    def commit(self, settle: Callable[[Connection], tuple[Path, R, bool]]) -> tuple[Path, R]:
        """Settle in a transaction; when it fails at its end, the file goes again."""
        placed = False
        try:
            with self.database.begin() as connection:
                path, record, placed = settle(connection)
        except BaseException:
            if placed:
                path.unlink(missing_ok=True)
            raise
        return path, record

    def _settle(
        self,
        connection: Connection,
        row: dict[str, Any],
        staged: Staged,
        new_version: bool,
        asked: str | None = None,
    ) -> tuple[Path, R, bool]:
        """Insert the row and place the file; gives its path, the record, and whether the file was placed.

        Where version and name were settled before, `asked` is the name before that.
        """
        row |= {"checksum": staged.checksum, "file_size": staged.file_size}
        family = self._family(connection, row)
        known = self._already_there(connection, {**row, "filename": asked or row["filename"]}, family)
        if known is not None:
            return self.put(connection, known, staged)
        others = [member for member in family if member.checksum != staged.checksum]
        if others and not new_version:
            raise _duplicate(row, others)
        if others and asked is None:
            self._take_next_version(connection, row, family, staged)
        elif new_version and not self.is_free(connection, row["filename"], staged):
            row["filename"] = self.orm_class.filename_for(self._record(row))
        if not self.is_free(connection, row["filename"], staged):
            raise DuplicateCalibrationError(
                f"The cache has a file {row['filename']} with other content.",
                "Register it with new_version=True (koa-cal register --new-version), which names it anew, or rename "
                "the file; nothing was changed.",
                filename=row["filename"],
                existing=row["filename"],
            )
        if self._find(connection, self.orm_class.table().c.id == row["id"]):
            row["id"] = str(uuid.uuid4())
        self.database.insert(connection, [row])
        return self.put(connection, self._record(row), staged)

    def _already_there(self, connection: Connection, row: dict[str, Any], family: list[R]) -> R | None:
        """Give the record of the same content under the same name, or under the name that its version gave it."""
        columns = self.orm_class.table().c
        for record in self._find(connection, columns.filename == row["filename"]):
            if record.checksum == row["checksum"]:
                return record
        for record in family:
            renamed = self.orm_class.filename_for(self._record({**row, "cal_version": record.cal_version}))
            if record.checksum == row["checksum"] and record.filename == renamed:
                return record
        return None

    def _family(self, connection: Connection, row: Mapping[str, Any]) -> list[R]:
        columns = self.orm_class.table().c
        names = ("cal_type", "datetime_obs", "origin", *self.orm_class.version_family)
        return self._find(connection, and_(*(columns[name].is_not_distinct_from(row[name]) for name in names)))

    def _take_next_version(
        self, connection: Connection, row: dict[str, Any], family: list[R], staged: Staged | None
    ) -> None:
        """Settle the next version whose name is free: a killed registration may have left a file at the first."""
        asked, newest = row["filename"], max(family, key=lambda member: str(member.cal_version))
        for version in range(int(newest.cal_version) + 1, 1000):
            row |= {"cal_version": f"{version:03d}", "filename": asked}
            if not self.is_free(connection, asked, staged):
                row["filename"] = self.orm_class.filename_for(self._record(row))
            if self.is_free(connection, row["filename"], staged):
                return
        raise DuplicateCalibrationError(
            f"{asked} cannot be a new version of {newest.filename}, which has the version {newest.cal_version}.",
            "Versions end at 999; nothing was changed.",
            filename=asked,
            existing=newest.filename,
            version=newest.cal_version,
        )

    def is_free(self, connection: Connection, filename: str, staged: Staged | None) -> bool:
        """Whether no row has this name, and no file either but one of the same content."""
        if self._find(connection, self.orm_class.table().c.filename == filename):
            return False
        path = self.cache.path(filename)
        return not os.path.lexists(path) or (staged is not None and _holds(path, staged))

    def put(self, connection: Connection, record: R, staged: Staged) -> tuple[Path, R, bool]:
        """Put the file at its name, unless it is there with that content."""
        path = self.cache.path(record.filename)
        missing = not _holds(path, staged)
        if missing and os.path.lexists(path):
            self.cache.quarantine(path)
        if missing:
            self.cache.place(staged, record.filename)
        try:
            remember_signature(connection, self.orm_class, record, Signature.of(path))
        except BaseException:
            if missing:
                path.unlink()
            raise
        return path, record, missing

    def _find(self, connection: Connection, clause: Any) -> list[R]:
        build = record_builder(self.orm_class)
        return [build(row) for row in connection.execute(select(self.orm_class.table()).where(clause))]

    def _record(self, row: Mapping[str, Any]) -> R:
        build = record_builder(self.orm_class)
        return build([row[name] for name in self.orm_class.column_names()])


def _holds(path: Path, staged: Staged) -> bool:
    return path.is_file() and digest_of(path) == staged.checksum


def _saved(model: Any, folder: Path) -> Path:
    """Let a model save into a folder; gives the file's path."""
    given = model.save(output_dir=folder)
    if isinstance(given, str | os.PathLike):
        saved = Path(given).resolve()
        if folder.resolve() in saved.parents and saved.is_file():
            return saved
    raise SourceFileError(
        f"{type(model).__name__}.save gave {given}, which is no file in the folder it was told to use.",
        "Let save(output_dir=...) write there and return the path.",
        path=folder,
    )


def _unusable(source: Any, fault: str) -> SourceFileError:
    return SourceFileError(
        f"A {type(source).__name__} cannot be registered: it {fault}.", "Give a file or such a model.", path=None
    )


def _origin(origin: str | None) -> dict[str, str]:
    return {} if origin is None else {"origin": origin}


def _tell(described: Any, row: Mapping[str, Any], names: tuple[str, ...]) -> None:
    """Write the settled version and name into the model's own record, from which its save may take them."""
    for name in names:
        if isinstance(described, MutableMapping):
            described[name] = row[name]
        else:
            setattr(described, name, row[name])


def _duplicate(row: Mapping[str, Any], others: list[Any]) -> DuplicateCalibrationError:
    newest = max(others, key=lambda member: str(member.cal_version))
    return DuplicateCalibrationError(
        f"{row['filename']} has other content than version {newest.cal_version} ({newest.filename}) of the same "
        f"{row['cal_type']} of {row['datetime_obs']}.",
        "Register it with new_version=True (koa-cal register --new-version) if it replaces that; nothing was changed.",
        filename=row["filename"],
        existing=newest.filename,
        version=newest.cal_version,
    )
