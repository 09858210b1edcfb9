"""Servers of one archive over HTTP of which one is late, is killed or loses its database, and what stands between."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from koa_middleware.database.tokens import Tokens, new_token
from koa_middleware.exceptions import RemoteUnavailableError
from koa_middleware.fetch import retries
from koa_middleware.remote.protocol import Remote
from koa_middleware.remote.servers import remote_at
from koa_middleware.remote.sync import SyncResult
from proxy import FAULTS
from servers import Server, Standby, needs_servers, wait_until
from sqlalchemy import make_url
from survey import Archive, Client, Survey
from web import Web

pytestmark = needs_servers


@pytest.fixture(scope="module")
def primary() -> Iterator[Server]:
    with Server() as started:
        yield started


@pytest.fixture(scope="module")
def standby(primary: Server) -> Iterator[Standby]:
    with Standby(primary) as started:
        yield started


@pytest.fixture
def fresh_database(primary: Server) -> Iterator[str]:
    primary.sql("CREATE DATABASE web")
    yield primary.url_for("web")
    primary.sql("DROP DATABASE web WITH (FORCE)")


@pytest.fixture
def late(standby: Standby, archive: Archive) -> Iterator[str]:
    """The archive at a standby that has all until now, and what comes from now on after 30 s."""
    archive.fill(20)
    standby.catch_up()
    standby.sql("ALTER SYSTEM SET recovery_min_apply_delay = '30s'", "SELECT pg_reload_conf()")
    yield make_url(archive.url).set(port=standby.port).render_as_string(hide_password=False)
    in_time(standby)


def in_time(standby: Standby) -> None:
    standby.sql("ALTER SYSTEM RESET recovery_min_apply_delay", "SELECT pg_reload_conf()")
    standby.catch_up()


@pytest.fixture
def web(server_starter: subprocess.Popen[str], tmp_path: Path, archive: Archive, late: str) -> Iterator[Web]:
    """Two servers in turn, of which the second is late."""
    with Web(server_starter, tmp_path, [archive.url, late]) as found:
        yield found


@pytest.fixture
def alone(server_starter: subprocess.Popen[str], tmp_path: Path, archive: Archive) -> Iterator[Web]:
    """One server behind a proxy."""
    archive.fill(20)
    with Web(server_starter, tmp_path, [archive.url]) as found:
        yield found


def may_write(archive: Archive, url: str) -> Remote[Survey]:
    """The archive as somebody reaches it who may publish and judge."""
    token = new_token()
    Tokens(archive.owner().database).add(token, "ann", ("publish", "flag"), (), None)
    return remote_at(url, Survey, access_token=token)


def bookmark(client: Client) -> tuple[int, int]:
    """Numbers of the entries up to which a client has followed, and from which it has taken anything."""
    with client.database.connect() as connection:
        found: Any = connection.exec_driver_sql("SELECT bookmark, seen FROM survey_calibrations_sync").one()
    return tuple(json.loads(mark)["n"] for mark in found)


# -- one of two is late --------------------------------------------------------------------------------------------


def test_of_two_servers_the_late_one_hides_no_news_and_lets_nobody_sweep(archive, web, client):
    assert client.sync(web.url).full
    known = bookmark(client)
    for number in range(4):
        archive.insert(f"new-{number}.fits")
        archive.delete(f"HB.{number + 1}.fits")
        archive.change("HB.9.fits", nframes=number)
        seen = [client.rows()]
        for _ in range(5):
            result = client.sync(web.url)
            assert (result.full, result.noticed) == (False, [])
            assert bookmark(client) >= known
            known = bookmark(client)
            seen.append(client.rows())
        came = seen.index(archive.rows())
        assert came <= 2
        assert all(rows == seen[came] for rows in seen[came:])  # what was seen does not go again
        web.proxy.skip()
    statuses = {status for _, _, status in web.proxy.asked}
    assert 503 in statuses
    assert 410 not in statuses


def test_the_late_one_alone_says_that_it_is_behind_and_later_goes_on(archive, web, standby, client, new_client):
    archive.insert("new.fits")
    archive.delete("HB.1.fits")
    assert client.sync(web.url_of(0)) == SyncResult(20, 0, 0, True)
    before = client.rows()
    for _ in range(2):
        with pytest.raises(RemoteUnavailableError, match="behind"):
            client.sync(web.url_of(1))
    assert client.rows() == before == archive.rows()
    assert new_client().sync(web.url_of(1)) == SyncResult(20, 0, 0, True)
    in_time(standby)
    archive.insert("newer.fits")
    standby.catch_up()
    assert sync_until(client, web.url_of(1), archive) == [SyncResult(1, 0, 0)]


def sync_until(client: Client, url: str, archive: Archive) -> list[SyncResult]:
    """Sync until the copy is the archive, as a server may say for a moment what it said before; gives what came."""
    came = []
    for _ in range(200):
        result = client.sync(url)
        came += [result] if result != SyncResult(0, 0, 0) else []
        if client.rows() == archive.rows():
            return came
    raise AssertionError("the copy never was the archive")


def test_whoever_published_sees_it_whichever_server_is_asked(archive, web, client):
    client.sync(web.url)
    remote = may_write(archive, web.url)
    web.proxy.keep_to(0, ("POST", "PUT"))  # a standby takes no writes
    client.add_local("mine.fits", checksum="sha256:1a")
    assert client.publish(remote).published == 1
    identifier = id_of_mine(archive)
    for _ in range(3):
        assert not client.sync(web.url).full
        assert identifier in {row["id"] for row in client.rows().values()}
    assert client.rows() == archive.rows()


def id_of_mine(archive: Archive) -> str:
    """Id of the one record that was published as mine.fits, whatever it is called there."""
    (found,) = (row["id"] for name, row in archive.rows().items() if name.startswith("mine"))
    return found


# -- what stands between ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", FAULTS)
def test_a_network_that_does_this_to_half_of_all_requests_loses_nothing(archive, alone, client, fault, monkeypatch):
    monkeypatch.setattr(retries, "BACKOFF_S", 0.01)
    turn = iter(range(1 << 20))
    client.sync(alone.url)
    for number in range(3):
        archive.insert(f"new-{number}.fits")
        archive.delete(f"HB.{number + 1}.fits")
        alone.proxy.fault = lambda: fault if next(turn) % 2 else ""
        try:
            assert not client.sync(alone.url).full
        except RemoteUnavailableError:
            assert fault in ("cut", "lost")
        alone.proxy.fault = str
        assert not any(result.full for result in sync_until(client, alone.url, archive))
    assert client.sync(alone.url) == SyncResult(0, 0, 0)


@pytest.mark.parametrize("fault", ["cut", "lost", "twice", "again"])
def test_a_publication_and_a_judgement_are_carried_out_once_whatever_becomes_of_the_answer(
    archive, alone, client, fault, monkeypatch
):
    monkeypatch.setattr(retries, "BACKOFF_S", 0.01)
    turn = iter(range(1 << 20))
    client.sync(alone.url)
    client.add_local("mine.fits", checksum="sha256:1a")
    remote = may_write(archive, alone.url)
    alone.proxy.fault = lambda: "" if next(turn) % 2 else fault
    assert client.publish(remote).published == 1
    identifier = id_of_mine(archive)
    assert remote.flag(identifier, "BAD", "a trail", "ann")
    alone.proxy.fault = str
    assert len(archive.rows()) == 21
    entries = [(entry.op, entry.who) for entry in archive.entries() if entry.id == identifier]
    assert entries == [("added", "ann"), ("flagged", "ann")]
    sync_until(client, alone.url, archive)


# -- the database behind a server ------------------------------------------------------------------------------------


def test_a_server_goes_on_when_its_database_is_put_back_from_a_backup(server_starter, tmp_path, new_client):
    with Server() as lost, closing(Archive(lost.url)) as archive:
        archive.fill(20)
        backup = lost.backup()
        archive.insert("lost.fits")
        with Web(server_starter, tmp_path, [lost.url]) as web:
            client, late = new_client(), new_client()
            assert client.sync(web.url).added == 21
            lost.put_back(backup)
            archive.engine.dispose()
            archive.insert("new.fits")
            came = sync_until(client, web.url, archive)
            assert [(result.full, "history" in " ".join(result.noticed)) for result in came] == [(True, True)]
            assert late.sync(web.url).added == 21
            assert late.rows() == archive.rows()


def test_a_server_of_a_primary_and_its_standby_outlives_the_primary(server_starter, tmp_path, new_client):
    with Server() as lost, closing(Archive(lost.url)) as archive:
        archive.fill(20)
        with Standby(lost) as promoted:
            both = lost.url.replace(f":{lost.port}", f":{lost.port},127.0.0.1:{promoted.port}")
            with Web(server_starter, tmp_path, [both]) as web:
                remote = may_write(archive, web.url)
                client = new_client()
                client.sync(web.url)
                (identifier,) = archive.insert("a.fits")
                promoted.catch_up()
                lost.stop(crash=True)
                sync_until(client, web.url, now := Archive(promoted.url, is_set_up=True))
                with pytest.raises(RemoteUnavailableError):
                    remote.flag(identifier, "BAD", "a trail", "ann")
                promoted.promote()
                wait_until(promoted.url, "SELECT NOT pg_is_in_recovery()")
                assert remote.flag(identifier, "BAD", "a trail", "ann")
                assert not any(result.full for result in sync_until(client, web.url, now))
                assert now.rows()["a.fits"]["quality"] == "BAD"
                now.close()
