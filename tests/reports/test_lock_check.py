"""What would be chosen differently now than a lock file says: each cause is told, once, with its frames."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from koa_middleware import (
    CalibrationNotFoundError,
    CalibrationSelector,
    CalibrationStore,
    InstrumentPlugin,
    LockFile,
    RemoteUnavailableError,
)
from koa_middleware.database.feed import feed_table
from koa_middleware.reports.lock.check import LockCheck
from koa_middleware.reports.lock.locked import ArchiveState
from sqlalchemy import delete, insert, update

from tests.conftest import DemoCalibration, record

Store = CalibrationStore[DemoCalibration]
FRAMES = [
    {"filename": f"frame{n}.fits", "mjd_start": 60000.0 + n, "spectrograph": "BSPEC", "lamp": "thar"} for n in range(4)
]


def declare(**dark: Any) -> None:
    """Give the instrument its rules, with other settings for darks."""
    rules = [
        CalibrationSelector(cal_type="dark", **{"match": ("spectrograph",), **dark}),
        CalibrationSelector(cal_type="flat", anchor="dark"),
    ]
    InstrumentPlugin(DemoCalibration, rules)


@pytest.fixture(autouse=True)
def plugin() -> None:
    declare()


@pytest.fixture
def filled(store: Store) -> Store:
    """Give a store of darks and flats of two days."""
    store.local_db.add(
        [
            record(f"{kind}{n}.fits", 60000.5 + 2 * n, cal_type=kind, lamp="thar", checksum=f"sha256:{place:064x}")
            for place, (kind, n) in enumerate((kind, n) for kind in ("dark", "flat") for n in range(2))
        ]
    )
    return store


@pytest.fixture
def lock(filled: Store) -> LockFile:
    return filled.lock(FRAMES)


def told(check: LockCheck) -> list[tuple[str, str, int]]:
    """Kind and type of each cause, and how many frames it has."""
    return [(each.kind, each.cal_type, len(each.frames)) for each in check.causes]


def message(check: LockCheck, kind: str) -> str:
    return next(each.message for each in check.causes if each.kind == kind)


def test_nothing_is_told_where_nothing_changed(filled: Store, lock: LockFile) -> None:
    check = filled.check_lock(lock)
    assert check.ok
    assert check.now == lock
    assert check.to_dict()["causes"] == check.to_dict()["differences"] == []
    filled.local_db.add(record("far.fits", 60100.0))
    assert filled.check_lock(lock).ok


def test_a_new_calibration_is_told_once_for_all_its_frames(filled: Store, lock: LockFile) -> None:
    filled.local_db.add(record("new.fits", 60002.5, cal_version="002"))
    check = filled.check_lock(lock)
    assert told(check) == [("new", "dark", 2)]
    assert message(check, "new").startswith("new.fits is new, added on 20")
    assert check.causes[0].frames == ("frame2.fits", "frame3.fits")
    assert "4 frames: 2 of 8 choices would differ now" in str(check)
    assert "2 frames, frame2.fits to frame3.fits" in str(check)
    assert [each.calibration for each in check.now.frames[2].choices] == ["new.fits", "flat1.fits"]


def test_a_flag_is_told_with_who_and_why(filled: Store, lock: LockFile) -> None:
    filled.flag("flat0.fits", "BAD", "hot <pixels>")
    check = filled.check_lock(lock)
    assert told(check) == [("quality", "flat", 2)]
    assert message(check, "quality").startswith("flat0.fits is BAD (flagged by ")
    assert "hot &lt;pixels&gt;" in check._repr_html_()


def test_one_that_was_bad_when_locked_is_told_by_who_flagged_it_good(filled: Store) -> None:
    filled.local_db.add(record("other.fits", 60002.5, cal_version="002"))
    filled.flag("other.fits", "BAD", "clouds")
    lock = filled.lock(FRAMES, ["dark"])
    assert filled.check_lock(lock).ok
    filled.flag("other.fits", "GOOD", "no clouds")
    said = message(filled.check_lock(lock), "quality")
    assert said.startswith("other.fits was flagged GOOD on 20")
    assert said.endswith(": no clouds")


def test_where_nothing_was_locked_one_that_was_bad_is_told_by_who_flagged_it_good(store: Store) -> None:
    store.local_db.add(record("only.fits", 60000.5))
    store.flag("only.fits", "BAD", "clouds")
    lock = store.lock(FRAMES, ["dark"])
    store.flag("only.fits", "GOOD", "no clouds")
    (cause,) = store.check_lock(lock).causes
    assert cause.message.startswith("only.fits was flagged GOOD on 20")


@pytest.mark.parametrize("origin", ["LOCAL", "REMOTE"])
def test_a_judgement_that_was_taken_back_is_told_as_that(filled: Store, origin: str) -> None:
    filled.local_db.add(record("other.fits", 60002.5, cal_version="002", origin=origin))
    filled.flag("other.fits", "BAD", "clouds", here=True)
    lock = filled.lock(FRAMES, ["dark"])
    filled.flag("other.fits", None, "it was the dome", here=True)
    said = message(filled.check_lock(lock), "quality")
    assert said.startswith("the judgement BAD of other.fits made here was taken back on 20")
    assert said.endswith(": it was the dome")


def test_a_removed_one_whose_content_another_type_has_is_told_as_withdrawn(store: Store) -> None:
    same = {"checksum": f"sha256:{7:064x}"}
    store.local_db.add([record(f"{kind}.fits", 60000.5, cal_type=kind, **same) for kind in ("dark", "flat")])
    lock = store.lock(FRAMES, ["flat"])
    store.remove("flat.fits")
    assert told(store.check_lock(lock)) == [("withdrawn", "flat", 4)]


def test_a_judgement_made_here_is_told_as_that(filled: Store, lock: LockFile) -> None:
    filled.flag("flat0.fits", "BAD", "hot", here=True)
    assert message(filled.check_lock(lock), "quality").startswith("flat0.fits is BAD here (judged by ")


def test_what_hangs_on_another_one_says_so(filled: Store, lock: LockFile) -> None:
    filled.flag("dark0.fits", "BAD", "hot")
    assert told(filled.check_lock(lock)) == [("quality", "dark", 2), ("anchor", "flat", 2)]


def test_a_withdrawn_one_is_told_with_who_withdrew_it(filled: Store, lock: LockFile) -> None:
    filled.remove("flat0.fits")
    check = filled.check_lock(lock)
    assert told(check) == [("withdrawn", "flat", 2)]
    assert message(check, "withdrawn").startswith("flat0.fits was withdrawn on 20")
    assert message(check, "withdrawn").endswith(": removed here")


def test_what_was_never_here_is_told_as_not_known(
    open_demo: Callable[..., Store], lock: LockFile, tmp_path: Path
) -> None:
    check = open_demo(tmp_path / "other").check_lock(lock)
    assert sorted(told(check)) == [("withdrawn", kind, 2) for kind in ("dark", "flat") for _ in range(2)]
    assert {each.message for each in check.causes} == {
        f"{kind}{n}.fits is not known here" for kind in ("dark", "flat") for n in range(2)
    }


def test_an_archive_that_was_never_synced_and_does_not_answer_is_an_error_and_no_cause(
    lock: LockFile, open_demo: Callable[..., Any], tmp_path: Path
) -> None:
    empty = open_demo(tmp_path / "laptop", remote_database_url="postgresql://127.0.0.1:1/archive")
    with pytest.raises(RemoteUnavailableError):
        empty.check_lock(lock)


def test_other_content_is_told_with_both_checksums(filled: Store, lock: LockFile) -> None:
    table = DemoCalibration.table()
    with filled.local_db.begin() as connection:
        connection.execute(update(table).where(table.c.filename == "flat0.fits").values(checksum=f"sha256:{99:064x}"))
    check = filled.check_lock(lock)
    assert told(check) == [("content", "flat", 2)]
    assert f"sha256:{99:064x}, the lock's is sha256:{2:064x}" in message(check, "content")


def test_the_same_content_under_another_id_is_the_same(filled: Store, lock: LockFile) -> None:
    table = DemoCalibration.table()
    with filled.local_db.begin() as connection:
        connection.execute(
            update(table).where(table.c.filename == "flat0.fits").values(id="another", filename="x.fits")
        )
    assert filled.check_lock(lock).ok


def test_a_rule_that_changed_is_told_by_what_it_refuses(filled: Store, lock: LockFile) -> None:
    declare(match=("spectrograph", "lamp"), require={"amplifiers": 4})
    check = filled.check_lock(replace(lock, compared=(*lock.compared, "lamp"), frames=with_lamp(lock)))
    assert told(check) == [("rule", "dark", 4), ("anchor", "flat", 4)]
    said = message(check, "rule")
    assert said.startswith("the rule CalibrationSelector changed: it refuses dark0.fits for frame0.fits: ")
    assert "no amplifiers" in said
    assert "anchor" not in said


def with_lamp(lock: LockFile) -> Any:
    return tuple(each._replace(values={**each.values, "lamp": "thar"}) for each in lock.frames)


def test_a_rule_that_asks_for_more_is_told_by_the_column(filled: Store, lock: LockFile) -> None:
    declare(match=("spectrograph", "lamp"))
    check = filled.check_lock(lock)
    assert ("rule", "dark", 4) in told(check)
    assert "it asks for lamp, of which the lock says nothing" in message(check, "rule")
    assert filled.check_lock(filled.lock(FRAMES)).ok


def test_a_rule_that_takes_an_older_one_is_told_as_that(filled: Store, lock: LockFile) -> None:
    declare(direction="after")
    check = filled.check_lock(lock)
    assert told(check)[0] == ("rule", "dark", 2)
    assert "it refuses dark0.fits for frame1.fits" in message(check, "rule")


def test_a_rule_that_gives_pairs_is_told_as_that(filled: Store, lock: LockFile) -> None:
    declare(direction="bracket")
    check = filled.check_lock(lock)
    assert ("rule", "dark", 4) in told(check)
    assert "it gives a pair" in message(check, "rule")
    declare(direction="nearest")
    assert filled.check_lock(lock).ok


def test_a_rule_that_is_gone_is_told(filled: Store, lock: LockFile) -> None:
    InstrumentPlugin(DemoCalibration, [CalibrationSelector(cal_type="dark", match=("spectrograph",))])
    check = filled.check_lock(lock)
    assert told(check) == [("rule", "flat", 4)]
    assert message(check, "rule") == "the plugin has no rule for flat any more"


def test_what_was_missing_and_is_there_now_is_told(filled: Store) -> None:
    lock = filled.lock([{**FRAMES[0], "spectrograph": "RSPEC"}], ["dark"])
    assert filled.check_lock(lock).ok
    filled.local_db.add(record("red.fits", 60000.0, spectrograph="RSPEC"))
    assert told(filled.check_lock(lock)) == [("new", "dark", 1)]


def test_the_users_choice_stands_until_it_is_bad(filled: Store) -> None:
    lock = filled.lock(FRAMES, use={"dark": "dark1.fits"})
    assert filled.check_lock(lock).ok
    assert filled.check_lock(lock).now == lock
    filled.flag("dark1.fits", "BAD", "hot")
    assert told(filled.check_lock(lock)) == [("quality", "dark", 4)]


def test_another_version_is_a_note(filled: Store, lock: LockFile) -> None:
    check = filled.check_lock(replace(lock, core="0.0.1", plugin="3"))
    assert check.ok
    assert check.notes == (
        f"the lock is of koa-middleware 0.0.1, {lock.core} is here",
        "the lock is of the plugin 3, one without a version is here",
    )
    assert "the lock is of koa-middleware 0.0.1" in str(check)


def test_only_the_frames_that_are_asked_for_are_checked(filled: Store, lock: LockFile, tmp_path: Path) -> None:
    filled.local_db.add(record("new.fits", 60002.5, cal_version="002"))
    assert filled.check_lock(lock, FRAMES[:2]).ok
    assert len(filled.check_lock(lock, FRAMES[2:3]).causes) == 1
    with pytest.raises(CalibrationNotFoundError, match=r"no frame other\.fits"):
        filled.check_lock(lock, [{**FRAMES[0], "filename": "other.fits"}])


class TestOfAnArchive:
    """The archive's entries tell what was there when the lock was made, whenever this machine has synced."""

    STATE = ArchiveState("postgresql://archive/koa", 10, "2026-02-12T00:00:00.000000")

    @pytest.fixture
    def synced(self, filled: Store) -> Store:
        """Make all rows the archive's, each of entry 1."""
        feed = feed_table(DemoCalibration)
        with filled.local_db.begin() as connection:
            connection.execute(update(DemoCalibration.table()).values(origin="REMOTE"))
            connection.execute(delete(feed))
        return filled

    @staticmethod
    def happened(store: Store, filename: str, op: str, n: int, **more: Any) -> None:
        id_ = store.local_db.query_by_filename(filename).id
        entry = {"op": op, "at": "2026-02-13T00:00:00.000000", "archive_n": n, "archive_token": str(n), **more}
        with store.local_db.begin() as connection:
            connection.execute(insert(feed_table(DemoCalibration)).values(id=id_, **entry))

    @pytest.fixture
    def locked(self, synced: Store) -> LockFile:
        return replace(synced.lock(FRAMES, ["dark"]), archive=self.STATE)

    @pytest.mark.parametrize(("n", "kind"), [(11, "new"), (10, "rule"), (3, "rule")])
    def test_what_was_entered_later_is_new(self, synced: Store, locked: LockFile, n: int, kind: str) -> None:
        synced.local_db.add(record("other.fits", 60002.5, cal_version="002", origin="REMOTE"))
        self.happened(synced, "other.fits", "added", n)
        check = synced.check_lock(locked)
        assert told(check) == [(kind, "dark", 2)]
        assert "other.fits" in check.causes[0].message

    def test_what_was_flagged_good_since_is_told_as_that(self, synced: Store, locked: LockFile) -> None:
        synced.local_db.add(record("other.fits", 60002.5, cal_version="002", origin="REMOTE"))
        self.happened(synced, "other.fits", "added", 3)
        self.happened(synced, "other.fits", "flagged", 12, who="jane", why="it is fine", quality="GOOD")
        said = message(synced.check_lock(locked), "quality")
        assert said == "other.fits was flagged GOOD on 2026-02-13 by jane: it is fine"

    def test_values_that_were_changed_since_are_told_as_that(self, synced: Store, locked: LockFile) -> None:
        table = DemoCalibration.table()
        with synced.local_db.begin() as connection:
            connection.execute(update(table).where(table.c.filename == "dark1.fits").values(spectrograph="RSPEC"))
        self.happened(synced, "dark1.fits", "changed", 12, who="jane")
        check = synced.check_lock(locked)
        assert told(check) == [("changed", "dark", 2)]
        assert message(check, "changed") == "the values of dark1.fits were changed on 2026-02-13 by jane"


def test_what_another_machine_had_before_is_not_told_as_a_changed_rule(
    open_demo: Callable[..., Store], filled: Store, lock: LockFile, tmp_path: Path
) -> None:
    other = open_demo(tmp_path / "other")
    other.local_db.add(record("own.fits", 60002.5, cal_version="002"))
    other.local_db.add(filled.query())
    check = other.check_lock(lock)
    assert told(check) == [("new", "dark", 2)]
    assert message(check, "new") == "own.fits was not known where the lock was made, or the rule prefers it now"


def test_of_a_former_state_what_came_after_it_is_new(filled: Store, lock: LockFile) -> None:
    feed = feed_table(DemoCalibration)
    filled.local_db.add(record("later.fits", 60002.5, cal_version="002"))
    with filled.local_db.begin() as connection:
        connection.execute(update(feed).values(at="2026-02-12T00:00:00.000000"))
        later = filled.query(filename="later.fits")[0].id
        connection.execute(update(feed).where(feed.c.id == later).values(at="2026-02-14T00:00:00.000000"))
    former = replace(lock, as_of="2026-02-13T00:00:00.000000")
    assert message(filled.check_lock(former), "new").startswith("later.fits is new, added on 2026-02-14")
    former = replace(lock, as_of="2026-02-14T00:00:00.000000")
    assert [each.kind for each in filled.check_lock(former).causes] == ["rule"]
