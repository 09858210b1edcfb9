"""A store and the archive's file server, a real one that misbehaves: whole and verified files, or none."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
import urllib.request
import uuid
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import koa_middleware
import pytest
from koa_middleware import CalibrationStore, QuarantineWarning
from koa_middleware.choosing.selector import CalibrationSelector
from koa_middleware.exceptions import (
    CacheError,
    ChecksumMismatchError,
    DownloadError,
    IntegrityError,
    RemoteNotConfiguredError,
)
from sqlalchemy import update
from survey import Survey

from tests.conftest import DemoCalibration, dark, files_under, output_of, record, repetitions, run_python
from tests.fault_server import content

ROOT = Path(__file__).resolve().parents[2]
CORE = Path(koa_middleware.__file__).parents[1]
DARK = CalibrationSelector(cal_type="dark", match=("spectrograph",))
FLAT = CalibrationSelector(cal_type="flat", match=("spectrograph",))
FRAME = {"mjd_start": 60000.5, "spectrograph": "BSPEC"}

Open = Callable[..., CalibrationStore[Any]]


class Server:
    """The server's process."""

    def __init__(self, port: int) -> None:
        self.port = port

    def url(self, fault: str = "ok/-") -> str:
        return f"http://127.0.0.1:{self.port}/{fault}"

    def log(self, name: str) -> list[dict[str, Any]]:
        """What it was asked for this name."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/log/{name}") as answer:
            return list(json.load(answer))


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    command = [sys.executable, str(ROOT / "tests" / "fault_server.py")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield Server(int(process.stdout.readline()))
        finally:
            process.kill()


@pytest.fixture(autouse=True)
def rules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DemoCalibration, "selectors", {"dark": DARK, "flat": FLAT}, raising=False)


@pytest.fixture
def opening(open_demo: Open, server: Server) -> Open:
    """Give a function that opens a store on the server, which has some fault."""

    def open_store(fault: str = "ok/-", **more: Any) -> CalibrationStore[Any]:
        return open_demo(**{"calibration_url": server.url(fault), **more})

    return open_store


def fits_name(size: int = 5760) -> str:
    """Give the name of a file that no other test has asked for; the server's content follows from it."""
    return f"{uuid.uuid4().hex}-{size}.fits"


def checksum(body: bytes, algorithm: str = "sha256") -> str:
    return f"{algorithm}:{hashlib.new(algorithm, body).hexdigest()}"


def remote(name: str | None = None, mjd: float = 60000.0, **more: Any) -> DemoCalibration:
    """Give a record of the archive whose file the server has."""
    name = name or fits_name()
    body = content(name)
    return record(name, mjd, **{"origin": "REMOTE", "checksum": checksum(body), "file_size": len(body), **more})


def add(store: CalibrationStore[Any], *records: Any) -> Any:
    store.local_db.add(list(records))
    return records[0]


def spoil(path: Path) -> bytes:
    """Change a byte and keep the size; gives the new content."""
    spoilt = bytearray(path.read_bytes())
    spoilt[-1] ^= 1
    path.write_bytes(spoilt)
    os.utime(path, ns=(1, 1))  # a change within the resolution of the clock is noticed too
    return bytes(spoilt)


# -- one file ----------------------------------------------------------------------------------------------------------


def test_a_missing_file_comes_once_and_is_verified(opening: Open, server: Server) -> None:
    store = opening()
    one = add(store, remote())
    assert not store.calibration_in_cache(one)
    for _ in range(3):
        path, chosen = store.get_calibration(FRAME, DARK)
        assert (path, chosen.id) == (store.cache_dir / "calibrations" / one.filename, one.id)
        assert path.read_bytes() == content(one.filename)
    with opening() as another:
        assert another.get_calibration_by_id(one.id).path == path
    assert len(server.log(one.filename)) == 1
    assert files_under(store.cache_dir / "calibrations") == [one.filename]
    assert store.calibration_in_cache(one)


@pytest.mark.parametrize("fault", ["other/-", "page/html", "status/404"])
def test_what_is_not_the_file_is_never_handed_out(opening: Open, server: Server, fault: str) -> None:
    store = opening(fault)
    one = add(store, remote())
    expected = ChecksumMismatchError if fault == "other/-" else DownloadError
    for call in (lambda: store.get_calibration(FRAME, DARK), lambda: store.download_calibration(one)):
        with pytest.raises(expected, match=one.filename):
            call()
    assert not store.calibration_in_cache(one)
    assert files_under(store.cache_dir / "calibrations") == []


def test_without_the_cache_a_file_comes_again_but_never_a_local_one(
    opening: Open, server: Server, tmp_path: Path
) -> None:
    store = opening(use_cached=False)
    one = add(store, remote())
    for _ in range(2):
        assert store.get_calibration(FRAME, DARK).path.read_bytes() == content(one.filename)
    assert len(server.log(one.filename)) == 2
    assert store.prefetch(records=[one]).downloaded == [one.filename]
    assert len(server.log(one.filename)) == 3
    store.get_calibration(FRAME, DARK, use_cached=True)
    store.get_calibration_by_id(one.id, use_cached=True)
    assert len(server.log(one.filename)) == 3
    name = fits_name()
    path, mine = store.register_calibration(dark(tmp_path, name, 60000.4))
    before = path.read_bytes()
    assert store.get_calibration(FRAME, DARK).calibration.id == mine.id
    path.unlink()
    with pytest.raises(DownloadError, match="LOCAL"):
        store.get_calibration(FRAME, DARK)
    path.write_bytes(before)
    assert store.get_calibration(FRAME, DARK).path.read_bytes() == before
    assert server.log(name) == []


def test_a_server_that_is_gone_leaves_the_file_that_was_to_come_again(opening: Open, server: Server) -> None:
    one = add(opening(), remote())
    opening().get_calibration_by_id(one.id)
    store = opening("status/404")
    with pytest.raises(DownloadError):
        store.get_calibration_by_id(one.id, use_cached=False)
    assert store.get_calibration_by_id(one.id).path.read_bytes() == content(one.filename)


def test_a_spoilt_file_is_kept_aside_and_comes_again(opening: Open, server: Server) -> None:
    store = opening()
    one = add(store, remote())
    path = store.get_calibration_by_id(one.id).path
    spoilt = spoil(path)
    assert not store.calibration_in_cache(one)
    with pytest.warns(QuarantineWarning, match="was moved to .*quarantine"):
        assert store.get_calibration_by_id(one.id).path.read_bytes() == content(one.filename)
    (aside,) = (store.cache_dir / "quarantine").iterdir()
    assert aside.name.startswith(one.filename)
    assert aside.read_bytes() == spoilt
    assert len(server.log(one.filename)) == 2


@pytest.mark.parametrize("more", [{"offline": True}, {"calibration_url": None}], ids=["offline", "no URL"])
def test_a_spoilt_file_that_cannot_come_again_is_an_error_and_stays(opening: Open, more: dict[str, Any]) -> None:
    one = add(opening(), remote())
    path = opening().get_calibration_by_id(one.id).path
    spoilt = spoil(path)
    store = opening(**more)
    for _ in range(2):
        with pytest.raises(IntegrityError, match=r"its checksum is sha256:.* is recorded") as caught:
            store.get_calibration_by_id(one.id)
    assert caught.value.path == path
    assert path.read_bytes() == spoilt
    assert not (store.cache_dir / "quarantine").exists()


def test_a_missing_file_says_what_is_missing_where_nothing_can_come(opening: Open) -> None:
    one = add(opening(), remote())
    with pytest.raises(DownloadError, match=rf"{one.filename} is not in the cache, and the store is offline"):
        opening(offline=True).get_calibration_by_id(one.id)
    with pytest.raises(DownloadError, match="offline"):
        opening(offline=True, calibration_url=None).get_calibration_by_id(one.id)
    with pytest.raises(RemoteNotConfiguredError, match="KOA_CALIBRATION_URL"):
        opening(calibration_url=None).get_calibration_by_id(one.id)


def test_offline_opens_no_socket(opening: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    here, missing = remote(), remote(mjd=60001.0)
    add(opening(), here, missing)
    path = opening().get_calibration_by_id(here.id).path
    monkeypatch.setattr(socket, "socket", lambda *_, **__: pytest.fail("a socket was opened"))
    monkeypatch.setattr(socket, "create_connection", lambda *_, **__: pytest.fail("a socket was opened"))
    store = opening(offline=True)
    assert store.get_calibration_by_id(here.id).path == path
    for call in (
        lambda: store.get_calibration_by_id(missing.id),
        lambda: store.get_calibration_by_id(here.id, use_cached=False),
        lambda: store.download_calibration(here),
    ):
        with pytest.raises(DownloadError, match="the store is offline"):
            call()
    assert list(store.prefetch(records=[here, missing]).failed) == [missing.filename]


def test_a_record_without_a_checksum_is_verified_by_size_and_marked(opening: Open) -> None:
    store = opening()
    sized, unknown = remote(checksum=None), remote(checksum=None, file_size=None, mjd=60001.0)
    add(store, sized, unknown)
    for one in (sized, unknown):
        assert store.get_calibration_by_id(one.id).path.read_bytes() == content(one.filename)
    report = store.verify()
    assert report.ok
    assert sorted(report.unchecked) == sorted([sized.filename, unknown.filename])
    path = store.get_local_filepath(sized)
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.warns(QuarantineWarning, match="was moved to .*quarantine"):
        assert store.get_calibration_by_id(sized.id).path.read_bytes() == content(sized.filename)
    short = add(store, remote(checksum=None, file_size=100, mjd=60002.0))
    with pytest.raises(ChecksumMismatchError, match="100 bytes"):
        store.get_calibration_by_id(short.id)
    assert not store.get_local_filepath(short).exists()


def test_a_checksum_of_an_older_archive_is_verified(opening: Open) -> None:
    store = opening()
    name, wrong = fits_name(), fits_name()
    add(store, remote(name, checksum=checksum(content(name), "md5")))
    bad = remote(wrong, 60001.0, checksum=checksum(b"", "md5"))
    store.local_db.add(bad)
    path = store.get_calibration(FRAME, DARK).path
    spoil(path)
    with pytest.warns(QuarantineWarning, match="was moved to .*quarantine"):
        assert store.get_calibration(FRAME, DARK).path.read_bytes() == content(name)
    assert store.verify().unchecked == []
    with pytest.raises(ChecksumMismatchError, match="md5:"):
        store.get_calibration_by_id(bad.id)


def test_a_page_that_is_longer_than_the_file_is_told_as_what_it_is(opening: Open) -> None:
    store = opening("page/html")
    one = add(store, remote(fits_name(40)))
    with pytest.raises(DownloadError, match="begins with 'Login Please log in"):
        store.get_calibration_by_id(one.id)
    assert not store.get_local_filepath(one).exists()


def test_an_empty_answer_is_no_calibration(opening: Open) -> None:
    store = opening()
    one = add(store, record(fits_name(0), 60000.0, origin="REMOTE", checksum=None, file_size=None))
    with pytest.raises(DownloadError, match="sent nothing"):
        store.get_calibration_by_id(one.id)
    assert not store.get_local_filepath(one).exists()


def test_a_checksum_of_an_unknown_kind_is_a_fault(opening: Open) -> None:
    store = opening()
    one = add(store, remote())
    with store.local_db.session_manager() as session:
        session.execute(update(DemoCalibration).values(checksum="crc32:0a0b0c0d"))
    store.get_local_filepath(one).write_bytes(content(one.filename))
    assert "'crc32:0a0b0c0d', which is not a checksum" in store.verify().rows[one.filename]


# -- many files --------------------------------------------------------------------------------------------------------


def test_a_repair_brings_again_what_it_can_and_says_what_it_cannot(opening: Open, tmp_path: Path) -> None:
    store = opening()
    good, bad, gone = remote(), remote(mjd=60001.0), remote(mjd=60002.0)
    add(store, good, bad, gone)
    assert store.prefetch(records=[good, bad, gone]).ok
    path, mine = store.register_calibration(dark(tmp_path, "mine.fits", 60009.0))
    spoil(store.get_local_filepath(bad)), spoil(path)
    moved = store.get_local_filepath(gone).rename(store.cache_dir / "moved")
    found = store.verify()
    moved.rename(store.get_local_filepath(gone))
    assert set(found.bad) == {bad.filename, mine.filename}
    assert (found.ok, found.checked, found.missing) == (False, 3, [])
    offline = opening(offline=True).verify(repair=True)
    assert (offline.ok, offline.repaired) == (False, [])
    assert store.get_local_filepath(bad).exists()
    mended = store.verify(repair=True)
    assert mended.repaired == [bad.filename]
    assert "is recorded" in mended.bad[mine.filename]
    assert not mended.ok
    spoil(store.get_local_filepath(gone))
    with opening("status/404") as nowhere:
        assert "it could not be downloaded again" in nowhere.verify(repair=True).bad[gone.filename]
    assert store.get_calibration_by_id(gone.id).path.read_bytes() == content(gone.filename)
    assert store.get_local_filepath(bad).read_bytes() == content(bad.filename)
    path.unlink()
    assert store.verify().missing == [mine.filename]


def test_a_prefetch_brings_what_frames_and_queries_need_and_reports_the_rest(opening: Open, server: Server) -> None:
    store = opening()
    near, far = remote(mjd=60000.4), remote(mjd=60020.0)
    flat = remote(mjd=60000.1, cal_type="flat")
    red = remote(mjd=60000.2, spectrograph="RSPEC")
    lost = remote("lost-5760.fits", 60020.5, checksum=checksum(b""))
    add(store, near, far, flat, red, lost)
    frames = [FRAME, {**FRAME, "spectrograph": "RSPEC"}, {"spectrograph": "BSPEC"}, "no-such-frame.fits"]
    steps: list[int] = []
    report = store.prefetch(frames, progress=steps.append)
    assert sorted(report.downloaded) == sorted([near.filename, flat.filename, red.filename])
    assert sum(steps) == report.size == 3 * 5760
    assert sorted(report.unmatched) == ["frame 2, flat", "frame 3, dark", "frame 3, flat", "no-such-frame.fits"]
    assert "its spectrograph is BSPEC" in report.unmatched["frame 2, flat"]
    assert not report.ok
    night = store.query(None, "2023-03-17", "2023-03-17")
    assert {one.id for one in night} == {far.id, lost.id}
    report = store.prefetch(FRAME, cal_types=["dark"], records=night)
    assert (report.downloaded, report.cached) == ([far.filename], [near.filename])
    assert list(report.failed) == [lost.filename]
    assert not store.get_local_filepath(lost).exists()
    assert store.prefetch(records=[near, near, far]).cached == [near.filename, far.filename]
    assert {len(server.log(one.filename)) for one in (near, far, flat, red)} == {1}
    with opening(offline=True) as offline:
        assert offline.get_calibration(FRAME, "flat").path.read_bytes() == content(flat.filename)
        assert list(offline.prefetch(records=store.query()).failed) == [lost.filename]


def test_what_a_frame_needs_comes_in_parallel(opening: Open, server: Server) -> None:
    store = opening("later/1")
    near, flat = remote(), remote(cal_type="flat")
    add(store, near, flat)
    found = store.get_calibrations(FRAME)
    first, second = (server.log(one.filename)[0]["time"] for one in (near, flat))
    assert abs(first - second) < 1  # both were asked for before either was answered
    assert {name: one.path.read_bytes() for name, one in found.items()} == {
        "dark": content(near.filename),
        "flat": content(flat.filename),
    }


def test_offline_all_that_is_missing_is_listed(opening: Open, tmp_path: Path) -> None:
    with opening(offline=True) as store:
        near, flat = remote(), remote(cal_type="flat")
        add(store, near, flat)
        with pytest.raises(DownloadError, match="offline") as caught:
            store.get_calibrations(FRAME)
        assert near.filename in str(caught.value)
        assert flat.filename in str(caught.value)
        with pytest.raises(DownloadError, match="offline") as caught:
            store.export_bundle(tmp_path / "night.tar", [near, flat])
        assert near.filename in str(caught.value)
        assert flat.filename in str(caught.value)
        found = store.get_calibrations(FRAME, return_exceptions=True)
    assert [type(error) for error in found.values()] == [DownloadError, DownloadError]
    assert not (tmp_path / "night.tar").exists()


def test_a_file_that_does_not_come_hinders_no_other(opening: Open) -> None:
    store = opening()
    near, lost = remote(), remote("gone-5760.fits", cal_type="flat", checksum=checksum(b""))
    add(store, near, lost)
    with pytest.raises(ChecksumMismatchError, match=r"gone-5760\.fits"):
        store.get_calibrations(FRAME)
    assert store.get_local_filepath(near).read_bytes() == content(near.filename)


def test_what_does_not_fit_on_the_disk_is_said_before_anything_comes(opening: Open, server: Server) -> None:
    store = opening()
    small, huge = remote(), remote(mjd=60001.0, file_size=10**13)
    add(store, small, huge)
    with pytest.raises(CacheError, match=r"has .*B free; this download needs 10\.0 TB"):
        store.prefetch(records=[small, huge])
    assert server.log(small.filename) == server.log(huge.filename) == []
    assert store.prefetch(records=[small]).ok


def test_the_file_of_a_local_record_is_never_overwritten_by_one_of_its_name(
    opening: Open, server: Server, tmp_path: Path
) -> None:
    store = opening()
    name = fits_name()
    path, mine = store.register_calibration(dark(tmp_path, name))
    before = path.read_bytes()
    for theirs in (remote(name), remote(name, checksum=None, file_size=len(before))):
        with pytest.raises(DownloadError, match="another calibration has its name"):
            store.download_calibration(theirs)
        assert list(store.prefetch(records=[theirs]).failed) == [name]
        assert not store.calibration_in_cache(theirs)
    assert path.read_bytes() == before
    assert store.get_calibration_by_id(mine.id).path == path
    assert server.log(name) == []


def test_a_template_of_columns_names_each_file(open_demo: Open, server: Server) -> None:
    url = f"{server.url()}/{{filename}}?filehand={{koa_filepath}}&i={{instrument}}"
    store = open_demo(orm_class=Survey, calibration_url=url)
    name = fits_name()
    values = {"cal_type": "dark", "datetime_obs": "2026-01-02T03:04:05.678", "origin": "REMOTE"}
    known = Survey(filename=name, koa_filepath="/koadata/a b.fits", checksum=checksum(content(name)), **values)
    lacking = Survey(filename=fits_name(), **values)
    store.local_db.add([known, lacking])
    assert store.get_calibration_by_id(known.id).path.read_bytes() == content(name)
    asked = parse_qs(urlsplit(server.log(name)[0]["path"]).query)
    assert asked == {"filehand": ["/koadata/a b.fits"], "i": ["survey"]}
    with pytest.raises(DownloadError, match="koa_filepath"):
        store.get_calibration_by_id(lacking.id)


# -- many at once ------------------------------------------------------------------------------------------------------

ASK = """
import hashlib, os, sys
from koa_middleware import CalibrationStore
from koa_middleware.fetch import server
from tests.conftest import DemoCalibration
folder, url, id = sys.argv[1:]
waiting, go = os.pipe()
children = []
for _ in range(16):
    child = os.fork()
    if not child:
        os.close(go)
        os.read(waiting, 1)  # until all are there
        with CalibrationStore(DemoCalibration, folder, calibration_url=url) as store:
            path, record = store.get_calibration_by_id(id)
            found = hashlib.sha256(path.read_bytes()).hexdigest()
        os._exit(0 if record.checksum == f"sha256:{found}" else 1)
    children.append(child)
os.close(go)
print([os.waitpid(child, 0)[1] for child in children])
"""


def test_sixteen_processes_that_ask_for_one_missing_file_all_get_it_by_one_transfer(
    opening: Open, server: Server
) -> None:
    store = opening()
    one = add(store, remote(fits_name(3_000_000)))
    ended = output_of(run_python(ASK, store.cache_dir, server.url(), one.id, path=CORE))
    assert ended.strip() == str([0] * 16)
    assert len(server.log(one.filename)) == 1
    assert files_under(store.cache_dir / "calibrations") == [one.filename]


def test_two_stores_of_one_cache_see_each_others_files(opening: Open, server: Server) -> None:
    first, second = opening(), opening()
    one = add(first, remote())
    path = first.get_calibration(FRAME, DARK).path
    assert second.get_calibration(FRAME, DARK).path == path
    spoil(path)
    with pytest.warns(QuarantineWarning, match="was moved to .*quarantine"):
        assert second.get_calibration(FRAME, DARK).path.read_bytes() == content(one.filename)
    assert first.calibration_in_cache(one)
    assert len(server.log(one.filename)) == 2


def test_many_who_find_one_spoilt_file_all_get_the_right_one(opening: Open) -> None:
    store = opening()
    one = add(store, remote())
    path = store.get_calibration_by_id(one.id).path
    for _ in range(repetitions(3, 50)):
        path.write_bytes(b"spoilt")
        start = threading.Barrier(8)

        def ask(start: threading.Barrier = start) -> bytes:
            with opening() as own:
                start.wait()
                return own.get_calibration_by_id(one.id).path.read_bytes()

        with warnings.catch_warnings(), ThreadPoolExecutor(8) as pool:
            warnings.simplefilter("ignore", QuarantineWarning)
            answers = [future.result() for future in [pool.submit(ask) for _ in range(8)]]
        assert set(answers) == {content(one.filename)}


def test_a_quarantine_that_is_no_folder_is_said(opening: Open) -> None:
    store = opening()
    one, other = add(store, remote()), add(store, remote(mjd=60001.0))
    store.get_calibration_by_id(one.id).path.write_bytes(b"spoilt")
    (store.cache_dir / "quarantine").write_text("no folder")
    with pytest.raises(CacheError, match="quarantine is not a folder"):
        store.get_calibration_by_id(one.id)
    report = store.prefetch(records=[one, other])
    assert list(report.failed) == [one.filename]
    assert report.downloaded == [other.filename]
