"""Caches that earlier code of this repository made, used by it and by the present one in turn."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import tarfile
from contextlib import closing
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT

#: Commits whose code made caches, and what they lacked.
COMMITS = {
    "938f6c4": "the first version: judgements in a table of their own, no feed",
    "95f0e25": "before conflicts were kept as rows",
    "7627cc6": "the change feed, no versions",
}

WORK = """
import json, sys, warnings
from pathlib import Path
warnings.simplefilter("ignore")
from koa_middleware import CalibrationStore
from koa_middleware_hispec import plugin

folder, task = Path(sys.argv[1]), sys.argv[2]
calibrations = plugin.demo(folder / "night")[0] if task == "make" else []
frames = [path for path in sorted((folder / "night").glob("*.fits")) if "mastercal" not in path.name]
with CalibrationStore(plugin.ORM, folder / "cache") as store:
    made = [store.register_calibration(path)[1] for path in calibrations]
    if made:
        store.flag(made[0].id, "BAD", "light leak")
    chosen = {}
    for frame in frames:
        for cal_type in plugin.selectors:
            try:
                chosen[f"{frame.name} {cal_type}"] = store.select(frame, cal_type).filename
            except LookupError:
                pass
    records = store.query()
    print(json.dumps({
        "chosen": chosen,
        "rows": {r.filename: [r.id, r.quality, r.cal_version, r.checksum] for r in records},
        "ok": store.verify().ok,
        "flagged": made[0].id if made else None,
    }))
"""


@pytest.fixture(scope="module", params=COMMITS, ids=str)
def older(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with core and plugins as they were in a commit."""
    archive = ["git", "-C", str(ROOT), "archive", request.param, "core", "plugins"]
    found = subprocess.run(archive, capture_output=True, check=False)
    if found.returncode != 0:
        pytest.skip(f"this checkout's history does not reach back to {request.param}")
    folder = tmp_path_factory.mktemp("older")
    with tarfile.open(fileobj=BytesIO(found.stdout)) as code:
        code.extractall(folder, filter="data")
    return folder


def work(code: Path, *arguments: object) -> dict[str, Any]:
    """Let the code of a folder work on a cache; gives what it tells of it."""
    paths = [code / "core", code / "plugins" / "hispec" / "src"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KOA_")}
    done = subprocess.run(
        [sys.executable, "-c", WORK, *map(str, arguments)],
        env={**environment, "PYTHONPATH": os.pathsep.join(map(str, paths))},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def asked(folder: Path, sql: str, *parameters: object) -> list[Any]:
    with closing(sqlite3.connect(folder / "cache" / "database" / "hispec_calibrations.db")) as database:
        return database.execute(sql, parameters).fetchall()


def test_a_cache_of_earlier_code_gives_the_same_answers_and_goes_on_with_both(older: Path, tmp_path: Path) -> None:
    before = work(older, tmp_path, "make")
    assert before["ok"]
    assert before["chosen"]
    after = work(ROOT, tmp_path, "look")
    assert after["ok"]
    assert after["rows"] == before["rows"]
    assert after["chosen"] == before["chosen"]
    judged = "SELECT quality, why FROM hispec_calibrations_feed WHERE id = ? AND op = 'flagged'"
    assert asked(tmp_path, judged, before["flagged"]) == [("BAD", "light leak")]
    schema = "SELECT * FROM sqlite_master, koa_versions"
    in_turn = asked(tmp_path, schema)
    again = work(older, tmp_path, "look")
    assert (again["rows"], again["chosen"], again["ok"]) == (before["rows"], before["chosen"], True)
    assert work(ROOT, tmp_path, "look")["rows"] == before["rows"]
    assert asked(tmp_path, schema) == in_turn
