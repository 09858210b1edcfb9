"""What every kind of archive promises to those who follow it and publish to it."""

from __future__ import annotations

import threading

import pytest
from koa_middleware.exceptions import (
    CacheError,
    CalibrationNotFoundError,
    DuplicateCalibrationError,
    RemoteError,
    RemoteUnavailableError,
    SchemaMismatchError,
)
from koa_middleware.remote.local_copy import holds_nothing
from koa_middleware.remote.protocol import Here
from koa_middleware.remote.publish import PublishResult, flag
from koa_middleware.remote.sync import SyncResult
from survey import COLUMNS, KINDS, Survey

TABLE = "survey_calibrations"


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


def counts(result: SyncResult) -> tuple[int, int, int]:
    return result.added, result.changed, result.withdrawn


# -- following -----------------------------------------------------------------------------------------------------


def test_a_sync_brings_what_was_added_changed_and_withdrawn_and_nothing_else(archive, client):
    archive.insert("a.fits", "b.fits", "c.fits", "d.fits")
    assert counts(client.sync()) == (4, 0, 0)
    assert client.rows() == archive.rows()
    with archive.transaction() as owner:
        owner.change("a.fits", quality="BAD")
        owner.delete("b.fits")
        owner.insert("e.fits")
    assert counts(client.sync()) == (1, 1, 1)
    assert client.rows() == archive.rows()
    assert client.sync() == SyncResult(0, 0, 0)


def test_a_row_that_is_stamped_early_and_committed_late_is_not_skipped(archive, client):
    with archive.transaction() as slow:
        slow.insert("slow.fits")
        archive.insert("quick.fits")
        assert counts(client.sync()) == (1, 0, 0)
        assert client.sync() == SyncResult(0, 0, 0)
    assert counts(client.sync()) == (1, 0, 0)
    assert client.rows() == archive.rows()


def test_a_late_deletion_is_not_skipped(archive, client):
    archive.insert("a.fits", "b.fits")
    with archive.transaction() as slow:
        slow.delete("a.fits")
        archive.insert("c.fits")
        client.sync()
    assert counts(client.sync()) == (0, 0, 1)
    assert client.rows() == archive.rows()


def test_what_a_transaction_takes_back_never_comes(archive, client):
    archive.insert("a.fits")
    client.sync()

    def taken_back():
        with archive.transaction() as owner:
            owner.insert("b.fits")
            owner.delete("a.fits")
            client.sync()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        taken_back()
    assert client.sync() == SyncResult(0, 0, 0)
    assert list(client.rows()) == ["a.fits"]


def test_a_row_that_is_deleted_and_comes_again_is_there(archive, client):
    (identifier,) = archive.insert("a.fits")
    client.sync()
    archive.delete()
    archive.insert("a.fits", id=identifier, nframes=7)
    assert counts(client.sync()) == (0, 1, 0)
    assert client.rows() == archive.rows()


def test_a_changed_id_is_a_withdrawal_and_a_new_row(archive, client):
    archive.insert("a.fits")
    client.sync()
    archive.change("a.fits", id="another", filename="b.fits")
    assert counts(client.sync()) == (1, 0, 1)
    assert client.rows() == archive.rows()


def test_exchanged_file_names_do_not_clash(archive, client, monkeypatch):
    archive.small_batches(monkeypatch, 1)
    archive.insert("a.fits", "b.fits")
    client.sync()
    with archive.transaction() as owner:
        for old, new in (("a.fits", "x"), ("b.fits", "a.fits"), ("x", "b.fits")):
            owner.change(old, filename=new)
    assert client.sync().added == 0
    assert client.rows() == archive.rows()


def test_an_interrupted_first_sync_goes_on_where_it_was(archive, client, monkeypatch):
    archive.small_batches(monkeypatch, 10)
    archive.fill(100)
    client.execute(
        f"CREATE TRIGGER full AFTER INSERT ON {TABLE} WHEN (SELECT count(*) FROM {TABLE}) > 50"
        " BEGIN SELECT RAISE(FAIL, 'the disk is full'); END"
    )
    with pytest.raises(CacheError, match="the disk is full"):
        client.sync()
    assert len(client.rows()) == 50
    client.execute("DROP TRIGGER full")
    with archive.transaction() as owner:
        for number in range(1, 20):
            owner.delete(f"HB.{number}.fits")
        owner.change("HB.20.fits", nframes=1)
    result = client.sync()
    assert result.added < 60
    assert client.rows() == archive.rows()


def test_the_same_history_continues_and_another_one_sweeps(archive, client):
    archive.insert("a.fits", "b.fits")
    assert client.sync().full
    archive.insert("c.fits")
    result = client.sync()
    assert (counts(result), result.full) == ((1, 0, 0), False)
    archive.put_back("a.fits", "c.fits")
    result = client.sync()
    assert (result.added, result.withdrawn, result.full) == (0, 1, True)
    assert "history" in result.noticed[0]
    assert client.rows() == archive.rows()
    assert client.sync() == SyncResult(0, 0, 0)


@pytest.mark.parametrize(
    "foreign",
    ["", "null", "[12, 7]", "{}", '{"history": 1}', "of another kind \u2603", pytest.param("[" * 10**5, id="deep")],
)
def test_a_bookmark_that_the_archive_did_not_give_is_not_continued(archive, client, foreign):
    archive.insert("a.fits", "b.fits")
    client.sync()
    archive.delete("b.fits")
    client.execute(f"UPDATE {TABLE}_sync SET bookmark = :foreign", {"foreign": foreign})
    result = client.sync()
    assert (counts(result), result.full) == ((0, 0, 1), True)
    with archive.remote().connected() as source:
        assert not source.state(foreign, None).continues


def test_a_bookmark_tells_whether_there_is_news(archive):
    with archive.remote().connected() as source:
        first = source.state(None, None)
        assert isinstance(first.bookmark, str)
        archive.insert("a.fits")
        there = source.state(first.bookmark, first.bookmark)
        assert (there.continues, there.behind, there.news) == (True, None, True)
        there = source.state(there.bookmark, there.bookmark)
        assert (there.continues, there.behind, there.news, there.noticed) == (True, None, False, ())


def test_a_reading_is_one_view_and_a_sweep_goes_on_after_any_id(archive, monkeypatch):
    archive.small_batches(monkeypatch, 2)
    ids = sorted(archive.insert(*(f"{number}.fits" for number in range(5))))

    def read(batches):
        return [row[0] for batch in batches for row in batch.rows]

    with archive.remote().connected() as source, source.reading(None, None) as reading:
        archive.insert("later.fits")
        archive.delete("0.fits")
        assert read(reading.sweep("")) == ids
        assert read(reading.sweep(ids[1])) == ids[2:]
        assert list(reading.pages(reading.state.bookmark)) == []


def test_the_feed_comes_in_pages_each_with_the_present_rows_of_its_records(archive, monkeypatch):
    archive.small_batches(monkeypatch, 2)
    with archive.remote().connected() as source:
        start = source.state(None, None).bookmark
        (first,) = archive.insert("a.fits")
        (second,) = archive.insert("b.fits")
        archive.change("a.fits", nframes=7)
        archive.delete("b.fits")
        with source.reading(start, start) as reading:
            pages = list(reading.pages(start))
        assert [[(e.id, e.op) for e in page.entries] for page in pages] == [
            [(first, "added"), (second, "added")],
            [(first, "changed"), (second, "withdrawn")],
        ]
        for page in pages:
            (row,) = page.batch.rows
            assert dict(zip(COLUMNS, row, strict=True)) == archive.rows()["a.fits"]
        numbers = [entry.n for page in pages for entry in page.entries]
        times = [entry.at for page in pages for entry in page.entries]
        assert numbers == list(range(numbers[0], numbers[0] + 4))
        assert times == sorted(set(times))
        with source.reading(pages[0].bookmark, pages[0].bookmark) as reading:
            (rest,) = reading.pages(pages[0].bookmark)
        assert rest.entries == pages[1].entries
        assert not source.state(rest.bookmark, rest.bookmark).news


def test_rows_come_in_form(archive):
    (identifier,) = archive.insert("a.fits", exptime=1 / 3, nframes=7, master_cal=True, file_size=1 << 40)
    archive.insert("b.fits")
    odd = ["negative", "large", "one\ntwo\x1b[2J", "7" * 2000]
    archive.insert("c.fits", "d.fits", "e.fits", "f.fits")
    archive.change("c.fits", id=odd[0], file_size=-5)
    archive.change("d.fits", id=odd[1], file_size=2**63 - 1)
    archive.change("e.fits", id=odd[2])
    archive.change("f.fits", id=odd[3])
    with archive.remote().connected() as source:
        batch = source.lookup([identifier, *odd], None, None).batch
    (row,) = batch.rows
    assert dict(zip(COLUMNS, row, strict=True)) == archive.rows()["a.fits"]
    assert {values["id"] for values in batch.odd} == set(odd)


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
    flag(client.database, archive.remote(), identifier, "BAD", "a satellite's trail", "ann")
    assert client.rows()["a.fits"]["quality"] == "BAD"
    other.sync()
    assert other.rows() == client.rows() == archive.rows()
    flag(client.database, archive.remote(), identifier, "BAD", "seen again", "bob")
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
    archive.remote().flag(mine.id, "GOOD", "fine after all", "boss")
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
    archive.remote().flag(mine.id, "GOOD", "checked", "keck")
    other.flag_here(mine.id, "BAD", "guider lost", "eve")
    assert [conflict.id for conflict in other.sync().conflicts] == [mine.id]
    other.publish()
    client.sync(), other.sync()
    assert client.rows() == other.rows() == archive.rows()
    assert client.rows()["a.fits"]["quality"] == "BAD"
    assert client.judgements(mine.id) == [("GOOD", "keck", "checked"), ("BAD", "eve", "guider lost")]


def test_a_withdrawn_record_cannot_be_flagged(archive, client):
    with pytest.raises(CalibrationNotFoundError, match="no-such-id"):
        flag(client.database, archive.remote(), "no-such-id", "BAD", "why", "ann")


# -- errors --------------------------------------------------------------------------------------------------------


def calls(remote):
    """Everything that asks the archive, each as a call."""

    def state():
        with remote.connected() as source:
            source.state(None, None)

    def reading():
        with remote.connected() as source, source.reading(None, None):
            pass

    record = Survey(filename="new.fits", cal_type="dark", datetime_obs="2026-01-02T03:04:05.678").to_dict()
    return {
        "state": state,
        "reading": reading,
        "publish": lambda: remote.publish([record], {}, None, Here(lambda name: False, holds_nothing), "ann"),
        "flag": lambda: remote.flag("x", "BAD", "why", "ann"),
        "query": remote.database.query,
    }


def test_an_archive_that_does_not_answer_is_unavailable_whatever_is_asked(archive):
    remote = archive.out_of_reach()
    for call in [*calls(remote).values(), lambda: remote.set_up("reader", "publisher")]:
        with pytest.raises(RemoteUnavailableError) as caught:
            call()
        assert caught.value.host == remote.host
        assert remote.host in caught.value.message


def test_an_archive_that_is_not_set_up_is_said_whatever_is_asked(archive):
    archive.destroy()
    for call in calls(archive.remote()).values():
        with pytest.raises(SchemaMismatchError, match="koa-cal remote init"):
            call()
    assert archive.remote().set_up("reader", "publisher").grants
    for name, call in calls(archive.remote()).items():
        if name != "flag":
            call()


def test_who_may_only_read_follows_and_changes_nothing(archive, client):
    (identifier,) = archive.insert("a.fits", quality="GOOD")
    reader = archive.for_reader()
    assert client.sync(reader).added == 1
    client.add_local("b.fits", checksum="sha256:b")
    before, here = archive.rows(), client.rows()
    with pytest.raises(RemoteError):
        client.publish(reader)
    with pytest.raises(RemoteError):
        flag(client.database, reader, identifier, "BAD", "why", "ann")
    assert archive.rows() == before
    assert client.rows() == here
    assert list(client.rows("LOCAL")) == ["b.fits"]
    archive.delete()
    assert client.sync(reader).withdrawn == 1
