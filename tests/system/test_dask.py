"""Choosing for an archive on a real Dask cluster, all workers from one cache."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from koa_middleware import CalibrationSelector, CalibrationStore, InstrumentPlugin

from tests.conftest import ROOT, DemoCalibration, output_of, record, repetitions, run_python

SCRIPT = """
import json, sys
sys.path.insert(0, sys.argv[3])
from distributed import Client, LocalCluster
from koa_middleware import CalibrationStore
from reprocess_archive import chosen_for
from tests.conftest import DemoCalibration
from tests.system.test_dask import frames_of, give_selectors

give_selectors()
with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
    client.run(give_selectors)
    with CalibrationStore(DemoCalibration, sys.argv[1]) as store:
        found = chosen_for(client, store, frames_of(int(sys.argv[2])))
        print(json.dumps([{name: each.get("filename") for name, each in one.items()} for one in found]))
"""


def give_selectors() -> None:
    """Do what an installed plugin does where its class is imported."""
    InstrumentPlugin(DemoCalibration, [CalibrationSelector(cal_type="dark", match=("spectrograph",))])


def frames_of(number: int) -> list[dict[str, Any]]:
    return [
        {"mjd_start": 60000.0 + n % 1000 / 10, "spectrograph": "BSPEC" if n % 100 else "RSPEC"} for n in range(number)
    ]


def test_the_workers_of_a_cluster_choose_what_one_process_would(
    store: CalibrationStore[DemoCalibration], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr(DemoCalibration, "selectors", {})
    give_selectors()
    store.local_db.add([record(f"{day}.fits", 60000.0 + day) for day in range(100)])
    number = repetitions(5_000, 100_000)
    found = output_of(run_python(SCRIPT, store.cache_dir, number, ROOT / "examples", cwd=tmp_path))
    expected = store.select_sets(frames_of(3000))
    names = [{name: getattr(each, "filename", None) for name, each in one.items()} for one in expected]
    assert len(json.loads(found)) == number
    assert json.loads(found)[:3000] == names
    assert {one["dark"] is None for one in names} == {True, False}
