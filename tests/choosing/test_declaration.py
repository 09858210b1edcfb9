"""What a selector's class may hold: the rest is refused when the class is made."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from koa_middleware import (
    CalibrationSelector,
    CalibrationStore,
    ConfigurationError,
    HeaderError,
    InstrumentPlugin,
    InvalidPluginError,
    Step,
    at_least,
    at_most,
    between,
    by,
    relative,
)

from tests.conftest import DemoCalibration, record

FRAME = {"mjd_start": 60000.0, "lamp": "thar"}


def made(*bases: type[Any], **body: Any) -> type[CalibrationSelector]:
    return type("Made", (*bases, CalibrationSelector), {"cal_type": "dark", **body})


def none_at_all(self: Any, values: Any, db: Any) -> list[Any]:
    return []


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("requires", "require"),
        ("maxage", "max_age"),
        ("maxAge", "max_age"),
        ("Max_Age", "max_age"),
        ("Match", "match"),
        ("Requires", "require"),
        ("matches", "match"),
        ("match_if_know", "match_if_known"),
        ("cal_types", "cal_type"),
        ("get_candidate", "get_candidates"),
        ("fallback", "select_fallback"),
        ("zzz", None),
    ],
)
def test_a_name_that_no_selector_has_is_refused_with_what_was_probably_meant(name: str, meant: str | None) -> None:
    said = f"Did you mean {meant}" if meant else "Begin the name of a helper with an underscore"
    for body in ({name: ("era",)}, {name: lambda self: 1}, {"__annotations__": {name: "Any"}}):
        with pytest.raises(InvalidPluginError, match=f"The selector Made has {name}, .*{said}"):
            made(**body)


def test_a_misspelt_name_of_a_mixin_or_of_a_base_is_refused_too() -> None:
    with pytest.raises(InvalidPluginError, match="Did you mean max_age"):
        made(type("Mixin", (), {"maxage": timedelta(days=1)}))


def test_helpers_constants_and_settings_are_taken() -> None:
    taken = made(
        match=("lamp",),
        max_age=timedelta(days=2),
        LIMIT=3,
        MAX_AGE=3,
        Helper=type("Helper", (), {}),
        _helper=lambda self: 1,
        require=property(lambda self: {"lamp": "thar"}),
        get_candidates=none_at_all,
        select_best=staticmethod(lambda values, candidates: None),
    )
    assert taken().require == {"lamp": "thar"}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"match": "era"}, r"text as its match. Write \('era',\)"),
        ({"match_if_known": "era"}, "text as its match_if_known"),
        ({"max_age": 5}, "max_age 5"),
        ({"direction": "previous"}, "direction 'previous'"),
        ({"require": ("quality", "GOOD")}, "require"),
        ({"require": {"fiber": ()}}, r"requires \(\) of fiber, which no calibration has. Write the values"),
        ({"require": {"quality": "BAD"}}, "requires 'BAD' of quality, but what is BAD is never chosen. Write \"GOOD\""),
        ({"require": {"quality": ["GOOD", "bad"]}}, "what is BAD is never chosen"),
        ({"cal_type": ("dark",)}, "cal_type"),
        ({"select": "nearest"}, "'nearest' as its select. select is a method"),
        ({"get_candidates": lambda self, values: []}, r"get_candidates that does not take \(self, input, db\)"),
        ({"select_best": lambda self, candidates: None}, r"select_best that does not take \(self, input, candidates\)"),
    ],
)
def test_a_setting_or_method_that_cannot_work_is_refused_when_the_class_is_made(body: Any, said: str) -> None:
    with pytest.raises(InvalidPluginError, match=f"The selector Made .*{said}"):
        made(**body)


@pytest.mark.parametrize(
    "body", [{"match": ("lampe",)}, {"require": {"mjd_start": "soon"}}, {"time": "datetime_obs"}], ids=str
)
def test_what_needs_columns_to_see_is_said_at_first_use_as_the_authors_or_as_the_callers(
    open_demo: Callable[..., CalibrationStore[DemoCalibration]], body: dict[str, Any]
) -> None:
    store = open_demo()
    with pytest.raises(InvalidPluginError) as caught:
        store.select(FRAME, made(**body))
    assert caught.value.instrument == "demo"
    with pytest.raises(ConfigurationError):
        store.select(FRAME, CalibrationSelector(cal_type="dark", **body))


def test_a_selector_without_a_type_is_told_of_it(open_demo: Callable[..., CalibrationStore[DemoCalibration]]) -> None:
    store = open_demo()
    store.local_db.add(record())
    by_method = made(cal_type="", get_candidates=none_at_all)
    for selector in (made(cal_type=""), made(cal_type="  "), by_method, CalibrationSelector()):
        for ask in (store.select, store.explain):
            with pytest.raises(ConfigurationError, match="has no cal_type"):
                ask(FRAME, selector)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"never_across": (2461005.5,)}, r"boundary 2461005.5 .* no time of the years 1900 to 2099\. Write it as MJD"),
        ({"never_across": (0,)}, "boundary 0 in never_across"),
        ({"never_across": (10**400,)}, "never_across"),
        ({"within": {"amplifiers": 10**400}}, "tolerance"),
        (
            {"within": {"exposure_time": relative(30)}},
            r"which is 3000 %\. Write the fraction: relative\(0\.3\) is 30 %",
        ),
        ({"match": ("amplifiers",), "within": {"amplifiers": 2}}, "tolerance of amplifiers, which is in its match too"),
        ({"match": ("lamp", "filename")}, "filename in its match, in which no two files are equal"),
        ({"match_if_known": ("id",)}, "id in its match_if_known"),
        ({"require": {"amplifiers": at_most(2**64)}}, "larger than a database's whole numbers"),
        ({"require": {"amplifiers": at_most(10**400)}}, "whose bounds are no numbers"),
        ({"prefer": (Step,)}, r"Write a tuple of Step\(\.\.\.\)"),
        ({"validity": ("mjd_mid", "mjd_mid")}, "mjd_mid as the end of its validity too"),
        ({"max_age": timedelta(days=-1)}, "max_age -1 d, which is negative"),
        ({"max_age": by("lamp", {None: timedelta(1), "lfc": None})}, "case for None of lamp.* A null cannot be a case"),
    ],
    ids=str,
)
def test_a_setting_that_can_never_mean_what_it_says_is_refused_of_a_class_and_of_an_instance(
    setting: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidPluginError, match=f"The selector Made .*{said}"):
        made(**setting)
    with pytest.raises(ConfigurationError, match=said):
        CalibrationSelector(cal_type="dark", **setting)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"require": {"mjd_start": at_least(2461000)}}, "mjd_start, which are no times of the years 1900 to 2099"),
        ({"cal_type": "Unknown"}, "has the cal_type 'unknown', which stands for none"),
        ({"time": "exposure_time"}, "measures time by exposure_time, which is in s"),
        ({"validity": ("exposure_time", None)}, "validity by exposure_time, which is in s"),
        ({"require": {"cal_type": "flat"}}, "requires flat of cal_type, which leaves no calibration"),
        ({"exclude": {"quality": ("GOOD", "UNKNOWN")}}, "excludes GOOD or UNKNOWN of quality"),
        ({"require": {"lamp": "lfc"}, "exclude": {"lamp": "LFC "}}, "requires lfc and excludes lfc of lamp"),
        ({"require": {"lamp": "thar"}, "prefer": (Step({"lamp": "lfc"}),)}, "requires thar and requires lfc of lamp"),
        (
            {"require": {"amplifiers": at_most(2)}, "prefer": (Step({"amplifiers": at_least(3)}),)},
            "requires at most 2 and requires at least 3 of amplifiers",
        ),
    ],
    ids=str,
)
def test_what_no_calibration_of_the_class_can_meet_is_refused_when_the_plugin_is_made(
    setting: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DemoCalibration, "selectors", {})
    with pytest.raises(InvalidPluginError, match=said):
        InstrumentPlugin(DemoCalibration, [CalibrationSelector(**{"cal_type": "dark", **setting})])


def test_what_a_calibration_can_just_meet_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DemoCalibration, "selectors", {})
    step = Step({"lamp": "lfc", "amplifiers": between(2, 3)})
    rule = CalibrationSelector(
        cal_type="dark",
        require={"lamp": ("lfc", None), "amplifiers": at_most(2), "cal_type": "dark", "quality": "GOOD"},
        exclude={"lamp": "thar", "quality": "UNKNOWN"},
        within={"exposure_time": relative(1)},
        never_across=(15020, 88068.5),
        prefer=(step,),
    )
    assert InstrumentPlugin(DemoCalibration, [rule])


def test_a_misspelt_keyword_argument_is_told_what_was_meant() -> None:
    with pytest.raises(ConfigurationError, match="Did you mean max_age"):
        CalibrationSelector(cal_type="dark", maxage=timedelta(days=1))


def test_what_is_no_frame_is_told_in_the_right_words(
    open_demo: Callable[..., CalibrationStore[DemoCalibration]],
) -> None:
    with pytest.raises(HeaderError, match=r"^An int is not a frame\."):
        open_demo().select(5, "dark")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"match": ("lamp",)}, "A Step has no match. It has require, within, max_age, direction"),
        ({"requires": {"lamp": "lfc"}}, "A Step has no requires. Did you mean require?"),
    ],
)
def test_what_a_step_does_not_have_is_said_with_what_it_has(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(said)):
        Step(**settings)


def test_a_step_of_too_many_values_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"was given 5 values\. Give require, within, max_age, direction"):
        Step({}, {}, None, "before", "lamp")  # type: ignore[call-arg]
