"""A store with what the pages tell of, served on a port, and the pages as a browser gets them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from html import unescape
from pathlib import Path
from typing import Any, NamedTuple

import requests
from koa_middleware import CalibrationSelector, CalibrationStore, InstrumentPlugin, Step

from tests.conftest import DemoCalibration, dark, record, without_a_plugin
from tests.server.live import live

#: What a browser says that it wants.
BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


class DarkSelector(CalibrationSelector):
    cal_type = "dark"
    match = ("spectrograph",)
    prefer = (Step({"cooled": True}), Step())
    max_age = timedelta(days=9)


class FlatSelector(CalibrationSelector):
    cal_type = "flat"
    match = ("spectrograph",)
    given = ("lamp",)
    max_age = timedelta(days=9)


class WlsSelector(CalibrationSelector):
    cal_type = "wls"
    match = ("spectrograph",)
    direction = "bracket"
    max_age = timedelta(days=9)


class Shown(NamedTuple):
    """A page."""

    status: int
    html: str
    headers: dict[str, str]

    @property
    def text(self) -> str:
        """What one reads of it, in one line."""
        body = self.html.partition("<main")[2].partition("</main>")[0].partition(">")[2]
        return " ".join(unescape(re.sub(r"<[^>]+>", " ", body)).split())

    def link(self, said: str) -> str:
        """Give where the link leads that says something."""
        found = re.search(rf'<a [^>]*href="([^"]*)"[^>]*>{re.escape(said)}</a>', self.html)
        assert found, f"no link says {said!r}"
        return unescape(found[1])


class Site:
    """The pages of a server."""

    def __init__(self, url: str, store: CalibrationStore[Any]) -> None:
        self.url, self.store = url, store

    def get(self, path: str = "", **asked: Any) -> Shown:
        answer = requests.get(f"{self.url}/{path}", params=asked or None, headers=BROWSER, timeout=30)
        return Shown(answer.status_code, answer.text, dict(answer.headers))

    def post(self, path: str, files: list[tuple[str, bytes]], **asked: Any) -> Shown:
        parts = [("file", file) for file in files]
        answer = requests.post(f"{self.url}/{path}", data=asked, files=parts, headers=BROWSER, timeout=30)
        return Shown(answer.status_code, answer.text, dict(answer.headers))


def plugin_of_pages() -> InstrumentPlugin:
    return InstrumentPlugin(
        ORM=DemoCalibration,
        selectors=[DarkSelector(), FlatSelector(), WlsSelector(), CalibrationSelector(cal_type="bias")],
    )


def serving(store: CalibrationStore[Any], **options: Any) -> Any:
    """Give the application of a store."""
    from koa_middleware.remote.folder.remote import FolderRemote
    from koa_middleware.server.app import Options, make_app
    from koa_middleware.server.served import Served

    own = FolderRemote(store.local_db)
    return make_app([Served(plugin_of_pages(), store, own, is_writable=False)], Options(**options))


@contextmanager
def site(folder: Path, **options: Any) -> Iterator[Site]:
    """Serve a store with calibrations of a few days."""
    with without_a_plugin(), CalibrationStore(DemoCalibration, folder / "cache") as store:
        fill(store, folder / "made")
        with live(serving(store, **options)) as server:
            yield Site(server.url, store)


def fill(store: CalibrationStore[Any], folder: Path) -> None:
    """Take in darks as files, of which one was made of another and one is BAD, and rows of other types."""
    store.register_calibration(dark(folder, "dark.1.fits", 61000.1, COOLED=True, EXPTIME=30.0))
    store.register_calibration(dark(folder, "dark.2.fits", 61004.1, COOLED=True, DATAQUAL="UNKNOWN"))
    store.register_calibration(dark(folder, "dark.3.fits", 61002.0, SPECTROG="RSPEC"))
    store.flag("dark.2.fits", "BAD", "stripes, of the new readout")
    more = {"datetime_obs": None, "era": "1.0.0"}
    store.local_db.add(
        [
            record("wls.1.fits", 61000.2, cal_type="wls", origin="REMOTE", **more),
            record("wls.2.fits", 61003.2, cal_type="wls", origin="REMOTE", **more),
            record("flat.1.fits", 61001.0, cal_type="flat", lamp="thar", origin="REMOTE", **more),
        ]
    )
