"""What the owner of an archive sets up: nothing twice, nothing lost, and unfit words and versions kept out."""

from __future__ import annotations

import threading
import time
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest
from koa_middleware.choosing.own_methods import choose
from koa_middleware.choosing.selector import CalibrationSelector
from koa_middleware.exceptions import CalibrationNotFoundError, RemoteError, SchemaMismatchError
from koa_middleware.instrument.columns import fits_column
from koa_middleware.instrument.orm import TEXT, ORMCalibration
from koa_middleware.remote.postgres.engine import postgresql_engine
from koa_middleware.remote.postgres.schema import initialise, planned
from koa_middleware.remote.protocol import UnfitRow
from koa_middleware.remote.publish import flag
from sqlalchemy import exc, make_url, text
from sqlalchemy.orm import Mapped
from survey import Survey

TABLE = Survey.table().name
INSERT = (
    f"INSERT INTO {TABLE} (id, filename, cal_type, datetime_obs, mjd_start, {{0}}) "
    "VALUES ('{1}', '{1}', 'dark', '2026-01-02T03:04:05.678', 61042, {2})"
)


#: What an archive was before there was a feed.
OLDER = Path(__file__).with_name("older_archive.sql").read_text()


def read(engine, sql):
    """Rows of a question."""
    with engine.connect() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(sql)]


def as_psql(url, *statements):
    """Run statements as psql does, which adds no transaction of its own."""
    with closing(psycopg2.connect(url)) as driver, driver.cursor() as cursor:
        driver.set_session(autocommit=True)
        cursor.execute("\n".join(statements))


def made(archive):
    """What stands there, so that anything made anew is seen."""
    triggers = "SELECT tgname, oid, xmin::text, tgenabled::text FROM pg_trigger WHERE NOT tgisinternal ORDER BY tgname"
    functions = f"SELECT proname, xmin::text FROM pg_proc WHERE starts_with(proname, '{TABLE}') ORDER BY proname"
    relations = f"SELECT relname, xmin::text FROM pg_class WHERE strpos(relname, '{TABLE}') > 0 ORDER BY relname"
    return [read(archive.engine, question) for question in (triggers, functions, relations)]


def test_setting_up_again_touches_nothing(archive):
    before, entries = made(archive), archive.entries()
    assert initialise(archive.engine, Survey).statements == []
    assert (made(archive), archive.entries()) == (before, entries)
    assert [(entry.n, entry.id, entry.op, entry.who) for entry in entries] == [(1, None, "begun", "postgres")]


@pytest.mark.parametrize(
    "damage",
    [
        "ALTER TABLE {0} DISABLE TRIGGER koa_feed",
        "ALTER TABLE {0} DISABLE TRIGGER ALL; ALTER TABLE {0} ENABLE TRIGGER ALL",
        "DROP TRIGGER koa_feed ON {0}",
        "DROP TRIGGER koa_feed_truncate ON {0}",
        "DROP TRIGGER koa_feed ON {0}; CREATE CONSTRAINT TRIGGER koa_feed AFTER INSERT ON {0} FOR EACH ROW"
        " EXECUTE FUNCTION {0}_feed(); ALTER TABLE {0} ENABLE ALWAYS TRIGGER koa_feed",
        "CREATE OR REPLACE FUNCTION {0}_feed() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        "ALTER FUNCTION {0}_feed() SECURITY INVOKER",
        "TRUNCATE {0}_feed",
        "DROP TABLE {0}_feed",
    ],
)
def test_a_feed_that_may_have_missed_a_change_is_mended_and_everybody_reads_everything_once(archive, damage):
    archive.insert("a.fits")
    archive.execute(damage.format(TABLE))
    initialise(archive.engine, Survey)
    archive.execute(f"UPDATE {TABLE} SET file_size = 3", "SET CONSTRAINTS ALL IMMEDIATE", f"TRUNCATE {TABLE}")
    lost = ["begun"]  # with the feed, whose numbers begin anew
    assert [entry.op for entry in archive.entries()] in (
        [*lost, "changed", "withdrawn"],
        ["begun", "added", "begun", "resweep", "changed", "withdrawn"],
    )
    assert [former["koa_n"] for former in archive.former()] == [entry.n for entry in archive.entries()[-2:]]
    assert planned(archive.engine, Survey).statements == []


@pytest.mark.parametrize(
    "damage",
    [
        "ALTER TABLE {0} DROP COLUMN nframes, DROP COLUMN instrument_era",
        "DROP INDEX ix_{0}_datetime_obs_id",
        "ALTER TABLE {0} DROP CONSTRAINT uq_{0}_filename",
        "ALTER TABLE {0} DROP CONSTRAINT koa_quality",
        "ALTER TABLE {0} DISABLE TRIGGER koa_stamp",
        "DROP TRIGGER koa_stamp ON {0}",
        "DELETE FROM {0}_feed_lock",
        "DROP TABLE {0}_feed_lock",
    ],
)
def test_what_else_is_missing_is_added_and_nobody_reads_anything_again(archive, damage):
    archive.insert("a.fits")
    archive.execute(damage.format(TABLE))
    initialise(archive.engine, Survey)
    archive.insert("b.fits")
    assert [entry.op for entry in archive.entries()] == ["begun", "added", "added"]
    assert [row["instrument_era"] for row in archive.rows().values()] == ["0.0.1", "0.0.1"]
    assert all(row["last_updated"] for row in archive.rows().values())
    assert planned(archive.engine, Survey).statements == []


def test_the_owner_asks_everybody_to_read_everything_once(archive):
    (before, *_) = made(archive)
    initialise(archive.engine, Survey, resweep=True)
    assert [entry.op for entry in archive.entries()] == ["begun", "begun", "resweep"]
    assert made(archive)[0] == before


def test_what_would_be_run_is_told_without_a_right_to_write_and_psql_runs_it(fresh_database):
    engine = postgresql_engine(fresh_database)
    as_psql(fresh_database, OLDER)
    role = make_url(fresh_database).database + "_looker"
    as_psql(fresh_database, f"CREATE ROLE {role} LOGIN PASSWORD 'x'; GRANT SELECT ON {TABLE} TO {role}")
    looker = postgresql_engine(make_url(fresh_database).set(username=role, password="x").render_as_string(False))
    try:
        script = planned(looker, Survey).script
        assert [script[0], script[-1]] == ["BEGIN ISOLATION LEVEL READ COMMITTED;", "COMMIT;"]
        assert read(engine, f"SELECT to_regclass('{TABLE}_feed')") == [(None,)]
        as_psql(fresh_database, "SET search_path = pg_temp;", *script)
        assert planned(engine, Survey).script == []
    finally:
        as_psql(fresh_database, f"DROP OWNED BY {role}; DROP ROLE {role}")
        engine.dispose()


def test_a_columns_default_may_hold_a_percent_sign(fresh_database):
    class Sparse(ORMCalibration):
        instrument_name = "sparse"

    class Cloudy(ORMCalibration):
        instrument_name = "sparse"
        cover: Mapped[str] = fits_column("COVER", TEXT, default="50% 'or' so")

    engine = postgresql_engine(fresh_database)
    for steps in ([Cloudy], [Sparse, Cloudy]):
        for step in steps:
            initialise(engine, step)
        as_psql(fresh_database, INSERT.replace(TABLE, "sparse_calibrations").format("quality", "a", "'GOOD'"))
        assert read(engine, "SELECT cover FROM sparse_calibrations") == [("50% 'or' so",)]
        as_psql(
            fresh_database, "DROP TABLE sparse_calibrations, sparse_calibrations_feed, sparse_calibrations_feed_lock"
        )


def test_indexes_are_made_in_one_order_always(fresh_database):
    statements = planned(postgresql_engine(fresh_database), Survey).statements
    indexes = [statement for statement in statements if statement.startswith("CREATE INDEX ix_")]
    assert len(indexes) == 2
    assert indexes == sorted(indexes)


def test_a_reader_cannot_forge_entries_by_a_table_of_its_own(archive):
    reader = postgresql_engine(archive.role(f"GRANT SELECT ON {TABLE}, {TABLE}_feed TO {{}}"))
    with reader.connect() as connection:
        connection.exec_driver_sql("CREATE TEMPORARY TABLE mine (id text, quality text)")
        for function in (f"{TABLE}_feed", f"{TABLE}_feed_truncate"):
            with pytest.raises(exc.ProgrammingError, match="permission denied"), connection.begin_nested():
                connection.exec_driver_sql(
                    f"CREATE TRIGGER forge AFTER INSERT ON mine FOR EACH ROW EXECUTE FUNCTION {function}()"
                )


def test_an_owner_who_is_no_superuser_sets_an_archive_up(archive):
    owner = archive.role(name="owner")
    role = make_url(owner).username
    archive.execute(f"CREATE SCHEMA own AUTHORIZATION {role}", f"ALTER ROLE {role} SET search_path = own")
    engine = postgresql_engine(owner)
    for statements in (len(planned(engine, Survey).statements), 0):
        assert len(initialise(engine, Survey).statements) == statements
    as_psql(owner, INSERT.format("quality", "a", "'GOOD'"))
    assert read(engine, f"SELECT op, who FROM own.{TABLE}_feed ORDER BY n") == [("begun", role), ("added", role)]


# -- archives from before there was a feed -------------------------------------------------------------------------


@pytest.fixture
def older(archive):
    """An archive from before there was a feed, with three records."""
    archive.execute(f"DROP TABLE {TABLE}, {TABLE}_feed, {TABLE}_feed_lock")
    as_psql(archive.url, OLDER)
    archive.execute(*(INSERT.format("quality", name, "'GOOD'") for name in "abc"))
    return archive


def test_an_older_archives_judgements_are_taken_over_and_the_rest_of_it_goes(older):
    judge = f"UPDATE {TABLE} SET quality = 'BAD' WHERE id = '{{}}'"
    older.execute("SET LOCAL koa.reason = 'a trail'", "SET LOCAL koa.flagged_by = 'ann'", judge.format("b"))
    older.execute(judge.format("a"))
    older.execute(f"DELETE FROM {TABLE} WHERE id = 'c'")
    rows = f"SELECT id, quality, last_updated FROM {TABLE} ORDER BY id"
    kept, times = read(older.engine, rows), read(older.engine, f"SELECT flagged_at FROM {TABLE}_quality_history")
    initialise(older.engine, Survey)
    entries = older.entries()
    assert [(entry.n, entry.id, entry.op, entry.quality, entry.who, entry.why) for entry in entries] == [
        (1, "b", "flagged", "BAD", "ann", "a trail"),
        (2, "a", "flagged", "BAD", "postgres", None),
        (3, None, "begun", None, "postgres", "upgraded"),
    ]
    assert [(f"{entry.at:%Y-%m-%dT%H:%M:%S.%f}",) for entry in entries[:2]] == sorted(times)
    assert read(older.engine, rows) == kept
    left = [name for found in made(older) for (name, *_) in found]
    assert [name for name in left if "withdraw" in name or "quality_history" in name or "sync" in name] == []
    assert planned(older.engine, Survey).statements == []
    older.insert("d.fits", nframes=3)
    assert older.entries()[-1].op == "added"


def test_judgements_of_one_moment_keep_their_order(older):
    older.execute(f"UPDATE {TABLE} SET quality = 'BAD'")
    older.execute(f"UPDATE {TABLE}_quality_history SET flagged_at = '2026-01-02T03:04:05.000006' WHERE number > 1")
    older.execute(f"UPDATE {TABLE}_quality_history SET flagged_at = '2026-01-02T03:04:05.000008' WHERE number = 1")
    initialise(older.engine, Survey)
    times = [entry.at.microsecond for entry in older.entries() if entry.op == "flagged"]
    assert times == [8, 9, 10]


def test_who_could_read_an_older_archive_can_read_its_feed(older):
    reader = older.role(f"GRANT SELECT ON {TABLE}, {TABLE}_withdrawn TO {{}}")
    stranger = older.role(name="stranger")
    initialise(older.engine, Survey)
    assert read(postgresql_engine(reader), f"SELECT count(*) FROM {TABLE}_feed") == [(1,)]
    with pytest.raises(exc.ProgrammingError, match="permission denied"):
        read(postgresql_engine(stranger), f"SELECT count(*) FROM {TABLE}_feed")


def test_a_judgement_that_is_under_way_while_the_archive_is_taken_over_is_kept(older):
    waiting = (
        "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )
    older.execute(f"ALTER TABLE {TABLE} ADD COLUMN nframes integer")  # so that nothing else waits for the judge
    taking_over = threading.Thread(target=initialise, args=(older.engine, Survey))
    with older.transaction() as judge:
        judge.execute(f"UPDATE {TABLE} SET quality = 'BAD' WHERE id = 'b'")
        taking_over.start()
        while read(older.engine, waiting) == [(False,)]:
            time.sleep(0.01)
    taking_over.join()
    assert [(entry.id, entry.op) for entry in older.entries()] == [("b", "flagged"), (None, "begun")]


# -- words and versions --------------------------------------------------------------------------------------------


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
    assert initialise(archive.engine, Survey).unfit == unfit
    assert initialise(archive.engine, Survey).unfit == unfit
    assert set(archive.rows()) == {"a.fits", "b.fits"}
    with pytest.raises(exc.IntegrityError, match="koa_quality"):
        archive.execute(INSERT.format("quality", "c.fits", "'Bad'"))
    archive.execute(f"UPDATE {TABLE} SET quality = 'BAD' WHERE id = 'a.fits'")
    archive.execute(f"UPDATE {TABLE} SET cal_version = '002' WHERE id = 'b.fits'")
    assert initialise(archive.engine, Survey).unfit == []
    with archive.engine.connect() as connection:
        states = "SELECT bool_and(convalidated), count(*) FROM pg_constraint WHERE contype = 'c' AND conname ~ '^koa_'"
        assert connection.exec_driver_sql(states).one() == (True, 3)


def test_a_column_of_another_type_than_text_is_left_unchecked(fresh_database):
    engine = postgresql_engine(fresh_database)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE TABLE {TABLE} (id text PRIMARY KEY, filename text, cal_version integer)")
        connection.exec_driver_sql(f"INSERT INTO {TABLE} VALUES ('a', 'a.fits', 2)")
    assert initialise(engine, Survey).unfit == []
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
        with pytest.raises(CalibrationNotFoundError, match=r"refused \(bad\.fits: .* its quality is bad "):
            choose(CalibrationSelector(cal_type="dark"), {"mjd_start": 61042.5}, remote.database)
        archive.execute(f"UPDATE {TABLE} SET quality = 'MEDIOCRE'")
        with pytest.raises(RemoteError, match=rf"bad\.fits \(id {bad}\) .*'MEDIOCRE'.* Sync and choose"):
            remote.database.query("dark")
    archive.execute(f"ALTER TABLE {TABLE} ALTER COLUMN mjd_start TYPE date USING '2026-01-02'")
    with closing(archive.remote()) as remote, pytest.raises(SchemaMismatchError, match=r"another type.*Sync and"):
        remote.database.query("dark")


@pytest.mark.parametrize("column", ["mjd_start", "master_cal", "file_size"])
def test_a_question_to_an_archive_whose_numbers_are_text_says_that_a_sync_reads_them(archive, client, column):
    archive.insert("a.fits")
    archive.execute(f"ALTER TABLE {TABLE} ALTER {column} DROP DEFAULT, ALTER {column} TYPE text")
    asked = {"mjd_start": 61042.5, "master_cal": True, "file_size": 3}
    with closing(archive.remote()) as remote, pytest.raises(SchemaMismatchError) as caught:
        remote.database.query(**{column: asked[column]})
    assert "of another type than the plugin's: operator does not exist: text = " in caught.value.message
    assert "Sync and choose from the local copy" in caught.value.hint
    client.sync()
    assert list(client.rows()) == ["a.fits"]


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
    assert len(initialise(archive.engine, Survey).unfit) == 4
    client.sync()
    for identifier in (mended, fit):
        flag(client.database, archive.remote(), identifier, "BAD", "a satellite's trail", "ann")
    stored = "SELECT origin, cal_version, quality FROM survey_calibrations WHERE quality = 'BAD' ORDER BY filename"
    with archive.engine.connect() as connection:
        assert connection.execute(text(stored)).all() == [("KECK", "005", "BAD"), ("REMOTE", "002", "BAD")]
    assert client.rows()["old.fits"]["quality"] == "BAD"
    told = [(entry.id, entry.op, entry.quality, entry.why, entry.who) for entry in archive.entries()]
    assert (mended, "flagged", "BAD", "a satellite's trail", "ann") in told
    with pytest.raises(RemoteError, match=r"origin of .* is 'Lick', which is none of .* owner corrects the origin"):
        flag(client.database, archive.remote(), odd, "BAD", "why", "ann")
    assert client.rows()["odd.fits"]["quality"] != "BAD"
