"""Files over HTTP: whole, in parts, from elsewhere, and only with the recorded content."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any

import pytest
from koa_middleware import CalibrationStore
from koa_middleware.exceptions import DownloadError
from koa_middleware.fetch.server import FileServer
from koa_middleware.fetch.transfer import Transfer
from koa_middleware.remote.http.problems import MEDIA_TYPE
from koa_middleware.remote.postgres.remote import PostgresRemote
from sqlalchemy import event, insert

from tests.conftest import DemoCalibration, record
from tests.server.live import Answer, Live, live, serving

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

FILES = "/api/v1/demo/files"


class Archive:
    """A store whose files are served."""

    def __init__(self, store: CalibrationStore[Any], server: Live, remote: Any) -> None:
        self.store = store
        self.server = server
        self.remote = remote

    def add(self, name: str, content: bytes | None, *, of: bytes | None = None, **values: Any) -> dict[str, Any]:
        """Add a record, and its file where a content is given; `of` is the recorded one where that is another."""
        recorded = content if of is None else of
        if content is not None:
            self.path(name).write_bytes(content)
        if recorded is not None:
            values = {"checksum": checksum(recorded), "file_size": len(recorded), **values}
        row = record(name, **values)
        self.store.local_db.add(row)
        return row.to_dict()

    def path(self, name: str) -> Path:
        """Where a file is."""
        return self.store.cache_dir / "calibrations" / name

    def ask(self, name: str, method: str = "GET", **headers: str) -> Answer:
        """Ask for a file."""
        return self.server.ask(
            f"{FILES}/{name}", {each.replace("_", "-"): text for each, text in headers.items()}, method
        )


def exposure(size: int) -> bytes:
    """Give bytes that begin as a FITS file does, which clients look for."""
    return b"SIMPLE  =                    T".ljust(80) + os.urandom(size - 80)


def checksum(content: bytes) -> str:
    """The checksum of a content."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def problem(answer: Answer, status: int) -> Any:
    """The problem that an answer is."""
    assert (answer.status, answer.headers["content-type"]) == (status, MEDIA_TYPE)
    return answer.json


@pytest.fixture
def start(open_demo: Callable[..., Any]) -> Iterator[Callable[..., Archive]]:
    """Give a function that serves a store's files."""
    from koa_middleware.server.app import Options, make_app

    with ExitStack() as started:

        def starting(remote: Any = None, *, is_private: bool = False, **settings: Any) -> Archive:
            store = open_demo(**settings)
            app = make_app([serving(store, remote)], Options(is_private=is_private))
            return Archive(store, started.enter_context(live(app)), remote)

        yield starting


@pytest.fixture
def archive(start: Callable[..., Archive]) -> Archive:
    """Give the files of a cache's own database."""
    return start()


CONTENT = bytes(range(256)) * 4


def test_a_file_comes_whole_with_the_recorded_checksum_as_its_etag(archive: Archive) -> None:
    archive.add("dark.fits", CONTENT)
    answer = archive.ask("dark.fits")
    assert (answer.status, answer.body) == (200, CONTENT)
    headers = answer.headers
    assert headers["etag"] == f'"{checksum(CONTENT)}"'
    assert headers["content-length"] == "1024"
    assert headers["accept-ranges"] == "bytes"
    assert headers["content-type"] == "application/fits"
    assert headers["content-disposition"] == "attachment; filename*=UTF-8''dark.fits"
    assert headers["x-content-type-options"] == "nosniff"


def test_the_head_of_an_answer_is_the_same_without_the_file(archive: Archive) -> None:
    archive.add("dark.fits", CONTENT)
    whole, head = archive.ask("dark.fits"), archive.ask("dark.fits", "HEAD")
    varying = {"date", "x-request-id"}
    assert (head.status, head.body) == (200, b"")
    assert head.headers.items() - whole.headers.items() <= {(name, head.headers[name]) for name in varying}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("wls.csv", "text/csv"),
        ("wls.json", "application/json"),
        ("dark.FITS", "application/fits"),
        ("dark.fits.fz", "application/fits"),
        ("dark.fits.gz", "application/gzip"),
        ("page.html", "application/octet-stream"),
        ("picture.svg", "application/octet-stream"),
        ("no-end", "application/octet-stream"),
    ],
)
def test_no_file_is_taken_for_a_page(archive: Archive, name: str, kind: str) -> None:
    archive.add(name, b"<html><script>alert(1)</script>")
    answer = archive.ask(name, accept_encoding="gzip")
    assert answer.headers["content-type"].partition(";")[0] == kind
    assert answer.headers["content-disposition"].startswith("attachment")
    assert "content-encoding" not in answer.headers


def test_a_part_comes_where_the_client_has_the_rest_of_the_same_content(archive: Archive) -> None:
    archive.add("dark.fits", CONTENT)
    etag = f'"{checksum(CONTENT)}"'
    for headers in ({}, {"if_range": etag}):
        part = archive.ask("dark.fits", range="bytes=1000-", **headers)
        assert (part.status, part.body) == (206, CONTENT[1000:])
        assert part.headers["content-range"] == "bytes 1000-1023/1024"
        assert (part.headers["content-length"], part.headers["etag"]) == ("24", etag)
    assert archive.ask("dark.fits", range="bytes=10-19").body == CONTENT[10:20]
    for other in ('"sha256:00"', "Sat, 28 Nov 2026 03:00:00 GMT"):
        whole = archive.ask("dark.fits", range="bytes=1000-", if_range=other)
        assert (whole.status, whole.body) == (200, CONTENT)
    assert archive.ask("dark.fits", range="bytes=0-1,5-6").body == CONTENT


def test_a_part_that_there_is_not_is_a_problem_that_says_how_large_the_file_is(archive: Archive) -> None:
    archive.add("dark.fits", CONTENT)
    answer = archive.ask("dark.fits", range="bytes=1024-")
    assert "1024 bytes" in problem(answer, 416)["detail"]
    assert answer.headers["content-range"] == "bytes */1024"


def test_what_a_client_has_is_not_sent_again(archive: Archive) -> None:
    archive.add("dark.fits", CONTENT)
    answer = archive.ask("dark.fits", if_none_match=f'"x", "{checksum(CONTENT)}"')
    assert (answer.status, answer.body) == (304, b"")
    assert answer.headers["etag"] == f'"{checksum(CONTENT)}"'
    assert archive.ask("dark.fits", if_none_match='"x"').status == 200


def test_an_empty_file_and_one_of_md5_and_one_without_a_checksum_come_too(archive: Archive) -> None:
    archive.add("empty.csv", b"")
    archive.add("old.csv", CONTENT, checksum=hashlib.md5(CONTENT).hexdigest().upper())
    archive.add("older.csv", CONTENT, checksum=None)
    assert (archive.ask("empty.csv").status, archive.ask("empty.csv").body) == (200, b"")
    assert archive.ask("old.csv").headers["etag"] == f'"md5:{hashlib.md5(CONTENT).hexdigest()}"'
    older = archive.ask("older.csv", range="bytes=1-2")
    assert (older.body, "etag" in older.headers) == (CONTENT[1:3], False)


@pytest.mark.parametrize(
    "content", [CONTENT[:-1] + b"x", CONTENT[:-1], b""], ids=["other content", "another size", "nothing"]
)
def test_other_content_than_recorded_is_never_sent_and_told(
    archive: Archive, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    archive.add("dark.fits", content, of=CONTENT)
    for _ in range(2):
        answer = archive.ask("dark.fits")
        said = problem(answer, 503)
        assert "is not what its record says" in said["detail"]
        assert "koa-cal verify --repair" in said["hint"]
        assert int(answer.headers["retry-after"]) > 60
    assert problem(archive.ask("dark.fits", range="bytes=0-1"), 503)
    assert [each.message for each in caplog.records].count("a file is not what its record says") == 1
    assert 'koa_spoilt_files_total{instrument="demo"} 3.0' in archive.server.ask("/metrics").body.decode()
    assert str(archive.store.cache_dir) not in answer.body.decode()


def test_a_file_that_is_mended_or_spoilt_later_is_judged_anew(archive: Archive) -> None:
    archive.add("dark.fits", b"x" * 1024, of=CONTENT)
    assert archive.ask("dark.fits").status == 503
    archive.path("dark.fits").write_bytes(CONTENT)
    assert archive.ask("dark.fits").body == CONTENT
    archive.path("dark.fits").write_bytes(b"y" * 1024)
    assert archive.ask("dark.fits").status == 503
    archive.path("dark.fits").unlink()
    assert archive.ask("dark.fits").status == 404


def test_a_file_is_hashed_once_however_many_ask_for_it(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    from koa_middleware.cache import look

    hashed, hashing = [], look.digest_of

    def slowly(path: Path, kind: str) -> str:
        hashed.append(path.name)
        time.sleep(0.1)
        return hashing(path, kind)

    monkeypatch.setattr(look, "digest_of", slowly)
    archive.add("dark.fits", CONTENT)
    archive.add("spoilt.fits", b"x" * 1024, of=CONTENT)
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(archive.ask, ["dark.fits", "spoilt.fits"] * 12))
    assert [answer.status for answer in answers] == [200, 503] * 12
    assert sorted(hashed) == ["dark.fits", "spoilt.fits"]


def test_while_a_large_file_is_hashed_other_requests_are_answered(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    from koa_middleware.cache import look

    hashing, may_go_on = look.digest_of, threading.Event()

    def waiting(path: Path, kind: str) -> str:
        assert path.name != "large.fits" or may_go_on.wait(30)
        return hashing(path, kind)

    monkeypatch.setattr(look, "digest_of", waiting)
    archive.add("large.fits", CONTENT)
    archive.add("small.fits", CONTENT)
    with ThreadPoolExecutor(60) as pool:
        waiters = [pool.submit(archive.ask, "large.fits") for _ in range(60)]  # more than the server has threads
        time.sleep(0.2)
        assert archive.ask("small.fits").status == 200
        may_go_on.set()
        assert {each.result().status for each in waiters} == {200}


def test_a_file_that_changes_while_it_is_sent_breaks_off(archive: Archive) -> None:
    content = os.urandom(1 << 25)
    archive.add("dark.fits", content)
    with socket.create_connection(("127.0.0.1", archive.server.port)) as asking:
        asking.sendall(f"GET {FILES}/dark.fits HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        received = asking.recv(1 << 16)
        with archive.path("dark.fits").open("r+b") as writing:
            writing.write(b"x")
        while piece := asking.recv(1 << 20):
            received += piece
    assert b"200 OK" in received[:100]
    assert len(received.partition(b"\r\n\r\n")[2]) < len(content)


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("nosuch.fits", 404),
        ("DARK.fits", 404),
        ("..", 422),
        ("../../../../etc/passwd", 404),
        ("..%2f..%2fdatabase%2fdemo_calibrations.db", 404),
        ("%2e%2e%2fdatabase", 404),
        ("%2fetc%2fpasswd", 404),
        ("%5c..%5cdatabase", 422),
        ("%2e%2e", 422),
        (".hidden", 422),
        ("dark.fits%00", 422),
        ("dark%0a.fits", 422),
        ("CON", 422),
        ("a" * 241, 422),
        ("a" * 20000, 422),
        ("%ff%fe", 404),
        ("dark.fits/", 404),
        ("", 404),
        ("%20", 422),
    ],
)
def test_a_hostile_name_is_a_problem(archive: Archive, name: str, status: int) -> None:
    archive.add("dark.fits", CONTENT)
    problem(archive.ask(name), status)


def test_a_hostile_name_of_a_record_leads_nowhere(archive: Archive) -> None:
    """Such a row can come into a database only past this package."""
    table = DemoCalibration.table()
    (archive.store.cache_dir / "secret").write_bytes(CONTENT)
    row = {**record("x.fits", checksum=checksum(CONTENT)).to_dict(), "filename": "../secret"}
    with archive.store.local_db.begin() as connection:
        connection.execute(insert(table), row)
    for name in ("../secret", "..%2fsecret", "%2e%2e%2fsecret"):
        assert archive.ask(name).status == 404


def test_what_is_no_file_is_not_sent(archive: Archive) -> None:
    archive.add("folder.fits", None, of=CONTENT)
    archive.add("pipe.fits", None, of=CONTENT)
    archive.add("loop.fits", None, of=CONTENT)
    archive.add("lost.fits", None, of=CONTENT)
    archive.path("folder.fits").mkdir()
    os.mkfifo(archive.path("pipe.fits"))
    archive.path("loop.fits").symlink_to("loop.fits")
    archive.path("lost.fits").symlink_to("nowhere.fits")
    assert [archive.ask(f"{name}.fits").status for name in ("folder", "pipe", "loop", "lost")] == [503, 503, 503, 404]


def test_a_record_without_its_file_is_a_problem_that_says_so(archive: Archive) -> None:
    archive.add("dark.fits", None, of=CONTENT)
    assert "not on this server" in problem(archive.ask("dark.fits"), 404)["detail"]


def test_a_private_server_sends_files_to_those_with_a_token_alone(start: Callable[..., Archive]) -> None:
    from koa_middleware.database.tokens import Tokens, new_token

    archive = start(is_private=True)
    archive.add("dark.fits", CONTENT)
    token = new_token()
    Tokens(archive.store.local_db).add(token, "tom", ["read"], [], None)
    for name in ("dark.fits", "nosuch.fits", "%2e%2e"):
        problem(archive.ask(name), 401)
    answer = archive.ask("dark.fits", authorization=f"Bearer {token}")
    assert (answer.body, answer.headers["cache-control"].startswith("private")) == (CONTENT, True)


def test_the_shared_cache_has_files_that_the_own_one_lacks(start: Callable[..., Archive], tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    (shared / "calibrations").mkdir(parents=True)
    (shared / "calibrations" / "dark.fits").write_bytes(CONTENT)
    with CalibrationStore(DemoCalibration, shared) as keeper:
        keeper.local_db.add(record("dark.fits", checksum=checksum(CONTENT)))
    archive = start(shared_cache_dir=shared)
    archive.add("dark.fits", None, of=CONTENT)
    assert archive.ask("dark.fits").body == CONTENT


# -- an archive in PostgreSQL, which the server's copy follows ---------------------------------------------------------


@pytest.fixture
def followed(start: Callable[..., Archive], fresh_database: str) -> Iterator[Archive]:
    """Give the files of an archive."""
    with closing(PostgresRemote(DemoCalibration, fresh_database)) as remote:
        remote.set_up("reader", "publisher")
        yield start(remote)


def test_a_name_that_the_copy_does_not_know_yet_is_asked_of_the_archive_once(followed: Archive) -> None:
    followed.path("new.fits").write_bytes(CONTENT)
    followed.remote.database.add(record("new.fits", checksum=checksum(CONTENT)))
    assert followed.ask("new.fits").body == CONTENT
    asked: list[str] = []
    event.listen(followed.remote.database.engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
    problem(followed.ask("nosuch.fits"), 404)
    assert sum("filename" in statement for statement in asked) == 1
    followed.add("known.fits", CONTENT, origin="REMOTE")
    asked.clear()
    assert followed.ask("known.fits").body == CONTENT
    assert asked == []


def test_what_the_server_has_of_its_own_is_not_the_archives(followed: Archive) -> None:
    followed.add("own.fits", CONTENT, origin="LOCAL")
    problem(followed.ask("own.fits"), 404)
    followed.remote.database.add(record("own.fits", checksum=checksum(b"theirs")))
    problem(followed.ask("own.fits"), 503)


# -- from elsewhere ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "to"),
    [
        ("https://koa.invalid/cal", "https://koa.invalid/cal/a%20dark.fits"),
        ("https://koa.invalid/{instrument}/{cal_type}/{filename}", "https://koa.invalid/demo/dark/a%20dark.fits"),
        ("https://tom:word@koa.invalid/cal", None),
        ("https://koa.invalid/get?key=word&file={filename}", None),
        ("http://127.0.0.1:1/cal", None),
        ("file:///archive", None),
        ("memory://archive", None),
    ],
)
def test_a_file_that_is_not_here_is_sent_for_only_where_no_secret_is_needed(
    start: Callable[..., Archive], url: str, to: str | None
) -> None:
    pytest.importorskip("fsspec")
    archive = start(calibration_url=url)
    archive.add("a dark.fits", None, of=CONTENT)
    answer = archive.ask("a%20dark.fits")
    assert (answer.status, answer.headers.get("location")) == (404 if to is None else 307, to)
    assert "word" not in str(answer)


def test_a_server_that_has_credentials_for_its_files_sends_nobody_there(
    start: Callable[..., Archive], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KOA_ACCESS_TOKEN", "secret")
    archive = start(calibration_url="https://koa.invalid/cal")
    archive.add("dark.fits", None, of=CONTENT)
    problem(archive.ask("dark.fits"), 404)


def test_a_store_without_its_package_is_a_problem_of_the_server(start: Callable[..., Archive]) -> None:
    archive = start(calibration_url="nosuchstore://archive")
    archive.add("dark.fits", None, of=CONTENT)
    assert "No signed address" in problem(archive.ask("dark.fits"), 502)["detail"]


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Give a bucket of a real S3 server on this machine."""
    s3fs = pytest.importorskip("s3fs")
    pytest.importorskip("moto")
    boto3 = pytest.importorskip("boto3")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    endpoint = f"http://127.0.0.1:{port}"
    known = {"ACCESS_KEY_ID": "a", "SECRET_ACCESS_KEY": "verysecret", "DEFAULT_REGION": "us-west-2"}
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with pytest.MonkeyPatch.context() as patch:
        for key, value in {**known, "ENDPOINT_URL": endpoint}.items():
            patch.setenv(f"AWS_{key}", value)
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                wait_for_port(port)
                s3fs.S3FileSystem.clear_instance_cache()  # it keeps servers of other tests
                client = boto3.client("s3", endpoint_url=endpoint)
                client.create_bucket(Bucket="koa", CreateBucketConfiguration={"LocationConstraint": "us-west-2"})
                yield client
            finally:
                s3fs.S3FileSystem.clear_instance_cache()
                process.kill()


def wait_for_port(port: int) -> None:
    """Wait until a server takes connections."""
    end = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            assert time.monotonic() < end
            time.sleep(0.05)
        else:
            return


@pytest.mark.filterwarnings("default")
def test_a_client_is_sent_to_an_object_store_by_an_address_that_lives_for_minutes(
    start: Callable[..., Archive], bucket: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content = exposure(3_000_000)
    bucket.put_object(Bucket="koa", Key="masters/a dark.fits", Body=content)
    archive = start(calibration_url="s3://koa/masters")
    row = archive.add("a dark.fits", None, of=content)
    answer = archive.ask("a%20dark.fits")
    assert (answer.status, answer.body, answer.headers["cache-control"]) == (307, b"", "no-store")
    assert "Signature" in answer.headers["location"]
    assert "verysecret" not in answer.headers["location"]
    assert fetched(archive.server.url, row, tmp_path).read_bytes() == content
    assert "Signature" not in caplog.text
    spoilt = archive.add("b.fits", b"x", of=content)
    bucket.put_object(Bucket="koa", Key="masters/b.fits", Body=content)
    assert fetched(archive.server.url, spoilt, tmp_path).read_bytes() == content


# -- downloads that are cut --------------------------------------------------------------------------------------------


def fetched(url: str, row: dict[str, Any], folder: Path, **more: Any) -> Path:
    """Fetch a file as clients do."""
    (folder / "partial").mkdir(exist_ok=True)
    with FileServer(f"{url}{FILES}", backoff_s=0.01) as client:
        transfer = Transfer(client.url_for(row), folder / row["filename"], row["checksum"], row["file_size"])
        return client.fetch(transfer, folder / "partial", **more).path


class Cutting:
    """A proxy that closes each connection after so many bytes of the answer; keeps what was asked."""

    def __init__(self, port: int, limit: int) -> None:
        self._to, self._limit = port, limit
        self.asked: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            client, _ = self._listener.accept()
            with client, socket.create_connection(("127.0.0.1", self._to)) as server:
                asked = client.recv(1 << 16)
                if not asked:
                    return
                self.asked.append(asked.decode())
                server.sendall(asked)
                server.settimeout(0.3)  # after a whole answer it waits for another request
                left = self._limit
                with suppress(TimeoutError):
                    while left and (piece := server.recv(min(left, 1 << 16))):
                        client.sendall(piece)
                        left -= len(piece)

    def close(self) -> None:
        """End."""
        socket.create_connection(self._listener.getsockname()).close()
        self._thread.join()
        self._listener.close()


@pytest.fixture
def cutting(archive: Archive) -> Iterator[Cutting]:
    """Give a proxy before the archive that cuts answers after 400 kB."""
    proxy = Cutting(archive.server.port, 400_000)
    yield proxy
    proxy.close()


def test_a_download_that_is_cut_again_and_again_goes_on_where_it_was(
    archive: Archive, cutting: Cutting, tmp_path: Path
) -> None:
    content = exposure(3_000_000)
    row = archive.add("dark.fits", content)
    came: list[int] = []
    assert fetched(cutting.url, row, tmp_path, progress=came.append).read_bytes() == content
    assert sum(came) == len(content)
    assert min(came) > 0  # nothing came twice
    assert len(cutting.asked) >= 8
    assert all("Range: bytes=" in each and f'If-Range: "{row["checksum"]}"' in each for each in cutting.asked[1:])


def test_a_download_gives_up_on_a_spoilt_file_and_says_why(archive: Archive, tmp_path: Path) -> None:
    row = archive.add("dark.fits", b"x", of=CONTENT)
    with pytest.raises(DownloadError, match="503"):
        fetched(archive.server.url, row, tmp_path)


def test_a_large_file_goes_out_in_bounded_memory(archive: Archive) -> None:
    import tracemalloc

    size = 1 << 26
    with archive.path("large.fits").open("wb") as sink:
        sink.truncate(size)
    archive.store.local_db.add(record("large.fits", checksum=None, file_size=size))
    with socket.create_connection(("127.0.0.1", archive.server.port)) as asking:
        asking.sendall(f"GET {FILES}/large.fits HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        tracemalloc.start()
        received, buffer = 0, bytearray(1 << 16)
        while number := asking.recv_into(buffer):
            received += number
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert received > size
    assert most < 4 << 20
