"""What a sync brings, what it leaves alone, and what it keeps apart."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from koa_middleware.exceptions import CacheError, SchemaMismatchError
from koa_middleware.remote import viewed
from koa_middleware.remote.bookmark import last_noticed, last_synced
from koa_middleware.remote.local_copy import open_copy
from koa_middleware.remote.postgres.schema import initialise
from koa_middleware.remote.protocol import Batch
from koa_middleware.remote.publish import flag
from koa_middleware.remote.staleness import last_sync
from koa_middleware.remote.sync import SyncResult
from servers import Server, needs_servers
from sqlalchemy import text
from survey import COLUMNS, KINDS, Archive, Client, Survey

TABLE = "survey_calibrations"


def counts(result: SyncResult) -> tuple[int, int, int]:
    return result.added, result.changed, result.withdrawn


def test_a_client_gets_the_servers_stamp_in_microseconds(archive, client):
    archive.insert("a.fits", last_updated="1999-01-01T00:00:00.000000")
    client.sync()
    stamp = client.rows()["a.fits"]["last_updated"]
    assert stamp > "2026"
    assert len(stamp) == len("2026-01-02T03:04:05.678901")


def test_rows_of_equal_stamps_are_not_skipped(archive, client):
    same = "ALTER TABLE {0} DISABLE TRIGGER koa_stamp"
    archive.execute(same.format(TABLE))
    archive.insert("a.fits", last_updated="2026-01-01T00:00:00.000000")
    client.sync()
    archive.insert("b.fits", last_updated="2026-01-01T00:00:00.000000")
    assert counts(client.sync()) == (1, 0, 0)


def test_a_truncated_table_empties_the_copy_but_for_local_records(archive, client):
    archive.insert("a.fits", "b.fits")
    client.add_local("mine.fits")
    client.sync()
    archive.execute(f"TRUNCATE {TABLE}")
    assert counts(client.sync()) == (0, 0, 2)
    assert not client.rows()
    assert list(client.rows("LOCAL")) == ["mine.fits"]


# -- LOCAL records and conflicts -----------------------------------------------------------------------------------


@pytest.mark.parametrize("same", ["id", "filename"])
def test_a_row_that_meets_a_local_record_of_other_content_is_kept_apart(archive, client, same):
    mine = client.add_local("a.fits", checksum="sha256:313e")
    archive.insert("b.fits", nframes=3)
    given = {"id": mine.id, "filename": "c.fits"} if same == "id" else {"id": "theirs", "filename": "a.fits"}
    archive.insert(given.pop("filename"), **given, checksum="sha256:7e115", nframes=4)
    result = client.sync()
    assert counts(result) == (1, 0, 0)
    (conflict,) = result.conflicts
    assert conflict.local_id == mine.id
    assert (conflict.record["checksum"], conflict.record["nframes"]) == ("sha256:7e115", 4)
    assert client.rows("LOCAL")["a.fits"]["checksum"] == "sha256:313e"
    assert client.sync().conflicts == result.conflicts
    assert client.sync(full=True).conflicts == result.conflicts


def test_a_conflict_ends_when_the_remote_row_is_renamed(archive, client):
    client.add_local("a.fits")
    archive.insert("a.fits")
    assert client.sync().conflicts
    archive.execute(f"UPDATE {TABLE} SET filename = 'b.fits'")
    result = client.sync()
    assert (counts(result), result.conflicts) == ((1, 0, 0), [])
    assert client.rows() == archive.rows()


def test_a_conflict_ends_when_the_remote_row_is_withdrawn(archive, client):
    client.add_local("a.fits")
    archive.insert("a.fits")
    assert client.sync().conflicts
    archive.execute(f"DELETE FROM {TABLE}")
    assert client.sync().conflicts == []


def test_a_conflict_ends_when_the_local_record_goes(archive, client):
    client.add_local("a.fits")
    archive.insert("a.fits")
    assert client.sync().conflicts
    client.execute(f"DELETE FROM {TABLE} WHERE origin = 'LOCAL'")
    result = client.sync()
    assert (counts(result), result.conflicts) == ((1, 0, 0), [])
    assert client.rows() == archive.rows()


def test_a_remote_row_that_takes_a_local_records_name_leaves_its_place(archive, client):
    client.add_local("mine.fits")
    (identifier,) = archive.insert("a.fits")
    client.sync()
    archive.execute(f"UPDATE {TABLE} SET filename = 'mine.fits'")
    assert [conflict.id for conflict in client.sync().conflicts] == [identifier]
    assert not client.rows()


def test_a_local_record_that_was_published_becomes_remote(archive, client):
    mine = client.add_local("a.fits", checksum="sha256:1")
    archive.insert("a.fits", id=mine.id, checksum="sha256:1")
    assert client.sync().conflicts == []
    assert client.rows() == archive.rows()


# -- past the protocol ---------------------------------------------------------------------------------------------


SWITCHED = {
    "all off and on": ("DISABLE TRIGGER ALL", "ENABLE TRIGGER ALL"),
    "the feed's off and always on": ("DISABLE TRIGGER koa_feed", "ENABLE ALWAYS TRIGGER koa_feed"),
}


@pytest.mark.parametrize("switched", SWITCHED)
def test_what_was_done_with_the_triggers_off_comes_with_the_next_sync_which_says_so(archive, client, switched):
    archive.insert("a.fits", "b.fits", "c.fits")
    client.sync()
    off, on = SWITCHED[switched]
    archive.execute(
        f"ALTER TABLE {TABLE} {off}",
        f"UPDATE {TABLE} SET nframes = 5 WHERE filename = 'a.fits'",
        f"DELETE FROM {TABLE} WHERE filename = 'b.fits'",
        f"ALTER TABLE {TABLE} {on}",
    )
    result = client.sync()
    assert (counts(result), result.full) == ((0, 1, 1), True)
    assert "trigger" in " ".join(result.noticed)
    assert client.rows() == archive.rows()
    archive.owner().set_up("reader", "publisher")
    client.sync()
    assert client.sync() == SyncResult(0, 0, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_an_archive_without_a_feed_is_read_wholly_each_time_and_that_is_said(archive, client):
    archive.insert("a.fits", "b.fits")
    archive.execute(
        f"ALTER TABLE {TABLE} RENAME TO kept", f"CREATE VIEW {TABLE} AS SELECT * FROM kept", f"DROP TABLE {TABLE}_feed"
    )
    for _ in range(2):
        result = client.sync()
        assert result.full
        assert result.noticed == [f"The archive's {TABLE} is a view, so each sync reads all of it."]
    assert last_noticed(client.database) == result.noticed
    archive.execute("ALTER TABLE kept DISABLE TRIGGER ALL", "DELETE FROM kept WHERE filename = 'a.fits'")
    assert counts(client.sync()) == (0, 0, 1)
    assert client.rows() == archive.rows()


def test_a_flag_whose_reason_the_archive_cannot_keep_says_so_and_keeps_it_here(archive, client):
    (identifier,) = archive.insert("a.fits", quality="GOOD")
    client.sync()
    archive.execute(f"ALTER TABLE {TABLE} DISABLE TRIGGER koa_feed")
    with pytest.warns(UserWarning, match="the reason is kept here alone"):
        flag(client.database, archive.remote(), identifier, "BAD", "lamp off", "ann")
    assert client.judgements(identifier) == [("BAD", "ann", "lamp off")]


@pytest.mark.parametrize(
    "unseen",
    [
        "CREATE TABLE child () INHERITS ({0}); INSERT INTO child SELECT * FROM {0}; UPDATE child SET id = 'b'",
        "ALTER TABLE {0} RENAME spectrograph TO x; ALTER TABLE {0} RENAME koa_id TO spectrograph;"
        "ALTER TABLE {0} RENAME x TO koa_id",
        "ALTER TABLE {0} ALTER koa_id TYPE text USING 'another'",
        "CREATE OR REPLACE FUNCTION {0}_feed() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
        "UPDATE {0} SET nframes = 99",
        "ALTER TABLE {0}_feed ENABLE ROW LEVEL SECURITY",
    ],
)
def test_what_the_feed_cannot_tell_is_noticed(archive, client, unseen):
    archive.insert("a.fits", spectrograph="B", koa_id="K")
    client.sync()
    archive.execute(unseen.format(TABLE))
    result = client.sync()
    assert result.full
    assert result.noticed
    names = sorted(row["id"] for row in client.rows().values())
    with archive.engine.connect() as connection:
        there = connection.execute(text(f"SELECT id, koa_id, nframes FROM {TABLE} ORDER BY id")).all()
    assert names == [row.id for row in there] or "child" in unseen
    assert [client.rows()["a.fits"][name] for name in ("koa_id", "nframes")] == list(there[0][1:])


def test_a_row_that_was_kept_apart_and_is_gone_when_all_are_read_never_comes(archive, client):
    mine = client.add_local("zzz.fits")
    archive.insert("zzz.fits", id="bbb")
    assert client.sync().conflicts
    archive.execute(f"ALTER TABLE {TABLE} DISABLE TRIGGER ALL")
    archive.delete()
    archive.insert("c.fits", id="ccc", last_updated="2026-01-01T00:00:00.000000")
    assert client.sync().conflicts == []
    client.execute(f"DELETE FROM {TABLE} WHERE id = '{mine.id}'")
    client.sync()
    assert client.rows() == archive.rows()


def test_a_conflict_whose_cause_goes_while_all_rows_are_read_anew_is_settled(archive, client, monkeypatch):
    monkeypatch.setattr(viewed, "BATCH", 1)
    mine = client.add_local("a.fits")
    archive.insert("a.fits", id="0")
    archive.insert("b.fits", id="1")
    for number in range(3):
        archive.change("b.fits", nframes=number)
        client.sync()
    client.execute(f"CREATE TRIGGER t BEFORE INSERT ON {TABLE} WHEN NEW.id = '1' BEGIN SELECT RAISE(FAIL, 'here'); END")
    with pytest.raises(CacheError, match="here"):
        client.sync(full=True)
    client.execute("DROP TRIGGER t")
    client.execute(f"DELETE FROM {TABLE} WHERE id = '{mine.id}'")
    client.sync()
    assert client.rows() == archive.rows()


def test_of_two_rows_with_one_file_name_one_is_kept_apart(archive, client, monkeypatch):
    archive.insert("a.fits", id="1")
    archive.insert("b.fits", id="2")
    archive.execute(
        f"ALTER TABLE {TABLE} RENAME TO kept",
        f"CREATE VIEW {TABLE} AS SELECT * FROM kept UNION ALL SELECT '3', {', '.join(COLUMNS[1:])} FROM kept"
        " WHERE id = '2'",
    )
    for size in (10, 1):
        monkeypatch.setattr(viewed, "BATCH", size)
        for full in (False, True):
            (conflict,) = client.sync(full=full).conflicts
            assert (conflict.id, conflict.reason) == ("3", "another row of the archive has this file name")
            assert sorted(row["id"] for row in client.rows().values()) == ["1", "2"]


def test_of_names_that_some_disk_takes_for_one_the_first_comes_and_the_rest_is_kept_apart(archive, client, new_client):
    archive.insert("d\u00e9faut.fits", id="1")
    archive.insert("dark.fits", id="3")
    client.sync()
    client.add_local("mine.fits", id="mine")
    archive.insert("DE\u0301FAUT.fits", id="4")
    archive.insert("Dark.fits", id="2")
    archive.insert("MINE.fits", id="5")
    archive.insert("other.fits", id="6")
    told = {conflict.id: conflict.reason for conflict in client.sync().conflicts}
    assert told == {
        "2": "another row of the archive has this file name, written dark.fits",
        "4": "another row of the archive has this file name, written d\u00e9faut.fits",
        "5": "a LOCAL record has this file name, written mine.fits",
    }
    assert client.rows().keys() == {"d\u00e9faut.fits", "dark.fits", "other.fits"}
    archive.execute(f"UPDATE {TABLE} SET filename = 'new.fits' WHERE id = '3'", f"DELETE FROM {TABLE} WHERE id = '1'")
    (conflict,) = client.sync().conflicts
    assert (conflict.id, client.rows().keys()) == ("5", {"DE\u0301FAUT.fits", "Dark.fits", "new.fits", "other.fits"})
    archive.insert("NEW.fits", id="7")
    fresh = new_client()
    for full in (False, True):
        (conflict,) = fresh.sync(full=full).conflicts
        assert (conflict.id, conflict.reason[-18:]) == ("7", ", written new.fits")


def test_a_table_that_was_lost_here_is_filled_again(archive, client, tmp_path):
    archive.insert("a.fits", "b.fits")
    client.sync()
    client.execute(f"DROP TABLE {TABLE}")
    again = Client(client.database.path, archive)
    again.sync()
    assert again.rows() == archive.rows()
    again.database.close()


@pytest.mark.parametrize("kind", KINDS)
def test_the_owner_can_ask_everybody_to_read_everything_once(archive, client):
    archive.insert("a.fits")
    client.sync()
    archive.owner().set_up("reader", "publisher", resweep=True)
    result = client.sync()
    assert result.full
    assert "owner asked" in result.noticed[0]
    assert client.sync() == SyncResult(0, 0, 0)


def test_rows_that_a_policy_reveals_come_with_a_full_sync(archive, client):
    archive.insert("a.fits", "b.fits")
    url = archive.role(f"GRANT SELECT ON {TABLE}, {TABLE}_feed, {TABLE}_history TO {{}}")
    archive.execute(
        f"ALTER TABLE {TABLE} ENABLE ROW LEVEL SECURITY",
        f"CREATE POLICY first ON {TABLE} FOR SELECT USING (filename = 'a.fits')",
    )
    client.sync(url)
    assert list(client.rows()) == ["a.fits"]
    archive.execute(f"CREATE POLICY second ON {TABLE} FOR SELECT USING (true)")
    assert client.sync(url) == SyncResult(0, 0, 0)
    assert counts(client.sync(url, full=True)) == (1, 0, 0)


@needs_servers
def test_another_server_under_the_same_url_is_noticed(archive, client):
    archive.insert("a.fits")
    client.sync()
    with Server() as server:
        other = Archive(server.url)
        other.insert("b.fits")
        result = client.sync(other.url)
        assert (counts(result), result.full) == ((1, 0, 1), True)
        assert client.rows() == other.rows()


# -- schemas -------------------------------------------------------------------------------------------------------


def test_initialising_twice_changes_nothing(archive, client):
    archive.insert("a.fits")
    client.sync()
    initialise(archive.engine, Survey)
    assert client.sync() == SyncResult(0, 0, 0)


def test_a_column_that_the_plugin_does_not_know_is_told_of_once(archive, client):
    archive.execute(f"ALTER TABLE {TABLE} ADD COLUMN weather text, ADD COLUMN moon text")
    archive.insert("a.fits")
    with pytest.warns(UserWarning, match="moon, weather"):
        client.sync()
    archive.insert("b.fits")
    client.sync()
    client_rows = client.rows()
    assert sorted(client_rows) == ["a.fits", "b.fits"]


def test_a_needed_column_that_the_remote_lacks_is_named(archive, client):
    archive.execute(f"ALTER TABLE {TABLE} DROP COLUMN datetime_obs")
    with pytest.raises(SchemaMismatchError, match=r"survey_calibrations .* lacks the column datetime_obs") as caught:
        client.sync()
    assert caught.value.missing == ("datetime_obs",)


def test_a_column_that_may_be_empty_or_has_a_default_may_be_missing_there_and_is_told_of_once(archive, client):
    archive.insert("a.fits", instrument_era="2.0.0", exptime=5.0)
    archive.execute(f"ALTER TABLE {TABLE} DROP COLUMN instrument_era, DROP COLUMN exptime, DROP COLUMN origin")
    with pytest.warns(UserWarning, match="lacks the columns instrument_era, exptime, which the installed plugin has"):
        client.sync()
    client.sync()
    row = client.rows()["a.fits"]
    assert (row["instrument_era"], row["exptime"]) == ("0.0.1", None)


def test_a_column_that_the_owner_adds_later_reaches_rows_that_were_here(archive, client):
    archive.insert("a.fits")
    archive.execute(f"ALTER TABLE {TABLE} DROP COLUMN exptime")
    with pytest.warns(UserWarning, match="lacks the columns exptime"):
        client.sync()
    archive.execute(f"ALTER TABLE {TABLE} ADD COLUMN exptime float8 DEFAULT 12.5")
    assert counts(client.sync()) == (0, 1, 0)
    assert client.rows()["a.fits"]["exptime"] == 12.5


def test_values_of_an_older_archive_are_normalised(fresh_database, tmp_path):
    from survey import Archive, postgresql_engine

    owner = postgresql_engine(fresh_database)
    with owner.begin() as connection:
        connection.execute(text("SET LOCAL TimeZone = 'Pacific/Honolulu'"))
        connection.execute(
            text(f"""CREATE TABLE {TABLE} (id uuid PRIMARY KEY, filename varchar(80), cal_type char(8),
            datetime_obs timestamptz, mjd_start numeric, origin text, cal_version text, quality text,
            master_cal smallint, checksum text, file_size numeric(20, 0), last_updated timestamptz,
            instrument_era text, exptime text, nframes float8, last_processed timestamp)""")
        )
        connection.execute(
            text(f"""INSERT INTO {TABLE} VALUES ('0D000000-0000-4000-8000-000000000001', 'a.fits',
            'Dark', '2026-01-02 03:04:05.678-10', 61042.5, 'KECK', '', 'GOOD', 1, '  ', 12345678901, NULL, '',
            ' 300.5 ', 'NaN', '2026-01-02 03:04:05')""")
        )
        connection.execute(
            text(f"""INSERT INTO {TABLE} VALUES ('0C000000-0000-4000-8000-000000000002', 'b.fits',
            'flat', NULL, 'NaN', 'KECK', '002', 'BAD', 0, 'md5:1', NULL, NULL, '1.0.0',
            '', 6, NULL)""")
        )
    archive = Archive(fresh_database)
    client = Client(tmp_path / "client.db", archive)
    result = client.sync()
    (row,) = client.rows().values()
    stamp = row.pop("last_updated")
    assert stamp is None or stamp > "2026"
    assert row == {
        "id": "0d000000-0000-4000-8000-000000000001",
        "filename": "a.fits",
        "cal_type": "dark",
        "datetime_obs": "2026-01-02T13:04:05.678",
        "mjd_start": 61042.5,
        "origin": "REMOTE",
        "cal_version": "001",
        "quality": "GOOD",
        "master_cal": True,
        "checksum": None,
        "file_size": 12345678901,
        "spectrograph": None,
        "instrument_era": "0.0.1",
        "koa_id": None,
        "koa_filepath": None,
        "drp_version": None,
        "last_processed": "2026-01-02T03:04:05.000",
        "exptime": 300.5,
        "nframes": None,
    }
    (apart,) = result.conflicts
    assert (apart.filename, apart.reason) == (
        "b.fits",
        "There is no datetime_obs (keyword DATEOBS or DATE-OBS) in the archive's row b.fits.",
    )
    archive.execute(f"UPDATE {TABLE} SET mjd_start = 61043 WHERE filename = 'b.fits'")
    assert client.sync().conflicts == []
    assert client.rows()["b.fits"]["last_updated"] > "2026"
    owner.dispose(), archive.engine.dispose(), client.database.close()


def test_a_reader_that_waited_for_a_rewrite_of_the_table_sees_its_rows(archive):
    archive.insert("a.fits", "b.fits")
    found = []

    def read():
        with archive.remote().connected() as source, source.reading(None, None) as reading:
            found.extend(row for batch in reading.sweep("") for row in batch.rows)

    with archive.engine.connect() as owner:
        owner.execute(text(f"ALTER TABLE {TABLE} SET UNLOGGED"))
        waiting = threading.Thread(target=read)
        waiting.start()
        time.sleep(0.5)
        owner.commit()
    waiting.join()
    assert len(found) == 2


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("full", [False, True])
def test_several_syncs_of_one_file_at_once_end_with_the_rows_of_the_remote(archive, client, monkeypatch, full):
    monkeypatch.setattr(viewed, "BATCH", 20)
    archive.fill(400)
    if full:
        client.sync()
        archive.execute(
            f"ALTER TABLE {TABLE} DISABLE TRIGGER ALL",
            f"UPDATE {TABLE} SET nframes = 5",
            f"ALTER TABLE {TABLE} ENABLE TRIGGER ALL",
        )
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: client.sync(full=full), range(4)))
    assert client.rows() == archive.rows()


def test_a_sync_between_a_publication_and_the_taking_back_of_its_rows_is_not_undone(archive, client):
    archive.insert("first.fits")
    client.sync()
    client.add_local("a.fits", checksum="sha256:a", quality="GOOD")
    another = Client(client.database.path, archive)

    def place(old, new):
        if archive.rows()[new]["quality"] == "GOOD":
            archive.change(new, quality="BAD")
            another.sync()

    assert client.publish(place=place).renamed == {"a.fits": "a.002.fits"}
    client.sync()
    assert client.rows() == archive.rows()
    assert client.rows()["a.002.fits"]["quality"] == "BAD"
    another.database.close()


@pytest.mark.parametrize(
    "damage",
    [
        *({"n": value} for value in (float("inf"), float("nan"), 10**30, -1, "900", 9.5, None, True)),
        *({name: 7} for name in ("token", "columns", "cluster", "triggers", "another")),
    ],
    ids=str,
)
def test_a_damaged_bookmark_is_not_followed(archive, client, damage):
    archive.insert("a.fits", "b.fits")
    client.sync()
    archive.delete("b.fits")
    with client.database.connect() as connection:
        bookmark = json.loads(connection.scalar(text(f"SELECT bookmark FROM {TABLE}_sync")))
    client.execute(f"UPDATE {TABLE}_sync SET bookmark = :damaged", {"damaged": json.dumps({**bookmark, **damage})})
    result = client.sync()
    assert (counts(result), result.full) == ((0, 0, 1), True)


@pytest.mark.parametrize(
    "damage",
    [
        f"DELETE FROM {TABLE}_sync",
        *(f"UPDATE {TABLE}_sync SET revision = {value}" for value in ("'x'", "-3", "9223372036854775807", "x'ff'")),
        *(f"UPDATE {TABLE}_sync SET synced_at = {value}" for value in ("'x'", "1e300", "-1e300", "9e999", "x'ff'")),
        *(f"UPDATE {TABLE}_sync SET {name} = x'ff'" for name in ("bookmark", "seen", "sweep_after", "noticed")),
        f"UPDATE {TABLE}_sync SET noticed = '['",
        f"UPDATE {TABLE}_sync SET sweep_after = 'a' || char(0)",
    ],
)
def test_a_damaged_word_on_the_last_sync_counts_as_none(archive, client, damage):
    archive.insert("a.fits", "b.fits")
    client.sync()
    archive.delete("b.fits")
    client.execute(damage)
    assert last_sync(client.database) is None
    result = client.sync()
    assert (counts(result), result.full) == ((0, 0, 1), True)
    assert last_sync(client.database) is not None
    assert client.sync() == SyncResult(0, 0, 0)


def test_conflicts_are_looked_at_again_only_where_something_changed_here(archive, client):
    ids = [client.add_local(f"{number}.fits").id for number in range(20)]
    archive.insert(*(f"{number}.fits" for number in range(20)))
    assert len(client.sync().conflicts) == 20
    before = client.database.conflicts()
    client.execute(f"CREATE TRIGGER t BEFORE DELETE ON {TABLE}_conflicts BEGIN SELECT RAISE(FAIL, 'looked at'); END")
    client.execute(f"CREATE TRIGGER u BEFORE INSERT ON {TABLE}_conflicts BEGIN SELECT RAISE(FAIL, 'looked at'); END")
    assert client.sync().conflicts == before
    client.execute("DROP TRIGGER t"), client.execute("DROP TRIGGER u")
    client.execute(f"DELETE FROM {TABLE} WHERE id = '{ids[0]}'")
    client.execute(f"UPDATE {TABLE} SET filename = 'another.fits' WHERE id = '{ids[1]}'")
    result = client.sync()
    assert (result.added, len(result.conflicts)) == (2, 18)


def test_the_time_of_the_last_sync_and_the_conflicts_are_known_without_a_network(archive, client):
    assert last_synced(client.database) is None
    assert client.database.conflicts() == []
    client.add_local("a.fits")
    archive.insert("a.fits")
    before = time.time()
    found = client.sync().conflicts
    assert before <= last_synced(client.database) <= time.time()
    assert client.database.conflicts() == list(found)


# -- rows that are not in form -------------------------------------------------------------------------------------


def test_an_odd_row_comes_in_form_or_is_kept_apart_with_the_reason_until_its_cause_is_mended(client):
    values = {"cal_type": "dark", "datetime_obs": "2026-01-02T03:04:05.678", "origin": "REMOTE"}
    good = Survey(filename="a.fits", **values).to_dict()
    odd = [
        {**good, "id": "1", "filename": "mended.fits", "quality": "good", "cal_version": "2"},
        {**good, "id": "2", "filename": "word.fits", "quality": "MEDIOCRE"},
        {**good, "id": "3", "filename": "../above.fits"},
        {**good, "id": "4", "filename": "empty.fits", "datetime_obs": "", "mjd_start": float("nan")},
        {**good, "id": "5 ", "filename": "blank.fits"},
        {**good, "id": "6\n\u202e", "filename": "unseen.fits"},
        {**good, "id": "7" * 3000, "filename": "long.fits"},
        {**good, "id": "8", "filename": "large.fits", "file_size": 2**63 - 1},
        {**good, "id": "9", "filename": "negative.fits", "file_size": -5},
        {**good, "id": "10", "filename": "typeless.fits", "cal_type": "\u202e"},
    ]
    with open_copy(client.database) as copy:
        copy.load()
        with copy.transaction():
            copy.take_new(Batch([tuple(good.values())], odd))
        reasons = {conflict.id: conflict.reason for conflict in client.database.conflicts()}
        copy.settle()
        assert {conflict.id: conflict.reason for conflict in client.database.conflicts()} == reasons
        assert copy.counts.added == 2
        with copy.transaction():
            copy.take(Batch([tuple({**odd[1], "quality": "GOOD"}.values())]))
            copy.withdraw([values["id"] for values in odd[2:]])
        assert client.database.conflicts() == []
    assert "MEDIOCRE" in reasons["2"]
    assert "../above.fits" in reasons["3"]
    assert "datetime_obs" in reasons["4"]
    assert "'5 '" in reasons["5 "]
    assert "invisible" in reasons["6\n\u202e"]
    assert len(reasons["7" * 3000]) < 400
    assert "9223372036854775807" in reasons["8"]
    assert "-5" in reasons["9"]
    assert "cal_type '\\u202e' holds characters that are not seen" in reasons["10"]
    mended = client.rows()["mended.fits"]
    assert (mended["quality"], mended["cal_version"], mended["origin"]) == ("GOOD", "002", "REMOTE")
    assert client.rows()["word.fits"]["quality"] == "GOOD"


def test_a_row_without_an_id_is_kept_apart_and_the_rest_arrives(archive, client):
    archive.insert("a.fits", "b.fits", "c.fits")
    archive.execute(f"ALTER TABLE {TABLE} DROP CONSTRAINT pk_{TABLE}")
    archive.execute(f"ALTER TABLE {TABLE} ALTER COLUMN id DROP NOT NULL")
    archive.execute(f"UPDATE {TABLE} SET id = NULL WHERE filename = 'b.fits'")
    for _ in range(2):
        (conflict,) = client.sync(full=True).conflicts
        assert (conflict.filename, "id None" in conflict.reason) == ("b.fits", True)
        assert client.rows().keys() == {"a.fits", "c.fits"}


def test_a_database_that_an_older_version_synced_is_read_anew_and_keeps_what_it_knows(archive, client, tmp_path):
    path = tmp_path / "older.db"
    with sqlite3.connect(path) as raw:
        raw.execute(
            f"CREATE TABLE {TABLE}_sync (one INTEGER PRIMARY KEY CHECK (one = 1), revision INTEGER NOT NULL,"
            " archive TEXT, bookmark TEXT, columns TEXT, sweep_after TEXT, synced_at REAL)"
        )
        raw.execute(f"INSERT INTO {TABLE}_sync VALUES (1, 7, '712/1/5/1638', '[900, 887]', '[]', 'x', 1767225600.0)")
    raw.close()
    archive.insert("a.fits")
    older = Client(path, archive)
    assert last_sync(older.database) == "2026-01-01T00:00:00"
    assert older.sync().full
    assert older.rows() == archive.rows()
    assert older.sync() == SyncResult(0, 0, 0)
    older.database.close()
