"""Mending rows that are not in form from their own values, the history, the last hashing, and the file."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..database.feed import feed_table
from ..database.row_forms import SpoiltRow, spoilt_rows
from ..database.sqlite import quote
from ..database.verified_files import signatures_table
from ..disk.checksums import Checksum, digest_of
from ..exceptions import HeaderError, KoaMiddlewareError
from ..instrument.door import TIMES, columns_of
from ..instrument.orm import ORMCalibration
from ..instrument.plain import shown
from ..instrument.times import now_iso
from ..instrument.values import QUALITIES, normal_form
from .folder import Cache
from .from_files import OwnFile, read_files


class Mended(NamedTuple):
    """What a row should be.

    Attributes
    ----------
    row : SpoiltRow
    values : dict or None
        All columns, in form; None where what is needed is not known.
    said : str
        What was mended, in words.
    lost : str
        What is not known any more; empty where nothing is lost.
    """

    row: SpoiltRow
    values: dict[str, Any] | None
    said: str
    lost: str


class RowMender:
    """Mends rows of a table.

    Parameters
    ----------
    connection : sqlite3.Connection
        One of the database.
    orm_class : type
    cache : Cache
        With the files.
    """

    def __init__(self, connection: sqlite3.Connection, orm_class: type[ORMCalibration], cache: Cache) -> None:
        self._connection = connection
        self._orm_class = orm_class
        self._cache = cache
        self._feed = quote(feed_table(orm_class).name)
        self._files = quote(signatures_table(orm_class).name)

    def mended(self, rows: Iterable[SpoiltRow]) -> list[Mended]:
        """Say what each row should be; nothing is written."""
        known = [(row, self._known(row)) for row in rows]
        paths = {path for row, values in known if (path := self._path_to_ask(row, values)) is not None}
        read = {file.path: file for file in read_files(self._orm_class, sorted(paths), {})}
        return [self._settled(row, values, read) for row, values in known]

    def write(self, mended: Sequence[Mended]) -> list[Mended]:
        """Write mended rows that nobody changed meanwhile, in the caller's transaction; gives those left."""
        now = {row.rowid: row for row in spoilt_rows(self._connection, self._orm_class, [m.row.rowid for m in mended])}
        left = []
        for each in mended:
            if (
                each.values is None
                or now.get(each.row.rowid) != each.row
                or not self._is_written(each.row, each.values)
            ):
                left.append(each)
        return left

    def _is_written(self, row: SpoiltRow, values: dict[str, Any]) -> bool:
        columns = [name for name in row.values if row.values[name] != values[name]]
        setting = ", ".join(f"{quote(name)} = ?" for name in columns)
        table = quote(self._orm_class.table().name)
        changing = f"UPDATE OR IGNORE {table} SET {setting} WHERE _rowid_ = ?"  # noqa: S608 - names, quoted
        return self._connection.execute(changing, (*(values[name] for name in columns), row.rowid)).rowcount == 1

    # -- what is known -------------------------------------------------------------------------------------------------

    def _known(self, row: SpoiltRow) -> dict[str, Any]:
        """Give the values that are in form, and for the others what they mean, or what the database knows elsewhere."""
        values = {name: value for name, value in row.values.items() if name not in row.faults}
        for name in row.faults:
            if name not in TIMES:
                values |= {name: meant} if (meant := self._meant(name, row.values[name])) is not None else {}
        if "id" not in values and (id_ := self._id_before(row.values["id"])):
            values["id"] = id_
        if "filename" not in values and (name := self._name_of(values.get("checksum"))):
            values["filename"] = name
        for name, value in {**self._of_history(values.get("id")), **self._of_file(values)}.items():
            values.setdefault(name, value)
        return values

    def _meant(self, name: str, value: Any) -> Any:
        """Give the normal form of a value that has one; None where it has none."""
        if value is None or isinstance(value, bytes) or name in {"filename", "last_updated"}:
            return None
        try:
            return normal_form(columns_of(self._orm_class)[name], value, "the row")
        except HeaderError:
            return None

    def _id_before(self, id: Any) -> str:
        """Give the id that a row had before a statement changed it to this one."""
        changed = f"SELECT max(n) - 1 FROM {self._feed} WHERE id = ? AND op = 'added'"  # noqa: S608 - a name, quoted
        asked = f"SELECT id FROM {self._feed} WHERE op = 'withdrawn' AND n = ({changed})"  # noqa: S608
        return self._only(asked, id) or ""

    def _name_of(self, checksum: Any) -> str:
        """Give the name under which a content was hashed here."""
        asked = f"SELECT filename, count(*) FROM {self._files} WHERE checksum = ? AND instr(filename, '/') = 0"  # noqa: S608
        found = self._connection.execute(asked, (checksum,)).fetchone()
        return found[0] if found[1] == 1 else ""

    def _of_history(self, id: Any) -> dict[str, Any]:
        words = ", ".join(f"'{word}'" for word in QUALITIES)
        newest = f"FROM {self._feed} WHERE id = ?"
        asked = f"SELECT quality {newest} AND quality IN ({words}) ORDER BY at DESC, n DESC LIMIT 1"
        quality = self._only(asked, id)
        from_archive = self._only(f"SELECT 1 {newest} AND archive_n IS NOT NULL LIMIT 1", id)
        found = {"quality": quality} if quality else {}
        return {**found, "last_updated": now_iso()} | ({"origin": "REMOTE"} if from_archive else {})

    def _of_file(self, values: dict[str, Any]) -> dict[str, Any]:
        """Give what was found when a record's file was hashed last."""
        asked = f"SELECT checksum, size FROM {self._files} WHERE filename = ?"  # noqa: S608 - a name, quoted
        found = self._connection.execute(asked, (values.get("filename"),)).fetchone()
        if found is None or not found[0] or values.get("checksum", found[0]) != found[0]:
            return {}
        return {"checksum": found[0]} | ({"file_size": found[1]} if found[1] >= 0 else {})

    def _only(self, asked: str, id: Any) -> Any:
        found = self._connection.execute(asked, (id,)).fetchone()
        return None if found is None else found[0]

    # -- what its file says --------------------------------------------------------------------------------------------

    def _path_to_ask(self, row: SpoiltRow, values: dict[str, Any]) -> Path | None:
        """Give the path of the file that can tell what is missing, where it is here and is the record's."""
        if not row.faults.keys() - values.keys() - {"quality"} or "filename" not in values:
            return None
        try:
            path = self._cache.path(values["filename"])
            recorded = values.get("checksum")
            is_its = path.is_file() and (not recorded or digest_of(path, Checksum.parse(recorded).kind) == recorded)
        except (KoaMiddlewareError, OSError, ValueError):
            return None
        return path if is_its else None

    def _settled(self, row: SpoiltRow, values: dict[str, Any], read: dict[Path, OwnFile]) -> Mended:
        path = self._path_to_ask(row, values)
        file = read.get(path) if path is not None else None
        if file is not None and file.error is None:
            said = {**file.row, "checksum": file.checksum, "file_size": file.signature.size}
            unsaid = (
                {"quality"} | (set() if file.says_id else {"id"}) | (set() if file.says_version else {"cal_version"})
            )
            values |= {
                n: said[n] for n in row.faults if n not in values and n not in unsaid and said.get(n) is not None
            }
        lost = {name for name in row.faults if name not in values}
        if set(TIMES) <= lost and "mjd_start" in row.faults and "more than a day" in row.faults["mjd_start"]:
            values["datetime_obs"] = row.values["datetime_obs"]
        values.setdefault("id", str(uuid.uuid4()))
        try:
            complete = self._orm_class.in_form(values, row.name, derive=False)
        except (KoaMiddlewareError, ValueError, TypeError) as error:
            told = error.message if isinstance(error, KoaMiddlewareError) else str(error)
            return Mended(row, None, "", f"its row is spoilt, as {row.said}: {told}")
        said_of = {name: f"its {name} is now {shown(complete[name])}" for name in row.faults}
        mended = ", ".join(said_of[name] for name in row.faults if name not in lost)
        return Mended(
            row, complete, mended, ", ".join(f"{said_of[name]} (what it was is not known)" for name in sorted(lost))
        )
