"""A local database that broke while a store has it open: every public call works or raises an error of ours."""

from __future__ import annotations

import inspect
import os
import shutil
import sqlite3
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from koa_middleware import CacheError, CalibrationStore, KoaMiddlewareError, LockFile, former_names
from koa_middleware.choosing.selector import CalibrationSelector
from koa_middleware.remote.servers import require_remote
from koa_middleware.reports.lock.locked import LockedCalibration, LockedChoice, LockedFrame
from sqlalchemy import select

from tests.conftest import DemoCalibration, dark, record
from tests.older_caches import first_era

Store = CalibrationStore[DemoCalibration]

FRAME = {"mjd_start": 60000.5, "spectrograph": "BSPEC"}
DARK = CalibrationSelector(cal_type="dark", match=("spectrograph",))
MINE, THEIRS = record("mine.fits", id="mine"), record("theirs.fits", id="theirs", origin="REMOTE")


def entered(manager: Any, use: Callable[[Any], object] = lambda given: None) -> None:
    with manager as given:
        use(given)


def lock_of(folder: Path) -> Path:
    """The lock file of a frame that gets the store's own calibration."""
    mine = LockedCalibration("mine.fits", "dark", "001", "LOCAL", "2023-02-25T00:00:00.000", "mine")
    frame = LockedFrame("frame.fits", FRAME, (LockedChoice("dark", "mine.fits", rule="DarkSelector"),))
    made = LockFile("demo", "0.1.0", "", ("mjd_start", "spectrograph"), (mine,), (frame,))
    return made.write(folder / "night.lock")


def locked(store: Store, folder: Path) -> Store:
    return CalibrationStore(DemoCalibration, store.cache_dir, lock=lock_of(folder))


#: A use of each public method of a store; the folder is the test's own.
STORE: dict[str, Callable[[Store, Path], object]] = {
    "affected": lambda store, folder: store.affected("mine.fits", products=[folder]),
    "among_cached": lambda store, _: store.among_cached().query("dark"),
    "calibration_in_cache": lambda store, _: store.calibration_in_cache(MINE),
    "candidates": lambda store, _: store.candidates(FRAME, DARK),
    "check_lock": lambda store, folder: store.check_lock(lock_of(folder)),
    "close": lambda store, _: store.close(),
    "conflicts": lambda store, _: store.conflicts(),
    "coverage": lambda store, _: store.coverage(),
    "download_calibration": lambda store, _: store.download_calibration(THEIRS),
    "explain": lambda store, _: store.explain(FRAME, DARK),
    "export_bundle": lambda store, folder: store.export_bundle(folder / "bundle.tar", [MINE]),
    "flag": lambda store, _: store.flag("mine.fits", "BAD", "why"),
    "get_bracket": lambda store, _: store.get_bracket(FRAME, DARK),
    "get_calibration": lambda store, _: store.get_calibration(FRAME, DARK),
    "get_calibration_by_id": lambda store, _: store.get_calibration_by_id("mine"),
    "get_calibrations": lambda store, _: store.get_calibrations(FRAME),
    "get_local_filepath": lambda store, _: store.get_local_filepath(MINE),
    "history": lambda store, _: store.history("mine.fits"),
    "known_at": lambda store, _: store.known_at(None).query("dark"),
    "import_bundle": lambda store, folder: store.import_bundle(folder / "made.tar"),
    "import_legacy": lambda store, folder: store.import_legacy(folder / "older"),
    "lock": lambda store, _: store.lock([FRAME], use={"dark": "mine"}),
    "locked_records": lambda store, folder: entered(locked(store, folder), lambda same: same.locked_records()),
    "prefetch": lambda store, _: store.prefetch([FRAME], records=[THEIRS]),
    "provenance": lambda store, _: store.provenance([MINE]),
    "prune": lambda store, _: store.prune(max_size=0),
    "publish": lambda store, folder: store.publish(upload_to=folder),
    "query": lambda store, _: store.query("dark"),
    "rebuild": lambda store, _: store.rebuild(DemoCalibration, store.cache_dir),
    "register_calibration": lambda store, folder: store.register_calibration(dark(folder / "night", "new.fits", 6e4)),
    "register_local_calibration": lambda store, folder: store.register_local_calibration(dark(folder / "night")),
    "remove": lambda store, _: store.remove("mine.fits"),
    "select": lambda store, _: store.select(FRAME, DARK),
    "select_bracket": lambda store, _: store.select_bracket(FRAME, DARK),
    "select_common": lambda store, _: store.select_common([FRAME, FRAME], DARK),
    "select_many": lambda store, _: store.select_many([FRAME, FRAME], DARK),
    "select_set": lambda store, _: store.select_set(FRAME),
    "select_sets": lambda store, _: store.select_sets([FRAME, FRAME]),
    "sync_from_remote": lambda store, _: store.sync_from_remote(),
    "to_table": lambda store, _: store.to_table([MINE]),
    "refresh": lambda store, _: store.refresh(from_files=True),
    "verify": lambda store, _: store.verify(repair=True),
}

#: The same of a local database.
DATABASE: dict[str, Callable[[Any, Path], object]] = {
    "add": lambda database, _: database.add(record("new.fits")),
    "all_said_of": lambda database, _: database.all_said_of("mine"),
    "as_of": lambda database, _: database.as_of("2026-01-01T00:00:00.000000"),
    "begin": lambda database, _: entered(database.begin(), lambda given: database.insert(given, [MINE.to_dict()])),
    "check_unchanged": lambda database, _: entered(database.driver_connection(), database.check_unchanged),
    "check_writable": lambda database, _: database.check_writable(),
    "close": lambda database, _: database.close(),
    "check_type": lambda database, _: database.check_type("nosuch"),
    "conflicts": lambda database, _: database.conflicts(),
    "connect": lambda database, _: entered(database.connect(), lambda given: given.execute(ALL).all()),
    "count": lambda database, _: database.count("dark"),
    "driver_connection": lambda database, _: entered(
        database.driver_connection(), lambda given: given.execute("SELECT * FROM demo_calibrations").fetchall()
    ),
    "execute": lambda database, _: database.execute(ALL),
    "fetch": lambda database, _: database.fetch(ALL, {}),
    "fetch_many": lambda database, _: database.fetch_many(ALL, [{}, {}], rows=False),
    "find": lambda database, _: database.find("mine.fits"),
    "get_last_updated": lambda database, _: database.get_last_updated(),
    "insert": lambda database, _: entered(database.begin(), lambda given: database.insert(given, [MINE.to_dict()])),
    "judge": lambda database, _: database.judge(MINE, "BAD", "a leak", "jane"),
    "judged_at": lambda database, _: database.judged_at("2026-01-01T00:00:00.000000"),
    "judged_here": lambda database, _: database.judged_here(),
    "last_said_of": lambda database, _: database.last_said_of(["mine"]),
    "query": lambda database, _: database.query("dark"),
    "query_by_filename": lambda database, _: database.query_by_filename("mine.fits"),
    "query_by_id": lambda database, _: database.query_by_id("mine"),
    "refuse": lambda database, _: database.refuse(CacheError("It is not written to.", "Look at it.")),
    "readable": lambda database, _: database.readable(),
    "rows": lambda database, _: database.rows(ALL, {}),
    "session_manager": lambda database, _: entered(database.session_manager(), lambda session: session.add(MINE_NEW)),
    "translated_errors": lambda database, _: entered(database.translated_errors()),
    "versions": lambda database, _: database.versions(),
}
ALL = select(DemoCalibration.table())
MINE_NEW = record("session.fits")


def filled_with_garbage(path: Path) -> None:
    path.write_bytes(b"this is no database at all" * 10_000)


def without_its_table(path: Path) -> None:
    with sqlite3.connect(path) as raw:
        raw.execute("DROP TABLE demo_calibrations")
    raw.close()


def without_any_table(path: Path) -> None:
    with sqlite3.connect(path) as raw:
        names = [name for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for name in names:
            raw.execute(f"DROP TABLE {name}")
    raw.close()


def truncated(path: Path) -> None:
    os.truncate(path, 0)


def with_a_row_of(setting: str) -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        with closing(sqlite3.connect(path)) as raw, raw:
            raw.execute(f"UPDATE demo_calibrations SET {setting} WHERE id = 'mine'")

    spoil.__name__ = f"with {setting}"
    return spoil


DAMAGES = [
    filled_with_garbage,
    without_its_table,
    without_any_table,
    truncated,
    with_a_row_of("filename = x'6162ff'"),
    with_a_row_of("spectrograph = CAST(x'ff' AS TEXT)"),
    with_a_row_of("file_size = 'much', checksum = x'ff'"),
]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a cache that holds a LOCAL and a REMOTE calibration, and a bundle."""
    folder = tmp_path_factory.mktemp("template")
    first_era(folder / "older")
    with CalibrationStore(DemoCalibration, folder / "cache", calibration_url=folder.as_uri()) as store:
        mine = store.register_calibration(dark(folder / "night", "mine.fits")).calibration
        theirs = store.register_calibration(dark(folder / "night", "theirs.fits", 60001.0), origin="REMOTE").calibration
        store.export_bundle(folder / "made.tar", [mine, theirs])
        with store.local_db.begin() as connection:
            for one, name in ((mine, "mine"), (theirs, "theirs")):
                connection.exec_driver_sql("UPDATE demo_calibrations SET id = ? WHERE id = ?", (name, one.id))
    return folder


@pytest.fixture(params=DAMAGES, ids=lambda damage: damage.__name__)
def broken(
    request: pytest.FixtureRequest, template: Path, tmp_path: Path, fresh_database: str
) -> Iterator[Callable[[], tuple[Store, Path]]]:
    """Give a function that opens a store on a cache of its own and then damages the database."""
    opened: list[Store] = []

    def opening() -> tuple[Store, Path]:
        folder = tmp_path / str(len(opened))
        shutil.copytree(template, folder)
        store = CalibrationStore(
            DemoCalibration, folder / "cache", remote_database_url=fresh_database, calibration_url=folder.as_uri()
        )
        if not opened:
            require_remote(store.settings, DemoCalibration).set_up("reader", "publisher")
        opened.append(store)
        assert len(store.local_db) == 2
        request.param(store.local_db.path)
        return store, folder

    yield opening
    for store in opened:
        store.close()


def public(owner: Any) -> list[str]:
    """The names of an object's public members."""
    names = {*dir(type(owner)), *vars(owner)} - former_names.METHODS.keys()
    return sorted(name for name in names if not name.startswith("_"))


def bare_error(call: Callable[[], object]) -> str:
    """Say which error comes that is none of ours."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            call()
    except KoaMiddlewareError:
        return ""
    except Exception as error:  # noqa: BLE001 - any other one is what is looked for
        return f"{type(error).__module__}.{type(error).__name__}: {error}"
    return ""


@pytest.mark.parametrize("of", [STORE, DATABASE], ids=["store", "database"])
def test_every_public_call_works_or_raises_an_error_of_ours(
    broken: Callable[[], tuple[Store, Path]], of: dict[str, Callable[[Any, Path], object]]
) -> None:
    found = {}
    for name in public(broken()[0] if of is STORE else broken()[0].local_db):
        store, folder = broken()
        owner = store if of is STORE else store.local_db
        is_method = inspect.isroutine(inspect.getattr_static(owner, name))
        assert not is_method or name in of, f"there is no example of how {name} is called"
        found[name] = bare_error(lambda: of[name](owner, folder) if is_method else getattr(owner, name))  # noqa: B023
    assert {name: error for name, error in found.items() if error} == {}


@pytest.mark.parametrize("broken", [each for each in DAMAGES if not each.__name__.startswith("with ")], indirect=True)
def test_what_can_not_be_read_is_a_cache_error(broken: Callable[[], tuple[Store, Path]]) -> None:
    store, _ = broken()
    for call in (store.query, lambda: len(store.local_db), lambda: store.select(FRAME, DARK), store.publish):
        with pytest.raises(CacheError) as caught:
            call()
        assert caught.value.path == store.local_db.path
