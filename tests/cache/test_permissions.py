"""The umask alone says who may read and write what a store makes."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from koa_middleware import CalibrationStore, QuarantineWarning
from koa_middleware.database.backup import copies_kept, copies_of

from tests.conftest import DemoCalibration, dark, record


class Model:
    """A pipeline's model that saves for its user alone, as `tempfile` makes files."""

    def __init__(self, source: Path) -> None:
        self.source = source

    def save(self, output_dir: Path) -> Path:
        descriptor, name = tempfile.mkstemp(dir=output_dir)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(self.source.read_bytes())
        return Path(name).rename(Path(output_dir) / "model.fits")

    def to_orm(self) -> Any:
        return record("model.fits", 60009.0)


@pytest.fixture(params=[0o002, 0o022, 0o027, 0o077], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    old = os.umask(request.param)
    yield request.param
    os.umask(old)


def test_files_and_folders_follow_the_umask(umask: int, open_demo: Callable[..., Any], tmp_path: Path) -> None:
    served = tmp_path / "served"
    served.mkdir()
    store = open_demo(calibration_url=served.as_uri())
    store.register_calibration(dark(tmp_path / "night", "local.fits", 60000.0))
    store.register_calibration(Model(dark(tmp_path / "night", "unsaved.fits", 60009.0)))
    path, remote = store.register_calibration(dark(tmp_path / "night", "remote.fits", 60001.0), origin="REMOTE")
    shutil.copyfile(path, served / "remote.fits")
    path.write_bytes(b"spoilt")
    with pytest.warns(QuarantineWarning):
        store.get_calibration_by_id(remote.id)
    store.export_bundle(store.cache_dir / "night.tar", store.query())

    made = [store.cache_dir, *store.cache_dir.rglob("*")]
    names = {path.name.partition(".")[0] for path in made}
    assert names >= {"calibrations", "database", "quarantine", "demo_calibrations", "local", "remote", "model", "night"}
    wrong = {
        str(path): oct(path.stat().st_mode & 0o777)
        for path in made
        if path.stat().st_mode & 0o777 != (0o777 if path.is_dir() else 0o666) & ~umask
    }
    assert wrong == {}


@pytest.mark.parametrize("another", [0o002, 0o022, 0o077], ids=oct)
def test_a_copy_of_a_database_and_one_made_anew_are_for_those_who_use_the_database(
    umask: int, another: int, open_demo: Callable[..., Any]
) -> None:
    with open_demo() as store:
        database = store.local_db.path
    os.umask(another)
    with copies_kept(database) as keep_copy:
        keep_copy()
    database.write_bytes(b"spoilt" * 1000)
    report = CalibrationStore.rebuild(DemoCalibration, database.parent.parent)
    assert report.set_aside is not None
    (copy,) = copies_of(database)
    modes = {path.stat().st_mode & 0o777 for path in (database, copy, Path(report.set_aside))}
    assert modes == {0o666 & ~umask}
