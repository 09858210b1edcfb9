"""``koa-cal flag``."""

from __future__ import annotations

import getpass
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]


@pytest.mark.usefixtures("night")
def test_a_bad_flagged_calibration_is_not_chosen_any_more_and_who_and_why_are_kept(koa_cal: Run, frame: Path) -> None:
    best = ("best", frame, "--type", "dark", "--json")
    assert koa_cal(*best).json["calibrations"]["dark"]["filename"] == "dark-near.fits"

    said = koa_cal("flag", "dark-near.fits", "bad", "--reason", "light  leak", "-i", "testspec").ended(0)
    assert said.out == "dark-near.fits is BAD: light  leak\n"
    assert koa_cal(*best).json["calibrations"]["dark"]["filename"] == "dark-next.fits"
    assert "its quality is BAD" in koa_cal("explain", frame, "--type", "dark").out

    assert koa_cal("flag", "dark-near.fits", "GOOD", "--reason", "was not", "-i", "testspec", "--json").json[
        "quality"
    ] == ("GOOD")
    assert koa_cal(*best).json["calibrations"]["dark"]["filename"] == "dark-near.fits"
    shown = koa_cal("show", "dark-near.fits", "-i", "testspec").out
    assert "light  leak" in shown
    assert "was not" in shown
    flags = koa_cal("show", "dark-near.fits", "-i", "testspec", "--json").json["flags"]
    assert [(flag["quality"], flag["reason"], flag["flagged_by"]) for flag in flags] == [
        ("BAD", "light  leak", getpass.getuser()),
        ("GOOD", "was not", getpass.getuser()),
    ]


@pytest.mark.usefixtures("night")
@pytest.mark.parametrize("options", [["bad"], ["bad", "--reason", " "], ["ugly", "--reason", "x"]])
def test_a_flag_without_a_reason_or_a_known_quality_is_wrong_usage(koa_cal: Run, options: list[str]) -> None:
    koa_cal("flag", "dark-near.fits", *options, "-i", "testspec").ended(2)
    assert koa_cal("show", "dark-near.fits", "-i", "testspec", "--json").json["quality"] == "GOOD"


@pytest.mark.usefixtures("cache")
def test_an_archives_calibration_is_not_flagged_without_the_archive(koa_cal: Run, write: Run) -> None:
    koa_cal("register", write("dark.fits", 61083.5, "dark"), "--origin", "REMOTE").ended(0)
    found = koa_cal("flag", "dark.fits", "bad", "--reason", "light leak", "-i", "testspec").ended(2)
    assert "dark.fits" in found.said
    assert koa_cal("show", "dark.fits", "-i", "testspec", "--json").json["quality"] == "GOOD"


@pytest.mark.usefixtures("night")
def test_what_clears_a_terminal_is_written_out(koa_cal: Run) -> None:
    found = koa_cal("flag", "dark-near.fits", "bad", "--reason", "x\x1b[31m", "-i", "testspec").ended(0)
    assert found.out.endswith("x\\x1b[31m\n")


# -- for this cache alone ----------------------------------------------------------------------------------------------


@pytest.fixture
def archived(koa_cal: Run, write: Run, cache: Path) -> None:
    """Register a dark of the archive, which no archive answers for."""
    koa_cal("register", write("dark.fits", 61083.5, "dark"), "--origin", "REMOTE").ended(0)


@pytest.mark.usefixtures("archived")
def test_an_archives_calibration_is_judged_here_and_shown_listed_and_explained_as_such(
    koa_cal: Run, frame: Path
) -> None:
    best = ("best", frame, "--type", "dark", "--json")
    said = koa_cal("flag", "dark.fits", "bad", "--here", "--reason", "light leak", "-i", "testspec").ended(0)
    assert said.out == "dark.fits is BAD here: light leak\n"
    koa_cal(*best).ended(1)
    shown = koa_cal("show", "dark.fits", "-i", "testspec").ended(0).out
    assert ["quality", "GOOD,", "BAD", "here"] in [line.split() for line in shown.splitlines()]
    assert f"BAD here by {getpass.getuser()}, " in shown.splitlines()[-1]
    assert shown.splitlines()[-1].endswith(": light leak")
    assert "GOOD, BAD here" in koa_cal("list", "-i", "testspec").out
    assert "BAD here (judged by" in koa_cal("explain", frame, "--type", "dark", "-i", "testspec").out

    said = koa_cal("flag", "dark.fits", "clear", "--here", "--reason", "it was closed", "-i", "testspec").ended(0)
    assert said.out == "dark.fits is GOOD, as its row says: it was closed\n"
    assert koa_cal(*best).ended(0).json["calibrations"]["dark"]["filename"] == "dark.fits"
    shown = koa_cal("show", "dark.fits", "-i", "testspec").ended(0).out.splitlines()
    assert shown[-1].startswith("taken back here by ")
    assert shown[-1].endswith(": it was closed")


@pytest.mark.usefixtures("archived")
def test_what_is_judged_here_is_plain_data_too(koa_cal: Run) -> None:
    flagged = koa_cal("flag", "dark.fits", "bad", "--here", "--reason", "leak", "-i", "testspec", "--json").ended(0)
    assert (flagged.json["quality"], flagged.json["judged_here"]) == ("GOOD", "BAD")
    shown = koa_cal("show", "dark.fits", "-i", "testspec", "--json").json
    assert (shown["quality"], shown["judged_here"]) == ("GOOD", "BAD")
    assert [(flag["quality"], flag["reason"], flag["here"]) for flag in shown["flags"]] == [("BAD", "leak", True)]
    (listed,) = koa_cal("list", "-i", "testspec", "--json").json["records"]
    assert (listed["quality"], listed["judged_here"]) == ("GOOD", "BAD")


@pytest.mark.usefixtures("archived")
def test_an_archives_flag_without_an_archive_names_here(koa_cal: Run) -> None:
    found = koa_cal("flag", "dark.fits", "bad", "--reason", "light leak", "-i", "testspec").ended(2)
    assert "--here" in found.said
    assert koa_cal("show", "dark.fits", "-i", "testspec", "--json").json["judged_here"] is None


@pytest.mark.usefixtures("night")
def test_only_what_was_judged_here_is_cleared(koa_cal: Run) -> None:
    found = koa_cal("flag", "dark-near.fits", "clear", "--reason", "x", "-i", "testspec").ended(2)
    assert "--here" in found.said
    koa_cal("flag", "dark-near.fits", "clear", "--here", "--reason", "x", "-i", "testspec").ended(1)


@pytest.mark.usefixtures("night")
def test_a_flag_tells_of_another_judgement_here_that_goes_on_to_hold(koa_cal: Run, frame: Path) -> None:
    koa_cal("flag", "dark-near.fits", "bad", "--here", "--reason", "leak", "-i", "testspec").ended(0)
    said = koa_cal("flag", "dark-near.fits", "good", "--reason", "was none", "-i", "testspec").ended(0).out
    assert said == "dark-near.fits is GOOD (but BAD here, until koa-cal flag --here clears that): was none\n"
    assert koa_cal("best", frame, "--type", "dark", "--json").json["calibrations"]["dark"]["filename"] == (
        "dark-next.fits"
    )
