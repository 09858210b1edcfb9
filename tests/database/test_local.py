from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from koa_middleware import (
    CacheError,
    CalibrationNotFoundError,
    ConfigurationError,
    DuplicateCalibrationError,
    HeaderError,
    SchemaMismatchError,
    UnsafeFilenameError,
)
from koa_middleware.database.local import LocalDatabase
from sqlalchemy import func, select, text

from tests.conftest import DemoCalibration, output_of, record, repetitions, run_processes

Database = LocalDatabase[DemoCalibration]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = LocalDatabase(DemoCalibration, tmp_path / "demo.db")
    yield made
    made.close()


def names(records: list[DemoCalibration]) -> list[str]:
    return [each.filename for each in records]


# -- adding ------------------------------------------------------------------------------------------------------------


def test_one_record_or_many_are_added_and_counted(database: Database) -> None:
    assert (len(database), bool(database), database.get_last_updated()) == (0, True, None)
    database.add(record("a.fits"))
    database.add([record("b.fits"), record("c.fits")])
    database.add(each for each in [record("d.fits")])
    database.add([])
    assert len(database) == database.count() == 4
    assert database.count("dark", filename="a.fits") == 1


def test_an_added_record_is_what_is_stored(database: Database) -> None:
    made = record("a.fits", lamp="ThAr ", quality="good", amplifiers=None)
    database.add(made)
    assert database.query_by_id(made.id).to_dict() == made.to_dict()
    assert database.query_by_filename("a.fits").to_dict() == made.to_dict()
    assert (made.lamp, made.quality, made.origin, made.cal_version) == ("thar", "GOOD", "LOCAL", "001")


def test_the_database_stamps_the_time_at_which_it_takes_a_row_in(database: Database) -> None:
    before = datetime.now(UTC).replace(tzinfo=None).isoformat(timespec="microseconds")
    made = record("a.fits", last_updated="1999-01-01T00:00:00.000000")
    database.add(made)
    assert made.last_updated is not None
    assert made.last_updated >= before
    assert database.get_last_updated() == made.last_updated
    assert len(made.last_updated) == len("2026-01-01T00:00:00.000000")


@pytest.mark.parametrize("clash", ["id", "filename", "filename in the batch", "id in the batch"])
def test_a_batch_with_a_duplicate_is_refused_whole(database: Database, clash: str) -> None:
    first = record("a.fits")
    database.add(first)
    second = record("b.fits")
    third = {
        "id": record("c.fits", id=first.id),
        "filename": record("a.fits"),
        "filename in the batch": record("b.fits"),
        "id in the batch": record("c.fits", id=second.id),
    }[clash]
    with pytest.raises(DuplicateCalibrationError, match=f"{third.filename} is already in") as caught:
        database.add([second, third])
    assert caught.value.filename == third.filename
    assert names(database.query()) == ["a.fits"]


def test_a_record_that_lacks_something_is_refused(database: Database) -> None:
    for lacking in ("cal_type", "filename", "mjd_start"):
        made = record("a.fits")
        setattr(made, lacking, None)
        if lacking == "mjd_start":
            made.datetime_obs = None  # type: ignore[assignment]
        with pytest.raises(HeaderError, match=f"{lacking}|datetime_obs"):
            database.add([record("b.fits"), made])
    unsafe = record("a.fits")
    unsafe.filename = "../a.fits"
    with pytest.raises(UnsafeFilenameError):
        database.add([record("b.fits"), unsafe])
    assert len(database) == 0


def test_a_thousand_rows_are_one_insert(database: Database) -> None:
    commits = []
    with database.connect() as connection:
        connection.connection.dbapi_connection.set_trace_callback(commits.append)  # type: ignore[union-attr]
    database.add([record(f"{n}.fits") for n in range(1000)])
    assert [line for line in commits if line.startswith(("BEGIN", "COMMIT"))] == ["BEGIN IMMEDIATE", "COMMIT"]
    assert len(database) == 1000


def test_sql_of_ones_own_that_breaks_a_rule_is_told_of_that_rule(database: Database) -> None:
    database.add([record("a.fits"), record("b.fits")])
    for setting, said, hint in (
        ("cal_type = NULL", r"NOT NULL.*cal_type", "Give the row that value"),
        ("filename = 'a.fits'", r"UNIQUE.*filename", "Correct the row"),
    ):
        with pytest.raises(CacheError, match=said) as caught, database.session_manager() as session:
            session.execute(text(f"UPDATE demo_calibrations SET {setting}"))
        assert hint in caught.value.hint
    assert sorted(names(database.query("dark"))) == ["a.fits", "b.fits"]


# -- queries -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def filled(database: Database) -> Database:
    days = ["2026-02-11T23:59:59.999", "2026-02-12T00:00:00.000", "2026-02-12T12:00:00", "2026-02-12T23:59:59.999"]
    moments = [*days, "2026-02-13T00:00:00"]
    made = [DemoCalibration(filename=f"{n}.fits", cal_type="dark", datetime_obs=t) for n, t in enumerate(moments)]
    database.add([*reversed(made), record("flat.fits", cal_type="flat", lamp="ThAr", amplifiers=4)])
    return database


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (None, None, "01234"),
        ("2026-02-12", None, "1234"),
        (None, "2026-02-12", "0123"),
        ("2026-02-12", "2026-02-12", "123"),
        ("2026-02-12T12:00:00", "2026-02-12T12:00:00", "2"),
        ("2026-02-12 00:00", "2026-02-12 12:00", "12"),
        (datetime(2026, 2, 12), datetime(2026, 2, 12, 12), "12"),
        (date(2026, 2, 12), date(2026, 2, 12), "123"),
        (datetime(2026, 2, 12, 2, tzinfo=timezone(timedelta(hours=2))), "2026-02-12T14:00:00+02:00", "12"),
    ],
)
def test_bounds_of_time_are_inclusive_and_an_end_without_a_clock_is_the_whole_day(
    filled: Database, start: Any, end: Any, expected: str
) -> None:
    assert names(filled.query("dark", start, end)) == [f"{n}.fits" for n in expected]
    assert filled.count("dark", start, end) == len(expected)


def test_an_end_before_the_start_is_refused(filled: Database) -> None:
    with pytest.raises(ConfigurationError, match="Give the earlier time as the start"):
        filled.query("dark", "2026-02-14", "2026-02-10")


def test_columns_are_compared_in_their_normal_form_and_none_is_null(filled: Database) -> None:
    assert names(filled.query("FLAT ")) == ["flat.fits"]
    assert names(filled.query(lamp="THAR  ", amplifiers="4")) == ["flat.fits"]
    assert len(filled.query(lamp=None)) == 5
    assert len(filled.query(lamp="")) == 5
    assert filled.query("wls") == []


def test_several_values_of_a_column_mean_any_of_them(filled: Database) -> None:
    everything = filled.query()
    darks, flats = filled.query("dark"), filled.query("flat")
    assert len(filled.query(["dark", "FLAT "])) == len(darks) + len(flats)
    assert len(filled.query(("dark",), lamp=[None, "ThAr"])) == len(
        [each for each in darks if each.lamp in {None, "thar"}]
    )
    assert names(filled.query({b"flat"}, lamp=np.array(["thar"]))) == ["flat.fits"]
    assert filled.query([]) == []
    assert len(filled.query()) == len(everything) == filled.count()
    with pytest.raises(HeaderError, match="four"):
        filled.query(amplifiers=[4, "four"])


def test_bounds_may_lie_beyond_the_years_of_observations_and_be_a_time(filled: Database) -> None:
    from astropy.time import Time

    assert len(filled.query(date_time_start="0001-01-01", date_time_end="9999-12-31")) == len(filled.query())
    start = filled.query()[1].datetime_obs
    assert names(filled.query(date_time_start=Time(start).tai)) == names(filled.query(date_time_start=start))


def test_an_unknown_column_or_value_is_an_error(filled: Database) -> None:
    for call in (filled.query, filled.count):
        with pytest.raises(HeaderError, match=r"no column lampe.*lamp") as caught:
            call(lampe="thar")
        assert caught.value.column == "lampe"
        with pytest.raises(HeaderError, match="four"):
            call(amplifiers="four")
        with pytest.raises(HeaderError, match="yesterday"):
            call(date_time_start="yesterday")


@pytest.mark.parametrize("asked", ["a\udc80.fits", b"\xff.fits", "a\0.fits", ["a\udc80", "near.fits"]], ids=ascii)
@pytest.mark.parametrize("column", ["filename", "spectrograph", "cal_type"])
def test_what_is_no_text_is_said_and_not_asked_for(filled: Database, column: str, asked: Any) -> None:
    for call in (filled.query, filled.count):
        with pytest.raises(HeaderError, match=f"^The {column} of the query is .* not valid text"):
            call(**{column: asked})


def test_a_type_that_neither_the_class_nor_a_record_has_is_an_error(filled: Database) -> None:
    for call in (filled.query, filled.count):
        with pytest.raises(
            ConfigurationError, match=r"'drak'.* Did you mean dark\? Its types are bias, dark, flat, wls"
        ):
            call(["flat", "Drak"])
    assert filled.query("flat", lamp="none of this name") == []
    with filled.begin() as connection:
        connection.execute(text("UPDATE demo_calibrations SET cal_type = 'drak' WHERE filename = '1.fits'"))
    assert names(filled.query("drak")) == ["1.fits"]


def test_the_newest_are_the_last_of_all(filled: Database) -> None:
    everything = names(filled.query())
    for newest in (0, 1, 3, 100):
        assert names(filled.query(newest=newest)) == everything[len(everything) - min(newest, 6) :]


@settings(max_examples=repetitions(20, 1000))
@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from("abcdefgh")), max_size=8, unique_by=lambda row: row[1]))
def test_records_come_by_time_then_id(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, str]]) -> None:
    folder = tmp_path_factory.mktemp("order")
    database = LocalDatabase(DemoCalibration, folder / "demo.db")
    database.add([record(f"{name}.fits", 60000.0 + day, id=name) for day, name in rows])
    assert [each.id for each in database.query()] == [name for _, name in sorted(rows)]
    database.close()


def test_no_such_id_or_file_name_is_an_error_that_names_it(filled: Database) -> None:
    for call in (filled.query_by_id, filled.query_by_filename):
        with pytest.raises(CalibrationNotFoundError, match="'nonsense'"):
            call("nonsense")


# -- sessions and transactions -----------------------------------------------------------------------------------------


def test_a_session_is_committed_at_its_end_and_rolled_back_on_an_error(filled: Database) -> None:
    with filled.session_manager() as session:
        row = session.scalars(select(DemoCalibration).where(DemoCalibration.filename == "1.fits")).one()
        row.quality = "BAD"
    assert row.quality == "BAD"
    assert filled.query_by_filename("1.fits").quality == "BAD"

    def failing() -> None:
        with filled.session_manager() as session:
            session.execute(text("DELETE FROM demo_calibrations"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        failing()
    assert len(filled) == 6


def test_readers_hold_no_lock_that_a_writer_waits_for(filled: Database, tmp_path: Path) -> None:
    other = LocalDatabase(DemoCalibration, tmp_path / "demo.db")
    filled.query()
    with filled.connect() as connection:
        connection.execute(select(func.count()).select_from(DemoCalibration.table())).all()
        with sqlite3.connect(tmp_path / "demo.db", timeout=0) as raw:
            raw.execute("UPDATE demo_calibrations SET quality = 'GOOD'")
        raw.close()
        assert connection.execute(select(DemoCalibration.table().c.quality)).scalars().first() == "GOOD"
    other.close()


def test_a_reader_that_meets_a_commit_reads_when_it_is_done(filled: Database, tmp_path: Path) -> None:
    before = len(filled.query())
    with closing(sqlite3.connect(tmp_path / "demo.db", isolation_level=None, check_same_thread=False)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        writer.execute("DELETE FROM demo_calibrations")
        end = threading.Timer(0.2, writer.execute, ["COMMIT"])
        end.start()
        assert len(filled.query()) < before
        end.join()


def test_the_journal_is_one_that_works_on_network_file_systems(database: Database) -> None:
    with database.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "delete"


def test_conflicts_are_listed_by_file_name_and_one_is_found_by_its_id(database: Database) -> None:
    rows = [record("b.fits", id="2"), record("a.fits", id="3"), record("a.fits", id="1")]
    values = [(row.id, row.filename, "a LOCAL record has this file name", json.dumps(row.to_dict())) for row in rows]
    with database.driver_connection() as connection:
        insert = "INSERT INTO demo_calibrations_conflicts (id, filename, reason, record) VALUES (?, ?, ?, ?)"
        connection.executemany(insert, values)
    assert [(each.filename, each.id) for each in database.conflicts()] == [
        ("a.fits", "1"),
        ("a.fits", "3"),
        ("b.fits", "2"),
    ]
    (conflict,) = database.conflicts("3")
    assert conflict.record == rows[1].to_dict()
    assert list(conflict.to_dict()) == ["id", "filename", "reason", "local_id", "record"]
    assert database.conflicts("4") == []
    assert database.query_by_id("2").to_dict() == rows[0].to_dict()


def test_a_spoilt_row_that_is_kept_apart_is_told_as_it_stands(database: Database) -> None:
    with database.driver_connection() as connection:
        connection.execute("INSERT INTO demo_calibrations_conflicts VALUES ('1', 'a.fits', 'why', NULL, 'no JSON')")
    (conflict,) = database.conflicts()
    assert conflict.to_dict()["record"] == "no JSON"
    with pytest.raises(HeaderError, match=r"cannot be read here.*sync --full"):
        _ = conflict.record


@pytest.mark.parametrize(
    ("stored", "asked"),
    [("d\u00e9faut.fits", "de\u0301faut.fits"), ("Dark.fits", "dARK.fits"), ("\u212aPF.fits", "kpf.FITS")],
)
def test_a_file_name_is_found_however_it_is_written(database: Database, stored: str, asked: str) -> None:
    database.add([record(stored, id="1"), record("other.fits")])
    assert database.query_by_filename(asked).id == database.find(asked).id == "1"
    assert names(database.query(filename=asked)) == names(database.query(filename=[asked, "none.fits"])) == [stored]
    assert database.count(filename=["OTHER.fits", asked]) == 2


def test_a_record_whose_name_some_disk_takes_for_one_that_is_there_is_refused(database: Database) -> None:
    database.add(record("d\u00e9faut.fits"))
    for added in ([record("DE\u0301FAUT.fits")], [record("a.fits"), record("A.fits")]):
        with pytest.raises(DuplicateCalibrationError, match=r" as ") as caught:
            database.add(added)
        assert caught.value.filename == added[-1].filename
    assert len(database) == 1


# -- bad databases -----------------------------------------------------------------------------------------------------


def test_a_file_that_is_no_database_is_said_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "demo.db"
    path.write_bytes(b"this is a text file, not a database\n" * 100)
    content = path.read_bytes()
    with pytest.raises(CacheError, match=r"demo\.db.*not a database") as caught:
        LocalDatabase(DemoCalibration, path)
    assert caught.value.path == path
    assert path.read_bytes() == content


def test_what_is_no_file_in_the_place_of_a_database_is_said_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.db")
    (tmp_path / "null.db").symlink_to("/dev/null")
    (tmp_path / "folder.db").mkdir()
    for name, said in (("pipe", "a named pipe"), ("null", "a device"), ("folder", "a folder")):
        with pytest.raises(CacheError, match=rf"{name}\.db cannot be used: it is {said}"):
            LocalDatabase(DemoCalibration, tmp_path / f"{name}.db")


def test_a_damaged_database_is_a_cache_error_whatever_is_asked(filled: Database) -> None:
    filled.add([record(f"more{n}.fits", 61000.0 + n) for n in range(500)])
    filled.close()
    content = bytearray(filled.path.read_bytes())
    content[4096:] = b"\xa5" * (len(content) - 4096)
    filled.path.write_bytes(content)
    for call in (filled.query, filled.count, filled.get_last_updated, lambda: filled.add(record("new.fits"))):
        with pytest.raises(CacheError, match="cannot be used"):
            call()
    with pytest.raises(CacheError, match="cannot be used"), filled.session_manager() as session:
        session.scalars(select(DemoCalibration)).all()


def test_a_database_in_a_missing_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(CacheError, match="unable to open"):
        LocalDatabase(DemoCalibration, tmp_path / "missing" / "demo.db")


def test_a_table_that_lacks_what_every_row_needs_is_said_with_what_it_lacks(tmp_path: Path) -> None:
    path = tmp_path / "demo.db"
    with sqlite3.connect(path) as raw:
        raw.execute("CREATE TABLE demo_calibrations (id TEXT PRIMARY KEY, filename TEXT, cal_type TEXT)")
    raw.close()
    with pytest.raises(SchemaMismatchError, match=r"demo_calibrations.*lacks.*mjd_start") as caught:
        LocalDatabase(DemoCalibration, path)
    assert caught.value.table == "demo_calibrations"
    assert caught.value.missing == ("datetime_obs", "mjd_start")


def test_a_database_without_the_table_of_verified_files_gets_it(tmp_path: Path) -> None:
    path = tmp_path / "demo.db"
    LocalDatabase(DemoCalibration, path).close()
    with sqlite3.connect(path) as raw:
        raw.execute("DROP TABLE demo_verified_files")
    raw.close()
    database = LocalDatabase(DemoCalibration, path)
    with database.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM demo_verified_files").scalar() == 0
    database.close()


def test_a_column_that_the_class_does_not_know_is_left_alone(filled: Database) -> None:
    with sqlite3.connect(filled.path) as raw:
        raw.execute("ALTER TABLE demo_calibrations ADD COLUMN of_tomorrow TEXT DEFAULT 'x'")
    raw.close()
    again = LocalDatabase(DemoCalibration, filled.path)
    again.add(record("new.fits"))
    assert len(again.query()) == 7
    again.close()


def test_many_processes_make_one_database_at_once(tmp_path: Path) -> None:
    script = """
from koa_middleware.database.local import LocalDatabase
from tests.conftest import DemoCalibration, record

def work(number):
    database = LocalDatabase(DemoCalibration, Path(sys.argv[1]) / "demo.db")
    for n in range(5):
        database.add(record(f"{number}-{n}.fits"))
    database.close()
"""
    output_of(run_processes(6, script, tmp_path))
    database = LocalDatabase(DemoCalibration, tmp_path / "demo.db")
    assert len(database) == 30
    database.close()


def test_a_writer_that_waits_too_long_is_told_of_the_other_one(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("koa_middleware.database.sqlite.BUSY_TIMEOUT", 0.05)
    database = LocalDatabase(DemoCalibration, tmp_path / "demo.db")
    with sqlite3.connect(database.path, isolation_level=None) as raw:
        raw.execute("BEGIN EXCLUSIVE")
        with pytest.raises(CacheError, match="Another process or thread has been writing"):
            database.add(record("a.fits"))
        raw.execute("ROLLBACK")
    raw.close()
    database.add(record("a.fits"))
    database.close()


@pytest.mark.parametrize(
    "asked", ["no such id", "", 10**30, None, Path("dark.fits"), "\ud800", "a\0b", b"\xff"], ids=ascii
)
def test_what_cannot_be_an_id_or_a_file_name_finds_nothing(store: Any, asked: Any) -> None:
    for ask in (
        store.get_calibration_by_id,
        store.local_db.query_by_id,
        store.local_db.query_by_filename,
        store.local_db.find,
        lambda name: store.flag(name, "BAD", "a light leak"),
    ):
        with pytest.raises(CalibrationNotFoundError):
            ask(asked)


@pytest.mark.parametrize("bound", [None, "", "  ", float("nan")], ids=ascii)
def test_a_bound_that_says_nothing_bounds_nothing(store: Any, bound: Any) -> None:
    store.local_db.add([record("a.fits", 60000.0), record("b.fits", 60001.0)])
    assert len(store.query(date_time_start=bound, date_time_end=bound)) == 2
