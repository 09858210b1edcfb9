"""All types of a frame: which it needs, what each gets, and what a prefetch makes of many frames."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest
from koa_middleware import (
    Bracket,
    CacheError,
    CalibrationNotFoundError,
    CalibrationSelector,
    CalibrationStore,
    ConfigurationError,
    InstrumentPlugin,
    KoaMiddlewareError,
    RemoteError,
    Step,
)
from koa_middleware.choosing.frame_sets import raise_failures, types_for

from tests.conftest import DemoCalibration, dark, record

Store = CalibrationStore[DemoCalibration]
FRAME = {"mjd_start": 60000.0, "spectrograph": "BSPEC"}


@pytest.fixture(autouse=True)
def plugin() -> Iterator[InstrumentPlugin]:
    """Give the made instrument four types, of which the caller gives a value for one."""
    before = DemoCalibration.selectors, DemoCalibration.needs
    yield InstrumentPlugin(
        DemoCalibration,
        [
            CalibrationSelector(cal_type="flat", given=("lamp",)),
            CalibrationSelector(cal_type="wls", match=("era",)),
            CalibrationSelector(cal_type="dark", match=("spectrograph",)),
            CalibrationSelector(cal_type="bias"),
        ],
    )
    DemoCalibration.selectors, DemoCalibration.needs = before


@pytest.fixture
def filled(store: Store) -> Store:
    store.local_db.add(
        [
            record("dark.fits", 60001.0),
            record("flat.fits", cal_type="flat", lamp="thar"),
            record("wls.fits", cal_type="wls", era="1"),
        ]
    )
    return store


@pytest.mark.parametrize(
    ("cal_type", "types"),
    [("FLAT ", ["bias", "dark"]), ("dark", ["bias"]), ("wls", ["wls", "dark", "bias"]), ("object", []), (None, [])],
)
def test_a_frame_asks_for_what_its_kind_needs(plugin: InstrumentPlugin, cal_type: Any, types: list[str]) -> None:
    rules = list(plugin.selectors.values())
    InstrumentPlugin(DemoCalibration, rules, needs={"flat": ("bias", "dark"), "dark": ["bias"], None: ()})
    assert types_for(DemoCalibration, {**FRAME, "cal_type": cal_type}) == types
    assert types_for(DemoCalibration, {**FRAME, "cal_type": cal_type}, "wls") == ["wls"]


@pytest.mark.parametrize("nothing", [None, "", "  ", "*", "N/A", math.nan, np.ma.masked], ids=repr)
def test_a_type_whose_given_value_nobody_gives_is_not_asked_for(nothing: Any) -> None:
    assert types_for(DemoCalibration, FRAME) == ["wls", "dark", "bias"]
    assert types_for(DemoCalibration, {**FRAME, "lamp": nothing}) == ["wls", "dark", "bias"]
    assert types_for(DemoCalibration, {**FRAME, "lamp": "ThAr"}) == ["flat", "wls", "dark", "bias"]


def test_types_that_are_named_are_asked_for_in_their_order() -> None:
    assert types_for(DemoCalibration, FRAME, ["Bias ", "FLAT"]) == ["bias", "flat"]
    assert types_for(DemoCalibration, FRAME, "Dark") == ["dark"]
    assert types_for(DemoCalibration, FRAME, ()) == []


def test_each_type_has_its_record_or_its_own_error(filled: Store) -> None:
    found = filled.select_set(FRAME)
    assert list(found) == ["wls", "dark", "bias"]
    assert found["dark"].filename == "dark.fits"  # type: ignore[union-attr]
    assert "era" in str(found["wls"])
    assert isinstance(found["bias"], CalibrationNotFoundError)


def test_what_concerns_all_types_stops_them_all(filled: Store) -> None:
    with pytest.raises(ConfigurationError, match="sky"):
        filled.select_set(FRAME, ["dark", "sky"])
    filled.local_db.path.write_bytes(b"no database" * 100)
    with pytest.raises(CacheError):
        filled.select_set(FRAME, ["dark"])


def test_a_prefetch_goes_on_after_a_frame_or_a_type_that_has_none(filled: Store, tmp_path: Any) -> None:
    frames = [str(tmp_path / "missing.fits"), dark(tmp_path, "frame.fits"), {**FRAME, "era": "1", "lamp": "thar"}]
    found = filled.prefetch(frames)
    assert set(found.failed) == {"dark.fits", "flat.fits", "wls.fits"}
    assert [name.removeprefix(f"{tmp_path}/") for name in found.unmatched] == [
        "missing.fits",
        "frame.fits, wls",
        "frame.fits, bias",
        "frame 3, bias",
    ]
    assert "era" in found.unmatched[f"{tmp_path / 'frame.fits'}, wls"]


@pytest.mark.parametrize(
    "types", ["Dark", ["dark"], ("dark",), pytest.param(iter(["dark"]), id="an iterator")], ids=repr
)
def test_named_types_hold_for_all_frames(filled: Store, types: Any) -> None:
    found = filled.prefetch([FRAME, FRAME], cal_types=types)
    assert list(found.failed) == ["dark.fits"]
    assert found.unmatched == {}


def test_one_cause_that_many_types_share_is_told_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when a frame's era is one that no calibration has."""
    monkeypatch.setattr(DemoCalibration, "cal_types", ())
    types = [f"type{number}" for number in range(10)]
    selectors = {name: CalibrationSelector(cal_type=name, match=("era",)) for name in types}
    monkeypatch.setattr(DemoCalibration, "selectors", selectors)
    rows = [record(f"{name}.fits", cal_type=name, era="1", mjd_start=60000.0 + n) for n, name in enumerate(types)]
    store.local_db.add([row for row in rows if row.cal_type not in types[7:]])

    def missing(frame: Mapping[str, Any]) -> KoaMiddlewareError:
        found = store.select_set(frame, types)
        with pytest.raises(KoaMiddlewareError) as caught:
            raise_failures(found)
        return caught.value

    error = missing({"mjd_start": 60000.0, "era": "9"})
    assert isinstance(error, CalibrationNotFoundError)
    assert error.message == (
        "No type0, type1, type2, type3, type4, type5, type6 fits era 9, mjd_start 60000.0: the nearest were refused "
        "(its era is 1, the frame's is 9). No type7, type8, type9 fits era 9, mjd_start 60000.0: the database holds "
        "none of that type."
    )
    assert list(error.misses) == types
    no_era = missing({"mjd_start": 60000.0})
    assert no_era.message.startswith("the input has no era")
    assert no_era.message.endswith(f"needed to choose a {', '.join(types)}.")
    assert no_era.message.count("has no era") == 1


def around(store: Store, tmp_path: Any, *times: float) -> None:
    """Give the instrument pairs of darks, and the store darks at some times."""
    InstrumentPlugin(DemoCalibration, [CalibrationSelector(cal_type="dark", direction="bracket")])
    for time in times:
        store.register_calibration(dark(tmp_path / "night", f"{time:.0f}.fits", time))


def test_the_files_of_a_pair_are_a_bracket_of_them(store: Store, tmp_path: Any) -> None:
    around(store, tmp_path, 59999.0, 60003.0)
    pair = store.get_calibrations(FRAME)["dark"]
    assert isinstance(pair, Bracket)
    assert [side.path.name for side in pair] == ["59999.fits", "60003.fits"]
    assert all(side.path.is_file() for side in pair)
    assert pair.weight == 0.25
    assert [side.path for side in store.get_bracket(FRAME, "dark")] == [side.path for side in pair]


def test_a_pair_with_one_side_says_that_the_other_is_missing(store: Store, tmp_path: Any) -> None:
    around(store, tmp_path, 60001.0, 60003.0)
    for pair in (store.get_calibrations(FRAME)["dark"], store.get_bracket(FRAME, "dark")):
        assert isinstance(pair, Bracket)
        assert (pair.before, pair.after.path.name, pair.weight) == (None, "60001.fits", None)
    assert "nothing before" in str(store.select_sets([FRAME]))


def test_a_pair_of_which_one_file_does_not_come_is_an_error(store: Store, tmp_path: Any) -> None:
    around(store, tmp_path, 59999.0)
    store.local_db.add(record("archived.fits", 60001.0, origin="REMOTE"))
    found = store.get_calibrations(FRAME, return_exceptions=True)
    assert isinstance(found["dark"], RemoteError)
    with pytest.raises(RemoteError, match=r"archived\.fits"):
        store.get_calibrations(FRAME)


def test_many_frames_tell_what_they_lack_and_what_is_not_here(filled: Store, tmp_path: Any) -> None:
    filled.register_calibration(dark(tmp_path / "night", "own.fits", 59999.5))
    found = filled.select_sets([FRAME, {**FRAME, "era": "1"}, dark(tmp_path, "frame.fits", 60001.0)], ["dark", "wls"])
    assert [one["dark"].filename for one in found] == ["own.fits", "own.fits", "dark.fits"]
    assert (len(found), found[1]["wls"].filename, found.ok) == (3, "wls.fits", False)
    assert {name: list(errors) for name, errors in found.missing.items()} == {
        "frame 1": ["wls"],
        str(tmp_path / "frame.fits"): ["wls"],
    }
    assert sorted(found.not_here) == ["dark.fits", "wls.fits"]
    plain = found.to_dict()
    assert (plain["ok"], plain["not_here"]) == (False, ["dark.fits", "wls.fits"])
    assert [each["frame"] for each in plain["frames"]][:2] == ["frame 1", "frame 2"]
    dark_of_first, wls_of_first = plain["frames"][0]["calibrations"].values()
    assert (dark_of_first["filename"], dark_of_first["delta_days"]) == ("own.fits", -0.5)
    assert (wls_of_first["error"], wls_of_first["configuration"]) == ("HeaderError", {"era": None})
    assert json.loads(json.dumps(plain)) == plain


def test_what_frames_get_is_one_table(filled: Store, tmp_path: Any) -> None:
    filled.register_calibration(dark(tmp_path / "night", "own.fits", 59999.5))
    table = filled.select_sets([FRAME, {**FRAME, "era": "1"}], ["dark", "wls"]).to_text()
    assert "2 frames: 3 of 4 calibrations found, 1 file is not here" in table
    assert table.count("own.fits") == 1
    assert "wls.fits (not here)" in table
    assert "missing: no era in the header" in table
    assert "BSPEC" in table


def test_a_frame_that_cannot_be_read_lacks_every_type(filled: Store, tmp_path: Any) -> None:
    found = filled.select_sets([tmp_path / "missing.fits"])
    assert [list(errors) for errors in found.missing.values()] == [["wls", "dark", "bias"]]


def test_frames_that_lack_nothing_are_ok(filled: Store) -> None:
    assert filled.select_sets([FRAME], "dark").ok
    assert filled.select_sets([]).ok
    assert filled.select_sets(FRAME, "dark")[0]["dark"].filename == "dark.fits"
    assert len(filled.select_sets([FRAME, FRAME], "dark")[:1]) == 1


def test_types_that_were_not_asked_for_are_told(filled: Store) -> None:
    found = filled.select_sets([{**FRAME, "lamp": "thar"}, FRAME])
    assert found.left_out == {"flat": ("lamp",)}
    assert found.to_dict()["left_out"] == {"flat": ["lamp"]}
    assert "calibrations found, 2 files are not here; not asked for: flat" in str(found)
    assert filled.select_sets([{**FRAME, "lamp": "thar"}]).left_out == {}
    assert filled.select_sets([FRAME], ["dark"]).left_out == {}
    assert filled.prefetch([FRAME]).left_out == {"flat": ("lamp",)}


@pytest.mark.filterwarnings("ignore::koa_middleware.FallbackWarning")
def test_what_is_not_the_first_preference_has_its_step_beside_it(store: Store) -> None:
    rule = CalibrationSelector(cal_type="dark", prefer=(Step({"lamp": "lfc"}), Step({"lamp": "thar"})))
    InstrumentPlugin(DemoCalibration, [rule])
    store.local_db.add(record("thar.fits", 60001.0, lamp="thar"))
    found = store.select_sets([FRAME, {**FRAME, "mjd_start": 60000.5}])
    assert "thar.fits (step 2, not here)" in str(found)
    assert found.fallbacks == {"dark": {2: ["frame 1", "frame 2"]}}


def test_a_miss_for_the_same_reasons_is_one_line(store: Store) -> None:
    """Whichever of the refused ones is nearer."""
    InstrumentPlugin(DemoCalibration, [CalibrationSelector(cal_type="dark", match=("spectrograph", "era"))])
    store.local_db.add(
        [record("a.fits", 60000.0, spectrograph="BSPEC", era="2"), record("b.fits", 60002.0, spectrograph="RSPEC")]
    )
    found = store.select_sets([{**FRAME, "era": "1"}, {**FRAME, "era": "1", "mjd_start": 60003.0}])
    (line,) = [line for line in str(found).splitlines() if "missing" in line]
    assert "the nearest refused for era, spectrograph" in line
    assert "2 frames" in line
