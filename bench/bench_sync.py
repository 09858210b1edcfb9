"""Following a remote table: the first sync, one with nothing new, a hundred clients at once, and the writer's cost."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from time import perf_counter
from typing import Any

from koa_middleware.database.local import LocalDatabase
from koa_middleware.remote.local_copy import open_copy
from koa_middleware.remote.postgres.engine import postgresql_engine
from koa_middleware.remote.servers import remote_at
from koa_middleware.remote.sync import follow, synchronise
from koa_middleware.testing.postgres import PostgresServer
from made import COLUMNS, ORM, TABLE
from measuring import Row, at_most, medians, row

#: Every value is made by the server; twenty columns or so, as an archive has them.
FILL = f"""INSERT INTO {TABLE} (id, filename, cal_type, datetime_obs, mjd_start, origin, checksum, file_size,
        spectrograph, instrument_era, koa_id, koa_filepath, drp_version, last_processed)
    SELECT gen_random_uuid()::text, 'HB.' || lpad(i::text, 8, '0') || '.fits', 'dark',
        to_char(timestamp '2025-11-21' + i * interval '86.4 s', 'YYYY-MM-DD"T"HH24:MI:SS.MS'), 61000 + i * 0.001,
        'REMOTE', 'sha256:' || md5(i::text) || md5((-i)::text), 536870912 + i, 'BSPEC', '1.0.0',
        'HB.' || i, '/koa/hispec/2026/' || i || '.fits', 'v1.0', '2026-01-02T00:00:00.000'
    FROM generate_series(1, %s) AS i"""

#: A first sync in a process of its own; prints its peak of memory in MB.
CHILD = """
import sys
sys.path.insert(0, sys.argv[3])
from bench_sync import ORM, local_copy, remote_at, synchronise
synchronise(local_copy(sys.argv[2]), remote_at(sys.stdin.read(), ORM))
with open("/proc/self/status") as status:  # getrusage tells of the process that this one was forked from, too
    print(next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024)
"""
MEMORY_LIMIT_MB = 150
CLIENTS = 100


def rows(quick: bool) -> Iterable[Row]:
    """The first sync, its memory, nothing new in a small and a large table, and many clients."""
    first, large = (2_000, 10_000) if quick else (100_000, 1_000_000)
    with PostgresServer() as server, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        url = _archive(server, "first", first)
        yield _first_sync(url, folder, first, rounds=1 if quick else 5)
        big = _archive(server, "large", large)
        yield _memory(big, folder / "memory.db", large)
        small = _archive(server, "small", 1_000)
        rounds = 5 if quick else 50
        yield _nothing_new(small, big, folder, large, rounds)
        yield _nothing_new_on_an_open_connection(big, folder / "memory.db", large, rounds)
        yield _conflicts(small, folder / "conflicts.db", 400 if quick else 4_000, rounds)
        yield _many(url, folder, first)
        yield from _writing(server.url_for("small"), first)


def local_copy(path: str | Path) -> LocalDatabase[Any]:
    """Local database at a path; an empty one where there is none."""
    return LocalDatabase(ORM, Path(path))


def _archive(server: PostgresServer, name: str, size: int) -> str:
    owner = postgresql_engine(server.url)
    with owner.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    engine = postgresql_engine(server.url_for(name))
    remote = remote_at(server.url_for(name), ORM)
    remote.set_up("reader", "publisher")
    with engine.begin() as connection:  # whose rows are not what is measured
        connection.exec_driver_sql(f"ALTER TABLE {TABLE} DISABLE TRIGGER ALL")
        connection.exec_driver_sql(FILL, (size,))
    remote.set_up("reader", "publisher")
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE")
    return server.url_for(name)


def _first_sync(url: str, folder: Path, size: int, rounds: int) -> Row:
    remote, engine = remote_at(url, ORM), postgresql_engine(url)

    def ours(number: int) -> None:
        copy = local_copy(folder / f"ours-{number}.db")
        synchronise(copy, remote)
        copy.close()

    def bare(number: int) -> None:
        path = folder / f"bare-{number}.db"
        local_copy(path).close()
        names = ", ".join(COLUMNS)
        upsert = (
            f"INSERT INTO {TABLE} ({names}) VALUES ({', '.join('?' * len(COLUMNS))}) "
            f"ON CONFLICT (id) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in COLUMNS)}"
        )
        connection = engine.raw_connection()
        with closing(connection), closing(sqlite3.connect(path)) as copy:
            for (trigger,) in copy.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
                copy.execute(f"DROP TRIGGER {trigger}")
            cursor = connection.cursor("bare")
            cursor.execute(f"SELECT {names} FROM {TABLE}")
            while some := cursor.fetchmany(5_000):
                copy.executemany(upsert, some)
            copy.commit()

    found = medians({"ours": ours, "bare": bare}, rounds)
    return row(
        f"first sync of {size:,} rows", found["ours"], "cursor into executemany", found["bare"], 2.0, "with derive"
    )


def _memory(url: str, path: Path, size: int) -> Row:
    command = [sys.executable, "-c", CHILD, "-", path, Path(__file__).parent]
    start = perf_counter()
    done = subprocess.run(command, input=url, capture_output=True, text=True, check=True)
    seconds, peak = perf_counter() - start, float(done.stdout)
    what = f"memory of the first sync of {size:,} rows"
    return Row(what, seconds, f"{MEMORY_LIMIT_MB} MB", seconds, peak / MEMORY_LIMIT_MB, 1.0, f"{peak:.0f} MB at most")


def _nothing_new(small: str, large: str, folder: Path, size: int, rounds: int) -> Row:
    calls = {}
    for name, url in {"small": small, "large": large}.items():
        copy = folder / "memory.db" if name == "large" else folder / "small.db"
        local, remote = local_copy(copy), remote_at(url, ORM)
        synchronise(local, remote)
        calls[name] = lambda _, local=local, remote=remote: synchronise(local, remote)
    found = medians(calls, rounds, warm_up=3)
    what = f"sync with nothing new, {size:,} rows"
    return row(what, found["large"], "in 1,000 rows", found["small"], 1.3, "connecting, one round trip, one commit")


def _nothing_new_on_an_open_connection(url: str, path: Path, size: int, rounds: int) -> Row:
    local, remote = local_copy(path), remote_at(url, ORM)
    with open_copy(local) as copy, remote.connected() as source:
        times = medians({"ours": lambda _: follow(local, copy, source, remote.host)}, rounds, warm_up=3)
    return at_most(f"nothing new, {size:,} rows, connection open", times["ours"], 0.005, "one round trip, one commit")


def _conflicts(url: str, path: Path, number: int, rounds: int) -> Row:
    local, remote = local_copy(path), remote_at(url, ORM)
    synchronise(local, remote)
    plain = local_copy(path.with_name("plain.db"))
    synchronise(plain, remote)
    apart = f"""INSERT INTO {TABLE}_conflicts (id, filename, reason, local_id, record)
        WITH RECURSIVE count(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM count WHERE i < {number})
        SELECT 'apart-' || i, i || '.fits', 'a LOCAL record has this file name', 'mine-' || i, '{{}}' FROM count"""
    with local.begin() as connection:
        connection.exec_driver_sql(apart)
    found = medians(
        {"apart": lambda _: synchronise(local, remote), "none": lambda _: synchronise(plain, remote)}, rounds, warm_up=3
    )
    return row(f"nothing new, {number:,} conflicts", found["apart"], "no conflict", found["none"], 1.3)


def _writing(url: str, size: int) -> Iterable[Row]:
    """One transaction of many rows, and one row alone, with the feed and without."""
    engine = postgresql_engine(url)
    bare = f"CREATE TABLE bare_{TABLE} (LIKE {TABLE} INCLUDING ALL)"
    with engine.begin() as connection:
        connection.exec_driver_sql(bare)

    def write(table: str, number: int) -> None:
        with engine.begin() as connection:
            connection.exec_driver_sql(FILL.replace(TABLE, table).replace("'HB.'", f"'{perf_counter()}.'"), (number,))

    for number, rounds in ((size, 3), (1, 20)):
        found = medians(
            {name: lambda _, name=name, number=number: write(name, number) for name in (TABLE, f"bare_{TABLE}")}, rounds
        )
        ours, without = found[TABLE], found[f"bare_{TABLE}"]
        each = f"{1e6 * (ours - without) / number:.0f} us for each row"
        yield row(f"writing {number:,} rows at once", ours, "without triggers", without, None, each)


def _many(url: str, folder: Path, size: int) -> Row:
    remote = remote_at(url, ORM)
    first = folder / "first.db"
    synchronise(local_copy(first), remote)
    copies = [local_copy(folder / f"client-{number}.db") for number in range(CLIENTS)]
    for number in range(CLIENTS):
        (folder / f"client-{number}.db").write_bytes(first.read_bytes())
    with postgresql_engine(url).begin() as connection:
        connection.exec_driver_sql(f"UPDATE {TABLE} SET quality = 'BAD' WHERE mjd_start < 61000.1")
    start = perf_counter()
    with ThreadPoolExecutor(CLIENTS) as pool:
        results = list(pool.map(lambda copy: synchronise(copy, remote), copies))
    seconds = perf_counter() - start
    if {result.changed for result in results} != {99}:
        raise RuntimeError("a client missed a change")
    return at_most(f"{CLIENTS} clients at once bring 99 changes", seconds, 30.0, f"each of {size:,} rows")
