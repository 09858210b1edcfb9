"""The class methods that a plugin overrides: one that misbehaves is named, with its plugin."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from koa_middleware import (
    CalibrationSelector,
    CalibrationStore,
    HeaderError,
    InvalidPluginError,
    KoaMiddlewareError,
    ORMCalibration,
    UnsafeFilenameError,
)

from tests.conftest import write_fits

DARK = CalibrationSelector(cal_type="dark")
CARDS = {"CALTYPE": "dark", "MJD-OBS": 60000.5}


def store_with(folder: Path, **hooks: Any) -> CalibrationStore[Any]:
    """Open a store of a class with these class methods."""
    body = {name: classmethod(hook) for name, hook in hooks.items()}
    named = {"instrument_name": "hooked", "__module__": __name__}
    return CalibrationStore(type("Hooked", (ORMCalibration,), {**named, **body}), folder / "cache")


@pytest.mark.parametrize(
    ("hook", "said"),
    [
        (lambda cls, header, filename=None: None, "returned a NoneType. Let it return a dict"),
        (lambda cls, header, filename=None: [1], "returned a list"),
        (lambda cls, header, filename=None: header["NOWHERE"], r"failed for .* with KeyError: .*NOWHERE.*Correct that"),
    ],
    ids=["None", "a list", "raises"],
)
def test_a_hook_for_headers_that_misbehaves_is_named_whatever_is_given(tmp_path: Path, hook: Any, said: str) -> None:
    path = write_fits(tmp_path / "dark.fits", CARDS)
    with store_with(tmp_path, values_from_header=hook) as store:
        for ask in (store.register_calibration, lambda frame: store.select(frame, DARK)):
            with pytest.raises(InvalidPluginError, match=f"The values_from_header of Hooked.*plugin hooked, {said}"):
                ask(path)
        with pytest.raises(InvalidPluginError, match=said):
            store.select({"MJD-OBS": 60000.5}, DARK)


def test_a_hook_for_files_that_fails_is_named(tmp_path: Path) -> None:
    def fail(cls: Any, path: Path) -> Any:
        return path.nowhere  # type: ignore[attr-defined]

    path, said = (
        write_fits(tmp_path / "dark.fits", CARDS),
        r"values_from_file of Hooked.*failed for .*dark.fits.*nowhere",
    )
    with store_with(tmp_path, values_from_file=fail) as store, pytest.raises(InvalidPluginError, match=said):
        store.register_calibration(path)


def test_an_error_that_a_hook_means_reaches_the_caller_as_it_is(tmp_path: Path) -> None:
    meant = HeaderError("The lamp is off.", "Switch it on.", column="", keywords=(), source="")

    def tell(*_: Any) -> Any:
        raise meant

    for hook in ("values_from_header", "values_from_file", "derive"):
        with store_with(tmp_path / hook, **{hook: lambda cls, *given: tell()}) as store:
            with pytest.raises(HeaderError, match=r"The lamp is off\. Switch it on\.") as caught:
                store.register_calibration(write_fits(tmp_path / "dark.fits", CARDS))
            assert caught.value is meant


@pytest.mark.parametrize(
    ("hook", "error", "said"),
    [
        (lambda cls, record: None, InvalidPluginError, "filename_for of Hooked.*plugin hooked, returned a NoneType"),
        (lambda cls, record: record.nowhere, InvalidPluginError, "failed for dark.fits with AttributeError.*nowhere"),
        (lambda cls, record: "../dark.fits", UnsafeFilenameError, "separator"),
        (lambda cls, record: "", UnsafeFilenameError, "empty"),
    ],
    ids=["None", "raises", "leaves the folder", "empty"],
)
def test_a_hook_for_names_that_misbehaves_is_named_and_nothing_is_registered(
    tmp_path: Path, hook: Any, error: type[KoaMiddlewareError], said: str
) -> None:
    with store_with(tmp_path, filename_for=hook) as store:
        store.register_calibration(write_fits(tmp_path / "dark.fits", CARDS))
        other = write_fits(tmp_path / "dark.fits", {**CARDS, "CONTENT": 2})
        with pytest.raises(error, match=said):
            store.register_calibration(other, new_version=True)
        assert len(store.query()) == 1


def leave(cls: Any, *_: Any) -> Any:
    sys.exit(3)


@pytest.mark.parametrize("hook", ["values_from_header", "values_from_file", "derive"])
def test_a_hook_that_ends_the_program_does_not_end_that_of_the_caller(tmp_path: Path, hook: str) -> None:
    path, said = write_fits(tmp_path / "dark.fits", CARDS), f"{hook} of Hooked.* with SystemExit: 3"
    with store_with(tmp_path, **{hook: leave}) as store, pytest.raises((InvalidPluginError, HeaderError), match=said):
        store.register_calibration(path)


@pytest.mark.parametrize(
    ("named", "error", "said"),
    [
        (leave, InvalidPluginError, "filename_for of Hooked.* with SystemExit: 3"),
        (lambda cls, record: "\ud800.fits", UnsafeFilenameError, "not valid text"),
    ],
    ids=["exit", "surrogate"],
)
def test_a_hook_that_names_no_file_is_told_so(tmp_path: Path, named: Any, error: type[Exception], said: str) -> None:
    (tmp_path / "other").mkdir()
    other = write_fits(tmp_path / "other" / "dark.fits", CARDS | {"OBSERVER": "x"})
    with store_with(tmp_path, filename_for=named) as store:
        store.register_calibration(write_fits(tmp_path / "dark.fits", CARDS))
        with pytest.raises(error, match=said):
            store.register_calibration(other, new_version=True)
