"""Each condition is one object: what picks, what explains and what checks a plugin say the same of it."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from koa_middleware import (
    CalibrationNotFoundError,
    CalibrationSelector,
    CalibrationStore,
    ConfigurationError,
    FallbackWarning,
    InstrumentPlugin,
    InvalidPluginError,
    KoaMiddlewareError,
    ORMCalibration,
)
from koa_middleware.choosing import criteria
from koa_middleware.choosing.criterion import Columns, Condition, Parameters
from koa_middleware.choosing.frame import Frame
from koa_middleware.choosing.required import Excluded
from koa_middleware.choosing.rule import Rule
from koa_middleware.choosing.selector import ruling_of
from sqlalchemy import ColumnElement, bindparam, select

from tests.conftest import DemoCalibration, record

Store = CalibrationStore[DemoCalibration]
FRAME = {"mjd_start": 60000.0, "spectrograph": "BSPEC", "era": "1", "lamp": "thar"}
EVERYTHING = CalibrationSelector(
    cal_type="dark",
    match=("spectrograph",),
    given=("lamp",),
    match_if_known=("era",),
    require={"cooled": True, "amplifiers": (2, 4)},
    max_age=timedelta(days=5),
    direction="before",
    time="mjd_mid",
)
#: What each kind refuses, nulls among it, beside a record that fits.
FITS = {"mjd_mid": 59999.0, "lamp": "ThAr", "era": "1", "cooled": True, "amplifiers": 2}
REFUSED: dict[str, list[Any]] = {
    "cal_type": ["flat"],
    "mjd_mid": [None, 60001.0, 59000.0],
    "spectrograph": ["RSPEC", None],
    "lamp": ["une", None],
    "era": ["2"],
    "cooled": [False, None],
    "amplifiers": [1, None],
    "quality": ["BAD"],
}


@pytest.fixture(autouse=True)
def no_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test makes of a plugin's selectors ends with it."""
    monkeypatch.setattr(DemoCalibration, "selectors", {})


def test_each_criterion_holds_of_what_it_does_not_refuse_and_the_rule_admits_what_all_hold_of(store: Store) -> None:
    refused = [{name: value} for name, values in REFUSED.items() for value in values]
    rows = [record(f"{n}.fits", **{**FITS, **wrong}) for n, wrong in enumerate([{}, {"era": None}, *refused])]
    store.local_db.add(rows)
    ruling = ruling_of(EVERYTHING, DemoCalibration)
    frame = ruling.frame({**FRAME, "mjd_mid": 60000.0})
    (plan,) = ruling.settled(frame)[1]
    parameters = plan.parameters(frame)
    refusing: dict[str, int] = {}
    admitted = {row.id for row in rows}
    with store.local_db.connect() as connection:
        for criterion in plan.criteria:
            bound = {**parameters, **criterion.bounds(parameters)}
            held, out = (
                set(connection.execute(select(plan.columns["id"]).where(clause), bound).scalars())
                for clause in (
                    criterion.holds(plan.columns),
                    criterion.refuses(plan.columns),
                )
            )
            assert held | out == {row.id for row in rows}
            assert not held & out
            refusing[criterion.rule] = refusing.get(criterion.rule, 0) + len(out)
            admitted &= held
    assert refusing == {
        "cal_type": 1,
        "itself": 0,
        "mjd_mid": 1,
        "spectrograph": 2,
        "lamp": 2,
        "era": 1,
        "cooled": 2,
        "amplifiers": 2,
        "quality": 1,
        "direction": 2,
        "max_age": 2,
    }
    found = EVERYTHING.get_candidates({**FRAME, "mjd_mid": 60000.0}, store.local_db)
    assert {each.filename for each in found} == {"0.fits", "1.fits"}
    assert {each.id for each in found} == admitted


# -- what an author misdeclares ----------------------------------------------------------------------------------------

UNFIT = [
    ({"match": ("spektrograph",)}, "names the column spektrograph, which DemoCalibration does not have"),
    ({"given": ("spektrograph",)}, "spektrograph"),
    ({"match_if_known": ("eras",)}, "eras"),
    ({"require": {"mastercal": True}}, "mastercal"),
    ({"time": "mjd"}, "mjd"),
    ({"time": "lamp"}, "measures time by lamp, which holds no numbers"),
    ({"require": {"amplifiers": "two"}}, "requires 'two' of amplifiers, which the column cannot hold"),
    ({"require": {"amplifiers": (2, 2.5)}}, "requires 2.5 of amplifiers"),
    ({"require": {"quality": "SUPERB"}}, "SUPERB"),
    ({"require": {"cooled": ("yes", "perhaps")}}, "perhaps"),
]


@pytest.mark.parametrize(("declared", "said"), UNFIT, ids=lambda value: repr(value)[:50])
def test_what_does_not_fit_the_class_is_refused_by_the_plugin_and_else_at_the_first_use(
    store: Store, declared: dict[str, Any], said: str
) -> None:
    selector = CalibrationSelector(cal_type="dark", **declared)
    with pytest.raises(InvalidPluginError, match=f"its selector CalibrationSelector .*{said}"):
        InstrumentPlugin(DemoCalibration, [selector])
    uses: list[Callable[..., Any]] = [store.select, store.explain, store.get_calibration]
    for use in uses:
        with pytest.raises(ConfigurationError, match=f"^CalibrationSelector .*{said}") as caught:
            use(FRAME, selector)
        assert caught.value.setting == next(iter(declared))
        assert caught.value.hint


@pytest.mark.parametrize(
    "declared",
    [
        {"cal_type": None},
        {"time": ("mjd_mid",)},
        {"match": "spectrograph"},
        {"match": None},
        {"given": [1]},
        {"match_if_known": "era"},
        {"require": ("cooled",)},
        {"require": {"cooled": {"value": True}}},
        {"max_age": 5},
        {"direction": "both"},
    ],
    ids=repr,
)
def test_a_setting_of_the_wrong_type_is_refused_when_the_selector_is_made(declared: dict[str, Any]) -> None:
    (setting,) = declared
    with pytest.raises(InvalidPluginError, match=f"Declared .*{setting}"):
        type("Declared", (CalibrationSelector,), declared)
    with pytest.raises(ConfigurationError) as caught:
        CalibrationSelector(**{"cal_type": "dark", **declared})
    assert caught.value.setting == setting


def test_a_setting_that_is_changed_later_is_checked_too(store: Store) -> None:
    selector = CalibrationSelector(cal_type="dark")
    selector.direction = "both"
    with pytest.raises(ConfigurationError, match="both"):
        store.select(FRAME, selector)


# -- a selector as it is declared now ----------------------------------------------------------------------------------


@pytest.fixture
def filled(store: Store) -> Store:
    store.local_db.add(
        [
            record("near.fits", 60001.0, lamp="lfc"),
            record("far.fits", 60003.0, lamp="thar", master_cal=True),
            record("bad.fits", 60000.0, quality="BAD", lamp="thar"),
        ]
    )
    return store


def test_a_changed_attribute_counts_at_the_next_selection(filled: Store) -> None:
    class Declared(CalibrationSelector):
        cal_type = "dark"
        require: Mapping[str, Any] = {"lamp": ["lfc"]}
        match_if_known: Any = ["cooled"]

    selector = Declared()

    def chosen() -> str:
        return filled.select(FRAME, selector).filename

    assert chosen() == "near.fits"
    Declared.require["lamp"][0] = "thar"
    assert chosen() == "far.fits"
    Declared.require = {}
    assert chosen() == "near.fits"
    selector.match_if_known.append("lamp")
    assert chosen() == "far.fits"
    Declared.match_if_known = ()
    assert chosen() == "near.fits"
    selector.max_age = timedelta(hours=1)
    with pytest.raises(CalibrationNotFoundError):
        chosen()
    del selector.max_age
    Declared.match = ("lamp",)
    assert chosen() == "far.fits"


def test_a_selector_travels_between_processes_after_it_was_used(filled: Store) -> None:
    selector = CalibrationSelector(cal_type="dark", require={"lamp": ("thar",)})
    assert filled.select(FRAME, selector).filename == "far.fits"
    twin = pickle.loads(pickle.dumps(selector))
    assert filled.select(FRAME, twin).filename == "far.fits"


def test_one_selector_serves_two_instruments(filled: Store, open_demo: Callable[..., Any]) -> None:
    class OtherCalibration(ORMCalibration):
        instrument_name = "otherdemo"

    selector = CalibrationSelector(cal_type="dark")
    other = open_demo(orm_class=OtherCalibration)
    other.local_db.add(OtherCalibration(filename="other.fits", cal_type="dark", mjd_start=60000.0))
    for _ in range(2):
        assert filled.select(FRAME, selector).filename == "near.fits"
        assert other.select(FRAME, selector).filename == "other.fits"


# -- bad ones ----------------------------------------------------------------------------------------------------------


def of_name(db: Any, filename: str) -> Any:
    with db.session_manager() as session:
        return session.scalars(select(db.orm_class).where(db.orm_class.filename == filename)).one()


class BadCandidates(CalibrationSelector):
    cal_type = "dark"

    def get_candidates(self, input: Mapping[str, Any], db: Any) -> list[Any]:
        return [of_name(db, "bad.fits")]


class BadBest(CalibrationSelector):
    cal_type = "dark"
    _db: Any = None

    def select_best(self, input: Mapping[str, Any], candidates: Iterable[Any]) -> Any:
        return of_name(self._db, "bad.fits")


class BadFallback(CalibrationSelector):
    cal_type = "dark"
    max_age = timedelta(0)

    def select_fallback(self, input: Mapping[str, Any], db: Any) -> Any:
        return of_name(db, "bad.fits")


class BadChoice(CalibrationSelector):
    cal_type = "dark"

    def select(self, input: Mapping[str, Any], db: Any) -> Any:
        return of_name(db, "bad.fits")


@pytest.mark.parametrize("selector", [BadCandidates, BadBest, BadFallback, BadChoice])
def test_a_bad_one_is_never_chosen_whatever_is_programmed(
    filled: Store, selector: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BadBest, "_db", filled.local_db)
    with pytest.raises(ConfigurationError if selector is BadBest else CalibrationNotFoundError):
        filled.select(FRAME, selector)
    assert isinstance(filled.select_many([FRAME], selector, return_exceptions=True)[0], KoaMiddlewareError)


def test_a_fallback_that_stands_in_for_a_bad_one_is_used(filled: Store) -> None:
    class GoodFallback(BadCandidates):
        def select_fallback(self, input: Mapping[str, Any], db: Any) -> Any:
            return of_name(db, "far.fits")

    with pytest.warns(FallbackWarning, match=r"far\.fits"):
        assert filled.select(FRAME, GoodFallback).is_fallback


# -- a new kind --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class NotLonger(Condition):
    """No longer exposed than the frame: a kind that does not exist."""

    column: str
    setting = "not_longer"

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    @classmethod
    def declared(cls, rule: Rule) -> Iterable[NotLonger]:
        return [cls(name) for name, value in rule.exclude if value == "longer"]

    def clause(self, columns: Columns) -> ColumnElement[bool]:
        return columns[self.column] <= bindparam(f"not_longer_{self.column}", None)

    def parameters(self, frame: Frame) -> Parameters:
        return {f"not_longer_{self.column}": frame.needed(self.column)}

    def reason(self, record: Any, parameters: Parameters) -> str:
        return f"{self.column} {record[self.column]:g} s, the frame's is {parameters[f'not_longer_{self.column}']:g} s"


class Short(CalibrationSelector):
    cal_type = "dark"
    exclude: Mapping[str, Any] = {"exposure_time": "longer"}


def test_a_new_kind_of_condition_is_one_class_and_its_name_in_the_list(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = tuple(kind for kind in criteria.KINDS if kind is not Excluded)
    monkeypatch.setattr(criteria, "KINDS", (*others, NotLonger))
    store.local_db.add([record("long.fits", exposure_time=60.0), record("short.fits", 60002.0, exposure_time=5.0)])
    frame = {**FRAME, "exposure_time": 30}
    assert store.select(frame, Short).filename == "short.fits"
    assert [each.filename for each in Short().get_candidates(frame, store.local_db)] == ["short.fits"]
    explained = store.explain(frame, Short)
    assert explained.counts == {"chosen": 1, "exposure_time": 1}
    assert explained.candidates[1].reason == "0.000 d newer, exposure_time 60 s, the frame's is 30 s"
    with pytest.raises(KoaMiddlewareError, match="exposure_time"):
        store.select(FRAME, Short)
    monkeypatch.setattr(Short, "exclude", {"exposure": "longer"})
    with pytest.raises(InvalidPluginError, match="names the column exposure, which"):
        InstrumentPlugin(DemoCalibration, [Short()])
