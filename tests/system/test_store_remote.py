"""A store and its archive, on a real PostgreSQL: followed, published to, flagged, asked, and not there."""

from __future__ import annotations

import contextlib
import random
import shutil
import socket
import subprocess
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import koa_middleware
import pytest
from http_server import mount
from koa_middleware import CalibrationStore, InstrumentPlugin, StaleWarning
from koa_middleware.choosing.selector import CalibrationSelector
from koa_middleware.database.flags import this_user
from koa_middleware.disk.checksums import digest_of
from koa_middleware.exceptions import (
    CalibrationNotFoundError,
    ConfigurationError,
    DownloadError,
    DuplicateCalibrationError,
    IntegrityError,
    RemoteError,
    RemoteNotConfiguredError,
    RemoteUnavailableError,
    SchemaMismatchError,
)
from koa_middleware.fetch import retries
from koa_middleware.remote.postgres.engine import postgresql_engine
from koa_middleware.remote.postgres.remote import PostgresRemote
from koa_middleware.remote.postgres.schema import initialise
from koa_middleware.remote.servers import require_remote
from koa_middleware.remote.staleness import _NEXT_LOOK
from koa_middleware.server.app import make_app
from koa_middleware.server.served import Served
from sqlalchemy import Engine, insert, make_url, select, text, update

from tests.conftest import DemoCalibration, dark, record, run_python

TABLE = "demo_calibrations"
DARK = CalibrationSelector(cal_type="dark", match=("spectrograph",))
FRAME = {"mjd_start": 60000.5, "spectrograph": "BSPEC"}

CORE = Path(koa_middleware.__file__).parents[1]

Open = Callable[..., CalibrationStore[DemoCalibration]]


class Server:
    """An archive's database, as its owner has it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine: Engine = postgresql_engine(url)
        self.roles: list[str] = []
        initialise(self.engine, DemoCalibration)

    def execute(self, *statements: Any) -> None:
        with self.engine.begin() as connection:
            for statement in statements:
                connection.execute(text(statement) if isinstance(statement, str) else statement)

    def insert(self, *records: DemoCalibration) -> None:
        with self.engine.begin() as connection:
            rows = [{**one.to_dict(), "origin": "REMOTE"} for one in records]
            for row in rows:
                del row["last_updated"]
            connection.execute(insert(DemoCalibration.table()), rows)

    def rows(self) -> dict[str, dict[str, Any]]:
        with self.engine.connect() as connection:
            found = connection.execute(select(DemoCalibration.table())).mappings()
            return {row["id"]: dict(row) for row in found}

    def role(self, password: str, *grants: str) -> str:
        """Give the URL of a new role with some rights."""
        name = f"reader_{len(self.roles)}_{make_url(self.url).database}"
        with self.engine.begin() as connection:
            quoted = password.replace("'", "''")
            connection.exec_driver_sql(f"CREATE ROLE {name} LOGIN PASSWORD '{quoted}'".replace("%", "%%"))
            for grant in grants:
                connection.exec_driver_sql(f"GRANT {grant} TO {name}")
        self.roles.append(name)
        return make_url(self.url).set(username=name, password=password).render_as_string(hide_password=False)

    def close(self) -> None:
        for name in self.roles:
            self.execute(f"DROP OWNED BY {name}", f"DROP ROLE {name}")
        self.engine.dispose()


@pytest.fixture
def server(fresh_database: str) -> Iterator[Server]:
    found = Server(fresh_database)
    yield found
    found.close()


@pytest.fixture(autouse=True)
def no_look_remembered() -> None:
    _NEXT_LOOK.clear()


@pytest.fixture
def client(open_demo: Open, server: Server, tmp_path: Path) -> Open:
    """Give a function that opens a store that follows the server, on a cache folder of a name."""

    def opening(name: str = "observer", **more: Any) -> Any:
        return open_demo(tmp_path / name, **{"remote_database_url": server.url, **more})

    return opening


@pytest.fixture(params=["postgresql", "http"])
def address(server: Server, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """Give the URLs by which a client may reach the archive: its database, and a server before that."""
    if request.param == "postgresql":
        yield server.url
        return
    with (
        CalibrationStore(DemoCalibration, tmp_path / "served") as store,
        contextlib.closing(PostgresRemote(DemoCalibration, server.url)) as origin,
    ):
        yield mount(make_app([Served(InstrumentPlugin(DemoCalibration), store, origin, True)]))


@pytest.fixture
def dead_url(server: Server) -> str:
    """Give the URL of a server that is down."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
    return make_url(server.url).set(port=port).render_as_string(hide_password=False)


def rows_of(store: CalibrationStore[Any]) -> dict[str, dict[str, Any]]:
    return {one.id: one.to_dict() for one in store.query()}


# -- addresses and secrets ---------------------------------------------------------------------------------------------


def test_a_store_without_a_url_is_local_only_and_says_so(open_demo: Open) -> None:
    store = open_demo(remote_database_url="None")
    assert store.remote_db is None
    assert repr(store).endswith(", local only)")
    assert store.conflicts() == []
    assert store.last_sync is None
    for call in (store.sync_from_remote, store.publish, lambda: store.select(FRAME, DARK, source="remote")):
        with pytest.raises(RemoteNotConfiguredError, match="KOA_REMOTE_DATABASE_URL"):
            call()


PASSWORDS = ["hunter2", "p@ss/w:o%r#d?&=", "with blank + plus", "grün'\"\\"]


@pytest.mark.parametrize("password", PASSWORDS)
@pytest.mark.parametrize("in_query", [False, True], ids=["url", "query"])
def test_a_password_opens_the_archive_and_is_never_shown(
    client: Open, server: Server, password: str, in_query: bool, dead_url: str
) -> None:
    server.insert(record("a.fits"))
    url = make_url(server.role(password, f"SELECT ON {TABLE}, {TABLE}_feed, {TABLE}_history"))
    if in_query:
        url = url.set(password=None).update_query_dict({"password": password})
    store = client(remote_database_url=url.render_as_string(hide_password=False))
    assert store.sync_from_remote().added == 1
    wrong = make_url(store.settings.remote_database_url or "")
    down = client("down", remote_database_url=url.set(port=make_url(dead_url).port).render_as_string(False))
    elsewhere = client("elsewhere", remote_database_url=wrong.set(database="no_such").render_as_string(False))
    odd = wrong.update_query_dict({"options": "-c nosuch=1"})
    refused = client("refused", remote_database_url=odd.render_as_string(False))
    shown = [repr(store), repr(store.remote_db), repr(store.settings), repr(down)]
    for each in (down, elsewhere, refused):
        with pytest.raises(RemoteError) as caught:
            each.sync_from_remote()
        shown += [str(caught.value), repr(caught.value), repr(caught.value.__dict__)]
    local = store.register_calibration(dark(store.cache_dir.parent / "night", mjd=60010.0)).calibration
    for call in (lambda: store.publish([local]), lambda: store.flag("a.fits", "BAD", "why")):
        with pytest.raises(RemoteError) as caught:
            call()
        shown += [str(caught.value), repr(caught.value), repr(caught.value.__dict__)]
    quoted = url.render_as_string(hide_password=False).split(":")[2].split("@")[0]
    for text_ in shown:
        assert password not in text_
        assert quoted not in text_ or in_query
    assert str(url.host) in repr(store)


@pytest.mark.parametrize(
    "url",
    [
        "mysql://user:hunter2@host/db",
        "postgresql:/user:hunter2@host/db",
        "postgresql://user:hunter2@host:port/db",
        "postgresql://user:hun@hunter2@host/db",
        "hunter2",
    ],
)
def test_a_url_that_is_none_is_refused_when_a_store_is_made_and_not_repeated(open_demo: Open, url: str) -> None:
    with pytest.raises(ConfigurationError, match="not one of a PostgreSQL server") as caught:
        open_demo(remote_database_url=url)
    assert "hunter2" not in str(caught.value) + repr(caught.value.__dict__)
    assert caught.value.variable == "KOA_REMOTE_DATABASE_URL"


# -- following ---------------------------------------------------------------------------------------------------------


def test_a_sync_counts_what_it_did_and_rows_carry_the_servers_stamp(client: Open, server: Server) -> None:
    first, second, third = record("a.fits"), record("b.fits"), record("c.fits", lamp="thar")
    server.insert(first, second, third)
    store = client()
    assert store.last_sync is None
    came = store.sync_from_remote()
    assert (came.added, came.changed, came.withdrawn, list(came.conflicts)) == (3, 0, 0, [])
    assert rows_of(store) == server.rows()
    assert store.local_db.get_last_updated() == max(row["last_updated"] for row in server.rows().values())
    assert store.last_sync is not None

    server.execute(
        update(DemoCalibration.table()).where(DemoCalibration.table().c.id == first.id).values(quality="BAD"),
        f"DELETE FROM {TABLE} WHERE filename = 'b.fits'",
    )
    server.insert(record("d.fits"))
    came = store.sync_from_remote()
    assert (came.added, came.changed, came.withdrawn) == (1, 1, 1)
    assert rows_of(store) == server.rows()
    came = store.sync_from_remote()
    assert (came.added, came.changed, came.withdrawn) == (0, 0, 0)
    assert store.sync_from_remote(full=True).full


def test_a_withdrawn_rows_file_stays(client: Open, server: Server, tmp_path: Path) -> None:
    source = dark(tmp_path / "served")
    server.insert(record("dark.fits", checksum=digest_of(source), file_size=source.stat().st_size))
    store = client(calibration_url=(tmp_path / "served").as_uri())
    store.sync_from_remote()
    path = store.get_calibration(FRAME, DARK).path
    server.execute(f"DELETE FROM {TABLE}")
    assert store.sync_from_remote().withdrawn == 1
    assert path.read_bytes() == source.read_bytes()
    with pytest.raises(CalibrationNotFoundError):
        store.select(FRAME, DARK)


def unchecked(server: Server, *records: DemoCalibration, **values: str) -> None:
    """Let an archive without checks hold records with some values as they are."""
    for name in ("quality", "cal_version", "origin"):
        server.execute(f"ALTER TABLE {TABLE} DROP CONSTRAINT IF EXISTS koa_{name}")
    server.insert(*records)
    for one in records:
        server.execute(update(DemoCalibration.table()).where(DemoCalibration.table().c.id == one.id).values(**values))


def test_an_archives_words_and_versions_come_in_form_and_are_judged_by_it(client: Open, server: Server) -> None:
    unchecked(server, record("bad.fits", 60000.4), quality="bad")
    unchecked(server, record("old.fits", 60000.3), cal_version="2")
    unchecked(server, record("new.fits", 60000.3), cal_version="010")
    unchecked(server, record("odd.fits", 60000.45), quality="MEDIOCRE")
    store = client()
    (apart,) = store.sync_from_remote().conflicts
    assert apart.filename == "odd.fits"
    assert (
        apart.reason == "The quality of the archive's row odd.fits is 'MEDIOCRE', which is none of GOOD, BAD, UNKNOWN."
    )
    assert {one.filename: (one.quality, one.cal_version) for one in store.query()} == {
        "bad.fits": ("BAD", "001"),
        "old.fits": ("GOOD", "002"),
        "new.fits": ("GOOD", "010"),
    }
    assert store.select(FRAME, DARK).filename == "new.fits"
    server.execute(f"UPDATE {TABLE} SET quality = 'GOOD' WHERE filename = 'odd.fits'")
    assert store.sync_from_remote().conflicts == []
    assert store.select(FRAME, DARK).filename == "odd.fits"


@pytest.mark.parametrize("shape", ["sha256:{}", "SHA256:{}", "{}"])
def test_a_good_file_is_known_by_its_checksum_however_the_archive_writes_it(
    client: Open, server: Server, tmp_path: Path, shape: str
) -> None:
    source = dark(tmp_path / "served")
    digits = digest_of(source).removeprefix("sha256:")
    unchecked(server, record("dark.fits"), checksum=shape.format(digits.upper()))
    store = client(calibration_url=(tmp_path / "served").as_uri())
    store.sync_from_remote()
    for _ in range(2):
        assert store.get_calibration(FRAME, DARK).path.read_bytes() == source.read_bytes()
    assert store.query()[0].checksum == f"sha256:{digits}"
    assert store.verify().ok


def test_local_records_are_never_touched_and_conflicts_are_listed_and_reachable(
    client: Open, server: Server, tmp_path: Path
) -> None:
    store = client()
    path, mine = store.register_calibration(dark(tmp_path / "night", "dark.fits"))
    other = store.register_calibration(dark(tmp_path / "night", "other.fits", mjd=60001.0)).calibration
    content, before = path.read_bytes(), rows_of(store)
    theirs = record("dark.fits", mjd=60005.0, checksum="sha256:" + 64 * "0", file_size=3)
    of_my_size = record("other.fits", mjd=60005.0, file_size=other.file_size)
    server.insert(theirs, of_my_size, record("elsewhere.fits", mjd=60006.0, id=other.id, checksum="sha256:" + 64 * "1"))
    came = store.sync_from_remote()
    assert {(each.id, each.local_id) for each in came.conflicts} == {
        (theirs.id, mine.id),
        (of_my_size.id, other.id),
        (other.id, other.id),
    }
    assert store.conflicts() == list(came.conflicts)
    assert (came.added, rows_of(store), path.read_bytes()) == (0, before, content)
    apart = store.local_db.query_by_id(theirs.id)
    assert (apart.mjd_start, apart.origin, apart.filename) == (60005.0, "REMOTE", "dark.fits")
    assert store.local_db.find(theirs.id).checksum == "sha256:" + 64 * "0"
    assert store.local_db.query_by_id(mine.id).origin == "LOCAL"
    for each in (theirs, of_my_size):
        with pytest.raises(DownloadError, match=rf"{each.filename} cannot be downloaded: another calibration"):
            store.get_calibration_by_id(each.id)
    server.execute(f"DELETE FROM {TABLE}")
    assert store.sync_from_remote().conflicts == []
    assert store.conflicts() == []
    with pytest.raises(CalibrationNotFoundError):
        store.local_db.query_by_id(theirs.id)
    assert rows_of(store) == before


def test_a_record_that_is_kept_apart_is_the_archives_value_by_value(client: Open, server: Server) -> None:
    theirs = record(
        "a.fits", lamp="thar", cooled=True, master_cal=True, amplifiers=4, exposure_time=1 / 3, mjd_mid=None
    )
    server.insert(theirs)
    store = client()
    store.local_db.add(record("a.fits"))
    assert len(store.sync_from_remote().conflicts) == 1
    apart = store.local_db.query_by_id(theirs.id).to_dict()
    assert apart == server.rows()[theirs.id]
    assert {name: type(value) for name, value in apart.items()} == {
        name: type(value) for name, value in server.rows()[theirs.id].items()
    }


# -- publishing and flagging -------------------------------------------------------------------------------------------


def test_all_local_records_are_published_once_and_are_remote_on_both_sides(
    client: Open, server: Server, tmp_path: Path
) -> None:
    keck, observer = client("keck"), client()
    ids = {keck.register_calibration(dark(tmp_path, f"{n}.fits", 60000.0 + n)).calibration.id for n in range(3)}
    sent = keck.publish()
    assert (sent.published, sent.unchanged) == (3, 0)
    assert set(server.rows()) == ids
    assert rows_of(keck) == server.rows()
    assert {one.origin for one in keck.query()} == {"REMOTE"}
    before = server.rows()
    again = keck.publish()
    assert (again.published, again.unchanged) == (0, 0)
    again = keck.publish(keck.query())
    assert (again.published, again.unchanged) == (0, 3)
    assert server.rows() == before
    assert observer.sync_from_remote().added == 3
    assert rows_of(observer) == before
    came = keck.sync_from_remote()
    assert (came.added, came.changed, came.withdrawn, came.conflicts) == (0, 0, 0, [])


def test_only_chosen_records_are_published(client: Open, server: Server, tmp_path: Path) -> None:
    keck = client("keck")
    one, two = (keck.register_calibration(dark(tmp_path, f"{n}.fits", 60000.0 + n)).calibration for n in range(2))
    assert keck.publish([two]).published == 1
    assert list(server.rows()) == [two.id]
    assert keck.local_db.query_by_id(one.id).origin == "LOCAL"


def test_a_version_that_is_taken_there_changes_row_and_name_on_both_sides_and_no_byte(
    client: Open, server: Server, tmp_path: Path
) -> None:
    served = tmp_path / "served"
    served.mkdir()
    ann, bob, observer = client("ann"), client("bob"), client(calibration_url=served.as_uri())
    first = ann.register_calibration(dark(tmp_path / "ann-night", EXPTIME=1.0))
    second = bob.register_calibration(dark(tmp_path / "bob-night", EXPTIME=2.0))
    bytes_of_second = second.path.read_bytes()
    assert ann.publish(upload_to=served).renamed == {}
    sent = bob.publish(upload_to=served.as_uri())
    new = bob.local_db.query_by_id(second.calibration.id)
    assert (sent.published, dict(sent.renamed)) == (1, {"dark.fits": new.filename})
    assert (new.cal_version, new.origin) == ("002", "REMOTE")
    assert new.filename != "dark.fits"
    assert {(row["filename"], row["cal_version"]) for row in server.rows().values()} == {
        ("dark.fits", "001"),
        (new.filename, "002"),
    }
    assert bob.get_calibration_by_id(new.id).path.read_bytes() == bytes_of_second
    assert [path.name for path in bob.get_local_filepath(new).parent.iterdir()] == [new.filename]
    assert (served / new.filename).read_bytes() == bytes_of_second
    assert sorted(path.name for path in served.iterdir()) == sorted(["dark.fits", new.filename])
    for store in (ann, bob, observer):
        store.sync_from_remote()
        assert rows_of(store) == server.rows()
        assert store.conflicts() == []
    assert observer.get_calibration_by_id(first.calibration.id).path.read_bytes() == first.path.read_bytes()
    assert observer.get_calibration_by_id(new.id).path.read_bytes() == bytes_of_second


def test_publishing_ends_a_conflict_of_names(client: Open, server: Server, tmp_path: Path) -> None:
    served = tmp_path / "served"
    theirs = dark(served, mjd=60009.0)
    keck = client("keck", calibration_url=served.as_uri())
    path, mine = keck.register_calibration(dark(tmp_path / "night"))
    content = path.read_bytes()
    other = record(mjd=60009.0, checksum=digest_of(theirs), file_size=theirs.stat().st_size)
    server.insert(other)
    assert len(keck.sync_from_remote().conflicts) == 1
    (new,) = keck.publish(upload_to=served).renamed.values()
    assert keck.sync_from_remote().conflicts == []
    assert rows_of(keck) == server.rows()
    assert keck.get_calibration_by_id(mine.id).path.read_bytes() == content == (served / new).read_bytes()
    assert keck.get_calibration_by_id(other.id).path.read_bytes() == theirs.read_bytes()


def test_what_is_uploaded_is_verified_and_else_nothing_is_published(
    client: Open, server: Server, tmp_path: Path
) -> None:
    served = tmp_path / "served"
    served.mkdir()
    keck = client("keck")
    path, _ = keck.register_calibration(dark(tmp_path / "night"))
    right = path.read_bytes()
    path.write_bytes(right[:-1] + b"x")
    with pytest.raises(IntegrityError, match="was not sent to the archive: its checksum is"):
        keck.publish(upload_to=served)
    path.unlink()
    with pytest.raises(IntegrityError, match="is missing"):
        keck.publish(upload_to=served)
    path.write_bytes(right)
    (served / "dark.fits").write_bytes(b"another file of this name")
    with pytest.raises(IntegrityError, match="other content"):
        keck.publish(upload_to=served)
    assert (served / "dark.fits").read_bytes() == b"another file of this name"
    for nowhere in (tmp_path / "missing", "s3://bucket/folder", "https://bob:hunter2/x@h/y"):
        with pytest.raises(ConfigurationError, match="is not a folder") as caught:
            keck.publish(upload_to=nowhere)
        assert "hunter2" not in str(caught.value)
    assert server.rows() == {}
    assert [one.origin for one in keck.query()] == ["LOCAL"]
    (served / "dark.fits").write_bytes(right)  # left by one who was killed before the row
    assert keck.publish(upload_to=served).published == 1
    assert [each.name for each in served.iterdir()] == ["dark.fits"]


def test_an_id_that_is_taken_there_publishes_nothing(client: Open, server: Server, tmp_path: Path) -> None:
    keck = client("keck")
    mine = keck.register_calibration(dark(tmp_path)).calibration
    server.insert(record("theirs.fits", id=mine.id, checksum="sha256:" + 64 * "0"))
    with pytest.raises(DuplicateCalibrationError, match=r"dark\.fits"):
        keck.publish()
    assert keck.local_db.query_by_id(mine.id).origin == "LOCAL"


@pytest.mark.parametrize("brings", [CalibrationStore.publish, CalibrationStore.sync_from_remote])
def test_the_same_content_under_another_kind_of_checksum_is_one_record(
    client: Open, server: Server, tmp_path: Path, brings: Callable[..., object]
) -> None:
    store = client()
    _, same = store.register_calibration(dark(tmp_path / "made", "same.fits"))
    _, other = store.register_calibration(dark(tmp_path / "made", "other.fits", 60001.0))
    md5 = digest_of(store.get_local_filepath(same), "md5")
    server.insert(*(DemoCalibration(**{**one.to_dict(), "checksum": md5}) for one in (same, other)))
    if brings is CalibrationStore.publish:
        with pytest.raises(DuplicateCalibrationError, match=r"other\.fits"):
            store.publish()
        assert store.publish([same]).unchanged == 1
    else:
        store.sync_from_remote()
        assert [conflict.id for conflict in store.conflicts()] == [other.id]
    origins = {one.filename: (one.origin, one.checksum) for one in store.query()}
    assert origins == {"same.fits": ("REMOTE", md5), "other.fits": ("LOCAL", other.checksum)}
    assert store.get_local_filepath(same).is_file()


def test_a_checksum_that_was_recorded_here_stays_where_the_archive_has_none(
    client: Open, server: Server, tmp_path: Path
) -> None:
    store, path = client(), dark(tmp_path / "made", "dark.fits")
    server.insert(record("dark.fits"))
    store.sync_from_remote()
    shutil.copy(path, store.cache_dir / "calibrations")
    recorded = store.register_calibration(path).calibration
    assert (recorded.origin, recorded.checksum) == ("REMOTE", digest_of(path))
    server.execute(f"UPDATE {TABLE} SET quality = 'BAD'")
    assert store.sync_from_remote().changed == 1
    (found,) = store.query()
    assert (found.quality, found.checksum, found.file_size) == ("BAD", digest_of(path), path.stat().st_size)
    server.execute(f"UPDATE {TABLE} SET file_size = 7")
    store.sync_from_remote(full=True)
    (found,) = store.query()
    assert (found.checksum, found.file_size) == (None, 7)


def test_a_flag_reaches_the_other_clients_at_their_next_sync(client: Open, server: Server, tmp_path: Path) -> None:
    server.insert(record("near.fits", 60000.4), record("far.fits", 60002.0))
    keck, observer = client("keck"), client()
    keck.sync_from_remote(), observer.sync_from_remote()
    assert observer.select(FRAME, DARK).filename == "near.fits"
    flagged = keck.flag("near.fits", "bad", "light leak")
    assert (flagged.quality, flagged.origin) == ("BAD", "REMOTE")
    came = observer.sync_from_remote()
    assert (came.added, came.changed, came.withdrawn) == (0, 1, 0)
    assert observer.select(FRAME, DARK).filename == "far.fits"
    assert rows_of(observer) == rows_of(keck) == server.rows()
    with server.engine.connect() as connection:
        kept = connection.execute(text(f"SELECT id, quality, why, who FROM {TABLE}_feed WHERE op = 'flagged'")).all()
    assert [tuple(row)[:3] for row in kept] == [(flagged.id, "BAD", "light leak")]
    assert kept[0][3]
    mine = keck.register_calibration(dark(tmp_path, mjd=60009.0)).calibration
    assert keck.flag(mine.id, "BAD", "test").quality == "BAD"
    assert mine.id not in server.rows()


def test_a_flag_without_the_right_or_the_connection_changes_nothing(
    client: Open, server: Server, dead_url: str
) -> None:
    server.insert(record("a.fits"))
    url = server.role("secret", f"SELECT ON {TABLE}, {TABLE}_feed, {TABLE}_history")
    store = client(remote_database_url=url)
    store.sync_from_remote()
    before = rows_of(store)
    with pytest.raises(RemoteError, match=f"GRANT INSERT, UPDATE, DELETE ON {TABLE}"):
        store.flag("a.fits", "BAD", "why")
    for more in ({"remote_database_url": dead_url}, {"remote_database_url": url, "offline": True}):
        with pytest.raises(RemoteUnavailableError):
            client(**more).flag("a.fits", "BAD", "why")
    with pytest.raises(RemoteNotConfiguredError):
        client(remote_database_url=None).flag("a.fits", "BAD", "why")
    assert rows_of(store) == before == server.rows()


# -- asking the server -------------------------------------------------------------------------------------------------


def chosen(store: CalibrationStore[Any], frame: Any, selector: Any, source: str) -> Any:
    try:
        return store.select(frame, selector, source=source).to_dict()
    except CalibrationNotFoundError as error:
        return error.message


def test_the_server_chooses_what_the_local_database_chooses(client: Open, server: Server, address: str) -> None:
    dice = random.Random(7)
    names = ["b", "B", "a", "Z", "ä", "_", "-", "ab", "aB", "1"]  # collations differ in their order
    server.insert(
        *(
            record(
                f"{n}.fits",
                dice.choice([60000.0, 60000.25, 60000.5, 60001.0, dice.uniform(59990, 60010)]),
                id=f"{dice.choice(names)}{n % 7}{dice.choice(names)}{n}",
                spectrograph=dice.choice(["BSPEC", "RSPEC", "bspec", None]),
                quality=dice.choice(["GOOD", "BAD", "UNKNOWN"]),
                cal_version=f"{dice.randint(1, 3):03d}",
                era=dice.choice(["1", "2", None]),
                cooled=dice.choice([True, False, None]),
                master_cal=dice.choice([True, False]),
                mjd_mid=dice.choice([None, 60000.5, dice.uniform(59990, 60010)]),
            )
            for n in range(400)
        )
    )
    url = server.role("secret", f"SELECT ON {TABLE}, {TABLE}_feed, {TABLE}_history")
    store = client(remote_database_url=url if address == server.url else address)
    store.sync_from_remote()
    selectors = [
        DARK,
        CalibrationSelector(cal_type="dark", match=("spectrograph",), match_if_known=("era",), direction="before"),
        CalibrationSelector(cal_type="dark", require={"cooled": True}, max_age=timedelta(hours=6)),
        CalibrationSelector(cal_type="dark", time="mjd_mid", require={"master_cal": True}, direction="after"),
    ]
    answers = set()
    for _ in range(150):
        frame = {
            "mjd_start": dice.choice([60000.0, 60000.125, 60000.5, 60000.75, dice.uniform(59985, 60015)]),
            "spectrograph": dice.choice(["BSPEC", "RSPEC", "XSPEC"]),
            "era": dice.choice(["1", "2", None]),
        }
        frame["mjd_mid"] = frame["mjd_start"]
        selector = dice.choice(selectors)
        here, there = (chosen(store, frame, selector, source) for source in ("local", "remote"))
        assert here == there
        answers.add(str(here))
    assert len(answers) > 20
    with server.engine.connect() as connection:  # this server's own order may be the same
        collations = connection.execute(
            text("SELECT DISTINCT collation_name FROM information_schema.columns WHERE table_name = :table"),
            {"table": TABLE},
        )
        assert {name for (name,) in collations} == {"C", None}
    with pytest.raises(ConfigurationError, match="source"):
        store.select(FRAME, DARK, source="elsewhere")  # type: ignore[arg-type]


def test_the_server_answers_those_who_have_no_copy_and_lets_them_write_nothing(
    client: Open, server: Server, address: str
) -> None:
    server.insert(record("a.fits"))
    store = client(remote_database_url=address)  # as the owner, who may do all
    assert store.select(FRAME, DARK, source="remote").filename == "a.fits"
    assert len(store.local_db) == 0
    assert store.remote_db is not None
    assert len(store.remote_db) == 1
    with pytest.raises(RemoteError, match="read-only"), store.remote_db.session_manager() as session:
        session.execute(text(f"DELETE FROM {TABLE}"))
    assert len(server.rows()) == 1


# -- outages -----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def quick() -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < 15


@pytest.mark.parametrize("how", ["down", "silent", "offline", "down over http"])
def test_what_needs_no_network_works_without_one_and_an_outage_is_no_miss(
    client: Open, server: Server, tmp_path: Path, dead_url: str, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retries, "BACKOFF_S", 0.01)
    served = tmp_path / "served"
    source = dark(served, "theirs.fits", 60000.4)
    values = {"checksum": digest_of(source), "file_size": source.stat().st_size}
    server.insert(record("theirs.fits", 60000.4, **values), record("missing.fits", 60020.0))
    with client(calibration_url=served.as_uri()) as before:
        before.sync_from_remote()
        before.get_calibration(FRAME, DARK)
    with contextlib.ExitStack() as opened:
        url = dead_url
        if how == "silent":
            mute = opened.enter_context(socket.create_server(("127.0.0.1", 0)))
            url = make_url(dead_url).set(port=mute.getsockname()[1]).update_query_dict({"connect_timeout": "2"})
            url = url.render_as_string(hide_password=False)
        if how == "down over http":
            url = f"http://127.0.0.1:{make_url(dead_url).port}"
        store = client(remote_database_url=url, calibration_url="http://127.0.0.1:9/", offline=how == "offline")
        with quick():
            assert store.get_calibration(FRAME, DARK).path.read_bytes() == source.read_bytes()
            assert store.explain(FRAME, DARK).winner.filename == "theirs.fits"
            mine = store.register_calibration(dark(tmp_path / "night", "mine.fits", 60003.0)).calibration
            assert store.flag(mine.id, "BAD", "test").quality == "BAD"
            assert len(store.query()) == 3
            assert store.verify().ok
            assert store.conflicts() == []
            assert store.last_sync
            state = rows_of(store)
            calls = (
                store.sync_from_remote,
                lambda: store.select(FRAME, DARK, source="remote"),
                store.publish,
                lambda: store.flag("theirs.fits", "BAD", "why"),
            )
            for call in calls[: 2 if how == "silent" else None]:  # each waits for its 2 s
                with pytest.raises(RemoteUnavailableError) as caught:
                    call()
                assert not isinstance(caught.value, LookupError)
                assert "127.0.0.1" in str(caught.value)
            assert rows_of(store) == state


def test_a_database_that_is_not_set_up_is_no_miss_either(client: Open, server: Server, address: str) -> None:
    store = client(remote_database_url=address)
    server.execute(f"DROP TABLE {TABLE}")
    for call in (store.sync_from_remote, lambda: store.select(FRAME, DARK, source="remote")):
        with pytest.raises(SchemaMismatchError, match="koa-cal remote init"):
            call()


def test_a_miss_says_what_a_sync_could_bring_only_where_there_is_an_archive(client: Open, server: Server) -> None:
    def hint(store: CalibrationStore[Any]) -> str:
        with pytest.raises(CalibrationNotFoundError) as caught:
            store.select(FRAME, DARK)
        return caught.value.hint

    assert "sync" not in hint(client("alone", remote_database_url=None))
    store = client()
    assert "nothing was synced yet" in hint(store)
    store.sync_from_remote()
    assert "the last sync was 0 min ago" in hint(store)


def test_a_role_without_rights_is_told_which_one_remote_init_needs(client: Open, server: Server) -> None:
    outsider = client(remote_database_url=server.role("secret"))
    remote = require_remote(outsider.settings, DemoCalibration)
    with pytest.raises(RemoteError, match=r"not the owner|GRANT USAGE, CREATE ON SCHEMA"):
        remote.set_up("reader", "publisher")


# -- freshness ---------------------------------------------------------------------------------------------------------


def selections_synced(store: CalibrationStore[Any], server: Server) -> bool:
    """Whether a selection brings what was just added there."""
    fresh = record(f"{time.time_ns()}.fits", 60000.0 + random.random())
    server.insert(fresh)
    with contextlib.suppress(CalibrationNotFoundError):
        store.select(FRAME, DARK)
    return any(one.id == fresh.id for one in store.query())


def test_a_selection_syncs_where_the_last_sync_is_older_than_the_limit(client: Open, server: Server) -> None:
    assert not selections_synced(client("unset"), server)
    for unreachable in ({"offline": True}, {"remote_database_url": None}):
        store = client("off", sync_if_older_than=timedelta(0), **unreachable)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert not selections_synced(store, server)
    assert selections_synced(client(sync_if_older_than=timedelta(hours=1)), server)
    assert not selections_synced(client(sync_if_older_than=timedelta(hours=1)), server)
    assert selections_synced(client(sync_if_older_than=timedelta(0)), server)
    store = client(sync_if_older_than=timedelta(milliseconds=300))
    assert not selections_synced(store, server)
    time.sleep(0.3)
    assert selections_synced(store, server)


def test_a_pipeline_of_many_processes_and_stores_does_not_sync_at_each_step(
    client: Open, server: Server, tmp_path: Path
) -> None:
    client().sync_from_remote()
    script = """
import sys
from datetime import timedelta
from koa_middleware import CalibrationStore
from tests.conftest import DemoCalibration
for _ in range(20):
    with CalibrationStore(DemoCalibration, sys.argv[1], remote_database_url=sys.stdin.readline().strip(),
                          sync_if_older_than=timedelta(minutes=5)) as store:
        try:
            store.select({"mjd_start": 1.0, "spectrograph": "BSPEC"}, "dark")
        except Exception as error:
            print(type(error).__name__)
print("psycopg2" in sys.modules)
"""
    process = run_python(script, tmp_path / "observer", path=CORE, stdin=subprocess.PIPE)
    out, error = process.communicate(f"{server.url}\n" * 20, timeout=60)
    assert process.returncode == 0, error
    assert out.split()[-1] == "False"


def test_a_due_sync_against_a_dead_server_warns_once_with_the_age_and_goes_on(
    client: Open, server: Server, dead_url: str
) -> None:
    server.insert(record("a.fits"))
    client().sync_from_remote()
    old = time.time() - 3 * 86400
    with client() as store, store.local_db.begin() as connection:
        connection.exec_driver_sql(f"UPDATE {TABLE}_sync SET synced_at = ?", (old,))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(3):
            store = client(remote_database_url=dead_url, sync_if_older_than=timedelta(hours=1))
            for _ in range(3):
                assert store.select(FRAME, DARK).filename == "a.fits"
    (warning,) = [each for each in caught if issubclass(each.category, StaleWarning)]
    assert "The archive does not answer, so the copy of 3 d ago is used." in str(warning.message)
    assert str(make_url(dead_url).password) not in str(warning.message)
    assert issubclass(StaleWarning, UserWarning)


# -- offline -----------------------------------------------------------------------------------------------------------

OFFLINE = """
import sys

def refuse(event, arguments):
    if event in {"socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"}:
        raise SystemExit(f"{event} {arguments}")

sys.addaudithook(refuse)
import koa_middleware
from koa_middleware import CalibrationStore
from datetime import timedelta
from tests.conftest import DemoCalibration, dark
from pathlib import Path
from koa_middleware.choosing.selector import CalibrationSelector
folder, url = Path(sys.argv[1]), sys.stdin.readline().strip()
store = CalibrationStore(DemoCalibration, folder, remote_database_url=url, calibration_url=f"http://127.0.0.1:{sys.argv[2]}",
                         offline=True, sync_if_older_than=timedelta(0))
rule = CalibrationSelector(cal_type="dark", match=("spectrograph",))
frame = {"mjd_start": 60000.5, "spectrograph": "BSPEC"}
failed = []
for call in (lambda: store.sync_from_remote(), lambda: store.publish(), lambda: store.flag("a.fits", "BAD", "why"),
             lambda: store.select(frame, rule, source="remote"), lambda: store.get_calibration(frame, rule),
             lambda: store.download_calibration(store.select(frame, rule)), lambda: store.remote_db.execute):
    try:
        call()
        failed.append("-")
    except koa_middleware.KoaMiddlewareError as error:
        failed.append(type(error).__name__)
report = store.prefetch([frame], cal_types=[], records=store.query())
store.register_calibration(dark(folder / "night"))
store.verify(repair=True), store.conflicts(), repr(store)
store.close()
print(*failed, *report.failed)
"""


@pytest.fixture
def listener() -> Iterator[tuple[int, list[Any]]]:
    """Give a port, and the list of those who connected to it, all of whom are hung up on."""
    callers: list[Any] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def hang_up() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, caller = listening.accept()
                    callers.append(caller)
                    connection.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        yield listening.getsockname()[1], callers
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


def followed(script: str, server: Server, client: Open, port: int) -> tuple[int, str, str]:
    """Run a script on a cache that has followed the archive, with a remote at a port; exit code and output."""
    server.insert(record("a.fits", 60000.4))
    with client() as store:
        store.sync_from_remote()
    process = run_python(script, store.cache_dir, port, path=CORE, stdin=subprocess.PIPE)
    out, error = process.communicate(f"postgresql://u:secret@127.0.0.1:{port}/db\n", timeout=60)
    return process.returncode, out, error


def test_an_offline_store_opens_no_connection(client: Open, server: Server, listener: Any) -> None:
    port, callers = listener
    code, out, error = followed(OFFLINE, server, client, port)
    assert code == 0, error
    *failed, missing = out.split()
    assert failed == ["RemoteUnavailableError"] * 4 + ["DownloadError"] * 2 + ["-"]
    assert missing == "a.fits"
    assert callers == []


def test_a_store_that_is_not_offline_is_noticed_by_that_test(client: Open, server: Server, listener: Any) -> None:
    port, callers = listener
    code, _, error = followed(OFFLINE.replace("offline=True", "offline=False"), server, client, port)
    assert code != 0
    assert "socket.getaddrinfo" in error  # by Python's own sockets; the driver's are counted by the listener
    assert callers


# -- a store's own judgements ------------------------------------------------------------------------------------------


def test_what_is_judged_here_outlives_syncs_and_holds_for_the_server_too(client: Open, server: Server) -> None:
    near, far = record("near.fits", 60000.4), record("far.fits", 60002.0)
    server.insert(near, far)
    store, other = client(), client("other")
    store.sync_from_remote(), other.sync_from_remote()
    store.flag("near.fits", "BAD", "stars in it", here=True)

    def names() -> set[str]:
        return {str(store.select(FRAME, DARK, source=source).filename) for source in ("local", "remote")}

    for full in (False, True):
        assert names() == {"far.fits"}
        came = store.sync_from_remote(full=full)
        assert (came.added, came.changed, came.withdrawn, came.conflicts) == (0, 0, 0, [])
    assert rows_of(store) == rows_of(other) == server.rows()
    assert {other.select(FRAME, DARK, source=source).filename for source in ("local", "remote")} == {"near.fits"}
    server.execute(f"DELETE FROM {TABLE} WHERE filename = 'near.fits'")
    store.sync_from_remote()
    server.insert(near)
    store.sync_from_remote()
    assert names() == {"far.fits"}
    with pytest.raises(CalibrationNotFoundError, match="stars in it"):
        store.select(FRAME, CalibrationSelector(cal_type="dark", require={"filename": "near.fits"}), source="remote")
    store.flag("near.fits", None, "a moth on the screen", here=True)
    assert names() == {"near.fits"}


def test_what_the_archive_calls_bad_and_is_judged_good_here_is_chosen_from_the_server_too(
    client: Open, server: Server
) -> None:
    server.insert(record("near.fits", 60000.4, quality="BAD"), record("far.fits", 60002.0))
    store = client()
    store.sync_from_remote()
    store.flag("near.fits", "GOOD", "only its header is wrong", here=True)
    for source in ("local", "remote"):
        chosen = store.select(FRAME, DARK, source=source)
        assert (chosen.filename, chosen.quality) == ("near.fits", "BAD")


def test_a_flag_that_the_archive_does_not_take_says_that_one_may_judge_here(
    client: Open, server: Server, dead_url: str
) -> None:
    server.insert(record("a.fits"))
    url = server.role("secret", f"SELECT ON {TABLE}, {TABLE}_feed, {TABLE}_history")
    client(remote_database_url=url).sync_from_remote()
    for more in ({"remote_database_url": url}, {"remote_database_url": dead_url}, {"offline": True}):
        with pytest.raises(RemoteError) as caught:
            client(**more).flag("a.fits", "BAD", "why")
        assert "here=True" in caught.value.hint
    store = client(remote_database_url=url)
    store.flag("a.fits", "BAD", "why", here=True)
    assert rows_of(store) == server.rows()


def test_a_judgement_follows_a_record_that_gets_another_id_when_it_is_published(
    client: Open, server: Server, tmp_path: Path
) -> None:
    store, other = client(), client("other")
    path = dark(tmp_path, mjd=60000.4)
    mine, theirs = (each.register_calibration(path).calibration for each in (store, other))
    other.publish()
    store.flag(mine.id, "BAD", "stars in it", here=True)
    store.publish()
    (found,) = store.query()
    assert (found.id, found.origin, found.quality) == (theirs.id, "REMOTE", "GOOD")
    assert store.known_db.judged_here().keys() == {theirs.id}
    assert server.rows()[theirs.id]["quality"] == "GOOD"


@pytest.mark.parametrize("full", [False, True])
def test_why_the_archive_calls_a_record_bad_is_told_after_a_sync(client: Open, server: Server, full: bool) -> None:
    server.insert(record("near.fits", 60000.4), record("far.fits", 60002.0))
    keck, observer = client("keck"), client()
    keck.sync_from_remote()
    if not full:
        observer.sync_from_remote()
    keck.flag("near.fits", "BAD", "light leak")
    keck.flag("far.fits", "BAD", "too warm"), keck.flag("far.fits", "GOOD", "was not")
    observer.sync_from_remote(full=full)
    told = {each.record.filename: each.reason for each in observer.explain(FRAME, DARK).candidates}
    assert f"its quality is BAD (flagged by {this_user()} on " in told["near.fits"]
    assert told["near.fits"].endswith(": light leak)")
    assert "was not" not in told["far.fits"]
    said = observer.known_db.all_said_of(observer.known_db.find("far.fits").id)
    assert [(each.quality, each.why, each.is_here) for each in said] == [
        ("BAD", "too warm", False),
        ("GOOD", "was not", False),
    ]
