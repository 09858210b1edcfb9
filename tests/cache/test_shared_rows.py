"""The calibrations of a shared cache are known under the user's own, whose word counts."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from koa_middleware import CacheError, CalibrationNotFoundError, CalibrationStore, DownloadError
from koa_middleware.exceptions import SharedCacheWarning
from sqlalchemy import func, select, text

from tests.cache.test_unwritable import NO_HISTORY, Dark, as_another, said
from tests.conftest import DemoCalibration, dark, record, repetitions

Store = CalibrationStore[DemoCalibration]
OpenDemo = Callable[..., Any]
NAMES = ["first.fits", "second.fits", "third.fits"]


def frame(mjd: float) -> dict[str, Any]:
    return {"spectrograph": "BSPEC", "mjd_start": mjd}


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """Give the observatory's cache, with one dark for each of three days."""
    with CalibrationStore(DemoCalibration, tmp_path / "observatory") as store:
        for day, name in enumerate(NAMES):
            store.register_calibration(dark(tmp_path / "night", name, 60000.0 + day), origin="REMOTE")
    return tmp_path / "observatory"


@pytest.fixture
def laptop(shared: Path, open_demo: OpenDemo, tmp_path: Path) -> Iterator[Store]:
    """Give a user's store, which is empty, above the observatory's; nothing there ever changes."""
    before = state_of(shared)
    yield open_demo(tmp_path / "own", shared_cache_dir=shared)
    assert state_of(shared) == before


def state_of(root: Path) -> list[Any]:
    return [(path, path.stat().st_mtime_ns, path.stat().st_size) for path in sorted(root.rglob("*"))]


def test_an_empty_cache_of_ones_own_selects_and_gets_from_the_observatorys(laptop: Store, shared: Path) -> None:
    assert [each.filename for each in laptop.query()] == NAMES
    chosen = laptop.select(frame(60001.1), Dark)
    assert chosen.filename == "second.fits"
    explanation = laptop.explain(frame(60001.1), Dark)
    assert explanation.winner is not None
    assert explanation.winner.id == chosen.id
    assert explanation.total == 3
    here = shared / "calibrations" / "second.fits"
    assert laptop.get_calibration(frame(60001.1), Dark).path == here
    assert laptop.get_calibration_by_id(chosen.id).path == here
    assert laptop.prefetch(records=laptop.query()).cached == NAMES
    assert len(laptop.local_db) == 0
    assert laptop.last_sync is None


def test_the_users_own_calibration_is_chosen_where_it_is_nearer(laptop: Store, tmp_path: Path) -> None:
    own = laptop.register_calibration(dark(tmp_path / "night", "own.fits", 60001.2)).calibration
    assert laptop.select(frame(60001.15), Dark).id == own.id
    assert laptop.select(frame(60001.05), Dark).filename == "second.fits"
    assert [each.filename for each in laptop.query()] == ["first.fits", "second.fits", "own.fits", "third.fits"]


def test_the_users_own_row_hides_the_shared_one_of_its_id(laptop: Store) -> None:
    values = laptop.query(filename="second.fits")[0].to_dict()
    laptop.local_db.add(DemoCalibration(**{**values, "quality": "BAD"}))
    assert laptop.select(frame(60001.1), Dark).filename == "third.fits"
    assert [each.quality for each in laptop.query(filename="second.fits")] == ["BAD"]


@pytest.mark.parametrize(("theirs", "mine"), [("Dark.fits", "dARK.fits"), ("Nächte.fits", "NÄCHTE.fits")])
def test_the_users_own_row_hides_the_shared_one_of_its_name(
    tmp_path: Path, open_demo: OpenDemo, theirs: str, mine: str
) -> None:
    with CalibrationStore(DemoCalibration, tmp_path / "observatory") as store:
        store.local_db.add([record(theirs), record("other.fits")])
    user = open_demo(tmp_path / "own", shared_cache_dir=tmp_path / "observatory")
    user.local_db.add(record(mine))
    assert sorted(each.filename for each in user.query()) == sorted([mine, "other.fits"])
    assert [each.filename for each in user.query(filename=theirs)] == [mine]


def test_what_was_withdrawn_here_does_not_come_back_from_below(laptop: Store) -> None:
    values = laptop.query(filename="second.fits")[0].to_dict()
    laptop.local_db.add(DemoCalibration(**values))
    with laptop.local_db.begin() as connection:
        connection.execute(text("DELETE FROM demo_calibrations"))
    assert [each.filename for each in laptop.query()] == ["first.fits", "third.fits"]


def test_a_shared_calibration_cannot_be_flagged_by_its_reader(laptop: Store) -> None:
    with pytest.raises(CacheError, match="only read"):
        laptop.flag("first.fits", "BAD", "cosmic rays")
    with pytest.raises(CalibrationNotFoundError):
        laptop.flag("nothing.fits", "BAD", "cosmic rays")


def test_a_file_that_came_for_a_shared_calibration_is_no_stranger(
    shared: Path, tmp_path: Path, open_demo: OpenDemo
) -> None:
    served = shutil.copytree(shared / "calibrations", tmp_path / "served")
    user = open_demo(tmp_path / "own", shared_cache_dir=shared, calibration_url=served.as_uri())
    (shared / "calibrations" / "first.fits").unlink()
    path = user.get_calibration_by_id(user.query(filename="first.fits")[0].id).path
    assert path == tmp_path / "own" / "calibrations" / "first.fits"
    assert user.verify().without_record == []
    assert user.get_calibration_by_id(user.query(filename="first.fits")[0].id).path == path


def test_a_flag_of_the_keeper_is_seen_at_once(shared: Path, tmp_path: Path, open_demo: OpenDemo) -> None:
    user, keeper = open_demo(tmp_path / "own", shared_cache_dir=shared), open_demo(shared)
    assert user.select(frame(60001.1), Dark).filename == "second.fits"
    with keeper.local_db.begin() as connection:
        connection.execute(text("UPDATE demo_calibrations SET quality = 'BAD' WHERE filename = 'second.fits'"))
    assert user.select(frame(60001.1), Dark).filename == "third.fits"


def test_verifying_publishing_and_pruning_know_the_users_own_alone(laptop: Store) -> None:
    report = laptop.verify()
    assert report.ok
    assert report.without_record == []
    assert laptop.prune().removed == []
    assert len(laptop.local_db.query()) == 0


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda path: path.write_bytes(b"no database " * 1000), "not a database"),
        (
            lambda path: changed(path, "ALTER TABLE demo_calibrations RENAME COLUMN datetime_obs TO observed"),
            "datetime",
        ),
        (lambda path: changed(path, "UPDATE demo_calibrations SET lamp = 'ThAr'", "DELETE FROM koa_versions"), "lamp"),
    ],
)
def test_a_shared_database_that_cannot_be_read_stops_no_work(
    shared: Path, tmp_path: Path, open_demo: OpenDemo, spoil: Callable[[Path], None], said: str
) -> None:
    spoil(shared / "database" / "demo_calibrations.db")
    with pytest.warns(SharedCacheWarning, match=said):
        user = open_demo(tmp_path / "own", shared_cache_dir=shared)
    user.local_db.add(record("own.fits"))
    assert [each.filename for each in user.query()] == ["own.fits"]


def changed(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.create_function("koa_folded", 1, str.casefold, deterministic=True)
        for statement in statements:
            connection.execute(statement)


def test_an_older_shared_database_is_read(shared: Path, tmp_path: Path, open_demo: OpenDemo) -> None:
    changed(
        shared / "database" / "demo_calibrations.db",
        *NO_HISTORY,
        "ALTER TABLE demo_calibrations DROP COLUMN cooled",
        "DROP TABLE koa_versions",
    )
    user = open_demo(tmp_path / "own", shared_cache_dir=shared)
    assert [(each.filename, each.cooled) for each in user.query()] == [(name, None) for name in NAMES]


@pytest.mark.skipif(Path("/nowhere").exists(), reason="the place is there")
def test_a_user_without_a_home_reads_the_observatorys_cache(shared: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        place.chmod(0o755)
        seen = shutil.copytree(shared, place / "observatory")
        new = dark(place / "night", "own.fits")

        def act() -> list[str]:
            with CalibrationStore(DemoCalibration, "/nowhere/cache", shared_cache_dir=seen) as store:
                return [
                    *(each.filename for each in store.query()),
                    str(store.get_calibration(frame(60001.1), Dark).path),
                    said(store.local_db.add, record("own.fits")),
                    said(store.register_calibration, new),
                    said(CalibrationStore, DemoCalibration, "/nowhere/cache"),
                ]

        *found, path, adding, registering, alone = as_another(act)
    assert found == NAMES
    assert path == str(seen / "calibrations" / "second.fits")
    assert adding.startswith("CacheError: The database /nowhere/cache/database/demo_calibrations.db cannot be made")
    assert registering.startswith("CacheError: /nowhere/cache/calibrations cannot be written")
    assert alone.startswith("ConfigurationError")


def test_a_selection_from_both_reads_neither_whole(tmp_path: Path, open_demo: OpenDemo) -> None:
    """Counted in steps of SQLite's machine: many more rows take hardly more of them."""
    taken = []
    for number in (50, 2000):
        folder = tmp_path / str(number)
        for place, first in (("own", 0.0), ("observatory", 0.5)):
            with CalibrationStore(DemoCalibration, folder / place) as store:
                store.local_db.add([record(f"{place}{n}.fits", 60000.0 + n + first) for n in range(number)])
        store = open_demo(folder / "own", shared_cache_dir=folder / "observatory")
        steps: list[None] = []
        with store.known_db.driver_connection() as connection:  # the only one yet, which the selection takes
            connection.set_progress_handler(lambda steps=steps: steps.append(None), 1)
        assert store.select(frame(60025.4), Dark).filename == "observatory25.fits"
        taken.append(len(steps))
    assert 0 < taken[1] < 2 * taken[0]


def test_statements_of_ones_own_find_the_shared_rows(laptop: Store) -> None:
    table = DemoCalibration.table()
    names = select(table.c.filename).order_by(-table.c.mjd_start)
    assert laptop.known_db.rows(names, {}) == [(name,) for name in reversed(NAMES)]
    second = laptop.known_db.fetch(select(table).order_by(-table.c.mjd_start).limit(1).offset(1), {})
    assert [each.filename for each in second] == ["second.fits"]
    with laptop.known_db.session_manager() as session:
        assert session.scalar(select(func.count()).select_from(DemoCalibration)) == 3


def test_the_choice_from_two_databases_is_that_from_one_with_all_rows(tmp_path: Path, open_demo: OpenDemo) -> None:
    import random

    chance = random.Random(11)
    for round_ in range(repetitions(1, 100)):
        rows = [
            record(f"{n}.fits", 60000.0 + chance.randrange(40) / 4, cal_version=f"{chance.randrange(1, 4):03}",
                   spectrograph=chance.choice(["BSPEC", "RSPEC"]), quality=chance.choice(["GOOD", "GOOD", "BAD"]))
            for n in range(60)
        ]  # fmt: skip
        folder = tmp_path / str(round_)
        for place, some in (("all", rows), ("own", rows[::3]), ("observatory", [*rows[1::3], *rows[2::3], *rows[::6]])):
            with CalibrationStore(DemoCalibration, folder / place) as store:
                store.local_db.add([DemoCalibration(**each.to_dict()) for each in some])
        one = open_demo(folder / "all")
        two = open_demo(folder / "own", shared_cache_dir=folder / "observatory")
        for asked in [frame(60000.0 + chance.randrange(100) / 10) for _ in range(20)]:
            assert two.select(asked, Dark).id == one.select(asked, Dark).id
            candidates = [[each.id for each in Dark().get_candidates(asked, store.known_db)] for store in (one, two)]
            assert candidates[0] == candidates[1]
            assert two.explain(asked, Dark).counts == one.explain(asked, Dark).counts
        shutil.rmtree(folder)


def test_a_file_that_the_shared_cache_lacks_is_its_keepers_matter(
    shared: Path, open_demo: OpenDemo, tmp_path: Path
) -> None:
    with CalibrationStore(DemoCalibration, shared) as keeper:
        path, _ = keeper.register_calibration(dark(tmp_path / "night", "theirs.fits", 60003.0))
    path.unlink()
    store = open_demo(tmp_path / "own", shared_cache_dir=shared)
    with pytest.raises(DownloadError, match=r"theirs.fits is not in the shared cache .*observatory") as raised:
        store.get_calibration_by_id(store.query(filename="theirs.fits")[0].id)
    assert "keeper" in raised.value.hint


@pytest.mark.parametrize(
    ("lose", "said"),
    [
        (lambda root: shutil.rmtree(root), "observatory is missing"),
        (lambda root: [shutil.rmtree(each) for each in root.iterdir()], "observatory has no database"),
        (lambda root: (root / "database" / "demo_calibrations.db").unlink(), "observatory has no database"),
        (lambda root: (root / "database" / "demo_calibrations.db").write_bytes(b""), "demo_calibrations.db is empty"),
    ],
    ids=["unmounted", "empty folder", "no database", "database without a byte"],
)
def test_a_shared_cache_that_gives_no_calibrations_is_told(
    shared: Path, open_demo: OpenDemo, tmp_path: Path, lose: Callable[[Path], None], said: str
) -> None:
    lose(shared)
    with pytest.warns(SharedCacheWarning, match=said) as caught:
        store = open_demo(tmp_path / "own", shared_cache_dir=shared)
    assert len(caught) == 1
    store.register_calibration(dark(tmp_path / "night", "own.fits"))
    assert [each.filename for each in store.query()] == ["own.fits"]
