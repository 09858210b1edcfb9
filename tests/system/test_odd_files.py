"""Odd files and odd answers of servers: each is an error of ours."""

from __future__ import annotations

import http.server
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from koa_middleware import CalibrationSelector, CalibrationStore, DownloadError, KoaMiddlewareError, SourceFileError

from tests.conftest import DemoCalibration, dark, record

Store = CalibrationStore[DemoCalibration]


def huge_axes() -> bytes:
    axes = [f"NAXIS{number:<3}={2**40:>21}" for number in range(1, 1000)]
    cards = [
        "SIMPLE  =                    T",
        "BITPIX  =                    8",
        "NAXIS   =                  999",
        *axes,
    ]
    text = "".join(card.ljust(80) for card in [*cards, "CALTYPE = 'dark'", "EXPMJDST= 60000.0", "END"])
    return (text + " " * (-len(text) % 2880)).encode()


FILES = {
    "deep.json": b"[" * 100_000 + b"]" * 100_000,
    "wide.csv": b"a,b\n" + b"x" * 200_000 + b",1\n",
    "axes.fits": huge_axes(),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_beyond_all_measure_is_said_to_be_damaged(store: Store, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(FILES[name])
    with pytest.raises(SourceFileError, match=name):
        store.register_calibration(tmp_path / name)
    with pytest.raises(KoaMiddlewareError):
        store.select(tmp_path / name, CalibrationSelector(cal_type="dark"))


def test_a_name_that_is_not_text_is_refused_and_can_be_a_frame(store: Store, tmp_path: Path) -> None:
    path = dark(tmp_path / "night").rename(tmp_path / os.fsdecode(b"d\xff.fits"))
    with pytest.raises(KoaMiddlewareError, match="not valid text"):
        store.register_calibration(path)
    store.local_db.add(record("chosen.fits"))
    assert store.select(path, CalibrationSelector(cal_type="dark")).filename == "chosen.fits"


@pytest.fixture(params=["http://[::1", "http://host:port/x", "http://host:99999999/", "\\\\[", "gopher://x/"])
def misleading(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a server that redirects to what is none."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(302)
            self.send_header("Location", request.param)
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_redirect_to_no_address_is_a_download_error(open_demo: Callable[..., Store], misleading: str) -> None:
    store = open_demo(calibration_url=misleading)
    store.local_db.add(record("a.fits", origin="REMOTE"))
    with pytest.raises(DownloadError, match=r"a\.fits"):
        store.download_calibration(store.query()[0])
