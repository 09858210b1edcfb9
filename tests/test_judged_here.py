"""A store's own judgement of a calibration, which holds over its row's."""

from __future__ import annotations

import pickle
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from koa_middleware import (
    CalibrationNotFoundError,
    CalibrationSelector,
    CalibrationStore,
    ConfigurationError,
    RemoteNotConfiguredError,
)
from koa_middleware.choosing.selector import ruling_of
from koa_middleware.database.flags import this_user
from koa_middleware.database.local import LocalDatabase

from tests.conftest import DemoCalibration, record

Open = Callable[..., CalibrationStore[Any]]

DARK = CalibrationSelector(cal_type="dark")
FRAME = {"mjd_start": 61041.0}


def night(store: CalibrationStore[Any], **near: Any) -> None:
    """Fill a store with a near dark and a far one, both of the archive."""
    store.local_db.add(
        [
            record("near.fits", id="near", mjd_start=61041.1, origin="REMOTE", **near),
            record("far.fits", id="far", mjd_start=61043.0, origin="REMOTE"),
        ]
    )


class ByMethod(CalibrationSelector):
    """Answered by its own method, which gives all that there is."""

    def get_candidates(self, input: Any, db: Any) -> list[Any]:
        with db.session_manager() as session:
            return list(session.query(DemoCalibration))


class ByTakingTheNearest(CalibrationSelector):
    """A rule of its author, who does not look at the quality."""

    def select(self, input: Any, db: Any) -> Any:
        return db.query_by_id("near")


class ByFallback(CalibrationSelector):
    """Nothing fits its rule; its fallback knows one record."""

    def select_fallback(self, input: Any, db: Any) -> Any:
        return db.query_by_id("near")


def chosen(store: CalibrationStore[Any], selector: Any = DARK) -> str | None:
    try:
        return str(store.select(FRAME, selector).id)
    except CalibrationNotFoundError:
        return None


@pytest.mark.parametrize("kind", [CalibrationSelector, ByMethod])
def test_what_is_judged_bad_here_is_not_chosen_until_that_is_taken_back(open_demo: Open, kind: Any) -> None:
    store, rule = open_demo(), kind(cal_type="dark")
    night(store)
    row = store.query(filename="near.fits")[0].to_dict()
    assert store.flag("near.fits", "bad", "stars in it", here=True).to_dict() == row
    assert chosen(store, rule) == "far"
    assert [each.id for each in CalibrationSelector(cal_type="dark").get_candidates(FRAME, store.known_db)] == ["far"]
    assert store.query(filename="near.fits")[0].to_dict() == row
    store.flag("near.fits", None, "a moth on the screen", here=True)
    assert chosen(store, rule) == "near"


@pytest.mark.parametrize("kind", [CalibrationSelector, ByMethod, ByTakingTheNearest])
@pytest.mark.parametrize("word", ["GOOD", "UNKNOWN"])
def test_what_the_archive_calls_bad_may_be_chosen_when_it_is_judged_otherwise_here(
    open_demo: Open, kind: Any, word: str
) -> None:
    store, rule = open_demo(), kind(cal_type="dark")
    night(store, quality="BAD")
    assert chosen(store, rule) != "near"
    store.flag("near", word, "only its header is wrong", here=True)
    assert chosen(store, rule) == "near"
    assert store.select(FRAME, rule).quality == "BAD"


@pytest.mark.parametrize(
    "rule", [ByTakingTheNearest(cal_type="dark"), ByFallback(cal_type="dark", require={"lamp": "none such"})]
)
def test_a_method_cannot_choose_what_is_judged_bad_here(open_demo: Open, rule: Any) -> None:
    store = open_demo()
    night(store)
    store.flag("near", "BAD", "stars in it", here=True)
    assert chosen(store, rule) is None


def test_the_last_judgement_counts_and_each_is_kept(open_demo: Open) -> None:
    store = open_demo()
    night(store)
    for word, why in (("BAD", "stars"), ("GOOD", "none"), ("BAD", "stars after all")):
        store.flag("near", word, why, here=True)
    assert chosen(store) == "far"
    said = store.known_db.all_said_of("near")
    assert [(each.quality, each.who, each.why) for each in said] == [
        ("BAD", this_user(), "stars"),
        ("GOOD", this_user(), "none"),
        ("BAD", this_user(), "stars after all"),
    ]


def test_an_own_judgement_needs_no_archive_and_a_flag_without_one_says_so(open_demo: Open) -> None:
    store = open_demo()
    night(store)
    with pytest.raises(RemoteNotConfiguredError) as caught:
        store.flag("near", "BAD", "stars in it")
    assert "here=True" in caught.value.hint
    assert chosen(store) == "near"
    store.flag("near", "BAD", "stars in it", here=True)
    assert chosen(store) == "far"


def test_there_is_nothing_to_take_back_where_nothing_was_judged(open_demo: Open) -> None:
    store = open_demo()
    night(store)
    with pytest.raises(CalibrationNotFoundError, match=r"near\.fits was not judged here"):
        store.flag("near", None, "a mistake", here=True)
    store.flag("near", "BAD", "stars in it", here=True)
    store.flag("near", None, "a mistake", here=True)
    with pytest.raises(CalibrationNotFoundError, match=r"near\.fits was not judged here"):
        store.flag("near", None, "a mistake", here=True)


@pytest.mark.parametrize(
    ("quality", "reason", "here"), [("ugly", "why", True), ("BAD", " ", True), (None, "", True), (None, "why", False)]
)
def test_a_judgement_of_no_word_or_no_reason_is_refused(open_demo: Open, quality: Any, reason: str, here: bool) -> None:
    store = open_demo()
    night(store)
    with pytest.raises(ConfigurationError):
        store.flag("near", quality, reason, here=here)
    assert store.known_db.judged_here() == {}


def test_an_explanation_says_who_judged_it_when_and_why(open_demo: Open) -> None:
    store = open_demo()
    night(store)
    store.flag("near", "BAD", "stars in it", here=True)
    store.flag("far", "GOOD", "looked at", here=True)
    day = store.known_db.judged_here()["near"].at[:10]
    told = {each.record.id: each for each in store.explain(FRAME, DARK).candidates}
    assert told["near"].rule == "quality"
    assert f"its quality is BAD here (judged by {this_user()} on {day}: stars in it)" in told["near"].reason
    assert f"the best that fits; its quality is GOOD here (judged by {this_user()} on {day}" in told["far"].reason
    with pytest.raises(CalibrationNotFoundError, match="stars in it"):
        store.select(FRAME, CalibrationSelector(cal_type="dark", require={"filename": "near.fits"}))


def test_an_explanation_says_who_flagged_a_local_record(open_demo: Open) -> None:
    store = open_demo()
    store.local_db.add(record("own.fits", mjd_start=61041.0))
    store.flag("own.fits", "BAD", "light leak")
    (told,) = store.explain(FRAME, DARK).candidates
    assert f"its quality is BAD (flagged by {this_user()} on " in told.reason
    assert told.reason.endswith(": light leak)")


def test_a_quality_that_nobody_gave_a_reason_for_is_told_without_one(open_demo: Open) -> None:
    store = open_demo()
    store.local_db.add(record("own.fits", mjd_start=61041.0))
    store.flag("own.fits", "GOOD", "fine")
    with closing(sqlite3.connect(store.local_db.path)) as connection, connection:
        connection.execute("UPDATE demo_calibrations SET quality = 'BAD'")
    (told,) = store.explain(FRAME, DARK).candidates
    assert told.reason.endswith("its quality is BAD")


def test_another_process_and_a_pickled_store_know_what_was_judged(open_demo: Open) -> None:
    store = open_demo()
    night(store)
    copy = pickle.loads(pickle.dumps(store))
    store.flag("near", "BAD", "stars in it", here=True)
    assert chosen(copy) == "far"
    copy.close()


def test_a_bundle_does_not_carry_an_own_judgement(open_demo: Open, tmp_path: Path) -> None:
    store, other = open_demo(tmp_path / "one"), open_demo(tmp_path / "two")
    path = tmp_path / "one" / "calibrations" / "own.fits"
    path.write_bytes(b"x" * 100)
    store.local_db.add(record("own.fits", id="own", mjd_start=61041.0))
    store.flag("own.fits", "BAD", "stars in it", here=True)
    store.export_bundle(tmp_path / "night.tar", store.query())
    other.import_bundle(tmp_path / "night.tar")
    assert chosen(store) is None
    assert chosen(other) == "own"


def test_a_database_from_before_is_given_the_log_and_syncs_on_from_where_it_was(open_demo: Open) -> None:
    store = open_demo()
    night(store)
    path = store.local_db.path
    store.close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DROP TABLE demo_calibrations_judgements")
        connection.execute("INSERT INTO demo_calibrations_sync (one, revision, bookmark) VALUES (1, 1, 'there')")
    with closing(LocalDatabase(DemoCalibration, path)) as opened:
        opened.judge(opened.query_by_id("near"), "BAD", "stars in it", "ann")
        assert opened.judged_here()["near"].why == "stars in it"
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT bookmark FROM demo_calibrations_sync").fetchone() == ("there",)


# -- a shared cache ----------------------------------------------------------------------------------------------------


def test_the_keepers_judgements_hold_for_the_users_of_a_shared_cache_until_they_judge(
    open_demo: Open, tmp_path: Path
) -> None:
    keeper = open_demo(tmp_path / "shared")
    night(keeper)
    keeper.flag("near", "BAD", "stars in it", here=True)
    user = open_demo(tmp_path / "own", shared_cache_dir=tmp_path / "shared")
    assert chosen(user) == "far"
    assert "stars in it" in str(user.explain(FRAME, DARK))
    user.flag("near", "GOOD", "I mask them", here=True)
    assert (chosen(user), chosen(keeper)) == ("near", "far")
    user.flag("far", "BAD", "too cold", here=True)
    user.flag("near", "BAD", "too many", here=True)
    assert chosen(user) is None
    assert keeper.known_db.judged_here().keys() == {"near"}


def test_what_a_shared_caches_keeper_flagged_is_told_to_its_users(open_demo: Open, tmp_path: Path) -> None:
    keeper = open_demo(tmp_path / "shared")
    keeper.local_db.add(record("own.fits", mjd_start=61041.0))
    keeper.flag("own.fits", "BAD", "light leak")
    user = open_demo(tmp_path / "own", shared_cache_dir=tmp_path / "shared")
    assert "light leak" in str(user.explain(FRAME, DARK))


@pytest.mark.parametrize("shares", [False, True])
def test_what_was_judged_is_found_by_an_index(open_demo: Open, tmp_path: Path, shares: bool) -> None:
    open_demo(tmp_path / "shared")
    store = open_demo(tmp_path / "own", **({"shared_cache_dir": tmp_path / "shared"} if shares else {}))
    (((statement,),),) = [[plan.answers for plan in plans] for _, plans in ruling_of(DARK, DemoCalibration).every()]
    compiled = statement.compile(store.known_db.engine, compile_kwargs={"render_postcompile": True})
    values = tuple(compiled.params.get(name) for name in compiled.positiontup or ())
    with store.known_db.connect() as connection:
        plan = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}", values)]
    probes = [line for line in plan if "ix_demo_calibrations_judgements_id (id=?)" in line]
    assert len(probes) >= (6 if shares else 3), plan
    assert not [line for line in plan if line.startswith("SCAN") and "judgements" in line], plan
