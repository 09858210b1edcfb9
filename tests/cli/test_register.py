"""``koa-cal register``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from koa_middleware import InstrumentPlugin

Run = Callable[..., Any]


def test_files_are_registered_and_listed(koa_cal: Run, write: Run, cache: Path) -> None:
    files = [write("dark.fits", 61083.0, "dark"), write("flat.fits", 61083.1, "flat")]
    found = koa_cal("register", *files).ended(0)
    assert found.err == ""
    assert found.out.splitlines()[-1] == f"2 of 2 registered in {cache}"
    for file in files:
        assert file.name in found.out
        assert (cache / "calibrations" / file.name).read_bytes() == file.read_bytes()
    assert koa_cal("list", "-i", "testspec", "--json").json["total"] == 2


def test_registered_files_as_json_are_their_records(koa_cal: Run, write: Run, testspec: InstrumentPlugin) -> None:
    file = write("dark.fits", 61083.0, "dark")
    found = koa_cal("register", file, "--json").ended(0)
    assert found.json.keys() == {"registered", "failed"}
    (record,) = found.json["registered"]
    assert tuple(record) == testspec.ORM.column_names()
    assert (record["filename"], record["origin"], record["file_size"]) == ("dark.fits", "LOCAL", file.stat().st_size)
    assert found.json["failed"] == {}


def test_the_same_file_again_changes_nothing(koa_cal: Run, write: Run) -> None:
    file = write("dark.fits", 61083.0, "dark")
    first = koa_cal("register", file, "--json").ended(0).json["registered"]
    assert koa_cal("register", file, "--json").ended(0).json["registered"] == first
    assert koa_cal("list", "-i", "testspec", "--json").json["total"] == 1


@pytest.mark.parametrize("instrument", [[], ["-i", "testspec"]])
@pytest.mark.parametrize("place", [0, 1])
def test_registering_goes_on_after_bad_files_and_reports_each(
    koa_cal: Run, write: Run, tmp_path: Path, place: int, instrument: list[str]
) -> None:
    short = write("short.fits", 61083.0, "dark")
    short.write_bytes(short.read_bytes()[:-2880])
    text = tmp_path / "night" / "text.fits"
    text.write_text("not FITS")
    bad = [short, text, tmp_path / "night" / "missing.fits", write("nothing.fits", 61083.0)]
    files = [write("dark.fits", 61083.0, "dark"), write("flat.fits", 61083.0, "flat")]
    files[place:place] = bad

    found = koa_cal("register", *files, *instrument).ended(1)
    assert found.out.splitlines()[-1].startswith("2 of 6 registered")
    lines = found.err.splitlines()
    assert len(lines) == 4
    for file in bad:
        (said,) = [line for line in lines if line.startswith(f"koa-cal: {file}")]
    assert "CALTYPE" in said

    again = koa_cal("register", *files, "--json", *instrument).ended(1).json
    assert [record["filename"] for record in again["registered"]] == ["dark.fits", "flat.fits"]
    assert set(again["failed"]) == set(map(str, bad))


def test_registering_nothing_but_bad_files_says_that_none_was(koa_cal: Run, tmp_path: Path) -> None:
    found = koa_cal("register", tmp_path / "missing.fits", "-i", "testspec").ended(1)
    assert found.out == "0 of 1 registered\n"
    assert found.said.count(str(tmp_path / "missing.fits")) == 1


def test_a_file_of_an_instrument_that_is_not_installed_hinders_no_other(koa_cal: Run, write: Run) -> None:
    foreign = write("foreign.fits", 61083.0, "dark", INSTRUME="NOSUCH")
    found = koa_cal("register", foreign, write("dark.fits", 61083.0, "dark")).ended(1)
    assert found.out.splitlines()[-1].startswith("1 of 2 registered")
    assert found.said.startswith(f"koa-cal: {foreign}: ")
    assert "'NOSUCH'" in found.said


def test_other_content_of_a_family_needs_to_be_called_a_new_version(koa_cal: Run, write: Run) -> None:
    file = write("dark.fits", 61083.0, "dark")
    koa_cal("register", file).ended(0)
    write("dark.fits", 61083.0, "dark", OBSERVER="someone else")
    refused = koa_cal("register", file).ended(1)
    assert "--new-version" in refused.said
    taken = koa_cal("register", file, "--new-version", "--json").ended(0).json["registered"]
    assert [(record["filename"], record["cal_version"]) for record in taken] == [("dark.002.fits", "002")]


def test_an_origin_goes_before_the_header(koa_cal: Run, write: Run) -> None:
    file = write("dark.fits", 61083.0, "dark", ORIGIN="LOCAL")
    (record,) = koa_cal("register", file, "--origin", "REMOTE", "--json").json["registered"]
    assert record["origin"] == "REMOTE"
    assert "--origin" in koa_cal("register", file, "--origin", "NOWHERE").ended(2).err


def test_a_header_whose_instrument_cannot_be_read_hinders_no_other(koa_cal: Run, write: Run) -> None:
    bad, good = write("bad.fits", 61083.5, "dark"), write("good.fits", 61084.5, "dark")
    bad.write_bytes(bad.read_bytes().replace(b"INSTRUME= 'TESTSPEC'", b"INSTRUME=  TEST SPEC "))
    found = koa_cal("register", bad, good, "--json").ended(1).json
    assert list(found["failed"]) == [str(bad)]
    assert [record["filename"] for record in found["registered"]] == ["good.fits"]
