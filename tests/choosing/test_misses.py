"""What is said where nothing fits, and what it reads of the database for that."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from koa_middleware import CalibrationNotFoundError, CalibrationSelector, CalibrationStore, HeaderError, Step
from koa_middleware.choosing.misses import told_once

from tests.conftest import DemoCalibration, record

Store = CalibrationStore[DemoCalibration]
FRAME = {"mjd_start": 60000.0, "spectrograph": "BSPEC", "mjd_mid": 60000.0}
BRACKET = CalibrationSelector(cal_type="dark", direction="bracket", max_age=timedelta(hours=6))
STEPS = (Step({"lamp": "lfc"}), Step({"lamp": "thar"}, max_age=timedelta(days=1)))


@pytest.fixture
def filled(store: Store) -> Store:
    store.local_db.add(
        [
            record("before.fits", 59999.5, lamp="thar", mjd_mid=59999.6),
            record("after.fits", 60000.75, lamp="une", mjd_mid=60000.8),
            record("later.fits", 60001.0, lamp="une", mjd_mid=60001.2),
            record("latest.fits", 60002.0, lamp="une", mjd_mid=60002.2),
        ]
    )
    return store


def miss(store: Store, rule: CalibrationSelector, frame: dict[str, Any] = FRAME, *, pair: bool = False) -> Any:
    with pytest.raises(CalibrationNotFoundError) as caught:
        (store.select_bracket if pair else store.select)(frame, rule)
    return caught.value


def test_the_nearest_few_are_told_with_amounts_and_all_are_counted(filled: Store) -> None:
    error = miss(filled, CalibrationSelector(cal_type="dark", max_age=timedelta(hours=6)))
    assert error.message == (
        "No dark fits mjd_start 60000.0: of the 4 known, the nearest were refused "
        "(before.fits: 0.500 d older, limit 0.25 d; after.fits: 0.750 d newer, limit 0.25 d; "
        "later.fits: 1.0 d newer, limit 0.25 d)."
    )
    assert (error.total, len(error.nearest)) == (4, 3)


def test_each_step_says_why(filled: Store) -> None:
    rule = CalibrationSelector(cal_type="dark", prefer=STEPS, direction="after")
    error = miss(filled, rule)
    assert error.message == (
        "No dark fits mjd_start 60000.0: of the 4 known, the nearest were refused "
        "by step 1 (before.fits: 0.500 d older, its lamp is thar, the rule requires lfc; "
        "after.fits: 0.750 d newer, its lamp is une, the rule requires lfc), "
        "by step 2 (before.fits: 0.500 d older, only later ones are allowed; "
        "after.fits: 0.750 d newer, its lamp is une, the rule requires thar)."
    )


@pytest.mark.parametrize("pair", [False, True])
def test_a_pair_says_why_on_both_sides(filled: Store, pair: bool) -> None:
    error = miss(filled, BRACKET, pair=pair)
    assert error.message == (
        "No dark fits mjd_start 60000.0: of the 4 known, the nearest were refused "
        "before the frame (before.fits: 0.500 d older, limit 0.25 d), "
        "after the frame (after.fits: 0.750 d newer, limit 0.25 d)."
    )
    assert [each.side for each in error.nearest] == ["before", "after"]


def test_a_side_of_which_nothing_is_known_is_said_to_be_empty(filled: Store) -> None:
    said = miss(filled, BRACKET, {"mjd_start": 59990.0}).message
    assert "before the frame (none is known), after the frame (before.fits: 9.5 d newer, limit 0.25 d)" in said


def test_a_pair_with_steps_says_both_sides_of_each(filled: Store) -> None:
    rule = CalibrationSelector(cal_type="dark", direction="bracket", prefer=(*STEPS[:1], Step({"lamp": "xx"})))
    said = miss(filled, rule).message
    for part in ("by step 1 before the frame (before", "by step 1 after the frame (after", "by step 2 after the frame"):
        assert part in said


def test_a_miss_by_a_time_that_no_index_of_the_type_holds_tells_the_same_rows(filled: Store) -> None:
    rule = CalibrationSelector(cal_type="dark", time="mjd_mid", max_age=timedelta(hours=6))
    error = miss(filled, rule)
    assert [each.record.filename for each in error.nearest] == ["before.fits", "after.fits", "later.fits"]
    assert "before.fits: 0.400 d older, limit 0.25 d" in error.message


def test_a_side_is_not_said_to_be_empty_where_only_the_starts_are_on_the_other(store: Store) -> None:
    long = [record(f"long{number}.fits", 59999.9 - number, mjd_mid=60000.1 + number) for number in range(5)]
    store.local_db.add([*long, record("short.fits", 59990.0, mjd_mid=59990.1)])
    rule = CalibrationSelector(cal_type="dark", time="mjd_mid", direction="bracket", require={"lamp": "lfc"})
    assert [each.record.filename for each in miss(store, rule).nearest] == ["short.fits", "long0.fits"]


def test_nothing_of_the_type_is_said_with_what_to_do(store: Store) -> None:
    error = miss(store, BRACKET)
    assert error.message == "No dark fits mjd_start 60000.0: the database holds none of that type."
    assert (error.total, error.nearest, error.hint[:32]) == (0, (), "Add one with koa-cal register.")


@contextmanager
def statements(store: Store) -> Iterator[list[str]]:
    """Collect the SQL that the driver's readers are given."""
    seen: list[str] = []
    readers = store.local_db._readers
    read, many = readers.read, readers.read_many

    def reading(sql: str, parameters: Any) -> Any:
        seen.append(sql)
        return read(sql, parameters)

    def reading_many(sql: str, parameters: Any) -> Any:
        seen.extend([sql] * len(parameters))
        return many(sql, parameters)

    readers.read, readers.read_many = reading, reading_many  # type: ignore[method-assign]
    try:
        yield seen
    finally:
        readers.read, readers.read_many = read, many  # type: ignore[method-assign]


def test_many_misses_count_the_type_once_and_say_what_single_ones_do(filled: Store) -> None:
    frames = [{"mjd_start": 60000.0 + number} for number in range(-20, 20)]
    rule = CalibrationSelector(cal_type="dark", require={"lamp": "xx"})
    alone = [str(miss(filled, rule, frame)) for frame in frames]
    with statements(filled) as seen:
        together = filled.select_many(frames, rule, return_exceptions=True)
    assert [str(each) for each in together] == alone
    assert sum("count(*)" in sql for sql in seen) == 1
    assert len(seen) == 1 + len(frames) + 1


def test_the_rows_of_a_miss_are_found_by_the_index(filled: Store) -> None:
    with statements(filled) as seen:
        miss(filled, CalibrationSelector(cal_type="dark", require={"lamp": "xx"}))
    near = next(sql for sql in seen if "UNION ALL" in sql)
    parameters = dict.fromkeys(re.findall(r":(\w+)", near), 1)
    with filled.local_db.driver_connection() as connection:
        plan = connection.execute(f"EXPLAIN QUERY PLAN {near}", parameters).fetchall()
    steps = [row[3] for row in plan if " demo_calibrations " in row[3]]
    assert len(steps) == 3
    assert all("USING INDEX ix_demo_calibrations_cal_type_mjd_start" in step for step in steps)


def test_a_reason_that_many_types_share_is_told_once_without_files_and_offsets(filled: Store) -> None:
    filled.local_db.add([record("bias.fits", 59000.0, cal_type="bias"), record("flat.fits", 59100.0, cal_type="flat")])
    errors = {
        name: miss(
            filled, CalibrationSelector(cal_type=name, match=("spectrograph",), max_age=timedelta(days=1)), frame
        )
        for name in ("bias", "flat")
        for frame in ({**FRAME, "mjd_start": 60050.0},)
    }
    (told,) = told_once(errors)
    assert told.cal_types == ["bias", "flat"]
    assert told.message == (
        "No bias, flat fits spectrograph BSPEC, mjd_start 60050.0: the nearest were refused (limit 1 d)."
    )


def test_steps_that_refuse_for_one_reason_tell_it_once(filled: Store) -> None:
    rule = CalibrationSelector(cal_type="dark", prefer=(Step({}), Step({})), max_age=timedelta(days=0.25))
    error = miss(filled, rule)
    assert "refused by step 1 and by step 2 (before.fits: 0.500 d older, limit 0.25 d; " in error.message
    assert error.message.count("before.fits") == 1


def test_a_masked_value_of_a_frame_is_told_as_none(filled: Store) -> None:
    with pytest.raises(HeaderError, match="the input has no mjd_start"):
        filled.select({"mjd_start": np.ma.masked}, CalibrationSelector(cal_type="dark"))
