"""A function is applied to many things in processes of their own, or in threads where no process can have it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from koa_middleware import CalibrationStore, KoaMiddlewareError
from koa_middleware.cache import from_files
from koa_middleware.cache.processes import applied

from tests.conftest import write_fits

several_cores = pytest.mark.skipif(os.cpu_count() == 1, reason="one core gains nothing of processes")


@several_cores
def test_many_things_are_done_by_other_processes_in_their_order() -> None:
    asked = [f"({number}, __import__('os').getpid())" for number in range(100)]
    numbers, processes = zip(*applied(eval, asked, 50), strict=True)
    assert numbers == tuple(range(100))
    assert os.getpid() not in processes


def test_few_things_start_no_process() -> None:
    assert set(applied(eval, ["__import__('os').getpid()"] * 3, 50)) == {os.getpid()}


def test_what_no_other_process_can_import_is_done_by_this_one() -> None:
    class Made:
        def __call__(self, number: int) -> int:
            return number + 1

    Made.__module__, Made.__qualname__ = "__main__", "Made"
    assert list(applied(lambda number: number + 1, [1, 2, 3, 4], 2)) == [2, 3, 4, 5]
    import __main__

    __main__.Made = Made  # type: ignore[attr-defined]
    try:
        assert list(applied(Made(), [1, 2, 3, 4], 2)) == [2, 3, 4, 5]
    finally:
        del __main__.Made  # type: ignore[attr-defined]


@several_cores
def test_a_process_that_is_killed_is_told() -> None:
    with pytest.raises(KoaMiddlewareError, match="ended before its work was done"):
        list(applied(eval, ["__import__('os')._exit(9)"] * 4, 2))


def test_processes_and_threads_make_the_same_records_of_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    orm_class = pytest.importorskip("koa_middleware_hispec").HISPECCalibration
    files = tmp_path / "cache" / "calibrations"
    files.mkdir(parents=True)
    for second in range(10, 14):
        named = f"HB.20260212.000{second}.00.mastercal-dark.001.fits"
        write_fits(files / named, {"INSTERA": "1.0.0", "CALID": f"id{second}"})
    os.truncate(files / named, 3000)
    (files / "HB.20260212.00020.00.mastercal-dark.001.fits").write_bytes(b"no FITS")
    shutil.copytree(tmp_path / "cache", tmp_path / "other")
    reports, records = [], []
    for worth, cache in ((1000, tmp_path / "cache"), (2, tmp_path / "other")):
        monkeypatch.setattr(from_files, "WORTH_A_PROCESS", worth)
        said = CalibrationStore.rebuild(orm_class, cache).lost
        reports.append({name: each.replace(str(cache), "") for name, each in said.items()})
        with CalibrationStore(orm_class, cache) as store:
            records.append([{**each.to_dict(), "last_updated": None} for each in store.query()])
    assert reports[0] == reports[1]
    assert len(reports[0]) == 5
    assert records[0] == records[1]
    assert len(records[0]) == 3
