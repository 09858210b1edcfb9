"""What every kind of archive promises to those who follow it and publish to it."""

from __future__ import annotations

import pytest
from koa_middleware.exceptions import (
    CacheError,
    RemoteError,
    RemoteUnavailableError,
    SchemaMismatchError,
)
from koa_middleware.remote.local_copy import holds_nothing
from koa_middleware.remote.postgres.remote import PostgresRemote
from koa_middleware.remote.protocol import Here
from koa_middleware.remote.publish import flag
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


def test_a_sweep_gives_all_rows_and_goes_on_after_any_id(archive, monkeypatch):
    archive.small_batches(monkeypatch, 2)
    ids = sorted(archive.insert(*(f"{number}.fits" for number in range(5))))

    def read(batches):
        return [row[0] for batch in batches for row in batch.rows]

    with archive.remote().connected() as source, source.reading(None, None) as reading:
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


# -- errors --------------------------------------------------------------------------------------------------------


def calls(remote):
    """Everything by which a client asks the archive, each as a call."""

    def state():
        with remote.connected() as source:
            source.state(None, None)

    def reading():
        with remote.connected() as source, source.reading(None, None):
            pass

    asked = {"state": state, "reading": reading}
    if not isinstance(remote, PostgresRemote):
        return asked
    record = Survey(filename="new.fits", cal_type="dark", datetime_obs="2026-01-02T03:04:05.678").to_dict()
    return asked | {
        "publish": lambda: remote.publish([record], {}, None, Here(lambda name: False, holds_nothing), "ann"),
        "flag": lambda: remote.flag("x", "BAD", "why", "ann"),
        "query": remote.database.query,
    }


def test_an_archive_that_does_not_answer_is_unavailable_whatever_is_asked(archive):
    remote = archive.out_of_reach()
    for call in calls(remote).values():
        with pytest.raises(RemoteUnavailableError) as caught:
            call()
        assert caught.value.host == remote.host
        assert remote.host in caught.value.message


def test_an_archive_that_is_not_set_up_is_said_whatever_is_asked(archive):
    archive.destroy()
    for call in calls(archive.remote()).values():
        with pytest.raises(SchemaMismatchError, match="koa-cal remote init"):
            call()
    assert archive.owner().set_up("reader", "publisher").grants
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
