"""No file is removed here before the archive's copy was seen: publishing, uploading, pruning, on a real PostgreSQL."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from koa_middleware import CalibrationStore, IntegrityError
from koa_middleware.exceptions import ConfigurationError

from tests.conftest import DemoCalibration, dark, output_of, repetitions, run_python
from tests.system.test_store_remote import Server

Store = CalibrationStore[DemoCalibration]
Open = Callable[..., Any]
EVERYTHING = timedelta(0)


@pytest.fixture
def server(fresh_database: str) -> Iterator[Server]:
    found = Server(fresh_database)
    yield found
    found.close()


@pytest.fixture
def served(tmp_path: Path) -> Path:
    """Give the folder from which the archive serves its files."""
    folder = tmp_path / "served"
    folder.mkdir()
    return folder


@pytest.fixture
def keck(open_demo: Open, server: Server, served: Path, tmp_path: Path) -> Store:
    """Give a publisher's store with five darks that were made here."""
    store: Store = open_demo(tmp_path / "keck", remote_database_url=server.url, calibration_url=served.as_uri())
    for number in range(5):
        store.register_calibration(dark(tmp_path / "night", f"{number}.fits", 60000.0 + number))
    return store


def long_unused(store: Store) -> dict[str, bytes]:
    """Let all files look as if nobody had used them for a month; gives their content."""
    paths = list((store.cache_dir / "calibrations").iterdir())
    for path in paths:
        os.utime(path, ns=(time.time_ns() - 30 * 86_400_000_000_000, path.stat().st_mtime_ns - 10**15))
    return {path.name: path.read_bytes() for path in paths}


def content(store: Store) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (store.cache_dir / "calibrations").iterdir()}


def pruned(store: Store, **more: Any) -> Any:
    """Prune all, in a month."""
    long_unused(store)
    for path in (store.cache_dir / "calibrations").iterdir():
        os.utime(path, (0, 0))
    return store.prune(older_than=EVERYTHING, **more)


def test_what_was_published_without_its_file_is_named_and_stays(keck: Store) -> None:
    before = content(keck)
    sent = keck.publish()
    assert (sent.published, sorted(sent.not_uploaded)) == (5, sorted(before))
    report = pruned(keck)
    assert (report.removed, sorted(report.unseen)) == ([], sorted(before))
    assert content(keck) == before


def test_a_later_upload_completes_what_was_published_before(keck: Store, served: Path, tmp_path: Path) -> None:
    before = content(keck)
    keck.publish()
    keck.register_calibration(dark(tmp_path / "night", "late.fits", 60009.0))
    sent = keck.publish(upload_to=served)
    assert (sent.published, sent.not_uploaded) == (1, [])
    assert sorted(path.name for path in served.iterdir()) == [
        "0.fits",
        "1.fits",
        "2.fits",
        "3.fits",
        "4.fits",
        "late.fits",
    ]
    assert len(pruned(keck).removed) == 6
    assert content(keck) == {}
    keck.prefetch(records=keck.query(), progress=lambda _: None)
    assert {name: data for name, data in content(keck).items() if name != "late.fits"} == before


def test_what_was_seen_is_remembered_where_nobody_can_look(
    keck: Store, open_demo: Open, server: Server, served: Path, tmp_path: Path
) -> None:
    """By an upload, an upload of what was published before, and a download; never by a bundle or by hand."""
    far = {"remote_database_url": server.url, "calibration_url": "https://archive.invalid/"}
    publisher = open_demo(keck.cache_dir, **far)
    publisher.publish(keck.query(filename="0.fits"), upload_to=served)
    publisher.publish(keck.query(filename="1.fits"))
    publisher.publish(keck.query(filename="1.fits"), upload_to=served)
    publisher.publish(keck.query(filename="2.fits"))
    assert sorted(pruned(publisher).removed) == ["0.fits", "1.fits"]
    observer = open_demo(tmp_path / "observer", remote_database_url=server.url, calibration_url=served.as_uri())
    observer.sync_from_remote()
    for name in ("0.fits", "1.fits"):
        observer.get_calibration_by_id(observer.query(filename=name)[0].id)
    shutil.copy(keck.cache_dir / "calibrations" / "2.fits", observer.cache_dir / "calibrations")
    assert sorted(pruned(open_demo(tmp_path / "observer", **far)).removed) == ["0.fits", "1.fits"]
    assert list(content(observer)) == ["2.fits"]


def test_only_the_chosen_ones_are_completed(keck: Store, served: Path) -> None:
    keck.publish()
    one = keck.query(filename="3.fits")
    assert keck.publish(one, upload_to=served).not_uploaded == []
    assert [path.name for path in served.iterdir()] == ["3.fits"]
    assert keck.publish(keck.query(filename="2.fits")).not_uploaded == ["2.fits"]


def test_hashing_a_file_again_says_nothing_of_the_archive(keck: Store) -> None:
    keck.publish()
    long_unused(keck)
    assert keck.verify().ok
    for one in keck.query():
        keck.get_calibration_by_id(one.id)
    assert pruned(keck).removed == []


def test_a_copy_that_somebody_else_put_into_the_archive_is_seen(keck: Store, served: Path) -> None:
    keck.publish()
    names = sorted(content(keck))
    for name in names[1:]:
        shutil.copy(keck.cache_dir / "calibrations" / name, served)
    (served / names[1]).write_bytes((served / names[1]).read_bytes()[::-1])
    (served / names[2]).unlink()
    os.mkfifo(served / names[2])
    assert sorted(pruned(keck).removed) == names[3:]
    assert sorted(keck.publish().not_uploaded) == names[:3]


def test_to_see_a_copy_says_nothing_of_the_file_that_is_here(keck: Store, served: Path) -> None:
    keck.publish()
    own = keck.cache_dir / "calibrations" / "0.fits"
    shutil.copy(own, served)
    own.write_bytes(own.read_bytes()[::-1])
    assert "0.fits" not in keck.publish().not_uploaded
    assert not keck.calibration_in_cache(keck.query(filename="0.fits")[0])


def test_a_file_that_is_registered_as_the_archives_stays_until_it_is_seen_there(
    open_demo: Open, served: Path, tmp_path: Path
) -> None:
    store = open_demo(calibration_url=served.as_uri())
    store.register_calibration(dark(tmp_path / "night"), origin="REMOTE")
    assert pruned(store).unseen == ["dark.fits"]
    shutil.copy(tmp_path / "night" / "dark.fits", served)
    assert pruned(store).removed == ["dark.fits"]


def test_the_archives_own_folder_is_not_its_own_copy(open_demo: Open, tmp_path: Path) -> None:
    own = tmp_path / "cache" / "calibrations"
    store = open_demo(calibration_url=own.as_uri())
    _, found = store.register_calibration(dark(tmp_path / "night"), origin="REMOTE")
    store.get_calibration_by_id(found.id, use_cached=False)
    assert pruned(store).removed == []
    assert (own / "dark.fits").is_file()


def test_nothing_is_uploaded_into_the_cache_itself(keck: Store) -> None:
    with pytest.raises(ConfigurationError, match="this cache's own folder"):
        keck.publish(upload_to=keck.cache_dir / "calibrations")
    assert keck.publish(keck.query(filename="0.fits")).not_uploaded == ["0.fits"]


def test_a_spoilt_file_that_was_published_before_is_not_uploaded(keck: Store, served: Path) -> None:
    keck.publish()
    own = keck.cache_dir / "calibrations" / "0.fits"
    own.write_bytes(own.read_bytes()[::-1])
    with pytest.raises(IntegrityError, match=r"0\.fits"):
        keck.publish(upload_to=served)
    assert not (served / "0.fits").exists()


def test_a_place_in_the_archive_that_is_no_file_is_said_at_once(keck: Store, served: Path) -> None:
    os.mkfifo(served / "0.fits")
    with pytest.raises(Exception, match=r"0\.fits.*named pipe"):
        keck.publish(upload_to=served)


def test_a_name_that_the_server_gives_takes_the_place_of_no_other_content(
    open_demo: Open, server: Server, tmp_path: Path
) -> None:
    ann, bob = (open_demo(tmp_path / name, remote_database_url=server.url) for name in ("ann", "bob"))
    ann.register_calibration(dark(tmp_path / "ann-night", EXPTIME=1.0))
    path, found = bob.register_calibration(dark(tmp_path / "bob-night", EXPTIME=2.0))
    mine = path.read_bytes()
    ann.publish()
    in_the_way = path.with_name("dark.002.fits")
    in_the_way.write_bytes(b"somebody's")
    assert dict(bob.publish().renamed) == {"dark.fits": "dark.002.fits"}
    assert in_the_way.read_bytes() == mine
    assert [kept.read_bytes() for kept in (bob.cache_dir / "quarantine").iterdir()] == [b"somebody's"]
    assert bob.get_calibration_by_id(found.id).path == in_the_way


PUBLISHER = """
import sys
from koa_middleware import CalibrationStore
from tests.conftest import DemoCalibration
folder, url, served = sys.argv[1:]
with CalibrationStore(DemoCalibration, folder, remote_database_url=url) as store:
    print("ready", flush=True)
    store.publish(upload_to=served)
"""


def test_a_publisher_that_is_killed_anywhere_loses_nothing(keck: Store, server: Server, served: Path) -> None:
    before = content(keck)
    chance = random.Random(5)
    for _ in range(repetitions(2, 60)):
        process = run_python(PUBLISHER, keck.cache_dir, server.url, served)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(chance.uniform(0, 0.4))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert pruned(keck).removed is not None
        for one in keck.query():
            path, _ = keck.get_calibration_by_id(one.id)
            assert path.read_bytes() == before[one.filename]
    assert keck.publish(upload_to=served).not_uploaded == []
    assert {path.name: path.read_bytes() for path in served.glob("*.fits")} == before


GETTER = """
import sys
from koa_middleware import CalibrationStore
from tests.conftest import DemoCalibration
with CalibrationStore(DemoCalibration, sys.argv[1]) as store:
    print(*(store.get_calibration_by_id(id).path for id in sys.argv[2:]), sep="\\n")
"""


def test_a_path_that_was_handed_out_stays_for_a_while(keck: Store, served: Path) -> None:
    keck.publish(upload_to=served)
    for path in (keck.cache_dir / "calibrations").iterdir():
        os.utime(path, (0, 0))
    keck.verify()
    for path in (keck.cache_dir / "calibrations").iterdir():
        os.utime(path, ns=(0, path.stat().st_mtime_ns))
    records = keck.query()
    paths = output_of(run_python(GETTER, keck.cache_dir, *(one.id for one in records[:2]))).split()
    report = keck.prune(older_than=EVERYTHING)
    assert sorted(report.in_use) == sorted(Path(path).name for path in paths)
    assert len(report.removed) == 3
    assert all(Path(path).is_file() for path in paths)


def test_a_registration_that_finds_its_file_here_hands_it_out_too(store: Store, tmp_path: Path) -> None:
    source = dark(tmp_path / "night")
    path, _ = store.register_calibration(source)
    os.utime(path, ns=(0, path.stat().st_mtime_ns))
    assert store.register_calibration(source).path == path
    assert time.time() - path.stat().st_atime < 60
