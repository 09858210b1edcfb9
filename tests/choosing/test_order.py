"""The order of calibrations that fit, in SQL and in Python: the same on random records with ties and nulls."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from koa_middleware.choosing.order import in_order, order_by, order_of_equals
from koa_middleware.instrument.orm import TEXT
from sqlalchemy import Column, Engine, Float, MetaData, Table, create_engine, delete, insert, make_url, select
from sqlalchemy.pool import StaticPool

from tests.conftest import repetitions

ASKED = 60000.0

#: As an instrument's, but that all of it may be null.
TABLE = Table(
    "order_of_ties",
    MetaData(),
    Column("id", TEXT, primary_key=True),
    Column("mjd_mid", Float),
    Column("cal_version", TEXT),
)

TIMES = st.sampled_from([None, *(ASKED + days for days in (0, 0.5, -0.5, 1e-9, -1e-9, 40, -40)), math.inf, -math.inf])
VERSIONS = st.sampled_from([None, "001", "002", "010", "100"])
IDS = st.lists(st.text("abAB-1_é", min_size=1, max_size=3), unique=True, max_size=12)
ROWS = IDS.flatmap(
    lambda ids: st.tuples(
        *(st.fixed_dictionaries({"id": st.just(i), "mjd_mid": TIMES, "cal_version": VERSIONS}) for i in ids)
    )
)


@pytest.fixture(scope="module", params=["SQLite", "PostgreSQL"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    if request.param == "SQLite":
        made = create_engine("sqlite://", poolclass=StaticPool)
    else:
        url = make_url(request.getfixturevalue("postgres_url")).set(drivername="postgresql+psycopg2")
        made = create_engine(url, connect_args={"options": "-c search_path=pg_temp"}, poolclass=StaticPool)
    TABLE.create(made)
    yield made
    made.dispose()


@settings(max_examples=repetitions(60, 3000))
@given(rows=ROWS)
def test_sql_and_python_give_the_same_order(engine: Engine, rows: tuple[dict[str, Any], ...]) -> None:
    columns = dict(TABLE.c.items())
    with engine.begin() as connection:
        connection.execute(delete(TABLE))
        if rows:
            connection.execute(insert(TABLE), list(rows))
        by_sql = connection.execute(select(TABLE.c.id).order_by(*order_by(columns, "mjd_mid", ASKED))).scalars().all()
        equals = connection.execute(select(TABLE.c.id).order_by(*order_of_equals(columns))).scalars().all()
    assert [row["id"] for row in in_order(reversed(rows), "mjd_mid", ASKED)] == by_sql
    same_time = [{**row, "mjd_mid": ASKED} for row in rows]
    assert [row["id"] for row in in_order(same_time, "mjd_mid", ASKED)] == equals


def row(id: str, days: float | None, version: str | None = "001") -> dict[str, Any]:
    return {"id": id, "mjd_mid": None if days is None else ASKED + days, "cal_version": version}


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (row("b", -1), row("a", 2)),  # nearer
        (row("b", -1), row("a", 1)),  # earlier
        (row("b", 1, "010"), row("a", 1, "002")),  # newer version
        (row("a", 1), row("b", 1)),  # lower id
        (row("b", 40), row("a", None)),
        (row("b", 1, "001"), row("a", 1, None)),
    ],
)
def test_the_order_is_nearest_then_earlier_then_newest_version_then_lowest_id(
    better: dict[str, Any], worse: dict[str, Any]
) -> None:
    assert in_order([worse, better], "mjd_mid", ASKED) == [better, worse]
    assert in_order([better, worse], "mjd_mid", ASKED) == [better, worse]
