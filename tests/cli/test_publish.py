"""``koa-cal publish``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Run = Callable[..., Any]


def test_a_version_that_is_taken_there_is_told_with_the_new_name(typed: Run, archive: Any, write: Run, at: Run) -> None:
    typed("remote", "init").ended(0)
    for person, exposure in (("ann", 1.0), ("bob", 2.0)):
        at(person)
        typed("register", write("dark.fits", 61083.0, "dark", EXPTIME=exposure)).ended(0)
        sent = typed("publish").ended(0)
    assert sent.out.splitlines() == ["1 published, 0 unchanged", "dark.fits is now dark.002.fits"]
    assert [one["cal_version"] for one in typed("list", "--json").json["records"]] == ["002"]
