"""Many choices at once: the same answers as one by one, errors in their places."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from koa_middleware import (
    Bracket,
    CalibrationNotFoundError,
    CalibrationSelector,
    CalibrationStore,
    FallbackWarning,
    HeaderError,
    InstrumentPlugin,
    KoaMiddlewareError,
    SourceFileError,
    Step,
    at_least,
    by,
    relative,
)

from tests.conftest import DemoCalibration, dark, record

Store = CalibrationStore[DemoCalibration]

#: Days; the boundaries of the rules below are among them.
TIMES = [60000.0 + number / 4 for number in range(40)]
BOUNDARIES = (60002.0, 60005.5)


class Latest(CalibrationSelector):
    """Asks for all that the rule admits, and takes the last one."""

    cal_type = "dark"
    match = ("spectrograph",)

    def select_best(self, input: Mapping[str, Any], candidates: Any) -> Any:
        return max(candidates, key=lambda each: each.mjd_start, default=None)


class Asks(CalibrationSelector):
    """Asks declared selectors in turn."""

    cal_type = "dark"

    def select(self, input: Mapping[str, Any], db: Any) -> Any:
        try:
            return CalibrationSelector(cal_type="dark", require={"lamp": "lfc"}, max_age=timedelta(hours=6)).select(
                input, db
            )
        except CalibrationNotFoundError:
            return CalibrationSelector(cal_type="dark", match=("spectrograph",)).select(input, db)


class FallsBack(CalibrationSelector):
    """Its rule fits nothing."""

    cal_type = "dark"
    require = {"lamp": "none"}

    def select_fallback(self, input: Mapping[str, Any], db: Any) -> Any:
        return CalibrationSelector(cal_type="dark").select(input, db)


LAMPS = (Step({"lamp": "lfc"}, max_age=timedelta(hours=8)), Step({"lamp": "thar"}), Step(direction="before"))
RULES: dict[str, CalibrationSelector] = {
    "near": CalibrationSelector(cal_type="dark", match=("spectrograph",)),
    "before": CalibrationSelector(cal_type="dark", direction="before", max_age=timedelta(days=1)),
    "era": CalibrationSelector(cal_type="dark", match=("era",), match_if_known=("lamp",)),
    "tolerance": CalibrationSelector(cal_type="dark", within={"exposure_time": relative(0.1)}),
    "by": CalibrationSelector(
        cal_type="dark", max_age=by("spectrograph", {"BSPEC": timedelta(hours=6), "RSPEC": None})
    ),
    "boundaries": CalibrationSelector(cal_type="dark", match=("spectrograph",), never_across=BOUNDARIES),
    "steps": CalibrationSelector(cal_type="dark", match=("spectrograph",), prefer=LAMPS),
    "amounts": CalibrationSelector(cal_type="dark", require={"amplifiers": at_least(3)}, exclude={"lamp": "lfc"}),
    "pair": CalibrationSelector(
        cal_type="dark", direction="bracket", match=("spectrograph",), never_across=BOUNDARIES, prefer=LAMPS
    ),
    "pair of one lamp": CalibrationSelector(cal_type="dark", direction="bracket", same=("lamp",)),
    "validity": CalibrationSelector(cal_type="dark", validity=("mjd_mid", None)),
    "anchor": CalibrationSelector(cal_type="dark", anchor="wls", match_anchor=("lamp",), never_across=BOUNDARIES),
    "own choice": Latest(),
    "own selection": Asks(),
    "fallback": FallsBack(),
}


def made(pick: random.Random, filename: str, cal_type: str) -> DemoCalibration:
    """A calibration of random values, some of them null."""
    return record(
        filename,
        pick.choice(TIMES),
        cal_type=cal_type,
        spectrograph=pick.choice(["BSPEC", "RSPEC", None]),
        lamp=pick.choice(["lfc", "thar", None]),
        era=pick.choice(["1", "2", None]),
        amplifiers=pick.choice([2, 4, None]),
        exposure_time=pick.choice([1.0, 30.0, 33.0, None]),
        mjd_mid=pick.choice([*TIMES, None]),
        quality=pick.choice(["GOOD", "GOOD", "UNKNOWN", "BAD"]),
    )


def frame(pick: random.Random) -> dict[str, Any]:
    """A frame of random values, some unknown to the rules, some null."""
    asked: dict[str, Any] = {"mjd_start": pick.choice(TIMES)}
    for name, values in {
        "spectrograph": ["BSPEC", "RSPEC", "NEW", None],
        "lamp": ["lfc", "thar", None],
        "era": ["1", "2", "*", None],
        "exposure_time": [30.0, 31.0, 300.0, None],
    }.items():
        if pick.random() < 0.9:
            asked[name] = pick.choice(values)
    return asked


@pytest.fixture(autouse=True)
def plugin() -> Iterator[InstrumentPlugin]:
    """Give the made instrument a type on which another one hangs, and one of pairs."""
    before = DemoCalibration.selectors, DemoCalibration.needs
    rules = [
        CalibrationSelector(
            cal_type="wls", match=("spectrograph",), max_age=timedelta(days=1), match_if_known=("era",)
        ),
        CalibrationSelector(cal_type="bias"),
        RULES["pair"],
    ]
    yield InstrumentPlugin(DemoCalibration, rules)
    DemoCalibration.selectors, DemoCalibration.needs = before


@pytest.fixture
def filled(store: Store) -> Store:
    pick = random.Random(12)
    store.local_db.add([made(pick, f"{number}.fits", pick.choice(["dark", "dark", "wls"])) for number in range(80)])
    return store


def one_by_one(call: Callable[[Any], Any], frames: list[Any]) -> list[Any]:
    found = []
    for each in frames:
        try:
            found.append(call(each))
        except KoaMiddlewareError as error:
            found.append(error)
    return found


def told(answer: Any) -> Any:
    """What there is to see of an answer."""
    if isinstance(answer, KoaMiddlewareError):
        return type(answer), str(answer)
    if isinstance(answer, Bracket):
        return told(answer.before), told(answer.after), answer.weight
    return answer and (answer.to_dict(), answer.choice, answer.is_fallback)


@pytest.mark.filterwarnings("ignore::koa_middleware.FallbackWarning")
@pytest.mark.parametrize("rule", RULES)
def test_many_frames_get_what_each_gets_by_itself(filled: Store, rule: str) -> None:
    pick, selector = random.Random(rule), RULES[rule]
    frames = [frame(pick) for _ in range(30)]
    frames += frames[:5]
    together = filled.select_many(frames, selector, return_exceptions=True)
    singly = one_by_one(lambda each: filled.select(each, selector), frames)
    assert [told(each) for each in together] == [told(each) for each in singly]
    assert {isinstance(each, KoaMiddlewareError) for each in singly} >= {False}


@pytest.mark.filterwarnings("ignore::koa_middleware.FallbackWarning")
def test_the_sets_of_many_frames_are_those_of_each_with_pairs(filled: Store) -> None:
    pick = random.Random(2)
    frames = [frame(pick) for _ in range(40)]
    together = filled.select_sets(frames)
    singly = [filled.select_set(each) for each in frames]
    assert [{name: told(each) for name, each in one.items()} for one in together] == [
        {name: told(each) for name, each in one.items()} for one in singly
    ]
    pairs = one_by_one(lambda each: filled.select_bracket(each, "dark"), frames)
    assert [told(one["dark"]) for one in together] == [told(each) for each in pairs]


def test_frames_at_one_time_each_get_a_record_of_their_own(filled: Store) -> None:
    asked = {"mjd_start": TIMES[3], "spectrograph": "BSPEC"}
    first, second = filled.select_many([asked, {**asked, "filename": "other.fits"}], RULES["near"])
    assert first.to_dict() == second.to_dict()  # type: ignore[union-attr]
    assert first is not second
    assert second.choice.frame == "other.fits"  # type: ignore[union-attr]


def test_an_error_stands_in_the_place_of_its_frame(filled: Store, tmp_path: Any) -> None:
    frames = [
        {"mjd_start": TIMES[0], "spectrograph": "BSPEC"},
        tmp_path / "missing.fits",
        {"mjd_start": TIMES[0]},
        {"mjd_start": TIMES[0], "spectrograph": "NEW"},
        dark(tmp_path, mjd=TIMES[9]),
    ]
    found = filled.select_many(frames, RULES["near"], return_exceptions=True)
    kinds = [DemoCalibration, SourceFileError, HeaderError, CalibrationNotFoundError, DemoCalibration]
    assert list(map(type, found)) == kinds
    with pytest.raises(SourceFileError):
        filled.select_many(frames, RULES["near"])


def test_a_value_that_no_case_lists_is_an_error_of_that_frame_alone(filled: Store) -> None:
    frames = [{"mjd_start": TIMES[8], "spectrograph": name} for name in ("RSPEC", "NEW", None)]
    red, new, none = filled.select_many(frames, RULES["by"], return_exceptions=True)
    assert isinstance(red, DemoCalibration)
    assert "its cases are BSPEC and RSPEC" in str(new)
    assert "has no spectrograph" in str(none)


def test_a_boundary_at_the_time_of_a_frame_belongs_to_what_begins_there(store: Store) -> None:
    store.local_db.add([record("before.fits", BOUNDARIES[0] - 0.01), record("after.fits", BOUNDARIES[0] + 1)])
    frames = [{"mjd_start": BOUNDARIES[0] + later, "spectrograph": "BSPEC"} for later in (-0.02, 0.0, 0.02)]
    found = store.select_many(frames, RULES["boundaries"])
    assert [each.filename for each in found] == ["before.fits", "after.fits", "after.fits"]  # type: ignore[union-attr]


def test_more_frames_than_go_together_are_all_answered(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("koa_middleware.choosing.batch.TOGETHER", 7)
    frames = [{"mjd_start": time, "spectrograph": "BSPEC"} for time in TIMES]
    found = filled.select_many(frames, RULES["near"])
    assert [told(each) for each in found] == [told(filled.select(each, RULES["near"])) for each in frames]


def test_each_fallback_of_many_is_told_with_its_frame(filled: Store) -> None:
    frames = [{"mjd_start": TIMES[0], "spectrograph": "BSPEC", "filename": f"{name}.fits"} for name in "ab"]
    with pytest.warns(FallbackWarning) as caught:
        filled.select_many(frames, RULES["fallback"])
    assert ["a.fits" in str(each.message) for each in caught] == [True, False]


@pytest.mark.filterwarnings("ignore::koa_middleware.FallbackWarning")
def test_the_calibrations_of_a_shared_cache_are_among_those_of_many_frames(
    open_demo: Callable[..., Store], tmp_path: Any
) -> None:
    pick = random.Random(5)
    shared, own = open_demo(tmp_path / "shared"), open_demo(tmp_path / "own", shared_cache_dir=tmp_path / "shared")
    shared.local_db.add([made(pick, f"shared{number}.fits", "dark") for number in range(30)])
    own.local_db.add([made(pick, f"own{number}.fits", "dark") for number in range(30)])
    frames = [frame(pick) for _ in range(30)]
    for rule in ("near", "steps", "validity", "pair of one lamp"):
        together = own.select_many(frames, RULES[rule], return_exceptions=True)
        singly = one_by_one(partial(own.select, selector=RULES[rule]), frames)
        assert [told(each) for each in together] == [told(each) for each in singly]
