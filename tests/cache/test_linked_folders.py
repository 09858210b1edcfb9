"""Folders of a cache that are links to another disk."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from koa_middleware import CacheError
from koa_middleware.disk import room

from tests.conftest import dark, record

pytestmark = pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="there is no second disk")
Open = Callable[..., Any]


@pytest.fixture
def other_disk() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


@pytest.fixture(
    params=["calibrations", "partial", "database", "quarantine", "calibrations+quarantine", "partial+quarantine"]
)
def cache(request: pytest.FixtureRequest, tmp_path: Path, other_disk: Path) -> Path:
    """Give a cache some of whose folders are links to another disk."""
    folder = tmp_path / "cache"
    folder.mkdir()
    for name in request.param.split("+"):
        (other_disk / name).mkdir()
        (folder / name).symlink_to(other_disk / name)
    assert tmp_path.stat().st_dev != other_disk.stat().st_dev
    return folder


def test_all_work_goes_on_over_links_to_another_disk(open_demo: Open, cache: Path, tmp_path: Path) -> None:
    served = tmp_path / "served"
    source, archived = dark(tmp_path / "night"), dark(served, "theirs.fits", 60001.0)
    store = open_demo(cache, calibration_url=served.as_uri())
    path, mine = store.register_calibration(source)
    content = path.read_bytes()
    assert content == source.read_bytes()
    theirs = record("theirs.fits", 60001.0, origin="REMOTE", file_size=archived.stat().st_size)
    store.local_db.add(theirs)
    assert store.get_calibration_by_id(theirs.id).path.read_bytes() == archived.read_bytes()
    path.write_bytes(b"spoilt")
    assert store.register_calibration(source).path.read_bytes() == content
    assert [kept.read_bytes() for kept in (cache / "quarantine").iterdir()] == [b"spoilt"]
    store.export_bundle(tmp_path / "night.tar", store.query())
    for each in (cache / "calibrations").iterdir():
        os.utime(each, (0, 0))
    assert store.prune(older_than=timedelta(0)).removed == ["theirs.fits"]
    path.unlink()
    assert len(store.import_bundle(tmp_path / "night.tar").completed) == 2
    report = store.verify()
    assert (report.ok, report.checked, report.leftovers, report.without_record) == (True, 2, [], [])
    assert mine.id in {one.id for one in store.query()}


def test_room_is_asked_of_the_disk_that_the_files_go_to(
    tmp_path: Path, other_disk: Path, open_demo: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    linked = tmp_path / "cache" / "calibrations"
    linked.parent.mkdir()
    linked.symlink_to(other_disk)
    store = open_demo(calibration_url=tmp_path.as_uri())
    store.local_db.add(record(origin="REMOTE", file_size=10))
    free = room.free_bytes

    def full(folder: Path) -> int:
        return 5 if folder == linked else free(folder)

    monkeypatch.setattr(room, "free_bytes", full)
    with pytest.raises(CacheError, match="calibrations has 5 B free"):
        store.prefetch(records=store.query())
