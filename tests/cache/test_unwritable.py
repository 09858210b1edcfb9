"""A cache that cannot be written is read: another user's, one on a full disk, one that an upgrade would change."""

from __future__ import annotations

import json
import os
import resource
import shutil
import sqlite3
import subprocess
import tempfile
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from koa_middleware import CacheError, CalibrationSelector, CalibrationStore, IntegrityError
from koa_middleware.cache import leftovers, prune  # noqa: F401  (another user may not be able to import them)
from koa_middleware.cli import list_, status
from koa_middleware.exceptions import ConfigurationError, SchemaMismatchError, StaleWarning

from tests.conftest import DemoCalibration, dark, record

Store = CalibrationStore[DemoCalibration]
OpenDemo = Callable[..., Store]
FRAME = {"spectrograph": "BSPEC", "mjd_start": 60000.2}
NAMES = ["first.fits", "second.fits"]


class Dark(CalibrationSelector):
    """Darks of the frame's spectrograph."""

    cal_type = "dark"
    match = ("spectrograph",)


def said(call: Callable[..., object], *arguments: object, **more: object) -> str:
    """Give what is said where a call fails."""
    try:
        call(*arguments, **more)
    except (CacheError, ConfigurationError) as error:
        return f"{type(error).__name__}: {error}"
    return "no error"


def as_another(act: Callable[[], list[str]], user: int = 65534, group: int = 65534) -> list[str]:
    """Let another user act, in a process of his own, where this one is root; gives what he says."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            if os.getuid() == 0:
                os.setgroups([])
                os.setgid(group)
                os.setuid(user)
            answer = act()
        except BaseException as error:  # noqa: BLE001 - the parent compares it
            answer = [repr(error)]
        os.write(writing, json.dumps(answer).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        answer = json.loads(stream.read())
    os.waitpid(child, 0)
    return list(answer)


@pytest.fixture
def place() -> Iterator[Path]:
    """Give a folder that other users may enter; pytest closes its own to them."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    subprocess.run(["chmod", "-R", "u+rwx", folder], check=True)
    shutil.rmtree(folder)


@pytest.fixture
def cache(place: Path, tmp_path: Path) -> Path:
    """Give a filled cache that every user may read and nobody but root may write."""
    root = place / "cache"
    with CalibrationStore(DemoCalibration, root) as store:
        for day, name in enumerate(NAMES):
            store.register_calibration(dark(tmp_path / "night", name, 60000.0 + day))
    subprocess.run(["chmod", "-R", "a-w,a+rX", root], check=True)
    return root


def state_of(root: Path) -> list[Any]:
    return [(path, path.stat().st_mtime_ns, path.stat().st_size) for path in sorted(root.rglob("*"))]


@contextmanager
def full_disk() -> Iterator[None]:
    """Let no file grow, as on a disk whose quota is used up."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def database_of(root: Path) -> Path:
    return root / "database" / "demo_calibrations.db"


def changed(root: Path, *statements: str) -> None:
    with closing(sqlite3.connect(database_of(root))) as connection, connection:
        connection.create_function("koa_folded", 1, str.casefold, deterministic=True)
        for statement in statements:
            connection.execute(statement)


# -- another user's ----------------------------------------------------------------------------------------------------


def test_another_users_cache_is_read_and_each_write_is_refused(cache: Path, place: Path) -> None:
    changed(cache, "DELETE FROM demo_verified_files")
    before, new = state_of(cache), dark(place / "night", "third.fits", 60002.0)

    def act() -> list[str]:
        with CalibrationStore(DemoCalibration, cache) as store:
            return [
                *(each.filename for each in store.query()),
                store.select(FRAME, Dark).filename,
                str(store.explain(FRAME, Dark).total),
                *(str(store.get_calibration_by_id(each.id).path) for each in store.query()),
                str((store.verify().ok, store.last_sync, store.conflicts(), sorted(store.local_db.unnoted))),
                said(store.local_db.add, record("third.fits")),
                said(store.flag, "first.fits", "BAD", "cosmic rays"),
                said(store.register_calibration, new),
            ]

    lines = as_another(act)
    assert lines[:6] == [*NAMES, "first.fits", "2", *(f"{cache}/calibrations/{name}" for name in NAMES)]
    assert lines[6] == str((True, None, [], NAMES))
    assert len(lines) == 10
    for line in lines[7:]:
        assert line.startswith("CacheError:"), line
        assert "permissions" in line, line
    assert state_of(cache) == before


def test_a_damaged_cache_of_another_user_is_its_owners_to_rebuild_and_a_sound_one_is_said_to_be(cache: Path) -> None:
    def act() -> list[str]:
        return [said(lambda: CalibrationStore.rebuild(DemoCalibration, cache).fault)]

    assert as_another(act) == ["no error"]
    database_of(cache).chmod(0o644)
    database_of(cache).write_bytes(b"spoilt" * 1000)
    database_of(cache).chmod(0o444)
    (told,) = as_another(act)
    assert told.startswith(
        f"CacheError: The database {database_of(cache)} cannot be made anew from here: it is damaged"
    )
    assert "Let its owner run koa-cal rebuild." in told
    (opened,) = as_another(lambda: [said(CalibrationStore, DemoCalibration, cache)])
    assert "let its owner run koa-cal rebuild" in opened


def test_status_and_list_show_a_cache_that_lacks_a_folder(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cache.chmod(0o755)
    shutil.rmtree(cache / "partial")
    cache.chmod(0o555)
    for module, name in ((status, "open_for"), (list_, "open_to_read")):
        monkeypatch.setattr(module, name, lambda _: CalibrationStore(DemoCalibration, cache))
    monkeypatch.setattr(status, "choose_instrument", lambda _: Namespace(ORM=DemoCalibration))
    monkeypatch.setenv("KOA_CALIBRATION_CACHE", str(cache))

    def act() -> list[str]:
        asked = dict.fromkeys(("type", "since", "until", "as_of", "quality", "columns", "instrument"))
        options = Namespace(json=True, limit=10, where=[], cached=False, check=False, **asked)
        return [*(str(module.run(options)) for module in (status, list_)), capsys.readouterr().out]

    *codes, text = as_another(act)
    assert codes == ["0", "0"]
    assert '"records": 2' in text
    assert '"files_in_cache_dir": 2' in text
    assert '"total": 2' in text
    assert f"You may not write to {database_of(cache)}, so it is only read." in text
    assert not (cache / "partial").exists()


def test_a_mode_in_which_only_writers_read_is_named(cache: Path) -> None:
    changed(cache, "PRAGMA journal_mode = wal")

    def act() -> list[str]:
        return [said(CalibrationStore, DemoCalibration, cache)]

    (line,) = as_another(act)
    assert "PRAGMA journal_mode=delete" in line, line


def test_a_private_cache_is_said_to_be_one(cache: Path) -> None:
    def act() -> list[str]:
        return [said(CalibrationStore, DemoCalibration, cache)]

    database_of(cache).parent.chmod(0o700 if os.getuid() == 0 else 0)
    assert "permissions" in as_another(act)[0]
    database_of(cache).parent.chmod(0o755)
    database_of(cache).chmod(0o600 if os.getuid() == 0 else 0)
    (line,) = as_another(act)
    assert line.startswith("CacheError:")
    assert "permissions" in line


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become two users")
def test_a_group_shares_a_cache(place: Path) -> None:
    root, night = place / "group", place / "night"
    root.mkdir()
    os.chown(root, 65533, 4242)
    root.chmod(0o2775)
    for number, (user, name) in enumerate([(65533, "first.fits"), (65534, "second.fits")], 1):
        source = dark(night, name, 60000.0 + number)

        def act(user: int = user, source: Path = source) -> list[str]:
            os.umask(0o002)
            with CalibrationStore(DemoCalibration, root) as store:
                store.register_calibration(source)
                for each in store.query():
                    store.get_calibration_by_id(each.id)
                    store.flag(each.id, "BAD", f"seen by {user}")
                store.prune()
                return [each.filename for each in store.query(quality="BAD")] + [str(store.verify().ok)]

        assert as_another(act, user, 4242) == [*NAMES[:number], "True"]
    made = list(root.rglob("*"))
    assert {path.stat().st_gid for path in made} == {4242}
    assert [path for path in made if path.stat().st_mode & 0o060 != 0o060] == []


@pytest.mark.parametrize("url", [None, "file:///nowhere"])
def test_a_spoilt_file_that_cannot_be_replaced_is_said_to_be_spoilt(cache: Path, url: str | None) -> None:
    changed(cache, "UPDATE demo_calibrations SET origin = 'REMOTE'")
    (cache / "calibrations" / "first.fits").write_bytes(b"spoilt")

    def act() -> list[str]:
        with CalibrationStore(DemoCalibration, cache, calibration_url=url) as store:
            first, second = store.query()
            with pytest.raises(IntegrityError) as raised:
                store.get_calibration_by_id(first.id)
            return [raised.value.message, store.get_calibration_by_id(second.id).path.name]

    message, other = as_another(act)
    assert message.startswith(f"{cache}/calibrations/first.fits is not what its record says: it has 6 bytes")
    assert other == "second.fits"


def test_a_shared_file_stands_in_for_a_spoilt_one_that_cannot_be_moved(cache: Path, place: Path) -> None:
    for name in ("calibrations", "database"):
        shutil.copytree(cache / name, place / "observatory" / name)
    changed(cache, "UPDATE demo_calibrations SET origin = 'REMOTE'")
    (cache / "calibrations" / "first.fits").write_bytes(b"spoilt")

    def act() -> list[str]:
        shared = place / "observatory"
        with CalibrationStore(DemoCalibration, cache, shared_cache_dir=shared) as store, pytest.warns(match="6 bytes"):
            return [str(store.get_calibration_by_id(store.query()[0].id).path)]

    assert as_another(act) == [f"{place}/observatory/calibrations/first.fits"]


# -- a full disk -------------------------------------------------------------------------------------------------------


def test_a_full_disk_leaves_all_reading_and_names_prune(cache: Path, open_demo: OpenDemo, tmp_path: Path) -> None:
    third = dark(tmp_path / "night", "third.fits", 60002.0)
    with full_disk():
        store = open_demo(cache)
        paths = [store.get_calibration_by_id(each.id).path.name for each in store.query()]
        many = store.prefetch(records=store.query()).cached
        with pytest.raises(CacheError) as registering:
            store.register_calibration(third)
        with pytest.raises(CacheError) as adding:
            store.local_db.add(record("fourth.fits"))
    assert paths == many == NAMES
    assert "koa-cal prune" in registering.value.hint
    assert "koa-cal prune" in adding.value.hint
    assert [each.filename for each in store.query()] == NAMES
    assert store.verify().ok


def test_pruning_makes_room_on_a_full_disk(cache: Path, open_demo: OpenDemo) -> None:
    changed(cache, "UPDATE demo_calibrations SET origin = 'REMOTE'", "UPDATE demo_verified_files SET origin = 'REMOTE'")
    for name in NAMES:
        os.utime(cache / "calibrations" / name, (1, 1))
        changed(cache, f"UPDATE demo_verified_files SET mtime_ns = 1000000000 WHERE filename = '{name}'")
    store = open_demo(cache, calibration_url=(cache.parent / "served").as_uri())
    with full_disk():
        assert store.prune(max_size=0).removed == NAMES
    assert list((cache / "calibrations").iterdir()) == []
    assert [each.filename for each in store.query()] == NAMES


def test_a_file_whose_hash_cannot_be_noted_is_hashed_once_and_again_when_it_changed(
    cache: Path, open_demo: OpenDemo
) -> None:
    changed(cache, "DELETE FROM demo_verified_files")
    store = open_demo(cache)
    first = store.query()[0]
    with full_disk():
        path = store.get_calibration_by_id(first.id).path
        times = path.stat()
        data = bytearray(path.read_bytes())
        noted = dict(store.local_db.unnoted)
    data[3000] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    with full_disk():
        assert store.get_calibration_by_id(first.id).path == path  # size, time and inode are those that were hashed
        os.utime(path)
        with pytest.raises(IntegrityError, match="checksum"):
            store.get_calibration_by_id(first.id)
    assert noted.keys() == {"first.fits"}


def test_an_error_that_is_not_the_disks_is_not_hidden_behind_a_read(cache: Path, open_demo: OpenDemo) -> None:
    changed(
        cache,
        "DELETE FROM demo_verified_files",
        "CREATE TRIGGER odd BEFORE INSERT ON demo_verified_files BEGIN SELECT RAISE(ABORT, 'odd'); END",
    )
    store = open_demo(cache)
    with pytest.raises(CacheError, match="odd"):
        store.get_calibration_by_id(store.query()[0].id)


def test_a_sync_that_is_due_and_cannot_be_stored_stops_no_selection(
    cache: Path, open_demo: OpenDemo, monkeypatch: pytest.MonkeyPatch
) -> None:
    from koa_middleware.remote import staleness

    def sync() -> None:
        store.local_db.add(record("fourth.fits"))

    store = open_demo(cache)
    with full_disk(), pytest.warns(StaleWarning, match="No sync can be stored"):
        staleness.freshen(store.local_db, "postgresql://a/b", staleness.timedelta(0), sync)


# -- older and newer databases -----------------------------------------------------------------------------------------

#: The triggers name all columns, so that none can be dropped.
NO_HISTORY = ("DROP TRIGGER demo_calibrations_feed_update", "DROP TRIGGER demo_calibrations_feed_delete")


def test_an_older_database_that_cannot_be_upgraded_is_read_as_it_is(cache: Path, open_demo: OpenDemo) -> None:
    changed(
        cache,
        "DROP INDEX ix_demo_calibrations_cal_type_lamp_mjd_mid",
        *NO_HISTORY,
        "ALTER TABLE demo_calibrations DROP COLUMN cooled",
        "ALTER TABLE demo_calibrations_sync DROP COLUMN noticed",
        "DROP TABLE demo_verified_files",
        "DROP TABLE koa_versions",
    )
    before = database_of(cache).read_bytes()
    with full_disk():
        store = open_demo(cache)
        found = store.query()
        paths = [store.get_calibration_by_id(each.id).path.name for each in found]
        with pytest.raises(CacheError, match="cannot be used") as raised:
            store.local_db.add(record("third.fits"))
        store.close()
    assert paths == [each.filename for each in found] == NAMES
    assert [each.cooled for each in found] == [None, None]
    assert "koa-cal prune" in raised.value.hint
    assert database_of(cache).read_bytes() == before
    assert [each.filename for each in open_demo(cache).query(cooled=None)] == NAMES


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("UPDATE demo_calibrations SET lamp = 'ThAr'", "lamp holds values in another form"),
        ("ALTER TABLE demo_calibrations DROP COLUMN file_size", None),
        ("ALTER TABLE demo_calibrations RENAME COLUMN datetime_obs TO observed", "datetime_obs"),
    ],
)
def test_an_older_database_whose_rows_an_upgrade_would_change_is_refused(
    cache: Path, open_demo: OpenDemo, statement: str, reason: str | None
) -> None:
    changed(cache, *NO_HISTORY, statement, "DELETE FROM koa_versions")
    with full_disk():
        if reason is None:
            assert [each.file_size for each in open_demo(cache).query()] == [None, None]
        else:
            with pytest.raises(SchemaMismatchError, match=reason):
                open_demo(cache)


def test_a_newer_cores_database_gives_its_files(cache: Path, open_demo: OpenDemo) -> None:
    changed(
        cache,
        "DELETE FROM demo_verified_files",
        "INSERT INTO koa_versions (name, version, schema, since) VALUES ('koa-middleware', '99.0', '99', '2099-01-01')",
    )
    store = open_demo(cache)
    assert [store.get_calibration_by_id(each.id).path.name for each in store.query()] == NAMES
    with pytest.raises(SchemaMismatchError, match=r"99\.0"):
        store.flag("first.fits", "BAD", "cosmic rays")


def test_a_dead_writers_journal_is_said_to_wait_for_someone_who_can_write(cache: Path, open_demo: OpenDemo) -> None:
    path, journal = database_of(cache), Path(f"{database_of(cache)}-journal")
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA cache_size = 1")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("DELETE FROM demo_calibrations_feed")
        connection.execute("CREATE TABLE much AS SELECT hex(randomblob(20000)) FROM json_each('[1,2,3,4,5,6,7,8,9]')")
        torn, log = path.read_bytes(), journal.read_bytes()
        connection.execute("ROLLBACK")
    path.write_bytes(torn)
    journal.write_bytes(log)
    path.chmod(0o444)
    (line,) = as_another(lambda: [said(CalibrationStore, DemoCalibration, cache)])
    assert "A writer died in the middle of its work" in line
    assert journal.exists()
    assert [each.filename for each in open_demo(cache).query()] == NAMES


def test_a_cache_that_is_not_there_and_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="is not a folder"):
        CalibrationStore(DemoCalibration, tmp_path / "file")


def test_a_rebuilding_on_a_full_disk_is_told_and_changes_nothing(open_demo: OpenDemo, tmp_path: Path) -> None:
    store = open_demo()
    for day, name in enumerate(NAMES):
        store.register_calibration(dark(tmp_path / "night", name, 60000.0 + day))
    root, database = store.cache_dir, store.local_db.path
    store.close()
    content = b"no database any more".ljust(100) + database.read_bytes()[100:]
    database.write_bytes(content)
    with full_disk(), pytest.raises(CacheError):
        CalibrationStore.rebuild(DemoCalibration, root)
    assert database.read_bytes() == content
    assert not list(database.parent.glob("*.spoilt"))
    CalibrationStore.rebuild(DemoCalibration, root)
    assert sorted(each.filename for each in open_demo().query()) == NAMES
