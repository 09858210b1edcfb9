"""A list is walked page by page, forwards and back, whatever it is sorted by, however little a page looks at."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from koa_middleware import CalibrationStore
from koa_middleware.exceptions import ConfigurationError

from tests.conftest import DemoCalibration, record


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CalibrationStore[DemoCalibration]]:
    """Give a store with many equal times, values and nulls."""
    pick = random.Random(5)
    with CalibrationStore(DemoCalibration, tmp_path_factory.mktemp("cache")) as store:
        store.local_db.add(
            [
                record(
                    f"{pick.choice('abc')}.{number:03}.fits",
                    60000.0 + pick.randrange(40) / 4,
                    cal_type=pick.choice(("dark", "dark", "flat")),
                    quality=pick.choice(("GOOD", "BAD")),
                    amplifiers=pick.choice((None, 1, 2)),
                    exposure_time=pick.choice((None, 1.5, 30.0)),
                    cooled=pick.choice((None, True, False)),
                    era=pick.choice((None, "1", "2")),
                )
                for number in range(120)
            ]
        )
        yield store


@pytest.fixture
def pages_of(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Callable[..., Any]]:
    """Give a function that makes pages small, and what a page looks at."""
    from koa_middleware.server.pages import walk

    def small(*, is_wide: bool) -> Callable[..., Any]:
        monkeypatch.setattr(walk, "PAGE", 7)
        monkeypatch.setattr(walk, "PORTION", 11)
        monkeypatch.setattr(walk, "BUDGET", 0.0)
        monkeypatch.setattr(walk, "MOST_SORTED", 10 if is_wide else 1000)
        return walk.find

    return small


def walked(find: Callable[..., Any], store: Any, search: Any, towards: str) -> tuple[list[str], Any]:
    """Follow pages to the end; gives the names in the order of the list, and the last page."""
    from dataclasses import replace

    names: list[str] = []
    for _ in range(100):
        found = find(store.known_db, search, ("filename",))
        here = [row["filename"] for row in found.rows]
        names = names + here if towards == "after" else here + names
        place = found.next if towards == "after" else found.previous
        if place is None:
            return names, found
        search = replace(search, **{"after": "", "before": "", towards: place.to_text()})
    raise AssertionError("the pages have no end")


def expected(store: Any, search: Any) -> list[str]:
    """Sort and filter in Python."""
    kept = [
        each
        for each in store.query()
        if search.cal_type in ("", each.cal_type)
        and search.quality in ("", each.quality)
        and all(("" if each[name] is None else str(each[name])) == value for name, value in search.pairs)
    ]
    falls, column = search.is_descending, search.sorted_by
    known = sorted((each for each in kept if each[column] is not None), key=lambda each: (each[column], each.id))
    nulls = sorted((each for each in kept if each[column] is None), key=lambda each: each.id)
    return [each.filename for each in ((known[::-1] + nulls[::-1]) if falls else (known + nulls))]


WIDE = [
    {},
    {"sort": "datetime_obs"},
    {"cal_type": "dark"},
    {"cal_type": "dark", "sort": "datetime_obs"},
    {"quality": "BAD", "pairs": (("era", "2"),)},
    {"cal_type": "dark", "quality": "BAD", "pairs": (("amplifiers", ""), ("cooled", "True"))},
    {"pairs": (("era", "none"),)},
    {"sort": "filename"},
    {"sort": "-filename", "quality": "GOOD"},
    {"sort": "filename", "cal_type": "flat", "pairs": (("era", "1"),)},
]
FEW = [
    *WIDE,
    {"sort": "amplifiers"},
    {"sort": "-amplifiers", "cal_type": "dark"},
    {"sort": "exposure_time", "quality": "GOOD"},
    {"sort": "-exposure_time"},
    {"sort": "cooled"},
    {"sort": "-era", "pairs": (("cooled", ""),)},
]


@pytest.mark.parametrize(
    ("is_wide", "asked"), [*((True, each) for each in WIDE), *((False, each) for each in FEW)], ids=str
)
def test_pages_give_each_calibration_once_and_in_order(
    filled: Any, pages_of: Callable[..., Any], is_wide: bool, asked: dict[str, Any]
) -> None:
    from dataclasses import replace

    from koa_middleware.server.pages.search import Search

    find, search = pages_of(is_wide=is_wide), Search(**asked)
    names, last = walked(find, filled, search, "after")
    assert names == expected(filled, search)
    back, _ = (
        walked(find, filled, replace(search, before=last.previous.to_text()), "before") if last.previous else ([], None)
    )
    assert back == names[: len(back)]
    shown_last = [row["filename"] for row in last.rows]
    assert back + shown_last == names


@pytest.mark.parametrize("cal_type", ["", "dark"])
def test_a_list_that_grows_meanwhile_goes_on_where_it_was(
    filled: Any, pages_of: Callable[..., Any], cal_type: str
) -> None:
    from koa_middleware.server.pages.search import Search

    search = Search(cal_type=cal_type)
    place = pages_of(is_wide=False)(filled.known_db, search, ("filename",)).next.to_text()
    found = pages_of(is_wide=True)(filled.known_db, Search(cal_type=cal_type, after=place), ("filename",))
    assert [row["filename"] for row in found.rows] == expected(filled, search)[7:14]


@pytest.mark.parametrize("place", ["[null,null]", '[null,""]', '[true,"x"]', '[false,""]'])
def test_any_place_in_an_order_can_be_asked_for(filled: Any, pages_of: Callable[..., Any], place: str) -> None:
    from koa_middleware.server.pages.search import Search

    find = pages_of(is_wide=False)
    for towards in ("after", "before"):
        find(filled.known_db, Search(sort="cooled", **{towards: place}), ("filename",))


def test_so_many_are_sorted_by_time_and_name_alone(filled: Any, pages_of: Callable[..., Any]) -> None:
    from koa_middleware.server.pages.search import Search

    find = pages_of(is_wide=True)
    with pytest.raises(ConfigurationError, match="too many to sort by era"):
        find(filled.known_db, Search(sort="era"), ("filename",))


def test_a_search_that_finds_nothing_for_long_says_how_far_it_came(filled: Any, pages_of: Callable[..., Any]) -> None:
    from koa_middleware.server.pages.search import Search

    found = pages_of(is_wide=True)(filled.known_db, Search(pairs=(("era", "none"),)), ("filename",))
    newest = [each.datetime_obs for each in filled.query()][::-1]
    assert found.rows == []
    assert found.looked_until == newest[11]
