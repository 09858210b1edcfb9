"""Nothing but SQLite opens or closes a database of a cache: POSIX would cancel the locks that SQLite holds on it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import output_of, run_python
from tests.system.test_store_remote import Server

#: Does all that a store can do, and tells which databases were opened by hand, and whether the lock of a writing
#: transaction was still there at its end.
EVERYTHING = """
import json, os, sys
from datetime import timedelta
from pathlib import Path

folder, url = Path(sys.argv[1]), sys.argv[2]
opened = []

def watch(event, arguments):
    if event in ("open", "os.open") and isinstance(arguments[0], (str, bytes, os.PathLike)):
        path = os.path.realpath(os.fsdecode(arguments[0]))
        if "/database/" in path and path.endswith(".db"):
            opened.append(path)

sys.addaudithook(watch)

from sqlalchemy import event
from koa_middleware import CalibrationStore, ORMCalibration
from koa_middleware.choosing.selector import CalibrationSelector
from koa_middleware.exceptions import KoaMiddlewareError
from tests.conftest import DemoCalibration, dark, record

class NeighbourCalibration(ORMCalibration):
    instrument_name = "neighbour"

DARK = CalibrationSelector(cal_type="dark", match=("spectrograph",))
served = folder / "served"
served.mkdir()
cache = folder / "cache"
CalibrationStore(NeighbourCalibration, cache).close()
locks = []

def locked(path):
    inode = os.stat(path).st_ino
    return any(
        int(number) == os.getpid() and int(place.rpartition(":")[2]) == inode
        for _, _, _, _, number, place, *_ in map(str.split, Path("/proc/locks").read_text().splitlines())
    )

def tried(call, *arguments, **more):
    try:
        return call(*arguments, **more)
    except KoaMiddlewareError as error:
        return error

store = CalibrationStore(DemoCalibration, cache, remote_database_url=url, calibration_url=served.as_uri())
with store, CalibrationStore(DemoCalibration, cache) as second:
    @event.listens_for(store.local_db.engine, "commit")
    def check(connection):
        if connection.get_execution_options().get("sqlite_begin") == "IMMEDIATE":
            locks.append(locked(store.local_db.path))

    sources = [dark(folder / "night", f"{number}.fits", 60000.0 + number) for number in range(4)]
    records = [store.register_calibration(source).calibration for source in sources]
    store.select({"mjd_start": 60000.5, "spectrograph": "BSPEC"}, DARK)
    store.explain({"mjd_start": 60000.5, "spectrograph": "BSPEC"}, DARK)
    store.get_calibration({"mjd_start": 60000.5, "spectrograph": "BSPEC"}, DARK)
    store.flag(records[0].id, "BAD", "light leak")
    store.export_bundle(folder / "night.tar", store.query())
    store.import_bundle(folder / "night.tar")
    store.publish(records[:2])
    store.publish(upload_to=served)
    store.sync_from_remote(full=True)
    store.verify(repair=True)
    for path in (cache / "calibrations").iterdir():
        os.utime(path, (0, 0))
    assert len(store.prune(older_than=timedelta(0)).removed) == 4
    store.prefetch(records=store.query())
    store.conflicts(), store.last_sync, len(store.local_db), repr(store)
    database = store.local_db.path
    refused = [
        tried(store.register_calibration, database),
        tried(store.select, database, DARK),
        tried(store.import_bundle, database),
        tried(store.export_bundle, database, store.query(), overwrite=True),
        tried(store.export_bundle, store.cache_dir / "database" / "x.db", store.query()),
    ]
print(json.dumps({"opened": opened, "locks": locks, "refused": [type(each).__name__ for each in refused]}))
"""


@pytest.fixture
def server(fresh_database: str) -> Iterator[Server]:
    found = Server(fresh_database)
    yield found
    found.close()


@pytest.mark.skipif(not Path("/proc/locks").exists(), reason="only Linux tells of locks")
def test_nobody_but_sqlite_opens_a_database(server: Server, tmp_path: Path) -> None:
    found = json.loads(output_of(run_python(EVERYTHING, tmp_path, server.url)).splitlines()[-1])
    assert found["opened"] == []
    assert len(found["locks"]) > 10
    assert all(found["locks"])
    assert "ConfigurationError" in found["refused"]
    assert found["refused"][:3] == 3 * ["SourceFileError"]
