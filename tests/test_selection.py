"""What a store's selections do with many frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from koa_middleware import CalibrationSelector, CalibrationStore, SourceFileError, selection
from koa_middleware.instrument.keywords import any_instrument

from tests.conftest import DemoCalibration, dark, record

Store = CalibrationStore[DemoCalibration]


def test_many_files_read_in_processes_of_their_own_get_what_each_gets_by_itself(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.local_db.add([record(f"{number}.fits", 60000.0 + 2 * number) for number in range(3)])
    frames = [dark(tmp_path / "frames", f"{number}.frame.fits", 60000.0 + number) for number in range(5)]
    frames[3] = tmp_path / "missing.fits"
    rule = CalibrationSelector(cal_type="dark", match=("spectrograph",))
    here = store.select_many(frames, rule, return_exceptions=True)
    monkeypatch.setattr(selection, "WORTH_A_PROCESS", 2)
    there = store.select_many(frames, rule, return_exceptions=True)
    assert [_told(each) for each in there] == [_told(each) for each in here]
    assert isinstance(there[3], SourceFileError)


def test_headers_of_another_instrument_are_accepted_for_many_files_too(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.local_db.add([record("near.fits")])
    frames = [dark(tmp_path / "frames", f"{number}.fits", INSTRUME="NIRC2") for number in range(4)]
    monkeypatch.setattr(selection, "WORTH_A_PROCESS", 2)
    with any_instrument():
        assert len(store.select_many(frames, CalibrationSelector(cal_type="dark"))) == 4


def _told(answer: Any) -> Any:
    return str(answer) if isinstance(answer, Exception) else (answer.filename, answer.choice)
