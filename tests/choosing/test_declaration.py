"""What a selector's class may hold: the rest is refused when the class is made."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from koa_middleware import CalibrationSelector, CalibrationStore, ConfigurationError, InvalidPluginError

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
