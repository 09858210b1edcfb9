"""The rules as SQL, against the same rules as plain Python that looks at every row."""

from __future__ import annotations

import math
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from koa_middleware import CalibrationNotFoundError, CalibrationSelector, ConfigurationError, HeaderError
from koa_middleware.choosing.selector import ruling_of
from koa_middleware.database.local import LocalDatabase
from sqlalchemy import Engine, create_engine, delete, event, insert
from sqlalchemy.orm import Session
from sqlalchemy.pool import StaticPool

from tests.conftest import DemoCalibration, record

FRAME_MJD = 60000.0
MICROSECOND = 1 / 86_400e6
DAY_MS = 86_400_000

# -- the oracle --------------------------------------------------------------------------------------------------------


class Rule(NamedTuple):
    match: tuple[str, ...]
    match_if_known: tuple[str, ...]
    require: dict[str, Any]
    max_age: timedelta | None
    direction: str
    time: str


def first_refusal(row: dict[str, Any], frame: dict[str, Any], rule: Rule) -> str | None:
    """Name of the rule that refuses a row first; None when it fits."""
    time = row[rule.time]
    if time is None or not math.isfinite(time):
        return rule.time
    for column in rule.match:
        if row[column] is None or row[column] != frame[column]:
            return column
    for column in rule.match_if_known:
        if None not in (row[column], frame[column]) and row[column] != frame[column]:
            return column
    for column, wanted in rule.require.items():
        if row[column] not in (wanted if isinstance(wanted, tuple) else (wanted,)):
            return column
    if row["quality"] == "BAD":
        return "quality"
    delta = time - frame[rule.time]
    half = 0.5 / DAY_MS
    if (rule.direction == "before" and delta > half) or (rule.direction == "after" and delta < -half):
        return "direction"
    if rule.max_age is not None and abs(delta) > rule.max_age / timedelta(days=1) + MICROSECOND:
        return "max_age"
    return None


def best(rows: list[dict[str, Any]], frame: dict[str, Any], rule: Rule) -> dict[str, Any] | None:
    """Nearest in time, then earlier, both to the millisecond, then newest version, then id."""
    winner = None
    for row in rows:
        if first_refusal(row, frame, rule) is None and (winner is None or precedes(row, winner, frame, rule)):
            winner = row
    return winner


def precedes(row: dict[str, Any], other: dict[str, Any], frame: dict[str, Any], rule: Rule) -> bool:
    asked, time, other_time = (in_ms(each[rule.time]) for each in (frame, row, other))
    near, far = abs(time - asked), abs(other_time - asked)
    if near != far:
        return near < far
    if time != other_time:
        return time < other_time
    if row["cal_version"] != other["cal_version"]:
        return row["cal_version"] > other["cal_version"]
    return row["id"] < other["id"]


def in_ms(days: float) -> float:
    return round(days * DAY_MS) if math.isfinite(days * DAY_MS) else days


# -- random tables -----------------------------------------------------------------------------------------------------

#: Days from the frame: on a coarse grid, with small steps that stand just inside and just outside of an age limit.
DISTANCES = [days + step for days in (0, 0.25, 1, 1.5, 2.5, 40) for step in (0, 1e-9, -1e-9, 3e-8, -3e-8)]

HOSTILE_TIMES = [math.inf, -math.inf, 1e308, -1e308, 0.0]

CHOICES: dict[str, list[Any]] = {
    "cal_type": ["dark", "dark", "dark", "dark", "flat"],
    "cal_version": ["001", "002", "010"],
    "quality": ["GOOD", "UNKNOWN", "BAD"],
    "master_cal": [True, False],
    "spectrograph": ["BSPEC", "BSPEC", "RSPEC", None],
    "amplifiers": [2, 2, 4, None],
    "era": ["1", "2", None],
    "lamp": ["thar", "lfc", "une", None],
}


def table(size: int, seed: int) -> list[dict[str, Any]]:
    """Rows at few times, so that many tie; a smaller table of a seed is the beginning of a larger one."""
    random = Random(seed)
    near = [FRAME_MJD + sign * days for days in random.sample(DISTANCES, 2) for sign in (1, -1)]
    times = [*near, *near, random.choice(HOSTILE_TIMES)]
    choices = {**CHOICES, "mjd_start": times, "mjd_mid": [*times, None]}
    ids = random.sample("abcdefghijklmnopqrstuvwxyz", 26)
    return [{"id": ids[n], **{name: random.choice(of) for name, of in choices.items()}} for n in range(size)]


ROWS = st.builds(table, size=st.integers(0, 16), seed=st.integers(0, 2**32))
FRAMES = st.fixed_dictionaries(
    {
        "mjd_start": st.just(FRAME_MJD),
        "mjd_mid": st.just(FRAME_MJD),
        "spectrograph": st.sampled_from(["BSPEC", "RSPEC"]),
        "amplifiers": st.sampled_from([2, 4]),
        "era": st.sampled_from(["1", "2", None]),
        "lamp": st.sampled_from(["thar", "lfc"]),
    }
)
RULES = st.builds(
    Rule,
    match=st.sampled_from([(), ("spectrograph",), ("amplifiers",), ("spectrograph", "amplifiers"), ("lamp",)]),
    match_if_known=st.sampled_from([(), ("era",), ("era", "lamp")]),
    require=st.sampled_from([{}, {}, {"master_cal": True}, {"lamp": ("thar", "lfc"), "master_cal": False}]),
    max_age=st.sampled_from([None, None, timedelta(0), timedelta(days=1), timedelta(days=2.5)]),
    direction=st.sampled_from(["nearest", "before", "after"]),
    time=st.sampled_from(["mjd_start", "mjd_mid"]),
)


def fill(engine: Engine, rows: list[dict[str, Any]]) -> None:
    """Put rows into an emptied table, past the checks of `add`."""
    table = DemoCalibration.table()
    whole = [
        dict.fromkeys(DemoCalibration.column_names())
        | {"filename": f"{row['id']}.fits", "datetime_obs": "2023-02-25T00:00:00.000", "origin": "LOCAL"}
        | {"cal_version": "001", "quality": "GOOD", "master_cal": False}
        | row
        for row in rows
    ]
    with engine.execution_options(sqlite_begin="IMMEDIATE").begin() as connection:
        connection.execute(delete(table))
        if whole:
            connection.execute(insert(table), whole)


def hurry(connection: Any, _: Any) -> None:
    """Don't wait for the disk."""
    connection.execute("PRAGMA synchronous=OFF")
    connection.execute("PRAGMA journal_mode=MEMORY")


@pytest.fixture(scope="module")
def database() -> Iterator[LocalDatabase[DemoCalibration]]:
    """Give a local database that does not wait for the disk."""
    with tempfile.TemporaryDirectory() as folder:
        made = LocalDatabase(DemoCalibration, Path(folder) / "demo.db")
        made.close()
        event.listen(made.engine, "connect", hurry)
        yield made
        made.close()


class BareDatabase:
    """A database of someone else's: nothing but what the contract asks of one."""

    orm_class = DemoCalibration

    def __init__(self) -> None:
        self._engine = create_engine("sqlite://", poolclass=StaticPool)
        DemoCalibration.metadata.create_all(self._engine)

    @contextmanager
    def session_manager(self) -> Iterator[Session]:
        with Session(self._engine) as session, session.begin():
            yield session


@pytest.fixture(scope="module")
def bare_database() -> Iterator[BareDatabase]:
    made = BareDatabase()
    yield made
    made._engine.dispose()


class ByMethods(CalibrationSelector):
    """Answered by its methods, not by the index: overriding them, if only to call them, takes that way."""

    def select_best(self, input: Any, candidates: Any) -> Any:
        return super().select_best(input, reversed(list(candidates)))


def chosen(selector: CalibrationSelector, frame: dict[str, Any], db: Any) -> str | None:
    try:
        return str(selector.select(frame, db).id)
    except CalibrationNotFoundError:
        return None


@given(rows=ROWS, frame=FRAMES, rule=RULES)
def test_the_index_and_the_methods_choose_what_a_look_at_every_row_chooses(
    database: LocalDatabase[DemoCalibration], rows: list[dict[str, Any]], frame: dict[str, Any], rule: Rule
) -> None:
    fill(database.engine, rows)
    expected = best([row for row in rows if row["cal_type"] == "dark"], frame, rule)
    answer = None if expected is None else expected["id"]
    assert chosen(CalibrationSelector(cal_type="dark", **rule._asdict()), frame, database) == answer
    assert chosen(ByMethods(cal_type="dark", **rule._asdict()), frame, database) == answer


@given(rows=ROWS, frame=FRAMES, rule=RULES, nearest=st.sampled_from([0, 1, 3, 20]))
def test_an_explanation_counts_what_a_look_at_every_row_counts(
    bare_database: BareDatabase, rows: list[dict[str, Any]], frame: dict[str, Any], rule: Rule, nearest: int
) -> None:
    fill(bare_database._engine, rows)
    of_type = {row["id"]: row for row in rows if row["cal_type"] == "dark"}
    winner = best(list(of_type.values()), frame, rule)
    outcomes = {name: first_refusal(row, frame, rule) or "farther" for name, row in of_type.items()}
    if winner is not None:
        outcomes[winner["id"]] = "chosen"

    told = CalibrationSelector(cal_type="dark", **rule._asdict()).explain(frame, bare_database, nearest)

    assert (told.winner.id if told.winner else None) == (winner["id"] if winner else None)
    assert told.total == len(of_type)
    assert told.counts == Counter(outcomes.values())
    assert len(told.candidates) == min(nearest, len(of_type))
    assert {each.record.id: each.rule for each in told.candidates}.items() <= outcomes.items()
    if winner is not None and nearest:
        assert told.candidates[0].record.id == winner["id"]

    def distance(name: str) -> float:
        time = of_type[name][rule.time]
        return math.inf if time is None else abs(in_ms(time) - in_ms(frame[rule.time]))

    others = [distance(name) for name in of_type if winner is None or name != winner["id"]]
    shown = [distance(each.record.id) for each in told.candidates if winner is None or each.record.id != winner["id"]]
    assert shown == sorted(others)[: len(shown)]


@given(rows=ROWS, frame=FRAMES, rule=RULES)
def test_a_database_of_a_class_and_a_session_manager_is_enough(
    bare_database: BareDatabase, rows: list[dict[str, Any]], frame: dict[str, Any], rule: Rule
) -> None:
    fill(bare_database._engine, rows)
    expected = best([row for row in rows if row["cal_type"] == "dark"], frame, rule)
    for kind in (CalibrationSelector, ByMethods):
        selector = kind(cal_type="dark", **rule._asdict())
        assert chosen(selector, frame, bare_database) == (None if expected is None else expected["id"])


@given(rows=ROWS, frame=FRAMES, rule=RULES)
def test_candidates_are_all_that_fit_best_first(
    database: LocalDatabase[DemoCalibration], rows: list[dict[str, Any]], frame: dict[str, Any], rule: Rule
) -> None:
    fill(database.engine, rows)
    left = [row for row in rows if row["cal_type"] == "dark"]
    expected = []
    while (winner := best(left, frame, rule)) is not None:
        expected.append(winner["id"])
        left.remove(winner)
    found = CalibrationSelector(cal_type="dark", **rule._asdict()).get_candidates(frame, database)
    assert [each.id for each in found] == expected


# -- the statement -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("direction", ["nearest", "before", "after"])
@pytest.mark.parametrize(
    ("rule", "index"),
    [
        ({"match": ("spectrograph",)}, "ix_demo_calibrations_cal_type_spectrograph_mjd_start"),
        ({"match": ("lamp",), "time": "mjd_mid"}, "ix_demo_calibrations_cal_type_lamp_mjd_mid"),
        ({}, "ix_demo_calibrations_cal_type_mjd_start"),
        (
            {"match": ("spectrograph",), "match_if_known": ("era",), "require": {"master_cal": True}},
            "ix_demo_calibrations_cal_type_spectrograph_mjd_start",
        ),
    ],
)
def test_a_selection_probes_an_index_thrice_and_reads_no_more(
    database: LocalDatabase[DemoCalibration], rule: dict[str, Any], index: str, direction: str
) -> None:
    selector = CalibrationSelector(cal_type="dark", direction=direction, **rule)
    ((_, (plan,)),) = ruling_of(selector, DemoCalibration).every()
    (statement,) = plan.answers
    with database.connect() as connection:
        compiled = statement.compile(connection, compile_kwargs={"render_postcompile": True})
        lines = [
            row[3]
            for row in connection.exec_driver_sql(
                f"EXPLAIN QUERY PLAN {compiled}",
                tuple(compiled.params.get(name) for name in compiled.positiontup or ()),
            )
        ]
    time = rule.get("time", "mjd_start")
    assert sum(index in line and f"{time}>? AND {time}<?" in line for line in lines) == 3, lines
    assert not any(line.startswith("SCAN") for line in lines), lines


def test_a_selection_reads_a_handful_of_twenty_thousand_rows(tmp_path: Path) -> None:
    database = LocalDatabase(DemoCalibration, tmp_path / "demo.db")
    row = {"cal_type": "dark", "spectrograph": "BSPEC"}
    fill(database.engine, [{**row, "id": str(n), "mjd_start": 50000 + n / 2} for n in range(20_000)])
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    selector = CalibrationSelector(cal_type="dark", match=("spectrograph",))
    frame = {"mjd_start": 55000.04, "spectrograph": "BSPEC"}
    with database.connect() as connection:
        connection.connection.dbapi_connection.set_progress_handler(count, 1)  # type: ignore[union-attr]
    assert selector.select(frame, database).mjd_start == 55000.0
    database.close()
    assert 0 < steps < 5000  # instructions of SQLite's virtual machine; a scan takes a hundred thousand


def test_a_selector_that_names_an_unknown_column_is_misdeclared(database: LocalDatabase[DemoCalibration]) -> None:
    for declared in ({"match": ("spektrograph",)}, {"require": {"mastercal": True}}, {"time": "mjd"}):
        with pytest.raises(ConfigurationError, match=r"spektrograph|mastercal|mjd"):
            CalibrationSelector(cal_type="dark", **declared).select({"mjd_start": 60000.0}, database)


# -- what a frame must say ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [None, "", "   ", "*", "%", "N/A", " n/a ", "None", math.nan])
@pytest.mark.parametrize("column", ["spectrograph", "amplifiers", "mjd_start"])
def test_a_frame_that_says_nothing_of_a_compared_column_matches_nothing(
    database: LocalDatabase[DemoCalibration], column: str, value: Any
) -> None:
    nothing = {"id": "a", "cal_type": "dark", "mjd_start": 60000.0, "quality": "GOOD", "cal_version": "001"}
    literal = {**nothing, "id": "b", "spectrograph": value if isinstance(value, str) else None}
    fill(database.engine, [{**nothing, "spectrograph": None}, literal])
    frame = {"mjd_start": 60000.0, "spectrograph": "BSPEC", "amplifiers": 2, "filename": "frame.fits", column: value}
    selector = CalibrationSelector(cal_type="dark", match=("spectrograph", "amplifiers"))
    keyword = {"spectrograph": "SPECTROG", "amplifiers": "GRNAMPS", "mjd_start": "EXPMJDST"}[column]
    for call in (selector.select, selector.explain):
        with pytest.raises(HeaderError, match=rf"frame\.fits.*{column}.*{keyword}") as caught:
            call(frame, database)
        assert caught.value.column == column


@pytest.mark.parametrize("value", [math.inf, -math.inf, "inf"])
def test_a_frame_without_a_finite_time_is_refused(database: LocalDatabase[DemoCalibration], value: Any) -> None:
    with pytest.raises(HeaderError, match="mjd_start"):
        CalibrationSelector(cal_type="dark").select({"mjd_start": value}, database)


def test_a_frame_may_give_its_time_as_text(database: LocalDatabase[DemoCalibration]) -> None:
    fill(database.engine, [{"id": "a", "cal_type": "dark", "mjd_start": 60000.0, "quality": "GOOD"}])
    found = CalibrationSelector(cal_type="dark", max_age=timedelta(0))
    assert found.select({"datetime_obs": "2023-02-25T00:00:00Z"}, database).id == "a"


def test_letter_case_and_blanks_of_frame_calibration_and_selector_do_not_matter_where_a_column_folds_them(
    tmp_path: Path,
) -> None:
    database = LocalDatabase(DemoCalibration, tmp_path / "demo.db")
    database.add(record("a.fits", cal_type="DARK ", lamp="ThAr  "))
    for cal_type in ("dark", "Dark", "DARK "):
        selector = CalibrationSelector(cal_type=cal_type, match=("lamp",), require={"lamp": ["THAR", "Lfc"]})
        assert selector.select({"mjd_start": 60000.0, "lamp": "tHAR "}, database).filename == "a.fits"
        assert selector.explain({"mjd_start": 60000.0, "lamp": "tHAR "}, database).total == 1
    database.close()


def test_the_age_limit_is_inclusive_to_a_microsecond(database: LocalDatabase[DemoCalibration]) -> None:
    day = CalibrationSelector(cal_type="dark", max_age=timedelta(days=1))
    base = {"id": "a", "cal_type": "dark", "quality": "GOOD"}
    edges = [sign * (1 + steps * MICROSECOND) for steps in (0, 0.7, 4) for sign in (1, -1)]
    for delta, admitted in zip(edges, [True, True, True, True, False, False], strict=True):
        fill(database.engine, [{**base, "mjd_start": 60000.0 + delta}])
        assert chosen(day, {"mjd_start": 60000.0}, database) == ("a" if admitted else None), delta


@pytest.mark.parametrize("direction", ["nearest", "before", "after"])
def test_times_that_are_one_to_the_millisecond_are_one(
    database: LocalDatabase[DemoCalibration], direction: str
) -> None:
    versions = {"001": 61085.0416666667, "002": 61085.04166667, "003": 61085.041666666664}
    for version, time in versions.items():
        row = {"id": version, "cal_type": "dark", "mjd_start": time, "cal_version": version, "quality": "GOOD"}
        fill(database.engine, [row])
    for frame in (61085.041666666664, 61085.0416666667, 61085.04166667):
        selector = CalibrationSelector(cal_type="dark", direction=direction)
        assert selector.select({"mjd_start": frame}, database).id == "003"
    for frame in (60000.0, 62000.0):
        assert CalibrationSelector(cal_type="dark").select({"mjd_start": frame}, database).id == "003"
