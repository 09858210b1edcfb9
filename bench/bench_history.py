"""Asking for a state of the past beside asking for the present one."""

from __future__ import annotations

import random
import sqlite3
import tempfile
import warnings
from collections.abc import Callable, Iterable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from bench_rules import INSERT, PER_DAY, RULES, TABLE, RulesCalibration, made_rows
from koa_middleware import CalibrationStore, FallbackWarning
from koa_middleware.database.feed import feed_paused
from koa_middleware.plugins import InstrumentPlugin
from made import FIRST_MJD
from measuring import Row, at_most, medians, row

#: How often each changed record changes, and of how many records one does.
CHANGES, ONE_OF = 10, 10

#: States: between the changes, after all but a few, and after all of them.
STATES = {"amid the changes": 0.55, "after nearly all": 0.9999, "after all": 1.01}


def rows(quick: bool) -> Iterable[Row]:
    """The answers are the same then as now, since only a column changed that no rule asks for."""
    size, rounds = (10_000, 50) if quick else (1_000_000, 300)
    pick = random.Random(size)
    asked = [(pick.choice(("blue", "red")), FIRST_MJD + pick.random() * size / PER_DAY) for _ in range(rounds + 30)]
    warnings.simplefilter("ignore", FallbackWarning)  # of steps
    InstrumentPlugin(RulesCalibration, tuple(RULES[name] for name in ("nearest", "within", "validity", "anchor")))
    with tempfile.TemporaryDirectory() as folder, CalibrationStore(RulesCalibration, folder) as store:
        _fill(store.local_db.path, size)
        times = {name: _time(int(size / ONE_OF * CHANGES * part)) for name, part in STATES.items()}
        calls = {
            (name, state): partial(_one, store, name, asked, as_of)
            for name in RULES
            for state, as_of in {"now": None, **times}.items()
        }
        _check(calls)
        found = medians({f"{name}, {state}": call for (name, state), call in calls.items()}, rounds, warm_up=20)
        for name, state in calls:
            if state != "now":
                yield row(f"{name}, {state}", found[f"{name}, {state}"], "now", found[f"{name}, now"], 4)
        frames = [_frame(*each) for each in asked]
        batch = {state: partial(_many, store, frames, as_of) for state, as_of in {"now": None, **times}.items()}
        found = medians(batch, 5)
        for state in times:
            yield row(f"a batch of {len(frames)}, {state}", found[state], "now", found["now"], 4)
        found = medians({state: partial(_opened, store, as_of) for state, as_of in times.items()}, 5)
        for state in times:
            yield at_most(f"the first selection, {state}", found[state], 0.05)


def _time(seconds: int) -> str:
    with closing(sqlite3.connect(":memory:")) as connection:
        sql = "SELECT strftime('%Y-%m-%dT%H:%M:%S.000000', '2025-02-01', printf('+%d seconds', ?))"
        return str(connection.execute(sql, (seconds,)).fetchone()[0])


def _fill(database: Path, size: int) -> None:
    """Write rows, their entries, and the former versions of those that changed, all by hand, which is quicker."""
    many = size // ONE_OF
    at = (
        "strftime('%Y-%m-%dT%H:%M:%S.000000', '2025-02-01',"
        f" printf('+%d seconds', {many} * ({{}}) + (t._rowid_ / {ONE_OF} * 7919) % {many}))"
    )
    columns = ", ".join(RulesCalibration.column_names())
    each = f"FROM {TABLE} AS t, json_each('{list(range(CHANGES))}') AS k WHERE t._rowid_ % {ONE_OF} = 0"
    former = f"INSERT INTO {TABLE}_history (koa_since, koa_until, {columns}) SELECT"
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA cache_size = -1000000")  # kB
        connection.execute("BEGIN")
        connection.execute(f"UPDATE {TABLE}_feed SET at = '2025-01-01T00:00:00.000000'")
        with feed_paused(connection, RulesCalibration):
            connection.executemany(INSERT, made_rows(size))
        added = "'2025-01-01T01:00:00.000000'"
        entry = f"INSERT INTO {TABLE}_feed (id, op, at, quality)"
        connection.execute(f"{entry} SELECT id, 'added', {added}, quality FROM {TABLE}")
        since = f"CASE k.value WHEN 0 THEN {added} ELSE {at.format('k.value - 1')} END"
        until = at.format("k.value")
        connection.execute(f"{former} {since}, {until}, t.{columns.replace(', ', ', t.')} {each} ORDER BY 2")
        connection.execute(f"{entry} SELECT id, 'changed', koa_until, quality FROM {TABLE}_history ORDER BY koa_n")
        connection.execute("COMMIT")


def _frame(arm: str, time: float) -> dict[str, Any]:
    return {"arm": arm, "mjd_start": time, "exposure_time": 30.0}


def _one(store: Any, name: str, asked: list[tuple[str, float]], as_of: str | None, number: int) -> list[str]:
    frame = _frame(*asked[number])
    if RULES[name].direction == "bracket":
        return [each.id for each in store.select_bracket(frame, RULES[name], as_of=as_of) if each is not None]
    return [store.select(frame, RULES[name], as_of=as_of).id]


def _many(store: Any, frames: list[dict[str, Any]], as_of: str | None, _: int) -> list[str]:
    return [each.id for each in store.select_many(frames, RULES["nearest"], as_of=as_of)]


def _opened(store: Any, as_of: str, number: int) -> None:
    with CalibrationStore(RulesCalibration, store.cache_dir) as another:
        another.select(_frame("red", FIRST_MJD + number), RULES["nearest"], as_of=as_of)


def _check(calls: dict[tuple[str, str], Callable[[int], list[str]]]) -> None:
    for (name, state), call in calls.items():
        for number in range(20):
            if call(number) != calls[name, "now"](number):
                raise RuntimeError(f"{name}: the selection {state} differs from the present one")
