"""Who follows an archive without end: soon, never more than a look a second, and through failures."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from koa_middleware.database.local import LocalDatabase
from koa_middleware.exceptions import CacheError, SchemaMismatchError
from koa_middleware.remote import following
from koa_middleware.remote.following import Follower
from survey import KINDS, Archive, Client, Heard, Survey

TABLE = "survey_calibrations"


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "LOOK_S", 0.02)


@contextmanager
def running(client: Client, heard: Heard, **more: Any) -> Iterator[Follower]:
    """Follow in a thread."""
    stop = threading.Event()
    follower = Follower(client.database, client.archive.remote(), heard, **more)
    thread = threading.Thread(target=follower.run, args=(stop,))
    thread.start()
    try:
        yield follower
    finally:
        stop.set()
        thread.join(20)
        assert not thread.is_alive()


def test_a_copy_is_the_archive_beside_writers_and_others_who_sync_it(
    archive: Archive, client: Client, often: None
) -> None:
    heard = Heard()
    with running(client, heard) as follower:
        for number in range(20):
            archive.insert(f"{number}.fits")
            if number % 3 == 0:
                archive.change(f"{number}.fits", quality="BAD")
            client.sync()
        archive.delete("0.fits")
        end = time.monotonic() + 20
        while client.rows() != archive.rows() and time.monotonic() < end:
            time.sleep(0.01)
        assert client.rows() == archive.rows()
        assert follower.error is None
        assert follower.looked_at is not None
    assert not [told for told in heard.told if not isinstance(told, tuple)]


def test_a_disk_that_is_full_is_waited_for_and_told_once(archive: Archive, client: Client, often: None) -> None:
    heard = Heard()
    with running(client, heard) as follower:
        heard.wait_for(lambda told: told == [(0, 0, 0)])
        client.execute(
            f"CREATE TRIGGER full BEFORE INSERT ON {TABLE} BEGIN SELECT RAISE(FAIL, 'the disk is full'); END"
        )
        archive.insert("a.fits")
        heard.wait_for(lambda told: len(told) == 2)
        assert isinstance(heard.told[1], CacheError)
        assert follower.error is not None
        client.execute("DROP TRIGGER full")
        heard.wait_for(lambda told: told[2:] == ["back", (1, 0, 0)])
    assert client.rows() == archive.rows()


def test_an_archive_without_a_feed_is_not_read_whole_again_and_again(
    archive: Archive, client: Client, often: None
) -> None:
    archive.execute(f"DROP TRIGGER koa_feed ON {TABLE}")
    heard = Heard()
    with running(client, heard):
        heard.wait_for(lambda told: len(told) >= 2)
        time.sleep(0.3)
    assert heard.told == [(0, 0, 0)] * 2


def test_an_archive_that_gets_a_feed_meanwhile_is_not_read_whole_any_more(
    archive: Archive, client: Client, often: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "LONGEST_PAUSE_S", 0.1)
    monkeypatch.setattr(following, "REST", 0)
    archive.execute(f"DROP TABLE {TABLE}_feed CASCADE", f"DROP TRIGGER koa_feed ON {TABLE}")
    heard = Heard()
    with running(client, heard):
        heard.wait_for(lambda told: len(told) >= 2)
        archive.owner().set_up("reader", "publisher")
        heard.wait_for(lambda _: len(heard.was_full) > 2)
        archive.insert("a.fits")
        heard.wait_for(lambda told: told[-1] == (1, 0, 0))
        archive.insert("b.fits")
        heard.wait_for(lambda told: told[-2:] == [(1, 0, 0)] * 2)
    assert not heard.was_full[-1]


def test_a_database_that_was_made_anew_beside_is_followed_on(
    archive: Archive, client: Client, often: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "NOTE_S", 0.0)
    archive.insert("a.fits")
    heard = Heard()
    with running(client, heard):
        heard.wait_for(lambda told: told == [(1, 0, 0)])
        LocalDatabase(Survey, tmp_path / "anew.db").close()
        (tmp_path / "anew.db").replace(client.database.path)
        heard.wait_for(lambda told: len(told) > 1 and told[-1] == (1, 0, 0))
    assert client.rows() == archive.rows()


def test_looks_come_one_a_second_and_hold_no_lock(archive: Archive, client: Client) -> None:
    looks: list[float] = []

    class Counted:
        def __init__(self, remote: Any) -> None:
            self._remote = remote

        def __getattr__(self, name: str) -> Any:
            return getattr(self._remote, name)

        @contextmanager
        def connected(self, *others: Any) -> Iterator[Any]:
            with self._remote.connected(*others) as source:
                state = source.state

                def counted(*asked: Any) -> Any:
                    looks.append(time.monotonic())
                    return state(*asked)

                source.state = counted
                yield source

    client.sync()
    stop = threading.Event()
    follower = Follower(client.database, Counted(archive.remote()), Heard())  # type: ignore[arg-type]
    thread = threading.Thread(target=follower.run, args=(stop,))
    thread.start()
    while len(looks) < 3:
        client.execute(f"UPDATE {TABLE} SET quality = quality")  # which a lock would keep waiting
        time.sleep(0.02)
    stop.set()
    thread.join(20)
    assert min(later - earlier for earlier, later in pairwise(looks)) > 0.99


def test_what_will_not_pass_ends_it_and_a_thread_goes_on_after_it(
    archive: Archive, client: Client, often: None
) -> None:
    archive.destroy()
    with pytest.raises(SchemaMismatchError):
        Follower(client.database, archive.remote(), Heard()).run(threading.Event())
    stop, heard = threading.Event(), Heard()
    follower = Follower(client.database, archive.remote(), heard)
    thread = threading.Thread(target=follower.keep_running, args=(stop,))
    thread.start()
    heard.wait_for(lambda told: len(told) == 1)
    assert isinstance(follower.error, SchemaMismatchError)
    stop.set()
    thread.join(20)
    assert not thread.is_alive()
