"""A selector's rule in words: what an observer reads in the docs of an instrument."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from koa_middleware import (
    CalibrationSelector,
    ORMCalibration,
    Step,
    at_least,
    at_most,
    between,
    by,
    fits_column,
    relative,
)
from koa_middleware.choosing.words import in_words
from sqlalchemy import Float, Integer, String
from sqlalchemy.orm import Mapped


class WordyCalibration(ORMCalibration):
    instrument_name = "wordy"
    arm: Mapped[str | None] = fits_column("ARM", String)
    grating: Mapped[str | None] = fits_column("GRATING", String)
    lamp: Mapped[str | None] = fits_column("LAMP", String)
    state_id: Mapped[int | None] = fits_column("STATE", Integer)
    wavelength: Mapped[float | None] = fits_column("WAVE", Float, info={"unit": "Angstrom"})
    exposure_time: Mapped[float | None] = fits_column("EXPTIME", Float, info={"unit": "s"})
    valid_from: Mapped[float | None] = fits_column("VALFROM", Float, info={"unit": "d"})
    valid_to: Mapped[float | None] = fits_column("VALTO", Float, info={"unit": "d"})


def said(**settings: Any) -> tuple[str, ...]:
    return in_words(CalibrationSelector(cal_type="arc", **settings), WordyCalibration)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"match": ("arm",)}, "Its arm is the frame's."),
        ({"match": ("arm", "grating", "lamp")}, "Its arm, grating and lamp are the frame's."),
        ({"given": ("arm",)}, "Its arm is what the caller gives."),
        ({"match_if_known": ("arm", "lamp")}, "Its arm and lamp are the frame's where both are known."),
        ({"within": {"wavelength": 2}}, "Its wavelength is within 2 Angstrom of the frame's."),
        ({"within": {"exposure_time": relative(0.07)}}, "Its exposure_time is within 7 % of the frame's."),
        ({"require": {"lamp": ("lfc", "thar", None)}}, "Its lamp is lfc or thar or null."),
        ({"require": {"exposure_time": at_most(60)}}, "Its exposure_time is at most 60 s."),
        ({"require": {"state_id": at_least(5)}}, "Its state_id is at least 5."),
        ({"exclude": {"lamp": "une"}}, "Its lamp is not une."),
        ({"exclude": {"lamp": ("une", "lfc")}}, "Its lamp is neither une nor lfc."),
        ({"exclude": {"exposure_time": between(5, 9)}}, "Its exposure_time is not 5 to 9 s."),
        ({"max_age": timedelta(hours=6)}, "It is at most 0.25 d away."),
        ({"direction": "before"}, "It is at or before the frame."),
        ({"direction": "after"}, "It is at or after the frame."),
        ({"never_across": (59319.0,)}, "It is on the frame's side of the boundary 2021-04-15."),
        (
            {"never_across": (54999.0, 59319.5)},
            "It is on the frame's side of the 2 boundaries 2009-06-17, 2021-04-15T12:00.",
        ),
        (
            {"never_across": tuple(range(59000, 59024))},
            "It is on the frame's side of all 24 boundaries from 2020-05-31 to 2020-06-23.",
        ),
        ({"anchor": "wls"}, "The time of the wls that the frame gets stands for the frame's."),
        ({"anchor": "wls", "match_anchor": ("state_id",)}, "Its state_id is the anchor's."),
        ({"time": "valid_from"}, "The nearest in valid_from is chosen."),
        ({"direction": "bracket", "same": ("lamp", "arm")}, "Both agree in lamp and arm."),
    ],
)
def test_each_setting_is_a_sentence_with_its_amounts(settings: dict[str, Any], sentence: str) -> None:
    assert sentence in said(**settings)


def test_what_is_chosen_of_what_fits_comes_after_the_conditions() -> None:
    assert said(match=("arm",))[-1] == "The nearest in mjd_start is chosen."
    assert said(direction="bracket") == (
        "The nearest at or before the frame and the nearest after it are chosen, by mjd_start.",
    )
    assert said(validity=("valid_from", "valid_to")) == (
        "It is valid at the frame's time: from its valid_from on, before its valid_to.",
        "The one with the latest valid_from is chosen.",
    )
    assert "from its valid_from on, until the next one begins." in said(validity=("valid_from", None))[0]


def test_steps_tell_what_each_asks_alone() -> None:
    rule = {"match": ("arm",), "max_age": timedelta(days=2)}
    masters = said(**rule, prefer=(Step({"lamp": "lfc"}), Step({"lamp": "thar"}, max_age=timedelta(days=1)), Step()))
    assert masters == (
        "Its arm is the frame's.",
        "First, its lamp is lfc and it is at most 2 d away; else, its lamp is thar and it is at most 1 d away; else, "
        "it is at most 2 d away.",
        "The nearest in mjd_start is chosen.",
    )
    assert "First, its lamp is lfc; else, any." in said(prefer=(Step({"lamp": "lfc"}), Step()))


def test_cases_tell_what_differs_after_what_all_have_in_common() -> None:
    tolerances = by("arm", {"red": {"wavelength": 2.0}, "blue": {}, "uv": {}})
    assert said(match=("grating",), within=tolerances) == (
        "Its grating is the frame's.",
        "The nearest in mjd_start is chosen.",
        "For arm red: its wavelength is within 2 Angstrom of the frame's.",
        "For arm blue or arm uv: no more.",
    )
    ages = by("lamp", {"lfc": timedelta(days=1), "thar": None})
    assert said(max_age=ages)[1:] == ("For lamp lfc: it is at most 1 d away.", "For lamp thar: no more.")
    assert "For arm red, lamp thar: its wavelength is within 2 Angstrom of the frame's." in said(
        within=tolerances, max_age=ages
    )


def test_methods_that_decide_too_are_named() -> None:
    class Programmed(CalibrationSelector):
        cal_type = "arc"

        def select_best(self, input: Any, candidates: Any) -> Any:
            return next(iter(candidates))

        def select_fallback(self, input: Any, db: Any) -> Any:
            return None

    assert in_words(Programmed(), WordyCalibration)[-1] == "Programmed besides: select_best and select_fallback."
