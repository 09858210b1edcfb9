"""The one calibration for a stack of frames."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

import pytest
from koa_middleware import (
    CalibrationNotFoundError,
    CalibrationSelector,
    CalibrationStore,
    ConfigurationError,
    FallbackWarning,
    HeaderError,
    InstrumentPlugin,
    Step,
    relative,
)

from tests.conftest import DemoCalibration, dark, record

Store = CalibrationStore[DemoCalibration]


def frames(*days: float, **values: Any) -> list[dict[str, Any]]:
    return [
        {"mjd_start": 60000.0 + day, "spectrograph": "BSPEC", "filename": f"{day:g}.fits", **values} for day in days
    ]


def rule(**settings: Any) -> CalibrationSelector:
    return CalibrationSelector(**{"cal_type": "dark", **settings})


@pytest.fixture(autouse=True)
def plugin() -> Iterator[InstrumentPlugin]:
    before = DemoCalibration.selectors, DemoCalibration.needs
    yield InstrumentPlugin(DemoCalibration, [rule(match=("spectrograph",)), rule(cal_type="wls", match=("era",))])
    DemoCalibration.selectors, DemoCalibration.needs = before


def add(store: Store, **days: float) -> Store:
    """Add darks that are called after their names, at some days."""
    store.local_db.add([record(f"{name}.fits", 60000.0 + day) for name, day in days.items()])
    return store


def test_it_is_the_nearest_to_the_middle_of_the_first_and_the_last_frame(store: Store) -> None:
    add(store, first=0.0, middle=4.5, last=10.0)
    found = store.select_common(frames(10.0, 0.0, 1.0), "dark")
    assert found.filename == "middle.fits"
    assert (found.choice.delta_days, found.choice.frame) == (-0.5, "3 frames, 10.fits to 1.fits")


def test_one_frame_gets_what_it_gets_by_itself(store: Store) -> None:
    add(store, early=-1.0, late=0.5)
    (frame,) = frames(0.0)
    assert store.select_common(frame, "dark").id == store.select(frame, "dark").id


def test_frames_that_do_not_agree_are_named_with_what_they_have(store: Store) -> None:
    stack = [*frames(0.0, 1.0, 2.0, 3.0), *frames(4.0, spectrograph="RSPEC")]
    with pytest.raises(HeaderError) as caught:
        add(store, near=1.0).select_common(stack, "dark")
    assert caught.value.message == (
        "The frames do not agree in the spectrograph, by which a dark is chosen: "
        "0.fits, 1.fits, 2.fits and 1 more have BSPEC; 4.fits has RSPEC."
    )
    assert caught.value.column == "spectrograph"


def test_a_frame_without_a_compared_value_is_named(store: Store) -> None:
    with pytest.raises(HeaderError, match=r"1\.fits has no spectrograph"):
        add(store, near=1.0).select_common([*frames(0.0), *frames(1.0, spectrograph=None)], "dark")


def test_a_value_that_some_frames_do_not_know_is_that_of_the_others(store: Store) -> None:
    selector = rule(match_if_known=("era",))
    store.local_db.add([record("one.fits", 60000.0, era="1"), record("two.fits", 60000.1, era="2")])
    assert store.select_common([*frames(0.0), *frames(0.0, era="2")], selector).filename == "two.fits"
    with pytest.raises(HeaderError, match=r"in the era.*a\.fits has 1; b\.fits has 2"):
        store.select_common(
            [*frames(0.0, era="1", filename="a.fits"), *frames(0.0, era="2", filename="b.fits")], selector
        )


def test_a_tolerance_holds_for_each_frame(store: Store) -> None:
    store.local_db.add([record(f"{time}.fits", 60000.0, exposure_time=float(time)) for time in (90, 100, 110)])
    stack = [*frames(0.0, exposure_time=100.0), *frames(0.0, exposure_time=120.0)]
    assert store.select_common(stack, rule(within={"exposure_time": relative(0.1)})).filename == "110.fits"
    with pytest.raises(CalibrationNotFoundError, match="exposure_time"):
        store.select_common(stack, rule(within={"exposure_time": 5.0}))


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"max_age": timedelta(days=2)}, "between"),
        ({"direction": "before"}, "before"),
        ({"direction": "after"}, "after"),
        ({"direction": "bracket"}, "between"),
        ({"direction": "before", "max_age": timedelta(days=3)}, None),
    ],
)
def test_a_limit_holds_for_each_frame(store: Store, settings: dict[str, Any], expected: str | None) -> None:
    add(store, before=-2.0, between=1.8, after=2.1)
    stack = frames(0.0, 2.0)
    if expected is None:
        with pytest.raises(CalibrationNotFoundError):
            store.select_common(stack, rule(**settings))
    else:
        assert store.select_common(stack, rule(**settings)).filename == f"{expected}.fits"


def test_a_boundary_between_the_frames_is_named(store: Store) -> None:
    selector = rule(never_across=(60001.0, 60005.0))
    add(store, before=0.9, after=1.2)
    with pytest.raises(HeaderError, match=r"one dark: the boundary 2023-02-26 lies between 0\.fits and 1\.fits"):
        store.select_common(frames(1.0, 0.0), selector)
    assert store.select_common(frames(1.0, 4.0), selector).filename == "after.fits"


def test_an_interval_holds_for_each_frame(store: Store) -> None:
    selector = rule(validity=("mjd_mid", None))
    store.local_db.add([record("old.fits", mjd_mid=59000.0), record("new.fits", mjd_mid=60001.0)])
    assert store.select_common(frames(1.0, 2.0), selector).filename == "new.fits"
    with pytest.raises(HeaderError, match=r"valid for all of them: 0\.fits has old\.fits; 1\.fits has new\.fits"):
        store.select_common(frames(0.0, 1.0), selector)


def test_steps_are_tried_for_all_frames(store: Store) -> None:
    selector = rule(prefer=(Step({"lamp": "lfc"}, max_age=timedelta(days=1)), Step({"lamp": "thar"})))
    store.local_db.add([record("lfc.fits", 60000.0, lamp="lfc"), record("thar.fits", 60009.0, lamp="thar")])
    assert store.select_common(frames(0.0, 1.0), selector).choice.step == 1
    with pytest.warns(FallbackWarning, match="2 frames"):
        found = store.select_common(frames(0.0, 2.0), selector)
    assert (found.filename, found.is_fallback, found.choice.step) == ("thar.fits", True, 2)


def test_it_hangs_on_the_anchor_of_all_frames(store: Store) -> None:
    store.local_db.add([record("wls.fits", 60007.0, cal_type="wls", era="1")])
    add(store, near=1.0, companion=6.5)
    selector = rule(anchor="wls")
    assert store.select_common(frames(0.0, 2.0, era="1"), selector).filename == "companion.fits"
    with pytest.raises(HeaderError, match="by which a wls is chosen"):
        store.select_common([*frames(0.0, era="1"), *frames(2.0, era="2")], selector)


def test_none_of_the_frames_is_chosen_for_them(store: Store, tmp_path: Any) -> None:
    paths = [dark(tmp_path, f"{number}.fits", 60000.0 + number) for number in range(3)]
    for path in paths:
        store.register_calibration(path)
    with pytest.raises(CalibrationNotFoundError):
        store.select_common(paths, "dark")
    add(store, other=9.0)
    assert store.select_common(paths, "dark").filename == "other.fits"


class Programmed(CalibrationSelector):
    cal_type = "dark"

    def select(self, input: Mapping[str, Any], db: Any) -> Any:
        return None


def test_a_method_of_ones_own_knows_no_stack(store: Store) -> None:
    with pytest.raises(ConfigurationError, match=r"method of its own.*select_many"):
        store.select_common(frames(0.0), Programmed)


def test_a_stack_without_frames_is_an_error(store: Store) -> None:
    with pytest.raises(ConfigurationError, match="No frames"):
        store.select_common([], "dark")


def unnamed(*days: float, **values: Any) -> list[dict[str, Any]]:
    return [{"mjd_start": 60000.0 + day, "spectrograph": "BSPEC", **values} for day in days]


def test_frames_without_a_file_are_counted(store: Store) -> None:
    add(store, near=1.0)
    with pytest.raises(HeaderError, match=r"frame 1 has BSPEC; frame 2 has RSPEC"):
        store.select_common([*unnamed(0.0), *unnamed(1.0, spectrograph="RSPEC")], "dark")
    with pytest.raises(HeaderError, match="frame 2 has no spectrograph"):
        store.select_common([*unnamed(0.0), *unnamed(1.0, spectrograph=None)], "dark")
    with pytest.raises(HeaderError, match="lies between frame 1 and frame 2"):
        store.select_common(unnamed(0.0, 2.0), rule(never_across=(60001.0,)))
    assert store.select_common(unnamed(0.0, 2.0), "dark").choice.frame == "2 frames, frame 1 to frame 2"


def missed(store: Store, stack: list[Any], selector: Any) -> CalibrationNotFoundError:
    with pytest.raises(CalibrationNotFoundError) as caught:
        store.select_common(stack, selector)
    return caught.value


def test_a_miss_says_which_frame_refuses_each(store: Store) -> None:
    add(store, w1=0.0, w2=10.0)
    error = missed(store, unnamed(3.0, 12.0), rule(max_age=timedelta(days=6)))
    assert error.message == (
        "No dark fits mjd_start 60003 to 60012: of the 2 known, the nearest were refused "
        "(w2.fits: for frame 1, 7.0 d newer, limit 6 d; w1.fits: for frame 2, 12.0 d older, limit 6 d)."
    )
    assert [(each.rule, each.delta) for each in error.nearest] == [("max_age", 7.0), ("max_age", -12.0)]


def test_a_miss_by_tolerance_says_the_value_of_the_frame_that_refuses(store: Store) -> None:
    store.local_db.add(record("two.fits", 60000.0, amplifiers=2))
    stack = [*unnamed(0.0, amplifiers=4), *unnamed(0.0, amplifiers=1)]
    error = missed(store, stack, rule(within={"amplifiers": relative(0.5)}))
    assert "fits amplifiers 1 to 4, mjd_start 60000.0" in error.message
    assert "for frame 2, 0.000 d newer, its amplifiers is 2, the frame's is 1 \u00b1 0.5" in error.message


def test_a_miss_by_steps_says_each_with_the_frame(store: Store) -> None:
    selector = rule(prefer=(Step({"lamp": "lfc"}), Step({"lamp": "thar"}, max_age=timedelta(days=1))))
    store.local_db.add(record("thar.fits", 60000.0, lamp="thar"))
    error = missed(store, unnamed(0.5, 2.0), selector)
    assert "by step 1 (thar.fits: for frame 1," in error.message
    assert "by step 2 (thar.fits: for frame 2, 2.0 d older, limit 1 d)" in error.message


def test_a_miss_says_that_the_nearest_are_the_frames_themselves(store: Store, tmp_path: Any) -> None:
    paths = [dark(tmp_path, f"{number}.fits", 60000.0 + number) for number in range(2)]
    for path in paths:
        store.register_calibration(path)
    error = missed(store, paths, "dark")
    assert [each.rule for each in error.nearest] == ["itself", "itself"]
    assert f"for {paths[1]}, 0.000 d newer, it is the frame itself" in error.message


def test_an_interval_knows_what_some_frames_do_not(store: Store) -> None:
    selector = rule(validity=("mjd_mid", None), match_if_known=("era",))
    store.local_db.add([record("one.fits", mjd_mid=59000.0, era="1"), record("two.fits", mjd_mid=59001.0, era="2")])
    assert store.select_common([*unnamed(0.0), *unnamed(0.0, era="1")], selector).filename == "one.fits"
    with pytest.raises(HeaderError, match=r"in the era.*frame 1 has 2; frame 2 has 1"):
        store.select_common([*unnamed(0.0, era="2"), *unnamed(0.0, era="1")], selector)


def test_frames_that_an_interval_cannot_serve_together_are_named(store: Store) -> None:
    store.local_db.add(record("old.fits", 60000.5, mjd_mid=59000.0))
    matching = rule(validity=("mjd_mid", None), match=("spectrograph",))
    with pytest.raises(HeaderError, match=r"in the spectrograph.*frame 1 has BSPEC; frame 2 has RSPEC"):
        store.select_common([*unnamed(0.0), *unnamed(1.0, spectrograph="RSPEC")], matching)
    divided = rule(validity=("mjd_mid", None), never_across=(60001.0,))
    with pytest.raises(HeaderError, match="lies between frame 1 and frame 2"):
        store.select_common(unnamed(0.0, 2.0), divided)
    with pytest.raises(CalibrationNotFoundError, match=r"^frame 1: No dark fits"):
        store.select_common([{"mjd_start": 58000.0, "spectrograph": "BSPEC"}, *unnamed(0.0)], matching)
