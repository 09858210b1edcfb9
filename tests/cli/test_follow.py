"""``koa-cal sync --follow``: a process that goes on until it is told to end."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from koa_middleware import InstrumentPlugin, open_store
from sqlalchemy import insert, make_url

Run = Callable[..., Any]
TABLE = "testspec_calibrations"


@pytest.fixture
def start(command: Run) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Give a function that starts a follower; it is killed at the end."""
    started: list[subprocess.Popen[str]] = []

    def starting(*arguments: object, **more: str) -> subprocess.Popen[str]:
        given = command("sync", "--follow", "-i", "testspec", *arguments, **more)
        started.append(subprocess.Popen(**given, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield starting
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def serve(command: Run) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Give a function that starts a server; it is killed at the end."""
    started: list[subprocess.Popen[str]] = []

    def starting(*arguments: object) -> subprocess.Popen[str]:
        given = command("serve", "-i", "testspec", *(arguments or ("--port", 0)))
        process = subprocess.Popen(**given, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        started.append(process)
        return process

    yield starting
    for process in started:
        process.kill()
        process.communicate()


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=20)
    return process.returncode, out, err


def test_a_calibration_and_a_flag_come_within_seconds_a_line_each(
    typed: Run, archive: Any, testspec: InstrumentPlugin, at: Run, start: Run
) -> None:
    typed("remote", "init").ended(0)
    at("observer")
    follower = start()
    row = testspec.ORM(filename="dark.fits", cal_type="dark", mjd_start=61083.0, quality="GOOD").to_dict()
    del row["last_updated"]
    for change, told in (
        (insert(testspec.ORM.table()).values(row), "1 added, 0 changed, 0 withdrawn"),
        (f"UPDATE {TABLE} SET quality = 'BAD'", "0 added, 1 changed, 0 withdrawn"),
    ):
        began = time.monotonic()
        archive.execute(change)
        assert told in follower.stdout.readline()
        assert time.monotonic() - began < 10  # two seconds, and what a busy machine adds
    assert typed("show", "dark.fits", "--json").json["quality"] == "BAD"
    archive.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
        " AND pid <> pg_backend_pid()"
    )
    archive.execute(f"DELETE FROM {TABLE}")
    assert "0 added, 0 changed, 1 withdrawn" in follower.stdout.readline()
    follower.send_signal(signal.SIGTERM)
    code, out, err = ended(follower)
    assert (code, out) == (0, "")
    lost, back = err.splitlines()
    assert "It is tried again until it works." in lost
    assert back == "koa-cal: The archive is followed again."
    assert archive.password not in err


def test_over_http_too_and_through_a_server_that_is_killed_and_started_again(
    typed: Run, archive: Any, testspec: InstrumentPlugin, at: Run, start: Run, serve: Run
) -> None:
    typed("remote", "init").ended(0)

    def insert_row(name: str) -> None:
        row = testspec.ORM(filename=name, cal_type="dark", mjd_start=61083.0).to_dict()
        del row["last_updated"]
        archive.execute(insert(testspec.ORM.table()).values(row))

    at("server")
    server = serve()
    url = server.stdout.readline().split()[-1]
    at("observer")
    follower = start(KOA_REMOTE_DATABASE_URL=url)
    began = time.monotonic()
    insert_row("a.fits")
    assert "1 added" in follower.stdout.readline()
    assert time.monotonic() - began < 10  # two seconds, and what a busy machine adds
    server.kill()
    server.wait()
    insert_row("b.fits")
    at("server")
    serve("--port", url.rpartition(":")[2]).stdout.readline()
    assert "1 added" in follower.stdout.readline()
    follower.send_signal(signal.SIGTERM)
    assert ended(follower)[0] == 0


def test_a_line_of_json_has_what_a_sync_tells_and_ctrl_c_ends_it(typed: Run, archive: Any, at: Run, start: Run) -> None:
    typed("remote", "init").ended(0)
    at("observer")
    follower = start("--json")
    came = json.loads(follower.stdout.readline())
    assert came.pop("time") == typed("status", "--json").json["last_sync"]
    assert came == {"added": 0, "changed": 0, "withdrawn": 0, "full": True, "noticed": [], "conflicts": []}
    follower.send_signal(signal.SIGINT)
    assert ended(follower) == (130, "", "koa-cal: interrupted\n")


def test_one_that_is_ended_amid_its_first_sync_leaves_nothing_half_done(
    typed: Run, archive: Any, at: Run, start: Run
) -> None:
    typed("remote", "init").ended(0)
    archive.execute(
        f"""INSERT INTO {TABLE} (id, filename, cal_type, datetime_obs, mjd_start, origin, cal_version, quality,
            master_cal) SELECT i, i || '.fits', 'dark', '2026-01-01T00:00:00.000', 61041, 'REMOTE', '001', 'GOOD', true
            FROM generate_series(1, 25000) AS i"""
    )
    at("observer")
    with open_store("testspec") as store:
        follower = start()
        end = time.monotonic() + 20
        while not len(store.local_db) and time.monotonic() < end:
            time.sleep(0.005)
        follower.send_signal(signal.SIGTERM)
        assert ended(follower) == (0, "", "")
        assert len(store.local_db) in (10_000, 20_000, 25_000)
        assert typed("sync").ended(0).out.endswith(" 0 changed, 0 withdrawn\n")
        assert len(store.local_db) == 25_000


def test_an_archive_that_is_down_at_the_start_is_waited_for_and_one_that_is_not_set_up_is_an_error(
    archive: Any, start: Run, cache: Any
) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        port = other.getsockname()[1]
    down = make_url(archive.url).set(port=port).render_as_string(hide_password=False)
    waiting, refused = start(KOA_REMOTE_DATABASE_URL=down), start(KOA_CALIBRATION_CACHE=str(cache.with_name("other")))
    assert f"127.0.0.1:{port}" in waiting.stderr.readline()
    code, out, err = ended(refused)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "koa-cal remote init" in err
    waiting.send_signal(signal.SIGTERM)
    assert ended(waiting) == (0, "", "")


def test_following_and_a_full_sync_exclude_each_other(typed: Run) -> None:
    assert "--follow" in typed("sync", "--follow", "--full").ended(2).err
