"""When a server may answer that nothing is new: to who has the same columns, of an archive that tells all."""

from __future__ import annotations

import pytest
from koa_middleware.database.declared import DeclaredColumn
from survey import Archive, Client

TABLE = "survey_calibrations"


@pytest.fixture
def kind() -> str:
    return "http"


def test_a_reader_with_other_columns_is_not_told_that_nothing_is_new(archive: Archive) -> None:
    archive.insert("a.fits")
    with archive.remote().connected() as source:
        known = source.state(None, None).bookmark
        there = source.state(known, known)
        assert (there.continues, there.news) == (True, False)
    others = (("temperature", DeclaredColumn("Float", False, None, False, False, ())),)
    with archive.remote().connected(others) as source:
        assert not source.state(known, known).continues


def test_an_archive_without_a_feed_is_read_each_time(archive: Archive, client: Client) -> None:
    archive.execute(f"DROP TRIGGER koa_feed ON {TABLE}")
    client.sync()
    archive.insert("a.fits")
    assert client.sync().added == 1


def test_a_plain_table_is_read_each_time(archive: Archive, client: Client) -> None:
    archive.execute(f"DROP TABLE {TABLE}_feed CASCADE", f"DROP TRIGGER koa_feed ON {TABLE}")
    for number in range(3):
        archive.insert(f"{number}.fits")
        assert client.sync().added == 1
