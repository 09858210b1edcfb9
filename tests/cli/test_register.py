"""``koa-cal register``."""

from __future__ import annotations

import io
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
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
    assert found.json.keys() == {"registered", "unchanged", "failed"}
    (record,) = found.json["registered"]
    assert tuple(record) == testspec.ORM.column_names()
    assert (record["filename"], record["origin"], record["file_size"]) == ("dark.fits", "LOCAL", file.stat().st_size)
    assert found.json["failed"] == {}


def test_the_same_file_again_changes_nothing(koa_cal: Run, write: Run) -> None:
    file = write("dark.fits", 61083.0, "dark")
    first = koa_cal("register", file, "--json").ended(0).json["registered"]
    again = koa_cal("register", file, file, "--json").ended(0).json
    assert (again["registered"], again["unchanged"]) == ([], first)
    assert koa_cal("register", file).ended(0).out.startswith("0 of 1 registered, 1 known already in ")
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
    assert [record["filename"] for record in again["unchanged"]] == ["dark.fits", "flat.fits"]
    assert set(again["failed"]) == set(map(str, bad))


def test_a_cause_that_hits_many_files_is_told_once_with_their_names(koa_cal: Run, tmp_path: Path) -> None:
    missing = [tmp_path / "night" / f"dark-{number}.fits" for number in range(40)]
    found = koa_cal("register", *missing, "-i", "testspec").ended(1)
    said, *names = found.err.splitlines()
    assert said.startswith("koa-cal: 40 files: ")
    assert [name.strip() for name in names] == [str(path) for path in missing]


def test_a_folder_stands_for_the_fits_files_in_it(koa_cal: Run, write: Run) -> None:
    folder = write("dark.fits", 61083.0, "dark").parent
    (folder / "notes.txt").write_text("no calibration")
    assert koa_cal("register", folder).ended(0).out.splitlines()[-1].startswith("1 of 1 registered")


def test_a_list_of_paths_comes_from_standard_input(koa_cal: Run, write: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [write("dark.fits", 61083.0, "dark"), write("a flat.fits", 61083.1, "flat")]
    monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{file}\n" for file in files)))
    assert koa_cal("register", "-").ended(0).out.splitlines()[-1].startswith("2 of 2 registered")


def test_names_that_are_no_text_are_told_too(koa_cal: Run, tmp_path: Path) -> None:
    odd = [tmp_path / f"a\udcff{number}.fits" for number in range(2)]
    assert koa_cal("register", *odd, "-i", "testspec").ended(1).err.startswith("koa-cal: 2 files: FILE cannot be read")


def test_registering_that_is_interrupted_says_how_far_it_came(command: Run, write: Run, cache: Path) -> None:
    files = [write(f"dark-{number}.fits", 61000.0 + number, "dark") for number in range(300)]
    with subprocess.Popen(**command("register", *files), stderr=subprocess.PIPE, text=True) as process:
        while len(list((cache / "calibrations").glob("*.fits"))) < 3 if cache.exists() else True:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    (told,) = re.findall(r"koa-cal: stopped; (\d+) of 300 registered in ", said)
    assert int(told) <= len(list((cache / "calibrations").glob("*.fits"))) <= int(told) + 1


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


def test_a_full_disk_is_told_once_for_all_files(koa_cal: Run, write: Run) -> None:
    files = [write(f"dark{n}.fits", 61083.0 + n, "dark") for n in range(4)]
    koa_cal("register", files[0]).ended(0)
    for file in files[1:]:
        fits.append(file, np.zeros(1_000_000, np.int16))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    try:
        said, *names = koa_cal("register", *files[1:]).ended(1).err.splitlines()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert said.startswith("koa-cal: 3 files: A file in ")
    assert "cannot be written: File too large. Free some space" in said
    assert [name.strip() for name in names] == [str(file) for file in files[1:]]


def test_a_folder_without_files_is_to_be_one_of_calibrations(koa_cal: Run, tmp_path: Path) -> None:
    (tmp_path / "masters" / "dark").mkdir(parents=True)
    said = koa_cal("register", tmp_path / "masters").ended(2).said
    assert said.endswith("Name a folder of calibrations, or calibrations.\n")


def test_a_message_names_the_options_of_the_shell_alone(koa_cal: Run, write: Run) -> None:
    koa_cal("register", write("dark.fits", 61083.0, "dark")).ended(0)
    said = koa_cal("register", write("dark.fits", 61083.0, "dark", OBSERVER="ann")).ended(1).said
    assert "register it with koa-cal register " in said
    assert "--new-version" in said
    assert "new_version=True" not in said
