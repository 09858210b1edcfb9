"""A server that is given a primary and a standby reads at the standby, writes at the primary, and outlives either."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import closing

import pytest
from koa_middleware.exceptions import RemoteUnavailableError
from koa_middleware.remote.postgres.remote import PostgresRemote
from koa_middleware.remote.sync import SyncResult
from servers import Server, Standby, needs_servers, run_sql, wait_until
from sqlalchemy import make_url
from survey import Archive, Survey

pytestmark = needs_servers


@pytest.fixture(scope="module")
def primary() -> Iterator[Server]:
    with Server() as started:
        yield started


@pytest.fixture(scope="module")
def replica(primary: Server) -> Iterator[Standby]:
    with Standby(primary) as started:
        yield started


@pytest.fixture
def fresh_database(primary: Server) -> str:
    name = f"koa_test_{uuid.uuid4().hex[:12]}"
    primary.sql(f"CREATE DATABASE {name}")
    return primary.url_for(name)


@pytest.fixture
def standby(replica: Standby, archive: Archive) -> Iterator[Standby]:
    """A standby that has the archive's first rows."""
    archive.fill(20)
    replica.catch_up()
    yield replica
    replica.sql("SELECT pg_wal_replay_resume() WHERE pg_is_in_recovery()")


@pytest.fixture
def served(primary: Server, standby: Standby, archive: Archive) -> Iterator[PostgresRemote[Survey]]:
    """The archive as a server has it that was given both hosts."""
    both = archive.url.replace(f":{primary.port}", f":{primary.port},127.0.0.1:{standby.port}")
    with closing(PostgresRemote(Survey, both, connections=2)) as one:
        yield one


def test_reads_go_to_the_standby_and_to_the_primary_where_the_standby_is_behind_a_client(
    archive, standby, served, new_client
):
    early, late = new_client(), new_client()
    assert early.sync(served) == SyncResult(20, 0, 0, True)
    standby.sql("SELECT pg_wal_replay_pause()")
    archive.insert("new.fits")
    assert early.sync(served) == SyncResult(0, 0, 0)
    assert early.sync(archive.remote()) == SyncResult(1, 0, 0)
    archive.insert("newer.fits")
    assert early.sync(served) == SyncResult(1, 0, 0)
    assert early.rows() == archive.rows()
    assert late.sync(served) == SyncResult(20, 0, 0, True)
    standby.sql("SELECT pg_wal_replay_resume()")
    standby.catch_up()
    assert late.sync(served) == SyncResult(2, 0, 0)
    assert late.rows() == archive.rows()


def test_writes_go_to_the_primary(archive, standby, served, client):
    client.sync(served)
    standby.sql("SELECT pg_wal_replay_pause()")
    row = archive.rows()["HB.1.fits"]
    (entry,) = served.flag(row["id"], "BAD", "a trail", "ann")
    assert archive.rows()["HB.1.fits"]["quality"] == "BAD"
    assert archive.entries()[-1].token == uuid.UUID(entry.token)
    assert client.sync(served) == SyncResult(0, 0, 0)


def test_reads_go_to_the_primary_while_the_standby_is_away(archive, standby, served, client):
    client.sync(served)
    standby.stop()
    archive.insert("a.fits")
    assert client.sync(served) == SyncResult(1, 0, 0)
    assert client.rows() == archive.rows()
    standby.start()


def test_a_single_host_is_asked_for_nothing_that_it_may_not_be(standby, archive):
    url = make_url(archive.url).set(port=standby.port).render_as_string(hide_password=False)
    standby.catch_up()
    with closing(PostgresRemote(Survey, url, connections=1)) as only, only.connected() as source:
        assert source.state(None, None).news
    assert run_sql(url, "SELECT pg_is_in_recovery()") == [(True,)]


def test_reads_go_on_and_writes_come_back_when_the_primary_is_lost_and_the_standby_promoted(
    archive, primary, standby, served, client
):
    client.sync(served)
    (identifier,) = archive.insert("a.fits")
    served.flag(identifier, "BAD", "a trail", "ann")
    standby.catch_up()
    primary.stop(crash=True)
    assert client.sync(served) == SyncResult(1, 0, 0)
    with pytest.raises(RemoteUnavailableError):
        served.flag(identifier, "GOOD", "no trail", "ann")
    standby.promote()
    wait_until(standby.url, "SELECT NOT pg_is_in_recovery()")
    assert served.flag(identifier, "GOOD", "no trail", "ann")
    assert client.sync(served) == SyncResult(0, 1, 0)
    assert client.rows()["a.fits"]["quality"] == "GOOD"
