"""A cache folder that others follow: what every archive promises, and what only a folder does."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from folders import TABLE, FolderArchive, Following, HttpFolder
from koa_middleware.database.local import LocalDatabase
from koa_middleware.database.past import PastDatabase
from koa_middleware.exceptions import RemoteError, RemoteUnavailableError
from koa_middleware.fetch import retries
from koa_middleware.instrument.times import now_iso
from koa_middleware.remote.local_copy import holds_nothing
from koa_middleware.remote.protocol import Here
from koa_middleware.remote.sync import SyncResult
from koa_middleware.server import state_cache
from sqlalchemy import text
from survey import Archive, Client, Survey
from test_protocol import (  # noqa: F401 - they are run here with a folder
    counts,
    test_a_bookmark_tells_whether_there_is_news,
    test_a_bookmark_that_the_archive_did_not_give_is_not_continued,
    test_a_changed_id_is_a_withdrawal_and_a_new_row,
    test_a_row_that_is_deleted_and_comes_again_is_there,
    test_a_sync_brings_what_was_added_changed_and_withdrawn_and_nothing_else,
    test_an_interrupted_first_sync_goes_on_where_it_was,
    test_exchanged_file_names_do_not_clash,
    test_rows_come_in_form,
    test_the_feed_comes_in_pages_each_with_the_present_rows_of_its_records,
    test_the_same_history_continues_and_another_one_sweeps,
    test_what_a_transaction_takes_back_never_comes,
)


@pytest.fixture(params=[FolderArchive, HttpFolder])
def archive(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FolderArchive]:
    """An empty cache folder, also behind a server."""
    monkeypatch.setattr(state_cache, "KEEP_S", 0.0)
    monkeypatch.setattr(retries, "BACKOFF_S", 0.01)
    found: FolderArchive = request.param(tmp_path / "folder")
    yield found
    found.close()


@pytest.fixture
def above(fresh_database: str) -> Iterator[Archive]:
    """An empty archive on PostgreSQL, which a folder follows."""
    found = Archive(fresh_database)
    yield found
    found.close()


@pytest.fixture
def folder(tmp_path: Path, above: Archive) -> Iterator[Following]:
    """A cache folder that follows that archive."""
    found = Following(tmp_path / "following", above)
    yield found
    found.close()


@pytest.fixture
def observer(folder: Following, tmp_path: Path) -> Iterator[Client]:
    """Who follows the folder."""
    found = Client(tmp_path / "observer.db", folder)
    yield found
    found.database.close()


def test_the_folders_own_records_are_local_there_and_remote_elsewhere(archive: FolderArchive, client: Client) -> None:
    archive.insert("a.fits")
    client.sync()
    assert client.rows()["a.fits"]["origin"] == "REMOTE"
    assert archive.database.query()[0].origin == "LOCAL"


def test_nobody_writes_to_a_folder_from_elsewhere(archive: FolderArchive, client: Client) -> None:
    (identifier,) = archive.insert("a.fits")
    before, entries = archive.rows(), archive.entries()
    remote = archive.for_writer()
    here = Here(lambda name: False, holds_nothing)
    for call in (
        lambda: remote.publish([Survey(filename="b.fits", cal_type="dark").to_dict()], {}, None, here, "ann"),
        lambda: remote.flag(identifier, "BAD", "why", "ann"),
    ):
        with pytest.raises(RemoteError, match="for reading only"):
            call()
    with pytest.raises(RemoteError):
        remote.set_up("reader", "publisher")
    client.add_local("c.fits", checksum="sha256:c")
    with pytest.raises(RemoteError, match="for reading only"):
        client.publish(remote)
    assert (archive.rows(), archive.entries()) == (before, entries)
    assert list(client.rows("LOCAL")) == ["c.fits"]


def test_flags_come_with_who_and_why_and_judgements_of_the_folder_alone_stay(
    archive: FolderArchive, client: Client
) -> None:
    (identifier,) = archive.insert("a.fits", quality="GOOD")
    record = archive.database.query_by_id(identifier)
    archive.database.judge(record, "BAD", "not for us", "eve")
    client.sync()
    assert client.rows()["a.fits"]["quality"] == "GOOD"
    owner = Client.__new__(Client)
    owner.database = archive.database
    owner.flag_here(identifier, "BAD", "a satellite's trail", "ann")
    client.sync()
    assert client.rows()["a.fits"]["quality"] == "BAD"
    assert client.judgements(identifier) == [("BAD", "ann", "a satellite's trail")]


def state_at(database: LocalDatabase[Any], moment: str) -> dict[str, Any]:
    """Rows by file name as they were at a time, whatever their origin."""
    then = PastDatabase(database, moment, has_archive=False)
    try:
        return {record.filename: {**record.to_dict(), "origin": ""} for record in then.query()}
    finally:
        then.close()


def test_a_client_knows_the_folders_past(archive: FolderArchive, client: Client) -> None:
    moments = []
    for change in (
        lambda: archive.insert("a.fits", "b.fits"),
        lambda: archive.change("a.fits", quality="BAD"),
        lambda: archive.delete("b.fits"),
        lambda: archive.change("a.fits", id="another"),
        lambda: archive.insert("c.fits"),
    ):
        change()
        moments.append(now_iso())
    with archive.transaction() as writer:
        for number in range(3):
            writer.change("c.fits", nframes=number)
    moments.append(now_iso())
    client.sync()
    archive.change("c.fits", nframes=7)
    client.sync()
    moments.append(now_iso())
    for moment in moments:
        assert state_at(client.database, moment) == state_at(archive.database, moment)


@pytest.mark.parametrize("how", ["restored", "rebuilt", "restored and written to"])
def test_a_database_that_was_put_back_is_noticed(
    archive: FolderArchive, client: Client, tmp_path: Path, how: str
) -> None:
    archive.insert("a.fits", "b.fits")
    archive.database.close()
    shutil.copy(archive.path, tmp_path / "backup")
    archive.insert("c.fits")
    archive.delete("a.fits")
    client.sync()
    archive.database.close()
    if how == "rebuilt":
        archive.put_back("b.fits")
    else:
        shutil.copy(tmp_path / "backup", archive.path)
        archive.open()
    if how == "restored and written to":
        archive.insert("d.fits", "e.fits")
    result = client.sync()
    assert result.full
    assert client.rows() == archive.rows()
    assert client.sync() == SyncResult(0, 0, 0)


def test_changes_that_were_made_while_the_triggers_were_gone_come(archive: FolderArchive, client: Client) -> None:
    archive.insert("a.fits")
    client.sync()
    triggers = [f"{TABLE}_feed_{event}" for event in ("insert", "update", "delete")]
    archive.execute(*(f"DROP TRIGGER {name}" for name in triggers))
    archive.insert("b.fits")
    for _ in range(2):
        result = client.sync()
        assert result.full
        assert "made by an older version" in result.noticed[-1]
    assert client.rows() == archive.rows()
    archive.insert("c.fits")
    archive.database.close()
    archive.open()  # which makes them again
    assert client.sync().full
    assert client.rows() == archive.rows()
    assert client.sync() == SyncResult(0, 0, 0)


def test_a_spoilt_row_is_mended_or_kept_apart_and_hinders_no_other(archive: FolderArchive, client: Client) -> None:
    archive.insert("a.fits", "b.fits", "c.fits")
    archive.execute(
        f"UPDATE {TABLE} SET quality = 'bad' WHERE filename = 'b.fits'",
        f"UPDATE {TABLE} SET spectrograph = CAST(x'ff00' AS TEXT) WHERE filename = 'c.fits'",
    )
    (conflict,) = client.sync().conflicts
    assert (conflict.filename, client.rows().keys()) == ("c.fits", {"a.fits", "b.fits"})
    assert client.rows()["b.fits"]["quality"] == "BAD"


def test_a_folder_that_cannot_be_read_is_an_archive_that_does_not_answer(
    archive: FolderArchive, client: Client
) -> None:
    archive.insert("a.fits")
    archive.database.close()
    archive.path.write_bytes(b"no database" * 1000)
    said = "does not answer its server" if isinstance(archive, HttpFolder) else "cache folder"
    with pytest.raises(RemoteUnavailableError, match=said):
        client.sync()


def test_who_follows_a_folder_gets_all_that_many_writers_do_there(
    archive: FolderArchive, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.small_batches(monkeypatch, 3)
    faults: list[BaseException] = []

    def write(tag: int) -> None:
        try:
            for number in range(15):
                archive.insert(f"{tag}-{number}.fits")
                archive.change(f"{tag}-{number}.fits", nframes=number)
                if number % 4 == 0:
                    archive.delete(f"{tag}-{number}.fits")
        except BaseException as error:
            faults.append(error)
            raise

    writers = [threading.Thread(target=write, args=(tag,)) for tag in range(3)]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        client.sync()
    client.sync()
    assert not faults
    assert client.rows() == archive.rows()


# -- a folder that follows an archive itself ---------------------------------------------------------------------------


def test_what_a_folder_brings_from_its_archive_reaches_who_follows_it(
    above: Archive, folder: Following, observer: Client
) -> None:
    above.insert("a.fits", "b.fits")
    folder.insert("own.fits", checksum="sha256:0e0")
    observer.sync()
    assert observer.rows() == folder.rows()
    folder.sync()
    observer.sync()
    assert observer.rows() == folder.rows()
    above.change("a.fits", quality="BAD")
    above.delete("b.fits")
    folder.sync()
    assert counts(observer.sync()) == (0, 1, 1)
    folder.client.publish()
    above.insert("c.fits")
    folder.sync()
    assert not observer.sync().full
    assert observer.rows() == folder.rows() == above.rows()
    assert observer.sync() == SyncResult(0, 0, 0)


def test_a_sweep_of_the_folder_is_followed_to_its_end(
    above: Archive, folder: Following, observer: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    above.small_batches(monkeypatch, 2)
    above.insert(*(f"{number}.fits" for number in range(8)))
    folder.sync()
    observer.sync()
    above.put_back("1.fits", "2.fits", "7.fits")
    above.change("7.fits", nframes=7)
    above.insert("new.fits")
    assert folder.sync().full
    observer.sync()
    assert observer.rows() == folder.rows() == above.rows()
    above.delete("1.fits")
    folder.sync(full=True)
    observer.sync()
    assert observer.rows() == above.rows()


def test_a_row_that_a_sweep_of_the_folder_keeps_apart_goes_elsewhere_too(
    above: Archive, folder: Following, observer: Client
) -> None:
    above.insert("a.fits")
    folder.sync()
    observer.sync()
    above.execute("ALTER TABLE survey_calibrations DISABLE TRIGGER ALL")
    above.execute("UPDATE survey_calibrations SET cal_type = E'a\\nb'")
    above.remote().set_up("reader", "publisher", resweep=True)
    assert folder.sync().full
    assert folder.rows() == {}
    observer.sync()
    assert observer.rows() == {}


def test_a_history_that_the_folder_reads_anew_is_not_told_twice(
    above: Archive, folder: Following, observer: Client
) -> None:
    (identifier,) = above.insert("a.fits", quality="GOOD")
    folder.insert("own.fits")
    above.remote().flag(identifier, "BAD", "saturated", "keck")
    folder.sync()
    folder.insert("last.fits")
    observer.sync()
    folder.sync(full=True)
    observer.sync()
    assert observer.judgements(identifier) == [("BAD", "keck", "saturated")]
    assert observer.rows() == folder.rows()


def test_a_time_is_known_elsewhere_no_further_than_the_folder_knows_its_archive(
    above: Archive, folder: Following, observer: Client
) -> None:
    above.insert("a.fits")
    folder.sync()
    observer.sync()

    def known(database: LocalDatabase[Any]) -> str:
        with database.connect() as connection:
            return str(connection.execute(text(f"SELECT known_until FROM {TABLE}_sync")).scalar())

    assert known(observer.database) == known(folder.database)
    moment = known(folder.database)
    above.change("a.fits", quality="BAD")
    folder.sync()
    observer.sync()
    assert known(observer.database) > moment
    assert state_at(observer.database, moment) == state_at(folder.database, moment)


def test_what_was_local_until_it_was_published_was_there_before(
    above: Archive, folder: Following, observer: Client
) -> None:
    folder.sync()
    folder.insert("own.fits", checksum="sha256:0e0", quality="GOOD")
    before = now_iso()
    folder.change("own.fits", quality="BAD")
    between = now_iso()
    folder.client.publish()
    folder.sync()
    observer.sync()
    for moment in (before, between):
        assert state_at(observer.database, moment) == state_at(folder.database, moment) != {}
