"""Many publishers write, clients are killed and the server fails; in the end all have the same rows."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg2
import pytest
from koa_middleware.database.local import LocalDatabase
from koa_middleware.remote.postgres.engine import postgresql_engine
from koa_middleware.remote.postgres.schema import initialise
from koa_middleware.remote.servers import remote_at
from koa_middleware.remote.sync import synchronise
from koa_middleware.server.state_cache import KEEP_S
from servers import Server, needs_servers
from sqlalchemy import text
from survey import COLUMNS, FILL, Survey
from web import Web

from tests.conftest import repetitions

ROUNDS = {"postgresql": repetitions(2, 300), "http": repetitions(1, 300)}
ROWS = repetitions(2_000, 20_000)
PUBLISHERS, SLOW_PUBLISHERS, CLIENTS = 8, 3, 3
ISOLATIONS = ("READ COMMITTED", "READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE")
#: Of every so many rounds, the one before which it happens.
CRASH, TRUNCATION, BACKUP, PUT_BACK = (7, 1), (5, 2), (9, 4), (9, 6)
LOCAL_NAMES = [f"taken-{number}.fits" for number in range(20)]
INSERT = """INSERT INTO survey_calibrations
    (id, filename, cal_type, datetime_obs, mjd_start, quality, checksum, exptime, koa_id)
    VALUES (%s, %s, 'flat', '2026-02-03T04:05:06.789', %s, 'GOOD', %s, %s, %s)"""


class Publisher(threading.Thread):
    """Writes random transactions until told to end; every statement stands inside `gate`."""

    def __init__(self, url: str, seed: int, *, slow: bool) -> None:
        super().__init__(daemon=True)
        self.url, self.slow = url, slow
        self.random = random.Random(seed)
        self.gate = threading.Lock()
        self.ended = threading.Event()
        self.transactions = 0
        self.deleted: list[str] = []
        self.failure: BaseException | None = None

    def run(self) -> None:
        while not self.ended.is_set():
            try:
                with self._connection() as connection:
                    while not self.ended.is_set():
                        self._transaction(connection)
            except psycopg2.Error as error:
                # A file name taken by another publisher, a deadlock, or the server's restart: begin again.
                if not isinstance(error, (psycopg2.IntegrityError, psycopg2.OperationalError)):
                    self.failure = error
                    return
                time.sleep(0.02)

    @contextmanager
    def _connection(self) -> Iterator[psycopg2.extensions.connection]:
        connection = psycopg2.connect(self.url)
        try:
            yield connection
        finally:
            connection.close()

    def _transaction(self, connection: psycopg2.extensions.connection) -> None:
        cursor = connection.cursor()
        deleted: list[str] = []
        with self.gate:
            cursor.execute(f"SET TRANSACTION ISOLATION LEVEL {self.random.choice(ISOLATIONS)}")
            cursor.execute("SET LOCAL lock_timeout = '300ms'")
            cursor.execute(f"SET LOCAL synchronous_commit = {self.random.choice(['on', 'off'])}")
            if self.random.random() < 0.2:
                self._judge(cursor)
        for _ in range(self.random.randint(1, 5)):
            with self.gate:
                deleted += self._write(cursor)
            time.sleep(self.random.random() * (1.5 if self.slow else 0.02))
        with self.gate:
            if self.random.random() < 0.2:
                connection.rollback()
            else:
                connection.commit()
                self.deleted += deleted
            self.transactions += 1

    def _judge(self, cursor: psycopg2.extensions.cursor) -> None:
        """Give a reason for what the transaction does."""
        reason = ("ann", f"a trail {self.random.random()}")
        cursor.execute("SELECT set_config('koa.who', %s, true), set_config('koa.why', %s, true)", reason)

    def _some(self, count: int) -> str:
        return f"""(SELECT id FROM survey_calibrations WHERE id > '{uuid.UUID(int=self.random.getrandbits(128))}'
            ORDER BY id LIMIT {count} FOR UPDATE SKIP LOCKED)"""

    def _write(self, cursor: psycopg2.extensions.cursor) -> list[str]:
        count, dice = self.random.randint(1, 30), self.random.random()
        if dice < 0.25:
            for _ in range(count):
                self._insert(cursor, str(uuid.UUID(int=self.random.getrandbits(128))))
        elif dice < 0.4:
            cursor.execute(f"UPDATE survey_calibrations SET quality = 'BAD' WHERE id IN {self._some(count)}")
        elif dice < 0.5:
            cursor.execute(f"UPDATE survey_calibrations SET exptime = random() WHERE id IN {self._some(count)}")
        elif dice < 0.75:
            cursor.execute(f"DELETE FROM survey_calibrations WHERE id IN {self._some(count)} RETURNING id")
            return [row[0] for row in cursor.fetchall()]
        elif dice < 0.8 and self.deleted:
            self._insert(cursor, self.deleted.pop())
        elif dice < 0.85:
            self._swap_names(cursor)
        elif dice < 0.9:
            cursor.execute("SAVEPOINT s")
            cursor.execute(f"UPDATE survey_calibrations SET nframes = 9 WHERE id IN {self._some(count)}")
            if not self.slow and self.random.random() < 0.3:  # it holds the feed from now on
                cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            cursor.execute(self.random.choice(["ROLLBACK TO s", "RELEASE s"]))
        elif dice < 0.95:
            cursor.execute(
                f"UPDATE survey_calibrations SET filename = %s WHERE id IN {self._some(1)}"
                " AND NOT EXISTS (SELECT 1 FROM survey_calibrations WHERE filename = %s)",
                (name := self.random.choice(LOCAL_NAMES), name),
            )
        else:
            cursor.execute(
                f"UPDATE survey_calibrations SET filename = id || '.fits' WHERE id IN {self._some(3)}"
                " OR (filename = %s AND pg_try_advisory_xact_lock(1))",
                (self.random.choice(LOCAL_NAMES),),
            )
        return []

    def _insert(self, cursor: psycopg2.extensions.cursor, identifier: str) -> None:
        value = self.random.random()
        cursor.execute(
            INSERT, (identifier, f"{uuid.uuid4()}.fits", 61074 + value, f"sha256:{value}", value, f"K{value}")
        )

    def _swap_names(self, cursor: psycopg2.extensions.cursor) -> None:
        cursor.execute(
            f"SELECT id, filename FROM survey_calibrations WHERE id IN {self._some(2)} FOR UPDATE SKIP LOCKED"
        )
        found = cursor.fetchall()
        if len(found) == 2:
            (first, name), (second, other) = found
            update = "UPDATE survey_calibrations SET filename = %s WHERE id = %s"
            for filename, identifier in ((f"{uuid.uuid4()}", first), (name, second), (other, first)):
                cursor.execute(update, (filename, identifier))


class Client:
    """A process that follows the remote into a database file."""

    def __init__(self, starter: subprocess.Popen[str], url: str, path: Path) -> None:
        self.starter, self.url, self.path = starter, url, path
        self.pid: int | None = None
        self.kills = 0
        self.reset()

    def reset(self) -> None:
        """Begin with an empty database that holds some LOCAL records."""
        self.path.unlink(missing_ok=True)
        LocalDatabase(Survey, self.path).close()
        with sqlite3.connect(self.path) as database:
            marks = ", ".join("?" * len(COLUMNS))
            for name in LOCAL_NAMES:
                record = Survey(
                    filename=name, cal_type="dark", datetime_obs="2026-01-01T00:00:00", checksum="sha256:1a"
                )
                database.execute(f"INSERT INTO survey_calibrations VALUES ({marks})", tuple(record.to_dict().values()))
        database.close()

    def start(self) -> None:
        self.starter.stdin.write(f"{self.url} {self.path} {random.choice([50, 300, 3000])} 0\n")
        self.starter.stdin.flush()
        self.pid = int(self.starter.stdout.readline())

    def kill(self) -> None:
        if self.pid is not None:
            try:
                os.kill(self.pid, signal.SIGKILL)
            except ProcessLookupError as error:
                raise AssertionError("the client ended by itself; its traceback is on stderr") from error
            while Path(f"/proc/{self.pid}").exists():
                time.sleep(0.001)
            self.pid, self.kills = None, self.kills + 1


def rows_there(url: str) -> dict[str, tuple]:
    with psycopg2.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(COLUMNS)} FROM survey_calibrations")
        rows = {row[0]: row for row in cursor.fetchall()}
    connection.close()
    return rows


def rows_here(path: Path) -> tuple[dict[str, tuple], int]:
    database = sqlite3.connect(path)
    rows = {row[0]: row for row in database.execute("SELECT * FROM survey_calibrations WHERE origin = 'REMOTE'")}
    for identifier, record in database.execute("SELECT id, record FROM survey_calibrations_conflicts"):
        assert identifier not in rows
        rows[identifier] = tuple(map(json.loads(record).get, COLUMNS))
    local = database.execute("SELECT count(*) FROM survey_calibrations WHERE origin = 'LOCAL'").fetchone()[0]
    database.close()
    return rows, local


def without_origin(rows: dict[str, tuple]) -> dict[str, tuple]:
    position = COLUMNS.index("origin")
    return {identifier: row[:position] + row[position + 1 :] for identifier, row in rows.items()}


def judgements_there(server: Server) -> set[tuple]:
    columns = "n, id, op, quality, who, why, token::text"
    return set(server.sql(f"SELECT {columns} FROM survey_calibrations_feed WHERE why IS NOT NULL AND id IS NOT NULL"))


def judgements_here(path: Path) -> set[tuple]:
    columns = "archive_n, id, op, quality, who, why, archive_token"
    database = sqlite3.connect(path)
    said = "why IS NOT NULL AND id IS NOT NULL"
    found = set(database.execute(f"SELECT {columns} FROM survey_calibrations_feed WHERE {said}"))
    database.close()
    return found


def check_feed(server: Server) -> None:
    """The archive's numbers have no gaps, and its times never go back."""
    before = "lag(n, 1, 0) OVER (ORDER BY n) AS n_before, lag(at) OVER (ORDER BY n) AS at_before"
    wrong = f"""SELECT n FROM (SELECT n, at, {before} FROM survey_calibrations_feed) AS entries
        WHERE n <> n_before + 1 OR at < at_before"""
    assert server.sql(wrong) == []


def truncate(server: Server) -> None:
    """Empty the table, and fill it anew."""
    others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
    server.sql(f"{others} AND pid <> pg_backend_pid()")
    connection = psycopg2.connect(server.url)
    with connection, connection.cursor() as cursor:
        cursor.execute("TRUNCATE survey_calibrations")
        cursor.execute(FILL.replace(":first", "1").replace(":last", str(ROWS // 2)))
    connection.close()


def falls_on(number: int, when: tuple[int, int]) -> bool:
    every, on = when
    return number % every == on


def disturb(web: Web, chance: random.Random) -> None:
    """Kill a server and start it again; let the proxy do to some requests what networks do."""
    web.proxy.at_random(chance, 0.2)
    if chance.random() < 0.3:
        number = chance.randrange(2)
        web.kill(number)
        time.sleep(chance.uniform(0, 0.1))
        web.restart(number)


@needs_servers
@pytest.mark.soak
@pytest.mark.timeout(max(300, ROUNDS["http"] * 10))
@pytest.mark.parametrize("transport", ["postgresql", "http"])
def test_clients_that_are_killed_at_random_end_with_the_rows_of_the_remote(
    tmp_path, starter, server_starter, transport
):
    seed = int(os.environ.get("KOA_TEST_SEED", random.SystemRandom().randrange(1 << 32)))
    print(f"KOA_TEST_SEED={seed}")
    chance = random.Random(seed)
    with Server({"wal_writer_delay": "10s"}) as server, ExitStack() as stack:
        engine = postgresql_engine(server.url)
        initialise(engine, Survey)
        with engine.begin() as connection:
            connection.execute(text(FILL), {"first": 1, "last": ROWS})
        engine.dispose()
        publishers = [
            Publisher(server.url, chance.randrange(1 << 32), slow=number < SLOW_PUBLISHERS)
            for number in range(PUBLISHERS)
        ]
        web = (
            stack.enter_context(Web(server_starter, tmp_path, [server.url, server.url]))
            if transport == "http"
            else None
        )
        url = server.url if web is None else web.url
        clients = [Client(starter, url, tmp_path / f"{number}.db") for number in range(CLIENTS)]
        for one in publishers:
            one.start()
        for number in range(ROUNDS[transport]):
            if chance.random() < 0.1:
                chance.choice(clients).reset()
            for client in clients:
                client.start()
            if falls_on(number, CRASH):
                server.crash()
            if falls_on(number, TRUNCATION):
                truncate(server)
            if falls_on(number, BACKUP):
                backup = server.backup()
            if falls_on(number, PUT_BACK):
                server.put_back(backup)
            end = time.monotonic() + chance.uniform(0.2, 0.8)
            while time.monotonic() < end:
                time.sleep(chance.uniform(0.01, 0.2))
                client = chance.choice(clients)
                client.kill()
                client.start()
                if web is not None:
                    disturb(web, chance)
            for client in clients:
                client.kill()
            for one in publishers:  # transactions stay open, nothing is written
                one.gate.acquire()
            if web is not None:
                web.proxy.fault = str
                time.sleep(2 * KEEP_S)  # what a server keeps of the state is older
            expected = without_origin(rows_there(server.url))
            judgements = judgements_there(server)
            for client in clients:
                copy = LocalDatabase(Survey, client.path)
                synchronise(copy, remote_at(url, Survey))
                copy.close()
                rows, local = rows_here(client.path)
                found = without_origin(rows)
                different = {key for key in expected.keys() | found if expected.get(key) != found.get(key)}
                assert not different, f"round {number}: {len(different)} rows of {len(expected)}, seed {seed}"
                assert judgements_here(client.path) == judgements, f"round {number}, seed {seed}"
                assert local == len(LOCAL_NAMES)
            print(f"round {number}: {len(expected)} rows, {len(judgements)} judgements", flush=True)
            for one in publishers:
                one.gate.release()
            assert not [one.failure for one in publishers if one.failure]
        for one in publishers:
            one.ended.set()
        for one in publishers:
            one.join()
        check_feed(server)
        print(
            f"{ROUNDS[transport]} rounds, {sum(one.transactions for one in publishers)} transactions, "
            f"{sum(client.kills for client in clients)} kills, {len(expected)} rows"
        )
