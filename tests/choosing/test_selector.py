"""Selectors that are programmed where a declaration does not do; `test_rules.py` tests the declared ones."""

from __future__ import annotations

import math
import re
import warnings
from collections import UserDict, UserList
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from koa_middleware import (
    CalibrationNotFoundError,
    CalibrationSelector,
    CalibrationStore,
    ConfigurationError,
    FallbackWarning,
    InvalidPluginError,
)
from sqlalchemy import select
from sqlalchemy.orm import Session

from tests.conftest import DemoCalibration, record

Store = CalibrationStore[DemoCalibration]
FRAME = {"mjd_start": 60000.0, "spectrograph": "BSPEC"}


class BareDatabase:
    """What a selector may use of a database, and nothing else."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.orm_class = DemoCalibration

    @contextmanager
    def session_manager(self) -> Iterator[Session]:
        with self._store.local_db.session_manager() as session:
            yield session


@pytest.fixture
def filled(store: Store) -> Store:
    store.local_db.add(
        [
            record("near.fits", 60001.0),
            record("master.fits", 60003.0, master_cal=True),
            record("bad.fits", 60000.0, quality="BAD"),
            record("red.fits", 60000.0, spectrograph="RSPEC"),
            record("bias.fits", 60000.0, cal_type="bias"),
            record("timed.fits", 60002.0, mjd_mid=60002.5),
        ]
    )
    return store


class Later(CalibrationSelector):
    """Candidates by SQL of one's own: later ones only."""

    cal_type = "dark"

    def get_candidates(self, input: Mapping[str, Any], db: Any) -> list[Any]:
        table = db.orm_class.table()
        with db.session_manager() as session:
            later = (table.c.mjd_start > input["mjd_start"] - 0.5) & (table.c.cal_type == "dark")
            return list(session.scalars(select(db.orm_class).where(later)))


class PrefersMasters(CalibrationSelector):
    """A choice of one's own among what the rule admits."""

    cal_type = "dark"
    match = ("spectrograph",)

    def select_best(self, input: Mapping[str, Any], candidates: Any) -> Any:
        candidates = list(candidates)
        return super().select_best(input, [each for each in candidates if each.master_cal] or candidates)


class Fallback(CalibrationSelector):
    """A rule that nothing fits, and a fallback."""

    cal_type = "dark"
    match = ("spectrograph",)
    max_age = timedelta(0)
    _fallback = "near.fits"

    def select_fallback(self, input: Mapping[str, Any], db: Any) -> Any:
        with db.session_manager() as session:
            return session.scalars(select(db.orm_class).where(db.orm_class.filename == self._fallback)).one_or_none()


class Fixed(CalibrationSelector):
    """All of the selection in one's own hands."""

    cal_type = "dark"

    def select(self, input: Mapping[str, Any], db: Any) -> Any:
        with db.session_manager() as session:
            return session.scalars(select(db.orm_class).where(db.orm_class.filename == "red.fits")).one()


@pytest.mark.parametrize("bare", [False, True], ids=["the store's database", "a bare one"])
@pytest.mark.parametrize(
    ("selector", "expected"),
    [(Later, "red.fits"), (PrefersMasters, "master.fits"), (Fixed, "red.fits")],
)
def test_an_overridden_method_is_the_one_that_counts(
    filled: Store, selector: type[CalibrationSelector], expected: str, bare: bool
) -> None:
    if bare:
        assert selector().select(FRAME, BareDatabase(filled)).filename == expected
    else:
        assert filled.select(FRAME, selector).filename == expected
    explained = selector().explain(FRAME, BareDatabase(filled))
    assert explained.winner is not None
    assert (explained.winner.filename, explained.candidates[0].rule) == (expected, "chosen")
    assert explained.candidates[0].record.filename == expected
    assert explained.counts["chosen"] == 1
    assert sum(explained.counts.values()) == explained.total == 5


def test_candidates_that_are_flagged_as_bad_never_reach_select_best(filled: Store) -> None:
    seen: list[str] = []

    class Curious(Later):
        def select_best(self, input: Mapping[str, Any], candidates: Any) -> Any:
            seen.extend(each.filename for each in candidates)
            return super().select_best(input, candidates)

    filled.select(FRAME, Curious)
    assert sorted(seen) == ["master.fits", "near.fits", "red.fits", "timed.fits"]


def test_an_override_that_refuses_all_says_so(filled: Store) -> None:
    class Picky(CalibrationSelector):
        cal_type = "dark"

        def get_candidates(self, input: Mapping[str, Any], db: Any) -> list[Any]:
            return []

    with pytest.raises(CalibrationNotFoundError, match="Picky does not admit it") as caught:
        filled.select(FRAME, Picky)
    assert caught.value.total == 5
    assert filled.explain(FRAME, Picky).counts == {"quality": 1, "get_candidates": 4}

    class Undecided(CalibrationSelector):
        cal_type = "dark"

        def select_best(self, input: Mapping[str, Any], candidates: Any) -> Any:
            return None

    with pytest.raises(CalibrationNotFoundError):
        filled.select(FRAME, Undecided)


@pytest.mark.parametrize(
    ("method", "junk", "said"),
    [
        ("get_candidates", None, "returned None. It should return a list of records."),
        ("get_candidates", [None], "returned None among its records. It should return a list of records."),
        (
            "get_candidates",
            ["near.fits"],
            "returned 'near.fits' among its records. It should return a list of records.",
        ),
        ("get_candidates", "near.fits", "returned 'near.fits'. It should return a list of records."),
        ("select", ["near.fits"], "returned ['near.fits']. It should return a record, or None."),
        ("select_best", "near.fits", "returned 'near.fits'. It should return a record, or None."),
        ("select_fallback", {"id": "1"}, "returned {'id': '1'}. It should return a record, or None."),
    ],
    ids=repr,
)
def test_a_method_that_returns_something_else_is_named(filled: Store, method: str, junk: Any, said: str) -> None:
    broken = type("Broken", (CalibrationSelector,), {"cal_type": "dark", method: lambda *_: junk})
    rule = broken(require={"master_cal": True}, max_age=timedelta(0)) if method == "select_fallback" else broken()
    for ask in (filled.select, filled.explain):
        with pytest.raises(ConfigurationError, match=re.escape(f"The {method} of Broken {said}")) as caught:
            ask(FRAME, rule)
        assert caught.value.setting == method


def test_a_select_that_returns_nothing_chooses_nothing(filled: Store) -> None:
    broken = type("Broken", (CalibrationSelector,), {"cal_type": "dark", "select": lambda *_: None})
    with pytest.raises(CalibrationNotFoundError, match=re.escape("The select of Broken returned nothing.")):
        filled.select(FRAME, broken)
    assert filled.explain(FRAME, broken).winner is None


@pytest.mark.parametrize("times", [[None], [math.inf], [-math.inf, math.nan], []], ids=repr)
def test_a_candidate_without_a_finite_time_never_wins(times: list[Any]) -> None:
    selector = CalibrationSelector(cal_type="dark", time="mjd_mid")
    timed = record("timed.fits", 60009.0, mjd_mid=60009.0)
    others = [record(f"{number}.fits") for number in range(len(times))]
    for other, time in zip(others, times, strict=True):
        other.mjd_mid = time
    assert selector.select_best({"mjd_mid": 60000.0}, others) is None
    assert selector.select_best({"mjd_mid": 60000.0}, [*others, timed]) is timed


def test_a_fallback_is_used_when_nothing_fits_and_is_told(filled: Store) -> None:
    with pytest.warns(FallbackWarning, match=r"Fallback.*near\.fits") as caught:
        path, found = filled.select(FRAME, Fallback), filled.select(FRAME, Fallback)
    assert len(caught) == 2
    assert path.is_fallback
    assert found.is_fallback
    with pytest.warns(FallbackWarning):
        explained = filled.explain(FRAME, Fallback)
    assert explained.to_dict()["is_fallback"] is True
    assert "by the fallback, as nothing fits the rule" in str(explained)
    assert explained.candidates[0].reason.endswith("the fallback's choice")


def test_a_fallback_is_not_used_when_something_fits(filled: Store) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = filled.select({**FRAME, "mjd_start": 60002.0}, Fallback)
    assert (found.filename, found.is_fallback) == ("timed.fits", False)


@pytest.mark.parametrize("fallback", ["bad.fits", "nowhere.fits"])
def test_a_fallback_that_is_bad_or_nothing_is_no_answer(filled: Store, fallback: str) -> None:
    selector = Fallback()
    selector._fallback = fallback
    with pytest.raises(CalibrationNotFoundError, match="limit 0 d"):
        filled.select(FRAME, selector)


def test_a_fallback_that_is_not_among_the_nearest_stands_on_top_of_the_explanation(filled: Store) -> None:
    selector = Fallback()
    selector._fallback = "master.fits"
    with pytest.warns(FallbackWarning):
        explained = filled.explain(FRAME, selector, nearest=1)
    assert [each.record.filename for each in explained.candidates] == ["master.fits"]
    assert explained.counts["chosen"] == 1
    assert explained.total == 5


def test_there_is_no_fallback_unless_one_is_defined(filled: Store) -> None:
    with pytest.raises(CalibrationNotFoundError):
        filled.select(FRAME, CalibrationSelector(cal_type="dark", max_age=timedelta(0), match=("spectrograph",)))


def test_arguments_of_an_instance_go_before_the_class_and_change_no_other(filled: Store) -> None:
    class Declared(CalibrationSelector):
        cal_type = "dark"
        max_age = timedelta(0)
        match = ("spectrograph",)

    wide = Declared(max_age=None, direction="after", require={"master_cal": True})
    assert filled.select(FRAME, wide).filename == "master.fits"
    with pytest.raises(CalibrationNotFoundError):
        filled.select(FRAME, Declared)


@pytest.mark.parametrize(
    "declared",
    [
        {"direction": "backwards"},
        {"maximum_age": timedelta(days=1)},
        {"max_age": 5},
        {"max_age": timedelta(days=-1)},
        {"match": "spectrograph"},
        {"match_if_known": "era"},
    ],
    ids=repr,
)
def test_a_misdeclared_selector_is_said(declared: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=f"CalibrationSelector.*{next(iter(declared))}|direction"):
        CalibrationSelector(cal_type="dark", **declared)


@pytest.mark.parametrize(
    "names",
    [
        map(str, ["spectrograph"]),
        (name for name in ["spectrograph"]),
        UserList(["spectrograph"]),
        {"spectrograph": 1}.keys(),
        np.array(["spectrograph"]),
        None,
    ],
    ids=lambda names: type(names).__name__,
)
@pytest.mark.parametrize("setting", ["match", "given", "match_if_known"])
def test_names_that_pass_or_change_unseen_are_refused(filled: Store, setting: str, names: Any) -> None:
    said = f"has a {setting} of the type {type(names).__name__}"
    with pytest.raises(ConfigurationError, match=said):
        CalibrationSelector(cal_type="dark", **{setting: names})
    changed = CalibrationSelector(cal_type="dark")
    filled.select(FRAME, changed)
    setattr(changed, setting, names)
    with pytest.raises(ConfigurationError, match=said):
        filled.select(FRAME, changed)


@pytest.mark.parametrize(
    "require",
    [UserDict(era="1"), [("era", "1")], iter(()), np.array([1, 2]), None],
    ids=lambda require: type(require).__name__,
)
def test_a_require_is_a_dict(require: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"has a require of the type {type(require).__name__}"):
        CalibrationSelector(cal_type="dark", require=require)


def test_a_setting_that_is_changed_counts_from_then_on(filled: Store) -> None:
    names: list[str] = []
    required: dict[str, list[Any]] = {"quality": ["GOOD"]}
    selector = CalibrationSelector(cal_type="dark", match=names, require=required)
    assert filled.select(FRAME, selector).filename == "red.fits"
    names.append("spectrograph")
    assert filled.select(FRAME, selector).filename == "near.fits"
    required["master_cal"] = [True]
    assert filled.select(FRAME, selector).filename == "master.fits"
    required["quality"][0] = "UNKNOWN"
    with pytest.raises(CalibrationNotFoundError):
        filled.select(FRAME, selector)


def test_declarations_may_be_lists_and_sets(filled: Store) -> None:
    selector = CalibrationSelector(
        cal_type="dark", match=["spectrograph"], match_if_known=["era"], require={"quality": {"GOOD"}, "lamp": [None]}
    )
    assert filled.select(FRAME, selector).filename == "near.fits"
    selector = CalibrationSelector(cal_type="dark", match=["spectrograph"], require={"quality": ["GOOD", "UNKNOWN"]})
    assert filled.select(FRAME, selector).filename == "near.fits"


@pytest.mark.parametrize(
    ("require", "expected"),
    [
        (None, ["null"]),
        ((None,), ["null"]),
        ((None, "1"), ["1", "null"]),
        ([None, "1", "2"], ["1", "2", "null"]),
        (("1", "2"), ["1", "2"]),
    ],
    ids=repr,
)
def test_none_among_required_values_is_a_null(store: Store, require: Any, expected: list[str]) -> None:
    store.local_db.add([record(f"{era}.fits", era=None if era == "null" else era) for era in ("1", "2", "3", "null")])
    rule = CalibrationSelector(cal_type="dark", require={"era": require})
    found = rule.get_candidates(FRAME, store.local_db)
    assert sorted(each.filename.removesuffix(".fits") for each in found) == expected
    assert store.explain(FRAME, rule).counts.get("era", 0) == 4 - len(expected)


def test_an_unusable_required_value_is_said(filled: Store) -> None:
    with pytest.raises(ConfigurationError, match=r"SUPERB.*quality.*GOOD, BAD, UNKNOWN"):
        filled.select(FRAME, CalibrationSelector(cal_type="dark", require={"quality": "SUPERB"}))


@pytest.mark.parametrize("value", [" ", "N/A", math.nan, ("1", "unknown")], ids=repr)
def test_a_required_value_that_means_none_is_refused(filled: Store, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"of era, where it means that there is no value\. Write None"):
        filled.select(FRAME, CalibrationSelector(cal_type="dark", require={"era": value}))


@pytest.mark.parametrize(
    "kind", [lambda value: value, lambda value: (value, "9"), lambda value: [value], lambda value: {value}]
)
def test_a_required_value_is_not_taken_for_an_equal_one_of_another_type(
    filled: Store, kind: Callable[[Any], Any]
) -> None:
    values = (1, True, 1.0, Decimal("1"), Decimal("1.0"), "1")
    expected = ["1", "True", "1.0", "1", "1.0", "1"]
    filled.local_db.add([record(f"{era}.fits", 59990.0, era=era) for era in ("1", "True", "1.0")])

    def chosen(selector: CalibrationSelector) -> Any:
        return filled.select(FRAME, selector).era

    changed = CalibrationSelector(cal_type="dark")
    found = []
    for value in values:
        changed.require = {"era": kind(value)}
        found.append((chosen(CalibrationSelector(cal_type="dark", require={"era": kind(value)})), chosen(changed)))
    assert found == [(each, each) for each in expected]


def test_a_fault_is_told_also_after_an_equal_value_without_one(filled: Store) -> None:
    assert filled.select(FRAME, CalibrationSelector(cal_type="dark", require={"cal_version": 1})).cal_version == "001"
    with pytest.raises(ConfigurationError, match="True of cal_version"):
        filled.select(FRAME, CalibrationSelector(cal_type="dark", require={"cal_version": True}))


def test_each_direction_admits_the_frames_own_time(filled: Store) -> None:
    at = {**FRAME, "mjd_start": 60001.0}
    for direction in ("nearest", "before", "after"):
        rule = CalibrationSelector(cal_type="dark", direction=direction, match=("spectrograph",))
        assert filled.select(at, rule).filename == "near.fits"


def test_a_selector_of_a_type_that_the_class_does_not_have_is_refused_where_it_is_used(filled: Store) -> None:
    class Misspelt(CalibrationSelector):
        cal_type = "dork"

    said = "cal_type 'dork', which DemoCalibration does not have. Its types are bias, dark"
    for selector, error in ((Misspelt, InvalidPluginError), (CalibrationSelector(cal_type="dork"), ConfigurationError)):
        for ask in (filled.select, filled.explain):
            with pytest.raises(error, match=said):
                ask(FRAME, selector)
