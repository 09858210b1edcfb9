"""Requests that an archive carries out once: whoever lost an answer asks again and gets the same."""

from __future__ import annotations

import threading

import pytest
from koa_middleware.exceptions import ConfigurationError, DuplicateCalibrationError, SchemaMismatchError
from koa_middleware.remote.local_copy import holds_nothing
from koa_middleware.remote.postgres.schema import initialise
from koa_middleware.remote.protocol import Here
from koa_middleware.remote.servers import remote_at
from koa_middleware.remote.writable import Asked
from sqlalchemy import text
from survey import Survey

TABLE = Survey.table().name
HERE = Here(lambda name: False, holds_nothing)
ASKED = Asked("key-1", "digest-1")


def row(filename="a.fits", **values):
    return Survey(filename=filename, cal_type="dark", datetime_obs="2026-01-02T03:04:05.678", **values).to_dict()


def publish(remote, rows, asked=ASKED, upload=lambda files: None):
    return remote.publish_once(asked, rows, {}, upload, HERE, "keck")


def kept(archive):
    with archive.engine.connect() as connection:
        return list(connection.scalars(text(f"SELECT key FROM {TABLE}_requests ORDER BY key")))


def test_the_same_request_again_gives_the_same_answer_and_changes_nothing(archive):
    mine = row(checksum="sha256:a")
    first = publish(archive.remote(), [mine])
    archive.change("a.fits", filename="moved.fits")
    entries = archive.entries()
    assert publish(archive.remote(), [mine]) == first
    assert [each.row["filename"] for each in first.settled] == ["a.fits"]
    assert archive.entries() == entries
    assert first.newest.n == entries[-1].n - 1


def test_a_key_is_for_one_request(archive):
    publish(archive.remote(), [row(checksum="sha256:a")])
    with pytest.raises(ConfigurationError, match="key-1 was used for another request"):
        publish(archive.remote(), [row("b.fits")], Asked("key-1", "digest-2"))
    assert list(archive.rows()) == ["a.fits"]


def test_a_request_that_failed_is_not_kept(archive):
    mine = row(checksum="sha256:a")
    archive.insert("a.fits", id=mine["id"], checksum="sha256:b")
    with pytest.raises(DuplicateCalibrationError):
        publish(archive.remote(), [mine])
    archive.delete()
    assert publish(archive.remote(), [mine]).settled[0].is_new


def test_who_asks_again_while_the_first_request_is_at_work_waits_for_its_answer(archive):
    (identifier,) = archive.insert("a.fits")
    answers = []

    def flag():
        answers.append(archive.remote().flag_once(ASKED, identifier, "BAD", "a trail", "keck"))

    threads = [threading.Thread(target=flag) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [entry.op for entry in archive.entries()] == ["begun", "added", "flagged"]
    assert len(answers) == 4
    assert answers.count(answers[0]) == 4
    assert [(entry.who, entry.why) for entry in answers[0].entries] == [("keck", "a trail")]


def test_answers_go_after_a_week(archive):
    (identifier,) = archive.insert("a.fits")
    for key in ("old", "young"):
        archive.remote().flag_once(Asked(key, ""), identifier, "BAD", "why", "keck")
    archive.execute(
        f"UPDATE {TABLE}_requests SET at = now() - interval '8 days' WHERE key = 'old'",
        f"UPDATE {TABLE}_requests SET at = now() - interval '6 days' WHERE key = 'young'",
    )
    archive.remote().flag_once(Asked("new", ""), identifier, "GOOD", "why", "keck")
    assert kept(archive) == ["new", "young"]


def test_an_older_archive_gets_the_table_and_its_publishers_the_rights(archive):
    archive.execute(f"DROP TABLE {TABLE}_requests")
    publisher = remote_at(
        archive.role(
            f"GRANT SELECT ON {TABLE}, {TABLE}_feed, {TABLE}_history TO {{0}}",
            f"GRANT INSERT, UPDATE, DELETE ON {TABLE} TO {{0}}",
        ),
        Survey,
    )
    mine = row(checksum="sha256:a")
    with pytest.raises(SchemaMismatchError, match="koa-cal remote init"):
        publish(publisher, [mine])
    assert len(initialise(archive.engine, Survey).statements) == 3
    assert publish(publisher, [mine]) == publish(publisher, [mine])
    archive.execute(f"UPDATE {TABLE}_requests SET at = now() - interval '8 days'")
    publish(publisher, [mine], Asked("key-2", ""))
    assert kept(archive) == ["key-2"]
