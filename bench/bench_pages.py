"""Pages of a list of a million calibrations, wherever in it, and whatever is searched for."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

from koa_middleware.instrument.times import iso_from_mjd
from koa_middleware.server.pages.search import Place, Search
from koa_middleware.server.pages.walk import find
from made import FIRST_MJD, PER_DAY, filled_store
from measuring import Row, at_most, medians

#: Seconds that a page of a list may take, however long the list is.
LIMIT_S = 0.1

NAMES = ("filename", "cal_type", "datetime_obs", "quality", "instrument_era", "spectrograph", "cal_version", "origin")


def rows(quick: bool) -> Iterable[Row]:
    """Each page is found anew; what is looked for and is not there takes the longest."""
    size, rounds = (10_000, 3) if quick else (1_000_000, 15)
    days = [FIRST_MJD + part * size / PER_DAY for part in (0.40, 0.41)]
    middle, end = map(iso_from_mjd, days)
    searches = {
        "the first page": Search(),
        "a page in the middle": Search(after=Place(middle, "a").to_text()),
        "of a type": Search(cal_type="dark"),
        "of a type, in the middle": Search(cal_type="dark", after=Place(days[0], "a").to_text()),
        "by file name": Search(sort="filename"),
        "of a quality": Search(quality="BAD"),
        "of a value that no row has": Search(pairs=(("spectrograph", "none"),)),
        "of a type, of a value that no row has": Search(cal_type="dark", pairs=(("spectrograph", "none"),)),
        "of some days, by any column": Search(since=middle, until=end, sort="-koa_id"),
    }
    with tempfile.TemporaryDirectory() as folder, filled_store(Path(folder), size) as store:
        found = medians({name: partial(_page, store, search) for name, search in searches.items()}, rounds)
        for name in searches:
            yield at_most(name, found[name], LIMIT_S)


def _page(store: Any, search: Search, _: int) -> object:
    return find(store.known_db, search, NAMES)
