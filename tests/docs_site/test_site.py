"""The built site of the docs, as files on a disk without a network: in a browser, narrow and dark, checked by axe."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
HTML = Path(__file__).resolve().parents[2] / "docs" / "_build" / "html"
API = "_generated/api/koa_middleware.CalibrationStore"

pytestmark = pytest.mark.site
in_a_browser = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


def shown(browser: Any, page: str, **context: Any) -> Any:
    """A page of the site in a tab without a network."""
    tab = browser.new_context(offline=True, **context).new_page()
    tab.goto((HTML / f"{page}.html").as_uri())
    return tab


def test_the_pages_load_nothing_from_elsewhere() -> None:
    loading = re.compile(r"<(?:script|img|link|iframe|source)\b[^>]*?(?:src|href)=[\"'](?:https?:)?//[^\"']*")
    of_styles = re.compile(r"(?:url\([\"']?|@import\s+[\"'])(?:https?:)?//[^\"')]*")
    pages = {path: loading.findall(path.read_text("utf-8")) for path in HTML.rglob("*.html")}
    styles = {path: of_styles.findall(path.read_text("utf-8")) for path in HTML.rglob("*.css")}
    assert pages
    assert styles
    assert {path: found for path, found in (pages | styles).items() if found} == {}


@in_a_browser
@pytest.mark.parametrize(
    ("sought", "title"),
    [("setgid", "Files"), ("ChecksumMismatchError", "Errors"), ("select_bracket", "CalibrationStore")],
)
def test_a_search_finds_the_page_without_a_server(browser: Any, sought: str, title: str) -> None:
    tab = shown(browser, "index")
    tab.locator("input[name=q]").first.fill(sought)
    tab.keyboard.press("Enter")
    tab.locator("#search-results li a", has_text=title).first.wait_for(timeout=20_000)


@in_a_browser
@pytest.mark.parametrize("page", ["index", "errors", "command-line", "instruments/kpf", API])
def test_a_page_fits_a_phone(browser: Any, page: str) -> None:
    tab = shown(browser, page, viewport={"width": 390, "height": 800})
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390


@in_a_browser
@pytest.mark.parametrize(
    ("page", "scheme"), [("index", "light"), ("errors", "dark"), ("_generated/commands", "light"), (API, "dark")]
)
def test_a_page_can_be_used_by_everybody(browser: Any, page: str, scheme: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(shown(browser, page, color_scheme=scheme)).response["violations"]
    assert [(each["id"], node["html"]) for each in found for node in each["nodes"]] == []
