"""The archive over HTTP: polls, a crowd that polls and downloads, a first sync, and the delay of news."""

from __future__ import annotations

import json
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import NamedTuple
from urllib.parse import urlsplit

import numpy as np
import psutil
import requests
from astropy.io import fits
from bench_sync import _archive, local_copy
from koa_middleware import CalibrationStore
from koa_middleware.remote.postgres.engine import postgresql_engine
from koa_middleware.remote.servers import remote_at
from koa_middleware.remote.sync import synchronise
from koa_middleware.testing.postgres import PostgresServer
from made import ORM, TABLE
from measuring import Row, at_most, medians, row
from served import WRK, bare, ours, plain

HERE = Path(__file__).resolve().parent
API = "api/v1/hispec"
#: MB that the server's process may grow by while it serves a crowd.
GROWTH_LIMIT_MB = 200
POLLERS, DOWNLOADERS = 1_000, 200


def rows(quick: bool) -> Iterable[Row]:
    """Polls and their cost for the database, the crowd, the first sync beside a direct one, and a follower's delay."""
    size, seconds = (2_000, 4.0) if quick else (99_000, 10.0)
    with PostgresServer() as server, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        url = _archive(server, "served", size)
        file = _published_file(folder, url, 1 << (18 if quick else 23))
        with ours(url, folder / "cache", "hispec") as (address, process), bare(file) as beside:
            yield from _polls(url, address, beside, seconds)
            yield from _first_sync(url, address, folder, size, rounds=1 if quick else 3)
            yield _delay(url, address, folder, rounds=2 if quick else 10)
            with plain(file, folder) as (plainly, plain_name):
                yield from _crowd(address, process, file, plainly, plain_name, seconds)


def _published_file(folder: Path, url: str, size: int) -> Path:
    """Publish one calibration, whose file is in the server's cache; gives its path."""
    made = folder / "dark.fits"
    header = fits.Header({"CALTYPE": "dark", "SPECTROG": "BSPEC", "MASTCAL": True, "EXPMJDST": 61_500.0})
    pixels = np.random.default_rng(1).integers(0, 1 << 15, size // 2, dtype=np.int16)
    fits.PrimaryHDU(pixels.reshape(-1, 128), header).writeto(made)
    with CalibrationStore(ORM, folder / "cache", remote_database_url=url) as store:
        store.sync_from_remote()
        store.register_calibration(made)
        store.publish()
        (record,) = store.query(mjd_start=61_500.0)
        return store.get_local_filepath(record)


# -- polls ---------------------------------------------------------------------------------------------------------


def _polls(url: str, address: str, beside: str, seconds: float) -> Iterable[Row]:
    state = f"{address}/{API}/state"
    etag = requests.get(state, timeout=10).headers["etag"]
    before = _transactions(url)
    found = _rate(state, seconds, etag)
    asked = _transactions(url) - before
    plainly = _rate(f"{beside}/state", seconds, etag)
    note = f"{found.rate:,.0f} polls/s; {asked} transactions on PostgreSQL for {found.requests:,} polls"
    yield row("a poll with nothing new", 1 / found.rate, "304 of bare uvicorn", 1 / plainly.rate, None, note)
    direct = remote_at(url, ORM)

    def ask(_: int) -> None:
        with direct.connected() as source:
            source.state(None, None)

    times = medians({"direct": ask}, 50)
    yield row("a poll with nothing new", 1 / found.rate, "asked of PostgreSQL directly", times["direct"])


class Rate(NamedTuple):
    """What a load gave."""

    rate: float
    requests: int
    bytes_per_s: float
    failures: int


def _rate(url: str, seconds: float, etag: str = "", connections: int = 64) -> Rate:
    """Ask as fast as it goes; by wrk, else one connection after the other."""
    if WRK is None:
        return _rate_in_python(url, seconds, etag)
    known = ["-H", f"If-None-Match: {etag}"] if etag else []
    command = [WRK, "-t1", f"-c{connections}", f"-d{seconds:.0f}s", "--timeout", "60s", *known, url]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    number = int(re.search(r"(\d+) requests in", said)[1])
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1])
    size, unit = re.search(r"Transfer/sec:\s+([\d.]+)([KMG]?)B", said).groups()
    failures = sum(map(int, re.findall(r"(?:connect|read|write|timeout|responses:) (\d+)", said)))
    return Rate(rate, number, float(size) * 1024 ** " KMG".index(unit or " "), failures)


def _rate_in_python(url: str, seconds: float, etag: str) -> Rate:
    number, start = 0, perf_counter()
    with requests.Session() as session:
        while perf_counter() < start + seconds:
            session.get(url, headers={"If-None-Match": etag}, timeout=10)
            number += 1
    took = perf_counter() - start
    return Rate(number / took, number, 0.0, 0)


def _transactions(url: str) -> int:
    """How many transactions the database has had; those of other connections are told a second late."""
    time.sleep(1.5)
    with postgresql_engine(url).connect() as connection:
        asked = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()"
        return int(connection.exec_driver_sql(asked).scalar())


# -- a crowd -------------------------------------------------------------------------------------------------------


def _crowd(
    address: str, process: psutil.Process, file: Path, plainly: str, plain_name: str, seconds: float
) -> Iterable[Row]:
    """A thousand clients that poll each second, beside two hundred that download."""
    state, there = f"{address}/{API}/state", f"{address}/{API}/files/{file.name}"
    whole = requests.get(there, timeout=60)
    if whole.content != file.read_bytes():
        raise RuntimeError("the file is not what it was")
    before = _memory(process)
    with _highest(process) as highest:
        turns = [(_downloads(there, seconds), _downloads(f"{plainly}/file", seconds)) for _ in range(2)]
        polling = _start("polling.py", state, POLLERS, seconds + 4)
        time.sleep(1)
        beside = _downloads(there, seconds)
        polls = _result(polling)
    after = _memory(process)
    size = file.stat().st_size
    alone, plain_rate = (statistics.mean(each["rate"] for each in one) for one in zip(*turns, strict=True))
    for what, rate, more in (
        (f"{DOWNLOADERS} downloads at once", alone, f"a file of {size / 1e6:.1f} MB"),
        (f"beside {POLLERS:,} that poll", beside["rate"], f"{polls['polls'] / (seconds + 4):,.0f} polls/s"),
    ):
        note = f"{rate / 1e6:,.0f} MB/s; {more}"
        yield row(what, size / rate, f"{plain_name}, {plain_rate / 1e6:,.0f} MB/s", size / plain_rate, None, note)
    loads = [beside, *(ours for ours, _ in turns)]
    failed = polls["failures"] + sum(load["failures"] for load in loads)
    asked = polls["polls"] + sum(load["files"] for load in loads)
    yield Row("failed requests of the crowd", 0, "none", 0, float(failed), 0.0, f"{failed} of {asked:,.0f}")
    note = f"{polls['worst_s']:.2f} s at worst"
    yield row("a poll beside the downloads, median", polls["median_s"], "one each second", 1.0, None, note)
    grown = (max(highest) - before) / GROWTH_LIMIT_MB
    note = f"{before:.0f} MB before, {max(highest):.0f} at most, {after:.0f} after"
    yield Row("memory of the server's process", 0, f"{GROWTH_LIMIT_MB} MB more", 0, grown, 1.0, note)


def _downloads(url: str, seconds: float) -> dict[str, float]:
    """Download by two hundred clients; by wrk, which takes less of the processor than a client in Python."""
    if WRK is not None:
        by_wrk = _rate(url, seconds, connections=DOWNLOADERS)
        return {"rate": by_wrk.bytes_per_s, "files": by_wrk.requests, "failures": by_wrk.failures}
    found = _result(_start("downloading.py", url, DOWNLOADERS, seconds))
    return {**found, "rate": found["bytes"] / found["seconds"]}


def _start(script: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, HERE / script, *map(str, arguments)], stdout=subprocess.PIPE, text=True)


def _result(process: subprocess.Popen[str]) -> dict[str, float]:
    said, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"{process.args}: exit code {process.returncode}")
    return json.loads(said)


def _memory(process: psutil.Process) -> float:
    return process.memory_info().rss / 1e6


@contextmanager
def _highest(process: psutil.Process) -> Iterator[list[float]]:
    """Look at a process's memory, in MB, until the end."""
    found, ended = [_memory(process)], threading.Event()

    def look() -> None:
        while not ended.wait(0.1):
            found.append(_memory(process))

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield found
    finally:
        ended.set()
        looking.join()


# -- following -----------------------------------------------------------------------------------------------------


def _first_sync(url: str, address: str, folder: Path, size: int, rounds: int) -> Iterable[Row]:
    def sync(name: str, there: str, number: int) -> None:
        copy = local_copy(folder / f"{name}-{number}.db")
        synchronise(copy, remote_at(there, ORM))
        copy.close()

    calls = {
        name: lambda n, name=name, there=there: sync(name, there, n)
        for name, there in (("http", address), ("direct", url))
    }
    found = medians(calls, rounds)
    with _counted(address) as (through, crossed):
        sync("counted", through, 0)
    note = f"{sum(crossed) / 1e6:.1f} MB crossed"
    yield row(f"first sync of {size:,} rows", found["http"], "from PostgreSQL", found["direct"], 2.5, note)


@contextmanager
def _counted(address: str) -> Iterator[tuple[str, list[int]]]:
    """Stand before a server, and count the bytes of its answers."""
    there, crossed = urlsplit(address), [0]
    listening = socket.create_server(("127.0.0.1", 0))

    def pump(source: socket.socket, target: socket.socket, *, counts: bool) -> None:
        while some := source.recv(1 << 16):
            target.sendall(some)
            crossed.append(len(some) * counts)
        target.shutdown(socket.SHUT_WR)

    def take() -> None:
        while True:
            try:
                near, _ = listening.accept()
            except OSError:
                return
            far = socket.create_connection((there.hostname, there.port))
            threading.Thread(target=pump, args=(near, far), kwargs={"counts": False}, daemon=True).start()
            threading.Thread(target=pump, args=(far, near), kwargs={"counts": True}, daemon=True).start()

    threading.Thread(target=take, daemon=True).start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}", crossed
    listening.close()


def _delay(url: str, address: str, folder: Path, rounds: int) -> Row:
    """How long after its commit a flag is in the copy of one who asks each second."""
    copy, remote = local_copy(folder / "http-0.db"), remote_at(address, ORM)
    synchronise(copy, remote)
    ended, delays = threading.Event(), []
    engine = postgresql_engine(url)

    def follow() -> None:
        while not ended.wait(1):
            synchronise(copy, remote)

    following = threading.Thread(target=follow)
    following.start()
    for number in range(rounds):
        with engine.begin() as connection:
            changed = f"UPDATE {TABLE} SET koa_id = 'K{number}' WHERE id = (SELECT min(id) FROM {TABLE}) RETURNING id"
            identifier = connection.exec_driver_sql(changed).scalar()
        start = perf_counter()
        while not copy.query(id=identifier, koa_id=f"K{number}"):
            time.sleep(0.005)
        delays.append(perf_counter() - start)
        time.sleep(0.1 * number % 1)
    ended.set()
    following.join()
    copy.close()
    return at_most(
        "from a commit to a follower's copy", statistics.median(delays), 2.0, f"{max(delays):.2f} s at worst"
    )
