"""A gap is where a selection finds nothing, and nowhere else: on random rules and tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from koa_middleware import CalibrationNotFoundError, CalibrationStore, Coverage, HeaderError, InstrumentPlugin
from koa_middleware.reports.coverage.moments import Span, days_of, moment_of
from koa_middleware.reports.coverage.report import CoverageGroup

from tests.choosing.oracle import Row
from tests.choosing.random_rules import BRACKET, SINGLE, Case, Sample, cases, selector_of, times_of
from tests.choosing.test_oracle import local_store
from tests.conftest import repetitions

pytestmark = pytest.mark.filterwarnings("ignore::koa_middleware.FallbackWarning")

Store = CalibrationStore[Sample]

#: Frames of a group that are asked for.
FRAMES = 16


@pytest.fixture(scope="module")
def local() -> Iterator[tuple[Store, Callable[[list[Row]], None]]]:
    with local_store() as found:
        yield found


def moments(group: CoverageGroup, whole: Span, seed: int) -> list[int]:
    """Times of frames: around the ends of gaps, within gaps, and around the times of the table."""
    random = Random(seed)
    edges = [edge + more for gap in group.gaps for edge in gap for more in (-1, 0, 1)]
    middles = [(gap.start + gap.end) // 2 for gap in group.gaps]
    others = [
        moment_of(random.choice(times_of(seed)) + random.choice([0, 0.1, -0.1, 0.125])) + random.choice([-1, 0, 1])
        for _ in range(FRAMES // 2)
    ]
    asked = sorted({each for each in (*edges, *middles, *others) if whole.start <= each < whole.end})
    return asked if len(asked) <= FRAMES else random.sample(asked, FRAMES)


def finds(store: Store, frame: Row, selector: Any) -> bool:
    try:
        store.select(frame, selector)
    except CalibrationNotFoundError:
        return False
    return True


@settings(max_examples=repetitions(15, 4000))
@given(case=cases(SINGLE + BRACKET), seed=st.integers(0, 2**32))
def test_a_selection_finds_nothing_in_gaps_and_something_beside_them(local: Any, case: Case, seed: int) -> None:
    store, filling = local
    filling(case.rows)
    selector = selector_of(case.rule)
    if case.rule.anchor is None:
        InstrumentPlugin(Sample, [selector])
    coverage: Coverage = store.coverage("flat", "2022-12-01", "2023-04-01")
    for group in coverage.groups:
        asked = moments(group, coverage.whole, seed)
        frames = [{**group.values, **dict.fromkeys(("mjd_start", "mjd_mid"), days_of(each))} for each in asked]
        try:
            found = [finds(store, frame, selector) for frame in frames]
        except HeaderError:  # there is nothing of which the values that a frame lacks here could be
            assert list(group.gaps) == [coverage.whole]
            continue
        told = [not any(gap.start <= each < gap.end for gap in group.gaps) for each in asked]
        assert found == told, group
