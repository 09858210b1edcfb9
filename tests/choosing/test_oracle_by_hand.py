"""The oracle against cases whose answer was worked out by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.choosing.oracle import (
    DAY_MS,
    By,
    Lacking,
    Range,
    Relative,
    Row,
    Rule,
    Step,
    best,
    bracket_of,
    candidates_of,
    weight_of,
)

MS = 1 / DAY_MS
DAY = timedelta(days=1)
FRAME = {"mjd_start": 60000.0, "arm": "red", "lamp": "lfc", "exposure_time": 30.0, "n_frames": 5}


def row(name: str, time: float | None = None, **more: Any) -> Row:
    """A good flat, so many days from the frame."""
    mjd = None if time is None else 60000.0 + time
    values = {"cal_type": "flat", "quality": "GOOD", "cal_version": "001", "mjd_start": mjd, "arm": "red", "lamp": None}
    filled = {"exposure_time": None, "n_frames": None, "valid_from": None, "valid_to": None}
    return {"id": name, "filename": f"{name}.fits", **values, **filled, **more}


def wls(name: str, time: float, **more: Any) -> Row:
    return row(name, time, cal_type="wls", **more)


BRACKET = {"direction": "bracket"}
LFC_THEN_THAR = (Step({"lamp": "lfc"}), Step({"lamp": "thar"}, max_age=DAY))
WINDOW = {"validity": ("valid_from", "valid_to")}


def by_hand(*rows: Row, **declared: Any) -> dict[str, Any]:
    return {"rows": rows, "rule": Rule(**declared)}


#: Cases, and their candidates, best first.
RANKED = [
    pytest.param(by_hand(row("a", -2), row("b", 1), row("c", 3)), ["b", "a", "c"], id="nearest first"),
    pytest.param(by_hand(row("a", 1), row("b", -1)), ["b", "a"], id="of equally near ones the earlier"),
    pytest.param(
        by_hand(row("B", 1), row("a", 1), row("c", 1, cal_version="002")), ["c", "B", "a"], id="version, then id"
    ),
    pytest.param(
        by_hand(row("b", 0.4 * MS), row("a", 0), row("c", 2 * MS)), ["a", "b", "c"], id="one to the millisecond"
    ),
    pytest.param(
        by_hand(row("a", None), row("b", math.inf), row("c", 0, quality="BAD"), row("d", 9)), ["d"], id="never"
    ),
    pytest.param(
        by_hand(row("a", 0.4 * MS), row("b", 0.6 * MS), row("c", -1), direction="before"),
        ["a", "c"],
        id="before, the frame's own time included",
    ),
    pytest.param(by_hand(row("a", -1), row("b", 1 + MS), max_age=DAY), ["a"], id="an age limit is inclusive"),
    pytest.param(by_hand(row("a", 0, arm=None), row("b", 0, arm="Red"), match=("arm",)), [], id="equal, bytewise"),
    pytest.param(
        by_hand(row("a", 0, lamp="thar"), row("b", 1), row("c", 2, lamp="lfc"), match_if_known=("lamp",)),
        ["b", "c"],
        id="equal where both sides know",
    ),
    pytest.param(
        by_hand(row("a", 0), row("b", 0, n_frames=4), row("c", 0, n_frames=5), require={"n_frames": Range(low=5)}),
        ["c"],
        id="a null never meets a range, which is inclusive",
    ),
    pytest.param(
        by_hand(row("a", 0), row("b", 1, lamp="thar"), row("c", 0, lamp="lfc"), require={"lamp": (None, "thar")}),
        ["a", "b"],
        id="None among the required is a null",
    ),
    pytest.param(
        by_hand(
            row("a", 0), row("b", 0, lamp="thar"), row("c", 0, n_frames=1), row("d", 1, lamp="lfc", n_frames=9),
            exclude={"lamp": "thar", "n_frames": Range(high=1)},
        ),
        ["a", "d"],
        id="any one excludes, a null never",
    ),
    pytest.param(
        by_hand(
            row("a", 0), row("b", 1, exposure_time=33.0), row("c", 1, exposure_time=33.001),
            within={"exposure_time": Relative(0.1)},
        ),
        ["b"],
        id="a tolerance is inclusive, a null is refused",
    ),
    pytest.param(
        by_hand(row("a", 1), row("b", -1), row("c", 3), never_across=(59999.5, 60001.5)),
        ["a"],
        id="no boundary between",
    ),
    pytest.param(
        by_hand(row("a", -MS), row("b", 0), row("c", 1), never_across=(60000.0,)),
        ["b", "c"],
        id="a boundary belongs to what begins at it",
    ),
    pytest.param(
        by_hand(row("a", 0), row("b", 2), max_age=By("arm", {"red": timedelta(days=2), "blue": None})),
        ["a", "b"],
        id="by the frame's arm",
    ),
    pytest.param(
        by_hand(
            row("open"), row("early", valid_from=59990.0), row("ended", valid_from=59999.0, valid_to=60000.0),
            row("late", valid_from=60000.5), row("now", valid_from=60000.0, valid_to=60000.1), max_age=DAY,
            **WINDOW,
        ),
        ["now", "early", "open"],
        id="windows: the latest start, an open one is the earliest",
    ),
    pytest.param(
        by_hand(row("old", valid_from=59990.0, valid_to=59991.0), validity=("valid_from", None)),
        ["old"],
        id="until the next one begins",
    ),
    pytest.param(
        by_hand(row("a", 1, lamp="thar"), row("b", 9, lamp="lfc"), row("c", 2, lamp="thar"), prefer=LFC_THEN_THAR),
        ["b", "a"],
        id="steps in order, each with its own limit",
    ),
    pytest.param(
        by_hand(
            wls("w", 5, lamp="thar"), row("a", 0), row("b", 6, lamp="thar"), row("c", 4.5, lamp="lfc"),
            anchor=Rule(cal_type="wls"), match_anchor=("lamp",),
        ),
        ["b"],
        id="near to the anchor, whose lamp it has",
    ),
    pytest.param(by_hand(row("a", 0), anchor=Rule(cal_type="wls")), [], id="no anchor"),
    pytest.param(
        by_hand(row("a", mjd_mid=60007.0), row("b", mjd_mid=60001.0), wls("w", 5, mjd_mid=60006.0), time="mjd_mid",
                anchor=Rule(cal_type="wls")),
        ["a", "b"],
        id="the anchor's time replaces one that the frame need not have",
    ),
    pytest.param(
        by_hand(wls("w", -3), wls("v", 2), row("a", -3), row("b", 1), anchor=Rule(cal_type="wls", **BRACKET)),
        ["b", "a"],
        id="the nearer one of a bracket is the anchor",
    ),
    pytest.param(
        by_hand(row("a", -3, lamp="lfc"), row("b", -0.5, lamp="thar"), row("c", 0.4, lamp="thar"),
                prefer=LFC_THEN_THAR, **BRACKET),
        ["c", "a", "b"],
        id="of a bracket the chosen one is the first, then those of each step",
    ),
    pytest.param(
        by_hand(row("a", -1, lamp="lfc"), row("b", 2, lamp="thar"), row("c", -4, lamp="thar"), same=("lamp",),
                **BRACKET),
        ["b", "a", "c"],
        id="of a pair that agrees the chosen one is the first",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("case", "expected"), RANKED)
def test_the_oracle_ranks_as_worked_out_by_hand(case: dict[str, Any], expected: list[str]) -> None:
    found = [each["id"] for each in candidates_of(case["rows"], FRAME, case["rule"])]
    assert found == expected
    chosen = best(case["rows"], FRAME, case["rule"])
    assert (chosen and chosen["id"]) == (expected[0] if expected else None)


#: Cases of brackets, and what stands before, after, and nearer.
BRACKETED = [
    pytest.param(by_hand(row("a", -2), row("b", -1), row("c", 3)), ("b", "c", "b"), id="around"),
    pytest.param(by_hand(row("a", 0.4 * MS)), ("a", None, "a"), id="at the frame is before"),
    pytest.param(by_hand(row("a", 0), row("b", 1)), ("a", "b", "a"), id="one at the frame, and one after"),
    pytest.param(by_hand(row("a", -1), row("b", 1), max_age=DAY / 2), (None, None, None), id="each within max_age"),
    pytest.param(by_hand(row("a", -1), row("b", 1), never_across=(60000.0,)), (None, "b", "b"), id="a boundary"),
    pytest.param(
        by_hand(row("a", -3, lamp="lfc"), row("b", -0.5, lamp="thar"), row("c", 0.4, lamp="thar"),
                prefer=LFC_THEN_THAR),
        ("a", "c", "c"),
        id="each side takes its first step that answers",
    ),
    pytest.param(
        by_hand(row("a", -3, lamp="lfc"), row("b", -0.5, lamp="thar"), row("c", 0.4, lamp="thar"),
                prefer=LFC_THEN_THAR, same=("lamp",)),
        ("b", "c", "c"),
        id="the first step in which both sides agree",
    ),
    pytest.param(
        by_hand(row("a", -3, lamp="lfc"), row("b", -0.5, lamp="thar"), prefer=LFC_THEN_THAR, same=("lamp",)),
        ("a", None, "a"),
        id="else the first that has one",
    ),
    pytest.param(
        by_hand(row("a", -1, lamp="x"), row("b", 9, lamp="x"), row("c", -3, lamp="y"), row("d", 3, lamp="y"),
                row("e", 0), row("f", 0.1), same=("lamp",)),
        ("c", "d", "c"),
        id="of several values the shortest pair, nulls agree with nothing",
    ),
    pytest.param(
        by_hand(row("a", -1, lamp="x"), row("b", 2, lamp="x"), row("c", -2, lamp="y"), row("d", 1, lamp="y"),
                same=("lamp",)),
        ("c", "d", "d"),
        id="of pairs as short the earlier",
    ),
    pytest.param(
        by_hand(row("a", -2, lamp="x"), row("b", 1, lamp="y"), same=("lamp",)), (None, "b", "b"), id="none complete"
    ),
    pytest.param(
        by_hand(row("a", -1, lamp="x"), row("b", 1, lamp="y"), same=("lamp",)),
        ("a", None, "a"),
        id="none complete, as near: the earlier",
    ),
    pytest.param(
        by_hand(row("a", -1, lamp="x", cal_version="002"), row("b", -1, lamp="y"), same=("lamp",)),
        ("a", None, "a"),
        id="none complete, at one time: the newest version",
    ),
    pytest.param(
        by_hand(wls("w", 5), row("a", 3), row("b", 5.5), anchor=Rule(cal_type="wls")),
        ("a", "b", "b"),
        id="the nearer one to the anchor",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("case", "expected"), BRACKETED)
def test_the_oracle_brackets_as_worked_out_by_hand(case: dict[str, Any], expected: tuple[Any, Any, Any]) -> None:
    rule = replace(case["rule"], direction="bracket")
    before, after = bracket_of(case["rows"], FRAME, rule)
    nearer = best(case["rows"], FRAME, rule)
    assert tuple(each and each["id"] for each in (before, after, nearer)) == expected


@pytest.mark.parametrize(
    "rule",
    [
        Rule(match=("arm",)),
        Rule(within={"exposure_time": 3.0}),
        Rule(prefer=(Step({"lamp": "lfc"}), Step({}, within={"exposure_time": 3.0}))),
        Rule(max_age=By("arm", {"blue": DAY})),
        Rule(time="mjd_mid"),
        Rule(anchor=Rule(cal_type="wls", match=("arm",))),
    ],
    ids=str,
)
def test_the_oracle_misses_what_a_frame_does_not_say(rule: Rule) -> None:
    for arm in (None, "", "*", "%"):
        with pytest.raises(Lacking):
            best([row("a", 0, mjd_mid=None)], {"mjd_start": 60000.0, "arm": arm}, rule)


@pytest.mark.parametrize(
    ("before", "after", "weight"), [(-1.0, 3.0, 0.25), (0.0, 1.0, 0.0), (0.4 * MS, 1.0, 0.0), (None, 1.0, None)]
)
def test_the_oracle_weighs_as_worked_out_by_hand(before: float | None, after: float, weight: float | None) -> None:
    pair = (None if before is None else row("a", before), row("b", after))
    assert weight_of(pair, FRAME, Rule()) == weight
