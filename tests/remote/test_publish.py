"""Publishing LOCAL records, and flagging REMOTE ones."""

from __future__ import annotations

import threading

import pytest
from koa_middleware.exceptions import (
    CalibrationNotFoundError,
    DuplicateCalibrationError,
    RemoteError,
    RemoteUnavailableError,
)
from koa_middleware.remote.publish import PublishResult, flag_remote, publish
from koa_middleware.remote.sync import SyncResult
from sqlalchemy import text
from survey import Survey

TABLE = "survey_calibrations"


def send(client, **arguments):
    return publish(client.engine, client.archive.engine, Survey, **arguments)


def test_published_records_keep_their_ids_and_are_remote_on_both_sides(archive, client, new_client):
    mine = client.add_local("a.fits", checksum="sha256:a", exptime=1 / 3)
    client.add_local("b.fits", spectrograph="BSPEC")
    assert send(client) == PublishResult(2, 0, {})
    assert not client.rows("LOCAL")
    assert client.rows() == archive.rows()
    assert client.rows()["a.fits"]["id"] == mine.id
    other = new_client()
    other.sync()
    assert other.rows() == client.rows()
    assert client.sync() == SyncResult(0, 0, 0, full=True)


def test_publishing_twice_changes_nothing(archive, client):
    mine = client.add_local("a.fits", checksum="sha256:a")
    send(client)
    before = archive.rows()
    assert send(client) == PublishResult(0, 0, {})
    assert send(client, ids=[mine.id]) == PublishResult(0, 1, {})
    assert archive.rows() == before


def test_only_the_chosen_records_go(archive, client):
    mine = client.add_local("a.fits", checksum="sha256:a")
    client.add_local("b.fits", checksum="sha256:b")
    assert send(client, ids=[mine.id]).published == 1
    assert list(client.rows("LOCAL")) == ["b.fits"]
    with pytest.raises(CalibrationNotFoundError, match="no-such-id"):
        send(client, ids=["no-such-id"])


def test_a_publisher_that_ended_half_way_publishes_again_and_is_done(archive, client):
    client.add_local("a.fits", checksum="sha256:a")
    client.execute(f"CREATE TRIGGER t BEFORE DELETE ON {TABLE} BEGIN SELECT RAISE(FAIL, 'killed here'); END")
    with pytest.raises(Exception, match="killed here"):
        send(client)
    client.execute("DROP TRIGGER t")
    assert list(client.rows("LOCAL")) == list(archive.rows()) == ["a.fits"]
    assert send(client) == PublishResult(0, 1, {})
    assert client.rows() == archive.rows()


def test_a_taken_version_is_followed_by_the_next_on_both_sides(archive, client):
    archive.insert("dark.001.fits", checksum="sha256:7e115", spectrograph=None)
    mine = client.add_local("dark.fits", checksum="sha256:313e")
    placed = []
    result = send(client, place=lambda old, new: placed.append((old, new)))
    assert result == PublishResult(1, 0, {"dark.fits": "dark.002.fits"})
    assert placed == [("dark.fits", "dark.002.fits")]
    row = archive.rows()["dark.002.fits"]
    assert (row["id"], row["cal_version"]) == (mine.id, "002")
    client.sync()
    assert client.rows() == archive.rows()


def test_files_are_uploaded_under_their_names_there_before_the_rows_appear(archive, client):
    archive.insert("dark.001.fits", checksum="sha256:7e115")
    client.add_local("dark.fits", checksum="sha256:313e")
    seen = []

    def upload(files):
        seen.extend((name, row["filename"]) for name, row in files)
        assert list(archive.rows()) == ["dark.001.fits"]
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        send(client, upload=upload)
    assert seen == [("dark.fits", "dark.002.fits")]
    assert list(archive.rows()) == ["dark.001.fits"]
    assert list(client.rows("LOCAL")) == ["dark.fits"]


def test_an_id_that_other_content_has_there_publishes_nothing(archive, client):
    mine = client.add_local("a.fits", checksum="sha256:313e")
    client.add_local("b.fits", checksum="sha256:b")
    archive.insert("z.fits", id=mine.id, checksum="sha256:7e115")
    with pytest.raises(DuplicateCalibrationError, match=r"a\.fits"):
        send(client)
    assert list(archive.rows()) == ["z.fits"]
    assert len(client.rows("LOCAL")) == 2


def test_the_same_content_under_the_same_name_there_is_taken_for_ours(archive, client):
    client.add_local("a.fits", checksum="sha256:a")
    (theirs,) = archive.insert("a.fits", checksum="sha256:a")
    assert send(client) == PublishResult(0, 1, {})
    assert client.rows()["a.fits"]["id"] == theirs
    assert client.sync().conflicts == []


def test_publishers_at_the_same_time_never_give_one_version_twice(archive, new_client):
    clients = [new_client() for _ in range(6)]
    for number, client in enumerate(clients):
        for exposure in range(5):
            client.add_local(f"dark-{number}-{exposure}.fits", checksum=f"sha256:{number}{exposure}")
    threads = [threading.Thread(target=send, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    versions = [row["cal_version"] for row in archive.rows().values()]
    assert sorted(versions) == [f"{number:03d}" for number in range(1, 31)]
    for client in clients:
        client.sync()
        assert client.rows() == archive.rows()


def test_a_flag_reaches_every_client_and_who_and_why_are_kept(archive, client, new_client):
    (identifier,) = archive.insert("a.fits", quality="GOOD")
    other = new_client()
    client.sync(), other.sync()
    flag_remote(client.engine, archive.engine, Survey, identifier, "BAD", "a satellite's trail", "ann")
    assert client.rows()["a.fits"]["quality"] == "BAD"
    other.sync()
    assert other.rows() == client.rows() == archive.rows()
    flag_remote(client.engine, archive.engine, Survey, identifier, "BAD", "seen again", "bob")
    with archive.engine.connect() as connection:
        columns = "id, quality_before, quality, reason, flagged_by, role"
        history = connection.execute(text(f"SELECT {columns} FROM {TABLE}_quality_history ORDER BY number")).all()
    assert [tuple(row) for row in history] == [
        (identifier, "GOOD", "BAD", "a satellite's trail", "ann", archive.engine.url.username),
        (identifier, "BAD", "BAD", "seen again", "bob", archive.engine.url.username),
    ]


def test_a_flag_without_the_right_or_the_connection_changes_nothing(archive, client):
    (identifier,) = archive.insert("a.fits", quality="GOOD")
    client.sync()
    observer = archive.role(f"GRANT SELECT ON {TABLE}, {TABLE}_withdrawn TO {{}}")
    with pytest.raises(RemoteError, match=f"GRANT SELECT, UPDATE ON {TABLE}"):
        flag_remote(client.engine, observer, Survey, identifier, "BAD", "why", "ann")
    nowhere = observer.url.set(port=1)
    from koa_middleware.remote.postgres.engine import postgresql_engine

    with pytest.raises(RemoteUnavailableError):
        flag_remote(
            client.engine,
            postgresql_engine(nowhere.render_as_string(hide_password=False)),
            Survey,
            identifier,
            "BAD",
            "why",
            "ann",
        )
    assert client.rows() == archive.rows()
    assert client.rows()["a.fits"]["quality"] == "GOOD"


def test_a_role_that_may_not_insert_publishes_nothing(archive, client):
    client.add_local("a.fits", checksum="sha256:a")
    observer = archive.role(f"GRANT SELECT ON {TABLE}, {TABLE}_withdrawn TO {{}}")
    with pytest.raises(RemoteError, match=f"GRANT SELECT, INSERT ON {TABLE}"):
        publish(client.engine, observer, Survey)
    assert list(client.rows("LOCAL")) == ["a.fits"]


def test_a_withdrawn_record_cannot_be_flagged(archive, client):
    with pytest.raises(CalibrationNotFoundError, match="no-such-id"):
        flag_remote(client.engine, archive.engine, Survey, "no-such-id", "BAD", "why", "ann")
