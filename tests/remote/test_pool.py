"""A server that serves others keeps a bounded number of connections to PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from typing import Any

import pytest
import requests
from http_server import mount
from koa_middleware import CalibrationStore
from koa_middleware.exceptions import RemoteUnavailableError
from koa_middleware.plugins import InstrumentPlugin
from koa_middleware.remote.postgres import engine as postgres_engine
from koa_middleware.remote.postgres.engine import driver_connection
from koa_middleware.remote.postgres.remote import PostgresRemote
from koa_middleware.remote.protocol import Here
from koa_middleware.server.app import make_app
from koa_middleware.server.served import Served
from servers import wait_until
from survey import Archive, Survey

NOBODY = Here(lambda _: False, lambda _name, _checksum: False)


@pytest.fixture
def kept(archive: Archive) -> Iterator[PostgresRemote[Survey]]:
    """The archive as a server reads it that keeps two connections."""
    with closing(PostgresRemote(Survey, archive.url, connections=2)) as found:
        yield found


def process_of(remote: PostgresRemote[Survey]) -> int:
    """The server's process that answers."""
    with driver_connection(remote._reads) as connection:
        return ask(connection, "SELECT pg_backend_pid()")


def ask(connection: Any, question: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(question)
        return cursor.fetchone()[0]


def connections_to(archive: Archive) -> list[str]:
    """What each connection to the archive's database does, but the one that asks."""
    others = "datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
    with archive.engine.connect() as connection:
        found = connection.exec_driver_sql(f"SELECT state FROM pg_stat_activity WHERE {others}")
        return [state for (state,) in found]


def test_readings_share_a_connection_and_a_client_keeps_none(archive, kept):
    archive.insert("a.fits")
    assert len({process_of(kept) for _ in range(5)}) == 1
    assert connections_to(archive) == ["idle"]
    kept.close()
    client = archive.remote()
    assert len({process_of(client) for _ in range(5)}) == 5
    assert connections_to(archive) == []


def test_what_comes_over_a_kept_connection_is_what_a_client_of_its_own_gets(archive, kept, client):
    archive.fill(20)
    for _ in range(3):
        assert client.sync(kept).conflicts == []
        assert client.rows() == archive.rows()
        archive.insert(f"{len(client.rows())}.fits", exptime=1 / 3)
    client.add_local("mine.fits", checksum="sha256:1a")
    assert client.publish(kept).published == 1
    assert kept.flag(next(iter(archive.rows().values()))["id"], "BAD", "a trail", "ann")


def test_a_connection_that_has_died_is_replaced_without_a_failed_request(archive, kept):
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(kept.connected())
    archive.insert("a.fits")
    before = process_of(kept)
    ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
    archive.execute(f"{ended} AND pid <> pg_backend_pid()")
    assert before not in {process_of(kept) for _ in range(3)}
    (identifier,) = archive.insert("b.fits")
    kept.flag(identifier, "BAD", "a trail", "ann")
    archive.execute(f"{ended} AND pid <> pg_backend_pid()")
    assert kept.flag(identifier, "GOOD", "no trail", "ann")


def test_a_connection_whose_transaction_was_left_open_does_not_come_back(archive, kept):
    with driver_connection(kept._reads) as connection:
        left = ask(connection, "BEGIN; SELECT pg_backend_pid()")
    with pytest.raises(ZeroDivisionError), driver_connection(kept._reads) as connection:  # noqa: PT012
        failed = ask(connection, "BEGIN; LOCK TABLE survey_calibrations IN ACCESS SHARE MODE; SELECT pg_backend_pid()")
        raise ZeroDivisionError
    assert process_of(kept) not in {left, failed}
    assert connections_to(archive) == ["idle"]


def test_one_request_too_many_is_told_to_come_again_after_a_bounded_wait(archive, monkeypatch):
    monkeypatch.setattr(postgres_engine, "PATIENCE", 0.1)
    with closing(PostgresRemote(Survey, archive.url, connections=2)) as kept, ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(kept.connected())
        with (
            pytest.raises(RemoteUnavailableError, match=r"^All connections to the remote database at .* are in use"),
            kept.connected(),
        ):
            pass
        assert len(connections_to(archive)) == 2
        stack.close()
        assert process_of(kept)


def test_publishers_that_wait_for_another_one_keep_nobody_from_reading(archive, kept):
    with ThreadPoolExecutor() as pool, archive.transaction() as writer:
        writer.execute("SELECT pg_advisory_xact_lock('survey_calibrations'::regclass::oid::bigint)")
        rows = [Survey(filename=f"{n}.fits", cal_type="dark", datetime_obs="2026-01-02T03:04:05") for n in range(2)]
        waiting = [pool.submit(kept.publish, [row.to_dict()], {}, None, NOBODY, "ann") for row in rows]
        wait_until(archive.url, "SELECT count(*) = 2 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
        assert process_of(kept)
        assert not any(one.done() for one in waiting)
    assert [len(one.result()) for one in waiting] == [1, 1]


def test_over_http_one_request_too_many_gets_503_and_the_next_one_its_answer(archive, monkeypatch, tmp_path):
    monkeypatch.setattr(postgres_engine, "PATIENCE", 0.1)
    with (
        closing(PostgresRemote(Survey, archive.url, connections=1)) as kept,
        CalibrationStore(Survey, tmp_path) as store,
    ):
        url = mount(make_app([Served(InstrumentPlugin(Survey), store, kept, True)]))
        asked = f"{url}/api/v1/survey/state?ask=0"
        with kept.viewed():
            refused = requests.get(asked, timeout=10)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert refused.json()["detail"] == "The archive does not answer its server."
        assert requests.get(asked, timeout=10).ok
