"""A state of the past: what stood there at a time, and what is refused."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from koa_middleware import CalibrationNotFoundError, CalibrationSelector, ConfigurationError
from koa_middleware.choosing.batch import Task, choose_each
from koa_middleware.choosing.own_methods import choose
from koa_middleware.database.feed import write_flag
from koa_middleware.database.local import LocalDatabase
from koa_middleware.instrument.times import now_iso
from sqlalchemy import text

from tests.conftest import DemoCalibration, record, repetitions
from tests.history_oracle import States, as_of, best, same, shifted

Database = LocalDatabase[DemoCalibration]

FRAMES = [{"mjd_start": mjd, "spectrograph": name} for mjd in (60000.2, 60003.1) for name in ("BSPEC", "RSPEC")]
NEAREST = CalibrationSelector(cal_type="dark", match=("spectrograph",))


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = LocalDatabase(DemoCalibration, tmp_path / "demo.db")
    yield made
    made.close()


def run(database: Database, *statements: str) -> None:
    with database.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))


def newest(database: Database) -> str:
    asked = "SELECT max(at) FROM (SELECT at FROM {0}_feed UNION ALL SELECT at FROM {0}_judgements)"
    return str(database.execute(text(asked.format("demo_calibrations")))[0][0])


class Play:
    """Changes a database by numbers that were drawn, and keeps its states beside it."""

    def __init__(self, path: Path) -> None:
        self.path, self.states, self.made = path, States(), 0
        self.database: Database = LocalDatabase(DemoCalibration, path)
        self.gone: list[DemoCalibration] = []
        self.note()

    def note(self) -> None:
        """Keep the present state, where something changed."""
        since = newest(self.database)
        rows = {each.id: each.to_dict() for each in self.database.query()}
        judged = {id_: str(said.quality) for id_, said in self.database.judged_here().items()}
        self.states.note(since, rows, judged)

    def change(self, what: str, number: int, value: int) -> None:
        """Do one thing, in one transaction."""
        there = self.database.query()
        if what == "add":
            made = [self.new(value + each) for each in range(1 + number % 2)]
            self.database.add(made)
        elif what == "again" and self.gone:
            self.database.add(self.gone.pop(number % len(self.gone)))
        elif what == "clock" and number % 5 == 0:
            with closing(sqlite3.connect(self.path)) as connection, connection:  # as by a clock that was set back since
                ahead = "INSERT INTO demo_calibrations_feed (op, at) VALUES ('resweep', ?)"
                connection.execute(ahead, (shifted(newest(self.database), 1_700_000),))
        elif what == "reopen":
            self.database.close()
            self.database = LocalDatabase(DemoCalibration, self.path)
            return
        elif there:
            self.change_one(what, there[number % len(there)], there[value % len(there)], value)
        else:
            return
        self.note()

    def change_one(self, what: str, one: DemoCalibration, other: DemoCalibration, value: int) -> None:
        table, by_id = "demo_calibrations", f"WHERE id = '{one.id}'"
        mjd, name = 60000.0 + value % 7 / 2, ("BSPEC", "RSPEC")[value % 2]
        if what == "flag":
            with self.database.begin() as connection:
                write_flag(connection, DemoCalibration, one.id, ("GOOD", "BAD")[value % 2], "why", "ann")
        elif what == "judge":
            self.database.judge(one, ("GOOD", "BAD")[value % 2], "why", "ann")
        elif what == "values":
            run(
                self.database,
                f"UPDATE {table} SET mjd_start = {mjd}, lamp = 'l{value}', spectrograph = '{name}' {by_id}",
            )
        elif what == "two":
            swapped = f"UPDATE {table} SET filename = '{{}}' WHERE id = '{{}}'"
            names = [swapped.format("x.fits", one.id), swapped.format(one.filename, other.id)]
            run(self.database, *names, swapped.format(other.filename, one.id))
        elif what == "own sql":
            with closing(sqlite3.connect(self.path)) as connection, connection:
                connection.execute(f"UPDATE {table} SET exposure_time = {value}, mjd_start = {mjd} {by_id}")
        elif what == "id":
            self.made += 1
            run(self.database, f"UPDATE {table} SET id = 'n{self.made}' {by_id}")
        else:
            run(self.database, f"DELETE FROM {table} {by_id}")
            values = one.to_dict()
            self.gone.append(record(**{name: values[name] for name in values if name != "datetime_obs"}))

    def new(self, value: int) -> DemoCalibration:
        self.made += 1
        origin, name = ("LOCAL", "REMOTE")[value % 2], ("BSPEC", "RSPEC")[value % 2]
        more = {"id": f"r{self.made}", "origin": origin, "spectrograph": name}
        return record(f"d{self.made}.fits", 60000.0 + value % 9 / 2, **more)


KINDS = [
    "add",
    "add",
    "flag",
    "judge",
    "values",
    "values",
    "two",
    "own sql",
    "id",
    "remove",
    "again",
    "clock",
    "reopen",
]


@settings(max_examples=repetitions(5, 3000))
@given(st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 99), st.integers(0, 99)), min_size=5, max_size=18))
def test_each_time_gives_the_rows_the_selections_and_the_judgements_of_then(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[str, int, int]]
) -> None:
    play = Play(tmp_path_factory.mktemp("past") / "demo.db")
    for change in changes:
        play.change(*change)
    for moment in play.states.moments():
        rows, judged = play.states.at(moment)
        with closing(as_of(play.database, moment)) as past:
            assert same(past.query(), rows)
            assert len(past) == len(rows)
            assert {id_: said.quality for id_, said in past.judged_here().items()} == judged
            wanted = [
                best(rows, judged, "dark", {"spectrograph": each["spectrograph"]}, each["mjd_start"]) for each in FRAMES
            ]
            assert [chosen(past, frame) for frame in FRAMES] == wanted
            together = choose_each([Task(NEAREST, frame) for frame in FRAMES], past)
            assert [getattr(each, "id", None) for each in together] == wanted
            for id_, row in rows.items():
                assert past.find(id_).filename == row["filename"]
                assert past.find(row["filename"].upper()).id == id_
    play.database.close()


def chosen(database: Database, frame: dict[str, Any]) -> str | None:
    try:
        return str(choose(NEAREST, frame, database).id)
    except CalibrationNotFoundError:
        return None


def test_no_time_shows_half_of_a_transaction(database: Database) -> None:
    database.add([record("a.fits", id="a", lamp="one"), record("b.fits", id="b", lamp="one")])
    before = now_iso()
    set_lamp = "UPDATE demo_calibrations SET lamp = '{}' WHERE id = '{}'".format
    run(database, set_lamp("two", "a"), set_lamp("two", "b"), set_lamp("three", "b"), set_lamp("two", "b"))
    with database.session_manager() as session:
        session.execute(text(set_lamp("four", "a")))
        session.execute(text(set_lamp("four", "b")))
    times = {at for (at,) in database.execute(text("SELECT at FROM demo_calibrations_feed WHERE op <> 'begun'"))}
    assert len(times) == 3
    for moment in [before, *times, *(shifted(at, -1) for at in times if shifted(at, -1) >= before)]:
        with closing(as_of(database, moment)) as past:
            assert len({each.lamp for each in past.query()}) == 1


def test_a_change_after_a_state_was_opened_does_not_change_it(database: Database) -> None:
    database.add([record(f"{number}.fits", id=str(number)) for number in range(4)])
    run(database, "UPDATE demo_calibrations SET lamp = 'thar' WHERE id = '0'")
    moment = newest(database)
    with closing(as_of(database, moment)) as past:
        assert [each.lamp for each in past.query()] == ["thar", None, None, None]
        run(database, "UPDATE demo_calibrations SET lamp = 'etalon'", "DELETE FROM demo_calibrations WHERE id = '3'")
        run(database, "UPDATE demo_calibrations SET lamp = 'lfc'")
        assert [each.lamp for each in past.query()] == ["thar", None, None, None]
        assert past.find("3.fits").id == "3"


def test_times_of_which_nothing_is_known_are_refused(database: Database) -> None:
    database.add(record("a.fits"))
    with pytest.raises(ConfigurationError, match=r"2020-01-01T00:00:00.000000 .* begins at 20"):
        as_of(database, "2020-01-01T00:00:00.000000")
    with pytest.raises(ConfigurationError, match="still to come") as caught:
        as_of(database, "2999-01-01T00:00:00.000000")
    assert caught.value.setting == "as_of"


def test_nothing_is_written_into_the_past(database: Database) -> None:
    with closing(as_of(database, now_iso())) as past:
        with pytest.raises(OSError, match="is past"):
            past.add(record("a.fits"))
        with pytest.raises(OSError, match="readonly"), past.session_manager() as session:
            session.execute(text("DELETE FROM main.demo_calibrations"))
