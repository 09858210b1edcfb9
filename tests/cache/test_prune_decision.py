"""What pruning takes, each row a sentence; no disk is touched."""

from __future__ import annotations

import pytest
from koa_middleware.cache.prune_decision import CachedFile, Limits, choose, reason_to_go, reason_to_stay

DAY = 86400.0
NOTHING, ALL_DARKS = Limits(), Limits(cal_type="dark")
SMALL, OLD = Limits(max_size=100), Limits(older_than_days=2)


def file(name: str = "a", days: float = 3, size: int = 50, **more: object) -> CachedFile:
    return CachedFile(name, size, days * DAY, **{"cal_type": "dark", **more})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("facts", "limits", "reason"),
    [
        pytest.param({"origin": "LOCAL"}, OLD, "LOCAL", id="a LOCAL file stays"),
        pytest.param({"is_named_elsewhere": True}, OLD, "another instrument", id="a file of two instruments stays"),
        pytest.param({"cal_type": "flat"}, ALL_DARKS, "no dark", id="a file of another type stays"),
        pytest.param({"cal_type": None}, ALL_DARKS, "no dark", id="a withdrawn file is of no type"),
        pytest.param({}, ALL_DARKS, "", id="a file of the type may go"),
        pytest.param({"cal_type": None}, OLD, "", id="a withdrawn file may go"),
    ],
)
def test_some_files_stay_whatever_their_age_and_size(facts: dict[str, object], limits: Limits, reason: str) -> None:
    said = reason_to_stay(file(**facts), limits)  # type: ignore[arg-type]
    assert reason in said
    assert bool(said) == bool(reason)


@pytest.mark.parametrize(
    ("days", "limits", "size", "reason"),
    [
        pytest.param(3, NOTHING, 10**9, "", id="without limits nothing goes"),
        pytest.param(3, OLD, 0, "not used for 3.0 days", id="an old file goes"),
        pytest.param(2, OLD, 10**9, "", id="a file of just that age stays"),
        pytest.param(1, SMALL, 101, "too large", id="a file goes while all together are too large"),
        pytest.param(1, SMALL, 100, "", id="a file stays where all together fit"),
        pytest.param(0, ALL_DARKS, 0, "is a dark", id="a type alone means all of it"),
        pytest.param(1, Limits(100, None, "dark"), 100, "", id="a type narrows the size"),
        pytest.param(1, Limits(None, 2, "dark"), 0, "", id="a type narrows the age"),
    ],
)
def test_a_file_goes_when_it_exceeds_a_limit(days: float, limits: Limits, size: int, reason: str) -> None:
    said = reason_to_go(file(days=days), limits, size)
    assert reason in said
    assert bool(said) == bool(reason)


def test_what_was_not_used_for_longest_goes_first_and_no_more_than_is_needed() -> None:
    files = [file("new", 1), file("oldest", 9), file("old", 5), file("mine", 30, origin="LOCAL")]
    choice = choose(files, Limits(max_size=120))
    assert [each.filename for each in choice.going] == ["oldest", "old"]
    assert choice.size_left == 100


@pytest.mark.parametrize("facts", [{"is_open": True}, {"days": 0.001}], ids=["open", "just used"])
def test_a_file_in_use_stays_and_the_next_one_goes(facts: dict[str, object]) -> None:
    choice = choose([file("busy", **facts), file("b", 2)], Limits(max_size=50))  # type: ignore[arg-type]
    choice_of_all = choose([file("busy", **facts)], ALL_DARKS)  # type: ignore[arg-type]
    assert [each.filename for each in choice.going] == ["b"]
    assert [each.filename for each in choice_of_all.in_use] == ["busy"]
    assert choice_of_all.size_left == 50
