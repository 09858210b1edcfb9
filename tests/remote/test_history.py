"""What happened to an archive's rows: kept there, brought by syncs, and asked as of a time, here and there."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime, timedelta
from typing import Any

import pytest
from koa_middleware.database.past import PastDatabase
from koa_middleware.remote.publish import flag
from sqlalchemy import select, text
from survey import Archive, Client, Survey, Writer

from tests.conftest import repetitions

TABLE = Survey.table().name
NAMES = [f"{letter}.fits" for letter in "abcdef"]

Rows = dict[str, dict[str, Any]]


def moment(time: datetime, microseconds: int = 0) -> str:
    """A time as stores write it."""
    return (time.replace(tzinfo=None) + timedelta(microseconds=microseconds)).isoformat(timespec="microseconds")


class Oracle:
    """The states of an archive, each with the time of the transaction that made it, in the order of the commits."""

    def __init__(self, archive: Archive) -> None:
        self.archive = archive
        self.states: list[tuple[datetime, Rows]] = []
        self.look()

    def look(self) -> None:
        """Remember the state after a transaction."""
        with self.archive.engine.execution_options(isolation_level="REPEATABLE READ").connect() as connection:
            at = connection.execute(text(f"SELECT max(at) FROM {TABLE}_feed")).scalar_one()
            rows = connection.execute(select(Survey.table())).mappings()
            state = {row["id"]: {**row, "origin": "REMOTE"} for row in rows}
        if not self.states or at > self.states[-1][0]:
            self.states.append((at, state))
        assert self.states[-1] == (at, state), "a transaction without entries changes nothing"

    def at(self, asked: str) -> Rows:
        """Rows by id at a time."""
        return next(rows for at, rows in reversed(self.states) if moment(at) <= asked)

    def times(self, chance: random.Random, number: int) -> list[str]:
        """Times at which something happened, and beside these."""
        some = chance.sample(self.states, min(number, len(self.states)))
        found = [moment(at, shift) for at, _ in some for shift in (-1, 0, 1)]
        return [each for each in found if each >= moment(self.states[0][0])]


def remote_rows(client: Client, asked: str) -> Rows:
    """REMOTE rows by id that a client knows of a time."""
    past = PastDatabase(client.database, asked, has_archive=True)
    try:
        records = past.query()
        names = [record.filename for record in records]
        assert len(names) == len(set(names)), "of a record that was published there is one at any time"
        return {record.id: record.to_dict() for record in records if record.origin == "REMOTE"}
    finally:
        past.close()


def archive_rows(archive: Archive, asked: str) -> Rows:
    """Rows by id that the archive itself tells of a time."""
    with ExitStack() as stack:
        remote = archive.remote()
        stack.callback(remote.close)
        return {record.id: record.to_dict() for record in remote.database.as_of(asked).query()}


class History:
    """A random history of an archive of a few rows and of two machines that follow it."""

    def __init__(self, archive: Archive, new_client: Callable[[], Client], chance: random.Random) -> None:
        self.archive, self.chance = archive, chance
        self.machines = [new_client(), new_client()]
        self.oracle = Oracle(archive)
        self.gone: list[str] = []
        self.number = 0

    def run(self, steps: int) -> None:
        """Let things happen, and compare what each machine knows after each of its syncs."""
        happens = [self.write] * 8 + [self.sync] * 3 + [self.late, self.rolled_back, self.publish, self.flag]
        for _ in range(steps):
            self.chance.choice(happens)()
            self.oracle.look()
        for machine in self.machines:
            machine.sync()
            self.compare(machine, 12)
        for asked in self.oracle.times(self.chance, 4):
            assert archive_rows(self.archive, asked) == self.oracle.at(asked)

    def compare(self, machine: Client, number: int) -> None:
        """Compare what a machine that has just synced knows."""
        for asked in self.oracle.times(self.chance, number):
            assert remote_rows(machine, asked) == self.oracle.at(asked), asked

    def sync(self) -> None:
        machine = self.chance.choice(self.machines)
        machine.sync(full=self.chance.random() < 0.1)
        self.compare(machine, 3)

    def write(self) -> None:
        with self.archive.transaction() as writer:
            if self.chance.random() < 0.3:
                writer.execute("SET LOCAL koa.who = 'ann'", "SET LOCAL koa.why = 'a trail'")
            for _ in range(self.chance.choice([1, 1, 2, 3])):
                self.change(writer)
                if self.chance.random() < 0.1:
                    writer.execute("SET CONSTRAINTS ALL IMMEDIATE")

    def late(self) -> None:
        """A transaction that begins before others and ends after them."""
        name = f"late-{self.number}.fits"
        with self.archive.transaction() as slow:
            slow.insert(name)
            quick, other = self.archive.insert(f"quick-{self.number}.fits"), self.chance.choice(self.machines)
            self.oracle.look()
            other.sync()
            slow.change(name, nframes=self.number)
            self.gone += quick
        self.oracle.look()
        self.archive.delete(f"quick-{self.number}.fits")
        self.number += 1

    def rolled_back(self) -> None:
        def taken_back() -> None:
            with self.archive.transaction() as writer:
                self.change(writer)
                writer.execute("SET CONSTRAINTS ALL IMMEDIATE")
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            taken_back()

    def publish(self) -> None:
        machine = self.chance.choice(self.machines)
        self.number += 1
        machine.add_local(f"own-{self.number}.fits", checksum=f"sha256:{self.number}")
        if self.chance.random() < 0.5:
            machine.execute(f"UPDATE {TABLE} SET nframes = 5 WHERE origin = 'LOCAL'")
        machine.publish()

    def flag(self) -> None:
        machine = self.chance.choice(self.machines)
        known = set(machine.rows()) & set(self.archive.rows())
        if known:
            row = self.archive.rows()[self.chance.choice(sorted(known))]
            if row["id"] in {each["id"] for each in machine.rows().values()}:
                quality = self.chance.choice(["GOOD", "BAD"])
                flag(machine.database, self.archive.remote(), row["id"], quality, "why", "bob")

    def change(self, writer: Writer) -> None:
        """Change a row within a transaction."""
        chance, name = self.chance, self.chance.choice(NAMES)
        self.number += 1
        find = f"(SELECT id FROM {TABLE} WHERE filename = '{name}')"
        what = chance.random()
        if what < 0.35:
            again = (
                f"'{chance.choice(self.gone)}'" if self.gone and chance.random() < 0.5 else "gen_random_uuid()::text"
            )
            writer.execute(
                f"INSERT INTO {TABLE} (id, filename, cal_type, datetime_obs, mjd_start, nframes) VALUES "
                f"({again}, '{name}', 'dark', '2026-01-02T03:04:05.678', 61042, {self.number}) ON CONFLICT DO NOTHING"
            )
        elif what < 0.6:
            writer.execute(f"UPDATE {TABLE} SET nframes = {self.number} WHERE id = {find}")
        elif what < 0.75:
            quality = chance.choice(["GOOD", "BAD"])
            writer.execute(f"UPDATE {TABLE} SET quality = '{quality}' WHERE id = {find}")
        elif what < 0.9:
            self.gone += [row["id"] for row in self.archive.rows().values() if row["filename"] == name]
            writer.delete(name)
        elif what < 0.95:
            writer.execute(f"UPDATE {TABLE} SET id = 'id-{self.number}' WHERE id = {find}")
        else:
            undone = f"UPDATE {TABLE} SET nframes = -1; SET CONSTRAINTS ALL IMMEDIATE"
            writer.execute(f"SAVEPOINT s; {undone}; ROLLBACK TO s")


@pytest.mark.parametrize("seed", range(repetitions(2, 150)))
def test_all_machines_and_the_archive_agree_on_every_past_state(archive, new_client, monkeypatch, seed):
    archive.small_batches(monkeypatch, 3 + seed % 5)
    History(archive, new_client, random.Random(seed)).run(repetitions(40, 120))
