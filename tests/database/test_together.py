"""One statement for many parameters: what each gives by itself, by the index, whatever SQLite knows of the table."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from koa_middleware import CalibrationSelector, CalibrationStore
from koa_middleware.choosing.selector import ruling_of
from koa_middleware.database import together
from koa_middleware.database.together import gives_one_row, read_together
from sqlalchemy import select

from tests.conftest import DemoCalibration, record

Store = CalibrationStore[DemoCalibration]
RULE = CalibrationSelector(cal_type="dark", match=("spectrograph",), match_if_known=("era",))


def made(number: int) -> list[DemoCalibration]:
    pick = random.Random(number)
    spectrographs, eras = ("BSPEC", "RSPEC", None), ("1", "2", None)
    return [
        record(
            f"{n}.fits",
            60000.0 + pick.randrange(200) / 4,
            spectrograph=pick.choice(spectrographs),
            era=pick.choice(eras),
        )
        for n in range(number)
    ]


def asked(number: int) -> tuple[Any, list[dict[str, Any]]]:
    """The statement of a rule, and parameters of random frames, of which some know no era."""
    pick, ruling = random.Random(number), ruling_of(RULE, DemoCalibration)
    frames = [
        {"mjd_start": 60000.0 + pick.randrange(200) / 8, "spectrograph": pick.choice(("BSPEC", "RSPEC", "NEW"))}
        | ({"era": pick.choice(("1", "2"))} if pick.random() < 0.5 else {})
        for _ in range(number)
    ]
    framed = [ruling.frame(each) for each in frames]
    (plan,) = ruling.settled(framed[0])[1]
    return plan.answers[0], [plan.parameters(each) for each in framed]


def test_each_gets_what_it_gets_by_itself_in_any_order_and_portion(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.local_db.add(made(300))
    statement, parameters = asked(100)
    parameters += parameters[:3]
    singly = [[each.id for each in store.local_db.fetch(statement, one)] for one in parameters]
    assert [] in singly
    for portion in (1, 7, 250):
        monkeypatch.setattr(together, "_AT_ONCE", portion)
        found = store.local_db.fetch_many(statement, parameters, rows=False)
        assert [[each.id for each in one] for one in found] == singly


@pytest.mark.parametrize("analysed", [False, True])
def test_calibrations_are_never_read_from_end_to_end(
    open_demo: Callable[..., Store], tmp_path: Path, analysed: bool
) -> None:
    """Without statistics SQLite guesses, and may guess otherwise in another database."""
    for number in range(1, 11):
        store = open_demo(tmp_path / f"cache{number}")
        store.local_db.add(made(20 * number + 1))
        with store.local_db.driver_connection() as connection:
            if analysed:
                connection.execute("ANALYZE")
            plans: list[str] = []

            def explained(sql: str, values: Any, connection: Any = connection, plans: list[str] = plans) -> list[Any]:
                plans += [row[-1] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", values)]
                return []

            read_together(*asked(50), explained)
        table = DemoCalibration.table().name
        assert [plan for plan in plans if plan.startswith("SCAN") and table in plan] == []
        assert any(f"SEARCH {table} USING INDEX" in plan for plan in plans)


def test_only_what_gives_one_row_of_a_table_is_asked_together() -> None:
    table = DemoCalibration.table()
    assert gives_one_row(select(table).order_by(table.c.id).limit(1))
    assert not gives_one_row(select(table).order_by(table.c.id).limit(2))
    assert not gives_one_row(select(table))
    assert not gives_one_row(select(table.c.id).limit(1))
    assert not gives_one_row(select(table.alias()).limit(1))
