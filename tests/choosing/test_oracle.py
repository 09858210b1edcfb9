"""The engine against the oracle on random tables, for each way of asking."""

from __future__ import annotations

import math
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from koa_middleware import (
    CalibrationNotFoundError,
    CalibrationStore,
    HeaderError,
)
from koa_middleware.remote.postgres.schema import initialise
from sqlalchemy import Connection, create_engine, event, insert, make_url, text

from tests.choosing.oracle import (
    Lacking,
    Row,
    best,
    bracket_of,
    candidates_of,
    step_of,
    weight_of,
)
from tests.choosing.random_rules import BRACKET, SINGLE, Case, Sample, cases, iso, selector_of
from tests.choosing.test_oracle_by_hand import BRACKETED, FRAME, RANKED
from tests.conftest import repetitions

pytestmark = pytest.mark.filterwarnings("ignore::koa_middleware.FallbackWarning")

#: Kinds of answer besides ids.
NOTHING, LACKING = "nothing", "the frame lacks a value"

FEW = settings(max_examples=repetitions(15, 3000))

Store = CalibrationStore[Sample]


def fill(connection: Connection, rows: list[Row]) -> None:
    """Put rows into an emptied table, past the checks of a registration."""
    connection.execute(text(f"DELETE FROM {Sample.table().name}"))
    if rows:
        whole = dict.fromkeys(Sample.column_names()) | {"last_updated": "2023-02-25T00:00:00.000000"}
        connection.execute(insert(Sample.table()), [whole | each for each in rows])


def hurry(connection: Any, _: Any) -> None:
    """Don't wait for the disk."""
    connection.execute("PRAGMA synchronous=OFF")
    connection.execute("PRAGMA journal_mode=MEMORY")


@contextmanager
def local_store() -> Iterator[tuple[Store, Callable[[list[Row]], None]]]:
    """A store, and a function that fills its SQLite database."""
    with tempfile.TemporaryDirectory() as folder, CalibrationStore(Sample, Path(folder)) as store:
        store.local_db.close()
        event.listen(store.local_db.engine, "connect", hurry)

        def filling(rows: list[Row]) -> None:
            with store.local_db.engine.execution_options(sqlite_begin="IMMEDIATE").begin() as connection:
                fill(connection, rows)

        yield store, filling


@pytest.fixture(scope="module")
def local() -> Iterator[tuple[Store, Callable[[list[Row]], None]]]:
    with local_store() as found:
        yield found


@pytest.fixture(scope="module")
def remote(postgres_url: str) -> Iterator[tuple[Store, Callable[[list[Row]], None]]]:
    """A store on an archive, and a function that fills the archive's PostgreSQL database."""
    name = f"koa_test_{uuid.uuid4().hex[:12]}"
    server = make_url(postgres_url).set(drivername="postgresql+psycopg2")
    owner = create_engine(server, isolation_level="AUTOCOMMIT")
    with owner.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine = create_engine(server.set(database=name))
    initialise(engine, Sample)

    def filling(rows: list[Row]) -> None:
        with engine.begin() as connection:
            connection.execute(text("SET LOCAL session_replication_role = replica"))  # no triggers, for speed
            fill(connection, rows)

    with (
        tempfile.TemporaryDirectory() as folder,
        CalibrationStore(Sample, Path(folder), remote_database_url=_address(postgres_url, name)) as store,
    ):
        yield store, filling
    engine.dispose()
    with owner.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    owner.dispose()


def _address(url: str, database: str) -> str:
    return make_url(url).set(database=database).render_as_string(hide_password=False)


def said(call: Callable[..., Any], *asked: Any, **options: Any) -> Any:
    """What the engine answers, an error as its kind."""
    try:
        return named(call(*asked, **options))
    except (HeaderError, CalibrationNotFoundError) as error:
        return named(error)


def winner_of(store: Store, frame: Row, selector: Any) -> Any:
    return store.explain(frame, selector).winner


def winners_of(store: Store, frame: Row, selector: Any) -> Any:
    return tuple(store.explain(frame, selector).winners)


def named(answer: Any) -> Any:
    """An answer with ids in the place of records."""
    match answer:
        case HeaderError():
            return LACKING
        case None | (None, None) | () | CalibrationNotFoundError():
            return NOTHING
        case Sample():
            return answer.id
        case dict():
            return answer["id"]
        case tuple() | list():
            return tuple(None if each is None else named(each) for each in answer)
        case _:
            raise answer if isinstance(answer, Exception) else AssertionError(answer)


def expected(oracle: Callable[..., Any], case: Case) -> list[Any]:
    """What the oracle answers for each frame."""

    def of(frame: Row) -> Any:
        try:
            return named(oracle(case.rows, frame, case.rule))
        except Lacking:
            return LACKING

    return [of(frame) for frame in case.frames]


#: Columns of time.
TIMES = ("mjd_start", "mjd_mid", "valid_from", "valid_to")


def at_an_archive(case: Case) -> Case:
    """The case without rows that an archive does not give, whatever asks for them: those with a time that is none."""
    finite = [row for row in case.rows if all(row[name] is None or math.isfinite(row[name]) for name in TIMES)]
    return case._replace(rows=finite)


@FEW
@given(case=cases(SINGLE + BRACKET))
def test_a_selection_on_sqlite_gives_the_oracles_answer(local: Any, case: Case) -> None:
    store, filling = local
    filling(case.rows)
    selector = selector_of(case.rule)
    assert [said(store.select, frame, selector) for frame in case.frames] == expected(best, case)


@FEW
@given(case=cases(SINGLE + BRACKET))
def test_a_selection_on_postgresql_gives_the_oracles_answer(remote: Any, case: Case) -> None:
    store, filling = remote
    case = at_an_archive(case)
    filling(case.rows)
    selector = selector_of(case.rule)
    assert [said(store.select, frame, selector, source="remote") for frame in case.frames] == expected(best, case)


@FEW
@given(case=cases(SINGLE + BRACKET))
def test_a_batch_gives_the_oracles_answers(local: Any, case: Case) -> None:
    store, filling = local
    filling(case.rows)
    selector = selector_of(case.rule)
    found = said(store.select_many, case.frames, selector, return_exceptions=True)
    assert list(found) == expected(best, case)


@FEW
@given(case=cases(("nearest", "nearest prefer", "before prefer", "bracket prefer")))
def test_a_chosen_record_tells_the_oracles_step(local: Any, case: Case) -> None:
    assume(case.rule.direction != "bracket" or not case.rule.same)
    store, filling = local
    filling(case.rows)
    selector = selector_of(case.rule)
    for frame, answer in zip(case.frames, expected(best, case), strict=True):
        if answer not in (NOTHING, LACKING):
            row = next(row for row in case.rows if row["id"] == answer)
            step = step_of(row, case.rows, frame, case.rule)
            record = store.select(frame, selector)
            assert (record.choice.step, record.is_fallback) == (step, step not in (None, 1))


@FEW
@given(case=cases(BRACKET))
def test_a_bracket_is_the_oracles_pair(local: Any, remote: Any, case: Case) -> None:
    case = at_an_archive(case)
    answers = expected(bracket_of, case)
    for (store, filling), source in ((local, "local"), (remote, "remote")):
        filling(case.rows)
        selector = selector_of(case.rule)
        found = [said(store.select_bracket, frame, selector, source=source) for frame in case.frames]
        assert found == answers, source


@FEW
@given(case=cases(BRACKET))
def test_a_brackets_weight_is_the_oracles(local: Any, case: Case) -> None:
    assume(case.rule.anchor is None)
    store, filling = local
    filling(case.rows)
    selector = selector_of(case.rule)
    for frame, answer in zip(case.frames, expected(bracket_of, case), strict=True):
        if answer not in (NOTHING, LACKING):
            weight = weight_of(bracket_of(case.rows, frame, case.rule), frame, case.rule)
            assert store.select_bracket(frame, selector).weight == pytest.approx(weight)


@FEW
@given(case=cases(SINGLE + BRACKET))
def test_candidates_are_the_oracles_in_its_order(local: Any, case: Case) -> None:
    store, filling = local
    filling(case.rows)
    selector = selector_of(case.rule)
    assert [said(store.candidates, frame, selector) for frame in case.frames] == expected(candidates_of, case)


@FEW
@given(case=cases(SINGLE))
def test_an_explanation_names_the_oracles_winner(local: Any, case: Case) -> None:
    store, filling = local
    filling(case.rows)
    selector = selector_of(case.rule)
    assert [said(winner_of, store, frame, selector) for frame in case.frames] == expected(best, case)


@FEW
@given(case=cases(BRACKET))
def test_an_explanation_of_a_bracket_names_the_oracles_two_winners(local: Any, case: Case) -> None:
    store, filling = local
    filling(case.rows)
    selector = selector_of(case.rule)
    found = [said(winners_of, store, frame, selector) for frame in case.frames]
    told = [each if isinstance(each, str) else {*each} for each in found]
    assert told == [each if isinstance(each, str) else {*each} - {None} for each in expected(bracket_of, case)]


def stored(row: Row) -> Row:
    """A row of a case by hand as a table holds it, in which each has a time."""
    start = -math.inf if row["mjd_start"] is None else row["mjd_start"]
    return {**row, "mjd_start": start, "datetime_obs": iso(start), "origin": "LOCAL", "master_cal": False}


@pytest.mark.parametrize(("case", "expected"), RANKED)
def test_the_engine_ranks_as_worked_out_by_hand(local: Any, case: dict[str, Any], expected: list[str]) -> None:
    store, filling = local
    filling([stored(row) for row in case["rows"]])
    selector = selector_of(case["rule"])
    assert said(store.candidates, FRAME, selector) == (tuple(expected) or NOTHING)
    assert said(store.select, FRAME, selector) == (expected[0] if expected else NOTHING)


@pytest.mark.parametrize(("case", "expected"), BRACKETED)
def test_the_engine_brackets_as_worked_out_by_hand(local: Any, case: dict[str, Any], expected: Any) -> None:
    store, filling = local
    filling([stored(row) for row in case["rows"]])
    selector = selector_of(replace(case["rule"], direction="bracket"))
    *pair, nearer = expected
    assert said(store.select_bracket, FRAME, selector) == (tuple(pair) if nearer else NOTHING)
    assert said(store.select, FRAME, selector) == (nearer or NOTHING)
