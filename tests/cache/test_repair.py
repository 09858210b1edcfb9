"""What a repair mends, what it leaves alone, and what it says of each."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from koa_middleware import CalibrationStore
from koa_middleware.disk.owners import HOST, this_owner
from sqlalchemy import delete

from tests.conftest import DemoCalibration, dark, files_under, record, run_python

Store = CalibrationStore[DemoCalibration]
Open = Callable[..., Any]

#: Of a process that has ended: above the largest process number.
DEAD = f"{HOST}-{2**22 + 1}"


def held(store: Store) -> dict[str, bytes]:
    """Give all files of a cache with their content."""
    return {name: (store.cache_dir / name).read_bytes() for name in files_under(store.cache_dir)}


@pytest.fixture
def damaged(open_demo: Open, tmp_path: Path) -> Store:
    """Give a store with a bit of everything: spoilt, lost, missing, unknown and left behind."""
    night = tmp_path / "night"
    store: Store = open_demo(calibration_url=night.as_uri())
    for name, mjd in (("spoilt.fits", 60000.0), ("lost.fits", 60001.0)):
        store.register_calibration(dark(night, name, mjd), origin="REMOTE")
    for name, mjd in (("mine.fits", 60002.0), ("cut.fits", 60003.0)):
        store.register_calibration(dark(tmp_path / "mine", name, mjd))
    store.local_db.add(record("far.fits", mjd=60100.0, origin="REMOTE"))
    calibrations = store.cache_dir / "calibrations"
    (calibrations / "spoilt.fits").write_bytes(b"spoilt")
    (calibrations / "cut.fits").write_bytes(b"cut")
    (calibrations / "lost.fits").unlink()
    (calibrations / "mine.fits").unlink()
    (calibrations / "notes.txt").write_bytes(b"a user's")
    (store.cache_dir / "partial" / f"{'a' * 32}.{DEAD}").write_bytes(b"left")
    return store


def test_a_repair_mends_what_can_be_mended_and_says_why_not(damaged: Store) -> None:
    report = damaged.verify(repair=True)
    assert sorted(report.repaired) == ["lost.fits", "spoilt.fits"]
    assert report.actions["lost.fits"] == report.actions["spoilt.fits"] == "downloaded again"
    assert "it is LOCAL" in report.actions["mine.fits"]
    assert "Register the right file again" in report.actions["cut.fits"]
    assert report.actions["notes.txt"].startswith("left where it is: ")
    assert [report.actions[path] for path in report.leftovers] == ["removed"]
    assert not report.ok
    assert report.faults == 2
    after = damaged.verify()
    assert (sorted(after.bad), after.missing, after.gone) == (["cut.fits"], ["mine.fits"], [])
    assert (after.not_here, after.leftovers, after.without_record) == (1, [], ["notes.txt"])
    assert [path.name.partition(".")[0] for path in (damaged.cache_dir / "quarantine").iterdir()] == ["spoilt"]


def test_a_renamed_file_and_a_copy_are_known_by_their_content(store: Store, tmp_path: Path) -> None:
    (lost, one), (kept, _) = (
        store.register_calibration(dark(tmp_path, name, mjd))
        for name, mjd in (("bad.fits", 60000.0), ("kept.fits", 60001.0))
    )
    store.flag(one.id, "BAD", "light leak")
    lost.rename(lost.with_name("renamed.fits"))
    shutil.copy(kept, kept.with_name("copy.fits"))
    dark(kept.parent, "other.fits", 60002.0)
    before = held(store)
    report = store.verify(repair=True)
    assert report.same_content == {"renamed.fits": ["bad.fits"], "copy.fits": ["kept.fits"]}
    assert report.actions["renamed.fits"] == "left where it is: it is bad.fits, renamed; move it back"
    assert report.actions["bad.fits"] == f"{lost.with_name('renamed.fits')} has its content; move it to bad.fits"
    assert report.actions["copy.fits"] == "left where it is: it has the content of kept.fits, which is registered"
    assert "koa-cal register" in report.actions["other.fits"]
    assert held(store) == before
    lost.with_name("renamed.fits").rename(lost)
    assert store.verify().ok


def test_a_spoilt_file_whose_copy_in_the_archive_is_spoilt_too_is_said_to_be_moved_aside(
    damaged: Store, tmp_path: Path
) -> None:
    (tmp_path / "night" / "spoilt.fits").write_bytes(b"spoilt too")
    report = damaged.verify(repair=True)
    assert report.actions["spoilt.fits"].startswith(
        "it was moved to the quarantine; it could not be downloaded again: "
    )
    assert [path.name.partition(".")[0] for path in (damaged.cache_dir / "quarantine").iterdir()] == ["spoilt"]
    assert not report.ok


def test_the_right_file_is_registered_over_a_spoilt_one(damaged: Store, tmp_path: Path) -> None:
    (action,) = [damaged.verify(dry_run=True).actions["cut.fits"]]
    assert action == "Register the right file again, which moves this one aside; it is left where it is."
    damaged.register_calibration(tmp_path / "mine" / "cut.fits")
    assert "cut.fits" not in damaged.verify().bad
    assert [path.name.partition(".")[0] for path in (damaged.cache_dir / "quarantine").iterdir()] == ["cut"]


def test_a_dry_run_says_it_and_changes_nothing(damaged: Store) -> None:
    before = held(damaged)
    report = damaged.verify(dry_run=True)
    assert report.dry_run
    assert report.repaired == []
    assert report.actions["lost.fits"] == report.actions["spoilt.fits"] == "would be downloaded again"
    assert "it is LOCAL" in report.actions["mine.fits"]
    assert [report.actions[path] for path in report.leftovers] == ["would be removed"]
    assert held(damaged) == before


@pytest.mark.parametrize("url", [None, "http://127.0.0.1:9/masters"])
def test_where_no_download_can_be_made_the_rest_is_mended(
    damaged: Store, open_demo: Open, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, url: str | None
) -> None:
    monkeypatch.setenv("KOA_COOKIE_FILE", str(tmp_path / "no-cookies"))
    report = open_demo(calibration_url=url).verify(repair=True)
    assert report.repaired == []
    assert [report.actions[path] for path in report.leftovers] == ["removed"]
    assert "could not be downloaded again" in report.actions["lost.fits"]
    assert report.actions["spoilt.fits"]


def test_a_repair_leaves_what_living_processes_and_users_have(open_demo: Open, tmp_path: Path) -> None:
    served = tmp_path / "served"
    served.mkdir()
    store = open_demo(calibration_url=served.as_uri())
    uploaded = served / f".koa-{'0' * 32}.{DEAD}.part"
    kept = [
        store.cache_dir / "partial" / f"{'b' * 32}.{this_owner()}",
        store.cache_dir / "partial" / "notes.txt",
        served / ".hidden.part",
    ]
    for path in [uploaded, *kept]:
        path.write_bytes(b"x")
    assert store.verify(repair=True).actions == {str(uploaded): "removed"}
    assert [path.exists() for path in [uploaded, *kept]] == [False, True, True, True]


# -- files without a record --------------------------------------------------------------------------------------------


def test_a_database_put_back_from_a_copy_gets_the_later_rows_again(open_demo: Open, tmp_path: Path) -> None:
    store = open_demo()
    store.register_calibration(dark(tmp_path, "first.fits", 60000.0, CALID="first"))
    copy = shutil.copy(store.local_db.path, tmp_path / "copy.db")
    path, later = store.register_calibration(dark(tmp_path, "later.fits", 60001.0, CALID="later", DATAQUAL="BAD"))
    store.close()
    shutil.copy(copy, store.local_db.path)
    store = open_demo()
    assert store.verify(dry_run=True).actions == {"later.fits": "would be registered again"}
    report = store.verify(repair=True)
    assert report.actions == {"later.fits": "registered again as LOCAL, with the id later and the quality BAD"}
    found = store.local_db.query_by_id("later")
    assert (found.filename, found.checksum, found.cal_version) == ("later.fits", later.checksum, later.cal_version)
    assert (store.verify().ok, store.verify().without_record) == (True, [])
    assert path.is_file()


def other_content(store: Store, folder: Path) -> None:
    """Put a file there whose family has another calibration."""
    store.register_calibration(dark(folder, "first.fits", 60000.0))
    dark(store.cache_dir / "calibrations", "unnamed.fits", 60000.0, CALID="unnamed", EXPTIME=3.0)


def id_of_another(store: Store, folder: Path) -> None:
    store.register_calibration(dark(folder, "first.fits", 60000.0, CALID="first"))
    dark(store.cache_dir / "calibrations", "unnamed.fits", 60001.0, CALID="first")


def taken_away(store: Store, folder: Path) -> None:
    _, one = store.register_calibration(dark(folder, "unnamed.fits", CALID="unnamed"))
    table = DemoCalibration.table()
    with store.local_db.begin() as connection:
        connection.execute(delete(table).where(table.c.id == one.id))


def the_archives(store: Store, _: Path) -> None:
    dark(store.cache_dir / "calibrations", "unnamed.fits", CALID="unnamed", ORIGIN="REMOTE")


def without_an_id(store: Store, _: Path) -> None:
    dark(store.cache_dir / "calibrations", "unnamed.fits")


def of_another_instrument(store: Store, _: Path) -> None:
    dark(store.cache_dir / "calibrations", "unnamed.fits", CALID="unnamed", INSTRUME="OTHER")


def of_an_unknown_type(store: Store, _: Path) -> None:
    dark(store.cache_dir / "calibrations", "unnamed.fits", CALID="unnamed", CALTYPE="object")


def where_no_record_is(store: Store, folder: Path) -> None:
    with store.local_db.begin() as connection:
        connection.execute(delete(DemoCalibration.table()))
    dark(store.cache_dir / "calibrations", "unnamed.fits", CALID="unnamed")


def cut_short(store: Store, _: Path) -> None:
    path = dark(store.cache_dir / "calibrations", "unnamed.fits", CALID="unnamed")
    path.write_bytes(path.read_bytes()[:-2880])


def a_link(store: Store, folder: Path) -> None:
    (store.cache_dir / "calibrations" / "unnamed.fits").symlink_to(dark(folder, CALID="unnamed"))


@pytest.mark.parametrize(
    ("put", "why"),
    [
        (other_content, "differs from version 001"),
        (id_of_another, "another record has the id of its header, first"),
        (taken_away, "its record was withdrawn or removed"),
        (the_archives, "it is the archive's"),
        (without_an_id, "no id"),
        (of_another_instrument, "OTHER"),
        (of_an_unknown_type, "object"),
        (where_no_record_is, "koa-cal rebuild"),
        (cut_short, "unnamed.fits"),
        (a_link, "no file"),
    ],
)
def test_a_file_that_may_be_another_one_is_not_registered(
    store: Store, tmp_path: Path, put: Callable[[Store, Path], None], why: str
) -> None:
    store.local_db.add(record("far.fits", mjd=60100.0, origin="REMOTE"))
    put(store, tmp_path)
    before, rows = held(store), [one.to_dict() for one in store.query()]
    report = store.verify(repair=True)
    assert report.without_record == ["unnamed.fits"]
    assert report.actions["unnamed.fits"].startswith("left where it is: ")
    assert why in report.actions["unnamed.fits"]
    assert held(store) == before
    assert [one.to_dict() for one in store.query()] == rows


KILLED = """
import os, sys
from koa_middleware import CalibrationStore
from koa_middleware.cache import placing
from tests.conftest import DemoCalibration
placing.remember_signatures = lambda *_: os._exit(9)  # the file has its name, the row is not committed
with CalibrationStore(DemoCalibration, sys.argv[1]) as store:
    store.register_calibration(sys.argv[2], new_version=sys.argv[3] == "True")
"""


@pytest.mark.parametrize(("way", "new_version"), [("registration", False), ("registration", True), ("repair", False)])
def test_a_file_that_a_killed_registration_placed_is_taken_over(
    store: Store, tmp_path: Path, way: str, new_version: bool
) -> None:
    first = "dark.fits" if new_version else "first.fits"
    store.register_calibration(dark(tmp_path / "first", first, 60000.0 if new_version else 59000.0, EXPTIME=3.0))
    source = dark(tmp_path, "dark.fits", CALID="mine", CALVER="002" if new_version else "001")
    process = run_python(KILLED, store.cache_dir, source, new_version)
    process.communicate()
    assert process.returncode == 9
    report = store.verify()
    (left,) = report.without_record
    assert report.ok
    if way == "registration":
        path, _ = store.register_calibration(source, new_version=new_version)
        assert path.name == left
    else:
        store.verify(repair=True)
    one = store.local_db.query_by_filename(left)
    assert (one.id, one.cal_version) == ("mine", "002" if new_version else "001")
    assert (store.verify().ok, store.verify().without_record) == (True, [])
