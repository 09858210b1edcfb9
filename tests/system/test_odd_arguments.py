"""Odd arguments for every public member: each call works or raises an error of ours."""

from __future__ import annotations

import datetime as dt
import inspect
import uuid
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import koa_middleware
import numpy as np
import pytest
from koa_middleware import CalibrationSelector, CalibrationStore, ConfigurationError, InstrumentPlugin

from tests.conftest import DemoCalibration, dark, record
from tests.older_caches import first_era
from tests.system.test_broken_database import bare_error, entered, lock_of, public

Store = CalibrationStore[DemoCalibration]


class Unhelpful:
    """An object that answers nothing."""

    def __repr__(self) -> str:
        return "Unhelpful()"


ODD: dict[str, Any] = {
    "none": None,
    "empty": "",
    "blank": "  ",
    "text": "x.fits",
    "surrogate": "a\ud800b.fits",
    "undecodable": "a\udcff.fits",
    "nul": "a\0b",
    "newline": "a\nb",
    "long": "x" * 5000,
    "bytes": b"x.fits",
    "odd bytes": b"\xff\xfe\0",
    "uuid": uuid.UUID(int=7),
    "record": record("odd.fits", id="odd"),
    "records": [record("odd.fits", id="odd")],
    "path": Path("nowhere/x.fits"),
    "zero": 0,
    "minus": -1,
    "2**63": 2**63,
    "huge": 10**400,
    "1e308": 1e308,
    "inf": float("inf"),
    "nan": float("nan"),
    "complex": 1j,
    "decimal": Decimal("1.5"),
    "true": True,
    "list": [],
    "list of none": [None],
    "list of text": ["x.fits"],
    "tuple": ("a", 1),
    "set": {1},
    "dict": {},
    "dict of odd": {1: 2, None: None, "mjd_start": object()},
    "type": int,
    "class": DemoCalibration,
    "function": len,
    "generator": (each for each in ()),
    "object": Unhelpful(),
    "masked": np.ma.masked,
    "array": np.arange(3),
    "datetime": dt.datetime(2026, 2, 12),
    "date": dt.date(2026, 2, 12),
    "aware": dt.datetime(2026, 2, 12, tzinfo=dt.UTC),
    "timedelta": dt.timedelta(days=-1),
    "most": dt.timedelta.max,
}

FRAME = {"mjd_start": 60000.5, "spectrograph": "BSPEC"}


def good(folder: Path) -> dict[str, Any]:
    """A sound value of each parameter, by its name."""
    mine = record("mine.fits", id="mine")
    return {
        "orm_class": DemoCalibration,
        "input": FRAME,
        "inputs": [FRAME],
        "selector": CalibrationSelector(cal_type="dark", match=("spectrograph",)),
        "id": "mine",
        "id_or_filename": "mine",
        "filename": "mine.fits",
        "lock": lock_of(folder) if not (folder / "night.lock").exists() else folder / "night.lock",
        "record": mine,
        "records": [mine],
        "source": str(folder / "night" / "mine.fits"),
        "path": folder / "bundle.tar",
        "folder": folder / "older" if (folder / "older").exists() else first_era(folder / "older"),
        "quality": "GOOD",
        "reason": "why",
        "statement": DemoCalibration.table().select(),
        "parameters": {},
        "results": [mine],
        "as_of": None,
        "moment": "2026-01-01T00:00:00.000000",
    }


#: What is given to SQLAlchemy or to the driver as it is, and what takes the row's values as they were checked.
INNER = {
    "all_said_of",
    "begin",
    "check_type",
    "check_unchanged",
    "connect",
    "driver_connection",
    "execute",
    "fetch",
    "fetch_many",
    "insert",
    "judge",
    "last_said_of",
    "refuse",
    "rows",
    "translated_errors",
}


@pytest.fixture
def filled(open_demo: Callable[..., Store], tmp_path: Path) -> Store:
    store = open_demo(calibration_url=(tmp_path / "night").as_uri())
    made = store.register_calibration(dark(tmp_path / "night", "mine.fits")).calibration
    with store.local_db.begin() as connection:
        connection.exec_driver_sql("UPDATE demo_calibrations SET id = 'mine' WHERE id = ?", (made.id,))
    return store


def calls(owner: Any, folder: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    """Each public method with an odd value in the place of each parameter, and its name."""
    for name in public(owner):
        if name in INNER | {"close"} or not inspect.isroutine(inspect.getattr_static(owner, name)):
            continue
        method = getattr(owner, name)
        parameters = inspect.signature(method).parameters.values()
        needed = {
            each.name: good(folder)[each.name]
            for each in parameters
            if each.default is each.empty and each.kind is not each.VAR_KEYWORD
        }
        for parameter in parameters:
            for label, odd in ODD.items():
                if callable(odd) and parameter.name in {"announce", "progress"}:
                    continue  # whose errors are the caller's own
                key = "lamp" if parameter.kind is parameter.VAR_KEYWORD else parameter.name
                yield f"{name}({key}={label})", lambda m=method, a={**needed, key: odd}: use(m(**a))


def use(result: Any) -> None:
    if hasattr(result, "__enter__") and not isinstance(result, CalibrationStore):
        entered(result)


@pytest.mark.parametrize("of", ["store", "database"])
def test_an_odd_argument_of_any_method_works_or_is_an_error_of_ours(
    filled: Store, of: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(DemoCalibration, "selectors", {"dark": CalibrationSelector(cal_type="dark")})
    owner = filled if of == "store" else filled.local_db
    found = {name: bare_error(call) for name, call in calls(owner, tmp_path)}
    assert len(found) > 300
    assert {name: error for name, error in found.items() if error} == {}


@pytest.mark.parametrize("label", ODD)
def test_an_odd_argument_of_what_makes_things_is_an_error_of_ours_too(label: str, tmp_path: Path) -> None:
    odd = ODD[label]
    makes: dict[str, Callable[[], object]] = {
        "get_plugin": lambda: koa_middleware.get_plugin(odd),
        "open_store": lambda: koa_middleware.open_store(odd, cache_dir=tmp_path),
        "orm_class": lambda: CalibrationStore(odd, tmp_path),
        "plugin": lambda: InstrumentPlugin(odd),
        "plugin's demo": lambda: InstrumentPlugin(DemoCalibration, (), odd),
        "plugin's selectors": lambda: InstrumentPlugin(DemoCalibration, odd),
        "plugin's product_cards": lambda: InstrumentPlugin(DemoCalibration, (), product_cards=odd),
        "plugin's inputs": lambda: InstrumentPlugin(DemoCalibration, (), inputs=odd),
        "record": lambda: DemoCalibration(filename="x.fits", lamp=odd),
        "record's name": lambda: DemoCalibration(filename=odd),
    }
    for name in inspect.signature(CalibrationStore).parameters:
        if name not in {"orm_class", "cache_dir"}:
            makes[f"store's {name}"] = lambda name=name: CalibrationStore(DemoCalibration, tmp_path, **{name: odd})
    for name in ("cal_type", "match", "given", "match_if_known", "require", "max_age", "direction", "time"):
        makes[f"selector's {name}"] = lambda name=name: CalibrationSelector(**{"cal_type": "dark", name: odd})
        makes[f"class's {name}"] = lambda name=name: type(
            "Made", (CalibrationSelector,), {"cal_type": "dark", name: odd}
        )
    before = DemoCalibration.selectors
    try:
        found = {name: bare_error(make) for name, make in makes.items()}
    finally:
        DemoCalibration.selectors = before
    assert {name: error for name, error in found.items() if error} == {}


def test_a_record_stands_for_its_id_and_a_uuid_or_bytes_for_their_text(filled: Store) -> None:
    mine = filled.local_db.query_by_id("mine")
    assert filled.get_calibration_by_id(mine).path.name == "mine.fits"
    assert filled.flag(mine, "BAD", "why").quality == "BAD"
    assert filled.flag(b"mine.fits", "GOOD", "why").quality == "GOOD"  # type: ignore[arg-type]
    number = uuid.UUID(int=9)
    filled.local_db.add(record("other.fits", id=str(number)))
    assert filled.local_db.query_by_id(number).filename == "other.fits"  # type: ignore[arg-type]
    assert len(filled.to_table(mine)) == 1
    assert [each.filename for each in filled.local_db.conflicts(mine)] == []  # type: ignore[arg-type]


def test_text_where_true_or_false_is_asked_for_is_not_taken_for_true(filled: Store, tmp_path: Path) -> None:
    for call in (
        lambda: filled.get_calibration(FRAME, good(tmp_path)["selector"], use_cached="false"),  # type: ignore[arg-type]
        lambda: filled.prune(max_size=0, dry_run="no"),  # type: ignore[arg-type]
        lambda: filled.register_calibration(dark(tmp_path), new_version="no"),  # type: ignore[arg-type]
    ):
        with pytest.raises(ConfigurationError, match="Give True or False"):
            call()


@pytest.mark.parametrize("path", ["", "  ", None, 7, b""], ids=repr)
def test_what_names_no_path_is_said_where_a_path_is_asked_for(filled: Store, path: Any) -> None:
    for call in (
        lambda: filled.export_bundle(path, filled.query()),
        lambda: filled.import_bundle(path),
        lambda: filled.publish(upload_to=path if path is not None else 7),
    ):
        with pytest.raises(ConfigurationError, match="Give a path"):
            call()
