"""Servers crash, come back from a backup, fail over and replicate: the first sync after it has the archive's rows."""

from __future__ import annotations

import random
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import psycopg2
import pytest
from koa_middleware.exceptions import RemoteError, RemoteUnavailableError
from koa_middleware.remote import following, viewed
from koa_middleware.remote.following import Follower
from koa_middleware.remote.postgres.schema import initialise
from koa_middleware.remote.publish import flag
from koa_middleware.remote.servers import remote_at
from koa_middleware.remote.sync import SyncResult
from servers import PgPool, Pooler, Server, Standby, needs_pgbouncer, needs_pgpool, needs_servers, wait_until
from sqlalchemy import make_url, text
from sqlalchemy.exc import OperationalError
from survey import Archive, Client, Heard, Survey

from tests.conftest import repetitions

pytestmark = needs_servers

TABLE, FEED = "survey_calibrations", "survey_calibrations_feed"
#: With this, what was committed with synchronous_commit = off is lost in a crash.
LAZY = {"wal_writer_delay": "10s"}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server({"wal_level": "logical", **LAZY}) as started:
        yield started


@pytest.fixture(scope="module")
def postgres_url(server: Server) -> str:
    return server.url


@pytest.fixture
def fresh_database(server: Server) -> Iterator[str]:
    name = f"koa_test_{uuid.uuid4().hex[:12]}"
    server.sql(f"CREATE DATABASE {name}")
    yield server.url_for(name)
    server.sql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def said(result: SyncResult) -> str:
    return " ".join(result.noticed)


def newest(archive: Archive) -> tuple[int, str]:
    with archive.engine.connect() as connection:
        n, token = connection.execute(text(f"SELECT n, token FROM {FEED} ORDER BY n DESC LIMIT 1")).one()
        return n, token


def has(archive: Archive, entry: tuple[int, str]) -> bool:
    with archive.engine.connect() as connection:
        found = connection.execute(text(f"SELECT token FROM {FEED} WHERE n = :n"), {"n": entry[0]}).scalar()
        return found == entry[1]


def work(archive: Archive, chance: random.Random, tag: str, *, transactions: int, setting: str = "on") -> None:
    """Change the archive in some transactions, of which some change several rows."""
    names = list(archive.rows())
    for number in range(transactions):
        with archive.transaction() as writer:
            writer.execute(f"SET LOCAL synchronous_commit = {setting}")
            dice = chance.random()
            if dice < 0.2:
                writer.change(chance.choice(names), quality=chance.choice(["GOOD", "BAD"]), nframes=number)
            elif dice < 0.3:
                writer.delete(chance.choice(names))
            else:
                writer.insert(*(f"{tag}-{number}-{part}.fits" for part in range(chance.randint(1, 3))))


# -- a crash -------------------------------------------------------------------------------------------------------


@pytest.mark.soak
@pytest.mark.parametrize("setting", ["on", "off"])
def test_no_row_is_missing_after_a_crash_right_after_a_sync(server, archive, client, setting):
    chance, losses = random.Random(setting), 0
    archive.fill(20)
    client.sync()
    for number in range(repetitions(8, 200)):
        work(archive, chance, f"before-{number}", transactions=chance.randint(0, 3), setting=setting)
        if chance.random() < 0.5:
            with archive.engine.connect() as connection:  # and rolled back
                connection.execute(text(f"UPDATE {TABLE} SET nframes = {number}"))
        client.sync()
        known = newest(archive)
        server.crash()
        archive.engine.dispose()
        work(archive, chance, f"after-{number}", transactions=chance.randint(0, 4))
        is_lost = not has(archive, known)
        losses += is_lost
        result = client.sync()
        assert client.rows() == archive.rows()
        assert (result.full, "history" in said(result)) == (is_lost, is_lost)
        assert client.sync() == SyncResult(0, 0, 0)
    assert bool(losses) == (setting == "off")


def test_who_follows_a_server_that_is_stopped_waits_and_misses_nothing(server, archive, client, monkeypatch):
    monkeypatch.setattr(following, "LOOK_S", 0.05)
    archive.insert("a.fits", "b.fits")
    stop, heard = threading.Event(), Heard()
    follower = Follower(client.database, archive.remote(), heard)
    thread = threading.Thread(target=follower.run, args=(stop,))
    thread.start()
    heard.wait_for(lambda told: told == [(2, 0, 0)])
    archive.engine.dispose()
    server.stop()
    heard.wait_for(lambda told: len(told) == 2)
    server.start()
    archive.insert("c.fits")
    archive.delete("a.fits")
    heard.wait_for(lambda told: "back" in told and client.rows() == archive.rows())
    assert isinstance(heard.told[1], RemoteUnavailableError)
    assert heard.told.count("back") == 1
    stop.set()
    thread.join(20)


# -- a backup ------------------------------------------------------------------------------------------------------


def test_a_backup_that_is_put_back_is_noticed_however_much_was_written_since(server, archive, new_client):
    archive.fill(20)
    archive.insert("a.fits", "b.fits", "c.fits")
    late = new_client()
    late.sync()
    backup = server.backup()
    archive.insert("lost.fits")
    archive.change("a.fits", quality="BAD")
    archive.change("b.fits", filename="renamed.fits")
    archive.delete("c.fits")
    archive.insert("c.fits")
    clients = {new: new_client() for new in (0, 2, 5, 9)}
    for client in clients.values():
        client.sync()
    server.put_back(backup)
    archive.engine.dispose()
    written = 0
    for new, client in clients.items():
        for number in range(written, new):
            archive.insert(f"new-{number}.fits")
        written = new
        result = client.sync()
        assert client.rows() == archive.rows()
        assert result.full
        assert "history" in said(result)
    archive.delete("a.fits")
    for client in clients.values():
        result = client.sync()
        assert (result.withdrawn, result.full, result.noticed) == (1, False, [])
        assert client.rows() == archive.rows()
    assert not late.sync().full
    assert late.rows() == archive.rows()


def kill_in_sync(starter: subprocess.Popen[str], client: Client, *, at: int) -> None:
    """Let another process sync the client's database in small batches, and die when it asks for the so-many-th time."""
    starter.stdin.write(f"{client.archive.url} {client.database.path} 20 {at}\n")
    starter.stdin.flush()
    process = Path(f"/proc/{int(starter.stdout.readline())}")
    end = time.monotonic() + 30
    while process.exists():
        assert time.monotonic() < end, "it was never killed"
        time.sleep(0.005)


@pytest.mark.soak
@pytest.mark.parametrize("killed_in", ["a catch-up", "a sweep"])
def test_a_client_that_was_killed_in_a_sync_before_a_backup_is_put_back(
    server, archive, new_client, starter, killed_in
):
    chance = random.Random(killed_in)
    archive.fill(100)
    clients = {at: new_client() for at in range(2, 40, repetitions(14, 1))}
    for client in clients.values():
        if killed_in == "a sweep":
            kill_in_sync(starter, client, at=11)
        else:
            client.sync()
    archive.execute(f"UPDATE {TABLE} SET nframes = 1")
    backup = server.backup()
    archive.execute(f"UPDATE {TABLE} SET nframes = 99")
    work(archive, chance, "lost", transactions=20)
    for at, client in clients.items():
        kill_in_sync(starter, client, at=at)
    server.put_back(backup)
    archive.engine.dispose()
    strange = [client for client in clients.values() if any(row["nframes"] == 99 for row in client.rows().values())]
    assert strange
    for at, client in clients.items():
        if at > 5:
            work(archive, chance, f"new-{at}", transactions=chance.randint(1, 40))
        result = client.sync()
        assert client.rows() == archive.rows(), f"killed when it asked for the {at}th time"
        assert result.full or client not in strange
        assert client.sync() == SyncResult(0, 0, 0)


@pytest.mark.parametrize("begun", [False, True])
def test_what_a_client_published_and_judged_itself_is_lost_with_the_archives(server, archive, client, starter, begun):
    archive.fill(100)
    (judged,) = archive.insert("a.fits", quality="GOOD")
    if begun:
        kill_in_sync(starter, client, at=11)
    else:
        client.sync()
    archive.insert("b.fits")
    backup = server.backup()
    client.add_local("mine.fits", checksum="sha256:1a")
    assert client.publish().published == 1
    flag(client.database, archive.remote(), judged, "BAD", "a trail", "ann")
    server.put_back(backup)
    archive.engine.dispose()
    result = client.sync()
    assert client.rows() == archive.rows()
    assert client.judgements(judged) == []
    assert "history" in said(result)
    assert client.sync() == SyncResult(0, 0, 0)


def test_a_dump_into_a_new_server_is_followed_without_reading_all_again(server, archive, new_client):
    behind, client, ahead = new_client(), new_client(), new_client()
    archive.fill(20)
    behind.sync()
    archive.insert("a.fits", "b.fits")
    client.sync()
    archive.change("a.fits", quality="BAD")
    name, dump = make_url(archive.url).database, server.folder / "dump"
    server.run("pg_dump", name, "-Fc", "-f", dump)
    archive.insert("lost.fits")
    ahead.sync()
    server.begin_anew()
    archive.engine.dispose()
    server.sql(f"CREATE DATABASE {name}")
    server.run("pg_restore", name, "--exit-on-error", dump)
    archive.delete("b.fits")
    result = client.sync()
    assert result == SyncResult(0, 1, 1)
    assert behind.sync() == SyncResult(1, 0, 0)
    result = ahead.sync()
    assert result.full
    assert "history" in said(result)
    for one in (client, behind, ahead):
        assert one.rows() == archive.rows()
        assert one.sync() == SyncResult(0, 0, 0)


def test_a_dump_that_is_restored_over_the_archive_is_noticed(server, archive, new_client):
    client, ahead = new_client(), new_client()
    archive.insert("a.fits", "b.fits")
    client.sync()
    name, dump = make_url(archive.url).database, server.folder / f"{uuid.uuid4()}"
    server.run("pg_dump", name, "-Fc", "-f", dump)
    archive.change("a.fits", quality="BAD")
    archive.insert("lost.fits")
    ahead.sync()
    server.run("pg_restore", name, "--clean", "--if-exists", "--exit-on-error", dump)
    archive.insert("new.fits", "newer.fits")
    for one in (client, ahead):
        result = one.sync()
        assert one.rows() == archive.rows()
        assert result.full
        assert result.noticed
        assert one.sync() == SyncResult(0, 0, 0)


# -- standbys ------------------------------------------------------------------------------------------------------


@pytest.fixture
def standby(server: Server) -> Iterator[Standby]:
    with Standby(server) as started:
        yield started


def test_a_failover_to_a_standby_that_lacks_the_last_transactions(new_client):
    clients = {new: new_client() for new in (1, 4, 9)}
    other, late = new_client(), new_client()
    with Server() as lost, Standby(lost) as promoted, Standby(lost) as second:
        with closing(Archive(lost.url)) as archive:
            archive.fill(20)
            archive.insert("a.fits")
            for one in (promoted, second):
                one.catch_up()
                one.stop()
            for number in range(4):
                archive.change("a.fits", nframes=number)
        for client in (*clients.values(), other):
            client.sync(lost.url)
        lost.stop(crash=True)
        for one in (promoted, second):
            one.start()
        promoted.promote()
        second.follow(promoted)
        second.catch_up()
        late.sync(second.url)
        for client in clients.values():
            before = client.rows()
            with pytest.raises(RemoteUnavailableError, match="behind"):
                client.sync(second.url)  # it cannot be told yet what will come
            assert client.rows() == before

        with closing(Archive(promoted.url, is_set_up=True)) as archive:
            assert late.rows() == archive.rows()
            written = 0
            for new, client in clients.items():
                for number in range(written, new):
                    archive.insert(f"new-{number}.fits")
                written = new
                second.catch_up()
                result = client.sync(second.url)
                assert client.rows() == archive.rows()
                assert result.full
                assert "history" in said(result)
            result = other.sync(promoted.url)
            assert other.rows() == archive.rows()
            assert result.full
            assert "history" in said(result)
            assert late.sync(second.url) == SyncResult(9, 0, 0)
            archive.delete("a.fits")
            second.catch_up()
            for client in clients.values():
                for url in (second.url, promoted.url, second.url):
                    assert not client.sync(url).full
                    assert client.rows() == archive.rows()


def test_a_standby_that_is_behind_says_so_and_later_goes_on(standby, archive, client):
    there = make_url(archive.url).set(port=standby.port).render_as_string(hide_password=False)
    archive.fill(20)
    standby.catch_up()
    assert client.sync(there).full
    standby.sql("SELECT pg_wal_replay_pause()")
    archive.insert("a.fits")
    archive.delete("HB.1.fits")
    archive.execute(f"DROP TRIGGER koa_feed ON {TABLE}")
    initialise(archive.engine, Survey)
    client.sync()
    before = client.rows()
    with pytest.raises(RemoteUnavailableError, match="behind"):
        client.sync(there)
    assert client.rows() == before == archive.rows()
    standby.sql("SELECT pg_wal_replay_resume()")
    archive.insert("b.fits")
    standby.catch_up()
    assert client.sync(there) == SyncResult(1, 0, 0)
    assert client.rows() == archive.rows()


def test_a_sweep_that_was_interrupted_does_not_go_on_at_a_standby_that_is_behind(standby, archive, client, starter):
    there = make_url(archive.url).set(port=standby.port).render_as_string(hide_password=False)
    archive.fill(100)
    standby.catch_up()
    standby.sql("SELECT pg_wal_replay_pause()")
    archive.execute(f"UPDATE {TABLE} SET nframes = 99")
    kill_in_sync(starter, client, at=22)
    before = client.rows()
    assert 0 < len(before) < 100
    with pytest.raises(RemoteUnavailableError, match="behind"):
        client.sync(there)
    assert client.rows() == before
    standby.sql("SELECT pg_wal_replay_resume()")
    standby.catch_up()
    assert client.sync(there).added == 100 - len(before)
    assert client.rows() == archive.rows()


def test_a_standby_does_not_lose_what_is_committed_late_and_may_take_turns_with_its_primary(standby, archive, client):
    there = make_url(archive.url).set(port=standby.port).render_as_string(hide_password=False)
    archive.insert("first.fits")
    standby.catch_up()
    assert client.sync(there).full
    with archive.transaction() as slow:
        slow.insert("slow.fits")
        archive.insert("quick.fits")
        standby.catch_up()
        assert client.sync(there) == SyncResult(1, 0, 0)
    standby.catch_up()
    assert client.sync(there) == SyncResult(1, 0, 0)
    archive.insert("newest.fits")
    assert client.sync() == SyncResult(1, 0, 0)
    with archive.transaction() as slow:
        slow.delete("first.fits")
        archive.insert("last.fits")
        client.sync()
        standby.catch_up()
        assert client.sync(there) == SyncResult(0, 0, 0)
    standby.catch_up()
    assert client.sync(there) == SyncResult(0, 0, 1)
    assert client.rows() == archive.rows()
    assert client.sync() == SyncResult(0, 0, 0)


def test_a_standby_takes_no_changes_and_the_primary_among_several_hosts_is_found(standby, archive, client):
    there = make_url(archive.url).set(port=standby.port).render_as_string(hide_password=False)
    (identifier,) = archive.insert("a.fits")
    standby.catch_up()
    client.add_local("b.fits", checksum="sha256:b")
    remote = remote_at(there, Survey)
    for change in (
        lambda: client.publish(remote),
        lambda: remote.flag(identifier, "BAD", "why", "ann"),
        lambda: remote.set_up("reader", "publisher", resweep=True),
    ):
        with pytest.raises(RemoteError, match=r"takes no changes, since it is a standby.* Give the primary's URL;"):
            change()
    both = there.replace(f":{standby.port}", f":{standby.port},127.0.0.1:{make_url(archive.url).port}")
    with pytest.raises(RemoteError, match=r"primary's URL, or add target_session_attrs=read-write"):
        client.publish(remote_at(both, Survey))
    assert client.publish(remote_at(f"{both}?target_session_attrs=read-write", Survey)).published == 1


# -- triggers off --------------------------------------------------------------------------------------------------


def test_rows_that_are_restored_with_the_triggers_off_come_with_the_next_sync(server, archive, client):
    archive.insert("a.fits", "b.fits")
    name, dump = make_url(archive.url).database, server.folder / "rows"
    server.run("pg_dump", name, "-Fc", "-f", dump)
    archive.delete()
    client.sync()
    server.run("pg_restore", name, "--data-only", "--disable-triggers", "--exit-on-error", "-t", TABLE, dump)
    for change in (lambda: None, lambda: archive.change("a.fits", quality="BAD")):
        change()
        result = client.sync()
        assert client.rows() == archive.rows()
        assert len(client.rows()) == 2
        assert result.full
        assert "trigger" in said(result)
    initialise(archive.engine, Survey)
    assert client.sync().full
    archive.change("b.fits", quality="BAD")
    assert client.sync() == SyncResult(0, 1, 0)


@pytest.mark.parametrize(
    "dropped",
    [
        f"DROP TRIGGER koa_feed ON {TABLE}",
        f"DROP TRIGGER koa_feed_truncate ON {TABLE}",
        f"DROP TABLE {FEED}, {TABLE}_feed_lock",
    ],
)
def test_what_was_done_before_the_owner_mends_the_feed_comes_with_the_next_sync(archive, client, dropped):
    archive.insert("a.fits", "b.fits")
    client.sync()
    archive.execute(
        dropped, f"ALTER TABLE {TABLE} DISABLE TRIGGER ALL", f"UPDATE {TABLE} SET nframes = 7 WHERE filename = 'a.fits'"
    )
    archive.execute(f"ALTER TABLE {TABLE} ENABLE TRIGGER ALL")
    initialise(archive.engine, Survey)
    result = client.sync()
    assert (result.added, result.changed, result.withdrawn, result.full) == (0, 1, 0, True)
    assert result.noticed
    assert client.rows() == archive.rows()
    assert client.sync() == SyncResult(0, 0, 0)


def test_a_plain_table_is_read_wholly_each_time_until_its_owner_sets_it_up(archive, client):
    archive.insert("a.fits", "b.fits")
    archive.execute(
        f"CREATE TABLE plain AS SELECT * FROM {TABLE}",
        f"DROP TABLE {TABLE}, {FEED}, {TABLE}_feed_lock",
        f"ALTER TABLE plain RENAME TO {TABLE}",
    )
    archive.engine.dispose()
    for filename in ("a.fits", "b.fits"):
        result = client.sync()
        assert client.rows() == archive.rows()
        assert result.full
        assert "koa-cal remote init" in said(result)
        archive.execute(f"DELETE FROM {TABLE} WHERE filename = '{filename}'")
    initialise(archive.engine, Survey)
    assert client.sync().full
    archive.insert("c.fits")
    assert client.sync() == SyncResult(1, 0, 0)
    assert client.rows() == archive.rows()


# -- logical replication -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def second(server: Server) -> Iterator[Server]:
    with Server({"wal_level": "logical"}) as started:
        yield started


@pytest.fixture
def replicate(server: Server, second: Server, archive: Archive) -> Iterator[Callable[..., Callable[[], None]]]:
    """Let the second server's table follow the archive's; gives a function that waits until all is there."""
    name = make_url(archive.url).database

    def start(*tables: str) -> Callable[[], None]:
        server.sql(f"CREATE PUBLICATION koa FOR TABLE {', '.join(tables)}", database=name)
        connection = f"{server.conninfo(second)} dbname={name}"
        second.sql(f"CREATE SUBSCRIPTION koa CONNECTION '{connection}' PUBLICATION koa", database=name)
        ready = "SELECT bool_and(srsubstate = 'r') FROM pg_subscription_rel"
        wait_until(second.url_for(name), ready)
        return wait

    def wait() -> None:
        ((written,),) = server.sql("SELECT pg_current_wal_flush_lsn()")
        there = f"SELECT confirmed_flush_lsn >= '{written}' FROM pg_replication_slots WHERE slot_name = 'koa'"
        wait_until(server.url, there)

    second.sql(f"CREATE DATABASE {name}")
    yield start
    second.sql("DROP SUBSCRIPTION IF EXISTS koa", database=name)
    second.sql(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def replica(second: Server, replicate: object, archive: Archive) -> Iterator[Archive]:
    """An archive of its own on the second server, as yet empty."""
    with closing(Archive(second.url_for(str(make_url(archive.url).database)))) as found:
        yield found


def test_a_logical_replica_is_an_archive_of_its_own_also_when_it_is_put_back(
    second, archive, replica, replicate, new_client
):
    archive.fill(20)
    wait = replicate(TABLE)
    first, client = new_client(), new_client()
    for one in (first, client):
        assert one.sync(replica.url).added == 20
    archive.insert("a.fits")
    archive.delete("HB.1.fits")
    archive.change("HB.2.fits", quality="BAD")
    wait()
    assert client.sync(replica.url) == SyncResult(1, 1, 1)
    assert client.rows() == replica.rows()
    assert client.rows()["HB.2.fits"]["quality"] == "BAD"

    backup = second.backup()
    archive.insert("b.fits", "c.fits")
    wait()
    assert client.sync(replica.url) == SyncResult(2, 0, 0)
    second.put_back(backup)
    replica.engine.dispose()
    archive.insert("d.fits", "e.fits", "f.fits")
    wait_until(replica.url, f"SELECT count(*) >= 3 FROM {TABLE} WHERE filename IN ('d.fits', 'e.fits', 'f.fits')")
    result = client.sync(replica.url)
    assert client.rows() == replica.rows()
    assert result.full
    assert "history" in said(result)
    assert not first.sync(replica.url).full
    assert first.rows() == replica.rows()


def test_a_logical_replica_whose_triggers_were_switched_is_read_wholly_until_its_owner_mends_it(
    archive, replica, replicate, client
):
    archive.fill(20)
    wait = replicate(TABLE)
    client.sync(replica.url)
    replica.execute(f"ALTER TABLE {TABLE} DISABLE TRIGGER ALL", f"ALTER TABLE {TABLE} ENABLE TRIGGER ALL")
    for number in (1, 2):
        archive.delete(f"HB.{number}.fits")
        archive.insert(f"new-{number}.fits")
        wait()
        result = client.sync(replica.url)
        assert (result.added, result.withdrawn, result.full) == (1, 1, True)
        assert "trigger" in said(result)
        assert client.rows() == replica.rows()
    initialise(replica.engine, Survey)
    client.sync(replica.url)
    archive.delete("HB.3.fits")
    wait()
    assert client.sync(replica.url) == SyncResult(0, 0, 1)
    assert client.rows() == replica.rows()


def test_a_logical_replica_that_gets_the_feed_as_well_equals_its_origin(archive, replica, replicate, client):
    replica.execute(
        f"DROP TRIGGER koa_stamp ON {TABLE}",
        f"DROP TRIGGER koa_feed ON {TABLE}",
        f"DROP TRIGGER koa_feed_truncate ON {TABLE}",
        f"TRUNCATE {FEED}",
    )
    archive.fill(20)
    wait = replicate(TABLE, FEED)
    client.sync()
    for number in (1, 2):
        archive.delete(f"HB.{number}.fits")
        archive.change("HB.5.fits", nframes=number)
        wait()
        client.sync(replica.url)
        assert client.rows() == replica.rows() == archive.rows()
    archive.insert("a.fits")
    client.sync()
    assert client.rows() == archive.rows()


# -- prepared transactions -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("crashes", [False, True])
def test_a_prepared_transaction_holds_the_feed_until_it_is_committed(server, archive, client, crashes):
    archive.insert("a.fits", "b.fits")
    client.sync()
    connection = psycopg2.connect(archive.url)
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute(f"UPDATE {TABLE} SET nframes = 7 WHERE filename = 'a.fits'")
        cursor.execute("PREPARE TRANSACTION 'koa'")
    connection.close()
    if crashes:
        server.crash()
        archive.engine.dispose()
    impatient = make_url(archive.url).update_query_dict({"options": "-c lock_timeout=100ms"})
    with (
        closing(Archive(impatient.render_as_string(hide_password=False), is_set_up=True)) as another,
        pytest.raises(OperationalError, match="lock timeout"),
    ):
        another.delete("b.fits")
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(archive.insert, "c.fits")
        assert client.sync() == SyncResult(0, 0, 0)
        assert not waiting.done()
        server.sql("COMMIT PREPARED 'koa'", database=str(make_url(archive.url).database))
        waiting.result()
    assert client.sync() == SyncResult(1, 1, 0)
    assert client.rows() == archive.rows()


# -- a pooler ------------------------------------------------------------------------------------------------------


@needs_pgbouncer
def test_a_pooler_in_transaction_mode_may_stand_between(archive, new_client, monkeypatch):
    monkeypatch.setattr(viewed, "BATCH", 50)
    clients = [new_client() for _ in range(4)]
    archive.fill(200)
    with Pooler(archive.url) as pooler, ExitStack() as stack:
        pooled = stack.enter_context(closing(Archive(pooler.url, is_set_up=True)))

        def write(number: int) -> None:
            for part in range(5):
                (identifier,) = pooled.insert(f"{number}-{part}.fits")
                pooled.delete(f"HB.{number * 10 + part + 1}.fits")
                pooled.remote().flag(identifier, "BAD", f"why {identifier}", f"ann {number}")

        def follow(client: Client) -> None:
            for _ in range(10):
                client.sync(pooler.url)

        with ThreadPoolExecutor(max_workers=12) as pool:
            for done in [pool.submit(write, n) for n in range(8)] + [pool.submit(follow, one) for one in clients]:
                done.result()
        for client in clients:
            client.sync(pooler.url)
            assert client.rows() == archive.rows()
            assert len(client.rows()) == 200
            for row in client.rows().values():
                judged = client.judgements(row["id"])
                assert [why for _, _, why in judged] == ([f"why {row['id']}"] if row["quality"] == "BAD" else [])


@needs_pgbouncer
def test_values_cross_a_pooler_unchanged_whatever_the_server_has_set(archive, client):
    for setting in ("extra_float_digits = -15", "datestyle = 'German'", "default_transaction_isolation = serializable"):
        archive.execute(f"ALTER DATABASE {archive.engine.url.database} SET {setting}")
    with Pooler(archive.url) as pooler, closing(Archive(pooler.url, is_set_up=True)) as pooled:
        archive.insert("a.fits", exptime=1 / 3)
        assert client.sync(pooler.url) == SyncResult(1, 0, 0, True)
        assert client.rows()["a.fits"]["exptime"] == 1 / 3
        client.add_local("b.fits", checksum="sha256:b", exptime=2 / 3)
        assert client.publish(pooled.remote()).renamed == {"b.fits": "b.002.fits"}
        assert client.rows()["b.002.fits"]["exptime"] == 2 / 3


@needs_pgpool
def test_pgpool_does_not_take_a_reading_apart_among_a_primary_and_its_standby(standby, archive, new_client):
    first, second = new_client(), new_client()
    archive.fill(20)
    standby.catch_up()
    standby.sql("SELECT pg_wal_replay_pause()")
    archive.insert("late.fits", exptime=1 / 3)
    with PgPool(archive.url, standby) as pooler, closing(Archive(pooler.url, is_set_up=True)) as pooled:
        wait_until(pooler.url, f"SELECT inet_server_port() = {standby.port} FROM {TABLE} LIMIT 1")
        for client in (first, second):
            assert client.sync(pooler.url) == SyncResult(21, 0, 0, True)
            assert client.rows() == archive.rows()
        for number in range(3):
            archive.insert(f"new-{number}.fits")
            archive.delete(f"HB.{number + 1}.fits")
            assert first.sync(pooler.url) == SyncResult(1, 0, 1)
            assert first.rows() == archive.rows()
        second.add_local("mine.fits", checksum="sha256:1a", exptime=2 / 3)
        assert second.publish(pooled.remote()).renamed == {"mine.fits": "mine.002.fits"}
        (row,) = pooled.remote().database.query(filename="late.fits")
        assert row.exptime == 1 / 3
        assert pooled.remote().flag(row.id, "BAD", "a trail", "ann")
        first.sync(pooler.url)
        assert first.rows() == archive.rows()
