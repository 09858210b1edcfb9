"""What a store tells of a record's history, and each way of asking for a past state."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from koa_middleware import (
    CalibrationNotFoundError,
    CalibrationSelector,
    CalibrationStore,
    ConfigurationError,
    DownloadError,
    IntegrityError,
    QualityWarning,
)
from koa_middleware.database.moments import moment_of
from koa_middleware.instrument.times import now_iso
from koa_middleware.selection import Selection

from tests.conftest import DemoCalibration, dark, record

Store = CalibrationStore[DemoCalibration]
FRAME = {"spectrograph": "BSPEC", "mjd_start": 60000.2}
TABLE = "demo_calibrations"


class Dark(CalibrationSelector):
    """Darks of the frame's spectrograph."""

    cal_type = "dark"
    match = ("spectrograph",)


class Programmed(Dark):
    """The last of them."""

    def get_candidates(self, input: Any, db: Any) -> list[Any]:
        """Give all that the database has."""
        with db.session_manager() as session:
            return list(session.query(db.orm_class))

    def select_best(self, input: Any, candidates: Any) -> Any:
        """Take the last one."""
        return max(candidates, key=lambda each: each.mjd_start, default=None)


def events(store: Store, name: str, *keys: str) -> list[tuple[Any, ...]]:
    return [tuple(event[key] for key in keys) for event in store.history(name)]


def change(store: Store, statement: str) -> None:
    with store.local_db.begin() as connection:
        connection.exec_driver_sql(statement)


@pytest.fixture
def changed(store: Store, tmp_path: Path) -> tuple[Store, str]:
    """Give a store in which the nearest dark was flagged after the time that is given beside it."""
    for name, mjd in (("near.fits", 60000.0), ("far.fits", 60001.0)):
        store.register_calibration(dark(tmp_path / "night", name, mjd))
    moment = now_iso()
    store.flag("near.fits", "BAD", "light leak")
    return store, moment


def test_a_history_tells_who_did_what_and_why_and_how_the_record_was_before(changed: tuple[Store, str]) -> None:
    store, _ = changed
    store.flag("near.fits", "GOOD", "fine for me", here=True)
    added, flagged, judged = store.history("near.fits")
    assert (added["what"], added["before"], added["after"]["quality"]) == ("added", {}, "GOOD")
    assert added["who"] == flagged["who"] == judged["who"]
    assert (flagged["what"], flagged["why"]) == ("flagged", "light leak")
    assert (flagged["before"]["quality"], flagged["after"]["quality"]) == ("GOOD", "BAD")
    assert flagged["before"].keys() == flagged["after"].keys() == {"quality", "last_updated"}
    assert (judged["what"], judged["why"], judged["after"]) == ("judged here", "fine for me", {"quality": "GOOD"})
    lines = str(store.history("near.fits")).splitlines()
    assert lines[1].endswith(": quality 'GOOD' to 'BAD': light leak")
    assert "light leak" in store.history("near.fits")._repr_html_()


def test_a_history_outlives_its_record_and_its_file_name(store: Store, tmp_path: Path) -> None:
    made = store.register_calibration(dark(tmp_path / "night", "first.fits")).calibration
    change(store, f"UPDATE {TABLE} SET filename = 'second.fits', lamp = 'thar'")
    change(store, f"DELETE FROM {TABLE}")
    for name in (made.id, "first.fits", "second.fits"):
        assert events(store, name, "what") == [("added",), ("changed",), ("withdrawn",)]
    assert events(store, made.id, "before")[2][0]["filename"] == "second.fits"
    with pytest.raises(CalibrationNotFoundError, match=r"third\.fits"):
        store.history("third.fits")


def test_a_file_name_tells_of_each_record_that_had_it_and_an_id_of_one(store: Store, tmp_path: Path) -> None:
    file = dark(tmp_path / "night", "again.fits")
    first = store.register_calibration(file).calibration.id
    store.remove("again.fits")
    with pytest.warns(QualityWarning, match=r"again\.fits was here until"):
        second = store.register_calibration(file).calibration.id
    lives = [("added", first), ("withdrawn", first), ("added", second)]
    assert events(store, "again.fits", "what", "id") == lives
    assert events(store, first, "what", "id") == lives[:2]
    assert events(store, second, "what", "id") == lives[2:]
    store.remove("again.fits")
    assert events(store, "again.fits", "what", "id") == [*lives, ("withdrawn", second)]


def test_a_newer_version_does_not_supersede_a_record_that_was_gone(store: Store, tmp_path: Path) -> None:
    first = store.register_calibration(dark(tmp_path, "dark.fits", LAMP="thar")).calibration
    store.register_calibration(dark(tmp_path, "again.fits", LAMP="lfc"), new_version=True)
    store.remove(first)
    store.register_calibration(dark(tmp_path, "last.fits", LAMP="une"), new_version=True)
    assert events(store, first.id, "what") == [("added",), ("superseded",), ("withdrawn",)]


def test_a_judgement_made_here_is_told_with_its_quality_and_when_it_was_taken_back(changed: tuple[Store, str]) -> None:
    store, _ = changed
    store.flag("near.fits", "GOOD", "fine for me", here=True)
    store.flag("near.fits", None, "not so fine", here=True)
    judged, taken_back = str(store.history("near.fits")).splitlines()[-2:]
    assert "  judged GOOD here by " in judged
    assert judged.endswith(": fine for me")
    assert "  judgement here taken back by " in taken_back
    assert "judged GOOD here" in store.history("near.fits")._repr_html_()


def test_a_newer_version_supersedes_a_record(store: Store, tmp_path: Path) -> None:
    first = store.register_calibration(dark(tmp_path, "dark.fits", LAMP="thar")).calibration
    second = store.register_calibration(dark(tmp_path, "again.fits", LAMP="lfc"), new_version=True).calibration
    last = store.history(first)[-1]
    assert (last["what"], last["why"]) == ("superseded", f"{second.filename} is its version 002")
    assert last["time"] == store.history(second)[0]["time"]
    assert [event["what"] for event in store.history(second)] == ["added"]


def test_two_changes_at_one_time_are_told_one_after_the_other(store: Store) -> None:
    store.local_db.add(record("a.fits", lamp="one"))
    with store.local_db.begin() as connection:
        for lamp in ("two", "three"):
            connection.exec_driver_sql(f"UPDATE {TABLE} SET lamp = '{lamp}'")
    lamps = [(event["before"].get("lamp"), event["after"].get("lamp")) for event in store.history("a.fits")]
    assert lamps == [(None, "one"), ("one", "two"), ("two", "three")]


ASKED: dict[str, Callable[[Store, Any], list[Any]]] = {
    "select": lambda store, at: [store.select(FRAME, Dark, as_of=at)],
    "select_many": lambda store, at: store.select_many([FRAME, FRAME], Dark, as_of=at),
    "select_bracket": lambda store, at: [store.select_bracket(FRAME, Dark, as_of=at).before],
    "candidates": lambda store, at: [store.candidates(FRAME, Dark, as_of=at)[0]],
    "select_common": lambda store, at: [store.select_common([FRAME, FRAME], Dark, as_of=at)],
    "select_set": lambda store, at: [store.select_set(FRAME, ["dark"], as_of=at)["dark"]],
    "select_sets": lambda store, at: [each["dark"] for each in store.select_sets([FRAME, FRAME], ["dark"], as_of=at)],
    "get_calibration": lambda store, at: [store.get_calibration(FRAME, Dark, as_of=at).calibration],
    "get_calibrations": lambda store, at: [store.get_calibrations(FRAME, ["dark"], as_of=at)["dark"].calibration],
    "get_bracket": lambda store, at: [store.get_bracket(FRAME, Dark, as_of=at).before.calibration],
    "get_calibration_by_id": lambda store, at: [
        store.get_calibration_by_id(store.local_db.find("near.fits").id, as_of=at).calibration
    ],
    "query": lambda store, at: store.query("dark", quality="GOOD", filename="near.fits", as_of=at),
    "known_at": lambda store, at: [store.known_at(at).find("near.fits")],
}


@pytest.mark.parametrize("asking", ASKED)
def test_each_way_of_asking_gives_the_record_as_it_stood(
    asking: str, changed: tuple[Store, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DemoCalibration, "selectors", {"dark": Dark()})
    store, moment = changed
    found = ASKED[asking](store, moment)
    assert {(each.filename, each.quality) for each in found} == {("near.fits", "GOOD")}
    if asking not in {"query", "known_at", "get_calibration_by_id", "candidates"}:
        assert {each.choice.as_of for each in found} == {moment}
    assert store.select(FRAME, Dark).filename == "far.fits"
    assert store.select(FRAME, Dark).choice.as_of is None


def test_an_explanation_tells_who_said_it_by_then(changed: tuple[Store, str]) -> None:
    store, before = changed
    then = now_iso()
    store.flag("near.fits", "GOOD", "it was the other one")
    store.flag("far.fits", "BAD", "this one")
    told = store.explain(FRAME, Dark, as_of=then)
    assert told.winner is not None
    assert told.winner.filename == "far.fits"
    assert "light leak" in str(told)
    assert "this one" not in str(told)
    assert "light leak" not in str(store.explain(FRAME, Dark, as_of=before))


def test_a_programmed_rule_asks_the_past_by_its_own_session(changed: tuple[Store, str], tmp_path: Path) -> None:
    store, moment = changed
    store.register_calibration(dark(tmp_path / "night", "last.fits", 60009.0))
    assert store.select(FRAME, Programmed).filename == "last.fits"
    assert store.select(FRAME, Programmed, as_of=moment).filename == "far.fits"


def test_the_file_of_then_is_given_under_its_present_name_and_no_other_content(store: Store, tmp_path: Path) -> None:
    made = store.register_calibration(dark(tmp_path / "night", "first.fits"))
    moment = now_iso()
    made.path.rename(made.path.with_name("second.fits"))
    change(store, f"UPDATE {TABLE} SET filename = 'second.fits'")
    then = store.get_calibration(FRAME, Dark, as_of=moment)
    assert (then.path.name, then.calibration.filename) == ("second.fits", "first.fits")
    change(store, f"UPDATE {TABLE} SET checksum = 'sha256:{'1' * 64}'")
    with pytest.raises(
        IntegrityError, match=rf"had the content {made.calibration.checksum} then, and is sha256:1+ now"
    ):
        store.get_calibration(FRAME, Dark, as_of=moment)
    assert then.path.exists()


def test_a_miss_in_the_past_says_what_there_was_then_and_not_what_a_sync_or_a_registration_brings(
    store: Store, tmp_path: Path
) -> None:
    before = now_iso()
    store.register_calibration(dark(tmp_path / "night", "near.fits", 60000.0))
    after = now_iso()
    with pytest.raises(CalibrationNotFoundError) as caught:
        store.select(FRAME, Dark, as_of=before)
    assert caught.value.message.endswith(f": the database held none of that type at {before}.")
    assert caught.value.hint == f"koa-cal list --as-of {before} shows what there was."
    with pytest.raises(CalibrationNotFoundError) as caught:
        store.select({**FRAME, "spectrograph": "RSPEC"}, Dark, as_of=after)
    assert caught.value.hint == f"koa-cal explain FRAME --type dark --as-of {after} lists them all."
    assert caught.value.as_of == after
    advised = Selection(DemoCalibration, lambda _: ["koa-cal sync brings more."])
    for state, is_told in ((store.known_at(before), False), (store.known_db, True)):
        with pytest.raises(CalibrationNotFoundError) as caught:
            advised.select({**FRAME, "spectrograph": "RSPEC"}, Dark, state, is_local=True)
        assert ("koa-cal sync" in caught.value.hint) is is_told


def test_a_date_alone_that_is_today_is_now_and_a_future_one_is_refused(store: Store, tmp_path: Path) -> None:
    store.register_calibration(dark(tmp_path / "night", "near.fits"))
    today = datetime.now(UTC).date()
    before = now_iso()
    assert before <= moment_of(today.isoformat()) <= now_iso()
    assert store.select(FRAME, Dark, as_of=today.isoformat()).filename == "near.fits"
    with pytest.raises(ConfigurationError, match="still to come"):
        store.select(FRAME, Dark, as_of=(today + timedelta(days=1)).isoformat())
    with pytest.raises(ConfigurationError, match="The as_of is 'now'"):
        store.select(FRAME, Dark, as_of="now")


def test_a_lock_of_today_says_the_very_time_that_was_asked(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DemoCalibration, "selectors", {"dark": Dark()})
    store.register_calibration(dark(tmp_path / "night", "near.fits"))
    sets = store.select_sets([FRAME], ["dark"], as_of=datetime.now(UTC).date().isoformat())
    assert sets.lock().as_of == sets[0]["dark"].choice.as_of


def test_the_file_of_a_removed_record_is_said_to_be_removed_and_where_it_lies(store: Store, tmp_path: Path) -> None:
    made = store.register_calibration(dark(tmp_path / "night", "gone.fits"))
    moment = now_iso()
    moved = store.remove("gone.fits").moved_to
    assert moved is not None
    removed = store.history("gone.fits")[-1]
    said = f"gone.fits was removed on {removed['time']} by {removed['who']}: removed here."
    for ask in (
        lambda: store.get_calibration(FRAME, Dark, as_of=moment),
        lambda: store.get_calibration_by_id(made.calibration.id, as_of=moment),
    ):
        with pytest.raises(DownloadError) as caught:
            ask()
        assert caught.value.message == said
        assert f"Its file lies in {moved}." in caught.value.hint
    moved.write_bytes(b"another")
    with pytest.raises(DownloadError, match="Its file is not in ") as caught:
        store.get_calibration(FRAME, Dark, as_of=moment)
    store.register_calibration(dark(tmp_path / "other", "gone.fits", LAMP="une"))
    with pytest.raises(DownloadError, match=r"gone\.fits was removed on "):
        store.get_calibration(FRAME, Dark, as_of=moment)


def test_a_time_is_utc_to_the_microsecond_and_a_date_alone_is_the_end_of_its_day() -> None:
    east = timezone(timedelta(hours=2))
    times = {
        "2026-11-02": "2026-11-02T23:59:59.999999",
        "2026-11-02T10:00": "2026-11-02T10:00:00.000000",
        "2026-11-02T10:00:00.123456Z": "2026-11-02T10:00:00.123456",
        "2026-11-02T12:00:00.9999996+02:00": "2026-11-02T10:00:00.999999",
        datetime(2026, 11, 2, 10, 0, 0, 5): "2026-11-02T10:00:00.000005",
        datetime(2026, 11, 2, 12, tzinfo=east): "2026-11-02T10:00:00.000000",
        datetime(2026, 11, 2, 10, tzinfo=UTC): "2026-11-02T10:00:00.000000",
    }
    assert {given: moment_of(given) for given in times} == times


@pytest.mark.parametrize("odd", ["", "yesterday", 0, [], object()])
def test_what_is_no_time_is_refused_as_that(store: Store, odd: Any) -> None:
    with pytest.raises(ConfigurationError, match="The as_of is") as caught:
        store.query(as_of=odd)
    assert caught.value.setting == "as_of"


def test_a_store_that_was_never_synced_knows_no_past_of_its_archive(open_demo: Callable[..., Store]) -> None:
    store = open_demo(remote_database_url="postgresql://nowhere.invalid/koa")
    with pytest.raises(ConfigurationError, match="was never synced with its archive"):
        store.query(as_of=now_iso())


def test_the_state_of_a_time_is_that_of_both_under_a_shared_cache(
    open_demo: Callable[..., Store], tmp_path: Path
) -> None:
    with CalibrationStore(DemoCalibration, tmp_path / "shared") as keeper:
        keeper.register_calibration(dark(tmp_path / "night", "theirs.fits", 60000.3), origin="REMOTE")
        mine = open_demo(shared_cache_dir=tmp_path / "shared")
        mine.register_calibration(dark(tmp_path / "own", "mine.fits", 60000.4))
        first = now_iso()
        mine.flag("theirs.fits", "BAD", "not for me", here=True)
        second = now_iso()
        change(keeper, f"UPDATE {TABLE} SET mjd_start = 60005.0")
        third = now_iso()
        mine.remove("mine.fits")
    chosen = {at: mine.select(FRAME, Dark, as_of=at).filename for at in (first, second, third)}
    assert chosen == {first: "theirs.fits", second: "mine.fits", third: "mine.fits"}
    assert [each.mjd_start for each in mine.query(filename="theirs.fits", as_of=second)] == [60000.3]
    assert [each.mjd_start for each in mine.query(filename="theirs.fits", as_of=third)] == [60005.0]
    assert {each.filename for each in mine.query(as_of=third)} == {"mine.fits", "theirs.fits"}
    assert mine.history("theirs.fits")[0]["what"] == "added"


def test_a_shared_database_without_a_history_tells_no_past(open_demo: Callable[..., Store], tmp_path: Path) -> None:
    with CalibrationStore(DemoCalibration, tmp_path / "shared") as keeper:
        keeper.register_calibration(dark(tmp_path / "night", "theirs.fits"), origin="REMOTE")
        path = keeper.local_db.path
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"DROP TABLE {TABLE}_history")
        for event in ("update", "delete"):
            connection.execute(f"DROP TRIGGER {TABLE}_feed_{event}")
    mine = open_demo(shared_cache_dir=tmp_path / "shared")
    assert len(mine.query()) == 1
    with pytest.raises(ConfigurationError, match=r"shared.*keeps no history"):
        mine.query(as_of=now_iso())


def test_a_reason_cannot_make_lines_of_its_own(store: Store, tmp_path: Path) -> None:
    store.register_calibration(dark(tmp_path, "dark.fits"))
    store.flag("dark.fits", "BAD", "one\n2026-01-01  added by nobody\x1b[31m")
    assert str(store.history("dark.fits")).count("\n") == 1
    assert "\x1b" not in str(store.history("dark.fits"))
