"""The feed: each change of a row is an entry, in order; a judgement says who and why."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from koa_middleware import CalibrationNotFoundError
from koa_middleware.database.feed import Judgement, feed_paused, judgements_of, write_flag
from koa_middleware.database.local import LocalDatabase
from sqlalchemy import text

from tests.conftest import DemoCalibration, record

Database = LocalDatabase[DemoCalibration]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = LocalDatabase(DemoCalibration, tmp_path / "demo.db")
    yield made
    made.close()


def entries(database: Database, columns: str = "n, id, op, quality") -> list[Any]:
    with closing(sqlite3.connect(database.path)) as connection:
        return connection.execute(
            f"SELECT {columns} FROM demo_calibrations_feed WHERE op <> 'begun' ORDER BY n"
        ).fetchall()


def run(database: Database, *statements: str) -> None:
    with database.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))


def judgements(database: Database, id: str) -> list[Judgement]:
    with database.connect() as connection:
        return judgements_of(connection, DemoCalibration, id)


def flag(database: Database, id: str, quality: str, why: str) -> None:
    with database.begin() as connection:
        write_flag(connection, DemoCalibration, id, quality, why, "ann")


def test_each_change_is_an_entry_with_the_quality_after_it(database: Database) -> None:
    database.add([record("a.fits", id="a"), record("b.fits", id="b", quality="BAD")])
    run(database, "UPDATE demo_calibrations SET lamp = 'thar' WHERE id = 'a'")
    run(database, "UPDATE demo_calibrations SET quality = 'UNKNOWN'", "DELETE FROM demo_calibrations WHERE id = 'b'")
    assert entries(database) == [
        (1, "a", "added", "GOOD"),
        (2, "b", "added", "BAD"),
        (3, "a", "changed", "GOOD"),
        (4, "a", "changed", "UNKNOWN"),
        (5, "b", "changed", "UNKNOWN"),
        (6, "b", "withdrawn", None),
    ]


def test_a_row_that_gets_another_id_is_withdrawn_and_added(database: Database) -> None:
    database.add(record("a.fits", id="a"))
    run(database, "UPDATE demo_calibrations SET id = 'z'")
    assert entries(database)[1:] == [(2, "a", "withdrawn", None), (3, "z", "added", "GOOD")]


def test_what_is_rolled_back_is_no_entry(database: Database) -> None:
    def failing() -> None:
        with database.begin() as connection:
            connection.execute(text("DELETE FROM demo_calibrations"))
            raise ZeroDivisionError

    database.add(record("a.fits", id="a"))
    with pytest.raises(ZeroDivisionError):
        failing()
    assert entries(database) == [(1, "a", "added", "GOOD")]


def test_an_entry_has_the_time_utc_and_a_token_of_its_own(database: Database) -> None:
    before = datetime.now(UTC).replace(tzinfo=None)
    database.add([record(f"{n}.fits") for n in range(50)])
    after = datetime.now(UTC).replace(tzinfo=None)
    found = entries(database, "at, token")
    assert len({token for _, token in found}) == 50
    assert {len(token) for _, token in found} == {32}
    assert {len(at) for at, _ in found} == {len(before.isoformat(timespec="microseconds"))}
    assert all(before.isoformat(timespec="milliseconds") <= at <= after.isoformat() for at, _ in found)


def test_the_feed_can_be_paused_in_a_transaction_and_goes_on_after_its_end_or_rollback(database: Database) -> None:
    def without_entries(end: str) -> None:
        with database.driver_connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            with feed_paused(connection, DemoCalibration):
                connection.execute("UPDATE demo_calibrations SET lamp = 'thar'")
            connection.execute(end)

    database.add(record("a.fits", id="a"))
    without_entries("COMMIT")
    without_entries("ROLLBACK")
    with database.driver_connection() as connection:
        connection.execute("BEGIN IMMEDIATE")
        with pytest.raises(ZeroDivisionError), feed_paused(connection, DemoCalibration):
            raise ZeroDivisionError
        connection.execute("ROLLBACK")
    run(database, "DELETE FROM demo_calibrations")
    assert entries(database) == [(1, "a", "added", "GOOD"), (2, "a", "withdrawn", None)]


def test_a_flag_is_one_entry_that_says_who_and_why(database: Database) -> None:
    database.add([record("a.fits", id="a"), record("b.fits", id="b")])
    flag(database, "a", "BAD", " light leak ")
    flag(database, "b", "UNKNOWN", "who knows")
    flag(database, "a", "GOOD", "was none")
    assert entries(database, "id, op, quality, who, why")[2:] == [
        ("a", "flagged", "BAD", "ann", "light leak"),
        ("b", "flagged", "UNKNOWN", "ann", "who knows"),
        ("a", "flagged", "GOOD", "ann", "was none"),
    ]
    assert [judgement[:3] for judgement in judgements(database, "a")] == [
        ("BAD", "ann", "light leak"),
        ("GOOD", "ann", "was none"),
    ]
    assert database.query_by_id("a").quality == "GOOD"


def test_a_flag_of_what_was_removed_meanwhile_is_said_and_changes_no_entry(database: Database) -> None:
    database.add(record("a.fits", id="a"))
    run(database, "DELETE FROM demo_calibrations")
    before = entries(database)
    with pytest.raises(CalibrationNotFoundError, match="'a' was removed"):
        flag(database, "a", "BAD", "light leak")
    assert entries(database) == before


def test_flags_of_an_older_version_are_taken_over_in_their_order(database: Database) -> None:
    database.add(record("a.fits", id="a"))
    columns = "calibration_id VARCHAR, quality VARCHAR, reason VARCHAR, flagged_by VARCHAR, flagged_at VARCHAR"
    run(
        database,
        f"CREATE TABLE demo_flags ({columns})",
        "INSERT INTO demo_flags VALUES ('a', 'BAD', 'light leak', 'ann', '2026-02-03T00:00:00.000000')",
        "INSERT INTO demo_flags VALUES ('b', 'BAD', 'cosmic rays', 'bob', '2026-02-02T00:00:00.000000')",
        "INSERT INTO demo_flags VALUES ('a', 'GOOD', 'was none', 'bob', '2026-02-04T00:00:00.000000')",
    )
    LocalDatabase(DemoCalibration, database.path).close()
    assert judgements(database, "a") == [
        Judgement("BAD", "ann", "light leak", "2026-02-03T00:00:00.000000"),
        Judgement("GOOD", "bob", "was none", "2026-02-04T00:00:00.000000"),
    ]
    assert entries(database, "n, id, op")[1:] == [(2, "a", "flagged"), (3, "b", "flagged"), (4, "a", "flagged")]
    with database.connect() as connection:
        assert connection.execute(text("SELECT 1 FROM demo_flags")).first() is None
