"""What goes wrong on the way to the remote: said clearly, in a bounded time, with the local data as they were."""

from __future__ import annotations

import contextlib
import socket
import threading
import time

import pytest
from koa_middleware.exceptions import (
    ConfigurationError,
    KoaMiddlewareError,
    RemoteError,
    RemoteUnavailableError,
    SchemaMismatchError,
)
from koa_middleware.remote import viewed
from koa_middleware.remote.postgres import publishing
from koa_middleware.remote.postgres.engine import postgresql_engine, require_version
from koa_middleware.remote.postgres.errors import remote_errors
from koa_middleware.remote.postgres.remote import PostgresRemote
from koa_middleware.remote.postgres.schema import grants, initialise
from koa_middleware.remote.servers import remote_at, without_password
from sqlalchemy import make_url, text
from survey import Survey

TABLE = "survey_calibrations"
SELECT = (f"GRANT SELECT ON {TABLE}, {TABLE}_feed, {TABLE}_history TO {{}}",)


class Relay:
    """Passes bytes between a client and the server, and cuts the connection after some of the answer."""

    def __init__(self, url: str, cut_after: int | None) -> None:
        self._server = (make_url(url).host, make_url(url).port)
        self._cut_after = cut_after
        self._socket = socket.create_server(("127.0.0.1", 0))
        port = self._socket.getsockname()[1]
        self.url = make_url(url).set(port=port).render_as_string(hide_password=False)
        self._silent: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            if self._cut_after is None:
                self._silent.append(client)  # never hears a word
                continue
            with client, socket.create_connection(self._server) as server:
                there = threading.Thread(target=self._pass, args=(client, server, None))
                there.start()
                self._pass(server, client, self._cut_after)
                there.join()

    def _pass(self, source: socket.socket, target: socket.socket, limit: int | None) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while (limit is None or passed < limit) and (some := source.recv(4096)):
                target.sendall(some)
                passed += len(some)
        for one in (source, target):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        for one in (self._socket, *self._silent):
            one.close()


def check_message(error: KoaMiddlewareError, url: str) -> None:
    parsed = make_url(url)
    assert f"{parsed.host}:{parsed.port}" in str(error)
    assert str(parsed.password) not in str(error) + repr(error) + repr(error.__dict__)


def test_a_server_that_is_down_is_said_to_be_unavailable(archive, client):
    archive.insert("a.fits")
    client.sync()
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
    url = make_url(archive.url).set(port=port).render_as_string(hide_password=False)
    with pytest.raises(RemoteUnavailableError) as caught:
        client.sync(url)
    check_message(caught.value, url)
    assert caught.value.host == f"127.0.0.1:{port}"
    assert client.rows() == archive.rows()


def test_what_a_driver_says_in_several_lines_is_told_as_one_sentence():
    engine = postgresql_engine("postgresql://127.0.0.1:9/koa")
    with (
        pytest.raises(RemoteUnavailableError, match="refused; Is the server running"),
        remote_errors(engine, Survey.table()),
    ):
        engine.connect()


def test_a_wrong_password_is_said_and_not_shown(archive, client):
    url = make_url(archive.url).set(password="not-the-password").render_as_string(hide_password=False)
    with pytest.raises(RemoteUnavailableError, match="password authentication failed") as caught:
        client.sync(url)
    check_message(caught.value, url)


def test_a_refused_encryption_is_said(archive, client):
    with archive.engine.connect() as connection:
        if connection.scalar(text("SHOW ssl")) == "on":
            pytest.skip("this server offers encryption")
    url = make_url(archive.url).update_query_dict({"sslmode": "require"}).render_as_string(hide_password=False)
    with pytest.raises(RemoteUnavailableError, match="SSL") as caught:
        client.sync(url)
    check_message(caught.value, url)


def test_a_server_that_never_answers_is_given_up_after_the_time_that_the_url_allows(archive, client):
    relay = Relay(archive.url, None)
    began = time.monotonic()
    with pytest.raises(RemoteUnavailableError, match="timeout"):
        client.sync(f"{relay.url}?connect_timeout=2")
    assert time.monotonic() - began < 8
    relay.close()


def test_ten_seconds_are_allowed_for_connecting_unless_the_url_says_otherwise():
    assert postgresql_engine("postgresql://u@h/d").url.query["connect_timeout"] == "10"
    assert postgresql_engine("postgresql://u@h/d?connect_timeout=3").url.query["connect_timeout"] == "3"


@pytest.mark.parametrize("cut_after", [500, 3_000, 20_000, 80_000])
def test_a_connection_that_is_cut_leaves_what_came_and_the_next_sync_goes_on(archive, client, monkeypatch, cut_after):
    monkeypatch.setattr(viewed, "BATCH", 50)
    archive.fill(400)
    relay = Relay(archive.url, cut_after)
    with pytest.raises(RemoteUnavailableError) as caught:
        client.sync(relay.url)
    check_message(caught.value, relay.url)
    relay.close()
    came = len(client.rows())
    assert came < 400
    result = client.sync()
    assert (result.added, result.changed) == (400 - came, 0)
    assert client.rows() == archive.rows()


def test_a_statement_that_takes_too_long_is_said(archive, client):
    observer = archive.role(*SELECT, "ALTER ROLE {} SET statement_timeout = '200ms'")
    with archive.engine.begin() as owner:
        owner.execute(text(f"LOCK TABLE {TABLE} IN ACCESS EXCLUSIVE MODE"))
        with pytest.raises(RemoteUnavailableError, match="statement timeout"):
            client.sync(observer)
    assert client.sync(observer).added == 0


def test_a_role_that_may_only_select_can_sync(archive, client):
    archive.insert("a.fits", "b.fits")
    observer = archive.role(*SELECT)
    assert client.sync(observer).added == 2
    archive.execute(f"DELETE FROM {TABLE}")
    assert client.sync(observer).withdrawn == 2


def test_the_printed_grants_are_enough(archive, client):
    archive.insert("a.fits")
    reader, publisher = archive.role(), archive.role(name="publisher")
    names = (make_url(reader).username, make_url(publisher).username)
    archive.execute(*grants(archive.engine, Survey.table(), *names))
    assert client.sync(reader).added == 1
    with postgresql_engine(publisher).begin() as connection:
        connection.execute(text(f"UPDATE {TABLE} SET quality = 'BAD'"))
        connection.execute(text(f"DELETE FROM {TABLE}"))
    assert client.sync(reader).withdrawn == 1


@pytest.mark.parametrize("granted", [TABLE, f"{TABLE}_feed"])
def test_a_missing_grant_is_named(archive, client, granted):
    archive.insert("a.fits")
    observer = archive.role(f"GRANT SELECT ON {granted} TO {{}}")
    missing = ({TABLE, f"{TABLE}_feed"} - {granted}).pop()
    with pytest.raises(RemoteError, match=f"GRANT SELECT ON {missing} TO {make_url(observer).username};"):
        client.sync(observer)


def test_the_right_that_a_publisher_lacks_is_named(archive, client):
    (identifier,) = archive.insert("a.fits")
    client.add_local("b.fits", checksum="sha256:b")
    observer = archive.for_reader()
    with pytest.raises(RemoteError, match=f"GRANT INSERT, UPDATE, DELETE ON {TABLE}"):
        client.publish(observer)
    with pytest.raises(RemoteError, match=f"GRANT INSERT, UPDATE, DELETE ON {TABLE}"):
        observer.flag(identifier, "BAD", "why", "ann")


def test_a_table_that_is_not_there_names_the_command_that_makes_it(fresh_database, archive, client):
    archive.execute(f"DROP TABLE {TABLE}")
    with pytest.raises(SchemaMismatchError, match="koa-cal remote init -i survey"):
        client.sync()


def test_a_table_without_a_feed_is_read_whole_each_time_until_it_is_set_up(archive, client):
    archive.execute(f"DROP TABLE {TABLE}_feed", f"ALTER TABLE {TABLE} DISABLE TRIGGER USER")
    for name in ("a.fits", "b.fits"):
        archive.insert(name)
        (noticed,) = client.sync().noticed
        assert "koa-cal remote init -i survey" in noticed
        assert client.rows() == archive.rows()
    initialise(archive.engine, Survey)
    client.sync()
    assert client.sync().noticed == []


def test_the_readers_transactions_cannot_write(archive, client):
    with (
        PostgresRemote(Survey, archive.url).viewed() as source,
        source.view(),
        pytest.raises(RemoteError, match="read-only"),
        remote_errors(archive.engine, Survey.table()),
    ):
        source.fetch(f"DELETE FROM {TABLE}")


@pytest.mark.parametrize(
    "url", ["mysql://u:hidden@h/d", "postgresql://u:hidden@h:port/d", "hidden", "sqlite:///hidden"]
)
def test_a_url_of_another_kind_is_refused_without_being_shown(url):
    with pytest.raises(ConfigurationError) as caught:
        postgresql_engine(url)
    assert "hidden" not in str(caught.value)
    assert caught.value.__cause__ is caught.value.__context__ is None


def test_a_value_that_only_a_newer_plugin_knows_to_give_is_told_as_missing(archive, client):
    client.add_local("a.fits", checksum="sha256:a")
    archive.execute(f"ALTER TABLE {TABLE} ADD COLUMN night text NOT NULL")
    with pytest.raises(SchemaMismatchError, match=r"needs a value in night.*plugin does not have") as caught:
        client.publish()
    assert caught.value.missing == ("night",)


# -- what the server refuses, and why --------------------------------------------------------------------------------


@pytest.mark.parametrize(("version", "found"), [(130004, "13.4"), (100023, "10.23"), (90624, "9.6")])
def test_a_server_that_is_too_old_is_told_by_its_version(version, found):
    with pytest.raises(RemoteError, match=rf"needs PostgreSQL 14 or newer, and h:5432 has {found}\. Ask its owner"):
        require_version(version, "h:5432")


def test_a_server_whose_version_is_new_enough_or_unknown_is_not_refused():
    for version in (140000, 180006, 0):
        require_version(version, "h:5432")


def test_a_database_that_is_read_only_says_so_whatever_is_changed(archive, client):
    (identifier,) = archive.insert("a.fits")
    client.add_local("b.fits", checksum="sha256:b")
    archive.execute(f"ALTER DATABASE {archive.engine.url.database} SET default_transaction_read_only = on")
    remote = archive.remote()
    said = r"takes no changes, since it is a standby or read-only: cannot execute .* Give the primary's URL;"
    with pytest.raises(RemoteError, match=said):
        client.publish(remote)
    with pytest.raises(RemoteError, match=said):
        remote.flag(identifier, "BAD", "why", "ann")
    with pytest.raises(RemoteError, match=said):
        remote.set_up("reader", "publisher", resweep=True)
    assert list(client.rows("LOCAL")) == ["b.fits"]
    client.sync()
    assert list(client.rows()) == ["a.fits"]


def test_sql_of_ones_own_only_reads(archive):
    remote = archive.remote()
    with (
        pytest.raises(RemoteError, match=r"takes no changes over this connection.*DELETE.* Publish or flag"),
        remote.database.session_manager() as session,
    ):
        session.execute(text(f"DELETE FROM {TABLE}"))
    remote.close()


def test_a_lock_of_another_one_is_said_to_go_by(archive, client, monkeypatch):
    (identifier,) = archive.insert("a.fits")
    monkeypatch.setattr(publishing, "LONGEST_WAIT", 0.1)
    remote = archive.remote()
    with archive.transaction() as other:
        other.change("a.fits", nframes=2)
        with pytest.raises(RemoteUnavailableError, match=r"locked by another transaction.* Try again"):
            remote.flag(identifier, "BAD", "why", "ann")
    remote.flag(identifier, "BAD", "why", "ann")
    assert archive.rows()["a.fits"]["quality"] == "BAD"
    remote.close()


def test_a_deadlock_is_said_to_go_by(archive):
    archive.execute(f"ALTER DATABASE {archive.engine.url.database} SET deadlock_timeout = '50ms'")
    archive.insert("a.fits", "b.fits")
    found = []
    barrier = threading.Barrier(2)

    def write(first: str, second: str) -> None:
        try:
            with remote_errors(archive.engine, Survey.table()), archive.transaction() as writer:
                writer.change(first, nframes=1)
                barrier.wait()
                writer.change(second, nframes=2)
        except RemoteUnavailableError as error:
            found.append(str(error))

    threads = [threading.Thread(target=write, args=names) for names in (("a.fits", "b.fits"), ("b.fits", "a.fits"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (said,) = found
    assert "another one was writing: deadlock detected" in said


def test_writers_that_cannot_be_put_in_an_order_are_told_to_try_again(archive):
    archive.insert("a.fits")
    serializable = archive.engine.execution_options(isolation_level="SERIALIZABLE")
    with serializable.connect() as mine:
        mine.execute(text(f"SELECT count(*) FROM {TABLE}"))
        archive.change("a.fits", nframes=2)
        with (
            pytest.raises(RemoteUnavailableError, match=r"another one was writing: could not serialize.* Try again"),
            remote_errors(archive.engine, Survey.table()),
        ):
            mine.execute(text(f"UPDATE {TABLE} SET nframes = 3"))


def test_a_publisher_that_leaves_the_server_waiting_is_told_so(archive, client):
    publisher = archive.role(
        f"GRANT SELECT, INSERT, UPDATE ON {TABLE} TO {{}}",
        "ALTER ROLE {} SET idle_in_transaction_session_timeout = '100ms'",
    )
    client.add_local("a.fits", checksum="sha256:a")
    with pytest.raises(RemoteUnavailableError, match=r"did not wait any longer.*idle-in-transaction|not available"):
        client.publish(remote_at(publisher, Survey), upload=lambda _: time.sleep(0.5))
    assert archive.rows() == {}


@pytest.mark.parametrize("code", ["53100", "53200", "53400"])
def test_a_server_without_room_is_told_to_its_owner(archive, client, code):
    archive.execute(
        f"""CREATE FUNCTION full_() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN RAISE EXCEPTION 'could not extend file "base/1/2"' USING ERRCODE = '{code}'; END $$""",
        f"CREATE TRIGGER full_ BEFORE INSERT ON {TABLE} FOR EACH ROW EXECUTE FUNCTION full_()",
    )
    client.add_local("a.fits", checksum="sha256:a")
    with pytest.raises(RemoteUnavailableError, match=r"no room for this: could not extend file .*2\W+ Tell its owner"):
        client.publish()
    assert list(client.rows("LOCAL")) == ["a.fits"]


def test_a_role_that_has_no_connection_left_is_told_to_try_later(archive, client):
    observer = archive.role(*SELECT, "ALTER ROLE {} CONNECTION LIMIT 0")
    with pytest.raises(RemoteUnavailableError, match=r"too many connections for role .* try again later"):
        client.sync(observer)


def test_what_refuses_a_connection_is_told_with_what_to_do(archive, client):
    there = make_url(archive.url)
    for changed, hint in (
        ({"password": "wrong"}, "check user and password"),
        ({"database": "nowhere"}, "check the names of user and database"),
        ({"username": "nobody_known"}, "check (user and password|the names)"),
    ):
        with pytest.raises(RemoteUnavailableError, match=rf"works without it; {hint}"):
            client.sync(there.set(**changed).render_as_string(hide_password=False))


def test_a_policy_that_refuses_a_row_is_not_taken_for_a_missing_grant(archive, client):
    publisher = archive.role(f"GRANT SELECT, INSERT, UPDATE ON {TABLE} TO {{}}")
    archive.execute(
        f"ALTER TABLE {TABLE} ENABLE ROW LEVEL SECURITY", f"CREATE POLICY seen ON {TABLE} FOR SELECT USING (true)"
    )
    client.add_local("a.fits", checksum="sha256:a")
    with pytest.raises(RemoteError, match="row-level security") as caught:
        client.publish(remote_at(publisher, Survey))
    assert "GRANT" not in str(caught.value)


# -- several hosts ---------------------------------------------------------------------------------------------------


def several(archive, *ports, form="libpq", **options):
    """Address of several ports of the archive's machine; None is the archive's own."""
    url = make_url(archive.url)
    hosts = [f"{url.host}:{port or url.port}" for port in ports]
    more = "".join(f"&{name}={value}" for name, value in options.items())
    account = f"{url.username}:{url.password}@"
    if form == "libpq":
        return f"postgresql://{account}{','.join(hosts)}/{url.database}?connect_timeout=5{more}"
    return f"postgresql://{account}/{url.database}?{'&'.join(f'host={host}' for host in hosts)}{more}"


@pytest.mark.parametrize("form", ["libpq", "query"])
def test_the_first_of_several_hosts_that_answers_is_taken(archive, client, form):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
    archive.insert("a.fits")
    url = several(archive, port, None, form=form)
    assert client.sync(url).added == 1
    remote = remote_at(url, Survey)
    assert remote.database.count() == 1
    there = make_url(archive.url)
    assert f"127.0.0.1:{port},127.0.0.1:{there.port}" in remote.name
    for shown in (repr(remote.database), without_password(url), remote.name):
        assert there.password not in shown
    assert without_password(url).startswith(f"postgresql://{there.username}:***@127.0.0.1:{port},127.0.0.1:")


def test_several_hosts_of_which_none_answers_are_all_named(archive, client):
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        ports = one.getsockname()[1], two.getsockname()[1]
    url = several(archive, *ports)
    with pytest.raises(RemoteUnavailableError) as caught:
        client.sync(url)
    assert caught.value.host == f"127.0.0.1:{ports[0]},127.0.0.1:{ports[1]}"
    assert caught.value.host in str(caught.value)
    assert make_url(archive.url).password not in str(caught.value) + repr(caught.value.__dict__)


def test_hosts_that_are_not_what_the_url_asks_for_are_told_so(archive, client):
    archive.execute(f"ALTER DATABASE {archive.engine.url.database} SET default_transaction_read_only = on")
    with pytest.raises(RemoteUnavailableError, match=r"read-only.* none of the hosts .*target_session_attrs"):
        client.sync(several(archive, None, None, target_session_attrs="read-write"))


def test_the_password_of_several_hosts_may_come_from_the_password_file(archive, client, tmp_path, monkeypatch):
    archive.insert("a.fits")
    there = make_url(archive.url)
    passwords = tmp_path / "pgpass"
    passwords.write_text(f"{there.host}:{there.port}:*:{there.username}:{there.password}\n")
    passwords.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(passwords))
    url = several(archive, None, None).replace(f":{there.password}@", "@")
    assert client.sync(url).added == 1


@pytest.mark.parametrize(
    "hosts", ["h:x,h2/d", "h,h2:5:6/d", "/d?host=h&host=h2:x", "/d?host=h,h2&port=1,2,3", "/d?host=h,h2&port=1,x"]
)
def test_several_hosts_that_cannot_be_read_are_refused_without_being_shown(hosts):
    with pytest.raises(ConfigurationError) as caught:
        postgresql_engine(f"postgresql://u:hidden@{hosts}")
    assert "hidden" not in str(caught.value)
