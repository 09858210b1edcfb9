"""``koa-cal register``, ``get`` and ``verify``."""

from __future__ import annotations

import os
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
        (said,) = [line for line in lines if line.startswith(f"koa-cal: {file}: ")]
    assert "CALTYPE" in said

    again = koa_cal("register", *files, "--json", *instrument).ended(1).json
    assert [record["filename"] for record in again["registered"]] == ["dark.fits", "flat.fits"]
    assert set(again["failed"]) == set(map(str, bad))


def test_registering_nothing_but_bad_files_says_that_none_was(koa_cal: Run, tmp_path: Path) -> None:
    found = koa_cal("register", tmp_path / "missing.fits", "-i", "testspec").ended(1)
    assert found.out == "0 of 1 registered\n"
    assert str(tmp_path / "missing.fits") in found.said


def test_a_file_of_an_instrument_that_is_not_installed_hinders_no_other(koa_cal: Run, write: Run) -> None:
    foreign = write("foreign.fits", 61083.0, "dark", INSTRUME="NOSUCH")
    found = koa_cal("register", foreign, write("dark.fits", 61083.0, "dark")).ended(1)
    assert found.out.splitlines()[-1].startswith("1 of 2 registered")
    assert found.said.startswith(f"koa-cal: {foreign}: ")
    assert "'nosuch'" in found.said


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


@pytest.mark.usefixtures("night")
def test_get_prints_paths_and_nothing_else(koa_cal: Run, cache: Path) -> None:
    known = koa_cal("show", "dark-near.fits", "-i", "testspec", "--json").json["id"]
    found = koa_cal("get", "flat-before.fits", known, "-i", "testspec").ended(0)
    files = cache / "calibrations"
    assert found.out.splitlines() == [str(files / "flat-before.fits"), str(files / "dark-near.fits")]
    assert found.err == ""


@pytest.mark.usefixtures("night")
def test_get_goes_on_after_what_cannot_be_had(koa_cal: Run, cache: Path) -> None:
    files = cache / "calibrations"
    (files / "dark-old.fits").unlink()
    names = ("dark-old.fits", "nosuch.fits", "dark-near.fits")
    found = koa_cal("get", *names, "-i", "testspec").ended(1)
    assert found.out == f"{files / 'dark-near.fits'}\n"
    assert [line.split()[1] for line in found.err.splitlines()] == ["dark-old.fits:", "nosuch.fits:"]
    said = koa_cal("get", *names, "-i", "testspec", "--json").ended(1)
    assert said.json["paths"] == {"dark-near.fits": str(files / "dark-near.fits")}
    assert set(said.json["failed"]) == {"dark-old.fits", "nosuch.fits"}


@pytest.mark.usefixtures("night")
def test_whole_files_are_verified(koa_cal: Run) -> None:
    assert koa_cal("verify", "-i", "testspec").ended(0).out.startswith("7 files checked")
    found = koa_cal("verify", "-i", "testspec", "--json").ended(0)
    assert found.json == {"checked": 7, "bad": {}, "missing": [], "repaired": [], "unchecked": []}
    assert found.err == ""


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flip_a_bit(path: Path) -> None:
    """Change one bit and leave size and times as they were."""
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.usefixtures("night")
@pytest.mark.parametrize("spoil", [cut, flip_a_bit, Path.unlink])
@pytest.mark.parametrize("repair", [[], ["--repair"]])
def test_a_spoilt_file_is_found(koa_cal: Run, cache: Path, spoil: Callable[[Path], None], repair: list[str]) -> None:
    spoil(cache / "calibrations" / "dark-near.fits")
    found = koa_cal("verify", "-i", "testspec", *repair).ended(1)
    (line,) = [line for line in found.out.splitlines() if "dark-near.fits" in line]
    assert "repaired" not in line
    assert found.out.splitlines()[-1].endswith("1 faults")
    said = koa_cal("verify", "-i", "testspec", "--json").ended(1).json
    assert [*said["bad"], *said["missing"]] == ["dark-near.fits"]


@pytest.mark.parametrize("url", ["http://127.0.0.1:99999/masters", "nowhere"])
@pytest.mark.parametrize("command", ["get", "best", "prefetch"])
def test_an_unusable_url_is_wrong_configuration_and_said_once(
    koa_cal: Run, write: Run, cache: Path, monkeypatch: pytest.MonkeyPatch, command: str, url: str
) -> None:
    for name, mjd in (("one.fits", 61083.0), ("two.fits", 61084.0)):
        koa_cal("register", write(name, mjd, "dark"), "--origin", "REMOTE").ended(0)
        (cache / "calibrations" / name).unlink()
    monkeypatch.setenv("KOA_CALIBRATION_URL", url)
    wanted = {
        "get": ("one.fits", "two.fits", "-i", "testspec"),
        "best": (write("frame.fits", 61083.5), "--type", "dark"),
        "prefetch": ("--since", "2026-02-12", "-i", "testspec"),
    }
    found = koa_cal(command, *wanted[command]).ended(2)
    assert found.out == ""
    assert found.err.count("calibration URL") == 1
