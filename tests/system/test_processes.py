"""Stores in several processes: pickled, forked, beside open sessions, and inside a model's save()."""

from __future__ import annotations

import copy
import multiprocessing
import os
import pickle
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from koa_middleware import CacheError, CalibrationSelector, CalibrationStore
from koa_middleware import importing as modules
from koa_middleware.database import driver, local, sqlite
from sqlalchemy import select, text, update

from tests.conftest import DemoCalibration, dark, output_of, record, run_python, write_fits

#: Of forks beside threads, which is what is tested.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")

Store = CalibrationStore[DemoCalibration]
FRAME = {"mjd_start": 60000.0}
DARK = CalibrationSelector(cal_type="dark")


def chosen(store: Store) -> str:
    return store.get_calibration(FRAME, DARK).path.name


@pytest.fixture
def filled(store: Store, tmp_path: Path) -> Store:
    store.register_calibration(dark(tmp_path / "night"))
    return store


# -- copies ------------------------------------------------------------------------------------------------------------


def test_a_copy_has_the_settings_and_connections_of_its_own(
    open_demo: Callable[..., Store], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "postgresql://reader:secret@127.0.0.1:1/archive"
    store = open_demo(use_cached=False, offline=True, remote_database_url=url, sync_if_older_than=3600)
    store.register_calibration(dark(tmp_path / "night"))
    monkeypatch.setenv("KOA_CALIBRATION_CACHE", str(tmp_path / "elsewhere"))
    for one in (pickle.loads(pickle.dumps(store)), copy.copy(store), copy.deepcopy(store)):
        assert one.settings == store.settings
        assert repr(one) == repr(store)
        assert one.local_db is not store.local_db
        store.close()
        assert chosen(one) == "dark.fits"
        one.close()
    assert chosen(store) == "dark.fits"


POOL = """
import multiprocessing, sys
from concurrent.futures import ProcessPoolExecutor
from tests.conftest import DemoCalibration
from tests.system.test_processes import chosen
from koa_middleware import CalibrationStore

store = CalibrationStore(DemoCalibration, sys.argv[1])
with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(sys.argv[2])) as pool:
    print([chosen(store), *pool.map(chosen, [store] * 3), chosen(store)])
"""

DASK = """
import sys
from distributed import Client, LocalCluster
from tests.conftest import DemoCalibration
from tests.system.test_processes import chosen
from koa_middleware import CalibrationStore

store = CalibrationStore(DemoCalibration, sys.argv[1])
with LocalCluster(n_workers=1, threads_per_worker=2, dashboard_address=None) as cluster, Client(cluster) as client:
    print(client.gather([client.submit(chosen, store, pure=False) for _ in range(5)]))
"""


@pytest.mark.parametrize("method", ["spawn", "fork", "forkserver"])
def test_a_store_goes_to_processes_however_they_start(filled: Store, method: str) -> None:
    assert output_of(run_python(POOL, filled.cache_dir, method)) == f"{['dark.fits'] * 5}\n"


def test_a_store_goes_to_the_workers_of_a_dask_cluster(filled: Store, tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    assert output_of(run_python(DASK, filled.cache_dir, cwd=tmp_path)) == f"{['dark.fits'] * 5}\n"


# -- sessions ----------------------------------------------------------------------------------------------------------

REGISTER = """
import sys
from tests.conftest import DemoCalibration
from koa_middleware import CalibrationStore
with CalibrationStore(DemoCalibration, sys.argv[1]) as store:
    print(store.register_calibration(sys.argv[2]).path.name, len(store.query()))
"""


def test_a_session_that_has_only_read_stops_nobody(filled: Store, tmp_path: Path) -> None:
    new = dark(tmp_path / "night", "new.fits", 60001.0)
    with filled.local_db.session_manager() as session:
        rows = session.execute(select(DemoCalibration.table()))
        rows.fetchone()  # and the others are not fetched yet
        assert len(session.scalars(select(DemoCalibration)).all()) == 1
        assert output_of(run_python(REGISTER, filled.cache_dir, new)) == "new.fits 2\n"
        assert len(session.scalars(select(DemoCalibration)).all()) == 2


def test_a_session_that_writes_is_one_transaction(filled: Store) -> None:
    def fail() -> None:
        with filled.local_db.session_manager() as session:
            session.add(record("first.fits"))
            session.flush()
            session.execute(text("UPDATE demo_calibrations SET quality = 'BAD'"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert [(each.filename, each.quality) for each in filled.query()] == [("dark.fits", "GOOD")]
    with filled.local_db.session_manager() as session:
        with session.begin_nested():
            session.add(record("second.fits"))
        session.add(record("third.fits"))
    assert len(filled.query()) == 3


@contextmanager
def patience(monkeypatch: pytest.MonkeyPatch, seconds: float) -> Iterator[None]:
    with monkeypatch.context() as patched:
        patched.setattr(sqlite, "BUSY_TIMEOUT", seconds)
        patched.setattr(local, "BUSY_TIMEOUT", seconds)
        yield


def test_who_waits_in_vain_is_told_whether_others_read_or_write(
    open_demo: Callable[..., Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    with patience(monkeypatch, 0.3):
        store = open_demo()
    with sqlite3.connect(store.local_db.path, isolation_level=None) as raw:
        raw.execute("BEGIN")
        raw.execute("SELECT * FROM demo_calibrations").fetchall()
        with (
            patience(monkeypatch, 0.3),
            pytest.raises(CacheError, match="Others have been reading it for more than 0 s"),
        ):
            store.local_db.add(record())
        raw.execute("ROLLBACK")
        raw.execute("BEGIN EXCLUSIVE")
        for call in (lambda: store.local_db.add(record()), store.query):
            with patience(monkeypatch, 0.3), pytest.raises(CacheError, match="process or thread has been writing"):
                call()
        raw.execute("ROLLBACK")
    raw.close()
    store.local_db.add(record())


# -- inside save() -----------------------------------------------------------------------------------------------------


class Model:
    """A pipeline's model whose save() uses the store."""

    def __init__(self, use: Callable[[], object]) -> None:
        self._use = use

    def to_record(self) -> dict[str, Any]:
        return {"filename": "saved.fits", "cal_type": "dark", "mjd_start": 60005.0}

    def save(self, output_dir: Path) -> Path:
        self._use()
        return write_fits(Path(output_dir) / "saved.fits", {"CALTYPE": "dark"})


def test_a_write_inside_save_is_refused_at_once_and_a_read_works(filled: Store, tmp_path: Path) -> None:
    other = CalibrationStore(DemoCalibration, filled.cache_dir)
    new = dark(tmp_path / "night", "new.fits", 60001.0)
    for write in (
        lambda: filled.flag("dark.fits", "BAD", "why"),
        lambda: filled.register_calibration(new),
        lambda: other.local_db.add(record()),
    ):
        started = time.monotonic()
        with pytest.raises(CacheError, match=r"this thread itself is writing to it.*when .*save\(\) .* is done"):
            filled.register_calibration(Model(write))
        assert time.monotonic() - started < 20
        assert [each.filename for each in filled.query()] == ["dark.fits"]
    assert filled.register_calibration(Model(lambda: chosen(filled))).path.name == "saved.fits"
    other.close()


def test_a_write_inside_ones_own_session_that_writes_is_refused_at_once(filled: Store) -> None:
    with filled.local_db.session_manager() as session:
        session.add(record("mine.fits"))
        session.flush()
        with pytest.raises(CacheError, match="when the session"):
            filled.flag("dark.fits", "BAD", "why")
    assert filled.flag("dark.fits", "BAD", "why").quality == "BAD"


# -- forks -------------------------------------------------------------------------------------------------------------


def in_a_fork(call: Callable[[], object], seconds: float = 60) -> str:
    """What a call in a forked child gives, or its error's class and sentence; a child that hangs is killed."""
    parent, child = multiprocessing.Pipe()

    def answer() -> None:
        try:
            child.send(str(call()))
        except BaseException as error:  # noqa: BLE001
            child.send(f"{type(error).__name__}: {error}")

    process = multiprocessing.get_context("fork").Process(target=answer)
    process.start()
    answered = parent.poll(seconds)
    if not answered:
        process.kill()
    process.join()
    return str(parent.recv()) if answered else "it hangs"


def test_children_forked_while_threads_write_and_read_do_not_hang_and_harm_nothing(filled: Store) -> None:
    stop = threading.Event()

    def writing() -> None:
        while not stop.is_set():
            filled.flag("dark.fits", "GOOD", "again")

    def reading() -> None:
        while not stop.is_set():
            chosen(filled)

    threads = [threading.Thread(target=target) for target in (writing, reading, reading)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(15):
            assert in_a_fork(lambda: chosen(filled)) == "dark.fits"
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    with filled.local_db.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"


def test_a_child_forked_while_a_thread_does_not_leave_sqlite_is_told_so(
    filled: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "FORK_PATIENCE", 0.2)
    inside, leave = threading.Event(), threading.Event()

    def stay(_: object) -> int:
        inside.set()
        leave.wait(60)
        return 1

    def work() -> None:
        with filled.local_db.driver_connection() as connection:
            connection.create_function("stay", 1, stay)
            connection.execute("SELECT stay(1)")

    thread = threading.Thread(target=work)
    thread.start()
    inside.wait(60)
    try:
        said = in_a_fork(lambda: chosen(filled))
    finally:
        leave.set()
        thread.join()
    assert said.startswith("CacheError")
    assert "another thread was inside SQLite. Start processes with spawn or forkserver" in said
    assert in_a_fork(lambda: chosen(filled)) == "dark.fits"


def rename(session: Any, store: Store, spectrograph: str) -> None:
    session.execute(update(store.orm_class).values(spectrograph=spectrograph))


def test_a_fork_waits_for_the_transactions_of_other_threads_and_the_child_writes_at_once(filled: Store) -> None:
    begun = threading.Event()

    def work() -> None:
        with filled.local_db.session_manager() as session:
            rename(session, filled, "RSPEC")
            begun.set()
            time.sleep(0.3)

    def judge() -> str:
        started = time.monotonic()
        quality = filled.flag("dark.fits", "BAD", "in the child").quality
        return f"{quality} {filled.query()[0].spectrograph} {time.monotonic() - started < 5}"

    thread = threading.Thread(target=work)
    thread.start()
    begun.wait(60)
    assert in_a_fork(judge) == "BAD RSPEC True"
    thread.join()
    assert filled.query()[0].quality == "BAD"


@pytest.mark.parametrize("whose", ["its own thread's", "another thread's"])
def test_a_child_forked_while_a_transaction_stays_open_is_told_so(
    filled: Store, whose: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "FORK_PATIENCE", 0.2)
    begun, end = threading.Event(), threading.Event()

    def work(then: Callable[[], object]) -> None:
        with filled.local_db.session_manager() as session:
            rename(session, filled, "RSPEC")
            begun.set()
            then()

    said = []
    if whose == "another thread's":
        thread = threading.Thread(target=work, args=[lambda: end.wait(60)])
        thread.start()
        begun.wait(60)
        said.append(in_a_fork(lambda: chosen(filled)))
        end.set()
        thread.join()
    else:
        work(lambda: said.append(in_a_fork(lambda: chosen(filled))))
    assert said[0].startswith("CacheError")
    assert "forked while a transaction was open" in said[0]
    assert filled.query()[0].spectrograph == "RSPEC"


IMPORTING = """
import os, signal, sys, threading, time
from pathlib import Path
from koa_middleware.disk.fits import open_fits

def read():
    with open_fits(Path(sys.argv[1])) as hdus:
        return hdus[0].header["SPECTROG"]

thread = threading.Thread(target=read)
thread.start()
while "astropy.io" not in sys.modules:
    time.sleep(0.001)
child = os.fork()
if not child:
    signal.alarm(20)
    os._exit(read() != "BSPEC")
thread.join()
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_child_forked_while_a_thread_imports_astropy_reads_fits_files(tmp_path: Path) -> None:
    assert output_of(run_python(IMPORTING, dark(tmp_path))) == "0\n"


def test_a_fork_does_not_wait_for_ever_for_an_import(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modules, "FORK_PATIENCE", 0.1)
    inside, leave = threading.Event(), threading.Event()

    def stay() -> None:
        with modules.importing:
            inside.set()
            leave.wait(60)

    def enter() -> str:
        with modules.importing:
            return "the lock is free"

    thread = threading.Thread(target=stay)
    thread.start()
    inside.wait(60)
    try:
        assert in_a_fork(enter, 20) == "the lock is free"
    finally:
        leave.set()
        thread.join()
    with modules.importing:
        assert in_a_fork(enter, 20) == "the lock is free"
    assert enter() == "the lock is free"


def test_a_fork_in_the_middle_of_a_transaction_leaves_it_to_the_parent(filled: Store) -> None:
    with filled.local_db.session_manager() as session:
        session.add(record("mine.fits"))
        session.flush()
        child = os.fork()
        if not child:
            refused = 0
            for work in (session.commit, lambda: CalibrationStore(DemoCalibration, filled.cache_dir)):
                try:
                    work()
                except Exception:  # noqa: BLE001 - the parent's, and refused
                    refused += 1
            os._exit(refused)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 2
    assert {each.filename for each in filled.query()} == {"dark.fits", "mine.fits"}
