"""A lost or spoilt database is made anew of what is left: its rows and judgements, copies, files, the archive."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from koa_middleware import CacheError, CalibrationStore, ORMCalibration, fits_column
from koa_middleware.cache.rebuild_report import RebuildReport
from koa_middleware.database.backup import copies_kept
from koa_middleware.database.feed import Judgement, judgements_of, made_of_files
from koa_middleware.exceptions import SchemaWarning
from koa_middleware.remote.servers import require_remote
from sqlalchemy import String, text
from sqlalchemy.orm import Mapped

from tests.conftest import DemoCalibration, dark, record, repetitions, run_python

#: Records of the template's cache, besides those of files: enough for pages of their own.
MANY = 300


class OtherCalibration(ORMCalibration):
    """A second instrument, whose files stand in the same folder."""

    instrument_name = "other"
    instrume_values = ("other",)
    camera: Mapped[str | None] = fits_column("CAMERA", String)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with LOCAL files, two of which are versions of one, judgements, and records of the archive."""
    folder = tmp_path_factory.mktemp("template")
    with CalibrationStore(DemoCalibration, folder / "cache") as store:
        store.local_db.add(record(f"theirs{n}.fits", 61000.0 + n, origin="REMOTE") for n in range(MANY))
        store.register_calibration(dark(folder, "first.fits", note="a"))
        _, second = store.register_calibration(dark(folder, "second.fits", note="b"), new_version=True)
        _, bad = store.register_calibration(dark(folder, "bad.fits", 60003.0, CALID="bad", CALVER="007"))
        store.flag(second.id, "BAD", "cosmic rays")
        store.flag(bad.id, "BAD", "light leak")
    return folder / "cache"


@pytest.fixture
def cache(template: Path, tmp_path: Path) -> Path:
    """A cache of this test's own."""
    return Path(shutil.copytree(template, tmp_path / "cache"))


def database(cache: Path) -> Path:
    return cache / "database" / "demo_calibrations.db"


def rebuilt(cache: Path, **more: Any) -> RebuildReport:
    return CalibrationStore.rebuild(DemoCalibration, cache, **more)


def records(cache: Path) -> dict[str, dict[str, Any]]:
    with CalibrationStore(DemoCalibration, cache) as store:
        return {each.filename: each.to_dict() for each in store.query()}


def judged(cache: Path, name: str) -> list[Judgement]:
    with CalibrationStore(DemoCalibration, cache) as store, store.local_db.connect() as connection:
        return judgements_of(connection, DemoCalibration, store.local_db.query_by_filename(name).id)


def root_page(path: Path, name: str) -> int:
    with closing(sqlite3.connect(path)) as raw:
        found: int = raw.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (name,)).fetchone()[0]
        return found


def overwrite(path: Path, start: int, content: bytes) -> None:
    with path.open("r+b") as stream:
        stream.seek(start)
        stream.write(content)


def without_header(path: Path) -> None:
    overwrite(path, 0, b"no database any more".ljust(100))


def without_first_page(path: Path) -> None:
    overwrite(path, 0, bytes(4096))


def without_root_of(name: str) -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        overwrite(path, 4096 * (root_page(path, name) - 1), b"\xff" * 4096)

    return spoil


SPOILT = {
    "header": without_header,
    "first page": without_first_page,
    "root of the table": without_root_of("demo_calibrations"),
    "root of an index": without_root_of("ix_demo_calibrations_cal_type_mjd_start"),
    "root of the history": without_root_of("demo_calibrations_feed"),
}


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT.keys())
def test_what_stands_in_the_pages_of_a_spoilt_database_is_kept(cache: Path, spoil: Callable[[Path], None]) -> None:
    before = records(cache)
    judgements = {name: judged(cache, name) for name in ("second.fits", "bad.fits")}
    spoil(database(cache))
    content = database(cache).read_bytes()
    report = rebuilt(cache)
    assert report.fault.startswith("it is damaged")
    assert records(cache) == before
    assert {name: judged(cache, name) for name in judgements} == judgements
    assert report.set_aside is not None
    assert Path(report.set_aside).read_bytes() == content
    with CalibrationStore(DemoCalibration, cache) as store:
        assert store.verify().ok
    assert rebuilt(cache).fault == ""


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT.keys())
def test_what_was_judged_here_is_kept_and_what_was_taken_back_stays_so(
    cache: Path, spoil: Callable[[Path], None]
) -> None:
    with CalibrationStore(DemoCalibration, cache) as store:
        store.flag("first.fits", "BAD", "stars in it", here=True)
        store.flag("bad.fits", "BAD", "stars in it", here=True)
        store.flag("bad.fits", None, "none", here=True)
        before = {name: store.known_db.all_said_of(store.known_db.find(name).id) for name in ("first.fits", "bad.fits")}
    spoil(database(cache))
    assert not {name for name in rebuilt(cache).lost if "judgements" in name}
    with CalibrationStore(DemoCalibration, cache) as store:
        assert store.known_db.judged_here().keys() == {store.known_db.find("first.fits").id}
        assert {name: store.known_db.all_said_of(store.known_db.find(name).id) for name in before} == before


def test_judgements_that_cannot_be_read_any_more_are_told(cache: Path) -> None:
    with CalibrationStore(DemoCalibration, cache) as store:
        store.flag("first.fits", "BAD", "stars in it", here=True)
    without_root_of("demo_calibrations_judgements")(database(cache))
    report = rebuilt(cache)
    assert "what was judged here" in report.lost["demo_calibrations_judgements"]
    assert not report.ok


def test_a_copy_brings_back_no_judgement_that_was_taken_back_since(cache: Path) -> None:
    with CalibrationStore(DemoCalibration, cache) as store:
        store.flag("first.fits", "BAD", "stars in it", here=True)
        store.flag("bad.fits", "GOOD", "only its header is wrong", here=True)
    path = database(cache)
    shutil.copyfile(path, path.with_name(f"{path.name}.20260213T000000.000000Z.bak"))
    with CalibrationStore(DemoCalibration, cache) as store:
        store.flag("first.fits", None, "none", here=True)
    without_root_of("demo_calibrations")(path)
    rebuilt(cache)
    with CalibrationStore(DemoCalibration, cache) as store:
        assert store.known_db.judged_here().keys() == {store.known_db.find("bad.fits").id}


def test_a_copy_brings_what_was_judged_here(cache: Path) -> None:
    with CalibrationStore(DemoCalibration, cache) as store:
        store.flag("bad.fits", "GOOD", "only its header is wrong", here=True)
    path = database(cache)
    path.rename(path.with_name(f"{path.name}.20260213T000000.000000Z.bak"))
    rebuilt(cache)
    with CalibrationStore(DemoCalibration, cache) as store:
        assert store.known_db.judged_here().keys() == {store.known_db.find("bad.fits").id}


def test_a_judgement_of_a_record_that_is_lost_is_told(cache: Path) -> None:
    with CalibrationStore(DemoCalibration, cache) as store:
        store.local_db.add(record("gone.fits", id="gone"))
        store.flag("gone.fits", "BAD", "stars in it", here=True)
    with closing(sqlite3.connect(database(cache))) as raw, raw:
        raw.execute("DROP TRIGGER demo_calibrations_feed_delete")
        raw.execute("DELETE FROM demo_calibrations WHERE id = 'gone'")
        raw.execute("DELETE FROM demo_calibrations_feed")
    without_root_of("ix_demo_calibrations_cal_type_mjd_start")(database(cache))
    assert "judged it BAD" in rebuilt(cache).lost["gone"]


@pytest.mark.parametrize("seed", range(repetitions(1, 200)))
def test_bytes_that_are_spoilt_at_random_lose_no_file_and_no_judgement_in_silence(cache: Path, seed: int) -> None:
    chance, path = random.Random(seed), database(cache)
    for _ in range(6):
        overwrite(path, chance.randrange(path.stat().st_size - 200), chance.randbytes(200))
    os.truncate(path, chance.randrange(path.stat().st_size // 2, path.stat().st_size))
    report = rebuilt(cache)
    found = records(cache)
    assert {"first.fits", "second.fits", "bad.fits"} <= found.keys()
    for name in ("second.fits", "bad.fits"):
        assert found[name]["quality"] == "BAD" or report.lost
    with CalibrationStore(DemoCalibration, cache) as store:
        assert not store.verify().without_record


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A cache whose records stand in one page, with a BAD one whose header has no id."""
    with CalibrationStore(DemoCalibration, tmp_path / "small") as store:
        for day, name in enumerate(("good.fits", "bad.fits")):
            store.register_calibration(dark(tmp_path, name, 60000.0 + day))
        store.flag("bad.fits", "BAD", "light leak")
    return tmp_path / "small"


def test_an_index_tells_of_which_file_a_judgement_is_whose_row_is_spoilt(small: Path) -> None:
    before = records(small)
    without_root_of("demo_calibrations")(database(small))
    report = rebuilt(small)
    assert {name: (each["id"], each["quality"]) for name, each in records(small).items()} == {
        name: (each["id"], each["quality"]) for name, each in before.items()
    }
    assert report.lost.keys() == {"good.fits", "bad.fits"}
    assert report.lost["bad.fits"] == (
        "its record is made of the file alone: it is LOCAL, its id is that of an index of the old database"
    )


def test_a_judgement_of_an_unknown_file_is_told_as_such(small: Path) -> None:
    path = database(small)
    with closing(sqlite3.connect(path)) as raw:
        asked = "SELECT rootpage FROM sqlite_master WHERE tbl_name = 'demo_calibrations' AND rootpage > 0"
        for (page,) in raw.execute(asked).fetchall():
            overwrite(path, 4096 * (page - 1), b"\xff" * 4096)
    lost_ = [said for said in rebuilt(small).lost.values() if "judged it BAD" in said]
    assert len(lost_) == 1
    assert lost_[0].endswith("light leak; it may be any of the files whose ids are new")


def removed(path: Path) -> None:
    path.unlink()


def emptied(path: Path) -> None:
    os.truncate(path, 0)


def of_another_program(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("CREATE TABLE bookmarks (url)")


def of_no_database(path: Path) -> None:
    path.write_bytes(b"a letter to the observatory" * 1000)


LOST = [removed, emptied, of_another_program, of_no_database]


@pytest.mark.parametrize("lose", LOST, ids=lambda lose: lose.__name__)
def test_files_alone_give_the_ids_and_versions_that_they_say_and_the_rest_is_told(
    cache: Path, lose: Callable[[Path], None]
) -> None:
    lose(database(cache))
    report = rebuilt(cache)
    found = records(cache)
    assert (found["bad.fits"]["id"], found["bad.fits"]["cal_version"]) == ("bad", "007")
    assert [found[name]["cal_version"] for name in ("first.fits", "second.fits")] == ["001", "002"]
    assert report.lost.keys() == {"first.fits", "second.fits", "bad.fits"}
    assert not report.ok
    assert (report.set_aside is None) == (lose in {removed, emptied})
    assert rebuilt(cache).fault == ""


@pytest.mark.parametrize("lose", LOST, ids=lambda lose: lose.__name__)
def test_a_copy_beside_a_lost_database_gives_judgements_and_records(cache: Path, lose: Callable[[Path], None]) -> None:
    before = records(cache)
    with copies_kept(database(cache)) as keep_copy:
        keep_copy()
    lose(database(cache))
    report = rebuilt(cache)
    assert records(cache) == before
    assert [each.why for each in judged(cache, "bad.fits")] == ["light leak"]
    assert "since then" in report.lost["bad.fits"]


def test_what_was_judged_after_the_copy_counts_where_the_history_can_be_read(cache: Path) -> None:
    with copies_kept(database(cache)) as keep_copy:
        keep_copy()
    with CalibrationStore(DemoCalibration, cache) as store:
        store.flag("first.fits", "BAD", "saturated")
        with store.local_db.begin() as connection:
            connection.exec_driver_sql("DELETE FROM demo_calibrations WHERE filename = 'theirs7.fits'")
    without_root_of("demo_calibrations")(database(cache))
    found = rebuilt(cache)
    assert records(cache)["first.fits"]["quality"] == "BAD"
    assert "theirs7.fits" not in records(cache)
    assert found.ok


def test_the_version_in_a_name_comes_first_and_the_others_get_the_next_free_one_as_they_came(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    with CalibrationStore(DemoCalibration, cache) as store:
        for number, name in enumerate(("plain.fits", "b.fits", "named.fits", "a.fits")):
            path = dark(tmp_path, name, note=name)
            placed, _ = store.register_calibration(path, new_version=True)
            os.utime(placed, (1e9 + number, 1e9 + number))
    (cache / "calibrations" / "named.fits").rename(cache / "calibrations" / "named.001.fits")
    database(cache).unlink()
    rebuilt(cache)
    versions = {name: values["cal_version"] for name, values in records(cache).items()}
    assert versions == {"named.001.fits": "001", "plain.fits": "002", "b.fits": "003", "a.fits": "004"}


@pytest.fixture
def begun_again(cache: Path, tmp_path: Path) -> Path:
    """A cache whose database was lost and begun again by a registration, as older versions let it."""
    database(cache).unlink()
    new = dark(tmp_path, "new.fits", 60010.0, CALID="new")
    with CalibrationStore(DemoCalibration, tmp_path / "other") as store:
        store.register_calibration(new)
        store.flag("new", "BAD", "saturated")
    shutil.copy(tmp_path / "other" / "calibrations" / "new.fits", cache / "calibrations")
    shutil.copy(database(tmp_path / "other"), database(cache))
    return cache


def test_a_database_that_was_begun_again_gets_what_a_copy_knows_and_keeps_what_it_has(
    cache: Path, request: pytest.FixtureRequest
) -> None:
    before = records(cache)
    with copies_kept(database(cache)) as keep_copy:
        keep_copy()
    request.getfixturevalue("begun_again")
    kept = records(cache)
    report = rebuilt(cache)
    assert (report.fault, report.is_completed) == ("3 files are in no record", True)
    assert (report.from_old, report.from_copies, report.from_files) == (0, 3, 0)
    assert records(cache) == kept | {name: before[name] for name in ("first.fits", "second.fits", "bad.fits")}
    assert [each.why for each in judged(cache, "bad.fits")] == ["light leak"]
    assert [each.why for each in judged(cache, "new.fits")] == ["saturated"]
    assert "as the copy of 2" in report.lost["bad.fits"]
    with CalibrationStore(DemoCalibration, cache) as store:
        assert (store.verify().ok, store.verify().without_record) == (True, [])
    assert rebuilt(cache).fault == ""


def test_a_database_that_was_begun_again_gets_what_headers_say(begun_again: Path) -> None:
    kept = records(begun_again)
    report = rebuilt(begun_again)
    assert (report.from_copies, report.from_files) == (0, 3)
    assert report.lost.keys() == {"first.fits", "second.fits", "bad.fits"}
    found = records(begun_again)
    assert found["new.fits"] == kept["new.fits"]
    assert (found["bad.fits"]["id"], found["bad.fits"]["cal_version"]) == ("bad", "007")
    with CalibrationStore(DemoCalibration, begun_again) as store:
        with store.local_db.connect() as connection:
            assert made_of_files(connection, DemoCalibration)[0] == 3
        store.flag("bad", "BAD", "light leak")
        with store.local_db.connect() as connection:
            assert made_of_files(connection, DemoCalibration)[0] == 2


def test_no_file_whose_record_went_or_that_is_a_copy_gets_a_record(cache: Path) -> None:
    (cache / "calibrations" / "bad.fits").rename(cache / "calibrations" / "renamed.fits")
    with CalibrationStore(DemoCalibration, cache) as store, store.local_db.begin() as connection:
        connection.exec_driver_sql("DELETE FROM demo_calibrations WHERE filename = 'first.fits'")
    before = records(cache)
    report = rebuilt(cache)
    assert report.fault == ""
    assert report.noticed == ["renamed.fits has the content of bad.fits, so it gets no record of its own."]
    assert records(cache) == before


def test_a_file_says_of_a_record_made_of_it_whose_it_is(cache: Path) -> None:
    database(cache).unlink()
    assert ", it is LOCAL, its id is new" in rebuilt(cache).lost["first.fits"]


def test_a_sound_database_is_not_changed(cache: Path) -> None:
    content = database(cache).read_bytes()
    assert rebuilt(cache) == RebuildReport(str(database(cache)))
    assert database(cache).read_bytes() == content
    assert [path.name for path in (cache / "database").iterdir()] == [database(cache).name]


def test_an_empty_database_without_files_is_made_anew_and_with_files_it_is_an_error(
    cache: Path, tmp_path: Path
) -> None:
    emptied(database(cache))
    with pytest.raises(CacheError, match="koa-cal rebuild"):
        CalibrationStore(DemoCalibration, cache)
    new = tmp_path / "new" / "database" / "demo_calibrations.db"
    new.parent.mkdir(parents=True)
    new.touch()
    assert records(tmp_path / "new") == {}


def test_a_database_without_records_beside_files_is_told_and_keeps_its_history(cache: Path) -> None:
    with CalibrationStore(DemoCalibration, cache) as store, store.local_db.begin() as connection:
        connection.exec_driver_sql("DELETE FROM demo_calibrations")
    with pytest.warns(UserWarning, match=r"holds files of demo\..* koa-cal rebuild"):
        CalibrationStore(DemoCalibration, cache).close()
    report = rebuilt(cache)
    assert report.set_aside is None
    assert records(cache)["bad.fits"]["quality"] == "BAD"
    assert "bad.fits" not in report.lost
    assert "cosmic rays" in str(report.lost)


def left_by_a_killed_registration(cache: Path, folder: Path) -> Path:
    """Make a cache that has the file of its first registration and not its row; gives what was registered."""
    CalibrationStore(DemoCalibration, cache).close()
    source = dark(folder, "first.fits")
    shutil.copyfile(source, cache / "calibrations" / "first.fits")
    return source


def test_the_file_of_a_first_registration_that_was_cut_off_is_told_as_such_until_it_is_registered(
    tmp_path: Path,
) -> None:
    source = left_by_a_killed_registration(tmp_path / "cache", tmp_path)
    with pytest.warns(UserWarning, match=r"^1 file is in no record of demo: .*first\.fits\. (?!.*rebuild)") as told:
        store = CalibrationStore(DemoCalibration, tmp_path / "cache")
    assert len(told) == 1
    with store:
        path, _ = store.register_calibration(source)
        assert path.name == "first.fits"
        assert store.verify().ok
    assert list(records(tmp_path / "cache")) == ["first.fits"]


def test_a_file_that_is_older_than_the_new_database_beside_it_tells_of_a_loss(tmp_path: Path) -> None:
    left_by_a_killed_registration(tmp_path / "cache", tmp_path)
    os.utime(tmp_path / "cache" / "calibrations" / "first.fits", (1e9, 1e9))  # as where it was put back from a copy
    database(tmp_path / "cache").unlink()
    with pytest.warns(UserWarning, match="koa-cal rebuild"):
        CalibrationStore(DemoCalibration, tmp_path / "cache").close()
    with pytest.warns(UserWarning, match="koa-cal rebuild"):
        CalibrationStore(DemoCalibration, tmp_path / "cache").close()


def test_several_files_beside_a_new_database_tell_of_a_loss(tmp_path: Path) -> None:
    left_by_a_killed_registration(tmp_path / "cache", tmp_path)
    shutil.copyfile(dark(tmp_path, "second.fits", 60001.0), tmp_path / "cache" / "calibrations" / "second.fits")
    with pytest.warns(UserWarning, match="to register the files again would lose the rest"):
        CalibrationStore(DemoCalibration, tmp_path / "cache").close()


def lost(cache: Path) -> CalibrationStore[DemoCalibration]:
    """Lose a cache's database, and open a store on what is left."""
    database(cache).unlink()
    for path in (cache / "calibrations").iterdir():
        os.utime(path, (1e9, 1e9))
    with pytest.warns(UserWarning, match="koa-cal rebuild"):
        return CalibrationStore(DemoCalibration, cache)


def test_nothing_is_written_to_a_new_database_where_another_one_was_lost(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = records(cache)
    monkeypatch.setenv("KOA_REMOTE_DATABASE_URL", "postgresql://reader@127.0.0.1:9/koa")
    with closing(lost(cache)) as store:
        with CalibrationStore(DemoCalibration, tmp_path / "other") as other:
            other.register_calibration(dark(tmp_path, "sixth.fits", 60006.0))
            other.export_bundle(tmp_path / "other.tar", other.query())
        for write in (
            lambda: store.register_calibration(dark(tmp_path, "fifth.fits", 60005.0)),
            lambda: store.local_db.add(record("fifth.fits")),
            lambda: store.import_bundle(tmp_path / "other.tar"),
            store.sync_from_remote,
        ):
            with pytest.raises(CacheError, match=r"has no records, but .* holds files of demo") as raised:
                write()
            assert "koa-cal rebuild" in raised.value.hint
        report = store.verify()
        assert not report.ok
        assert "holds files of demo" in report.database[0]
        assert store.query() == []
    assert sorted(path.name for path in (cache / "calibrations").iterdir()) == ["bad.fits", "first.fits", "second.fits"]
    rebuilt(cache, offline=True)
    with CalibrationStore(DemoCalibration, cache) as store:
        store.register_calibration(dark(tmp_path, "fifth.fits", 60005.0))
    assert records(cache).keys() == {*(name for name in before if "theirs" not in name), "fifth.fits"}


def copied(cache: Path, name: str) -> Path:
    """Copy a cache's database as somebody would who makes backups."""
    copy = database(cache).with_name(name)
    with closing(sqlite3.connect(database(cache))) as source, closing(sqlite3.connect(copy)) as sink:
        source.backup(sink)
    return copy


@pytest.mark.parametrize("name", ["demo.backup.db", "demo_calibrations.db.old"])
def test_a_copy_in_the_folder_hides_no_loss_and_gives_the_records(cache: Path, name: str) -> None:
    before = records(cache)
    copied(cache, name)
    lost(cache).close()
    report = rebuilt(cache)
    assert (report.from_copies, report.from_files) == (len(before), 0)
    assert records(cache) == before
    assert [each.why for each in judged(cache, "bad.fits")] == ["light leak"]


@pytest.mark.parametrize("spoil", [emptied, without_header], ids=lambda spoil: spoil.__name__)
def test_the_newest_of_several_copies_counts(cache: Path, spoil: Callable[[Path], None]) -> None:
    older = copied(cache, "a.db")
    with CalibrationStore(DemoCalibration, cache) as store:
        store.flag("first.fits", "BAD", "saturated")
    copied(cache, "newer.db")
    os.utime(older)
    before = records(cache)
    database(cache).write_bytes(b"")
    with pytest.raises(CacheError, match="koa-cal rebuild"):
        CalibrationStore(DemoCalibration, cache)
    spoil(database(cache))
    rebuilt(cache)
    assert records(cache) == before


@pytest.mark.filterwarnings("error")
def test_a_database_without_records_is_no_loss_beside_files_of_another_instrument(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    with CalibrationStore(OtherCalibration, cache) as other:
        other.register_calibration(dark(tmp_path, "theirs.fits", INSTRUME="other"))
        other.register_calibration(dark(tmp_path, "anyones.fits", 60001.0))
        CalibrationStore(DemoCalibration, cache).close()
        (cache / "database" / "demo_calibrations.db").unlink()
        dark(cache / "calibrations", "unknown.fits", 60002.0, INSTRUME="other")
        assert rebuilt(cache).fault == ""


def test_other_instruments_keep_their_table_in_the_same_file_and_their_files(cache: Path, tmp_path: Path) -> None:
    name = database(cache).name
    with CalibrationStore(OtherCalibration, cache, name) as other:
        other.register_calibration(dark(tmp_path, "others.fits", INSTRUME="other"))
        kept = [each.to_dict() for each in other.query()]
    without_root_of("demo_calibrations")(database(cache))
    assert "others.fits" not in rebuilt(cache).lost
    with CalibrationStore(OtherCalibration, cache, name) as other:
        assert [each.to_dict() for each in other.query()] == kept


def test_the_archive_gives_published_records_their_ids(cache: Path, fresh_database: str, tmp_path: Path) -> None:
    with CalibrationStore(DemoCalibration, cache, remote_database_url=fresh_database) as store:
        require_remote(store.settings, DemoCalibration).set_up("reader", "publisher")
        store.publish([store.local_db.query_by_filename("second.fits")])
    before = records(cache)["second.fits"]
    removed(database(cache))
    report = rebuilt(cache, remote_database_url=fresh_database)
    found = records(cache)["second.fits"]
    assert [found[name] for name in ("id", "cal_version", "quality", "origin")] == [
        before["id"],
        "002",
        "BAD",
        "REMOTE",
    ]
    assert "second.fits" not in report.lost
    assert report.from_archive == 1


def test_an_archive_that_does_not_answer_stops_no_rebuilding(cache: Path) -> None:
    removed(database(cache))
    report = rebuilt(cache, remote_database_url="postgresql://nobody@127.0.0.1:1/none")
    assert report.from_files == 3
    assert "koa-cal sync" in report.noticed[0]


def test_who_still_has_the_spoilt_database_open_is_told_when_it_writes(cache: Path) -> None:
    def flag_late(store: CalibrationStore[DemoCalibration]) -> None:
        with store.local_db.session_manager() as session:
            session.execute(text("SELECT 1 FROM demo_calibrations")).all()
            without_root_of("ix_demo_calibrations_cal_type_mjd_start")(database(cache))
            rebuilt(cache)
            session.execute(text("UPDATE demo_calibrations SET quality = 'BAD' WHERE filename = 'first.fits'"))

    with CalibrationStore(DemoCalibration, cache) as store, pytest.raises(CacheError, match="open the store again"):
        flag_late(store)
    assert records(cache)["first.fits"]["quality"] == "GOOD"


KILLED = """
import os, signal, sys
from tests.conftest import DemoCalibration
from koa_middleware import CalibrationStore
left = int(sys.argv[2])
def count(event, arguments):
    global left
    if event in {"os.rename", "os.link", "os.remove", "os.rmdir", "sqlite3.connect", "open"}:
        left -= "database" in str(arguments) or "partial" in str(arguments)
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(count)
CalibrationStore.rebuild(DemoCalibration, sys.argv[1])
print("done")
"""


@pytest.mark.parametrize("lose", [without_root_of("demo_calibrations"), emptied], ids=["spoilt", "empty"])
def test_a_killed_rebuilding_leaves_the_old_state_or_the_new_one(
    cache: Path, tmp_path: Path, lose: Callable[[Path], None]
) -> None:
    before = records(cache)
    with copies_kept(database(cache)) as keep_copy:
        keep_copy()
    lose(database(cache))
    spoilt = database(cache).read_bytes()
    for calls in range(3, 60, 60 // repetitions(2, 60)):
        folder = Path(shutil.copytree(cache, tmp_path / str(calls)))
        process = run_python(KILLED, folder, calls)
        out, error = process.communicate(timeout=60)
        is_old = database(folder).read_bytes() == spoilt
        assert out or process.returncode == -9, error
        assert not (out and is_old)
        assert (rebuilt(folder).fault == "") == (not is_old)
        assert records(folder) == before
        with CalibrationStore(DemoCalibration, folder) as store:
            assert store.verify().ok


def test_a_history_that_was_lost_is_told(cache: Path) -> None:
    with closing(sqlite3.connect(database(cache))) as raw:
        raw.execute("DROP TABLE demo_calibrations_feed")
    with pytest.warns(SchemaWarning, match="The history of demo_calibrations was lost"):
        CalibrationStore(DemoCalibration, cache).close()
    CalibrationStore(DemoCalibration, cache).close()
