"""What a caller gives: odd values are one of this package's errors, which says what was given."""

from __future__ import annotations

import enum
import io
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from koa_middleware import CalibrationSelector, CalibrationStore, ConfigurationError, KoaMiddlewareError

from tests.conftest import DemoCalibration, record, write_fits

HUGE = 10**5000
FRAME = {"mjd_start": 60000.0}
LOOP: list[Any] = []
LOOP.append(LOOP)


class Size(enum.IntEnum):
    SMALL = 1


@pytest.fixture
def store(open_demo: Callable[..., CalibrationStore[Any]]) -> CalibrationStore[Any]:
    made = open_demo()
    made.local_db.add(record("dark.fits"))
    return made


@pytest.mark.parametrize(
    "ask",
    [
        lambda store: store.select(FRAME, HUGE),
        lambda store: store.select(FRAME, "dark", source=HUGE),
        lambda store: store.get_calibration_by_id(HUGE),
        lambda store: store.query(cal_version=HUGE),
        lambda store: store.query(filename=LOOP),
        lambda store: store.query(file_size=Decimal("1e999999")),
        lambda store: store.flag("dark.fits", HUGE, "light leak"),
        lambda store: store.select(FRAME, CalibrationSelector(cal_type="\ud800")),
        lambda store: store.select(FRAME, CalibrationSelector(cal_type="dark", require={"filename": b"\xff"})),
        lambda store: store.select(FRAME, CalibrationSelector(cal_type="dark", require={"lamp": "\ud800"})),
    ],
)
def test_a_value_that_is_none_is_an_error_of_this_package(store: CalibrationStore[Any], ask: Any) -> None:
    with pytest.raises(KoaMiddlewareError) as caught:
        ask(store)
    assert str(caught.value).encode()


def test_a_path_of_text_is_one_of_a_file(tmp_path: Path) -> None:
    path = write_fits(tmp_path / "dark.fits", {"CALTYPE": "dark", "MJD-OBS": 60000.5})
    assert DemoCalibration.values_from_file(str(path)) == DemoCalibration.values_from_file(path)  # type: ignore[arg-type]


def test_a_whole_number_of_an_enumeration_is_a_size(store: CalibrationStore[Any]) -> None:
    assert store.prune(max_size=Size.SMALL, dry_run=True).removed == []


@pytest.mark.parametrize("odd", [{"checksum": 5}, {"filename": 3}, {"filename": ["a"]}, {"id": b"x"}], ids=str)
def test_a_record_that_was_set_to_what_no_record_has_is_said(
    store: CalibrationStore[Any], tmp_path: Path, odd: dict[str, Any]
) -> None:
    one = store.query()[0]
    for name, value in odd.items():
        setattr(one, name, value)
    for ask in (lambda: store.export_bundle(tmp_path / "b.tar", [one]), lambda: store.prefetch(records=[one])):
        with pytest.raises(ConfigurationError, match="of a record was set to"):
            ask()


def test_a_file_of_text_or_one_that_is_closed_holds_no_bundle(store: CalibrationStore[Any], tmp_path: Path) -> None:
    closed = io.BytesIO()
    closed.close()
    with (tmp_path / "b.tar").open("wb") as writable:
        for given in (io.StringIO(), closed, writable):
            with pytest.raises(ConfigurationError, match=r"path is .* Give a path, or open the file with the mode"):
                store.import_bundle(given)
    for given in (io.StringIO(), closed):
        with pytest.raises(ConfigurationError, match=r"path is .* Give a path, or open the file with the mode"):
            store.export_bundle(given, [])
