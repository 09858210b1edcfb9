"""Values cross between archive and client unchanged, whatever server, database, role and environment have set."""

from __future__ import annotations

import math
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from koa_middleware.database.local import LocalDatabase
from koa_middleware.exceptions import KoaMiddlewareError, RemoteError
from koa_middleware.instrument.columns import fits_column
from koa_middleware.instrument.orm import TEXT, ORMCalibration
from koa_middleware.remote import viewed
from koa_middleware.remote.postgres.remote import PostgresRemote
from koa_middleware.remote.postgres.schema import initialise
from koa_middleware.remote.servers import remote_at
from koa_middleware.remote.sync import synchronise
from sqlalchemy import BigInteger, Boolean, Float, Integer, create_engine, make_url, text
from sqlalchemy.orm import Mapped
from survey import Archive, Client, Survey

TABLE = "survey_calibrations"

#: What an owner may have set for a database or a role.
SETTINGS = (
    "extra_float_digits = -15",
    "datestyle = 'German'",
    "timezone = 'Asia/Kolkata'",
    "intervalstyle = 'iso_8601'",
    "bytea_output = 'escape'",
    "standard_conforming_strings = off",
    "escape_string_warning = off",
    "default_transaction_isolation = 'serializable'",
    "default_transaction_deferrable = on",
    "client_encoding = 'LATIN1'",
    "search_path = elsewhere, public",
    "transform_null_equals = on",
    "array_nulls = off",
)
FLOATS = (0.1 + 0.2, 1 / 3, 61042.127843495123, 5e-324, 1.7976931348623157e308, 1e23, -2.5, math.inf, -math.inf)
TEXTS = ("é€ ż", "日本語 🔭", "a\\b'c\"d%s%", "back\\", "$1 {} \t x")


@pytest.fixture
def archive_in(postgres_url: str) -> Iterator[Callable[[str], Archive]]:
    """Make archives in databases of some encoding."""
    made: list[tuple[str, Archive]] = []
    engine = create_engine(make_url(postgres_url).set(drivername="postgresql+psycopg2"), isolation_level="AUTOCOMMIT")

    def make(encoding: str) -> Archive:
        name = f"koa_test_{uuid.uuid4().hex[:12]}"
        with engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING '{encoding}' LOCALE 'C'"))
        made.append((name, Archive(make_url(postgres_url).set(database=name).render_as_string(hide_password=False))))
        return made[-1][1]

    yield make
    for name, archive in made:
        archive.close()
        with engine.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    engine.dispose()


def set_for_all(archive: Archive, *settings: str) -> None:
    """Set what holds for each connection to an archive's database from now on."""
    archive.execute(*(f"ALTER DATABASE {archive.engine.url.database} SET {setting}" for setting in settings))


def bits(rows: dict[str, dict[str, Any]]) -> dict[str, tuple[Any, ...]]:
    """Values by file name, floats with all their bits."""
    return {
        name: tuple((key, value.hex() if isinstance(value, float) else value) for key, value in sorted(row.items()))
        for name, row in rows.items()
    }


def fill(archive: Archive) -> None:
    """Insert rows with floats and texts of all sorts, and times of several types."""
    archive.execute(
        f"ALTER TABLE {TABLE} ALTER koa_id TYPE timestamptz USING '2026-02-03 23:30:00.25-10'",
        f"ALTER TABLE {TABLE} ALTER drp_version TYPE interval USING '1 day 02:00'",
        f"ALTER TABLE {TABLE} ALTER last_processed TYPE timestamp USING '2026-02-03 04:05:06'",
    )
    for number, value in enumerate(FLOATS):
        archive.insert(f"{number}.fits", mjd_start=value, exptime=value)
    for number, value in enumerate(TEXTS):
        archive.insert(f"t{number}.fits", spectrograph=value)
    archive.execute(
        f"""UPDATE {TABLE} SET koa_id = '2026-02-03 23:30:00.25-10', drp_version = '1 day 02:00',
            last_processed = '2026-02-03 04:05:06'"""
    )


@pytest.mark.parametrize("more", [(), ("datestyle = 'SQL, DMY'", "extra_float_digits = 0")])
def test_settings_of_the_database_change_nothing_in_what_a_sync_and_a_question_bring(archive, new_client, more):
    fill(archive)
    before = new_client()
    before.sync()
    rows = bits(before.rows())
    assert len(rows) == len(FLOATS) + len(TEXTS)
    assert {row["koa_id"] for row in before.rows().values()} == {"2026-02-04T09:30:00.250"}
    for number, value in enumerate(FLOATS):
        assert before.rows()[f"{number}.fits"]["exptime"] == value
    for number, value in enumerate(TEXTS):
        assert before.rows()[f"t{number}.fits"]["spectrograph"] == value
    set_for_all(archive, *SETTINGS, *more)
    after = new_client()
    after.sync()
    assert bits(after.rows()) == rows
    with closing(archive.remote()) as remote:
        asked = {record.filename: record.to_dict() for record in remote.database.query()}
        assert bits(asked) == rows
        (found,) = remote.database.query(spectrograph=TEXTS[2])
        assert found.filename == "t2.fits"
        assert len(remote.database.query(exptime=FLOATS[0])) == 1


def test_settings_of_the_database_change_nothing_in_what_a_publication_stores(archive, new_client):
    archive.execute(
        f"ALTER TABLE {TABLE} ALTER koa_id TYPE timestamptz USING now(), ALTER last_processed TYPE date USING now()"
    )
    set_for_all(archive, *SETTINGS)
    publisher = new_client()
    times = {"koa_id": "2026-02-03T04:05:06.789", "last_processed": "2026-02-03"}
    values = [{"mjd_start": value, "exptime": value, **times} for value in FLOATS]
    for number, given in enumerate([*values, *({"spectrograph": value} for value in TEXTS)], start=1):
        checksum, version = f"sha256:{number:064d}", f"{number:03d}"
        publisher.add_local(f"{number}.fits", checksum=checksum, cal_version=version, **given)
    own = publisher.rows("LOCAL")
    publisher.publish()
    follower = new_client()
    follower.sync()
    changed = {"origin": "REMOTE", "last_updated": None}
    for there in (publisher.rows(), follower.rows()):
        assert bits({name: {**row, **changed} for name, row in there.items()}) == bits(
            {name: {**row, **changed} for name, row in own.items()}
        )


def test_settings_of_the_role_and_the_environment_change_nothing(archive, new_client, monkeypatch):
    fill(archive)
    before = new_client()
    before.sync()
    url = archive.role("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {}")
    name = make_url(url).username
    archive.execute(*(f"ALTER ROLE {name} SET {setting}" for setting in SETTINGS))
    for variable, value in {
        "PGCLIENTENCODING": "EUC_JP",
        "PGDATESTYLE": "SQL, DMY",
        "PGTZ": "Pacific/Honolulu",
        "PGOPTIONS": "-c extra_float_digits=-3 -c client_encoding=latin1",
    }.items():
        monkeypatch.setenv(variable, value)
    after = new_client()
    after.sync(make_url(url).update_query_dict({"client_encoding": "latin1"}).render_as_string(hide_password=False))
    assert bits(after.rows()) == bits(before.rows())


def test_settings_that_an_earlier_user_of_a_poolers_connection_left_change_nothing(archive, client):
    fill(archive)
    archive.execute(f"ALTER TABLE {TABLE} ALTER last_processed TYPE date")
    client.sync()
    names = list(archive.rows()["0.fits"])
    with PostgresRemote(Survey, archive.url).viewed() as source:
        source.execute("SET datestyle = 'SQL, DMY'; SET extra_float_digits = -15; SET TIME ZONE 'Asia/Kolkata'")
        with source.view() as view:
            rows = [dict(zip(names, row, strict=True)) for batch in view.sweep("") for row in batch.rows]
    in_ascii = {name: row for name, row in client.rows().items() if name not in {"t0.fits", "t1.fits"}}
    assert bits({row["filename"]: row for row in rows}) == bits(in_ascii)


def test_publishers_see_each_other_whatever_isolation_is_the_default(archive, new_client):
    set_for_all(archive, "default_transaction_isolation = 'repeatable read'")
    publishers = [new_client() for _ in range(4)]
    for number, publisher in enumerate(publishers):
        publisher.add_local(f"{number}.fits", checksum="sha256:" + 64 * str(number))
    threads = [threading.Thread(target=publisher.publish) for publisher in publishers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    follower = new_client()
    follower.sync()
    assert sorted(row["cal_version"] for row in follower.rows().values()) == ["001", "002", "003", "004"]


# -- encodings -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("encoding", "known"),
    [("SQL_ASCII", "é€ 日本語 🔭"), ("LATIN1", "é ÿ"), ("LATIN2", "é ż"), ("EUC_JP", "日本語"), ("WIN1252", "é€")],
)
def test_text_crosses_databases_of_other_encodings(archive_in, tmp_path, encoding, known):
    archive = archive_in(encoding)
    client, other = Client(tmp_path / "one.db", archive), Client(tmp_path / "two.db", archive)
    client.add_local("a.fits", checksum="sha256:" + 64 * "1", spectrograph=known)
    client.publish()
    other.sync()
    assert client.rows() == other.rows()
    assert other.rows()["a.fits"]["spectrograph"] == known
    with closing(archive.remote()) as remote:
        assert [found.filename for found in remote.database.query(spectrograph=known)] == ["a.fits"]
    for each in (client, other):
        each.database.close()


def test_text_that_a_database_cannot_hold_is_named_and_nothing_is_published(archive_in, tmp_path):
    archive = archive_in("LATIN1")
    client = Client(tmp_path / "one.db", archive)
    client.add_local("a.fits", checksum="sha256:" + 64 * "1", spectrograph="5 €")
    with pytest.raises(RemoteError, match=r"no equivalent in encoding .LATIN1.* whose encoding is UTF8"):
        client.publish()
    assert list(client.rows("LOCAL")) == ["a.fits"]
    assert archive.rows() == {}
    client.database.close()


def test_text_that_is_in_no_known_encoding_is_one_error_that_tells_how_to_find_it(archive_in, tmp_path):
    archive = archive_in("SQL_ASCII")
    client = Client(tmp_path / "one.db", archive)
    archive.insert("a.fits")
    client.sync()
    archive.insert("b.fits", "c.fits")
    archive.execute(
        f"UPDATE {TABLE} SET spectrograph = convert_from('\\x636166e9', 'SQL_ASCII') WHERE filename = 'b.fits'"
    )
    with pytest.raises(RemoteError, match=r"invalid byte sequence.*finds such rows by SELECT") as caught:
        client.sync()
    assert list(client.rows()) == ["a.fits"]
    found = caught.value.hint.partition(" by ")[2].rpartition(", and")[0]
    with archive.engine.connect() as connection:
        assert [row.filename for row in connection.exec_driver_sql(found)] == ["b.fits"]
    archive.execute(f"UPDATE {TABLE} SET spectrograph = 'café' WHERE filename = 'b.fits'")
    client.sync()
    assert client.rows() == archive.rows()
    client.database.close()


@pytest.mark.parametrize("asked", ["\udcff", "a\0b"])
def test_text_that_no_server_takes_is_an_error_of_ours(archive, asked):
    with closing(archive.remote()) as remote, pytest.raises(KoaMiddlewareError):
        remote.database.query(filename=asked)


@pytest.mark.parametrize("encoding", ["UTF8", "LATIN2", "EUC_JP", "SQL_ASCII"])
def test_a_sweep_in_small_batches_keeps_all_rows_in_the_order_of_their_code_points(
    archive_in, tmp_path, monkeypatch, encoding
):
    letters = {"LATIN2": "aéąłżŘ", "EUC_JP": "aあ。日本語ヲ亜", "UTF8": "aé🔭\uffee日", "SQL_ASCII": "aé🔭\uffee日"}[
        encoding
    ]
    monkeypatch.setattr(viewed, "BATCH", 2)
    archive = archive_in(encoding)
    client = Client(tmp_path / "one.db", archive)
    for number, letter in enumerate(letters):
        archive.insert(f"{number}.fits", id=f"{letter}.", nframes=number)
    for _ in range(2):
        client.sync(full=True)
        assert client.rows() == archive.rows()
    with archive.remote().connected() as source, source.reading(None, None) as reading:
        batches = [[*(row[0] for row in one.rows), *(row["id"] for row in one.odd)] for one in reading.sweep("")]
        ids = [each for batch in batches for each in sorted(batch)]
        assert ids == sorted(f"{letter}." for letter in letters)
    client.database.close()


@pytest.mark.parametrize("remote_type", ["bigint", "uuid", "varchar(40)", "char(40)"])
def test_a_sweep_keeps_rows_whose_ids_are_of_another_type(archive, client, monkeypatch, remote_type):
    monkeypatch.setattr(viewed, "BATCH", 3)
    ids = [str(uuid.uuid4()) if remote_type == "uuid" else str(number) for number in range(5, 15)]
    for number, each in enumerate(ids):
        archive.insert(f"{number}.fits", id=each)
    archive.execute(f"ALTER TABLE {TABLE} ALTER id TYPE {remote_type} USING id::{remote_type}")
    client.sync()
    client.sync(full=True)
    assert sorted(row["id"] for row in client.rows().values()) == sorted(ids)


# -- a class newer than the archive --------------------------------------------------------------------------------


class NewerSurvey(ORMCalibration):
    """The survey with columns that the archive lacks."""

    instrument_name = "survey"

    gain: Mapped[float] = fits_column("GAIN", Float, default=1.7)
    wide: Mapped[float] = fits_column("WIDE", Float, default=3)
    tiny: Mapped[float] = fits_column("TINY", Float, default=5e-324)
    endless: Mapped[float] = fits_column("ENDLESS", Float, default=math.inf)
    amplifiers: Mapped[int] = fits_column("AMPS", Integer, default=-4)
    size: Mapped[int] = fits_column("SIZE", BigInteger, default=1 << 40)
    cooled: Mapped[bool] = fits_column("COOLED", Boolean, default=True)
    lamp: Mapped[str] = fits_column("LAMP", TEXT, default="a\\b'c %s é")
    free: Mapped[float | None] = fits_column("FREE", Float, default=None)


class CountingSurvey(ORMCalibration):
    """The survey with a column whose default is computed."""

    instrument_name = "survey"

    counted: Mapped[int] = fits_column("COUNTED", Integer, default=lambda: 3 + 4)


DEFAULTS = {
    "gain": 1.7, "wide": 3.0, "tiny": 5e-324, "endless": math.inf, "amplifiers": -4, "size": 1 << 40, "cooled": True,
    "lamp": "a\\b'c %s é", "free": None,
}  # fmt: skip


@pytest.mark.parametrize("scs", ["on", "off"])
def test_a_class_newer_than_the_archive_gets_its_defaults_in_the_columns_types(archive, tmp_path, scs):
    set_for_all(archive, f"standard_conforming_strings = {scs}")
    archive.insert("a.fits", "b.fits")
    local = LocalDatabase(NewerSurvey, tmp_path / "newer.db")
    with pytest.warns(UserWarning, match="lacks the columns .*gain|does not know"):
        result = synchronise(local, remote_at(archive.url, NewerSurvey))
    assert (result.added, result.conflicts) == (2, [])
    for record in local.query():
        found = {name: record[name] for name in DEFAULTS}
        assert found == DEFAULTS
        assert {name: type(value) for name, value in found.items()} == {
            name: type(value) for name, value in DEFAULTS.items()
        }
    local.close()


def test_a_computed_default_of_a_newer_class_is_computed_here(archive, tmp_path):
    archive.insert("a.fits")
    local = LocalDatabase(CountingSurvey, tmp_path / "newer.db")
    with pytest.warns(UserWarning, match="lacks the columns counted|does not know"):
        synchronise(local, remote_at(archive.url, CountingSurvey))
    assert [record.counted for record in local.query()] == [7]
    local.close()


def test_nulls_of_an_older_archive_get_the_defaults_in_the_columns_types(archive, tmp_path):
    archive.insert("a.fits")
    initialise(archive.engine, NewerSurvey)
    archive.execute(f"UPDATE {TABLE} SET {', '.join(f'{name} = NULL' for name in DEFAULTS)}")
    local = LocalDatabase(NewerSurvey, tmp_path / "newer.db")
    with pytest.warns(UserWarning, match="does not know"):
        synchronise(local, remote_at(archive.url, NewerSurvey))
    (record,) = local.query()
    assert {name: record[name] for name in DEFAULTS} == DEFAULTS
    local.close()


def test_numeric_columns_of_an_archive_come_as_the_numbers_that_the_class_has(archive, client):
    archive.execute(f"ALTER TABLE {TABLE} ALTER exptime TYPE numeric, ALTER nframes TYPE numeric(12, 2)")
    archive.insert("a.fits", exptime=0.1, nframes=6)
    archive.insert("b.fits", exptime=None, nframes=None)
    archive.insert("c.fits", nframes=1)
    archive.execute(f"UPDATE {TABLE} SET nframes = 1.5 WHERE filename = 'c.fits'")
    (apart,) = client.sync().conflicts
    assert "nframes" in apart.reason
    rows = {name: (row["exptime"], row["nframes"]) for name, row in client.rows().items()}
    assert rows == {"a.fits": (0.1, 6), "b.fits": (None, None)}
    assert {type(value) for value in rows["a.fits"]} == {float, int}
