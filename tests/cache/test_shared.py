"""A read-only cache under the user's own: used where it stands, never written to, never trusted blindly."""

from __future__ import annotations

import os
import shutil
import subprocess
import warnings
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import koa_middleware
import pytest
from koa_middleware import CalibrationStore, IntegrityError, QuarantineWarning
from koa_middleware.exceptions import DownloadError, RemoteNotConfiguredError, SharedCacheWarning
from koa_middleware.settings import resolve

from tests.conftest import DemoCalibration, dark, files_under, output_of, run_python

Store = CalibrationStore[DemoCalibration]
OpenDemo = Callable[..., Any]
NAMES = ("first.fits", "second.fits")


class Places:
    """The observatory's cache, the archive's folder, and what a user needs to open his store."""

    def __init__(self, folder: Path) -> None:
        self.shared = folder / "observatory"
        self.served = folder / "served"
        self.own = folder / "own"
        with CalibrationStore(DemoCalibration, self.shared) as store:
            for day, name in enumerate(NAMES):
                store.register_calibration(dark(folder / "night", name, 60000.0 + day), origin="REMOTE")
            self.records = store.query()
        shutil.copytree(self.shared / "calibrations", self.served)

    def file(self, name: str) -> Path:
        return self.shared / "calibrations" / name

    def state(self) -> list[Any]:
        """Everything in the shared cache that a write would change."""
        return [(path, path.stat().st_mtime_ns, path.stat().st_size) for path in sorted(self.shared.rglob("*"))]


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """Give the places, the observatory's cache filled."""
    return Places(tmp_path)


@pytest.fixture
def user(places: Places, open_demo: OpenDemo) -> Callable[..., Store]:
    """Give a function that opens the user's store, which has the records and no file."""

    def opening(**more: Any) -> Store:
        store: Store = open_demo(places.own, **{"shared_cache_dir": places.shared, **more})
        if not len(store.local_db):
            store.local_db.add([DemoCalibration(**record.to_dict()) for record in places.records])
        return store

    return opening


def get(store: Store, name: str = "first.fits", **more: Any) -> Path:
    return store.get_calibration_by_id(store.query(filename=name)[0].id, **more).path


def spoil(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[3000] ^= 1
    path.write_bytes(data)


def test_a_file_of_the_shared_cache_is_used_where_it_stands(places: Places, user: Callable[..., Store]) -> None:
    before = places.state()
    store = user(offline=True)
    record = store.query(filename="first.fits")[0]
    assert get(store) == places.file("first.fits")
    assert store.get_local_filepath(record) == places.file("first.fits")
    assert store.calibration_in_cache(record)
    said: list[str] = []
    assert store.prefetch(records=store.query(), announce=said.append).cached == list(NAMES)
    assert said == ["2 calibrations: 2 are here"]
    assert files_under(places.own) == []
    assert places.state() == before


@pytest.mark.filterwarnings("ignore:.*koa-cal rebuild")  # the file is there before its record
def test_the_users_own_file_comes_first(places: Places, user: Callable[..., Store]) -> None:
    (places.own / "calibrations").mkdir(parents=True)
    shutil.copy(places.file("first.fits"), places.own / "calibrations")
    store = user()
    assert get(store) == places.own / "calibrations" / "first.fits"
    assert get(store, "second.fits") == places.file("second.fits")


def test_a_read_only_shared_cache_serves(places: Places, user: Callable[..., Store], tmp_path: Path) -> None:
    """As another user, who may write nowhere but at home: root may write everywhere."""
    user().close()
    subprocess.run(["chmod", "-R", "a-w,a+rX", places.shared], check=True)
    if os.getuid() == 0:
        subprocess.run(["chown", "-R", "65534:65534", places.own], check=True)
        for folder in (tmp_path, *tmp_path.parents[:3]):
            if folder != Path("/tmp") and folder.stat().st_uid == 0 and folder.is_relative_to("/tmp"):
                folder.chmod(folder.stat().st_mode | 0o055)
    script = """
import os, sys
from koa_middleware import CalibrationStore
from tests.conftest import DemoCalibration
if os.getuid() == 0:
    with CalibrationStore(DemoCalibration, sys.argv[1]) as store:
        store.query()  # imports what nobody might not be able to
    os.setgid(65534); os.setuid(65534)
with CalibrationStore(DemoCalibration, sys.argv[1], shared_cache_dir=sys.argv[2]) as store:
    for record in store.query():
        print(store.get_calibration_by_id(record.id).path)
"""
    process = run_python(script, places.own, places.shared, path=Path(koa_middleware.__file__).parents[1])
    try:
        assert output_of(process).split() == [str(places.file(name)) for name in NAMES]
    finally:
        subprocess.run(["chmod", "-R", "u+w", places.shared], check=True)


def test_a_file_is_hashed_once_and_again_when_it_changed(places: Places, user: Callable[..., Store]) -> None:
    store = user(offline=True)
    get(store)
    times = places.file("first.fits").stat()
    spoil(places.file("first.fits"))
    os.utime(places.file("first.fits"), ns=(times.st_atime_ns, times.st_mtime_ns))
    assert get(store) == places.file("first.fits")  # size, time and inode are those that were hashed
    os.utime(places.file("first.fits"))
    with pytest.raises(IntegrityError, match="first"):
        get(store)


def test_what_the_shared_cache_says_of_a_name_is_not_taken_for_the_users_own(
    places: Places, user: Callable[..., Store]
) -> None:
    store = user(calibration_url=places.served.as_uri())
    get(store)
    own = store.download_calibration(store.query(filename="first.fits")[0])
    spoil(own)
    os.utime(own, ns=(1, places.file("first.fits").stat().st_mtime_ns))
    with pytest.warns(QuarantineWarning):
        assert get(store).read_bytes() == (places.served / "first.fits").read_bytes()


def test_a_spoilt_shared_file_is_downloaded_into_the_users_own(places: Places, user: Callable[..., Store]) -> None:
    spoil(places.file("first.fits"))
    before = places.state()
    store = user(calibration_url=places.served.as_uri())
    assert not store.calibration_in_cache(store.query(filename="first.fits")[0])
    with pytest.warns(SharedCacheWarning, match="checksum"):
        path = get(store)
    assert path == places.own / "calibrations" / "first.fits"
    assert path.read_bytes() == (places.served / "first.fits").read_bytes()
    assert places.state() == before
    assert get(store) == path


@pytest.mark.parametrize("how", [{"offline": True}, {}])
def test_a_spoilt_shared_file_is_never_handed_out(
    places: Places, user: Callable[..., Store], how: dict[str, Any]
) -> None:
    spoil(places.file("first.fits"))
    before = places.state()
    with pytest.raises(IntegrityError) as raised:
        get(user(**how))
    assert str(places.file("first.fits")) in raised.value.message
    assert places.state() == before


@pytest.mark.filterwarnings("ignore:.*koa-cal rebuild")  # the file is there before its record
def test_a_spoilt_own_file_gives_way_to_a_good_shared_one(places: Places, user: Callable[..., Store]) -> None:
    (places.own / "calibrations").mkdir(parents=True)
    own = Path(shutil.copy(places.file("first.fits"), places.own / "calibrations"))
    spoil(own)
    with pytest.warns(QuarantineWarning, match="was moved to .*quarantine"):
        assert get(user(offline=True)) == places.file("first.fits")
    assert not own.exists()
    assert any(name.startswith("quarantine/first.fits") for name in files_under(places.own))


@pytest.mark.filterwarnings("ignore:.*koa-cal rebuild")  # the file is there before its record
def test_a_repair_is_content_with_the_shared_file(places: Places, user: Callable[..., Store]) -> None:
    (places.own / "calibrations").mkdir(parents=True)
    spoil(Path(shutil.copy(places.file("first.fits"), places.own / "calibrations")))
    store = user(offline=True)
    report = store.verify(repair=True)
    assert report.repaired == ["first.fits"]
    assert report.ok
    assert get(store) == places.file("first.fits")


def test_a_fresh_download_goes_past_the_shared_cache(places: Places, user: Callable[..., Store]) -> None:
    store = user(calibration_url=places.served.as_uri())
    assert get(store, use_cached=False) == places.own / "calibrations" / "first.fits"


def test_pruning_and_verifying_leave_the_shared_cache_alone(places: Places, user: Callable[..., Store]) -> None:
    store = user(calibration_url=places.served.as_uri())
    get(store)
    get(store, "second.fits", use_cached=False)
    os.utime(places.own / "calibrations" / "second.fits", (1, 1))
    before = places.state()
    assert store.prune(older_than=timedelta(0)).removed == ["second.fits"]
    assert store.verify(repair=True).ok
    assert places.state() == before


@pytest.mark.parametrize("gone", ["folder", "calibrations", "a file in its place"])
def test_an_unmounted_shared_cache_stops_no_work(
    places: Places, user: Callable[..., Store], open_demo: OpenDemo, gone: str
) -> None:
    shutil.rmtree(places.file("first.fits").parent if gone == "calibrations" else places.shared)
    if gone == "a file in its place":
        places.shared.write_text("")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        store = user(calibration_url=places.served.as_uri())
        found = [get(store, name) for name in NAMES]
    assert found == [places.own / "calibrations" / name for name in NAMES]
    assert [(each.category, "observatory" in str(each.message)) for each in caught] == [(SharedCacheWarning, True)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert get(store) == places.own / "calibrations" / "first.fits"  # what is here needs no other cache


def test_what_is_in_neither_cache_is_missing_as_before(places: Places, user: Callable[..., Store]) -> None:
    places.file("first.fits").unlink()
    with pytest.raises(DownloadError, match="offline"):
        get(user(offline=True, calibration_url=places.served.as_uri()))
    with pytest.raises(RemoteNotConfiguredError):
        get(user())


def test_a_shared_file_goes_into_a_bundle(places: Places, user: Callable[..., Store], open_demo: OpenDemo) -> None:
    store = user(offline=True)
    bundle = store.export_bundle(places.own.parent / "night.tar", store.query()).path
    assert open_demo(places.own.parent / "other").import_bundle(bundle).added == list(NAMES)


def test_argument_then_variable_then_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert resolve("demo", cache_dir=tmp_path).shared_cache_dir is None
    monkeypatch.setenv("KOA_SHARED_CALIBRATION_CACHE", "~/observatory")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert resolve("demo", cache_dir=tmp_path).shared_cache_dir == tmp_path / "observatory"
    assert resolve("demo", cache_dir=tmp_path, shared_cache_dir="/other").shared_cache_dir == Path("/other")
    monkeypatch.setenv("KOA_SHARED_CALIBRATION_CACHE", " None ")
    assert resolve("demo", cache_dir=tmp_path).shared_cache_dir is None


def test_the_shared_cache_of_its_own_keeper_is_none(tmp_path: Path) -> None:
    assert resolve("demo", cache_dir=tmp_path, shared_cache_dir=f"{tmp_path}/x/..").shared_cache_dir is None
