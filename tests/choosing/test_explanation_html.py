"""An explanation in a notebook."""

from __future__ import annotations

from datetime import timedelta
from html.parser import HTMLParser

import pytest
from koa_middleware import CalibrationSelector, CalibrationStore, FallbackWarning, Step

from tests.conftest import DemoCalibration, record

Store = CalibrationStore[DemoCalibration]


class Page(HTMLParser):
    """Collects text and tags, and checks that each tag is closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.words = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data if self.open[-1:] != ["style"] else ""


def test_all_that_the_text_tells_stands_in_the_html_of_a_notebook(store: Store) -> None:
    store.local_db.add(
        [record("HB-a.fits", 59999.0, lamp="thar"), record("HB-b.fits", 60000.5, quality="BAD", lamp="lfc")]
    )
    rule = CalibrationSelector(
        cal_type="dark", direction="bracket", prefer=(Step({"lamp": "lfc"}), Step({"lamp": "thar"}))
    )
    with pytest.warns(FallbackWarning):
        explained = store.explain({"mjd_start": 60000.0}, rule)
    page = Page(explained._repr_html_())
    assert page.open == []
    for said in (explained.headline(), *explained.facts(), *(step.reason for step in explained.steps)):
        assert said in page.words
    for candidate in explained.candidates:
        assert candidate.record.filename in page.words
        assert candidate.reason in page.words
    assert page.tags.count("details") == 2
    assert page.tags.count("table") == 3


def test_what_comes_from_names_and_values_is_no_markup(store: Store) -> None:
    bad = "<script>alert('x')&amp;"
    store.local_db.add([record("<img src=x onerror=alert(1)>.fits", 60001.0, lamp=bad)])
    html = store.explain(
        {"mjd_start": 60000.0, "lamp": bad}, CalibrationSelector(cal_type="dark", match=("lamp",), max_age=timedelta(0))
    )._repr_html_()
    page = Page(html)
    assert not {"script", "img"} & set(page.tags)
    assert page.attributes == {"class"}
    assert bad in page.words
    assert "<img src=x onerror=alert(1)>.fits" in page.words


def test_it_needs_no_other_file_and_takes_the_colours_of_the_page(store: Store) -> None:
    html = store.explain({"mjd_start": 60000.0}, CalibrationSelector(cal_type="dark"))._repr_html_()
    assert not any(word in html for word in ("http", "url(", "@import", "src=", "href="))
    assert "color: inherit; background: transparent" in html
