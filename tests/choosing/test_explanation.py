from __future__ import annotations

import json
import math
from datetime import timedelta

import pytest
from koa_middleware import CalibrationSelector, CalibrationStore, ConfigurationError, Explanation
from koa_middleware.choosing.explanation import offset
from sqlalchemy import update

from tests.conftest import DemoCalibration, record

Store = CalibrationStore[DemoCalibration]
FRAME = {"mjd_start": 60000.0, "spectrograph": "BSPEC", "era": "1"}
RULE = CalibrationSelector(
    cal_type="dark",
    match=("spectrograph",),
    match_if_known=("era",),
    require={"master_cal": True},
    max_age=timedelta(days=5),
    direction="before",
)


@pytest.fixture
def explained(store: Store) -> Explanation:
    store.local_db.add(
        [
            record("best.fits", 59999.0, master_cal=True),
            record("farther.fits", 59998.0, master_cal=True),
            record("single.fits", 59999.5),
            record("red.fits", 59999.5, spectrograph="RSPEC"),
            record("none.fits", 59999.5, spectrograph=None),
            record("era.fits", 59999.5, era="2", master_cal=True),
            record("bad.fits", 59999.5, quality="BAD", master_cal=True),
            record("late.fits", 60000.25, master_cal=True),
            record("old.fits", 59987.6, master_cal=True),
            record("timeless.fits", 59990.0, master_cal=True),
            record("bias.fits", 60000.0, cal_type="bias"),
        ]
    )
    with store.local_db.session_manager() as session:  # as a database from before the check of times may hold it
        columns = DemoCalibration.table().c
        session.execute(update(DemoCalibration).where(columns.filename == "timeless.fits").values(mjd_start=math.inf))
    return store.explain(FRAME, RULE)


def test_each_record_is_told_with_the_rule_that_refused_it_first_and_the_amount(explained: Explanation) -> None:
    told = {each.record.filename: (each.rule, each.reason) for each in explained.candidates}
    assert told == {
        "best.fits": ("chosen", "1.0 d older, the best that fits"),
        "farther.fits": ("farther", "2.0 d older, it fits, but another is preferred"),
        "single.fits": ("master_cal", "0.500 d older, its master_cal is False, the rule requires True"),
        "red.fits": ("spectrograph", "0.500 d older, its spectrograph is RSPEC, the frame's is BSPEC"),
        "none.fits": ("spectrograph", "0.500 d older, it has no spectrograph, the frame's is BSPEC"),
        "era.fits": ("era", "0.500 d older, its era is 2, the frame's is 1"),
        "bad.fits": ("quality", "0.500 d older, its quality is BAD"),
        "late.fits": ("direction", "0.250 d newer, only earlier ones are allowed"),
        "old.fits": ("max_age", "12.4 d older, limit 5 d"),
        "timeless.fits": ("mjd_start", "no time, its mjd_start is inf"),
    }


def test_the_counts_are_of_all_records_of_the_type(explained: Explanation, store: Store) -> None:
    counts = {
        "chosen": 1,
        "mjd_start": 1,
        "spectrograph": 2,
        "era": 1,
        "master_cal": 1,
        "quality": 1,
        "direction": 1,
        "max_age": 1,
        "farther": 1,
    }
    assert (explained.total, explained.counts) == (10, counts)
    few = store.explain(FRAME, RULE, nearest=2)
    assert (few.total, few.counts, len(few.candidates)) == (10, counts, 2)
    assert [each.record.filename for each in few.candidates] == ["best.fits", "late.fits"]


def test_the_winner_stands_on_top_and_the_others_by_distance(explained: Explanation) -> None:
    assert explained.winner is not None
    assert explained.winner.filename == explained.candidates[0].record.filename == "best.fits"
    deltas = [each.delta for each in explained.candidates[1:]]
    assert deltas[-1] is None
    assert deltas[:-1] == sorted((each for each in deltas if each is not None), key=abs)


def test_it_prints_as_a_table_that_tells_all(explained: Explanation) -> None:
    lines = str(explained).splitlines()
    assert lines[0] == "dark for spectrograph BSPEC, era 1, mjd_start 60000.0: best.fits is chosen"
    assert lines[1].startswith("10 known: 1 chosen, ")
    assert lines[2].split() == ["calibration", "rule", "reason"]
    assert any("old.fits" in line and "12.4 d older, limit 5 d" in line for line in lines)


def test_as_plain_data_it_is_strict_json(explained: Explanation) -> None:
    plain = json.loads(json.dumps(explained.to_dict(), allow_nan=False))
    assert plain["winner"]["filename"] == "best.fits"
    assert plain["asked"] == {"spectrograph": "BSPEC", "era": "1", "mjd_start": 60000.0}
    assert plain["candidates"][0] == {
        "id": plain["winner"]["id"],
        "filename": "best.fits",
        "rule": "chosen",
        "reason": "1.0 d older, the best that fits",
        "delta_days": -1.0,
        "side": None,
    }


def test_an_empty_database_is_explained_too(store: Store) -> None:
    explained = store.explain(FRAME, RULE)
    assert (explained.total, explained.counts, explained.candidates, explained.winner) == (0, {}, (), None)
    assert "nothing fits" in str(explained)
    assert "0 known: none" in str(explained)
    assert explained.to_dict()["winner"] is None


def test_unknown_eras_are_not_told_as_refusals(store: Store) -> None:
    store.local_db.add([record("a.fits", era="2"), record("b.fits", 60001.0)])
    rule = CalibrationSelector(cal_type="dark", match_if_known=("era",))
    assert store.explain({"mjd_start": 60000.0}, rule).counts == {"chosen": 1, "farther": 1}
    assert store.explain({"mjd_start": 60000.0, "era": "1"}, rule).counts == {"chosen": 1, "era": 1}


def test_a_required_choice_is_told_with_its_values(store: Store) -> None:
    store.local_db.add(record("a.fits", lamp="une"))
    rule = CalibrationSelector(cal_type="dark", require={"lamp": ("ThAr", "LFC")})
    assert store.explain(FRAME, rule).candidates[0].reason.endswith("its lamp is une, the rule requires thar or lfc")


@pytest.mark.parametrize(
    ("delta", "said"),
    [
        (None, "no time"),
        (-12.41, "12.4 d older"),
        (0.25, "0.250 d newer"),
        (-1, "1.0 d older"),
        (1e-9, "0.000 d newer"),
    ],
)
def test_an_offset_is_said_in_days(delta: float | None, said: str) -> None:
    assert offset(delta) == said


@pytest.mark.parametrize("nearest", [-1, 1.5, "5", None, True, 10**30])
def test_a_selector_is_asked_for_a_whole_number_of_records(store: Store, nearest: object) -> None:
    with pytest.raises(ConfigurationError, match="whole number, 0 or more"):
        RULE.explain(FRAME, store.local_db, nearest=nearest)  # type: ignore[arg-type]
