"""Sixteen processes that do all kinds of work on one cache at once, whose archive others fill meanwhile."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from koa_middleware import CalibrationStore

from tests.conftest import DemoCalibration, output_of, record, repetitions, run_python
from tests.system.test_store_remote import Server

#: Tells the rounds that each process did, and the names that it flagged and published.
CROWD = """
import json, multiprocessing, sys, time
from datetime import timedelta
from pathlib import Path
from koa_middleware import CalibrationSelector, CalibrationStore
from tests.conftest import DemoCalibration, dark

folder, url, end = Path(sys.argv[1]), sys.argv[2], time.monotonic() + float(sys.argv[3])
DARK = CalibrationSelector(cal_type="dark", match=("spectrograph",))

def work(number):
    rounds, flagged, published = 0, [], []
    served = folder / "served"
    while not rounds or time.monotonic() < end:
        settings = {"calibration_url": served.as_uri(), "remote_database_url": url}
        with CalibrationStore(DemoCalibration, folder / "cache", **settings) as store:
            mjd, name = 60000.0 + 100 * number + rounds, f"{number}-{rounds}.fits"
            bad = store.register_calibration(dark(folder / f"night{number}", name, mjd)).calibration
            flagged.append(store.flag(bad.id, "BAD", "tried").filename)
            store.prune(older_than=timedelta(days=1))
            store.get_calibration_by_id(bad.id)
            good = dark(folder / f"night{number}", f"good-{name}", 10000.0 + mjd)
            newest = store.register_calibration(good).calibration
            assert store.select({"mjd_start": newest.mjd_start, "spectrograph": "BSPEC"}, DARK).id == newest.id
            if (rounds + number) % 4 == 0:
                store.publish([newest], upload_to=served)
                published.append(newest.filename)
            else:
                store.sync_from_remote()
            if rounds % 5 == 4:
                assert store.verify().ok
        rounds += 1
    return rounds, flagged, published

with multiprocessing.get_context("fork").Pool(16) as pool:
    print(json.dumps(pool.map(work, range(16), chunksize=1)))
"""


@pytest.fixture
def server(fresh_database: str) -> Iterator[Server]:
    found = Server(fresh_database)
    yield found
    found.close()


def filled(server: Server, stop: threading.Event) -> set[str]:
    """Let others publish one calibration after the other; gives the file names."""
    names = []
    while not stop.wait(0.1):
        names.append(f"theirs{len(names)}.fits")
        server.insert(record(names[-1], 80000.0 + len(names)))
    return set(names)


@pytest.mark.soak
def test_processes_that_do_all_kinds_of_work_at_once_all_succeed_and_lose_nothing(
    server: Server, tmp_path: Path
) -> None:
    (tmp_path / "served").mkdir()
    running = run_python(CROWD, tmp_path, server.url, repetitions(1, 60))
    stop = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        filling = pool.submit(filled, server, stop)
        try:
            done = json.loads(output_of(running))
        finally:
            stop.set()
    theirs = filling.result()
    rounds = sum(each for each, _, _ in done)
    flagged, published = ({name for each in done for name in each[place]} for place in (1, 2))
    with CalibrationStore(DemoCalibration, tmp_path / "cache", remote_database_url=server.url) as store:
        store.sync_from_remote()
        assert store.verify().ok
        found = store.query()
    assert len(found) == len({each.filename for each in found}) == 2 * rounds + len(theirs)
    assert {each.filename for each in found if each.quality == "BAD"} == flagged
    assert {each.filename for each in found if each.origin == "REMOTE"} == published | theirs
    there = [row["filename"] for row in server.rows().values()]
    assert sorted(there) == sorted(published | theirs)
    with closing(sqlite3.connect(tmp_path / "cache" / "database" / "demo_calibrations.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        judged = "SELECT count(DISTINCT id) FROM demo_calibrations_feed WHERE op = 'flagged'"
        assert connection.execute(judged).fetchone() == (rounds,)
