"""What there is over time, and the gaps."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from koa_middleware import (
    CalibrationNotFoundError,
    CalibrationSelector,
    CalibrationStore,
    ConfigurationError,
    Coverage,
    HeaderError,
    InstrumentPlugin,
    ORMCalibration,
    Step,
    by,
    fits_column,
)
from koa_middleware.instrument.times import iso_from_mjd
from sqlalchemy import Float, String
from sqlalchemy.orm import Mapped

from tests.conftest import DemoCalibration, record

Open = Callable[..., CalibrationStore[Any]]

#: MJD 60000 is 2023-02-25.
DAYS = {60000.0: "2023-02-25T00:00:00.000", 60003.0: "2023-02-28T00:00:00.000", 60010.0: "2023-03-07T00:00:00.000"}


@pytest.fixture
def covered(open_demo: Open) -> Callable[..., Coverage]:
    """Give a function that tells the coverage of some records by one selector, from 2023-02-25 on for ten days."""
    stores: list[CalibrationStore[Any]] = []

    def tell(records: list[Any], start: Any = "2023-02-25", end: Any = "2023-03-06", **settings: Any) -> Coverage:
        if not stores:
            stores.append(open_demo())
            stores[0].local_db.add(records)
        InstrumentPlugin(DemoCalibration, [CalibrationSelector(cal_type="dark", **settings)])
        return stores[0].coverage(None, start, end)

    return tell


def gaps(coverage: Coverage) -> list[list[tuple[str, str]]]:
    """The gaps of each group, without the year."""
    return [[(each["start"][5:], each["end"][5:]) for each in group["gaps"]] for group in coverage.to_dict()["groups"]]


def darks(*days: float, **more: Any) -> list[Any]:
    return [record(f"{day}-{more.get('spectrograph', '')}-{more.get('lamp', '')}.fits", day, **more) for day in days]


def test_a_gap_begins_where_the_last_calibration_is_too_old_and_ends_where_the_next_one_is_near_enough(
    covered: Any,
) -> None:
    found = covered(darks(60000.0, 60006.0), max_age=timedelta(days=1))
    assert gaps(found) == [
        [
            ("02-26T00:00:00.001", "03-02T00:00:00.000"),
            ("03-04T00:00:00.001", "03-07T00:00:00.000"),
        ]
    ]


def test_before_the_first_calibration_there_is_nothing_for_a_rule_that_looks_back(covered: Any) -> None:
    found = covered(darks(60002.0), direction="before")
    assert gaps(found) == [[("02-25T00:00:00.000", "02-27T00:00:00.000")]]


def test_after_the_last_calibration_there_is_nothing_for_a_rule_that_looks_forward(covered: Any) -> None:
    found = covered(darks(60002.0), direction="after")
    assert gaps(found) == [[("02-27T00:00:00.001", "03-07T00:00:00.000")]]


def test_nothing_is_chosen_across_a_boundary_which_belongs_to_what_begins_at_it(covered: Any) -> None:
    found = covered(darks(60002.0), never_across=(60001.0, 60004.0))
    assert gaps(found) == [[("02-25T00:00:00.000", "02-26T00:00:00.000"), ("03-01T00:00:00.000", "03-07T00:00:00.000")]]
    assert found.to_dict()["groups"][0]["boundaries"] == ["2023-02-26T00:00:00.000", "2023-03-01T00:00:00.000"]


def test_a_later_step_closes_the_gaps_of_an_earlier_one(covered: Any) -> None:
    rows = [*darks(60000.0, master_cal=True), *darks(60005.0, lamp="x")]
    of_masters = {"max_age": timedelta(days=1), "require": {"master_cal": True}}
    assert gaps(covered(rows, **of_masters)) == [[("02-26T00:00:00.001", "03-07T00:00:00.000")]]
    steps = (Step({"master_cal": True}), Step({}, max_age=timedelta(days=1)))
    found = covered(rows, max_age=timedelta(days=2), prefer=steps)
    assert gaps(found) == [[("02-27T00:00:00.001", "03-01T00:00:00.000"), ("03-03T00:00:00.001", "03-07T00:00:00.000")]]
    assert [each["step"] for each in found.to_dict()["groups"][0]["records"]] == [1, 2]


def test_what_is_bad_is_listed_and_closes_no_gap(covered: Any) -> None:
    found = covered(darks(60001.0, quality="BAD"))
    (group,) = found.to_dict()["groups"]
    assert [(each["filename"], each["quality"]) for each in group["records"]] == [("60001.0--.fits", "BAD")]
    assert gaps(found) == [[("02-25T00:00:00.000", "03-07T00:00:00.000")]]


def test_what_was_judged_here_counts(open_demo: Open) -> None:
    store = open_demo()
    store.local_db.add(darks(60001.0, origin="REMOTE"))
    InstrumentPlugin(DemoCalibration, [CalibrationSelector(cal_type="dark")])
    assert gaps(store.coverage(None, "2023-02-25", "2023-03-06")) == [[]]
    store.flag("60001.0--.fits", "BAD", "a leak", here=True)
    found = store.coverage(None, "2023-02-25", "2023-03-06")
    assert len(found.groups[0].gaps) == 1
    assert found.groups[0].records[0].quality == "BAD"


def test_each_value_that_is_matched_is_a_group_of_its_own(covered: Any) -> None:
    rows = [*darks(60000.0, 60009.0, spectrograph="BSPEC"), *darks(60000.0, spectrograph="RSPEC")]
    found = covered(rows, match=("spectrograph",), max_age=timedelta(days=20)).to_dict()
    assert [(each["values"], len(each["records"])) for each in found["groups"]] == [
        ({"spectrograph": "BSPEC"}, 2),
        ({"spectrograph": "RSPEC"}, 1),
    ]


def test_what_says_nothing_of_a_column_that_is_matched_fits_no_frame(covered: Any) -> None:
    found = covered(darks(60000.0, spectrograph=None), match=("spectrograph",))
    assert [(dict(each.values), len(each.records)) for each in found.groups] == [({}, 0)]
    assert gaps(found) == [[("02-25T00:00:00.000", "03-07T00:00:00.000")]]


def test_what_says_nothing_of_a_column_that_is_matched_if_known_is_of_every_group(covered: Any) -> None:
    rows = [*darks(60000.0, lamp="thar"), *darks(60001.0, lamp="lfc"), *darks(60002.0)]
    found = covered(rows, match_if_known=("lamp",)).to_dict()["groups"]
    assert [(each["values"]["lamp"], len(each["records"])) for each in found] == [("lfc", 2), ("thar", 2)]


def test_tolerances_make_as_few_groups_as_leave_no_calibration_out(covered: Any) -> None:
    rows = [
        record(f"{seconds}.fits", 60000.0 + number, exposure_time=seconds)
        for number, seconds in enumerate((29.0, 30.0, 31.0, 60.0))
    ]
    found = covered(rows, within={"exposure_time": 2.0}).to_dict()["groups"]
    assert [(each["values"], len(each["records"])) for each in found] == [
        ({"exposure_time": 31.0}, 3),
        ({"exposure_time": 60.0}, 1),
    ]


def test_each_case_of_a_rule_has_its_own_gaps(covered: Any) -> None:
    rows = [*darks(60000.0, spectrograph="BSPEC"), *darks(60000.0, spectrograph="RSPEC")]
    ages = by("spectrograph", {"BSPEC": timedelta(days=1), "RSPEC": None})
    found = covered(rows, match=("spectrograph",), max_age=ages)
    assert gaps(found) == [[("02-26T00:00:00.001", "03-07T00:00:00.000")], []]


def test_what_hangs_on_another_type_has_the_gaps_of_that_type_and_its_own(open_demo: Open) -> None:
    """A flat one day from the wls at most, which is ten days from the frame at most."""
    store = open_demo()
    store.local_db.add(
        [
            *(record(f"wls-{day}.fits", day, cal_type="wls") for day in (60002.0, 60006.0)),
            record("flat.fits", 60002.5, cal_type="flat"),
        ]
    )
    wls = CalibrationSelector(cal_type="wls", max_age=timedelta(days=3))
    flat = CalibrationSelector(cal_type="flat", anchor="wls", max_age=timedelta(days=1))
    InstrumentPlugin(DemoCalibration, [wls, flat])
    found = store.coverage("flat", "2023-02-20", "2023-03-10")
    assert gaps(found) == [[("02-20T00:00:00.000", "02-24T00:00:00.000"), ("03-01T00:00:00.001", "03-11T00:00:00.000")]]


def test_what_hangs_on_what_hangs_on_another_type_has_the_gaps_of_all(open_demo: Open) -> None:
    """Midway between two wls the choice becomes the later one, on which no flat hangs, and so no dark."""
    store = open_demo()
    store.local_db.add(
        [
            *(record(f"wls-{day}.fits", day, cal_type="wls") for day in (60000.0, 60010.0)),
            record("flat.fits", 60000.5, cal_type="flat"),
            record("dark.fits", 60001.0),
        ]
    )
    wls = CalibrationSelector(cal_type="wls")
    flat = CalibrationSelector(cal_type="flat", anchor="wls", max_age=timedelta(days=1))
    dark = CalibrationSelector(cal_type="dark", anchor="flat", max_age=timedelta(days=1))
    InstrumentPlugin(DemoCalibration, [wls, flat, dark])
    found = store.coverage(["flat", "dark"], "2023-02-20", "2023-03-10")
    assert gaps(found) == [[("03-02T00:00:00.001", "03-11T00:00:00.000")]] * 2


class Valid(ORMCalibration):
    """References of an instrument whose era follows from the time."""

    instrument_name = "valid"
    mjd_from: Mapped[float | None] = fits_column("FROM", Float)
    mjd_to: Mapped[float | None] = fits_column("TO", Float)
    era: Mapped[str | None] = fits_column("ERA", String)

    @classmethod
    def derive(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Give the era: the second one begins at MJD 60005.25."""
        start = values.get("mjd_start")
        return {"era": "1" if start < 60005.25 else "2", **values} if start is not None else values


def valid(name: str, mjd: float, **more: Any) -> Valid:
    given = {"filename": name, "mjd_start": mjd, "datetime_obs": iso_from_mjd(mjd), **more}
    return Valid(**Valid.derive({"cal_type": "ref", **given}))


@pytest.fixture
def references(tmp_path: Any) -> Any:
    with CalibrationStore(Valid, tmp_path) as store:
        yield store


def test_between_two_intervals_of_validity_there_is_nothing(references: Any) -> None:
    references.local_db.add(
        [
            valid("a.fits", 59000.0, mjd_from=None, mjd_to=60001.0),
            valid("b.fits", 59000.0, mjd_from=60003.0, mjd_to=None),
        ]
    )
    InstrumentPlugin(Valid, [CalibrationSelector(cal_type="ref", validity=("mjd_from", "mjd_to"))])
    found = references.coverage(None, "2023-02-25", "2023-03-06")
    assert gaps(found) == [[("02-26T00:00:00.000", "02-28T00:00:00.000")]]


def test_a_group_of_an_era_says_when_a_frame_can_be_of_it(references: Any) -> None:
    references.local_db.add([valid(f"{day}.fits", 60000.0 + day) for day in range(10)])
    InstrumentPlugin(Valid, [CalibrationSelector(cal_type="ref", match=("era",), max_age=timedelta(days=2))])
    found = references.coverage()
    first, second = found.to_dict()["groups"]
    assert first["spans"] == [{"start": "2023-02-25T00:00:00.000", "end": "2023-03-02T06:00:00.000"}]
    assert second["spans"] == [{"start": "2023-03-02T06:00:00.000", "end": "2023-03-06T00:00:00.000"}]
    assert first["gaps"] == second["gaps"] == []
    bars = [line for line in str(found).splitlines() if line.startswith("ref")]
    assert len(bars) == 1
    assert "nothing" not in str(found)
    assert "2023-03-02 06:00  era 2" in str(found)


class Pausing(ORMCalibration):
    """References of an instrument that is of no era for some hours."""

    instrument_name = "pausing"
    era: Mapped[str | None] = fits_column("ERA", String)

    @classmethod
    def derive(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Give the era: the first one ends at MJD 60005.0, the second one begins at MJD 60005.5."""
        start = values.get("mjd_start")
        if start is None or 60005.0 <= start < 60005.5:
            return values
        return {"era": "1" if start < 60005.0 else "2", **values}


ERAS = [
    {"start": "2023-03-01T12:00:00.000", "end": "2023-03-02T00:00:00.000"},
    {"start": "2023-03-02T00:00:00.000", "end": "2023-03-02T12:00:00.000"},
    {"start": "2023-03-02T12:00:00.000", "end": "2023-03-03T00:00:00.000"},
]


@pytest.fixture
def pausing(tmp_path: Any) -> Any:
    """A store with references of the second era only."""
    with CalibrationStore(Pausing, tmp_path) as store:
        for day in (60007.0, 60008.0):
            at = {"filename": f"{day}.fits", "mjd_start": day, "datetime_obs": iso_from_mjd(day)}
            store.local_db.add(Pausing(**Pausing.derive({"cal_type": "ref", **at})))
        yield store


def test_frames_of_an_era_of_which_there_is_no_calibration_are_in_a_gap(pausing: Any) -> None:
    InstrumentPlugin(Pausing, [CalibrationSelector(cal_type="ref", match=("era",))])
    (before,) = pausing.coverage(None, "2023-02-20", "2023-02-21").to_dict()["groups"]
    assert (before["values"], before["records"]) == ({"era": "1"}, [])
    assert before["gaps"] == [{"start": "2023-02-20T00:00:00.000", "end": "2023-02-22T00:00:00.000"}]
    around = pausing.coverage(None, "2023-03-01T12:00", "2023-03-03T00:00")
    found = {group["values"]["era"]: group for group in around.to_dict()["groups"]}
    assert [found[era]["spans"] for era in ("1", None, "2")] == [[span] for span in ERAS]
    assert [found[era]["gaps"] for era in ("1", None, "2")] == [[ERAS[0]], [ERAS[1]], []]
    assert list(around.to_table()["kind"]) == ["gap", "gap"]
    assert "nothing 2023-03-01 12:00 to 2023-03-02 12:00, 1.0 d" in str(around)


@pytest.mark.parametrize("rule", [{"match": ("era",)}, {"match_if_known": ("era",)}])
def test_of_frames_whose_era_follows_from_their_time_those_in_gaps_find_nothing(pausing: Any, rule: Any) -> None:
    selector = CalibrationSelector(cal_type="ref", max_age=timedelta(days=2), **rule)
    InstrumentPlugin(Pausing, [selector])
    found = pausing.coverage(None, "2023-02-28", "2023-03-09").to_dict()["groups"]
    for day in (60004.0, 60004.999, 60005.0, 60005.25, 60005.499, 60005.5, 60006.0, 60009.5, 60010.5, 60011.0):
        (group,) = [group for group in found if any(lies_in(day, span) for span in group["spans"])]
        told = not any(lies_in(day, gap) for gap in group["gaps"])
        try:
            pausing.select({"mjd_start": day}, selector)
        except (CalibrationNotFoundError, HeaderError):
            assert not told, day
        else:
            assert told, day


def lies_in(day: float, span: dict[str, str]) -> bool:
    return span["start"] <= iso_from_mjd(day) < span["end"]


def test_what_knows_no_era_answers_for_each(pausing: Any) -> None:
    at = {"filename": "any.fits", "mjd_start": 60005.25, "datetime_obs": iso_from_mjd(60005.25)}
    pausing.local_db.add(Pausing(cal_type="ref", **at))
    InstrumentPlugin(Pausing, [CalibrationSelector(cal_type="ref", match_if_known=("era",))])
    found = pausing.coverage(None, "2023-03-01T12:00", "2023-03-03T00:00").to_dict()["groups"]
    assert {group["values"]["era"]: len(group["records"]) for group in found} == {"1": 1, None: 1, "2": 1}
    assert [group["gaps"] for group in found] == [[], [], []]


@pytest.mark.parametrize("start", ["2023-03-01", "2023-03-01T09:00", "2023-03-01T23:59"])
def test_changes_of_an_era_are_said_alike_whatever_times_are_asked_for(pausing: Any, start: str) -> None:
    InstrumentPlugin(Pausing, [CalibrationSelector(cal_type="ref", match=("era",))])
    said = str(pausing.coverage(None, start, "2023-03-04")).splitlines()
    assert said[-2:] == ["2023-03-02 00:00  no era", "2023-03-02 12:00  era 2"]


def test_the_times_go_from_the_first_calibration_to_the_last_where_none_are_given(covered: Any) -> None:
    found = covered(darks(60000.0, 60003.0, 60010.0), None, None)
    assert (found.start, found.end) == (DAYS[60000.0], DAYS[60010.0])
    cut = covered([], "2023-02-27", None)
    assert [each.time for each in cut.groups[0].records] == [DAYS[60003.0], DAYS[60010.0]]


def test_without_calibrations_there_is_nothing_to_tell(store: Any) -> None:
    InstrumentPlugin(DemoCalibration, [CalibrationSelector(cal_type="dark")])
    found = store.coverage()
    assert found.to_dict() == {"instrument": "demo", "start": None, "end": None, "groups": []}
    assert str(found) == "demo: there are no calibrations"
    assert "there are no calibrations" in found._repr_html_()
    assert len(found.to_table()) == 0


class ByMethod(CalibrationSelector):
    """Chooses among what it declares by its own taste."""

    def select_best(self, input: Any, candidates: Any) -> Any:
        return next(iter(candidates), None)


def test_of_a_rule_that_is_programmed_it_says_that_the_gaps_are_not_exact(open_demo: Open) -> None:
    store = open_demo()
    store.local_db.add(darks(60000.0))
    InstrumentPlugin(DemoCalibration, [ByMethod(cal_type="dark", max_age=timedelta(days=1))])
    found = store.coverage(None, "2023-02-25", "2023-03-06")
    (group,) = found.to_dict()["groups"]
    assert max(map(len, str(found).splitlines())) <= 80
    assert not group["exact"]
    assert "ByMethod" in group["note"]
    assert len(group["gaps"]) == 1


def test_an_end_before_the_start_is_an_error_that_names_both(covered: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"2023-02-21T00:00:00\.000, is not after its start, 2023-02-25"):
        covered(darks(60000.0), "2023-02-25", "2023-02-20")
    with pytest.raises(HeaderError, match="coverage's start"):
        covered([], "yesterday", None)


@pytest.mark.parametrize(("start", "end"), [(None, "2000-01-01"), ("2050-01-01", None)])
def test_times_beside_all_calibrations_are_an_error_that_names_theirs(covered: Any, start: Any, end: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"the (first|last) calibration, of 2023-"):
        covered([record("a.fits", 60001.0), record("b.fits", 60003.0)], start, end)


def test_times_of_no_frame_are_those_of_the_last_frames(covered: Any) -> None:
    coverage = covered([record("a.fits", 60001.0)], "0001-01-01", "9999-12-31")
    assert coverage.whole.to_dict() == {"start": "1900-01-01T00:00:00.000", "end": "2100-01-01T00:00:00.000"}


def test_a_type_without_a_selector_is_an_error(store: Any) -> None:
    InstrumentPlugin(DemoCalibration, [CalibrationSelector(cal_type="dark")])
    with pytest.raises(ConfigurationError, match="no selector for 'flat'"):
        store.coverage(["flat"])


def test_it_is_plain_data_a_table_and_html(covered: Any) -> None:
    rows = [*darks(60000.0, spectrograph="<b>"), *darks(60001.0, spectrograph="<b>", quality="UNKNOWN")]
    found = covered(rows, match=("spectrograph",), max_age=timedelta(days=3))
    assert json.loads(json.dumps(found.to_dict())) == found.to_dict()
    table = found.to_table()
    assert list(table["kind"]) == ["record", "record", "gap"]
    assert list(table["quality"].mask) == [False, False, True]
    html = found._repr_html_()
    assert "&lt;b&gt;" in html
    assert "<b>" not in html


def test_its_text_fits_a_terminal(covered: Any) -> None:
    long = "a spectrograph whose name is longer than any label may be, as they are"
    rows = [*darks(*range(60000, 60010), spectrograph=long), *darks(60001.0, spectrograph="B")]
    found = covered(rows, match=("spectrograph",), max_age=timedelta(hours=1))
    assert max(map(len, str(found).splitlines())) <= 80
    assert max(map(len, found.to_text(60).splitlines()[2:])) <= 75
    assert "and 4 shorter gaps" in str(found)
