"""What every kind of archive that is written to promises to those who publish and flag there."""

from __future__ import annotations

import threading

import pytest
from koa_middleware.exceptions import CacheError, CalibrationNotFoundError, DuplicateCalibrationError
from koa_middleware.remote.publish import PublishResult, flag
from koa_middleware.remote.sync import SyncResult

TABLE = "survey_calibrations"


@pytest.fixture(params=["postgresql", "http"])
def kind(request):
    return request.param


# -- publishing ----------------------------------------------------------------------------------------------------


def test_published_records_keep_their_ids_and_are_remote_on_both_sides(archive, client, new_client):
    mine = client.add_local("a.fits", checksum="sha256:a", exptime=1 / 3)
    client.add_local("b.fits", spectrograph="BSPEC")
    assert client.publish() == PublishResult(2, 0, {})
    assert not client.rows("LOCAL")
    assert client.rows() == archive.rows()
    assert client.rows()["a.fits"]["id"] == mine.id
    other = new_client()
    other.sync()
    assert other.rows() == client.rows()
    assert client.sync() == SyncResult(0, 0, 0, full=True)


def test_publishing_twice_changes_nothing(archive, client):
    mine = client.add_local("a.fits", checksum="sha256:a")
    client.publish()
    before = archive.rows()
    assert client.publish() == PublishResult(0, 0, {})
    assert client.publish(ids=[mine.id]) == PublishResult(0, 1, {})
    assert archive.rows() == before


def test_only_the_chosen_records_go(archive, client):
    mine = client.add_local("a.fits", checksum="sha256:a")
    client.add_local("b.fits", checksum="sha256:b")
    assert client.publish(ids=[mine.id]).published == 1
    assert list(client.rows("LOCAL")) == ["b.fits"]
    with pytest.raises(CalibrationNotFoundError, match="no-such-id"):
        client.publish(ids=["no-such-id"])


def test_a_publisher_that_ended_half_way_publishes_again_and_is_done(archive, client):
    client.add_local("a.fits", checksum="sha256:a")
    client.execute(f"CREATE TRIGGER t BEFORE UPDATE ON {TABLE} BEGIN SELECT RAISE(FAIL, 'killed here'); END")
    with pytest.raises(CacheError, match="killed here"):
        client.publish()
    client.execute("DROP TRIGGER t")
    assert list(client.rows("LOCAL")) == list(archive.rows()) == ["a.fits"]
    assert client.publish() == PublishResult(0, 1, {})
    assert client.rows() == archive.rows()


def test_a_taken_version_is_followed_by_the_next_on_both_sides(archive, client):
    archive.insert("dark.001.fits", checksum="sha256:7e115", spectrograph=None)
    mine = client.add_local("dark.fits", checksum="sha256:313e")
    placed = []
    result = client.publish(place=lambda old, new: placed.append((old, new)))
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
        client.publish(upload=upload)
    assert seen == [("dark.fits", "dark.002.fits")]
    assert list(archive.rows()) == ["dark.001.fits"]
    assert list(client.rows("LOCAL")) == ["dark.fits"]


def test_all_are_published_or_none(archive, client):
    mine = client.add_local("a.fits", checksum="sha256:313e")
    client.add_local("b.fits", checksum="sha256:b")
    archive.insert("z.fits", id=mine.id, checksum="sha256:7e115")
    with pytest.raises(DuplicateCalibrationError, match=r"a\.fits"):
        client.publish()
    assert list(archive.rows()) == ["z.fits"]
    assert len(client.rows("LOCAL")) == 2


def test_the_same_content_under_the_same_name_there_is_taken_for_ours(archive, client):
    client.add_local("a.fits", checksum="sha256:a")
    (theirs,) = archive.insert("a.fits", checksum="sha256:a")
    assert client.publish() == PublishResult(0, 1, {})
    assert client.rows()["a.fits"]["id"] == theirs
    assert client.sync().conflicts == []


def test_publishers_at_the_same_time_never_give_one_version_twice(archive, new_client):
    clients = [new_client() for _ in range(6)]
    for number, client in enumerate(clients):
        for exposure in range(5):
            client.add_local(f"dark-{number}-{exposure}.fits", checksum=f"sha256:{number}{exposure}")
    threads = [threading.Thread(target=client.publish) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    versions = [row["cal_version"] for row in archive.rows().values()]
    assert sorted(versions) == [f"{number:03d}" for number in range(1, 31)]
    for client in clients:
        client.sync()
        assert client.rows() == archive.rows()


# -- flagging ------------------------------------------------------------------------------------------------------


def test_a_flag_reaches_every_client_and_who_and_why_are_kept(archive, client, new_client):
    (identifier,) = archive.insert("a.fits", quality="GOOD")
    other = new_client()
    client.sync(), other.sync()
    flag(client.database, archive.remote("ann"), identifier, "BAD", "a satellite's trail", "ann")
    assert client.rows()["a.fits"]["quality"] == "BAD"
    other.sync()
    assert other.rows() == client.rows() == archive.rows()
    flag(client.database, archive.remote("bob"), identifier, "BAD", "seen again", "bob")
    said = [("BAD", "ann", "a satellite's trail"), ("BAD", "bob", "seen again")]
    late = new_client()
    assert client.judgements(identifier) == said
    for one in (client, other, late):
        one.sync()
        assert one.judgements(identifier) == said


def test_a_judgement_made_after_a_publication_that_did_not_come_to_its_end_is_never_dropped(
    archive, client, new_client
):
    mine = client.add_local("a.fits", checksum="sha256:a", quality="GOOD")
    client.execute(f"CREATE TRIGGER t BEFORE UPDATE ON {TABLE} BEGIN SELECT RAISE(FAIL, 'killed here'); END")
    with pytest.raises(CacheError, match="killed here"):
        client.publish()
    client.execute("DROP TRIGGER t")
    client.flag_here(mine.id, "BAD", "saturated", "ann")
    (conflict,) = client.sync().conflicts
    assert conflict.id == mine.id
    assert "judged BAD here" in conflict.reason
    assert client.rows("LOCAL")["a.fits"]["quality"] == "BAD"
    assert client.publish() == PublishResult(0, 1, {})
    assert archive.rows()["a.fits"]["quality"] == "BAD"
    assert client.sync().conflicts == []
    other = new_client()
    other.sync()
    assert other.rows() == client.rows() == archive.rows()
    assert other.judgements(mine.id) == client.judgements(mine.id) == [("BAD", "ann", "saturated")]


def test_judgements_made_before_a_publication_go_with_it(archive, client, new_client):
    mine = client.add_local("a.fits", checksum="sha256:a", quality="GOOD")
    said = [("UNKNOWN", "bob", "let us see"), ("BAD", "ann", "saturated")]
    for quality, who, why in said:
        client.flag_here(mine.id, quality, why, who)
    client.publish()
    other = new_client()
    for one in (client, other):
        one.sync()
        assert one.rows()["a.fits"]["quality"] == "BAD"
        assert one.judgements(mine.id) == said


@pytest.mark.parametrize("syncs", [False, True])
def test_a_judgement_that_was_sent_does_not_override_a_later_one_there(archive, client, syncs):
    mine = client.add_local("a.fits", checksum="sha256:a", quality="GOOD")
    client.flag_here(mine.id, "BAD", "a trail", "ann")
    client.execute(f"CREATE TRIGGER t BEFORE UPDATE ON {TABLE} BEGIN SELECT RAISE(FAIL, 'killed here'); END")
    with pytest.raises(CacheError, match="killed here"):
        client.publish()
    client.execute("DROP TRIGGER t")
    archive.remote("boss").flag(mine.id, "GOOD", "fine after all", "boss")
    if syncs:
        assert client.sync().conflicts == []
    assert client.publish() == PublishResult(0, 0 if syncs else 1, {})
    client.sync()
    assert client.rows() == archive.rows()
    assert client.rows()["a.fits"]["quality"] == "GOOD"
    assert client.judgements(mine.id) == [("BAD", "ann", "a trail"), ("GOOD", "boss", "fine after all")]


def test_a_judgement_that_waits_as_a_conflict_is_sent_although_the_archive_has_others(archive, client, new_client):
    mine = client.add_local("a.fits", checksum="sha256:a", quality="GOOD")
    other = new_client()
    other.add_local("a.fits", id=mine.id, checksum="sha256:a", quality="GOOD")
    client.publish()
    archive.remote("keck").flag(mine.id, "GOOD", "checked", "keck")
    other.flag_here(mine.id, "BAD", "guider lost", "eve")
    assert [conflict.id for conflict in other.sync().conflicts] == [mine.id]
    other.publish()
    client.sync(), other.sync()
    assert client.rows() == other.rows() == archive.rows()
    assert client.rows()["a.fits"]["quality"] == "BAD"
    assert client.judgements(mine.id) == [("GOOD", "keck", "checked"), ("BAD", "eve", "guider lost")]


def test_a_withdrawn_record_cannot_be_flagged(archive, client):
    with pytest.raises(CalibrationNotFoundError, match="no-such-id"):
        flag(client.database, archive.remote("ann"), "no-such-id", "BAD", "why", "ann")
