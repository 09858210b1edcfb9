"""The local copy of a remote: rows taken in, rows withdrawn, rows kept apart.

Rows and the word on how far they go are always written in one transaction.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from ..database.kept_apart import conflicts_table
from ..database.local import LocalDatabase
from ..database.sqlite import quote
from ..exceptions import HeaderError, UnsafeFilenameError
from ..instrument.orm import ORMCalibration
from .bookmark import CopyState, StateTable
from .protocol import Batch, Row
from .rows import in_form


@dataclass
class Counts:
    """Rows of the local database that are new, got other values, or went."""

    added: int = 0
    changed: int = 0
    withdrawn: int = 0


class LocalCopy:
    """The rows of a remote in a SQLite database.

    Parameters
    ----------
    local : LocalDatabase
    connection : sqlite3.Connection
        Of that database; used by this object alone while it works.
    """

    def __init__(self, local: LocalDatabase[Any], connection: sqlite3.Connection) -> None:
        orm_class: type[ORMCalibration] = local.orm_class
        table = orm_class.table()
        self.counts = Counts()
        self.state = CopyState()
        self.sweeps_begun = 0
        self.table_name = table.name
        self._local = local
        self._database = connection
        self._states = StateTable(connection, table.name)
        self._columns = table.c.keys()
        self._id, self._filename = self._columns.index("id"), self._columns.index("filename")
        self._checksum = self._columns.index("checksum")
        self._required = [i for i, column in enumerate(table.c) if not column.nullable]
        self._evicted: set[str] = set()
        self._name, self._conflicts = quote(table.name), quote(conflicts_table(orm_class).name)
        names = ", ".join(map(quote, self._columns))
        marks = ", ".join("?" * len(self._columns))
        self._insert = f"INTO {self._name} ({names}) VALUES ({marks})"
        self._upsert = (
            f"INSERT {self._insert} ON CONFLICT (id) DO UPDATE SET ({names}) = "
            f"({', '.join(f'excluded.{quote(name)}' for name in self._columns)}) "
            f"WHERE {self._name}.origin <> 'LOCAL' AND ("
            + " OR ".join(f"{self._name}.{quote(name)} IS NOT excluded.{quote(name)}" for name in self._columns)
            + ")"
        )

    def load(self) -> CopyState:
        """Read how far the copy is."""
        if not self._states.exists():
            self._states.create()
        self.state = self._states.load()
        return self.state

    @contextmanager
    def transaction(self, **changes: Any) -> Iterator[None]:
        """Write rows and the copy's new state, together or not at all.

        Parameters
        ----------
        **changes
            Fields of `CopyState` that get another value.

        Raises
        ------
        Superseded
            When another process has written since; nothing is written then.
        """
        new = replace(self.state, **changes, revision=self.state.revision + 1)
        counts = replace(self.counts)
        self._database.execute("BEGIN IMMEDIATE")
        try:
            self._states.store(new)
            yield
            self._database.execute("COMMIT")
        except BaseException:
            self.counts = counts
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise
        self.state = new

    def mark(self, **changes: Any) -> None:
        """Write how far the copy is, without rows; see `transaction`."""
        with self.transaction(**changes):
            pass

    def withdraw(self, ids: Sequence[str]) -> None:
        """Remove rows that are no longer in the remote table."""
        self._withdraw_where("id IN (SELECT value FROM json_each(?))", (json.dumps(ids),))

    def withdraw_between(self, after: str, last: str | None, kept: Sequence[str]) -> None:
        """Remove rows with ``after < id <= last`` whose id is not among the kept ones; without `last`, to the end."""
        where = "id > ? AND (? IS NULL OR id <= ?) AND id NOT IN (SELECT value FROM json_each(?))"
        self._withdraw_where(where, (after, last, last, json.dumps(kept)))

    def _withdraw_where(self, where: str, parameters: Sequence[Any]) -> None:
        gone = self._database.execute(
            f"DELETE FROM {self._name} WHERE origin <> 'LOCAL' AND {where}", parameters
        ).rowcount
        self._database.execute(f"DELETE FROM {self._conflicts} WHERE {where}", parameters)
        self.counts.withdrawn += gone

    def names_of(self, batch: Batch) -> dict[str, str]:
        """File names of a batch's rows, by their ids."""
        names = {row[self._id]: row[self._filename] for row in batch.rows}
        return names | {str(values["id"]): str(values["filename"] or "") for values in batch.odd}

    def take_new(self, batch: Batch) -> None:
        """Take in rows that are probably all new."""
        # File names begin with the time, as most indexes do: in their order, each page of an index is met once.
        rows = sorted(batch.rows, key=lambda row: str(row[self._filename]))
        taken = self._database.executemany(f"INSERT OR IGNORE {self._insert}", rows).rowcount
        self.counts.added += taken
        if taken < len(rows) or batch.odd:
            self.take(Batch(rows if taken < len(rows) else [], batch.odd))

    def take(self, batch: Batch) -> None:
        """Take in rows: new ones, changed ones, and ones that are here as they are.

        A LOCAL record stays as it is, and the row that meets it is kept apart; unless it is the same record with
        the same content and name, which was published from here. What cannot be brought into form is kept apart too.
        """
        rows, odd = [], list(batch.odd)
        for row in batch.rows:
            if any(row[position] is None for position in self._required):
                odd.append(dict(zip(self._columns, row, strict=True)))
            else:
                rows.append(row)
        rows += self._mended(odd)
        known, local_names, holders = self._neighbours(rows)
        clean: list[Row] = []
        for row in rows:
            identifier, filename = row[self._id], row[self._filename]
            rival = local_names.get(filename)
            own = known.get(identifier)
            if own is not None and own[1] == "LOCAL":
                if self._is_same(own, row) and rival in (None, identifier):
                    self._database.execute(f"UPDATE {self._name} SET origin = 'REMOTE' WHERE id = ?", (identifier,))
                    clean.append(row)
                else:
                    self._keep_row_apart(row, "a LOCAL record has this id", identifier)
            elif rival is not None:
                self._keep_row_apart(row, "a LOCAL record has this file name", rival)
            else:
                clean.append(row)
        self._evict(clean, holders)
        written = self._database.executemany(self._upsert, clean).rowcount if clean else 0
        added = sum(1 for row in clean if row[self._id] not in known and row[self._id] not in self._evicted)
        self.counts.added += added
        self.counts.changed += max(written, 0) - added
        self._database.execute(
            f"DELETE FROM {self._conflicts} WHERE id IN (SELECT value FROM json_each(?))",
            (json.dumps([row[self._id] for row in clean]),),
        )

    def replace(self, ids: Sequence[str], batch: Batch) -> None:
        """Put remote rows in the place of the records, also LOCAL ones, that have the given ids here."""
        self._database.executemany(f"DELETE FROM {self._name} WHERE id = ?", [(here,) for here in ids])
        self.take(batch)

    def _mended(self, odd: Sequence[dict[str, Any]]) -> Iterator[Row]:
        """Bring odd rows into form; those that refuse are kept apart with the reason."""
        for values in odd:
            identifier, filename = str(values["id"]), str(values["filename"] or "")
            try:
                row = in_form(self._local.orm_class, values, f"the archive's row {filename}")
                yield tuple(row[name] for name in self._columns)
            except (HeaderError, UnsafeFilenameError) as error:
                self._keep_apart(identifier, filename, error.message, None, values)

    def _neighbours(
        self, rows: Sequence[Row]
    ) -> tuple[dict[str, tuple[str, str, str | None]], dict[str, str], dict[str, str]]:
        """Give what is here under the rows' ids, and the LOCAL and the remote records that have their file names."""
        ids = json.dumps([row[self._id] for row in rows])
        names = json.dumps([row[self._filename] for row in rows])
        select = f"SELECT id, filename, origin, checksum FROM {self._name} WHERE"
        known = {
            identifier: (filename, origin, checksum)
            for identifier, filename, origin, checksum in self._database.execute(
                f"{select} id IN (SELECT value FROM json_each(?))", (ids,)
            )
        }
        local_names: dict[str, str] = {}
        holders: dict[str, str] = {}
        for identifier, filename, origin, _ in self._database.execute(
            f"{select} filename IN (SELECT value FROM json_each(?))", (names,)
        ):
            (local_names if origin == "LOCAL" else holders)[filename] = identifier
        return known, local_names, holders

    def _is_same(self, own: tuple[str, str, str | None], row: Row) -> bool:
        filename, _, checksum = own
        return checksum is not None and checksum == row[self._checksum] and filename == row[self._filename]

    def _keep_row_apart(self, row: Row, reason: str, local_id: str | None) -> None:
        values = dict(zip(self._columns, row, strict=True))
        self._keep_apart(row[self._id], row[self._filename], reason, local_id, values)

    def _keep_apart(
        self, identifier: str, filename: str, reason: str, local_id: str | None, values: Mapping[str, Any]
    ) -> None:
        self._database.execute(f"DELETE FROM {self._name} WHERE id = ? AND origin <> 'LOCAL'", (identifier,))
        self._database.execute(
            f"INSERT OR REPLACE INTO {self._conflicts} (id, filename, reason, local_id, record) VALUES (?, ?, ?, ?, ?)",
            (identifier, filename, reason, local_id, json.dumps(values, default=_as_text)),
        )

    def _evict(self, rows: Sequence[Row], holders: dict[str, str]) -> None:
        """Remove rows whose file name has gone over to another row; their present state comes in the same sync."""
        stale = [
            (holders[row[self._filename]],)
            for row in rows
            if holders.get(row[self._filename], row[self._id]) != row[self._id]
        ]
        self._database.executemany(f"DELETE FROM {self._name} WHERE id = ? AND origin <> 'LOCAL'", stale)
        self._evicted.update(identifier for (identifier,) in stale)

    def settle(self) -> None:
        """Give rows that were kept apart their place where nothing stands in their way any more."""
        apart = self._local.conflicts()
        if apart:
            with self.transaction():
                self.take(Batch([], [conflict.record for conflict in apart]))

    def holds_between(self, after: str, last: str) -> bool:
        """Whether any row has ``after < id <= last``."""
        sql = f"SELECT EXISTS (SELECT 1 FROM {self._name} WHERE id > ? AND id <= ?)"
        return bool(self._database.execute(sql, (after, last)).fetchone()[0])


@contextmanager
def open_copy(local: LocalDatabase[Any]) -> Iterator[LocalCopy]:
    """Open the local copy, over a connection of its own.

    Raises
    ------
    CacheError
        When the database cannot be read or written.
    """
    with local.driver_connection() as connection:
        yield LocalCopy(local, connection)


def _as_text(value: Any) -> str:
    """Give a value that JSON does not know, such that it is refused again for what it was refused for."""
    return bytes(value).decode(errors="surrogateescape") if isinstance(value, memoryview) else str(value)
