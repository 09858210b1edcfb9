"""An archive over HTTP as a client follows it, and what it says of servers that are none, or not in order."""

from __future__ import annotations

import base64
import gzip
import itertools
import json
import re
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from http_server import mount
from koa_middleware import CalibrationStore, ConfigurationError
from koa_middleware.database.local import LocalDatabase
from koa_middleware.exceptions import (
    RemoteError,
    RemoteUnavailableError,
    SchemaMismatchError,
)
from koa_middleware.instrument.columns import fits_column
from koa_middleware.instrument.orm import TEXT, ORMCalibration
from koa_middleware.remote.bookmark import StateTable
from koa_middleware.remote.servers import address_of, remote_at, without_password
from koa_middleware.remote.sync import SyncResult, synchronise
from koa_middleware.server.app import make_app
from servers import run_sql
from sqlalchemy import Float, make_url, text
from sqlalchemy.orm import Mapped
from survey import Client, HttpArchive, Survey

from tests.conftest import DemoCalibration

TABLE = "survey_calibrations"


@pytest.fixture
def kind() -> str:
    return "http"


class Line:
    """What stands before an application: it notes each request and its status, and may do something before it."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self.asked: list[tuple[str, int]] = []
        self.before: Callable[[str], Any] = lambda path: None

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Pass a request on, or answer with what `before` gives."""
        path = scope["path"].rpartition("/")[2]
        app = self.before(path) or self._app

        async def noted(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                self.asked.append((path, message["status"]))
            await send(message)

        await app(scope, receive, noted)


@pytest.fixture
def line(archive: HttpArchive) -> Line:
    """What stands before the archive."""
    found = Line(make_app([archive.served]))
    archive.http_url = mount(found)
    return found


@pytest.fixture
def another(postgres_url: str) -> Iterator[HttpArchive]:
    """Another archive."""
    name = f"koa_test_{uuid.uuid4().hex[:12]}"
    run_sql(postgres_url, f"CREATE DATABASE {name}")
    found = HttpArchive(make_url(postgres_url).set(database=name).render_as_string(hide_password=False))
    yield found
    found.close()
    run_sql(postgres_url, f"DROP DATABASE {name} WITH (FORCE)")


def once(path: str, do: Callable[[], Any]) -> Callable[[str], Any]:
    """Do something before the first request of a path."""
    done: list[bool] = []

    def before(asked: str) -> Any:
        if asked == path and not done:
            done.append(True)
            return do()
        return None

    return before


def answering(status: int, body: bytes, **headers: str) -> Any:
    """An application that answers all with the same."""

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": raw})
        await send({"type": "http.response.body", "body": body})

    return app


def bookmark_of(client: Client) -> dict[str, Any]:
    """What the client's copy has followed."""
    with client.database.driver_connection() as connection:
        found: dict[str, Any] = json.loads(StateTable(connection, TABLE).load().bookmark or "{}")
    return found


# -- following -----------------------------------------------------------------------------------------------------


def test_nothing_new_costs_one_question_that_is_answered_without_a_body(archive, client, line):
    archive.insert("a.fits")
    client.sync()
    line.asked.clear()
    assert client.sync() == client.sync() == SyncResult(0, 0, 0)
    assert line.asked == [("state", 304)] * 2


def test_news_cost_three_questions(archive, client, line):
    archive.insert("a.fits")
    client.sync()
    archive.insert("b.fits")
    line.asked.clear()
    assert client.sync().added == 1
    assert line.asked == [("state", 200), ("state", 200), ("changes", 200)]


def test_an_archive_is_followed_on_where_its_address_changes_between_database_and_server(archive, client):
    archive.insert("a.fits")
    client.sync()
    for number, remote in enumerate([archive.owner(), archive.remote(), archive.owner()]):
        archive.insert(f"{number}.fits")
        result = client.sync(remote)
        assert (result.added, result.full) == (1, False)
    assert client.rows() == archive.rows()


def test_rows_that_change_while_all_are_read_end_as_the_archive_has_them(archive, client, line, monkeypatch):
    archive.small_batches(monkeypatch, 10)
    archive.fill(40)
    ids = sorted(row["id"] for row in archive.rows().values())
    named = {row["id"]: name for name, row in archive.rows().items()}

    def change():
        archive.change(named[ids[0]], nframes=77)
        archive.delete(named[ids[1]], named[ids[39]])
        archive.insert("new.fits", id="0")

    reads = iter([lambda: None, change])
    line.before = lambda path: (path == "records" and next(reads, lambda: None)()) or None
    assert client.sync().full
    assert client.rows() == archive.rows()
    assert client.sync() == SyncResult(0, 0, 0)


def test_the_bookmark_stays_before_a_transaction_of_which_a_part_came(archive, client, line, monkeypatch):
    archive.small_batches(monkeypatch, 2)
    client.sync()
    archive.insert("a.fits")
    archive.insert("b.fits", "c.fits", "d.fits")
    client.sync()
    end = bookmark_of(client)["n"]
    archive.insert("e.fits", "f.fits", "g.fits")
    answers = iter([None, answering(500, b"")])
    line.before = lambda path: next(answers, answering(500, b"")) if path == "changes" else None
    with pytest.raises(RemoteUnavailableError, match="500"):
        client.sync()
    assert bookmark_of(client)["n"] == end
    line.before = lambda path: None
    client.sync()
    assert client.rows() == archive.rows()


@pytest.mark.parametrize("path", ["changes", "records", "history"])
def test_an_archive_that_loses_changes_while_it_is_read_is_read_anew(archive, client, line, path):
    archive.insert("a.fits", "b.fits")
    client.sync()
    archive.insert("c.fits")
    line.before = once(path, lambda: archive.put_back("a.fits", "c.fits"))
    assert client.sync(full=path != "changes").full
    assert client.rows() == archive.rows()
    assert client.sync() == SyncResult(0, 0, 0)


def test_an_archive_whose_owner_asks_for_it_while_it_is_read_is_read_anew(archive, client, line):
    archive.insert("a.fits", "b.fits")
    client.sync()
    archive.execute(
        f"ALTER TABLE {TABLE} DISABLE TRIGGER koa_feed",
        f"UPDATE {TABLE} SET nframes = 5",
        f"ALTER TABLE {TABLE} ENABLE ALWAYS TRIGGER koa_feed",
    )
    client.sync()
    archive.execute(f"SET session_replication_role = replica; UPDATE {TABLE} SET nframes = 6")
    archive.insert("c.fits")
    line.before = once("changes", lambda: archive.owner().set_up("reader", "publisher", resweep=True) and None)
    assert client.sync().full
    assert client.rows() == archive.rows()


def test_what_is_done_with_the_feed_switched_off_while_it_is_read_comes_in_the_same_sync(archive, client, line):
    archive.insert("a.fits")
    client.sync()
    archive.insert("b.fits")
    switched = f"ALTER TABLE {TABLE} {{}} TRIGGER koa_feed".format
    quietly = [switched("DISABLE"), f"UPDATE {TABLE} SET nframes = 5", switched("ENABLE ALWAYS")]
    line.before = once("changes", lambda: archive.execute(*quietly))
    assert client.sync().full
    assert client.rows() == archive.rows()


def test_servers_of_two_archives_that_answer_in_turn_are_noticed(archive, client, line, another):
    archive.insert("a.fits")
    another.insert("b.fits")
    client.sync()
    archive.insert("c.fits")
    turns = itertools.cycle([None, make_app([another.served])])
    line.before = lambda path: next(turns)
    with pytest.raises(RemoteUnavailableError, match="changed each time while it was read"):
        client.sync()
    assert 1 < len(line.asked) < 40
    line.before = lambda path: None
    client.sync()
    assert client.rows() == archive.rows()


# -- columns of other versions ---------------------------------------------------------------------------------------


class NewerSurvey(ORMCalibration):
    """The survey with a column that is renamed, one of another type, one more, and without the others."""

    instrument_name = "survey"
    version_family = ("spectrograph",)

    spectrograph: Mapped[str | None] = fits_column("SPECTROG", TEXT, default=None)
    exposure: Mapped[float | None] = fits_column("EXPTIME", Float, default=None, renamed_from=("exptime",))
    nframes: Mapped[float | None] = fits_column("NFRAMES", Float, default=None)
    gain: Mapped[float] = fits_column("GAIN", Float, default=1.5)


def test_a_client_of_another_version_maps_the_servers_columns_to_its_own(archive, tmp_path):
    archive.insert("a.fits", exptime=2.5, nframes=7)
    archive.insert("b.fits")
    found = {}
    for url in (archive.url, archive.http_url):
        local = LocalDatabase(NewerSurvey, tmp_path / f"{len(found)}.db")
        with closing(local):
            with pytest.warns(UserWarning, match="lacks the columns gain|does not know"):
                result = synchronise(local, remote_at(url, NewerSurvey))
            assert result.conflicts == []
            found[url] = sorted((r.filename, r.exposure, r.nframes, r.gain, type(r.nframes)) for r in local.query())
    over_http = found[archive.http_url]
    assert over_http == found[archive.url]
    assert over_http == [("a.fits", 2.5, 7.0, 1.5, float), ("b.fits", None, None, 1.5, type(None))]


FLOATS = (0.1 + 0.2, 1 / 3, 61042.127843495123, 5e-324, 1.7976931348623157e308, -2.5, float("inf"), -float("inf"))
TEXTS = ("é€ ż", "日本語 🔭", "a\\b'c\"d%s%", "$1 {} \t x", " blank ", "none")


def test_values_cross_as_they_do_from_the_database(archive, client, new_client):
    for number, value in enumerate(FLOATS):
        archive.insert(f"float-{number}.fits", exptime=value, master_cal=bool(number % 2), file_size=1 << 40)
    for number, words in enumerate(TEXTS):
        archive.insert(f"text-{number}.fits", koa_id=words)
    archive.execute(
        f"ALTER TABLE {TABLE} ALTER nframes TYPE numeric(12, 2), ALTER koa_filepath TYPE bytea USING NULL,"
        " ALTER last_processed TYPE timestamptz USING NULL, ALTER drp_version TYPE text[] USING NULL"
    )
    sets = ("nframes = 1.5", "nframes = 3", "koa_filepath = '\\x00ff'", "last_processed = '2026-01-02 03:04:05.6+01'")
    for number, setting in enumerate((*sets, "drp_version = ARRAY['a', NULL]", "last_processed = 'infinity'")):
        archive.insert(f"odd-{number}.fits")
        archive.execute(f"UPDATE {TABLE} SET {setting} WHERE filename = 'odd-{number}.fits'")
    other = new_client()
    over_http, direct = client.sync(), other.sync(archive.owner())
    assert client.rows() == other.rows()
    assert len(client.rows()) > len(FLOATS) + len(TEXTS)
    reasons = [
        [(conflict.id, re.sub("<memory at .*?>", "bytes", conflict.reason)) for conflict in result.conflicts]
        for result in (over_http, direct)
    ]
    assert reasons[0] == reasons[1] != []
    archive.execute(f"UPDATE {TABLE} SET quality = 'BAD'")
    client.sync(), other.sync(archive.owner())
    versions = former_of(client)
    assert versions == former_of(other)
    assert len(versions) > len(FLOATS) + len(TEXTS)


def former_of(client: Client) -> list[dict[str, Any]]:
    """The former versions that a client has, without its own numbers for them."""
    with client.database.connect() as connection:
        found = connection.execute(text(f"SELECT * FROM {TABLE}_history ORDER BY koa_archive_n")).mappings()
        return [{name: value for name, value in row.items() if name != "koa_n"} for row in found]


# -- servers that are none, or not in order ------------------------------------------------------------------------


def problem(kind: str, status: int, **values: Any) -> Any:
    """An application that answers all with a problem."""
    body = {"type": f"urn:koa-middleware:problem:{kind}", "status": status, "detail": "So it is.", **values}
    return answering(status, json.dumps(body).encode(), content_type="application/problem+json")


def asked_of(app: Any, tries: list[str] | None = None) -> None:
    """Ask an application for the state of an archive, noting each request."""
    line = Line(app)
    try:
        with remote_at(mount(line), Survey).connected() as source:
            source.state(None, None)
    finally:
        if tries is not None:
            tries.extend(path for path, _ in line.asked)


PAGE = b"<html><title>Log in</title><body>Who are you?</body></html>"


def test_a_loop_of_redirects_names_the_variable_of_the_archive():
    with pytest.raises(RemoteUnavailableError, match="check KOA_REMOTE_DATABASE_URL") as caught:
        asked_of(answering(302, b"", location="state"))
    assert "KOA_CALIBRATION_URL" not in str(caught.value)


@pytest.mark.parametrize(
    ("app", "said"),
    [
        (answering(200, PAGE, content_type="text/html"), "sent something else .*'Log in Who are you"),
        (answering(200, b"[]", content_type="application/json"), "does not understand"),
        (answering(200, b'{"newest": 3}', content_type="application/json"), "does not understand"),
        (answering(404, PAGE, content_type="text/html"), "nothing at this address.*KOA_REMOTE_DATABASE_URL"),
        (answering(401, b""), "does not allow this.*KOA_ACCESS_TOKEN"),
        (answering(403, PAGE, content_type="text/html"), "does not allow this.*KOA_ACCESS_TOKEN"),
        (problem("forbidden", 403, scope="read"), "So it is.*scope read"),
        (problem("invalid-request", 422), "So it is"),
        (problem("RemoteError", 502), "So it is"),
        (answering(418, b"tea"), r"refuses \(status 418\): 'tea'"),
    ],
)
def test_a_refusal_is_told_at_once_and_says_what_came(app, said):
    tries: list[str] = []
    with pytest.raises(RemoteError, match=said) as caught:
        asked_of(app, tries)
    assert not isinstance(caught.value, RemoteUnavailableError)
    assert len(tries) == 1


def test_a_server_without_the_instrument_says_which_it_has(archive):
    with (
        remote_at(archive.http_url, DemoCalibration).connected() as source,
        pytest.raises(SchemaMismatchError, match=r"no instrument 'demo'.* It has survey"),
    ):
        source.state(None, None)


@pytest.mark.parametrize(
    "app",
    [
        answering(500, PAGE, content_type="text/html"),
        problem("RemoteUnavailableError", 503),
        answering(200, b'{"newest": [1, "to', content_type="application/json"),
        answering(200, gzip.compress(b'{"newest": 1}')[:-12], content_type="application/json", content_encoding="gzip"),
        answering(200, b"no gzip", content_type="application/json", content_encoding="gzip"),
        answering(200, b"{}", content_type="application/json", content_length="200"),
    ],
    ids=["error", "unavailable", "cut", "cut gzip", "no gzip", "cut by length"],
)
def test_what_may_go_by_itself_is_asked_again_and_told_in_the_end(archive, app):
    tries: list[str] = []
    with pytest.raises(RemoteUnavailableError) as caught:
        asked_of(app, tries)
    assert len(tries) == 5
    assert caught.value.host in caught.value.message
    good, bad = make_app([archive.served]), itertools.chain([app, app], itertools.repeat(None))
    line = Line(good)
    line.before = lambda path: next(bad)
    with remote_at(mount(line), Survey).connected() as source:
        assert source.state(None, None).bookmark


@pytest.mark.parametrize("status", [429, 503])
def test_a_wait_that_a_server_asks_for_is_obeyed(archive, status):
    line = Line(make_app([archive.served]))
    line.before = once("state", lambda: answering(status, b"", retry_after="1"))
    begun = time.monotonic()
    with remote_at(mount(line), Survey).connected() as source:
        assert source.state(None, None).bookmark
    assert time.monotonic() - begun >= 1
    with pytest.raises(RemoteUnavailableError, match="try again in 4000 s"):
        asked_of(answering(status, b"", retry_after="4000"))


def test_a_server_that_takes_nothing_larger_than_it_says_gets_ids_compressed(archive, client):
    ids = archive.insert(*(f"{number}.fits" for number in range(100)))
    with archive.remote().connected() as source:
        found = source.lookup([*ids, "none"], None, None)
    assert len(found.batch.rows) == len(found.entries) == 100


# -- addresses -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "https://", "https:///path", "https://host:port/", "https://me:s3cret@host/a@b", "https://host/?s3cret",
        "https://host/#s3cret", "https://host/{s3cret}", "https://ho st/s3cret", "https://[s3cret/",
    ],
)  # fmt: skip
def test_what_is_no_address_of_an_archive_is_refused_without_being_repeated(tmp_path, url):
    with pytest.raises(ConfigurationError, match="The URL of the remote database") as caught:
        CalibrationStore(DemoCalibration, tmp_path, remote_database_url=url)
    assert (caught.value.setting, caught.value.variable) == ("remote_database_url", "KOA_REMOTE_DATABASE_URL")
    assert "s3cret" not in f"{caught.value!r} {caught.value}"


@pytest.mark.parametrize("host", ["archive.example", "192.168.0.1", "127.0.0.1.example", "[2001:db8::1]:80"])
def test_an_address_without_encryption_is_for_this_machine_alone(tmp_path, host):
    with pytest.raises(ConfigurationError, match=r"http://, and whoever is on the way .*Use https://"):
        CalibrationStore(DemoCalibration, tmp_path, remote_database_url=f"http://{host}/koa")
    for here in ("127.0.0.1:8000", "localhost", "[::1]:8000", "127.1.2.3"):
        CalibrationStore(DemoCalibration, tmp_path, remote_database_url=f"http://{here}/koa").close()


def test_the_login_in_an_address_is_sent_and_never_shown(tmp_path, archive):
    line = Line(make_app([archive.served]))
    sent: list[bytes] = []
    line.before = lambda path: None
    url = mount(line).replace("://", "://me:s3cret%40@")

    async def looking(scope: dict[str, Any], receive: Any, send: Any) -> None:
        sent.append(dict(scope["headers"])[b"authorization"])
        await answering(500, b"")(scope, receive, send)

    line.before = lambda path: looking
    store = CalibrationStore(Survey, tmp_path, remote_database_url=url)
    with closing(store), pytest.raises(RemoteUnavailableError) as caught:
        store.sync_from_remote()
    assert base64.b64decode(sent[0].removeprefix(b"Basic ")) == b"me:s3cret@"
    shown = f"{store!r} {caught.value} {without_password(url)} {address_of(url)} {remote_at(url, Survey)!r}"
    assert "s3cret" not in shown
    assert "me:***@" in shown


def test_files_come_from_the_archives_server_where_nothing_else_is_set(tmp_path):
    url = "https://archive.example/koa/"
    with CalibrationStore(DemoCalibration, tmp_path, remote_database_url=url) as store:
        assert store.settings.calibration_url == "https://archive.example/koa/api/v1/demo/files/{filename}"
    with CalibrationStore(DemoCalibration, tmp_path, remote_database_url=url, calibration_url="https://x/") as store:
        assert store.settings.calibration_url == "https://x/"
