"""What the feed of an archive promises to those who follow it: one line of numbers, in the order of the commits."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from contextlib import closing
from itertools import pairwise
from typing import Any

import psycopg2
import pytest
from koa_middleware.exceptions import RemoteUnavailableError
from koa_middleware.remote.local_copy import holds_nothing
from koa_middleware.remote.postgres import publishing
from koa_middleware.remote.protocol import Here
from sqlalchemy import Engine, exc
from survey import Archive, Survey

from tests.conftest import repetitions

TABLE = Survey.table().name
INSERT = (
    f"INSERT INTO {TABLE} (id, filename, cal_type, datetime_obs, mjd_start) "
    "VALUES ('{0}', '{0}.fits', 'dark', '2026-01-02T03:04:05.678', 61042)"
)
AT_ONCE = "SET CONSTRAINTS ALL IMMEDIATE"


def told(archive: Archive) -> list[tuple[int, str, str, str]]:
    """Number, id, what happened and the quality, of all entries but the first, which `remote init` makes."""
    first, *rest = archive.entries()
    assert (first.n, first.id, first.op) == (1, None, "begun")
    return [(entry.n, entry.id, entry.op, entry.quality) for entry in rest]


def run(archive: Archive, level: str, *statements: str) -> None:
    """Run statements in a transaction of an isolation level."""
    with archive.engine.execution_options(isolation_level=level).begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def test_each_change_of_a_row_is_an_entry(archive):
    archive.execute(INSERT.format("a"))
    archive.execute(f"UPDATE {TABLE} SET file_size = 3")
    archive.execute(f"UPDATE {TABLE} SET quality = 'BAD'")
    archive.execute(f"UPDATE {TABLE} SET id = 'b', quality = 'GOOD'")
    archive.execute(INSERT.format("c"), "UPDATE survey_calibrations SET quality = 'BAD' WHERE id = 'c'")
    archive.execute(f"DELETE FROM {TABLE} WHERE id = 'b'")
    assert told(archive) == [
        (2, "a", "added", "UNKNOWN"),
        (3, "a", "changed", "UNKNOWN"),
        (4, "a", "flagged", "BAD"),
        (5, "a", "withdrawn", None),
        (6, "b", "added", "GOOD"),
        (7, "c", "added", "UNKNOWN"),
        (8, "c", "flagged", "BAD"),
        (9, "b", "withdrawn", None),
    ]


def test_an_entry_tells_who_and_why_and_an_update_with_a_reason_is_a_judgement(archive):
    (identifier,) = archive.insert("a.fits", quality="GOOD")
    archive.execute("SET LOCAL koa.who = 'ann'", f"UPDATE {TABLE} SET file_size = 3")
    archive.execute(
        "SET LOCAL koa.who = 'bob'", "SET LOCAL koa.why = 'seen again'", f"UPDATE {TABLE} SET file_size = 4"
    )
    archive.execute(f"UPDATE {TABLE} SET file_size = 5")
    found = [(entry.op, entry.id, entry.who, entry.why) for entry in archive.entries()]
    assert found[1:] == [
        ("added", identifier, "postgres", None),
        ("changed", identifier, "ann", None),
        ("flagged", identifier, "bob", "seen again"),
        ("changed", identifier, "postgres", None),
    ]


def test_what_is_rolled_back_leaves_no_entry_and_no_gap(archive):
    archive.execute(INSERT.format("a"))
    with pytest.raises(exc.IntegrityError):
        archive.execute(INSERT.format("b"), INSERT.format("a"))
    for at_once in ("SELECT 1", AT_ONCE):
        archive.execute(
            INSERT.format(f"first {at_once}"),
            "SAVEPOINT s",
            INSERT.format("gone"),
            at_once,
            "ROLLBACK TO s",
            INSERT.format(f"last {at_once}"),
        )
    with pytest.raises(exc.IntegrityError):
        archive.execute(INSERT.format("b"), AT_ONCE, INSERT.format("a"))
    ids = [(n, row) for n, row, *_ in told(archive)]
    assert ids == [
        (2, "a"),
        (3, "first SELECT 1"),
        (4, "last SELECT 1"),
        (5, f"first {AT_ONCE}"),
        (6, f"last {AT_ONCE}"),
    ]


def test_a_transaction_that_is_open_for_long_hinders_nobody_and_comes_last(archive):
    with archive.transaction() as held:
        held.execute(INSERT.format("held"))
        archive.execute(INSERT.format("quick"))
        archive.execute(f"DELETE FROM {TABLE} WHERE id = 'quick'")
        assert [(n, row) for n, row, *_ in told(archive)] == [(2, "quick"), (3, "quick")]
    assert told(archive)[-1] == (4, "held", "added", "UNKNOWN")


def test_truncating_the_table_withdraws_each_row(archive):
    archive.execute(INSERT.format("a"), INSERT.format("b"))
    archive.execute("SET LOCAL koa.who = 'ann'", f"TRUNCATE {TABLE}", INSERT.format("c"))
    assert told(archive)[2:] == [
        (4, "a", "withdrawn", None),
        (5, "b", "withdrawn", None),
        (6, "c", "added", "UNKNOWN"),
    ]
    assert [entry.who for entry in archive.entries()[3:]] == ["ann"] * 3
    times = [entry.at for entry in archive.entries()]
    assert times == sorted(times)
    assert len(set(times[3:])) == 1


def test_rows_that_come_by_replication_are_told_too(archive):
    archive.execute("SET LOCAL session_replication_role = replica", INSERT.format("a"), INSERT.format("b"))
    archive.execute("SET LOCAL session_replication_role = replica", f"TRUNCATE {TABLE}")
    assert [op for _, _, op, _ in told(archive)] == ["added", "added", "withdrawn", "withdrawn"]


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_a_writer_with_an_older_view_is_refused_and_loses_nothing_by_trying_again(archive, level):
    engine = archive.engine.execution_options(isolation_level=level)
    with pytest.raises(exc.OperationalError, match="could not serialize"), engine.begin() as late:  # noqa: PT012
        late.exec_driver_sql(f"SELECT count(*) FROM {TABLE}")
        archive.execute(INSERT.format("quick"))
        late.exec_driver_sql(INSERT.format("late"))
    assert told(archive) == [(2, "quick", "added", "UNKNOWN")]
    run(archive, level, INSERT.format("late"), AT_ONCE, f"UPDATE {TABLE} SET file_size = 1 WHERE id = 'late'")
    assert told(archive)[1:] == [(3, "late", "added", "UNKNOWN"), (4, "late", "changed", "UNKNOWN")]


def test_a_long_transaction_does_not_read_the_whole_feed_for_each_row(archive):
    archive.insert("first.fits")
    archive.execute("ANALYZE")  # which tells the planner that the feed is short
    archive.fill(3000)
    archive.engine.dispose()
    read = f"SELECT coalesce(seq_tup_read, 0) FROM pg_stat_user_tables WHERE relname = '{TABLE}_feed'"
    time.sleep(1.5)  # until the server has counted
    with archive.engine.connect() as connection:
        assert connection.exec_driver_sql(read).scalar_one() < 3000


def test_the_clock_going_back_does_not_move_an_entry_before_another(archive):
    archive.execute(f"UPDATE {TABLE}_feed SET at = at + interval '1 day'")
    archive.insert("a.fits")
    archive.insert("b.fits", "c.fits")
    times = [entry.at for entry in archive.entries()]
    assert [(later - earlier).microseconds for earlier, later in pairwise(times)] == [1, 1, 0]


def test_a_feed_without_its_lock_takes_nothing_until_it_is_mended(archive):
    archive.execute(f"DELETE FROM {TABLE}_feed_lock")
    with pytest.raises(exc.DBAPIError, match="koa-cal remote init"):
        archive.insert("a.fits")
    assert archive.rows() == {}


# -- many writers at once ------------------------------------------------------------------------------------------


class Writers:
    """Writers that add, change and withdraw at random, commit late or not at all, and remember what they committed."""

    def __init__(self, engine: Engine, rounds: int) -> None:
        self.engine = engine
        self.rounds = rounds
        self.committed: dict[str, int] = {}  #: entries of each transaction, by its name
        self.failed: list[BaseException] = []

    def write(self, writer: int) -> None:
        """Run the transactions of a writer."""
        chance = random.Random(writer)
        try:
            for number in range(self.rounds):
                self._transact(chance, f"{writer}-{number}")
        except BaseException as error:
            self.failed.append(error)
            raise

    def _transact(self, chance: random.Random, name: str) -> None:
        level = chance.choice(["READ COMMITTED"] * 3 + ["REPEATABLE READ", "SERIALIZABLE"])
        try:
            with self.engine.execution_options(isolation_level=level).connect() as connection:
                connection.exec_driver_sql(f"SET LOCAL koa.who = '{name}'")
                entries = sum(self._change(chance, connection) for _ in range(chance.randint(1, 5)))
                if chance.random() < 0.2:
                    connection.rollback()
                    return
                connection.commit()
            self.committed[name] = entries
        except exc.OperationalError as error:  # a deadlock, or another was quicker
            assert error.orig.pgcode in {"40001", "40P01"}, error  # noqa: PT017

    @staticmethod
    def _change(chance: random.Random, connection: Any) -> int:
        row = chance.randint(1, 40)
        done = connection.exec_driver_sql(
            chance.choice(
                [
                    f"{INSERT.format(row)} ON CONFLICT DO NOTHING",
                    f"UPDATE {TABLE} SET quality = '{chance.choice(['GOOD', 'BAD'])}' WHERE id = '{row}'",
                    f"DELETE FROM {TABLE} WHERE id = '{row}'",
                ]
            )
        ).rowcount
        what = chance.random()
        if what < 0.1:
            connection.exec_driver_sql(f"SAVEPOINT s; {INSERT.format(f'gone-{row}')}; {AT_ONCE}; ROLLBACK TO s")
        elif what < 0.2:
            connection.exec_driver_sql(f"{AT_ONCE}; SET CONSTRAINTS ALL DEFERRED")
        elif what < 0.6:
            time.sleep(chance.random() * 0.02)
        return int(done)


class View:
    """What one look shows: all entries and all rows."""

    def __init__(self, engine: Engine) -> None:
        with engine.execution_options(isolation_level="REPEATABLE READ").connect() as connection:
            found = connection.exec_driver_sql(
                f"SELECT n, id, op, quality, at, who, token FROM {TABLE}_feed ORDER BY n"
            )
            self.entries = list(found)
            self.rows = dict(connection.exec_driver_sql(f"SELECT id, quality FROM {TABLE}").all())

    def told_rows(self) -> dict[str, str]:
        """Rows as the entries tell them."""
        rows: dict[str, str] = {}
        for entry in self.entries[1:]:
            rows[entry.id] = entry.quality
            if entry.op == "withdrawn":
                del rows[entry.id]
        return rows


def test_whoever_sees_an_entry_sees_all_that_came_before_it_whatever_the_writers_do(archive):
    writers = Writers(archive.engine, repetitions(25, 500))
    threads = [threading.Thread(target=writers.write, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    views = [View(archive.engine)]
    while any(thread.is_alive() for thread in threads):
        views.append(View(archive.engine))
    for thread in threads:
        thread.join()
    assert writers.failed == []
    last = View(archive.engine)
    for view in [*views, last]:
        assert view.entries == last.entries[: len(view.entries)]
        assert view.rows == view.told_rows()
    assert [entry.n for entry in last.entries] == list(range(1, len(last.entries) + 1))
    for earlier, later in pairwise(last.entries[1:]):
        assert (earlier.at == later.at) if earlier.who == later.who else (earlier.at < later.at)
    assert len({entry.token for entry in last.entries}) == len(last.entries)
    who = [entry.who for entry in last.entries[1:]]
    assert Counter(who) == {name: entries for name, entries in writers.committed.items() if entries}
    assert 1 + sum(one != other for one, other in pairwise(who)) == len(set(who)), (
        "each transaction's numbers are one run"
    )


# -- a feed that is locked -----------------------------------------------------------------------------------------


def publish(archive: Archive, name: str, upload: Any = None) -> None:
    """Publish a record."""
    record = Survey(filename=name, cal_type="dark", datetime_obs="2026-01-02T03:04:05.678")
    with closing(archive.remote()) as remote:
        remote.publish([record.to_dict()], {}, upload, Here(lambda name: False, holds_nothing), "ann")


@pytest.fixture
def prepared(archive):
    """A transaction that is prepared and left, so that it holds the feed."""
    driver = psycopg2.connect(archive.url)
    driver.set_session(autocommit=True)
    with closing(driver), driver.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute(INSERT.format("prepared"))
        cursor.execute("PREPARE TRANSACTION 'left'")
        yield
        cursor.execute("COMMIT PREPARED 'left'")


def test_a_prepared_transaction_lets_writers_give_up_after_a_while_and_change_nothing(archive, monkeypatch, request):
    (identifier,) = archive.insert("a.fits", quality="GOOD")
    request.getfixturevalue("prepared")
    monkeypatch.setattr(publishing, "LONGEST_WAIT", 0.3)
    with pytest.raises(RemoteUnavailableError, match="another transaction"):
        publish(archive, "b.fits")
    with closing(archive.remote()) as remote, pytest.raises(RemoteUnavailableError, match="pg_prepared_xacts"):
        remote.flag(identifier, "BAD", "why", "ann")
    assert {name: row["quality"] for name, row in archive.rows().items()} == {"a.fits": "GOOD"}


def test_a_publisher_waits_for_another_that_uploads_however_long_it_takes(archive, monkeypatch):
    monkeypatch.setattr(publishing, "LONGEST_WAIT", 0.3)
    uploading = threading.Event()

    def upload(files):
        uploading.set()
        time.sleep(1)

    publisher = threading.Thread(target=publish, args=(archive, "slow.fits", upload))
    publisher.start()
    assert uploading.wait(10)
    publish(archive, "patient.fits")
    publisher.join()
    ids = {row["id"]: name for name, row in archive.rows().items()}
    assert [(ids[entry.id], entry.who) for entry in archive.entries()[1:]] == [
        ("slow.fits", "ann"),
        ("patient.002.fits", "ann"),
    ]
