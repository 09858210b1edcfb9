"""The local copy of a remote: rows taken in, rows withdrawn, rows kept apart.

Rows and the word on how far they go are always written in one transaction.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from ..database.feed import Judgement, feed_paused, feed_table, unsent
from ..database.file_names import stored_names
from ..database.history import history_table
from ..database.judgements import move_judgements
from ..database.kept_apart import conflicts_table, row_of
from ..database.local import LocalDatabase
from ..database.sqlite import quote
from ..disk.names import folded
from ..exceptions import HeaderError, UnsafeFilenameError
from ..instrument.orm import ORMCalibration
from ..instrument.times import now_iso
from ..instrument.values import normal_form
from .bookmark import CopyState, StateTable
from .others import insertion_of, other_columns, with_others
from .protocol import VERSION, Batch, Found, Holds, Mark, Page, Past, Row
from .rows import in_form, is_same_content, source_of

_ANOTHER_ROW = "another row of the archive has this file name"


@dataclass
class Counts:
    """Rows of the local database that are new, got other values, or went."""

    added: int = 0
    changed: int = 0
    withdrawn: int = 0


class _Known(NamedTuple):
    """What is here under the id of a remote's row."""

    filename: str
    origin: str
    checksum: str | None
    quality: str
    file_size: int | None


class _Holder(NamedTuple):
    """A record that is here, and has the name of a remote's row."""

    id: str
    filename: str


class LocalCopy:
    """The rows of a remote in a SQLite database.

    Its `others` are the columns of other versions of the class, which it takes along.

    Parameters
    ----------
    local : LocalDatabase
    connection : sqlite3.Connection
        Of that database; used by this object alone while it works.
    holds : callable
        Whether the file of a name here has a checksum.
    """

    def __init__(self, local: LocalDatabase[Any], connection: sqlite3.Connection, holds: Holds) -> None:
        orm_class: type[ORMCalibration] = local.orm_class
        table = orm_class.table()
        self.counts = Counts()
        self.state = CopyState()
        self.sweeps_begun = 0
        self.table_name = table.name
        self._local = local
        self._holds = holds
        self._database = connection
        self._states = StateTable(connection, table.name)
        self.others = other_columns(connection, orm_class)
        self._whole = with_others(table, self.others)
        self._columns = self._whole.c.keys()
        self._id, self._filename = self._columns.index("id"), self._columns.index("filename")
        self._checksum, self._quality = self._columns.index("checksum"), self._columns.index("quality")
        self._size = self._columns.index("file_size")
        self._required = [i for i, column in enumerate(table.c) if not column.nullable]
        self._evicted: set[str] = set()
        self._has_set_aside = False
        self._name, self._conflicts = quote(table.name), quote(conflicts_table(orm_class).name)
        self._stored_names = stored_names(table.name, "SELECT value FROM json_each(?1)")
        self._feed = quote(feed_table(orm_class).name)
        self._history = quote(history_table(orm_class).name)
        names = self._names = ", ".join(map(quote, self._columns))
        self._keep = (
            f"INSERT INTO {self._history} (koa_archive_n, koa_since, koa_until, {names}) VALUES "
            f"({', '.join('?' * (len(VERSION) + len(self._columns)))}) ON CONFLICT (koa_archive_n) DO NOTHING"
        )
        self._insert = f"INTO {self._name} {insertion_of(connection, table, self.others)}"
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
        new = self.state.followed_by(**changes)
        counts = replace(self.counts)
        self._database.execute("BEGIN IMMEDIATE")
        try:
            self._local.check_unchanged(self._database)
            self._states.store(new)
            yield
            self._database.execute("COMMIT")
        except BaseException:
            self.counts = counts
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise
        self.state = new

    @contextmanager
    def following(self, **changes: Any) -> Iterator[None]:
        """Write rows whose changes the remote's feed tells, as `transaction` does; they get no other entries here."""
        with self.transaction(**changes), feed_paused(self._database, self._local.orm_class):
            yield

    def mark(self, **changes: Any) -> None:
        """Write how far the copy is, without rows; see `transaction`."""
        with self.transaction(**changes):
            pass

    def begin_sweep(self, bookmark: str, noticed: Sequence[str]) -> None:
        """Forget how far the copy is."""
        state = {"bookmark": bookmark, "seen": bookmark, "sweep_after": "", "noticed": json.dumps(noticed)}
        with self.transaction(**state, settled=None, known_until=None):
            self.sweeps_begun += 1

    def forget_history(self, after: int) -> None:
        """Forget what the copy has of the remote's history after an entry, by its number there; 0: all.

        What was published or judged from here may stand there, and be lost at the remote. Where there is nothing of it,
        nothing is written: another process that reads, too, would begin again.
        """
        later = f"SELECT EXISTS (SELECT 1 FROM {self._feed} WHERE archive_n > ?)"
        if after and not self._database.execute(later, (after,)).fetchone()[0]:
            return
        told = self.state.has_history_to if after else None
        with self.transaction(told=told, settled=None, known_until=None):  # the feed's numbers may be given again
            first = self._database.execute(f"SELECT min(n) FROM {self._feed} WHERE archive_n > ?", (after,)).fetchone()
            self._database.execute(f"DELETE FROM {self._feed} WHERE archive_n > ?", (after,))
            self._database.execute(f"DELETE FROM {self._history} WHERE koa_archive_n > ?", (after,))
            # To those who follow this copy, what comes after a gap is another history.
            other = f"UPDATE {self._feed} SET token = lower(hex(randomblob(16))) WHERE n > ?"
            self._database.execute(other, first)

    def learn(self, past: Past) -> None:
        """Keep entries of the remote's feed, the next ones after those that are here, and the versions they ended."""
        with self.transaction(told=past.bookmark):
            self.record(past)

    def end_sweep(self, seen: str) -> None:
        """Withdraw what comes after the last row of a view; those who follow this copy read everything anew."""
        with self.following(sweep_after=None, seen=seen):
            self.withdraw_between(self.state.sweep_after or "", None, [])
            if self.counts != Counts() or self._has_set_aside or not self.sweeps_begun:
                self._database.execute(f"INSERT INTO {self._feed} (op, at) VALUES ('resweep', ?)", (now_iso(),))

    def follow(self, page: Page) -> None:
        """Apply a page of the remote's feed."""
        there = self.names_of(page.batch)
        self.record(page)
        self.withdraw([entry.id for entry in page.entries if entry.id is not None and entry.id not in there])
        self.take(page.batch)

    def record(self, told: Page | Past | Found) -> None:
        """Keep entries of the remote's feed, and versions that they ended, which are not here yet."""
        self._database.executemany(
            f"INSERT INTO {self._feed} (id, op, at, quality, who, why, archive_n, archive_token) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (archive_n) DO NOTHING",
            [(e.id, e.op, e.at, e.quality, e.who, e.why, e.n, e.token) for e in told.entries],
        )
        self._database.executemany(self._keep, [*told.former.rows, *self._former_in_form(told.former.odd)])

    def _former_in_form(self, odd: Sequence[dict[str, Any]]) -> Iterator[Row]:
        """Bring former versions into form; one that refuses was chosen by nobody and is left out."""
        for values in odd:
            with suppress(HeaderError, UnsafeFilenameError):
                row = self._in_form({name: values[name] for name in self._columns})
                yield (*(values[name] for name in VERSION), *row)

    def contradicts(self, mark: Mark) -> bool:
        """Whether the copy knows another entry of this number."""
        known = f"SELECT archive_token FROM {self._feed} WHERE archive_n = ?"
        found = self._database.execute(known, (mark.n,)).fetchone()
        return found is not None and found[0] != mark.token

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
        names = {folded(str(row[self._filename])) for row in batch.rows}
        if (
            len(names) < len(batch.rows)
            or self._database.execute(self._stored_names, (json.dumps(list(names)),)).fetchone()
        ):
            self.take(batch)
            return
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
        published: list[str] = []
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
            rival = local_names.get(folded(filename))
            own = known.get(identifier)
            if own is not None and own.origin == "LOCAL":
                if not (self._is_same(own, row) and (rival is None or rival.id == identifier)):
                    self._keep_row_apart(row, "a LOCAL record has this id", identifier)
                elif self._is_judged_otherwise(identifier, own, row):
                    said = f"it is {row[self._quality]} there, and was judged {own.quality} here; publish sends that"
                    self._keep_row_apart(row, said, identifier)
                else:
                    published.append(identifier)
                    clean.append(row)
            elif rival is not None:
                self._keep_row_apart(row, f"a LOCAL record has this file name{_as(rival, filename)}", rival.id)
            else:
                clean.append(row if own is None or row[self._checksum] else self._with_recorded(row, own))
        self._end_as_local((identifier, identifier) for identifier in published)
        self._make_remote(published)
        clean = self._with_names_of_their_own(clean, holders)
        written = self._database.executemany(self._upsert, clean).rowcount if clean else 0
        added = sum(1 for row in clean if row[self._id] not in known and row[self._id] not in self._evicted)
        self.counts.added += added
        self.counts.changed += max(written, 0) - added
        self._database.execute(
            f"DELETE FROM {self._conflicts} WHERE id IN (SELECT value FROM json_each(?))",
            (json.dumps([row[self._id] for row in clean]),),
        )

    def replace(self, ids: Sequence[str], batch: Batch, *, is_told: bool) -> None:
        """Put remote rows in the place of the records, also LOCAL ones, whose ids here stand in the rows' order.

        Parameters
        ----------
        ids : sequence of str
        batch : Batch
        is_told : bool
            Whether the remote's feed tells of the rows, and the feed here is paused.
        """
        there = self.names_of(batch)
        if is_told:
            self._end_as_local(zip(ids, there, strict=True))
        gone = [(here,) for here in ids if here not in there]
        self._database.executemany(f"DELETE FROM {self._name} WHERE id = ?", gone)
        move_judgements(self._database, self._local.orm_class, zip(ids, there, strict=True))
        self._make_remote(here for here in ids if here in there)
        if is_told:
            self._note_here("withdrawn", [here for (here,) in gone])
        self.take(batch)

    def _end_as_local(self, ids: Iterable[tuple[str, str]]) -> None:
        """Keep what LOCAL records are until now: they were so until the archive's entry that added them.

        Parameters
        ----------
        ids : iterable of tuple
            Of each record's id here and there.
        """
        since = f"SELECT max(at) FROM {self._feed} WHERE id = here.id AND archive_n IS NULL"
        added = f"SELECT max(at) FROM {self._feed} WHERE id = :there AND archive_n IS NOT NULL AND op = 'added'"
        until = f"ifnull(({added}), :now)"
        now = now_iso()
        asked = [{"here": here, "there": there, "now": now} for here, there in ids]
        self._database.executemany(
            f"UPDATE {self._history} SET koa_until = {until}"
            f" WHERE id = :here AND koa_archive_n IS NULL AND koa_until > {until}",
            asked,
        )
        self._database.executemany(
            f"INSERT INTO {self._history} (koa_since, koa_until, {self._names})"
            f" SELECT ifnull(({since}), ''), {until}, {self._names} FROM {self._name} AS here"
            " WHERE id = :here AND origin = 'LOCAL'",
            asked,
        )

    def _make_remote(self, ids: Iterable[str]) -> None:
        changing = f"UPDATE {self._name} SET origin = 'REMOTE' WHERE id = ?"
        self._database.executemany(changing, [(identifier,) for identifier in ids])

    def _note_here(self, op: str, ids: Iterable[str]) -> None:
        """Write entries of the feed here on rows of the remote that go or come without one there."""
        entry = f"INSERT INTO {self._feed} (id, op, at) VALUES (?, ?, ?)"
        self._database.executemany(entry, [(identifier, op, now_iso()) for identifier in ids])

    def _mended(self, odd: Sequence[dict[str, Any]]) -> Iterator[Row]:
        """Bring odd rows into form; those that refuse are kept apart with the reason."""
        for values in odd:
            identifier, filename = str(values["id"]), str(values["filename"] or "")
            try:
                yield self._in_form(values)
            except (HeaderError, UnsafeFilenameError) as error:
                self._keep_apart(identifier, filename, error.message, None, values)

    def _in_form(self, values: Mapping[str, Any]) -> Row:
        row = in_form(self._local.orm_class, values) | self._others_of(values)
        return tuple(row[name] for name in self._columns)

    def _others_of(self, values: Mapping[str, Any]) -> dict[str, Any]:
        columns = {name: self._whole.c[name] for name, _ in self.others}
        source = source_of(values)
        return {name: normal_form(column, values.get(name), source) for name, column in columns.items()}

    def _neighbours(self, rows: Sequence[Row]) -> tuple[dict[str, _Known], dict[str, _Holder], dict[str, _Holder]]:
        """Give what is here under the rows' ids, and, by folded names, the LOCAL and the remote records with these."""
        ids = json.dumps([row[self._id] for row in rows])
        names = json.dumps([folded(row[self._filename]) for row in rows])
        select = f"SELECT id, filename, origin, checksum, quality, file_size FROM {self._name} WHERE"
        by_id = self._database.execute(f"{select} id IN (SELECT value FROM json_each(?))", (ids,))
        known = {identifier: _Known(*values) for identifier, *values in by_id}
        local_names: dict[str, _Holder] = {}
        holders: dict[str, _Holder] = {}
        by_name = self._database.execute(f"{select} filename IN ({self._stored_names}) ORDER BY id", (names,))
        for identifier, filename, origin, *_ in by_name.fetchall():
            holder = _Holder(identifier, filename)
            first = (local_names if origin == "LOCAL" else holders).setdefault(folded(filename), holder)
            if first.id != identifier:  # an older release took them for two
                self._evict([(holder, first)])
        return known, local_names, holders

    def _is_same(self, own: _Known, row: Row) -> bool:
        filename, theirs = row[self._filename], row[self._checksum]
        if own.filename != filename or theirs is None:
            return False
        return is_same_content(filename, own.checksum, theirs, self._holds)

    def _with_recorded(self, row: Row, own: _Known) -> Row:
        """Keep checksum and size that were recorded here, where the archive has none and says nothing else."""
        is_other = own.checksum is None or own.filename != row[self._filename]
        if is_other or row[self._size] not in (None, own.file_size):
            return row
        kept = list(row)
        kept[self._checksum], kept[self._size] = own.checksum, own.file_size
        return tuple(kept)

    def _is_judged_otherwise(self, identifier: str, own: _Known, row: Row) -> bool:
        """Whether someone here set another quality that the remote does not know, which would be lost."""
        if own.quality == row[self._quality]:
            return False
        flagged = (
            f"SELECT quality, who, why, at, archive_n FROM {self._feed} WHERE id = ? AND op = 'flagged' ORDER BY n"
        )
        found = self._database.execute(flagged, (identifier,)).fetchall()
        made = [Judgement(*said) for *said, archive_n in found if archive_n is None]
        return bool(unsent(made, [(*said[:3],) for *said, archive_n in found if archive_n is not None]))

    def _keep_row_apart(self, row: Row, reason: str, local_id: str | None) -> None:
        values = dict(zip(self._columns, row, strict=True))
        self._keep_apart(row[self._id], row[self._filename], reason, local_id, values)

    def _keep_apart(
        self, identifier: str, filename: str, reason: str, local_id: str | None, values: Mapping[str, Any]
    ) -> None:
        gone = self._database.execute(f"DELETE FROM {self._name} WHERE id = ? AND origin <> 'LOCAL'", (identifier,))
        self._has_set_aside |= gone.rowcount > 0
        self._database.execute(
            f"INSERT OR REPLACE INTO {self._conflicts} (id, filename, reason, local_id, record) VALUES (?, ?, ?, ?, ?)",
            (identifier, filename, reason, local_id, json.dumps(values, default=_as_text)),
        )

    def _with_names_of_their_own(self, rows: Sequence[Row], holders: dict[str, _Holder]) -> list[Row]:
        """Let each file name belong to one row.

        A row that holds the name of another one here has lost it, and its present state comes in the same sync; until
        then it is kept apart, and for good where the remote has two rows of one name. While all rows are read, those
        that were read already have their names for good. Of names that only some disks take for one, the row that was
        here first keeps its own, unless it gives it up in the same batch.
        """
        read_to = self.state.sweep_after
        names = {row[self._id]: folded(row[self._filename]) for row in rows}
        ids = {row[self._filename]: row[self._id] for row in rows}

        def keeps(key: str, holder: _Holder) -> bool:
            if read_to is not None:
                return holder.id <= read_to
            return names.get(holder.id, key) == key and ids.get(holder.filename, holder.id) == holder.id

        named = {key: holder for key, holder in holders.items() if keeps(key, holder)}
        own: list[Row] = []
        for row in rows:
            identifier, filename = row[self._id], row[self._filename]
            holder = named.setdefault(folded(filename), _Holder(identifier, filename))
            if holder.id == identifier:
                own.append(row)
            else:
                waits_for = None if holder.filename == filename else holder.id
                self._keep_row_apart(row, _ANOTHER_ROW + _as(holder, filename), waits_for)
        self._evict([(holder, named[key]) for key, holder in holders.items() if named.get(key, holder).id != holder.id])
        return own

    def _evict(self, lost: Sequence[tuple[_Holder, _Holder]]) -> None:
        where = "origin <> 'LOCAL' AND id = ?"
        for loser, winner in lost:
            found = self._database.execute(f"SELECT {self._names} FROM {self._name} WHERE {where}", (loser.id,))
            for row in found.fetchall():
                self._keep_row_apart(row, _ANOTHER_ROW + _as(winner, loser.filename), None)
            self._evicted.add(loser.id)

    def settle(self) -> int:
        """Take in rows that were kept apart, where nothing here stands in their way any more.

        Returns
        -------
        int
            Number of the local feed's newest entry, up to which all changes here are considered.
        """
        newest: int = self._database.execute(f"SELECT ifnull(max(n), 0) FROM {self._feed}").fetchone()[0]
        settled = self.state.settled
        if settled is not None and settled > newest:  # the feed was lost and begun anew
            settled = None
        changed = f"SELECT id FROM {self._feed} WHERE n > :settled"
        because_of_ours = f"local_id IS NOT NULL AND (:settled IS NULL OR local_id IN ({changed}))"
        apart = f"SELECT id, record FROM {self._conflicts} WHERE {because_of_ours}"
        if settled != newest:
            found = self._database.execute(apart, {"settled": settled}).fetchall()
            if found:
                with self.following():
                    evicted = set(self._evicted)
                    self.take(Batch([], list(_rows_of(found))))
                    self._note_here("withdrawn", self._evicted - evicted)
                    self._note_here("added", self._taken([identifier for identifier, _ in found]))
        return newest

    def _taken(self, ids: Sequence[str]) -> list[str]:
        """Give those ids under which a row of the remote is here."""
        taken = f"SELECT id FROM {self._name} WHERE origin <> 'LOCAL' AND id IN (SELECT value FROM json_each(?))"
        return [identifier for (identifier,) in self._database.execute(taken, (json.dumps(ids),))]

    def holds_between(self, after: str, last: str) -> bool:
        """Whether any row, also one that is kept apart, has ``after < id <= last``."""
        some = "SELECT 1 FROM {} WHERE id > :after AND id <= :last".format
        sql = f"SELECT EXISTS ({some(self._name)}) OR EXISTS ({some(self._conflicts)})"
        return bool(self._database.execute(sql, {"after": after, "last": last}).fetchone()[0])


def holds_nothing(filename: str, checksum: str) -> bool:  # noqa: ARG001 - it is a `Holds`
    """Say of a database without files that none has a checksum."""
    return False


@contextmanager
def open_copy(local: LocalDatabase[Any], holds: Holds = holds_nothing) -> Iterator[LocalCopy]:
    """Open the local copy, over a connection of its own.

    Parameters
    ----------
    local : LocalDatabase
    holds : callable
        Whether the file of a name here has a checksum.

    Raises
    ------
    CacheError
        When the database cannot be read or written.
    """
    with local.driver_connection() as connection:
        yield LocalCopy(local, connection, holds)


def _rows_of(found: Iterable[tuple[str, str]]) -> Iterator[dict[str, Any]]:
    """Read rows that are kept apart, by their ids; one that cannot be read stays there until it comes again."""
    for id_, record in found:
        with suppress(ValueError):
            yield row_of(id_, record)


def _as(holder: _Holder, filename: str) -> str:
    """Say how a holder writes a file name that another row writes otherwise; empty where both are the same."""
    return "" if holder.filename == filename else f", written {holder.filename}"


def _as_text(value: Any) -> str:
    """Give a value that JSON does not know, such that it is refused again for what it was refused for."""
    return bytes(value).decode(errors="surrogateescape") if isinstance(value, memoryview) else str(value)
