"""What happened to an archive's rows: kept there, brought by syncs, and asked as of a time, here and there."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import ExitStack, closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from koa_middleware import CalibrationSelector, CalibrationStore
from koa_middleware.database.past import PastDatabase
from koa_middleware.exceptions import CalibrationNotFoundError, ConfigurationError, RemoteUnavailableError
from koa_middleware.remote.bookmark import StateTable
from koa_middleware.remote.postgres import table as postgres_table
from koa_middleware.remote.postgres.engine import postgresql_engine
from koa_middleware.remote.postgres.schema import initialise, planned
from koa_middleware.remote.publish import flag
from sqlalchemy import select, text
from survey import KINDS, Archive, Client, Survey, Writer

from tests.conftest import repetitions

TABLE = Survey.table().name
NAMES = [f"{letter}.fits" for letter in "abcdef"]

Rows = dict[str, dict[str, Any]]


def moment(time: datetime, microseconds: int = 0) -> str:
    """A time as stores write it."""
    return (time.replace(tzinfo=None) + timedelta(microseconds=microseconds)).isoformat(timespec="microseconds")


#: What an archive was before it kept former versions.
OLDER = Path(__file__).with_name("archive_without_history.sql").read_text()


def versions(client: Client) -> list[tuple[Any, ...]]:
    """Number there, origin, quality and nframes of all former versions that a client has, in order."""
    asked = f"SELECT koa_archive_n, origin, quality, nframes FROM {TABLE}_history ORDER BY koa_archive_n, koa_n"
    with client.database.connect() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(asked)]


def entries(client: Client) -> list[tuple[Any, ...]]:
    """Number, id and op of the archive's entries that a client has."""
    asked = f"SELECT archive_n, id, op FROM {TABLE}_feed WHERE archive_n IS NOT NULL ORDER BY archive_n"
    with client.database.connect() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(asked)]


def known_until(client: Client) -> str | None:
    """Up to when a client knows the archive."""
    with client.database.driver_connection() as connection:
        return StateTable(connection, TABLE).load().known_until


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
    return {record.id: record.to_dict() for record in known_at(client, asked) if record.origin == "REMOTE"}


def known_at(client: Client, asked: str) -> list[Survey]:
    """Give the records that a client knows of a time."""
    with closing(PastDatabase(client.database, asked, has_archive=True)) as past:
        records = past.query()
    names = [record.filename for record in records]
    assert len(names) == len(set(names)), "of a record that was published there is one at any time"
    return records


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


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(repetitions(1, 150)))
def test_all_machines_and_the_archive_agree_on_every_past_state(archive, new_client, monkeypatch, seed):
    archive.small_batches(monkeypatch, 3 + seed % 5)
    History(archive, new_client, random.Random(seed)).run(repetitions(40, 120))


# -- what the archive keeps ----------------------------------------------------------------------------------------


def test_each_change_keeps_the_version_that_it_ended_with_the_times_of_both(archive):
    (identifier,) = archive.insert("a.fits", exptime=1 / 3, nframes=7, master_cal=True)
    archive.change("a.fits", nframes=8)
    archive.change("a.fits", quality="BAD", id="another")
    archive.delete("a.fits")
    _, added, changed, withdrawn, again, gone = archive.entries()
    kept = archive.former()
    assert [(each["koa_n"], each["koa_since"], each["koa_until"], each["id"], each["nframes"]) for each in kept] == [
        (changed.n, added.at, changed.at, identifier, 7),
        (withdrawn.n, changed.at, withdrawn.at, identifier, 8),
        (gone.n, again.at, gone.at, "another", 8),
    ]
    assert (kept[0]["exptime"], kept[0]["master_cal"], kept[2]["quality"]) == (1 / 3, True, "BAD")
    assert withdrawn.at == again.at


def test_truncating_keeps_each_row_and_an_empty_table_makes_no_time(archive):
    archive.insert("a.fits", "b.fits")
    archive.execute(f"TRUNCATE {TABLE}")
    assert sorted(each["filename"] for each in archive.former()) == ["a.fits", "b.fits"]
    before = archive.entries()[-1].at
    archive.execute(f"TRUNCATE {TABLE}", FILL_ONE)
    assert archive.entries()[-1].at > before


FILL_ONE = (
    f"INSERT INTO {TABLE} (id, filename, cal_type, datetime_obs, mjd_start)"
    " VALUES ('one', 'one.fits', 'dark', '2026-01-02T03:04:05.678', 61042)"
)


def test_all_of_a_transaction_has_one_time_also_over_savepoints(archive):
    archive.execute(
        f"SAVEPOINT s; {FILL_ONE}; SET CONSTRAINTS ALL IMMEDIATE; RELEASE s",
        f"UPDATE {TABLE} SET nframes = 2",
        f"SAVEPOINT t; UPDATE {TABLE} SET nframes = 3; ROLLBACK TO t",
        f"SAVEPOINT u; UPDATE {TABLE} SET nframes = 4",
    )
    told = archive.entries()[1:]
    assert [entry.op for entry in told] == ["added", "changed", "changed"]
    assert len({entry.at for entry in told}) == 1


def test_a_column_that_was_added_dropped_renamed_or_retyped_by_hand_hinders_no_writer(archive):
    archive.insert("a.fits", nframes=7)
    archive.execute(f"ALTER TABLE {TABLE} ADD COLUMN theirs text DEFAULT 'x', DROP COLUMN drp_version")
    archive.execute(f"ALTER TABLE {TABLE} RENAME COLUMN exptime TO seconds")
    archive.execute(f"ALTER TABLE {TABLE} ALTER COLUMN file_size TYPE text USING 'two'")
    archive.execute(f"UPDATE {TABLE} SET nframes = 8")
    archive.execute(f"TRUNCATE {TABLE}")
    assert [(each["nframes"], each["file_size"]) for each in archive.former()] == [(7, None), (8, None)]


# -- older archives ------------------------------------------------------------------------------------------------


@pytest.fixture
def older(fresh_database, kind):
    """An archive from before it kept former versions, with two rows of which one was changed."""
    engine = postgresql_engine(fresh_database)
    with engine.begin() as connection:
        connection.exec_driver_sql(OLDER.replace("%", "%%"))
    engine.dispose()
    found = Archive(fresh_database, is_set_up=True)
    found.insert("a.fits", "b.fits", nframes=1)
    found.change("a.fits", nframes=2)
    yield found
    found.close()


def test_an_archive_without_a_history_is_followed_and_its_past_refused(older, tmp_path):
    client = Client(tmp_path / "client.db", older)
    client.sync()
    older.change("a.fits", nframes=3)
    assert client.sync().changed == 1
    assert client.rows() == older.rows()
    with closing(older.remote()) as remote, pytest.raises(ConfigurationError, match="keeps no history"):
        remote.database.as_of("2026-01-02T03:04:05.000000").query()
    client.database.close()


def test_an_upgrade_begins_the_history_for_all_who_could_read_and_asks_them_to_read_once(older, tmp_path):
    reader = older.role(f"GRANT SELECT ON {TABLE}, {TABLE}_feed TO {{}}")
    client = Client(tmp_path / "client.db", older)
    client.sync(reader)
    assert f'CREATE TABLE "{TABLE}_history"' in "".join(planned(older.engine, Survey).script)
    initialise(older.engine, Survey)
    assert planned(older.engine, Survey).statements == []
    assert [(entry.op, entry.why) for entry in older.entries()[-2:]] == [("begun", "upgraded"), ("resweep", None)]
    older.change("b.fits", nframes=5)
    assert client.sync(reader).full
    assert [(origin, nframes) for _, origin, _, nframes in versions(client)] == [("REMOTE", 1)]
    begun = moment(older.entries()[-3].at)
    assert {row["nframes"] for row in remote_rows(client, begun).values()} == {1, 2}
    with pytest.raises(ConfigurationError, match=f"begins at {begun}"):
        remote_rows(client, moment(older.entries()[-3].at, -1))
    client.database.close()


# -- what a sync brings --------------------------------------------------------------------------------------------


def test_a_new_client_gets_the_whole_history_and_a_sync_what_is_new_of_it(archive, client, monkeypatch):
    archive.small_batches(monkeypatch, 2)
    (identifier,) = archive.insert("a.fits", nframes=1)
    for number in (2, 3, 4):
        archive.change("a.fits", nframes=number)
    archive.delete("a.fits")
    client.sync()
    assert [nframes for *_, nframes in versions(client)] == [1, 2, 3, 4]
    archive.insert("a.fits", id=identifier, nframes=5)
    archive.change("a.fits", nframes=6)
    client.sync()
    assert [nframes for *_, nframes in versions(client)] == [1, 2, 3, 4, 5]
    assert [n for n, *_ in entries(client)] == [entry.n for entry in archive.entries()]


def test_what_a_copy_knows_ends_with_its_sync_and_is_not_said_while_all_is_read_anew(archive, client, monkeypatch):
    archive.insert("a.fits", "b.fits", "c.fits")
    client.sync()
    first = known_until(client)
    assert first > moment(archive.entries()[-1].at)
    client.sync()
    assert known_until(client) > first
    archive.small_batches(monkeypatch, 1)
    fails_at(monkeypatch, "FETCH")
    with pytest.raises(RemoteUnavailableError):
        client.sync(full=True)
    assert known_until(client) is None
    monkeypatch.undo()
    client.sync()
    assert known_until(client) > first


def fails_at(monkeypatch: pytest.MonkeyPatch, word: str, times: int = 1) -> list[str]:
    """Let a reading fail at a question, and give what was asked of the feed."""
    ask, left, asked = postgres_table.PostgresSource.fetch, [times], []

    def fetch(source: Any, sql: str, *parameters: Any) -> Any:
        if "WHERE n > " in sql:
            asked.append(parameters[0][0])
        if sql.startswith(word):
            left[0] -= 1
            if left[0] < 0:
                raise RemoteUnavailableError("The line is cut.", "Try again.", host="here")
        return ask(source, sql, *parameters)

    monkeypatch.setattr(postgres_table.PostgresSource, "fetch", fetch)
    return asked


def test_a_history_that_was_read_in_part_is_read_on_from_there(archive, client, monkeypatch):
    for number in range(8):
        archive.insert(f"{number}.fits")
    archive.small_batches(monkeypatch, 2)
    with monkeypatch.context() as patch:
        fails_at(patch, "SELECT n, id", 3)
        with pytest.raises(RemoteUnavailableError):
            client.sync()
    assert 0 < len(entries(client)) < 9
    last = entries(client)[-1][0]
    asked = fails_at(monkeypatch, "nothing")
    client.sync()
    assert asked[0] == last
    assert [n for n, *_ in entries(client)] == list(range(1, 10))


def test_a_history_that_an_older_version_followed_without_is_read_anew(archive, client):
    archive.insert("a.fits", nframes=1)
    client.sync()
    archive.change("a.fits", nframes=2)
    client.sync()
    client.execute(f"DELETE FROM {TABLE}_history")  # which it has not kept
    client.execute(f"UPDATE {TABLE}_sync SET revision = revision + 1")
    result = client.sync()
    assert (result.full, result.changed) == (False, 0)
    assert [nframes for *_, nframes in versions(client)] == [1]


def test_a_former_version_comes_in_form_or_not_at_all(archive, client):
    archive.insert("a.fits")
    archive.execute(f"ALTER TABLE {TABLE} DROP CONSTRAINT koa_quality")
    for quality in ("bad", "nonsense", "GOOD"):
        archive.change("a.fits", quality=quality)
    client.sync()
    assert [quality for _, _, quality, _ in versions(client)] == ["UNKNOWN", "BAD"]


# -- what was here before it was there -------------------------------------------------------------------------------


def test_a_publisher_sees_its_own_past_and_agrees_with_all_from_the_publication_on(archive, client, new_client):
    mine = client.add_local("a.fits", checksum="sha256:a", nframes=1)
    client.execute(f"UPDATE {TABLE} SET nframes = 2")
    client.publish()
    added = archive.entries()[-1]
    assert (added.op, added.id) == ("added", mine.id)
    client.sync()
    other = new_client()
    other.sync()
    before, after = moment(added.at, -1), moment(added.at)
    (record,) = known_at(client, before)
    assert (record.origin, record.nframes) == ("LOCAL", 2)
    assert remote_rows(other, before) == remote_rows(client, before) == {}
    assert remote_rows(other, after) == remote_rows(client, after) == {mine.id: archive.rows()["a.fits"]}


def test_a_record_that_was_published_and_found_by_a_sync_was_local_until_then(archive, client):
    mine = client.add_local("a.fits", checksum="sha256:a")
    archive.insert("a.fits", id=mine.id, checksum="sha256:a")
    client.sync()
    added = archive.entries()[-1].at
    assert [record.origin for record in known_at(client, moment(added, -1))] == ["LOCAL"]
    assert [record.origin for record in known_at(client, moment(added))] == ["REMOTE"]


def test_a_flag_keeps_the_former_version_at_once_and_the_next_sync_no_second_one(archive, client):
    (identifier,) = archive.insert("a.fits", quality="GOOD")
    client.sync()
    flag(client.database, archive.remote(), identifier, "BAD", "a trail", "ann")
    kept = versions(client)
    assert [(origin, quality) for _, origin, quality, _ in kept] == [("REMOTE", "GOOD")]
    told = entries(client)
    client.sync()
    assert (versions(client), entries(client)) == (kept, told)


# -- asking the archive itself -------------------------------------------------------------------------------------


class Dark(CalibrationSelector):
    """The nearest dark."""

    cal_type = "dark"


@pytest.mark.parametrize("kind", KINDS)
def test_a_selection_from_the_archive_is_that_of_then(archive, tmp_path, monkeypatch):
    monkeypatch.setattr(Survey, "selectors", {}, raising=False)
    archive.insert("near.fits", mjd_start=61042.0, datetime_obs="2026-01-02T00:00:00.000")
    archive.insert("far.fits", mjd_start=61040.0, datetime_obs="2025-12-31T00:00:00.000")
    good = moment(archive.entries()[-1].at)
    archive.change("near.fits", quality="BAD")
    archive.delete("far.fits")
    frames = [{"mjd_start": 61042.1}, {"mjd_start": 61040.1}]
    with CalibrationStore(Survey, tmp_path, remote_database_url=getattr(archive, "http_url", archive.url)) as store:
        store.sync_from_remote()
        for source in ("local", "remote"):
            found = store.select_many(frames, Dark, source=source, as_of=good)
            assert [record.filename for record in found] == ["near.fits", "far.fits"]
            assert found[0].choice.as_of == good
            with pytest.raises(CalibrationNotFoundError, match="BAD"):
                store.select(frames[0], Dark, source=source)
        for asked in ("2026-01-01T00:00:00", "2999-01-01T00:00:00"):
            with pytest.raises(ConfigurationError, match=asked) as caught:
                store.select(frames[0], Dark, source="remote", as_of=asked)
            assert caught.value.setting == "as_of"


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_store_judges_itself_holds_at_the_archive_from_then_on(archive, tmp_path):
    archive.insert("near.fits", "far.fits")
    with CalibrationStore(Survey, tmp_path, remote_database_url=getattr(archive, "http_url", archive.url)) as store:
        store.sync_from_remote()
        before = store.remote_db.as_of(known_until_of(store))
        store.flag("near.fits", "BAD", "stars in it", here=True)
        (said,) = store.local_db.judged_here().values()
        store.flag("near.fits", None, "none", here=True)
        assert before.judged_here() == {}
        then = store.remote_db.as_of(said.at)
        assert [each.quality for each in then.judged_here().values()] == ["BAD"]


def known_until_of(store: CalibrationStore[Survey]) -> str:
    """Up to when a store knows the archive."""
    with store.local_db.driver_connection() as connection:
        return str(StateTable(connection, TABLE).load().known_until)


def test_sql_of_ones_own_asks_for_the_state_too(archive):
    archive.insert("a.fits", nframes=1)
    then = moment(archive.entries()[-1].at)
    archive.change("a.fits", nframes=2)
    asked = f"SELECT nframes FROM {TABLE}"
    wordings = [asked, f"WITH RECURSIVE found AS ({asked}) SELECT * FROM found;", f"({asked}) LIMIT 1"]
    with closing(archive.remote()) as remote, remote.database.as_of(then).session_manager() as session:
        assert [session.execute(text(wording)).scalar() for wording in wordings] == [1, 1, 1]
