"""Putting a calibration into the cache: its file and its row, together or not at all.

A file is staged before the database's write lock is taken; under it, version and name are settled. A model saves under
the lock, because it writes its version into its file.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, and_, update

from .cache.folder import Staged
from .cache.placing import Holdings, Placed
from .choosing.cases import compared_with
from .choosing.selector import settings_of
from .database.history import removed_before
from .disk.checksums import Signature
from .disk.names import check_filename
from .disk.reading import check_readable, user_path
from .disk.wholeness import check_whole
from .exceptions import DuplicateCalibrationError, HeaderWarning, QualityWarning, warn
from .instrument.door import columns_of
from .instrument.hooks import filename_of, values_by
from .instrument.orm import ORMCalibration, family_of
from .models import described_by, saved_by, tell, unusable, values_of

R = TypeVar("R", bound=ORMCalibration)


class Registration(Generic[R]):
    """Registers calibrations.

    Parameters
    ----------
    holdings : Holdings
        What they are added to.
    """

    def __init__(self, holdings: Holdings[R]) -> None:
        self._holdings = holdings
        self._orm_class = holdings.orm_class

    def register(self, source: Any, origin: str | None, new_version: bool) -> Placed[R]:
        """Register a file, or what a pipeline's model saves; see `CalibrationStore.register_calibration`.

        A column that the selector of its type matches, and that stays empty, gets a `HeaderWarning`: no frame that
        asks for a value there will ever get this calibration.
        """
        placed = self._placed(source, origin, new_version)
        self._warn_of_empty(placed.record)
        return placed

    def _warn_of_empty(self, record: R) -> None:
        selector = self._orm_class.selectors.get(record.cal_type)
        matched = () if selector is None else compared_with(settings_of(selector), record)
        empty = [name for name in matched if record.get(name) is None]
        if empty:
            columns = columns_of(self._orm_class)
            said = [f"{name} ({' or '.join(columns[name].info.get('keywords', ())) or 'no keyword'})" for name in empty]
            warn(
                f"{record.filename} has no {' and no '.join(said)}, so that no frame will get it as its "
                f"{record.cal_type}.",
                HeaderWarning,
            )

    def _warn_of_removed(self, connection: Connection, row: Mapping[str, Any]) -> None:
        name = row["filename"]
        removed = removed_before(connection, self._orm_class, name, row["checksum"])
        if removed is not None:
            until = removed.koa_until[:16].replace("T", " ")
            warn(
                f"{name} was here until {until} UTC, with the quality {removed.quality}, and was removed; it is "
                f"registered again, as {row['quality']}. koa-cal show {name} --history tells more.",
                QualityWarning,
            )

    def _placed(self, source: Any, origin: str | None, new_version: bool) -> Placed[R]:
        if callable(getattr(source, "save", None)):
            return self._model(source, origin, new_version)
        if not isinstance(source, str | os.PathLike):
            raise unusable(source, "is neither a path nor a model with save() and to_orm() or to_record()")
        return self._file(user_path(source), origin, new_version)

    def _file(self, path: Path, origin: str | None, new_version: bool) -> Placed[R]:
        check_readable(path)
        seen = Signature.of(path)
        check_whole(path)
        values = values_by(self._orm_class, "values_from_file", str(path), path)
        row = self._orm_class.complete_row({**values, **_origin(origin)}, str(path))
        staged = self._holdings.cache.stage(path, seen)
        try:
            return self._holdings.commit(lambda connection: self._settle(connection, row, staged, new_version))
        finally:
            staged.path.unlink(missing_ok=True)

    def _model(self, model: Any, origin: str | None, new_version: bool) -> Placed[R]:
        described = described_by(model)
        values = values_of(self._orm_class, model, described)
        named = {"filename": "unnamed", **{k: v for k, v in values.items() if v is not None}, **_origin(origin)}
        row = self._orm_class.complete_row(named, f"the record of {type(model).__name__}")

        def save_and_settle(connection: Connection) -> Placed[R]:
            asked, family = row["filename"], self._family(connection, row)
            is_named = bool(values.get("filename"))
            is_taken = is_named and not self._holdings.is_free(connection, asked, None)
            settled = new_version and (bool(family) or is_taken)
            if settled:
                self._take_next_version(connection, row, family, None)
            self._settle_id(connection, row, family, settled)
            tell(self._orm_class, described, row, ("id", "origin", "cal_version", *(("filename",) if is_named else ())))
            saved = saved_by(model, folder)
            check_whole(saved)
            staged = self._holdings.cache.adopt(saved, folder)
            if not is_named:
                row["filename"] = asked = check_filename(saved.name)
                if settled and not self._holdings.is_free(connection, asked, staged):
                    row["filename"] = filename_of(self._holdings.record(row))
            if settled:  # a killed registration may have left this very content under a name that was passed over
                left = {**row, "filename": asked}
                self._take_next_version(connection, left, family, staged)
                if staged.is_content_of(self._holdings.cache.path(left["filename"])):
                    row.update(left)
            return self._settle(connection, row, staged, new_version, asked if settled else None)

        with self._holdings.cache.staging_folder() as folder:
            return self._holdings.commit(save_and_settle)

    def _settle(
        self,
        connection: Connection,
        row: dict[str, Any],
        staged: Staged,
        new_version: bool,
        asked: str | None = None,
    ) -> Placed[R]:
        """Insert the row and place the file.

        Where version and name were settled before, `asked` is the name before that.
        """
        row |= {"checksum": staged.checksum, "file_size": staged.file_size}
        family = self._family(connection, row)
        known = self._already_there(connection, {**row, "filename": asked or row["filename"]}, family, staged)
        if known is not None:
            return self._holdings.put(connection, self._with_checksum(connection, known, row), staged)
        others = [member for member in family if not self._holdings.has_content(member, staged)]
        if others and not new_version:
            raise _duplicate(row, others)
        is_free = self._holdings.is_free(connection, row["filename"], staged)
        if new_version and asked is None and (others or not is_free):
            self._take_next_version(connection, row, family if others else [], staged)
        elif not is_free:
            raise self._taken(connection, row)
        if self._holdings.find(connection, self._orm_class.table().c.id == row["id"]):
            row["id"] = str(uuid.uuid4())
        self._warn_of_removed(connection, row)
        self._holdings.database.insert(connection, [row])
        return self._holdings.put(connection, self._holdings.record(row), staged)

    def _settle_id(self, connection: Connection, row: dict[str, Any], family: list[R], settled: bool) -> None:
        """Give another id where the one given is another record's, before a model writes it into its file."""
        own = set() if settled else {member.id for member in family}
        for holder in self._holdings.find(connection, self._orm_class.table().c.id == row["id"]):
            if holder.id not in own and (settled or holder.filename != row["filename"]):
                row["id"] = str(uuid.uuid4())

    def _already_there(self, connection: Connection, row: dict[str, Any], family: list[R], staged: Staged) -> R | None:
        """Give the record of the same content under the same name, or under the name that its version gave it."""
        for record in self._holdings.named(connection, row["filename"]):
            if self._holdings.has_content(record, staged):
                return record
        for record in family:
            renamed = filename_of(self._holdings.record({**row, "cal_version": record.cal_version}))
            if record.filename == renamed and self._holdings.has_content(record, staged):
                return record
        return None

    def _with_checksum(self, connection: Connection, known: R, row: Mapping[str, Any]) -> R:
        """Record the checksum of a record that had none."""
        if known.checksum is not None:
            return known
        table = self._orm_class.table()
        found = {name: row[name] for name in ("checksum", "file_size")}
        connection.execute(update(table).where(table.c.id == known.id).values(found))
        return self._holdings.find(connection, table.c.id == known.id)[0]

    def _taken(self, connection: Connection, row: Mapping[str, Any]) -> DuplicateCalibrationError:
        named = self._holdings.named(connection, row["filename"])
        existing = named[0].filename if named else row["filename"]
        return DuplicateCalibrationError(
            f"{row['filename']} cannot be registered: the cache already has a file {existing} with other content.",
            "Register it with new_version=True (koa-cal register --new-version), which names it anew, or rename "
            "the file; nothing was changed.",
            filename=row["filename"],
            existing=existing,
        )

    def _family(self, connection: Connection, row: Mapping[str, Any]) -> list[R]:
        columns = self._orm_class.table().c
        family = family_of(self._orm_class, row)
        return self._holdings.find(connection, and_(*(columns[k].is_not_distinct_from(v) for k, v in family.items())))

    def _take_next_version(
        self, connection: Connection, row: dict[str, Any], family: list[R], staged: Staged | None
    ) -> None:
        """Settle the next version of a family, or from the row's own on where there is none, whose name is free.

        A killed registration, or a record of the archive, may have the first name.
        """
        asked = row["filename"]
        newest = max(family, key=lambda member: str(member.cal_version), default=None)
        first = int(row["cal_version"]) if newest is None else int(newest.cal_version) + 1
        for version in range(first, 1000):
            row |= {"cal_version": f"{version:03d}", "filename": asked}
            if not self._holdings.is_free(connection, asked, staged):
                row["filename"] = filename_of(self._holdings.record(row))
            if self._holdings.is_free(connection, row["filename"], staged):
                return
        existing = self._holdings.named(connection, asked) if newest is None else [newest]
        named = existing[0] if existing else self._holdings.record(row)
        raise DuplicateCalibrationError(
            f"{asked} cannot be a new version of {named.filename}, which has the version {named.cal_version}.",
            "No free name is left, as versions end at 999; nothing was changed.",
            filename=asked,
            existing=named.filename,
            version=named.cal_version,
        )


def _origin(origin: str | None) -> dict[str, str]:
    return {} if origin is None else {"origin": origin}


def _duplicate(row: Mapping[str, Any], others: list[Any]) -> DuplicateCalibrationError:
    newest = max(others, key=lambda member: str(member.cal_version))
    return DuplicateCalibrationError(
        f"{row['filename']} differs from version {newest.cal_version} ({newest.filename}) of the same "
        f"{row['cal_type']} of {row['datetime_obs']}.",
        "If it replaces that one, register it with new_version=True (koa-cal register --new-version); nothing was "
        "changed.",
        filename=row["filename"],
        existing=newest.filename,
        version=newest.cal_version,
    )
