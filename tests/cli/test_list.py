"""``koa-cal list``."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from koa_middleware import InstrumentPlugin, open_store
from sqlalchemy import update

Run = Callable[..., Any]


def test_a_table_has_the_newest_hundred_and_how_many_there_are_and_json_has_all(koa_cal: Run, add_records: Run) -> None:
    add_records(150)
    found = koa_cal("list", "-i", "testspec").ended(0)
    assert [line.split()[1] for line in found.out.splitlines() if "dark-" in line] == [
        f"dark-{n:04d}.fits" for n in range(50, 150)
    ]
    assert found.out.splitlines()[-1] == "the newest 100 of 150"
    assert found.err == ""
    listed = koa_cal("list", "-i", "testspec", "--json").ended(0).json
    assert listed["total"] == 150
    assert [record["filename"] for record in listed["records"]] == [f"dark-{n:04d}.fits" for n in range(150)]


@pytest.mark.parametrize(("limit", "first", "said"), [(1, 9, "the newest 1 of 10"), (10, 0, "10"), (500, 0, "10")])
def test_a_limit_says_how_many_are_listed(koa_cal: Run, add_records: Run, limit: int, first: int, said: str) -> None:
    add_records(10)
    found = koa_cal("list", "-i", "testspec", "--limit", limit).ended(0)
    assert found.out.splitlines()[-1].startswith(said)
    listed = koa_cal("list", "-i", "testspec", "--limit", limit, "--json").json["records"]
    assert [record["filename"] for record in listed] == [f"dark-{n:04d}.fits" for n in range(first, 10)]


@pytest.mark.usefixtures("night")
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--type", "flat"], ["flat-before.fits", "flat-after.fits"]),
        (["--type", "FLAT"], ["flat-before.fits", "flat-after.fits"]),
        (["--since", "2026-02-13"], ["dark-near.fits", "dark-next.fits"]),
        (["--since", "2026-02-13T12:00:00"], ["dark-near.fits", "dark-next.fits"]),
        (["--since", "2026-02-13T12:00:01"], ["dark-next.fits"]),
        (["--until", "2026-01-30"], ["dark-old.fits"]),
        (["--type", "dark", "--since", "2026-02-12", "--until", "2026-02-13"], ["dark-red.fits", "dark-near.fits"]),
    ],
)
def test_a_list_is_narrowed_by_type_and_time(koa_cal: Run, options: list[str], expected: list[str]) -> None:
    listed = koa_cal("list", "-i", "testspec", "--json", *options).ended(0).json
    assert [record["filename"] for record in listed["records"]] == expected
    assert listed["total"] == len(expected)


@pytest.mark.usefixtures("night")
def test_a_list_of_nothing_says_so_and_exits_with_1(koa_cal: Run) -> None:
    found = koa_cal("list", "-i", "testspec", "--type", "bias").ended(1)
    assert found.out == "0 calibrations\n"
    assert koa_cal("list", "-i", "testspec", "--type", "bias", "--json").ended(1).json == {"total": 0, "records": []}


@pytest.mark.parametrize(
    "options",
    [
        ["--limit", "0"],
        ["--limit", "-1"],
        ["--limit", "many"],
        ["--limit", str(2**63)],
        ["--limit", "9" * 5000],
        ["--since", "yesterday"],
        ["--until", "2026-02-30"],
    ],
)
def test_a_bound_that_is_none_is_wrong_usage(koa_cal: Run, options: list[str]) -> None:
    found = koa_cal("list", "-i", "testspec", *options).ended(2)
    assert found.out == ""
    assert options[0] in found.err
    assert options[1] in found.err


def test_a_record_is_listed_as_json_with_all_its_columns(koa_cal: Run, add_records: Run, testspec: Any) -> None:
    add_records(1)
    (record,) = koa_cal("list", "-i", "testspec", "--json").json["records"]
    assert tuple(record) == (*testspec.ORM.column_names(), "judged_here")
    with open_store("testspec") as store:
        assert record == {**store.query()[0].to_dict(), "judged_here": None}


def test_json_of_a_record_without_a_finite_time_is_read_by_every_parser(
    koa_cal: Run, testspec: InstrumentPlugin
) -> None:
    with open_store("testspec") as store:
        store.local_db.add(testspec.ORM(filename="odd.fits", cal_type="dark", mjd_start=61083.0))
        with store.local_db.session_manager() as session:  # as a database from before the check of times may hold it
            session.execute(update(testspec.ORM).values(mjd_start=float("inf")))
    assert koa_cal("show", "odd.fits", "-i", "testspec", "--json").ended(0).json["mjd_start"] is None
    assert koa_cal("list", "-i", "testspec", "--json").ended(0).json["records"][0]["mjd_start"] is None


@pytest.mark.usefixtures("night")
def test_columns_choose_what_is_listed_and_all_must_hold(koa_cal: Run) -> None:
    found = koa_cal("list", "-i", "testspec", "--json", "--where", "ARM=red", "--where", "origin=LOCAL").json
    assert [record["filename"] for record in found["records"]] == []
    found = koa_cal("list", "-i", "testspec", "--json", "--where", "ARM=RED", "--type", "dark").json
    assert [record["filename"] for record in found["records"]] == ["dark-red.fits"]
    found = koa_cal("list", "-i", "testspec", "--json", "--where", "arm=", "--columns", "filename,mjd_start").json
    assert found == {"total": 0, "records": []}


@pytest.mark.usefixtures("night")
def test_the_asked_columns_are_printed_and_a_quality_is_a_choice(koa_cal: Run) -> None:
    koa_cal("flag", "flat-after.fits", "bad", "--reason", "hot", "-i", "testspec").ended(0)
    found = koa_cal("list", "-i", "testspec", "--quality", "BAD", "--columns", "filename,ARM").ended(0)
    head, _, line, count = found.out.splitlines()
    assert (head.split(), line.split(), count) == (["calibration", "arm"], ["flat-after.fits", "BLUE"], "1 calibration")


@pytest.mark.usefixtures("night")
def test_a_list_of_a_quality_goes_by_what_was_judged_here(koa_cal: Run) -> None:
    koa_cal("flag", "-i", "testspec", "flat-after.fits", "bad", "--here", "--reason", "leak").ended(0)
    listed = koa_cal("list", "-i", "testspec", "--json", "--quality", "BAD", "--where", "cal_type=flat").ended(0).json
    assert [record["filename"] for record in listed["records"]] == ["flat-after.fits"]
    koa_cal("list", "-i", "testspec", "--type", "flat", "--where", "cal_type=flat").ended(2)


@pytest.mark.usefixtures("night")
@pytest.mark.parametrize("asked", ["mjd_start=noon", "arm=A --where ARM=B"])
def test_what_no_column_can_hold_is_wrong_usage(koa_cal: Run, asked: str) -> None:
    koa_cal("list", "-i", "testspec", "--where", *asked.split()).ended(2)


@pytest.mark.usefixtures("night")
def test_only_what_is_on_this_disk_is_listed_where_that_is_asked(koa_cal: Run, cache: Path) -> None:
    (cache / "calibrations" / "dark-near.fits").unlink()
    (cache / "calibrations" / "dark-old.fits").write_bytes(b"something else")
    for name in (b"not text \xff.fits", b"two\nlines.fits"):  # a user's own, of which no record tells
        (cache / "calibrations" / os.fsdecode(name)).write_bytes(b"")
    listed = koa_cal("list", "-i", "testspec", "--cached", "--type", "dark", "--json").json["records"]
    assert [record["filename"] for record in listed] == ["dark-red.fits", "dark-next.fits"]


@pytest.mark.usefixtures("night")
def test_times_the_wrong_way_round_are_an_error(koa_cal: Run) -> None:
    said = koa_cal("list", "-i", "testspec", "--since", "2026-02-16", "--until", "2026-02-12").ended(2).said
    assert "2026-02-12T23:59:59.999, is before its start, 2026-02-16" in said
    koa_cal("list", "-i", "testspec", "--since", "2026-02-12", "--until", "2026-02-12").ended(0)
