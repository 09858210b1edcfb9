"""Databases of older and newer classes: what is missing is added, what is there is kept."""

from __future__ import annotations

import signal
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from koa_middleware import DuplicateCalibrationError, ORMCalibration, SchemaMismatchError, fits_column
from koa_middleware.database.local import LocalDatabase
from sqlalchemy import Float, Index, Integer, String
from sqlalchemy.orm import Mapped

from tests.conftest import output_of, run_processes, run_python


class Older(ORMCalibration):
    instrument_name = "demo"
    arm: Mapped[str | None] = fits_column("ARM", String)


class Newer(ORMCalibration):
    """Has more columns, and an index on one of them."""

    instrument_name = "demo"
    __table_args__ = (Index(None, "cal_type", "arm", "lamp", "mjd_start"),)
    arm: Mapped[str | None] = fits_column("ARM", String)
    lamp: Mapped[str | None] = fits_column("LAMP", String)
    stacked: Mapped[int] = fits_column("STACKED", Integer, default=1)
    offset: Mapped[float] = fits_column((), Float, default=-1.5)
    reader: Mapped[str] = fits_column((), String, default='it\'s; "fast" 100%')
    night: Mapped[str | None] = fits_column((), String, index=True)
    barcode: Mapped[str | None] = fits_column((), String, unique=True)


class Strict(ORMCalibration):
    """Needs a value that no older row has."""

    instrument_name = "demo"
    arm: Mapped[str | None] = fits_column("ARM", String)
    lamp: Mapped[str | None] = fits_column("LAMP", String)
    night: Mapped[str] = fits_column((), String)
    run: Mapped[str] = fits_column((), String, default=lambda: "made")


def made(orm_class: type[ORMCalibration], name: str, **more: Any) -> Any:
    return orm_class(**{"filename": name, "cal_type": "dark", "mjd_start": 60000.0, "arm": "blue", **more})


def in_database(path: Path, orm_class: type[ORMCalibration], *names: str) -> None:
    database: Any = LocalDatabase(orm_class, path)
    database.add([made(orm_class, name, mjd_start=60000.0 + n) for n, name in enumerate(names)])
    database.close()


def asked(path: Path, sql: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection, connection:
        return connection.execute(sql).fetchall()


def schema(path: Path) -> list[Any]:
    return asked(path, "SELECT type, name, sql FROM sqlite_master ORDER BY rowid")


def as_of_an_older_core(path: Path) -> None:
    """Take away what older cores did not make."""
    for event in ("insert", "update", "delete"):
        asked(path, f"DROP TRIGGER demo_calibrations_feed_{event}")
    for name in ("calibrations_feed", "calibrations_sync", "verified_files", "calibrations_conflicts"):
        asked(path, f"DROP TABLE demo_{name}")
    for name in ("koa_versions", "demo_calibrations_judgements"):
        asked(path, f"DROP TABLE {name}")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "demo.db"


# -- upgrades ----------------------------------------------------------------------------------------------------------


def test_what_a_newer_class_has_is_added_and_every_row_is_kept(path: Path) -> None:
    in_database(path, Older, "a.fits", "b.fits")
    asked(path, "ALTER TABLE demo_calibrations ADD COLUMN of_a_colleague TEXT DEFAULT 'x'")
    before = asked(path, "SELECT id, filename, arm, last_updated, of_a_colleague FROM demo_calibrations")
    database = LocalDatabase(Newer, path)
    first, second = database.query()
    assert (first.filename, second.filename) == ("a.fits", "b.fits")
    assert (first.lamp, first.stacked, first.offset, first.night) == (None, 1, -1.5, None)
    assert first.reader == 'it\'s; "fast" 100%'
    assert asked(path, "SELECT id, filename, arm, last_updated, of_a_colleague FROM demo_calibrations") == before
    database.add(made(Newer, "c.fits", lamp="thar", stacked=7))
    assert database.query(lamp="thar")[0].stacked == 7
    database.close()


def test_a_unique_column_that_is_added_is_unique(path: Path) -> None:
    in_database(path, Older, "a.fits", "b.fits")
    database = LocalDatabase(Newer, path)
    database.add(made(Newer, "c.fits", barcode="1"))
    for batch in ([made(Newer, "d.fits", barcode="1")], [made(Newer, f"{n}.fits", barcode="2") for n in "de"]):
        with pytest.raises(DuplicateCalibrationError, match=r"The barcode of .\.fits is '[12]', which .\.fits has"):
            database.add(batch)
    database.close()


def test_an_upgraded_database_has_the_tables_and_indexes_of_a_fresh_one_in_the_same_order(tmp_path: Path) -> None:
    in_database(tmp_path / "old.db", Older, "a.fits")
    for name in ("old.db", "fresh.db"):
        LocalDatabase(Newer, tmp_path / name).close()
    indexes = (
        "SELECT tbl_name, sql FROM sqlite_master WHERE type = 'index' AND sql NOT LIKE '%UNIQUE%'"
        " ORDER BY tbl_name, rowid"
    )
    assert asked(tmp_path / "old.db", indexes) == asked(tmp_path / "fresh.db", indexes)
    names = "SELECT type, name FROM sqlite_master WHERE type IN ('table', 'trigger') ORDER BY rowid"
    assert asked(tmp_path / "old.db", names) == asked(tmp_path / "fresh.db", names)


def test_a_database_of_an_older_core_gets_the_tables_that_it_lacks(path: Path) -> None:
    in_database(path, Newer, "a.fits")
    fresh = schema(path)
    as_of_an_older_core(path)
    assert len(schema(path)) < len(fresh) - 6
    LocalDatabase(Newer, path).close()
    assert sorted(map(str, schema(path))) == sorted(map(str, fresh))


def test_opening_what_is_up_to_date_changes_nothing(path: Path) -> None:
    in_database(path, Newer, "a.fits")
    content = path.read_bytes()
    LocalDatabase(Newer, path).close()
    assert path.read_bytes() == content


def test_an_older_class_opens_reads_and_writes_what_a_newer_one_upgraded(path: Path) -> None:
    in_database(path, Older, "a.fits")
    open_meanwhile = LocalDatabase(Older, path)
    in_database(path, Newer, "b.fits")
    upgraded = schema(path)
    in_database(path, Older, "c.fits")
    open_meanwhile.add(made(Older, "d.fits"))
    assert len(open_meanwhile.query()) == 4
    open_meanwhile.close()
    assert schema(path) == upgraded
    assert asked(path, "SELECT DISTINCT stacked, offset FROM demo_calibrations") == [(1, -1.5)]


def test_an_older_class_writes_into_what_a_newer_one_made(path: Path) -> None:
    in_database(path, Newer, "a.fits")
    in_database(path, Older, "b.fits")
    database = LocalDatabase(Newer, path)
    assert [record.stacked for record in database.query()] == [1, 1]
    database.close()


def test_a_column_that_cannot_be_added_is_named_and_nothing_is_changed(path: Path) -> None:
    in_database(path, Older, "a.fits")
    before = schema(path)
    with pytest.raises(SchemaMismatchError, match=r"demo_calibrations.*lacks night, run,.*Strict needs") as caught:
        LocalDatabase(Strict, path)
    assert caught.value.missing == ("night", "run")
    assert schema(path) == before


def test_a_value_that_only_a_newer_class_knows_to_give_is_told_as_missing(path: Path) -> None:
    in_database(path, Strict)
    database = LocalDatabase(Older, path)
    with pytest.raises(SchemaMismatchError, match=r"needs a value in night.*Older does not have") as caught:
        database.add(made(Older, "a.fits"))
    assert caught.value.missing == ("night",)
    assert "newer version of the plugin" in caught.value.hint
    assert len(database) == 0
    database.close()


# -- many processes, killed ones ---------------------------------------------------------------------------------------

OPENING = """
from koa_middleware.database.local import LocalDatabase
from tests.database.test_schema import Newer, made

def work(number):
    database = LocalDatabase(Newer, Path(sys.argv[1]))
    database.add(made(Newer, f"{number}.fits"))
    database.close()
"""


def test_sixteen_processes_open_one_old_database_at_once(path: Path) -> None:
    in_database(path, Older, "old.fits")
    asked(path, "CREATE TABLE demo_flags (calibration_id, quality, reason, flagged_by, flagged_at)")
    asked(path, "INSERT INTO demo_flags VALUES ('x', 'BAD', 'light leak', 'ann', '2026-01-01T00:00:00.000000')")
    output_of(run_processes(16, OPENING, path))
    assert asked(path, "SELECT count(*), sum(stacked) FROM demo_calibrations") == [(17, 17)]
    assert asked(path, "SELECT count(*) FROM demo_calibrations_feed WHERE op = 'flagged'") == [(1,)]


KILLED = """
import os, sys
from pathlib import Path
from koa_middleware.database.local import LocalDatabase
from sqlalchemy import event, Engine
from tests.database.test_schema import Newer
left = int(sys.argv[2])
@event.listens_for(Engine, "before_cursor_execute")
def count(connection, cursor, statement, *_):
    global left
    left -= 1
    if not left:
        os.kill(os.getpid(), 9)
LocalDatabase(Newer, Path(sys.argv[1])).close()
"""


@pytest.mark.parametrize("statements", [4, 5, 11, 13, 16, 18, 20, 22, 1000])
def test_a_kill_at_any_statement_leaves_the_old_or_the_new_database(path: Path, statements: int) -> None:
    in_database(path, Older, *(f"{n}.fits" for n in range(500)))
    as_of_an_older_core(path)
    old = schema(path)
    process = run_python(KILLED, path, statements)
    process.communicate(timeout=60)
    assert process.returncode == (0 if statements == 1000 else -signal.SIGKILL)
    assert asked(path, "PRAGMA integrity_check") == [("ok",)]
    assert (schema(path) == old) is (statements != 1000)
    database = LocalDatabase(Newer, path)
    assert len(database) == 500
    database.close()


# -- the order of indexes ----------------------------------------------------------------------------------------------


class Crowded(ORMCalibration):
    """Indexes of which one begins as another does, or compares some of its columns."""

    instrument_name = "demo"
    __table_args__ = (
        Index(None, "cal_type", "detector", "mjd_start"),
        Index(None, "cal_type", "detector", "binning", "amps", "mjd_start"),
        Index(None, "cal_type", "amps", "mjd_start"),
        Index(None, "cal_type", "detector", "binning", "amps", "disperser", "slit", "mjd_start"),
    )
    detector: Mapped[str | None] = fits_column("DETECTOR", String)
    binning: Mapped[str | None] = fits_column("BINNING", String)
    amps: Mapped[str | None] = fits_column("AMPS", String)
    disperser: Mapped[str | None] = fits_column("DISPERSE", String)
    slit: Mapped[str | None] = fits_column("SLIT", String)


class LessCrowded(ORMCalibration):
    """Has only the short indexes, as an older class may have had."""

    instrument_name = "demo"
    __table_args__ = (
        Index(None, "cal_type", "detector", "mjd_start"),
        Index(None, "cal_type", "amps", "mjd_start"),
    )
    detector: Mapped[str | None] = fits_column("DETECTOR", String)
    amps: Mapped[str | None] = fits_column("AMPS", String)


COMPARED = [
    ["detector"],
    ["amps"],
    ["detector", "binning", "amps"],
    ["detector", "binning", "amps", "disperser", "slit"],
]


def plan(path: Path, columns: list[str]) -> str:
    equal = " AND ".join(f"{name} = ?" for name in ["cal_type", *columns])
    (row,) = _explained(
        path,
        f"SELECT mjd_start FROM demo_calibrations WHERE {equal} AND quality <> ? AND mjd_start BETWEEN ? AND ?"
        " ORDER BY mjd_start DESC LIMIT 1",
        len(columns) + 4,
    )
    return str(row[3])


def _explained(path: Path, sql: str, parameters: int) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(f"EXPLAIN QUERY PLAN {sql}", [None] * parameters).fetchall()


MAKING = """
import sys
from pathlib import Path
from koa_middleware.database.local import LocalDatabase
from tests.database.test_schema import Crowded
LocalDatabase(Crowded, Path(sys.argv[1])).close()
"""


@pytest.fixture(params=["fresh", "another process", "upgraded"])
def crowded(request: Any, path: Path) -> Path:
    if request.param == "another process":
        output_of(run_python(MAKING, path))
    if request.param == "upgraded":
        LocalDatabase(LessCrowded, path).close()
    LocalDatabase(Crowded, path).close()
    return path


@pytest.mark.parametrize("columns", COMPARED, ids=" ".join)
def test_every_compared_column_is_looked_up_in_the_index_in_each_database(crowded: Path, columns: list[str]) -> None:
    found = plan(crowded, columns)
    assert all(f"{name}=?" in found for name in columns), found
    assert "mjd_start>? AND mjd_start<?" in found


def test_indexes_that_were_made_in_another_order_are_made_anew_in_the_right_one(path: Path) -> None:
    LocalDatabase(Crowded, path).close()
    right = schema(path)
    indexes = [(name, sql) for kind, name, sql in right if kind == "index" and "_mjd_start" in name]
    for name, sql in sorted(indexes, key=lambda each: len(each[1])):
        asked(path, f"DROP INDEX {name}")
        asked(path, sql)
    assert schema(path) != right
    LocalDatabase(Crowded, path).close()
    order = [name for kind, name, _ in schema(path) if kind == "index"]
    assert [name for name in order if "_mjd_start" in name] == [name for name, _ in indexes]


def test_an_index_of_ones_own_stays(path: Path) -> None:
    in_database(path, Older, "a.fits")
    asked(path, "CREATE INDEX mine ON demo_calibrations (arm, quality)")
    LocalDatabase(Newer, path).close()
    assert "mine" in [name for _, name, _ in schema(path)]
