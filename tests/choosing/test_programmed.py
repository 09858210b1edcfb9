"""Selectors whose methods a plugin wrote: their answers, their explanations, and that they can be large."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from koa_middleware import (
    CalibrationNotFoundError,
    CalibrationSelector,
    CalibrationStore,
    ConfigurationError,
    FallbackWarning,
    InvalidPluginError,
    Step,
)

from tests.conftest import DemoCalibration, output_of, record, repetitions, run_python

Store = CalibrationStore[DemoCalibration]
FRAME = {"mjd_start": 60000.0, "lamp": "thar"}


class NoMasters(CalibrationSelector):
    """The rule's own candidates, but for masters."""

    cal_type = "dark"
    match = ("lamp",)

    def get_candidates(self, input: Mapping[str, Any], db: Any) -> list[Any]:
        return [each for each in super().get_candidates(input, db) if not each.master_cal]


class TakesNone(NoMasters):
    def select_best(self, input: Mapping[str, Any], candidates: Any) -> Any:
        return None


class AdmitsAll(CalibrationSelector):
    """Admits what the declared part refuses."""

    cal_type = "dark"
    match = ("lamp",)

    def get_candidates(self, input: Mapping[str, Any], db: Any) -> list[Any]:
        return CalibrationSelector(cal_type="dark").get_candidates(input, db)


@pytest.fixture
def filled(open_demo: Callable[..., Store]) -> Store:
    store = open_demo()
    store.local_db.add(
        [
            record("good.fits", 60001.0, lamp="thar"),
            record("second.fits", 60004.0, lamp="thar"),
            record("other.fits", 60000.1, lamp="une"),
            record("master.fits", 60000.2, lamp="thar", master_cal=True),
            record("bad.fits", 60000.3, lamp="une", quality="BAD"),
        ]
    )
    return store


def told(store: Store, selector: type[CalibrationSelector]) -> dict[str, tuple[str, str]]:
    explained = store.explain(FRAME, selector)
    assert sum(explained.counts.values()) == explained.total == 5
    return {each.record.filename: (each.rule, each.reason.split(", ", 1)[1]) for each in explained.candidates}


def test_the_declared_part_of_a_programmed_selector_is_explained(filled: Store) -> None:
    assert filled.select(FRAME, NoMasters).filename == "good.fits"
    assert told(filled, NoMasters) == {
        "good.fits": ("chosen", "the best that fits"),
        "second.fits": ("farther", "it fits, but another is preferred"),
        "other.fits": ("lamp", "its lamp is une, the frame's is thar"),
        "master.fits": ("get_candidates", "NoMasters does not admit it"),
        "bad.fits": ("quality", "its quality is BAD"),
    }


def test_a_select_best_that_takes_none_is_said_to(filled: Store) -> None:
    said = "it fits, but the select_best of TakesNone takes none"
    with pytest.raises(CalibrationNotFoundError, match="2 of the 5 known fit, but its select_best takes none"):
        filled.select(FRAME, TakesNone)
    explained = told(filled, TakesNone)
    assert explained["good.fits"] == explained["second.fits"] == ("select_best", said)
    assert explained["other.fits"][0] == "lamp"
    assert filled.explain(FRAME, TakesNone).winner is None


def test_what_a_method_admits_against_the_declared_part_is_not_said_to_be_refused(filled: Store) -> None:
    assert filled.select(FRAME, AdmitsAll).filename == "other.fits"
    rules = {name: rule for name, (rule, _) in told(filled, AdmitsAll).items()}
    assert rules == {
        "other.fits": "chosen",
        "good.fits": "farther",
        "second.fits": "farther",
        "master.fits": "farther",
        "bad.fits": "quality",
    }


def test_a_methods_candidates_are_asked_for_once(filled: Store) -> None:
    asked = []

    class Counting(TakesNone):
        def get_candidates(self, input: Mapping[str, Any], db: Any) -> list[Any]:
            asked.append(1)
            return super().get_candidates(input, db)

    filled.explain(FRAME, Counting)
    assert len(asked) == 1
    with pytest.raises(CalibrationNotFoundError):
        filled.select(FRAME, Counting)
    assert len(asked) == 2


def choosing(method: str, give: Callable[..., Any]) -> CalibrationSelector:
    """Give a selector of one method that is programmed; a fallback has nothing before it."""
    made = type("Odd", (CalibrationSelector,), {"cal_type": "dark", method: lambda *_: give()})
    return made(require={"cal_version": "999"} if method == "select_fallback" else {})


METHODS = ["get_candidates", "select_best", "select_fallback", "select"]


@pytest.mark.parametrize("method", METHODS)
def test_a_record_of_another_type_or_made_up_is_refused_with_the_method_that_gave_it(
    filled: Store, method: str
) -> None:
    filled.local_db.add(record("flat.fits", cal_type="flat"))
    found = {"flat.fits": filled.query("flat")[0], "made-up.fits": record("made-up.fits", master_cal=True)}
    for name, given in found.items():
        rule = choosing(method, lambda given=given: [given] if method == "get_candidates" else given)
        for ask in (filled.select, filled.explain):
            with pytest.raises(ConfigurationError, match=f"^The {method} of Odd returned '{name}', wh"):
                ask(FRAME, rule)


@pytest.mark.parametrize("method", METHODS)
def test_a_record_that_was_read_anew_is_chosen_and_counted(filled: Store, method: str) -> None:
    rule = choosing(method, lambda: filled.query("dark")[:1] if method == "get_candidates" else filled.query("dark")[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FallbackWarning)
        explained, chosen = filled.explain(FRAME, rule), filled.select(FRAME, rule)
    assert explained.winner is not None
    assert explained.winner.filename == chosen.filename == filled.query("dark")[0].filename
    assert explained.counts["chosen"] == 1


def changed(record: Any, **values: Any) -> Any:
    for name, value in values.items():
        setattr(record, name, value)
    return record


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.filterwarnings("ignore::koa_middleware.FallbackWarning")
def test_a_record_that_a_method_changed_is_given_as_the_database_holds_it(filled: Store, method: str) -> None:
    one = changed(filled.query(filename="good.fits")[0], filename="other.fits", checksum=None, lamp="une")
    given = filled.select(FRAME, choosing(method, lambda: [one] if method == "get_candidates" else one))
    assert given.to_dict() == filled.query(filename="good.fits")[0].to_dict()
    assert given.is_fallback == (method == "select_fallback")


@pytest.mark.parametrize("method", ["get_candidates", "select_fallback", "select"])
def test_a_record_that_was_flagged_after_a_method_kept_it_is_not_chosen(filled: Store, method: str) -> None:
    kept = filled.query(filename="good.fits")[0]
    filled.flag("good.fits", "BAD", "light leak")
    with pytest.raises(CalibrationNotFoundError):
        filled.select(FRAME, choosing(method, lambda: [kept] if method == "get_candidates" else kept))


def test_a_selector_that_keeps_its_candidates_takes_the_next_best_where_one_was_flagged_meanwhile(
    filled: Store,
) -> None:
    kept = filled.query("dark", lamp="thar")
    rule = choosing("get_candidates", lambda: kept)
    assert filled.select(FRAME, rule).filename == "master.fits"
    filled.flag("master.fits", "BAD", "light leak")
    assert filled.select(FRAME, rule).filename == "good.fits"
    assert filled.explain(FRAME, rule).counts == {"chosen": 1, "quality": 2, "get_candidates": 1, "farther": 1}


def test_a_flat_that_a_method_calls_a_dark_is_refused(filled: Store) -> None:
    filled.local_db.add(record("flat.fits", cal_type="flat"))
    flat = changed(filled.query("flat")[0], cal_type="dark")
    with pytest.raises(ConfigurationError, match="whose cal_type is flat"):
        filled.select(FRAME, choosing("select", lambda: flat))


class Unwritable:
    def __repr__(self) -> str:
        raise RuntimeError("it cannot be written")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("odd", [10**5000, Unwritable()], ids=["a number of 5,000 digits", "without a repr"])
def test_what_cannot_be_written_is_named_by_its_type(filled: Store, method: str, odd: Any) -> None:
    given = [odd] if method == "get_candidates" else odd
    with pytest.raises(ConfigurationError, match="returned a value of the type "):
        filled.select(FRAME, choosing(method, lambda: given))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "values",
    [
        {"filename": "\ud800", "id": "x"},
        {"id": 10**30},
        {"id": []},
        {"id": "\ud800"},
        {"mjd_start": "x"},
        {"filename": []},
    ],
    ids=str,
)
def test_a_record_with_values_that_no_record_has_is_an_error_of_its_method(
    filled: Store, method: str, values: dict[str, Any]
) -> None:
    odd = changed(filled.query(filename="bad.fits")[0], quality="GOOD", **values)
    with pytest.raises((ConfigurationError, InvalidPluginError, CalibrationNotFoundError)) as caught:
        filled.select(
            {**FRAME, "filename": "frame.fits"}, choosing(method, lambda: [odd] if method == "get_candidates" else odd)
        )
    str(caught.value).encode()


def leave(*_: Any) -> Any:
    sys.exit("no darks today")


def fail_midway() -> Any:
    yield from ()
    raise KeyError("lamp")


@pytest.mark.parametrize("method", METHODS)
def test_a_method_that_ends_the_program_is_an_error_of_its_plugin(filled: Store, method: str) -> None:
    with pytest.raises(InvalidPluginError, match=f"^The {method} of Odd failed with SystemExit: no darks today"):
        filled.select(FRAME, choosing(method, leave))


def test_candidates_that_fail_while_they_are_gone_through_are_an_error_of_their_plugin(filled: Store) -> None:
    with pytest.raises(InvalidPluginError, match=r"^The get_candidates of Odd failed with KeyError: 'lamp'"):
        filled.select(FRAME, choosing("get_candidates", fail_midway))


def test_one_record_in_the_place_of_a_list_is_said(filled: Store) -> None:
    one = filled.query("dark")[0]
    with pytest.raises(ConfigurationError, match=r"^The get_candidates of Odd returned Demo.*It should return a list"):
        filled.select(FRAME, choosing("get_candidates", lambda: one))


def test_a_programmed_selector_that_names_an_unknown_column_is_told_so(filled: Store) -> None:
    rule = type("Odd", (CalibrationSelector,), {"cal_type": "dark", "time": "mjd_end", "get_candidates": lambda *_: []})
    with pytest.raises(InvalidPluginError, match="names the column mjd_end"):
        filled.select(FRAME, rule)


LARGE = """
import json, sqlite3, sys
from koa_middleware import CalibrationNotFoundError, CalibrationSelector, CalibrationStore
from tests.conftest import DemoCalibration, record
from tests.memory import peak_mb

class Passes(CalibrationSelector):
    cal_type = "dark"
    match = ("lamp",)
    def get_candidates(self, input, db):
        return super().get_candidates(input, db)

class TakesNone(Passes):
    def select_best(self, input, candidates):
        return None

store = CalibrationStore(DemoCalibration, sys.argv[1])
store.local_db.add(record("0.fits", 50000.0, lamp="thar"))
with sqlite3.connect(store.local_db.path) as raw:
    raw.execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {}) ".format(int(sys.argv[2]) - 1)
        + "INSERT INTO demo_calibrations SELECT {} FROM demo_calibrations, n".format(", ".join(
            {"id": "'id' || i", "filename": "i || '.fits'", "mjd_start": "50000 + i * 0.05"}.get(name, name)
            for name in DemoCalibration.column_names()
        ))
    )
found = []
for ask in (
    lambda: store.select({"mjd_start": 52000.01, "lamp": "thar"}, Passes).filename,
    lambda: dict(store.explain({"mjd_start": 52000.01, "lamp": "thar"}, Passes).counts),
    lambda: store.select({"mjd_start": 52000.01, "lamp": "thar"}, TakesNone),
):
    try:
        found.append(ask())
    except CalibrationNotFoundError as error:
        found.append(error.total)
print(json.dumps([found, peak_mb()]))
"""


def test_a_programmed_selector_answers_explains_and_misses_among_very_many_candidates(tmp_path: Path) -> None:
    number = repetitions(65_000, 260_000)
    found, memory_mb = json.loads(output_of(run_python(LARGE, tmp_path, number)))
    assert found == ["40000.fits", {"chosen": 1, "farther": number - 1}, number]
    assert memory_mb < 250 + number / 500


class AsDeclared(CalibrationSelector):
    """Prefers a lamp of which there is none that is good."""

    cal_type = "dark"
    prefer = (Step({"lamp": "lfc"}), Step({"lamp": "thar"}))


class ByBest(AsDeclared):
    def select_best(self, input: Mapping[str, Any], candidates: Any) -> Any:
        return super().select_best(input, candidates)


class ByCandidates(AsDeclared):
    def get_candidates(self, input: Mapping[str, Any], db: Any) -> list[Any]:
        return [each for each in super().get_candidates(input, db) if not each.master_cal]


@pytest.mark.parametrize(("kind", "expected"), [(ByBest, "master.fits"), (ByCandidates, "good.fits")])
def test_a_method_that_takes_what_a_later_preference_admits_takes_it_as_that(
    filled: Store, kind: type[CalibrationSelector], expected: str
) -> None:
    with pytest.warns(FallbackWarning, match=f"first preference of {kind.__name__}; step 2 chose {expected}"):
        chosen = filled.select(FRAME, kind)
    assert (chosen.filename, chosen.choice.step, chosen.is_fallback) == (expected, 2, True)
    with pytest.warns(FallbackWarning):
        explained = filled.explain(FRAME, kind)
    assert (explained.winner.filename, explained.step, explained.is_fallback) == (expected, 2, True)
    assert "is chosen by step 2" in explained.headline()


@pytest.mark.parametrize("kind", [ByBest, ByCandidates])
def test_a_method_that_takes_what_the_first_preference_admits_falls_back_on_nothing(
    filled: Store, kind: type[CalibrationSelector]
) -> None:
    filled.local_db.add(record("comb.fits", 60009.0, lamp="lfc"))
    with warnings.catch_warnings():
        warnings.simplefilter("error", FallbackWarning)
        chosen = filled.select(FRAME, kind)
    assert (chosen.filename, chosen.choice.step, chosen.is_fallback) == ("comb.fits", 1, False)


def test_a_record_that_no_preference_admits_is_of_no_step(filled: Store) -> None:
    class Own(AsDeclared):
        def get_candidates(self, input: Mapping[str, Any], db: Any) -> list[Any]:
            return CalibrationSelector(cal_type="dark", require={"lamp": "une"}).get_candidates(input, db)

    chosen = filled.select(FRAME, Own)
    assert (chosen.filename, chosen.choice.step, chosen.is_fallback) == ("other.fits", None, False)
