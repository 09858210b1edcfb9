"""Transfers from a real server that misbehaves.

The invariant of all: a file under its final name has the recorded content, or is not there.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import logging
import os
import pickle
import random
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from koa_middleware.exceptions import CacheError, ChecksumMismatchError, ConfigurationError, DownloadError
from koa_middleware.fetch import partial, retries
from koa_middleware.fetch import turns as locks
from koa_middleware.fetch.server import FileServer
from koa_middleware.fetch.transfer import Fetched, Transfer
from koa_middleware.fetch.waiting import tell_waits_to

TESTS = Path(__file__).parents[1]
sys.path.insert(0, str(TESTS))
from fault_server import content, other_content  # noqa: E402

from tests.conftest import repetitions  # noqa: E402

MB = 1_000_000


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    command = [sys.executable, str(TESTS / "fault_server.py")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.kill()


class Night:
    """A cache folder, and the server's files with one fault."""

    def __init__(self, folder: Path, port: int) -> None:
        self.final = folder / "calibrations"
        self.partial = folder / "partial"
        self.port = port
        self.final.mkdir()

    def server(self, fault: str = "ok/-", **options: object) -> FileServer:
        options = {"backoff_s": 0.005, "timeout_s": (2.0, 2.0)} | options
        return FileServer(f"http://127.0.0.1:{self.port}/{fault}", **options)

    def transfer(self, server: FileServer, name: str, **changes: object) -> Transfer:
        recorded = {"checksum": sha256(content(name)), "file_size": len(content(name))} | changes
        return Transfer(server.url_for({"filename": name}), self.final / name, **recorded)

    def fetch(self, fault: str, name: str, *, options: dict | None = None, fresh: bool = False, **changes: object):
        with self.server(fault, **(options or {})) as server:
            return server.fetch(self.transfer(server, name, **changes), self.partial, fresh=fresh)

    def log(self, name: str) -> list[dict]:
        """What the server was asked for this name."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/log/{name}") as answer:
            return json.load(answer)

    def check(self, name: str, *, there: bool) -> None:
        """The invariant; and nothing else stands in the folder that pipelines look into."""
        found = {path.name: path.read_bytes() for path in self.final.iterdir()}
        assert found == ({name: content(name)} if there else {})

    def came(self) -> list[int]:
        """Sizes of the partial files, bytes, without one that goes while it is looked at."""
        sizes = []
        for path in self.partial.glob("*.part"):
            with suppress(FileNotFoundError):
                sizes.append(path.stat().st_size)
        return sizes

    def leftovers(self) -> list[str]:
        return sorted(path.name for path in self.partial.iterdir() if path.name != locks.LOCK_FILE)


@pytest.fixture
def night(tmp_path: Path, port: int) -> Night:
    return Night(tmp_path, port)


def warm(name: str) -> str:
    """Make a content before processes are forked that need it."""
    content(name)
    return name


def sha256(body: bytes) -> str:
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def fork(job: Callable[[], object]) -> int:
    """Run a job in a process of its own; its exit code is 0 where it returned."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child:
        return child
    code = 1
    try:
        job()
        code = 0
    except BaseException:  # noqa: BLE001 - the process ends here
        traceback.print_exc()
    finally:
        os._exit(code)


def exit_codes(children: list[int]) -> list[int]:
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


# What is right


@pytest.mark.parametrize("name", ["a-9000.csv", "a-0.csv", "a-1048576.fits", "a-6000001.fits", "a-5000.fits.gz"])
@pytest.mark.parametrize("fault", ["ok/-", "norange/-", "chunked/-", "nolength/-"])
def test_a_file_arrives_with_its_content(night, fault, name):
    fetched = night.fetch(fault, name)
    assert fetched == Fetched(night.final / name, len(content(name)), sha256(content(name)), True)
    night.check(name, there=True)
    assert night.leftovers() == []


def test_a_name_with_special_characters_is_asked_for_as_it_is(night):
    name = "a b%20#?&é-100.csv"
    night.fetch("ok/-", name)
    night.check(name, there=True)


def test_an_md5_checksum_is_verified(night):
    name = "md5-3000.fits"
    right = f"md5:{hashlib.md5(content(name)).hexdigest().upper()}"
    assert night.fetch("ok/-", name, checksum=right).checksum == right.lower()
    with pytest.raises(ChecksumMismatchError):
        night.fetch("ok/-", name, checksum="md5:" + "0" * 32, fresh=True)
    night.check(name, there=True)


def test_a_checksum_of_an_unknown_kind_is_an_error(night):
    with pytest.raises(DownloadError, match="crc32"):
        night.fetch("ok/-", "kind-3000.fits", checksum="crc32:1234")
    night.check("kind-3000.fits", there=False)


def test_permissions_follow_the_umask(night):
    before = os.umask(0o027)
    try:
        night.fetch("ok/-", "umask-3000.fits")
    finally:
        os.umask(before)
    assert (night.final / "umask-3000.fits").stat().st_mode & 0o777 == 0o640


def test_nothing_is_asked_for_encoded(night):
    night.fetch("ok/-", "identity-300.fits")
    assert night.log("identity-300.fits")[0]["Accept-Encoding"] == "identity"


def test_a_gz_file_keeps_its_bytes_when_the_server_calls_it_encoded(night):
    night.fetch("gzip/file", "g-4000.fits.gz")
    night.check("g-4000.fits.gz", there=True)


def test_a_file_url_is_read(night, tmp_path):
    archive = tmp_path / "the archive"
    archive.mkdir()
    name = "master dark-9000.fits"
    (archive / name).write_bytes(content(name))
    with FileServer(archive.as_uri()) as server:
        server.fetch(night.transfer(server, name), night.partial)
        night.check(name, there=True)
        with pytest.raises(DownloadError, match="No such file"):
            server.fetch(night.transfer(server, "b-1.fits"), night.partial)


def test_progress_adds_up_to_the_size_whatever_happens(night):
    for number, fault in enumerate(["ok/-", "cutonce/2000000", "cutnorange/3000000", "changed/1500000", "busy/503-2-"]):
        name, counts = f"progress{number}-4000000.fits", []
        with night.server(fault) as server:
            try:
                server.fetch(night.transfer(server, name), night.partial, progress=counts.append)
            except DownloadError:
                assert fault.startswith("cutnorange")
            else:
                assert sum(counts) == 4 * MB, fault


# Servers lie


@pytest.mark.parametrize("name", ["html-9000.fits", "html-9000.csv"])
def test_an_error_page_is_shown_and_not_stored(night, name):
    for kind, words in {"html": "Please log in", "json": "file not found"}.items():
        for recorded in ({}, {"checksum": None, "file_size": None}):
            with pytest.raises(DownloadError, match=words):
                night.fetch(f"page/{kind}", name, **recorded)
    night.check(name, there=False)
    assert night.leftovers() == []
    assert len(night.log(name)) == 4


def test_an_encoding_that_nobody_asked_for_is_named(night):
    with pytest.raises(DownloadError, match="encoding gzip"):
        night.fetch("gzip/page", "gz-90000.fits")
    night.check("gz-90000.fits", there=False)


@pytest.mark.parametrize("name", ["wrong-9000.fits", "wrong-9000.csv", "wrong-7000000.fits"])
@pytest.mark.parametrize("fault", ["other/-", "short/10", "endless/-"])
def test_other_content_is_refused(night, fault, name):
    before = len(night.log(name))
    with pytest.raises(ChecksumMismatchError) as caught:
        night.fetch(fault, name)
    night.check(name, there=False)
    assert night.leftovers() == []
    assert caught.value.expected != caught.value.found
    assert len(night.log(name)) == before + 1


def test_an_answer_without_end_is_cut_off(night):
    with pytest.raises(ChecksumMismatchError):
        night.fetch("endless/-", "endless-200000.fits")
    time.sleep(0.2)
    sent = night.log("endless-200000.fits")[0]["sent"]
    time.sleep(0.2)
    assert night.log("endless-200000.fits")[0]["sent"] == sent < 50 * MB


def test_a_file_that_is_announced_larger_than_recorded_is_not_transferred(night):
    with pytest.raises(ChecksumMismatchError, match="5000 bytes in place of 4999 bytes"):
        night.fetch("ok/-", "larger-5000.fits", file_size=4999)
    night.check("larger-5000.fits", there=False)


def test_without_a_checksum_the_size_decides(night):
    with pytest.raises(ChecksumMismatchError):
        night.fetch("short/1", "size-9000.csv", checksum=None)
    night.check("size-9000.csv", there=False)
    assert night.fetch("ok/-", "size-9000.csv", checksum=None).checksum == sha256(content("size-9000.csv"))


# Broken connections


@pytest.mark.parametrize(
    "fault",
    [
        "cut/2500000",
        "cutonce/2500000",
        "cutonce/100",
        "cutonce/0",
        "changed/2500000",
        "changedsilently/2500000",
        "wrongrange/2500000",
        "cutnolength/2500000",
        "chunked/2500000",
        "stallonce/2500000",
    ],
)
def test_a_broken_transfer_is_completed(night, fault):
    name = f"{fault.replace('/', '')}-9000000.fits"
    night.fetch(fault, name, options={"timeout_s": (1.0, 0.3)})
    night.check(name, there=True)
    assert night.leftovers() == []


def test_a_broken_transfer_goes_on_where_it_was(night):
    night.fetch("cut/2500000", "resume-9000000.fits")
    log = night.log("resume-9000000.fits")
    assert [entry["Range"] for entry in log] == [None, "bytes=2500000-", "bytes=5000000-", "bytes=7500000-"]
    assert sum(entry["sent"] for entry in log) == 9 * MB


def test_a_connection_may_break_often_as_long_as_bytes_come(night):
    night.fetch("cut/300000", "often-9000000.fits")
    night.check("often-9000000.fits", there=True)
    assert len(night.log("often-9000000.fits")) == 30


@pytest.mark.parametrize("fault", ["cutnorange/2500000", "stall/100", "long/-"])
def test_a_server_that_never_sends_all_is_given_up(night, fault):
    name = f"given-up-{fault.split('/')[0]}-9000000.fits"
    with pytest.raises((DownloadError, ChecksumMismatchError)):
        night.fetch(fault, name, options={"timeout_s": (1.0, 0.2)})
    night.check(name, there=False)
    assert len(night.log(name)) <= 6


@pytest.mark.parametrize("what", ["head", "body", "page"])
def test_a_server_that_drips_is_cut_off(night, what):
    begin = time.monotonic()
    with pytest.raises(DownloadError) as caught:
        night.fetch(f"drip/{what}", "drip-500000.fits", options={"slow_after_s": 0.5, "timeout_s": (2.0, 0.5)})
    assert time.monotonic() - begin < 15
    assert {"head": "broke", "body": "less than 1.0 kB in a second", "page": "404"}[what] in str(caught.value)
    night.check("drip-500000.fits", there=False)
    assert len(night.log("drip-500000.fits")) <= 20


def test_a_server_that_drips_once_is_asked_again(night):
    assert night.fetch("drip/bodyonce", "once-500000.fits", options={"slow_after_s": 0.5}).transferred
    night.check("once-500000.fits", there=True)


def test_a_redirect_whose_page_drips_is_followed(night):
    begin = time.monotonic()
    night.fetch("drip/redirect", "moved-500000.fits", options={"timeout_s": (2.0, 0.5)})
    night.check("moved-500000.fits", there=True)
    assert time.monotonic() - begin < 10


def test_a_slow_line_is_no_reason_to_cut_off(night):
    night.fetch("slow/200000", "line-400000.fits", options={"slow_after_s": 0.5})
    night.check("line-400000.fits", there=True)


def test_without_a_checksum_pieces_are_joined_only_by_a_strong_etag(night):
    night.fetch("cut/2500000", "etag-9000000.fits", checksum=None)
    night.check("etag-9000000.fits", there=True)


def test_a_later_attempt_goes_on_with_what_an_earlier_one_left(night):
    name = "later-9000000.fits"
    with pytest.raises(DownloadError):
        night.fetch("end/5000000", name)
    assert len(night.leftovers()) == 1
    sent = len(night.log(name))
    night.fetch("ok/-", name)
    assert night.log(name)[sent]["Range"].startswith("bytes=")
    night.check(name, there=True)
    assert night.leftovers() == []


def test_a_spoilt_leftover_is_fetched_once_again_from_zero(night):
    name = "spoilt-9000000.fits"
    with pytest.raises(DownloadError):
        night.fetch("end/5000000", name)
    (data,) = night.partial.glob("*.part")
    with data.open("r+b") as file:
        file.write(b"spoilt by a power cut")
    night.fetch("ok/-", name)
    night.check(name, there=True)
    assert [entry["Range"] is None for entry in night.log(name)[-2:]] == [False, True]


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_a_busy_server_is_asked_again(night, status):
    name = f"busy{status}-9000.fits"
    night.fetch(f"busy/{status}-3-", name)
    night.check(name, there=True)
    assert len(night.log(name)) == 4


def test_retry_after_is_obeyed(night):
    night.fetch("busy/429-1-1", "after-9000.fits")
    first, second = night.log("after-9000.fits")
    assert second["time"] - first["time"] >= 1.0


def test_a_wait_that_is_too_long_is_an_error_at_once(night):
    with pytest.raises(DownloadError, match="3600 s"):
        night.fetch("busy/503-9-3600", "hour-9000.fits")
    assert len(night.log("hour-9000.fits")) == 1


def test_an_answer_may_take_longer_than_a_connection(night):
    night.fetch("later/0.3", "slow-answer-900.fits", options={"timeout_s": (0.2, 60.0)})
    assert len(night.log("slow-answer-900.fits")) == 1


def test_a_server_that_stays_busy_is_given_up(night):
    with pytest.raises(DownloadError, match=r"answers 503 .*'busy'") as caught:
        night.fetch("busy/503-99-", "stays-9000.fits")
    assert caught.value.status == 503
    assert len(night.log("stays-9000.fits")) == 1 + retries.RETRIES


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "KOA_ACCESS_TOKEN"),
        (403, "KOA_COOKIE_FILE"),
        (404, "KOA_CALIBRATION_URL"),
        (400, "not possible"),
    ],
)
def test_a_refusal_is_told_at_once_with_what_to_do(night, status, words):
    name = f"refused{status}-9000.fits"
    with pytest.raises(DownloadError, match=words) as caught:
        night.fetch(f"status/{status}", name)
    assert caught.value.status == status
    assert len(night.log(name)) == 1
    night.check(name, there=False)


def test_a_dead_server_is_told_in_bounded_time(night):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        dead = listener.getsockname()[1]
    with (
        FileServer(f"http://127.0.0.1:{dead}", backoff_s=0.01) as server,
        pytest.raises(DownloadError, match="refused"),
    ):
        server.fetch(night.transfer(server, "dead-1.fits"), night.partial)


# Processes that die


@pytest.mark.soak
def test_a_transfer_that_is_killed_at_any_moment_leaves_nothing_wrong(night):
    """Each round kills a transfer at a random moment; what it left is taken over by the next round."""
    name, dice, rounds = warm("killed-40000000.fits"), random.Random(4), repetitions(3, 300)
    resumed = finished = 0
    for _ in range(rounds):
        child = fork(lambda: night.fetch("slow/100000000", name, fresh=True))
        time.sleep(dice.uniform(0.0, 0.25))
        os.kill(child, signal.SIGKILL)
        finished += exit_codes([child]) == [0]
        resumed += night.log(name)[-1]["Range"] is not None if night.log(name) else 0
        night.check(name, there=(night.final / name).exists())
        assert len(list(night.partial.glob("*.part"))) <= 3
    night.fetch("ok/-", name, fresh=True)
    night.check(name, there=True)
    assert night.leftovers() == []
    assert resumed >= rounds // 6


def test_one_process_takes_over_what_a_killed_one_left(night):
    name = warm("orphan-20000000.fits")
    child = fork(lambda: night.fetch("stall/12000000", name))
    wait_for(lambda: max(night.came(), default=0) >= 11 * MB)
    os.kill(child, signal.SIGKILL)
    exit_codes([child])
    with_broken_locks = [
        fork(lambda: (break_locks(None), night.fetch("slow/40000000", name, fresh=True))) for _ in range(6)
    ]
    assert exit_codes(with_broken_locks) == [0] * 6
    asked = [entry["Range"] for entry in night.log(name)[1:]]
    assert sorted(value is not None for value in asked) == [False] * 5 + [True]
    night.check(name, there=True)
    assert night.leftovers() == []


def wait_for(condition: Callable[[], object], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def break_locks(error: int | None) -> None:
    """Make locks succeed for everyone, or fail, as on some network file systems."""

    def lock(*_: object) -> None:
        if error is not None:
            raise OSError(error, os.strerror(error))

    fcntl.fcntl = fcntl.lockf = lock


def test_sixteen_processes_that_ask_for_one_file_make_one_transfer(night):
    name = warm("sixteen-8000000.fits")
    assert exit_codes([fork(lambda: night.fetch("slow/20000000", name)) for _ in range(16)]) == [0] * 16
    assert len(night.log(name)) == 1
    night.check(name, there=True)
    assert night.leftovers() == []


@pytest.mark.parametrize("error", [None, errno.ENOSYS, errno.EBADF, errno.ENOLCK])
def test_sixteen_processes_get_right_answers_without_locks(night, error):
    name = warm(f"unlocked{error}-3000000.fits")
    children = [fork(lambda: (break_locks(error), night.fetch("slow/20000000", name))) for _ in range(16)]
    assert exit_codes(children) == [0] * 16
    night.check(name, there=True)
    assert night.leftovers() == []


def test_a_reader_never_sees_a_part(night):
    name = warm("seen-6000000.fits")
    children = [fork(lambda: [night.fetch("ok/-", name, fresh=True) for _ in range(5)]) for _ in range(2)]
    seen = set()
    while children:
        children = [child for child in children if os.waitpid(child, os.WNOHANG) == (0, 0)]
        if (night.final / name).exists():
            seen.add(hashlib.sha256((night.final / name).read_bytes()).hexdigest())
    assert seen == {hashlib.sha256(content(name)).hexdigest()}


def test_a_holder_that_was_killed_stops_nobody(night):
    name = warm("holder-20000000.fits")
    child = fork(lambda: night.fetch("stall/2000000", name, options={"timeout_s": (9, 99)}))
    wait_for(lambda: list(night.partial.glob("*.part")))
    waiter = fork(lambda: night.fetch("ok/-", name))
    time.sleep(0.2)
    assert len(night.log(name)) == 1
    os.kill(child, signal.SIGKILL)
    assert exit_codes([child, waiter]) == [-signal.SIGKILL, 0]
    night.check(name, there=True)


def test_a_stuck_holder_stops_nobody(night, monkeypatch):
    monkeypatch.setattr(locks, "STUCK_AFTER_S", 0.3)
    name = warm("stuck-20000000.fits")
    child = fork(lambda: night.fetch("stall/2000000", name, options={"timeout_s": (9, 99)}))
    wait_for(lambda: any(night.came()))
    night.fetch("ok/-", name)
    night.check(name, there=True)
    os.kill(child, signal.SIGKILL)
    exit_codes([child])


def test_an_owner_whose_partial_file_was_taken_away_starts_again(night, monkeypatch):
    monkeypatch.setattr(partial, "ABANDONED_AFTER_S", -1.0)
    name = warm("stolen-8000000.fits")
    children = [fork(lambda: (break_locks(None), night.fetch("slow/8000000", name, fresh=True))) for _ in range(1)]
    wait_for(lambda: max(night.came(), default=0) > 2 * MB)
    break_free = fork(lambda: (break_locks(None), night.fetch("ok/-", name, fresh=True)))
    assert exit_codes([break_free, *children]) == [0, 0]
    night.check(name, there=True)
    assert len([entry for entry in night.log(name) if entry["Range"] is None]) == 2
    assert night.leftovers() == []


# Folders that fail


def limit_file_size(size: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@pytest.mark.parametrize("limit", [0, 100, 3 * MB])
def test_a_full_disk_is_a_clear_error_and_leaves_nothing(night, limit):
    name = warm("full-9000000.fits")

    def job() -> None:
        limit_file_size(limit)
        with pytest.raises(CacheError, match=r"File too large.*Free some space"):
            night.fetch("ok/-", name)

    assert exit_codes([fork(job)]) == [0]
    night.check(name, there=False)
    assert night.leftovers() == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a file system cannot be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_small_disk_takes_what_fits_and_refuses_the_rest(small_disk, port):
    night = Night(small_disk, port)
    with pytest.raises(CacheError, match="No space left on device"):
        night.fetch("ok/-", "tmpfs-9000000.fits")
    night.check("tmpfs-9000000.fits", there=False)
    assert night.leftovers() == []
    night.fetch("ok/-", "fits-3000000.fits")
    night.check("fits-3000000.fits", there=True)


def test_a_folder_that_vanished_is_named(night):
    night.final.rmdir()
    with pytest.raises(CacheError, match="calibrations") as caught:
        night.fetch("ok/-", "gone-900.fits")
    assert caught.value.path == night.final / "gone-900.fits"
    assert night.leftovers() == []


def test_a_partial_folder_that_cannot_be_made_is_named(night):
    night.partial.write_text("a file stands in its place")
    with pytest.raises(CacheError, match="partial"):
        night.fetch("ok/-", "gone-900.fits")
    night.check("gone-900.fits", there=False)


def test_a_partial_folder_that_is_cleared_away_costs_a_new_start_only(night):
    name = warm("cleared-8000000.fits")
    child = fork(lambda: night.fetch("slow/8000000", name))
    wait_for(lambda: max(night.came(), default=0) > MB)
    subprocess.run(["rm", "-rf", str(night.partial)], check=True)
    assert exit_codes([child]) == [0]
    night.check(name, there=True)


# Many at once


def test_a_failure_stops_no_other_file_and_outcomes_stay_aligned(night):
    names = [f"many{number}-{20000 + number}.fits" for number in range(40)]
    counts: list[int] = []
    with night.server() as server, night.server("status/404") as missing:
        transfers = [night.transfer(missing if number % 7 == 3 else server, name) for number, name in enumerate(names)]
        outcomes = server.fetch_many(transfers, night.partial, progress=counts.append)
    for number, (name, outcome) in enumerate(zip(names, outcomes, strict=True)):
        if number % 7 == 3:
            assert isinstance(outcome, DownloadError)
            assert name in str(outcome)
            assert not (night.final / name).exists()
        else:
            assert outcome.path == night.final / name
            assert outcome.path.read_bytes() == content(name)
    assert sum(counts) == sum(outcome.file_size for outcome in outcomes if isinstance(outcome, Fetched))
    assert night.leftovers() == []


def test_files_come_in_parallel(night):
    names = [f"parallel{number}-100.csv" for number in range(8)]
    with night.server("later/0.3") as server:
        server.fetch_many([night.transfer(server, name) for name in names], night.partial, workers=8)
    times = [night.log(name)[0]["time"] for name in names]
    assert max(times) - min(times) < 0.3


def test_no_more_requests_are_made_at_once_than_asked_for(night):
    names = [f"few{number}-100.csv" for number in range(6)]
    with night.server("later/0.2") as server:
        server.fetch_many([night.transfer(server, name) for name in names], night.partial, workers=2)
    times = sorted(night.log(name)[0]["time"] for name in names)
    assert all(later - earlier > 0.15 for earlier, later in zip(times, times[2:], strict=False))


def test_a_file_that_is_asked_for_twice_comes_once(night):
    with night.server("slow/1000000") as server:
        twice = [night.transfer(server, "twice-900000.fits")] * 2
        assert sorted(outcome.transferred for outcome in server.fetch_many(twice, night.partial)) == [
            False,
            True,
        ]
    assert len(night.log("twice-900000.fits")) == 1


def test_a_dead_server_does_not_cost_a_time_out_for_each_file(night):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        dead = listener.getsockname()[1]
    with FileServer(f"http://127.0.0.1:{dead}", backoff_s=0.01) as server:
        transfers = [night.transfer(server, f"dead{number}-1.fits") for number in range(200)]
        begin = time.monotonic()
        outcomes = server.fetch_many(transfers, night.partial)
    assert all(isinstance(outcome, DownloadError) for outcome in outcomes)
    assert [f"dead{number}-1.fits" in str(outcome) for number, outcome in enumerate(outcomes)] == [True] * 200
    assert time.monotonic() - begin < 5


def test_an_error_of_the_progress_callback_is_raised(night):
    with night.server() as server, pytest.raises(ZeroDivisionError):
        server.fetch_many([night.transfer(server, "callback-900.fits")], night.partial, progress=lambda _: 1 // 0)


def test_ctrl_c_stops_at_once_and_what_has_come_is_kept(night):
    names = [warm(f"interrupted{number}-9000000.fits") for number in range(4)]

    def job() -> None:
        with night.server("stall/3000000", timeout_s=(9, 60)) as server:
            server.fetch_many([night.transfer(server, name) for name in names], night.partial)

    child = fork(job)
    wait_for(lambda: len([size for size in night.came() if size > 2 * MB]) == 4)
    begin = time.monotonic()
    os.kill(child, signal.SIGINT)
    assert exit_codes([child]) == [1]
    assert time.monotonic() - begin < 2
    assert list(night.final.iterdir()) == []
    with night.server() as server:
        server.fetch_many([night.transfer(server, name) for name in names], night.partial)
    assert all(night.log(name)[1]["Range"] for name in names)


# Credentials


def test_a_token_goes_to_its_host_and_nowhere_else(night):
    options = {"access_token": "token-1234567"}
    night.fetch("access/Bearer token-1234567", "token-900.fits", options=options)
    elsewhere = f"redirect/localhost:{night.port}"
    night.fetch(elsewhere, "elsewhere-900.fits", options=options)
    first, second = night.log("elsewhere-900.fits")
    assert (first["Authorization"], second["Authorization"]) == ("Bearer token-1234567", None)
    assert second["Host"].startswith("localhost")


def test_a_login_in_the_address_is_used_and_not_shown(night):
    url = f"http://keck:pass%40word@127.0.0.1:{night.port}/status/403"
    server = FileServer(url)
    assert "pass" not in repr(server)
    with server, pytest.raises(DownloadError) as caught:
        server.fetch(night.transfer(server, "login-900.fits"), night.partial)
    assert night.log("login-900.fits")[0]["Authorization"] == "Basic a2VjazpwYXNzQHdvcmQ="
    assert "pass" not in str(caught.value)
    assert "renew" in str(caught.value)


COOKIES = """# Netscape HTTP Cookie File

127.0.0.1\tFALSE\t/\tFALSE\t0\tkoa\tcookie-123
koa.test\tFALSE\t/\tFALSE\t0\tother\tcookie-456
"""


def test_a_cookie_goes_to_its_host_and_nowhere_else(night, tmp_path):
    jar = tmp_path / "cookies.txt"
    jar.write_text(COOKIES)
    night.fetch("access/koa=cookie-123", "cookie-900.fits", options={"cookie_file": jar})
    night.fetch(f"redirect/localhost:{night.port}", "cookies-900.fits", options={"cookie_file": jar})
    assert [entry["Cookie"] for entry in night.log("cookies-900.fits")] == ["koa=cookie-123", None]


@pytest.mark.parametrize("text", ["not a cookie file with secret-123", None])
def test_a_cookie_file_that_cannot_be_read_is_named_and_not_quoted(night, tmp_path, text):
    jar = tmp_path / "cookies.txt"
    if text:
        jar.write_text(text)
    with pytest.raises(ConfigurationError, match=r"cookies\.txt") as caught:
        night.fetch("ok/-", "jar-900.fits", options={"cookie_file": jar})
    assert "secret-123" not in "".join(traceback.format_exception(caught.value))


def test_netrc_logins_go_to_the_host_that_they_name(night, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login keck password netrc-123\n")
    monkeypatch.setenv("NETRC", str(netrc))
    night.fetch(f"redirect/localhost:{night.port}", "netrc-900.fits")
    assert [entry["Authorization"] for entry in night.log("netrc-900.fits")] == [
        "Basic a2VjazpuZXRyYy0xMjM=",
        None,
    ]


def test_no_secret_is_told_anywhere(night, caplog, tmp_path):
    caplog.set_level(logging.DEBUG)
    jar = tmp_path / "cookies.txt"
    jar.write_text(COOKIES)
    texts = []
    for fault in ("page/echo", "status/401", "busy/503-9-", "stall/10", "ok/-"):
        url = f"http://user:word-123@127.0.0.1:{night.port}/{fault}?key=key-123"
        name = f"secret{fault.split('/')[0]}-900.fits"
        with FileServer(url, access_token="token-123", cookie_file=jar, backoff_s=0.001, timeout_s=(1, 0.05)) as server:
            job = night.transfer(server, name)
            texts += [repr(server), repr(job)]
            try:
                texts.append(repr(server.fetch(job, night.partial)))
            except DownloadError as error:
                texts += [str(error), repr(vars(error)), str(pickle.loads(pickle.dumps(error)))]
                texts += traceback.format_exception(error)
                texts += [repr(error.__context__), repr(error.__cause__)]
    texts += [record.getMessage() for record in caplog.records] + [str(path) for path in night.partial.rglob("*")]
    assert any("GET" in text for text in texts)
    for secret in ("token-123", "cookie-123", "word-123", "key-123"):
        assert not [text for text in texts if secret in text]


# Object stores


def answers(port: int) -> bool:
    """Whether a server listens on this port."""
    with socket.socket() as attempt:
        return attempt.connect_ex(("127.0.0.1", port)) == 0


def test_an_object_store_without_its_package_names_the_extra(night, monkeypatch):
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with (
        FileServer("s3://koa-archive/masters") as server,
        pytest.raises(ConfigurationError, match=r"koa-middleware\[s3\]"),
    ):
        server.fetch(night.transfer(server, "s3-900.fits"), night.partial)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """A bucket of a real S3 server on this machine."""
    pytest.importorskip("s3fs")
    pytest.importorskip("moto")
    boto3 = pytest.importorskip("boto3")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    endpoint = f"http://127.0.0.1:{port}"
    for key, value in {
        "ACCESS_KEY_ID": "a",
        "SECRET_ACCESS_KEY": "b",
        "DEFAULT_REGION": "us-west-2",
        "ENDPOINT_URL": endpoint,
    }.items():
        monkeypatch.setenv(f"AWS_{key}", value)
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(lambda: answers(port), 30)
            client = boto3.client("s3", endpoint_url=endpoint)
            client.create_bucket(Bucket="koa", CreateBucketConfiguration={"LocationConstraint": "us-west-2"})
            yield client
        finally:
            process.kill()


@pytest.mark.filterwarnings("default")
def test_files_come_from_an_object_store(night, bucket):
    names = ["s3 a-9000000.fits", "s3b-100.csv"]
    for name in names:
        bucket.put_object(Bucket="koa", Key=f"masters/{name}", Body=content(name))
    bucket.put_object(Bucket="koa", Key="masters/s3c-100000.fits", Body=other_content("s3c-100000.fits"))
    with FileServer("s3://koa/masters") as server:
        transfers = [night.transfer(server, name) for name in (*names, "s3c-100000.fits", "s3d-1.fits")]
        *right, wrong, missing = server.fetch_many(transfers, night.partial)
        server.probe({"filename": names[0]})
        with pytest.raises(DownloadError, match=r"s3d-1\.fits is not to be had"):
            server.probe({"filename": "s3d-1.fits"})
    assert [outcome.path.read_bytes() for outcome in right] == [content(name) for name in names]
    assert isinstance(wrong, ChecksumMismatchError)
    assert isinstance(missing, DownloadError)
    assert len(list(night.final.iterdir())) == 2


def test_threads_of_one_process_keep_apart(night):
    """Threads with servers of their own behave as processes do."""
    outcomes: list[Fetched] = []
    threads = [
        threading.Thread(target=lambda: outcomes.append(night.fetch("slow/10000000", "threads-3000000.fits")))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 8
    assert len(night.log("threads-3000000.fits")) == 1
    night.check("threads-3000000.fits", there=True)


# What is said of a server that does not answer


@pytest.fixture
def told() -> Iterator[list[str]]:
    found: list[str] = []
    tell_waits_to(found.append)
    yield found
    tell_waits_to(lambda _: None)


def test_a_silent_server_is_told_once_in_each_of_two_tries(night, told):
    name = "silent-9000000.fits"
    with pytest.raises(DownloadError, match="the server fell silent after 0 bytes"):
        night.fetch("stall/0", name, options={"timeout_s": (1.0, 0.4), "told_after_s": 0.1})
    assert [said.rpartition(" (")[2] for said in told] == ["try 1)", "try 2)"]
    assert told[0].startswith(f"waiting for {name} from 127.0.0.1: nothing has come")


def test_a_server_that_sends_is_not_said_to_be_silent(night, told):
    night.fetch("slow/200000", "steady-100000.fits", options={"told_after_s": 0.3})
    assert told == []


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"", "the server closed it without an answer"),
        (b"garbage\r\n\r\n", "what came is no answer of an HTTP server"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\nSIMPLE  =                    T", " bytes."),
    ],
)
def test_a_connection_that_breaks_is_told_in_words(night, sent, said):
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with suppress(OSError):  # it is closed at the end
                while True:
                    connection, _ = listening.accept()
                    with connection:
                        connection.recv(1 << 16)
                        connection.sendall(sent)

        threading.Thread(target=serve, daemon=True).start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        with FileServer(url, backoff_s=0.001) as server, pytest.raises(DownloadError) as caught:
            server.fetch(Transfer(f"{url}/a.fits", night.final / "a.fits", file_size=900), night.partial)
        listening.shutdown(socket.SHUT_RDWR)
    assert said in caught.value.message
    assert "('" not in caught.value.message
