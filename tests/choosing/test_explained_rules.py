"""What an explanation tells of steps, pairs, anchors, intervals and boundaries, and of rows that are spoilt."""

from __future__ import annotations

import json
import math
from datetime import timedelta
from typing import Any

import pytest
from koa_middleware import (
    CalibrationNotFoundError,
    CalibrationSelector,
    CalibrationStore,
    Explanation,
    FallbackWarning,
    Step,
    relative,
)
from sqlalchemy import text

from tests.conftest import DemoCalibration, record

Store = CalibrationStore[DemoCalibration]
FRAME = {"mjd_start": 60000.0, "exposure_time": 30.0, "mjd_mid": 60000.0}
LFC_THEN_THAR = (Step({"lamp": "lfc"}, max_age=timedelta(days=1)), Step({"lamp": "thar"}), Step({"lamp": "une"}))

pytestmark = pytest.mark.filterwarnings("ignore::koa_middleware.FallbackWarning")


def wls(name: str, mjd: float, lamp: str | None, **more: Any) -> DemoCalibration:
    return record(f"{name}.fits", mjd, cal_type="wls", lamp=lamp, **more)


def told(explanation: Explanation) -> dict[str, tuple[str, str]]:
    return {each.record.filename: (each.rule, each.reason) for each in explanation.candidates}


def names(records: tuple[DemoCalibration, ...]) -> list[str]:
    return [each.filename for each in records]


@pytest.fixture
def lamps(store: Store) -> Store:
    store.local_db.add(
        [
            wls("far", 59990.0, "thar"),
            wls("thar-before", 59998.0, "thar"),
            wls("lfc-before", 59999.5, "lfc"),
            wls("lfc-bad", 60000.25, "lfc", quality="BAD"),
            wls("une-after", 60000.75, "une"),
            wls("none-after", 60001.0, None),
            wls("thar-after", 60001.5, "thar"),
        ]
    )
    return store


def test_each_step_is_told_with_what_it_gave_or_why_it_gave_nothing(lamps: Store) -> None:
    rule = CalibrationSelector(
        cal_type="wls", prefer=(Step({"lamp": "lfc"}, max_age=timedelta(hours=6)), *LFC_THEN_THAR[1:])
    )
    explained = lamps.explain(FRAME, rule)
    assert [step.reason for step in explained.steps] == [
        "nothing fits (5 lamp, 1 quality, 1 max_age); the nearest is lfc-bad.fits: 0.250 d newer, its quality is BAD",
        "gave the answer",
        "was not asked",
    ]
    assert [names(step.winners) for step in explained.steps] == [[], ["thar-after.fits"], []]
    assert [sum(step.counts.values()) for step in explained.steps] == [7, 7, 0]
    first, second, _ = explained.steps
    assert {each.record.filename: each.reason for each in first.candidates}["lfc-before.fits"] == (
        "0.500 d older, limit 0.25 d"
    )
    assert second.counts == explained.counts == {"chosen": 1, "lamp": 4, "farther": 2}
    assert str(explained).splitlines()[0].endswith("thar-after.fits is chosen by step 2")
    assert explained.step == 2


def test_what_only_a_step_that_was_not_asked_compares_the_frame_may_lack(lamps: Store) -> None:
    prefer = (Step({"lamp": "lfc"}), Step(within={"exposure_time": 1.0}))
    explained = lamps.explain({"mjd_start": 60000.0}, CalibrationSelector(cal_type="wls", prefer=prefer))
    assert [step.reason for step in explained.steps] == ["gave the answer", "was not asked"]


def test_who_said_that_a_calibration_is_bad_when_and_why_is_told_also_by_a_miss(lamps: Store) -> None:
    lamps.flag("lfc-before.fits", "BAD", "hot pixels")
    lamps.flag("une-after.fits", "GOOD", "seen by eye", here=True)
    explained = lamps.explain(FRAME, CalibrationSelector(cal_type="wls"))
    reasons = {each.record.filename: each.why for each in explained.candidates}
    for part in ("BAD (flagged by ", ": hot pixels)"):
        assert part in reasons["lfc-before.fits"]
    assert "; its quality is GOOD here (judged by " in reasons["une-after.fits"]
    with pytest.raises(CalibrationNotFoundError, match=r"BAD \(flagged by .*: hot pixels\)") as caught:
        lamps.select(FRAME, CalibrationSelector(cal_type="wls", require={"lamp": "lfc"}))
    assert "quality" in {each.rule for each in caught.value.nearest}


def test_a_pair_is_told_with_both_sides_and_the_weight_of_the_later_one(lamps: Store) -> None:
    explained = lamps.explain(FRAME, CalibrationSelector(cal_type="wls", direction="bracket"))
    assert names(explained.winners) == ["lfc-before.fits", "une-after.fits"]
    assert explained.winner is explained.winners[0]
    assert [(side.side, side.reason) for side in explained.sides] == [
        ("before", "0.500 d older"),
        ("after", "0.750 d newer"),
    ]
    assert explained.weight == pytest.approx(0.4)
    assert explained.counts == {"chosen": 2, "quality": 1, "farther": 4}
    assert told(explained)["une-after.fits"] == ("chosen", "0.750 d newer, the nearest that fits after the frame")
    assert {each.side for each in explained.candidates} == {"before", "after"}


def test_the_nearer_one_of_a_pair_is_the_winner_also_when_it_is_the_later(lamps: Store) -> None:
    explained = lamps.explain({"mjd_start": 60000.5}, CalibrationSelector(cal_type="wls", direction="bracket"))
    assert names(explained.winners) == ["lfc-before.fits", "une-after.fits"]
    assert explained.winner is explained.winners[1]


def test_a_side_on_which_there_is_nothing_is_said_with_the_reason(lamps: Store) -> None:
    rule = CalibrationSelector(cal_type="wls", direction="bracket", max_age=timedelta(days=0.6))
    explained = lamps.explain(FRAME, rule)
    assert names(explained.winners) == ["lfc-before.fits"]
    assert explained.winner is explained.winners[0]
    assert explained.weight is None
    before, after = explained.sides
    assert (before.reason, after.winner) == ("0.500 d older", None)
    assert after.reason == (
        "nothing fits (1 quality, 3 max_age); the nearest is lfc-bad.fits: 0.250 d newer, its quality is BAD"
    )
    last = lamps.explain({"mjd_start": 60001.5}, CalibrationSelector(cal_type="wls", direction="bracket"))
    assert [side.reason for side in last.sides] == ["0.000 d newer", "none is known"]


def test_each_side_of_a_pair_is_judged_by_the_step_that_gave_it(lamps: Store) -> None:
    rule = CalibrationSelector(cal_type="wls", direction="bracket", prefer=LFC_THEN_THAR)
    explained = lamps.explain(FRAME, rule)
    assert names(explained.winners) == ["lfc-before.fits", "thar-after.fits"]
    assert [side.reason for side in explained.sides] == ["0.500 d older, by step 1", "1.5 d newer, by step 2"]
    assert [step.reason for step in explained.steps] == [
        "gave the answer before the frame",
        "gave the answer after the frame",
        "was not asked",
    ]
    assert told(explained)["thar-before.fits"][1].endswith("its lamp is thar, the rule requires lfc")
    assert told(explained)["lfc-bad.fits"][1].endswith("its lamp is lfc, the rule requires thar")
    assert explained.counts == {"chosen": 2, "lamp": 5}


def test_a_step_that_is_asked_for_one_side_alone_tells_of_that_side(lamps: Store) -> None:
    prefer = (Step({"lamp": "lfc"}), Step({"lamp": "xx"}), Step({"lamp": "une"}))
    explained = lamps.explain(FRAME, CalibrationSelector(cal_type="wls", direction="bracket", prefer=prefer))
    assert explained.steps[1].reason == (
        "nothing fits after the frame (4 lamp); "
        "the nearest is lfc-bad.fits: 0.250 d newer, its lamp is lfc, the rule requires xx"
    )
    assert explained.steps[2].reason == "gave the answer after the frame"


def test_in_which_value_a_pair_agrees_and_why_is_told(lamps: Store) -> None:
    rule = CalibrationSelector(cal_type="wls", direction="bracket", same=("lamp",))
    explained = lamps.explain(FRAME, rule)
    assert (explained.same, explained.same_reason) == (
        {"lamp": "thar"},
        "no other value is on both sides of the frame",
    )
    assert told(explained)["lfc-before.fits"] == ("lamp", "0.500 d older, its lamp is lfc, the pair's is thar")
    lamps.local_db.add([wls("une-before", 59999.0, "une"), wls("xx-before", 59999.9, "xx")])
    shorter = lamps.explain(FRAME, rule)
    assert names(shorter.winners) == ["une-before.fits", "une-after.fits"]
    assert (shorter.same, shorter.same_reason) == (
        {"lamp": "une"},
        "1.750 d between the two, other pairs: lamp thar 3.500 d",
    )


def test_a_side_alone_of_those_that_should_agree_is_said_to_be(lamps: Store) -> None:
    rule = CalibrationSelector(cal_type="wls", direction="bracket", same=("lamp",), max_age=timedelta(days=0.77))
    explained = lamps.explain(FRAME, rule)
    assert names(explained.winners) == ["lfc-before.fits"]
    assert explained.same_reason == "no value is on both sides of the frame, and this one is the nearest"
    assert told(explained)["une-after.fits"] == ("lamp", "0.750 d newer, its lamp is une, the pair's is lfc")
    assert explained.sides[1].reason.startswith("nothing fits (1 quality, 2 max_age, 1 lamp); ")


def test_a_null_of_a_pair_is_not_said_to_be_farther_than_one_that_it_cannot_agree_with(store: Store) -> None:
    store.local_db.add([wls("before", 59999.0, None), wls("after", 60002.0, None), wls("older", 59998.0, None)])
    explained = store.explain(FRAME, CalibrationSelector(cal_type="wls", direction="bracket", same=("lamp",)))
    assert names(explained.winners) == ["before.fits"]
    assert told(explained)["after.fits"] == ("same", "2.0 d newer, it has no value in which a pair could agree")
    assert explained.counts == {"chosen": 1, "same": 1, "farther": 1}


def test_a_step_in_which_no_pair_agrees_says_what_fits_on_each_side(lamps: Store) -> None:
    rule = CalibrationSelector(cal_type="wls", direction="bracket", same=("lamp",), prefer=LFC_THEN_THAR)
    explained = lamps.explain(FRAME, rule)
    assert names(explained.winners) == ["thar-before.fits", "thar-after.fits"]
    assert [step.reason for step in explained.steps] == [
        "no lamp is on both sides of the frame: 1 fit before it, 0 after it; refused after it are 3 lamp, 1 quality, "
        "closest to fitting lfc-bad.fits: 0.250 d newer, its quality is BAD",
        "gave the answer",
        "was not asked",
    ]
    lamps.local_db.add(wls("lfc-late", 60000.1, "lfc"))
    lamps.flag("lfc-late.fits", "BAD", "saturated", here=True)
    reason = lamps.explain(FRAME, rule).steps[0].reason
    assert "refused after it are 3 lamp, 2 quality, closest to fitting lfc-late.fits: 0.100 d newer, " in reason
    assert "saturated" in reason


def test_a_pair_of_nothing_tells_both_sides(lamps: Store) -> None:
    rule = CalibrationSelector(cal_type="wls", direction="bracket", max_age=timedelta(hours=1))
    explained = lamps.explain(FRAME, rule)
    assert (explained.winner, explained.winners) == (None, ())
    assert [side.reason.partition(";")[0] for side in explained.sides] == [
        "nothing fits (3 max_age)",
        "nothing fits (1 quality, 3 max_age)",
    ]


@pytest.fixture
def anchored(lamps: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    lamps.local_db.add([record("dark.fits", 59999.6), record("late.fits", 60003.0)])
    selector = CalibrationSelector(cal_type="wls", max_age=timedelta(days=5))
    monkeypatch.setattr(DemoCalibration, "selectors", {"wls": selector})
    return lamps


def test_what_a_calibration_hangs_on_is_told_and_amounts_are_from_there(anchored: Store) -> None:
    rule = CalibrationSelector(cal_type="dark", anchor="wls", max_age=timedelta(days=1))
    explained = anchored.explain(FRAME, rule)
    assert explained.anchor is not None
    assert explained.anchor.filename == "lfc-before.fits"
    assert explained.asked == {"mjd_start": 60000.0, "mjd_start of the wls": 59999.5}
    assert told(explained) == {
        "dark.fits": ("chosen", "0.100 d newer than the anchor, the best that fits"),
        "late.fits": ("max_age", "3.5 d newer than the anchor, limit 1 d"),
    }
    assert [each.delta for each in explained.candidates] == pytest.approx([-0.4, 3.0])
    assert "hangs on lfc-before.fits, the frame's wls: 0.500 d older" in str(explained)


def test_a_frame_without_an_anchor_is_explained_and_no_error(anchored: Store) -> None:
    rule = CalibrationSelector(cal_type="dark", anchor="wls")
    explained = anchored.explain({"mjd_start": 50000.0}, rule)
    assert (explained.winner, explained.candidates) == (None, ())
    assert "it hangs on the frame's wls" in explained.failure
    assert "far.fits: 9990.0 d newer, limit 5 d" in explained.to_text(10_000)
    assert explained.to_dict()["failure"] == explained.failure


def test_a_pair_of_a_frame_whose_time_is_the_anchors_has_no_weight(anchored: Store) -> None:
    anchored.local_db.add(
        [
            wls("nearest", 60000.1, "thar", mjd_mid=60000.1),
            record("before.fits", mjd_mid=60000.0),
            record("after.fits", mjd_mid=60001.0),
        ]
    )
    rule = CalibrationSelector(cal_type="dark", anchor="wls", time="mjd_mid", direction="bracket")
    pair = anchored.select_bracket({"mjd_start": 60000.0}, rule)
    assert (pair.before.filename, pair.after.filename, pair.weight) == ("before.fits", "after.fits", None)


def test_of_intervals_the_interval_is_told_and_no_age(store: Store) -> None:
    interval = ("mjd_mid", "amplifiers")
    store.local_db.add(
        [
            record("first.fits", mjd_mid=None, amplifiers=58849),
            record("now.fits", mjd_mid=59800.0, amplifiers=None),
            record("second.fits", mjd_mid=58849, amplifiers=59580),
            record("always.fits", mjd_mid=None, amplifiers=None),
        ]
    )
    explained = store.explain({"mjd_start": 60000.0}, CalibrationSelector(cal_type="dark", validity=interval))
    assert told(explained) == {
        "now.fits": ("chosen", "valid from 2022-08-09 on, the best that fits"),
        "first.fits": ("validity", "valid until 2020-01-01, not at the frame's time, 2023-02-25"),
        "second.fits": ("validity", "valid 2020-01-01 to 2022-01-01, not at the frame's time, 2023-02-25"),
        "always.fits": ("farther", "always valid, it fits, but another is preferred"),
    }


def test_tolerances_boundaries_and_limits_are_told_with_their_amounts(store: Store) -> None:
    store.local_db.add(
        [
            record("near.fits", 60000.1, exposure_time=33.2),
            record("null.fits", 60000.2, exposure_time=None),
            record("across.fits", 59999.5, exposure_time=30.0),
            record("far-across.fits", 59990.0, exposure_time=30.0),
            record("edge.fits", 60002.0 + 30 / 86400, exposure_time=30.0),
        ]
    )
    rule = CalibrationSelector(
        cal_type="dark",
        within={"exposure_time": relative(0.1)},
        never_across=(59995.0, 59999.75),
        max_age=timedelta(days=2),
    )
    assert told(store.explain(FRAME, rule)) == {
        "near.fits": ("exposure_time", "0.100 d newer, its exposure_time is 33.2 s, the frame's is 30 ± 3 s"),
        "null.fits": ("exposure_time", "0.200 d newer, it has no exposure_time, the frame's is 30 ± 3 s"),
        "across.fits": ("never_across", "0.500 d older, the boundary 2023-02-24T18:00 lies between"),
        "far-across.fits": ("never_across", "10.0 d older, 2 boundaries lie between, the first at 2023-02-20"),
        "edge.fits": ("max_age", "2.0 d newer, limit 2 d, exceeded by 30 s"),
    }


@pytest.mark.parametrize("spoilt", ["'yesterday'", "9e999", "-9e999", "NULL"])
@pytest.mark.parametrize("direction", ["nearest", "bracket"])
def test_a_row_whose_time_is_none_is_told_and_breaks_nothing(store: Store, spoilt: str, direction: str) -> None:
    store.local_db.add([record("good.fits", 59999.0, mjd_mid=59999.0), record("odd.fits", 60001.0, mjd_mid=60001.0)])
    with store.local_db.session_manager() as session:
        session.execute(text(f"UPDATE demo_calibrations SET mjd_mid = {spoilt} WHERE filename = 'odd.fits'"))
    explained = store.explain(FRAME, CalibrationSelector(cal_type="dark", direction=direction, time="mjd_mid"))
    assert names(explained.winners) == ["good.fits"]
    rule, reason = told(explained)["odd.fits"]
    assert rule == "mjd_mid"
    assert reason.startswith("no time, it")
    assert explained.counts == {"chosen": 1, "mjd_mid": 1}
    json.dumps(explained.to_dict())


def test_of_intervals_with_boundaries_the_time_that_was_compared_is_told(store: Store) -> None:
    store.local_db.add(record("old.fits", 59990.0, mjd_mid=59000.0))
    rule = CalibrationSelector(cal_type="dark", validity=("mjd_mid", None), never_across=(59995.0,))
    ((_, reason),) = told(store.explain(FRAME, rule)).values()
    assert reason == "valid from 2020-05-31 on, its mjd_start is 2023-02-15, the boundary 2023-02-20 lies between"


def test_a_missing_value_is_said_to_be_missing_of_either_side(anchored: Store) -> None:
    anchored.local_db.add([record("no-era.fits", 59999.0), record("of-era.fits", 59998.0, era="1")])
    by_lamp = CalibrationSelector(cal_type="dark", require={"lamp": "thar"})
    assert (
        told(anchored.explain(FRAME, by_lamp))["dark.fits"][1]
        == "0.400 d older, it has no lamp, the rule requires thar"
    )
    by_era = CalibrationSelector(cal_type="dark", anchor="wls", match_anchor=("era",))
    assert told(anchored.explain(FRAME, by_era))["of-era.fits"][1].endswith("its era is 1, the anchor has none")


@pytest.mark.parametrize("spoilt", ["'yesterday'", "9e999"])
def test_a_row_whose_interval_or_value_is_none_is_told_and_breaks_nothing(store: Store, spoilt: str) -> None:
    store.local_db.add([record("odd.fits", 60001.0, mjd_mid=59000.0, exposure_time=30.0, amplifiers=2)])
    with store.local_db.session_manager() as session:
        session.execute(
            text(f"UPDATE demo_calibrations SET mjd_mid = {spoilt}, amplifiers = {spoilt}, exposure_time = {spoilt}")
        )
    shown = "inf" if spoilt == "9e999" else "yesterday"
    for rule in (
        CalibrationSelector(cal_type="dark", validity=("mjd_mid", "amplifiers")),
        CalibrationSelector(cal_type="dark", within={"exposure_time": 1.0}),
    ):
        ((_, reason),) = told(store.explain(FRAME, rule)).values()
        assert shown in reason


def test_a_fallback_beside_steps_is_told_as_that(lamps: Store) -> None:
    class Falls(CalibrationSelector):
        cal_type = "wls"
        direction = "bracket"
        prefer = (Step({"lamp": "xx"}), Step({"lamp": "yy"}))

        def select_fallback(self, input: Any, db: Any) -> Any:
            return lamps.query("wls")[0]

    with pytest.warns(FallbackWarning):
        explained = lamps.explain(FRAME, Falls)
    assert names(explained.winners) == ["far.fits"]
    assert [step.winners for step in explained.steps] == [(), ()]
    assert {step.reason.partition(";")[0] for step in explained.steps} == {"nothing fits (6 lamp)"}
    assert told(explained)["far.fits"] == ("chosen", "10.0 d older, the fallback's choice")
    assert [side.winner for side in explained.sides] == [None, None]
    assert explained.to_dict()["is_fallback"] is True


def test_where_a_method_chooses_among_what_all_steps_admit_each_is_judged_by_the_first_that_does(lamps: Store) -> None:
    class Last(CalibrationSelector):
        cal_type = "wls"
        prefer = LFC_THEN_THAR

        def select_best(self, input: Any, candidates: Any) -> Any:
            return list(candidates)[-1]

    explained = lamps.explain(FRAME, Last)
    assert names(explained.winners) == ["une-after.fits"]
    assert (explained.step, explained.is_fallback) == (3, True)
    assert explained.counts == {"chosen": 1, "lamp": 2, "farther": 4}
    assert told(explained)["lfc-before.fits"][0] == "farther"
    assert [step.reason for step in explained.steps] == ["admits 1", "admits 3", "admits 1"]


def test_as_plain_data_it_has_the_keys_that_the_pages_name(lamps: Store) -> None:
    rule = CalibrationSelector(cal_type="wls", direction="bracket", same=("lamp",), prefer=LFC_THEN_THAR)
    plain = json.loads(json.dumps(lamps.explain(FRAME, rule).to_dict(), allow_nan=False))
    assert [each["filename"] for each in plain["winners"]] == ["thar-before.fits", "thar-after.fits"]
    assert (plain["step"], plain["same"], plain["weight"]) == (2, {"lamp": "thar"}, pytest.approx(2 / 3.5))
    assert [(side["side"], side["filename"], side["step"]) for side in plain["sides"]] == [
        ("before", "thar-before.fits", 2),
        ("after", "thar-after.fits", 2),
    ]
    assert [step["winners"] for step in plain["steps"]] == [[], [each["id"] for each in plain["winners"]], []]
    assert math.isclose(plain["sides"][0]["delta_days"], -2.0)


@pytest.mark.parametrize("width", [60, 80, 200])
def test_at_each_width_of_a_terminal_all_is_told_and_no_name_is_broken(lamps: Store, width: int) -> None:
    long = "HB.20260214.03600.00.mastercal-wls-of-a-lamp.001"
    lamps.local_db.add(wls(long, 60000.1, "une", era="2"))
    rule = CalibrationSelector(cal_type="wls", direction="bracket", same=("lamp",), prefer=LFC_THEN_THAR)
    explained = lamps.explain({**FRAME, "era": "1"}, rule)
    lines = explained.to_text(width).splitlines()
    assert max(map(len, lines)) <= width
    told_words = " ".join(lines).split()
    for candidate in explained.candidates:
        assert any(candidate.record.filename in line for line in lines)
        assert set(candidate.reason.split()) <= set(told_words)
    assert "step 1: no lamp is on both sides" in " ".join(told_words)
