"""The pages in a real browser: for the keyboard, on a phone, in light and dark, and looked at by axe."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import record, write_fits
from tests.server.pages import Site, plugin_of_pages, site

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium"),
    pytest.mark.filterwarnings("ignore::koa_middleware.exceptions.FallbackWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # of the browser's driver
]

FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]

FRAME = "frame.datetime_obs=2025-11-23T00:00:00&frame.spectrograph=BSPEC"
NIGHT = "frames=datetime_obs%3D2025-11-23T00:00:00%20spectrograph%3DBSPEC%0Adatetime_obs%3D2020-01-01T00:00:00"
PAGES = {
    "home": "",
    "list": "demo",
    "nothing found": "demo?type=wls&until=2000-01-01",
    "search with a fault": "demo?since=yesterday&column=era&value=1",
    "record": "demo/record?name=dark.2.fits",
    "why": f"demo/why?type=dark&{FRAME}",
    "why of a pair": f"demo/why?type=wls&{FRAME}",
    "why with a fault": "demo/why?type=dark&frame.datetime_obs=2025-11-23T00:00:00",
    "night": f"demo/night?{NIGHT}",
    "coverage": "demo/coverage?start=2025-11-01",
    "status": "demo/status",
    "error": "nowhere",
}


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("pages")) as served:
        yield served


@pytest.fixture(autouse=True)
def with_selectors(pages: Site) -> None:
    plugin_of_pages()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A browser with a user's folder of its own."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        folder = tmp_path_factory.mktemp("chromium")
        opened = playwright.chromium.launch_persistent_context(
            folder, executable_path=CHROMIUM, headless=True, args=FLAGS, viewport={"width": 1280, "height": 800}
        )
        opened.set_default_timeout(20_000)
        yield opened
        opened.close()


@pytest.fixture
def tab(browser: Any) -> Iterator[Any]:
    """A tab of it, which notes what the browser complains of."""
    opened = browser.new_page()
    opened.complaints = []
    opened.on("console", lambda said: opened.complaints.append(said.text) if said.type == "error" else None)
    opened.on("pageerror", lambda error: opened.complaints.append(str(error)))
    yield opened
    opened.close()


def faults_of(tab: Any, *rules: str) -> list[str]:
    """What axe finds, with where; by all of its rules where none is named, which comes first."""
    from axe_playwright_python.sync_playwright import Axe

    if rules:
        found = tab.evaluate("rules => axe.run(document, {runOnly: rules})", list(rules))["violations"]
    else:
        found = Axe().run(tab).response["violations"]
    return [f"{each['id']}: {[node['html'] for node in each['nodes']]}" for each in found]


@pytest.mark.parametrize("path", PAGES.values(), ids=PAGES)
def test_a_page_is_for_everybody_in_light_in_dark_and_on_a_phone(pages: Site, tab: Any, path: str) -> None:
    tab.goto(f"{pages.url}/{path}")
    assert faults_of(tab) == []
    tab.emulate_media(color_scheme="dark")
    assert faults_of(tab, "color-contrast") == []
    tab.set_viewport_size({"width": 320, "height": 640})
    assert tab.evaluate("document.documentElement.scrollWidth") == 320
    assert faults_of(tab, "scrollable-region-focusable", "target-size") == []
    assert [each for each in tab.complaints if "status of 4" not in each] == []


def test_nothing_comes_from_elsewhere(pages: Site, tab: Any) -> None:
    asked: list[str] = []
    tab.on("request", lambda request: asked.append(request.url))
    for path in PAGES.values():
        tab.goto(f"{pages.url}/{path}")
    assert any("/static/pages.css" in url for url in asked)
    assert [url for url in asked if not url.startswith(pages.url)] == []


def test_the_keyboard_reaches_the_content_first_and_shows_where_it_is(pages: Site, tab: Any) -> None:
    tab.goto(f"{pages.url}/demo")
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.textContent") == "Skip to the content"
    assert tab.locator(":focus").bounding_box()["y"] >= 0
    tab.keyboard.press("Enter")
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.name") == "type"
    assert tab.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_one_searches_sorts_and_opens_a_record_by_the_keyboard_alone(pages: Site, tab: Any) -> None:
    tab.goto(f"{pages.url}/demo")
    tab.get_by_label("Type", exact=True).focus()
    tab.keyboard.type("dark")
    tab.keyboard.press("Tab")
    tab.keyboard.press("Enter")
    tab.wait_for_url("**type=dark**")
    tab.get_by_role("link", name="calibration", exact=True).focus()
    tab.keyboard.press("Enter")
    tab.wait_for_url("**sort=**")
    tab.get_by_role("link", name="dark.1.fits").focus()
    tab.keyboard.press("Enter")
    tab.wait_for_url("**/record**")
    assert tab.get_by_role("heading", level=1).inner_text() == "dark.1.fits"


def test_a_file_that_is_chosen_gives_its_answer_and_the_link_gives_the_same(
    pages: Site, tab: Any, tmp_path: Path
) -> None:
    frame = write_fits(tmp_path / "frame.fits", {"MJD-OBS": 61002.0, "SPECTROG": "BSPEC"})
    tab.goto(f"{pages.url}/demo/why")
    tab.get_by_label("Type", exact=True).select_option("dark")
    tab.locator("input[type=file]").set_input_files(frame)
    tab.get_by_role("button", name="Explain", exact=True).click()
    answer = tab.get_by_role("heading", name="is chosen").inner_text()
    assert "dark.1.fits is chosen" in answer
    tab.get_by_role("link", name="This question as a link").click()
    tab.wait_for_url("**frame.spectrograph=BSPEC**")
    assert tab.get_by_role("heading", name="is chosen").inner_text() == answer


def test_the_files_of_a_night_are_dropped_at_once(pages: Site, tab: Any, tmp_path: Path) -> None:
    frames = [
        write_fits(tmp_path / f"frame.{number}.fits", {"MJD-OBS": 61000.0 + number, "SPECTROG": "BSPEC"})
        for number in range(3)
    ]
    tab.goto(f"{pages.url}/demo/night")
    tab.locator("input[type=file]").set_input_files(frames)
    tab.get_by_role("button", name="Check", exact=True).click()
    table = tab.get_by_role("table", name="What each frame gets of each type")
    assert table.get_by_role("rowheader").all_inner_texts() == [each.name for each in frames]
    assert table.get_by_role("columnheader").all_inner_texts() == ["frame", "dark", "wls", "bias"]


def test_a_name_is_whole_on_a_phone_too(pages: Site, tab: Any) -> None:
    tab.set_viewport_size({"width": 320, "height": 640})
    for path in ("demo", f"demo/why?type=dark&{FRAME}", "demo/record?name=dark.1.fits"):
        tab.goto(f"{pages.url}/{path}")
        heights = tab.evaluate(
            "[...document.querySelectorAll('.name, .word')].filter(each => each.offsetParent)"
            ".map(each => each.getClientRects().length)"
        )
        assert heights
        assert set(heights) == {1}


LONG = "hispec_20260212_bspec_masterdark_0123456789_v001.fits"


def test_nothing_is_cut_off_on_a_phone(tab: Any, tmp_path: Path) -> None:
    plugin_of_pages()
    with site(tmp_path) as pages:
        pages.store.local_db.add([record(LONG, 61002.0, origin="REMOTE")])
        tab.set_viewport_size({"width": 320, "height": 640})
        for path in ("demo", "demo/status", f"demo/record?name={LONG}", f"demo/why?type=dark&{FRAME}"):
            tab.goto(f"{pages.url}/{path}")
            cut = tab.evaluate(
                "[...document.querySelectorAll('.facts, .answer, h1, .list, h1 .scroll')]"
                ".filter(each => each.clientWidth && each.scrollWidth > each.clientWidth + 1)"
                ".map(each => each.outerHTML)"
            )
            assert cut == [], path


def test_a_night_on_a_phone_shows_more_than_its_frames(pages: Site, tab: Any) -> None:
    tab.set_viewport_size({"width": 320, "height": 640})
    tab.goto(
        f"{pages.url}/demo/night?frames=filename%3D{LONG}%20datetime_obs%3D2025-11-23T00:00:00%20spectrograph%3DBSPEC"
    )
    second = tab.locator("table.matrix thead th").nth(1).bounding_box()
    assert second["x"] + second["width"] < 320
