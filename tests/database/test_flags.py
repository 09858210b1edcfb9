"""Who judges a calibration, and why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from koa_middleware import CalibrationStore
from koa_middleware.database.feed import judgements_of

from tests.conftest import record


def test_a_user_whose_name_is_not_utf8_can_flag(
    open_demo: Callable[..., CalibrationStore[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("LOGNAME", "USER"):
        monkeypatch.setenv(variable, "andr\udce9")
    store = open_demo()
    store.local_db.add(record("a.fits"))
    store.flag("a.fits", "BAD", "light leak")
    with store.local_db.connect() as connection:
        (judgement,) = judgements_of(connection, store.orm_class, store.query(filename="a.fits")[0].id)
    assert judgement.who == "andr\\udce9"
