"""What the owner of an archive sets up keeps unfit words and versions out."""

from __future__ import annotations

from contextlib import closing

import pytest
from koa_middleware.choosing.selector import CalibrationSelector, choose
from koa_middleware.exceptions import CalibrationNotFoundError, RemoteError, SchemaMismatchError
from koa_middleware.remote.postgres.engine import postgresql_engine
from koa_middleware.remote.postgres.schema import initialise
from koa_middleware.remote.protocol import UnfitRow
from koa_middleware.remote.publish import flag
from sqlalchemy import exc, text
from survey import Survey

TABLE = Survey.table().name
INSERT = (
    f"INSERT INTO {TABLE} (id, filename, cal_type, datetime_obs, mjd_start, {{0}}) "
    "VALUES ('{1}', '{1}', 'dark', '2026-01-02T03:04:05.678', 61042, {2})"
)


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("quality", ["Bad", "bad", " BAD", "EXCELLENT", ""]),
        ("origin", ["Keck", "Lick", "REMOTE "]),
        ("cal_version", ["1", "v1", "000", "1000", "01", "١٢٣", "001\n"]),
    ],
)
def test_the_server_refuses_unfit_words_and_versions(archive, column, values):
    for number, value in enumerate(values):
        with pytest.raises(exc.IntegrityError, match=f"koa_{column}"):
            archive.execute(INSERT.format(column, number, f"'{value}'"))
    assert archive.rows() == {}


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("quality", ["GOOD", "BAD", "UNKNOWN", None]),
        ("origin", ["LOCAL", "REMOTE", "KECK", None]),
        ("cal_version", ["001", "999", None]),
    ],
)
def test_the_server_takes_what_is_in_form_and_nulls(archive, column, values):
    archive.execute(f"ALTER TABLE {TABLE} ALTER COLUMN {column} DROP NOT NULL")
    for number, value in enumerate(values):
        archive.execute(INSERT.format(column, number, f"'{value}'" if value else "NULL"))
    assert len(archive.rows()) == len(values)


def test_rows_from_before_the_checks_are_named_and_stay_until_they_are_mended(archive):
    for column in ("quality", "cal_version"):
        archive.execute(f"ALTER TABLE {TABLE} DROP CONSTRAINT koa_{column}")
    archive.execute(INSERT.format("quality", "a.fits", "'Bad'"), INSERT.format("cal_version", "b.fits", "'2'"))
    unfit = [UnfitRow("b.fits", "b.fits", "cal_version", "2"), UnfitRow("a.fits", "a.fits", "quality", "Bad")]
    assert initialise(archive.engine, Survey.table()) == unfit
    assert initialise(archive.engine, Survey.table()) == unfit
    assert set(archive.rows()) == {"a.fits", "b.fits"}
    with pytest.raises(exc.IntegrityError, match="koa_quality"):
        archive.execute(INSERT.format("quality", "c.fits", "'Bad'"))
    archive.execute(f"UPDATE {TABLE} SET quality = 'BAD' WHERE id = 'a.fits'")
    archive.execute(f"UPDATE {TABLE} SET cal_version = '002' WHERE id = 'b.fits'")
    assert initialise(archive.engine, Survey.table()) == []
    with archive.engine.connect() as connection:
        states = "SELECT bool_and(convalidated), count(*) FROM pg_constraint WHERE contype = 'c' AND conname ~ '^koa_'"
        assert connection.exec_driver_sql(states).one() == (True, 3)


def test_a_column_of_another_type_than_text_is_left_unchecked(fresh_database):
    engine = postgresql_engine(fresh_database)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE TABLE {TABLE} (id text PRIMARY KEY, filename text, cal_version integer)")
        connection.exec_driver_sql(f"INSERT INTO {TABLE} VALUES ('a', 'a.fits', 2)")
    assert initialise(engine, Survey.table()) == []
    with engine.begin() as connection:
        connection.exec_driver_sql(f"INSERT INTO {TABLE} (id, filename, cal_version) VALUES ('b', 'b.fits', 3)")
    engine.dispose()


def test_a_publisher_sees_an_older_archives_versions_in_their_form_and_its_odd_ones_hinder_nobody(archive, client):
    for column in ("quality", "cal_version"):
        archive.execute(f"ALTER TABLE {TABLE} DROP CONSTRAINT koa_{column}")
    archive.insert("old.fits", "odd.fits", "same.fits", cal_version="005")
    archive.change("old.fits", cal_version="2", checksum="sha256:" + 64 * "1")
    archive.change("odd.fits", cal_version="vague", checksum="sha256:" + 64 * "2")
    archive.change("same.fits", checksum="SHA256:" + 64 * "A")
    client.add_local("mine.fits", checksum="sha256:" + 64 * "3", cal_version="002")
    client.add_local("same.fits", checksum="sha256:" + 64 * "a", cal_version="005")
    result = client.publish()
    assert (result.published, result.unchanged, result.renamed) == (1, 1, {"mine.fits": "mine.006.fits"})


def test_times_are_utc_whatever_the_time_zone_of_the_server(archive, client):
    database = archive.engine.url.database
    archive.execute(
        f"ALTER DATABASE {database} SET timezone = 'Pacific/Honolulu'",
        f"ALTER TABLE {TABLE} ALTER COLUMN datetime_obs TYPE timestamptz USING (datetime_obs || 'Z')::timestamptz",
    )
    for name, digit in (("a.fits", "1"), ("b.fits", "2")):
        client.add_local(name, checksum="sha256:" + 64 * digit, mjd_start=61042.127843495)
        client.publish()
    rows = client.rows()
    assert {row["datetime_obs"] for row in rows.values()} == {"2026-01-02T03:04:05.678"}
    assert sorted(row["cal_version"] for row in rows.values()) == ["001", "002"]
    with closing(archive.remote()) as remote:
        assert len(remote.database.query("dark", "2026-01-02T03:00:00", "2026-01-02T04:00:00")) == 2


def test_a_question_to_the_archive_is_answered_in_form_or_names_the_row_that_has_none(archive):
    archive.execute(
        f"ALTER TABLE {TABLE} DROP CONSTRAINT koa_quality",
        f"ALTER TABLE {TABLE} ALTER COLUMN file_size TYPE numeric, ALTER COLUMN last_processed TYPE timestamptz "
        "USING last_processed::timestamptz",
    )
    (bad,) = archive.insert("bad.fits", quality="GOOD", file_size=3)
    archive.execute(f"UPDATE {TABLE} SET quality = 'bad ', last_processed = '2026-01-02 03:04:05-10'")
    with closing(archive.remote()) as remote:
        (found,) = remote.database.query("dark")
        assert (found.quality, found.last_processed) == ("BAD", "2026-01-02T13:04:05.000")
        assert (type(found.file_size), found.file_size) == (int, 3)
        with pytest.raises(CalibrationNotFoundError, match=r"bad\.fits .* BAD under another spelling\. Sync"):
            choose(CalibrationSelector(cal_type="dark"), {"mjd_start": 61042.5}, remote.database)
        archive.execute(f"UPDATE {TABLE} SET quality = 'MEDIOCRE'")
        with pytest.raises(RemoteError, match=rf"bad\.fits \(id {bad}\) .*'MEDIOCRE'.* Sync and choose"):
            remote.database.query("dark")
    archive.execute(f"ALTER TABLE {TABLE} ALTER COLUMN mjd_start TYPE date USING '2026-01-02'")
    with closing(archive.remote()) as remote, pytest.raises(SchemaMismatchError, match="another type"):
        remote.database.query("dark")


@pytest.mark.parametrize("column", ["datetime_obs", "nframes", "last_updated"])
@pytest.mark.parametrize("remote_type", ["timestamp", "timestamptz", "date"])
def test_a_time_that_python_does_not_have_hinders_no_other_row(archive, client, remote_type, column):
    archive.insert("good.fits", "far.fits", "old.fits")
    archive.execute(f"ALTER TABLE {TABLE} DISABLE TRIGGER koa_stamp")
    archive.execute(
        f"ALTER TABLE {TABLE} ALTER COLUMN {column} DROP NOT NULL, ALTER COLUMN {column} TYPE {remote_type} USING NULL"
    )
    if column != "nframes":
        archive.execute(f"UPDATE {TABLE} SET {column} = '2026-01-02'")
    archive.execute(
        f"UPDATE {TABLE} SET {column} = '12000-03-15' WHERE filename = 'far.fits'",
        f"UPDATE {TABLE} SET {column} = '0044-03-15 BC' WHERE filename = 'old.fits'",
    )
    apart = {conflict.filename: conflict.reason for conflict in client.sync().conflicts}
    if column == "nframes":
        assert sorted(apart) == ["far.fits", "old.fits"]
        assert "0044-03-15" in apart["old.fits"]
    if column == "datetime_obs":  # the mjd_start tells the time
        assert {row["datetime_obs"][:10] for row in client.rows().values()} == {"2026-01-02"}
    assert "good.fits" in client.rows()
    with closing(archive.remote()) as remote:
        assert remote.database.query_by_filename("good.fits").filename == "good.fits"


def test_a_flag_mends_a_row_from_before_the_checks_or_says_what_must_be_corrected(archive, client):
    old = {"origin": "keck", "cal_version": "2", "quality": "good"}
    archive.execute(*(f"ALTER TABLE {TABLE} DROP CONSTRAINT koa_{column}" for column in old))
    mended, odd, fit = archive.insert("old.fits", "odd.fits", "fit.fits", cal_version="005")
    archive.change("old.fits", **old)
    archive.change("odd.fits", origin="Lick")
    archive.change("fit.fits", origin="KECK")
    assert len(initialise(archive.engine, Survey.table())) == 4
    client.sync()
    for identifier in (mended, fit):
        flag(client.database, archive.remote(), identifier, "BAD", "a satellite's trail", "ann")
    stored = "SELECT origin, cal_version, quality FROM survey_calibrations WHERE quality = 'BAD' ORDER BY filename"
    with archive.engine.connect() as connection:
        assert connection.execute(text(stored)).all() == [("KECK", "005", "BAD"), ("REMOTE", "002", "BAD")]
    assert client.rows()["old.fits"]["quality"] == "BAD"
    assert (mended, "good", "BAD", "a satellite's trail", "ann") in archive.judgements()
    with pytest.raises(RemoteError, match=r"origin of .* is 'Lick', which is none of .* owner corrects the origin"):
        flag(client.database, archive.remote(), odd, "BAD", "why", "ann")
    assert client.rows()["odd.fits"]["quality"] != "BAD"
