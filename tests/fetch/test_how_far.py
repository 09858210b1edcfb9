"""How far work came that was not ended."""

from __future__ import annotations

from contextlib import suppress

from koa_middleware.fetch.progress import counted, how_far


def interrupted_at(number: int, total: int | None) -> None:
    for item in counted(range(7), total, "file"):
        if item == number:
            raise KeyboardInterrupt


def test_work_that_was_not_ended_says_how_far_it_came() -> None:
    with suppress(KeyboardInterrupt):
        interrupted_at(3, 7)
    assert how_far() == "3 of 7 files"
    with suppress(KeyboardInterrupt):
        interrupted_at(1, None)
    assert how_far() == "1 file"


def test_work_that_came_to_its_end_says_nothing_of_it() -> None:
    assert list(counted("ab", 2, "file")) == ["a", "b"]
    assert how_far() == ""
