from __future__ import annotations

import asyncio
import math
import os
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from koa_middleware import (
    CacheError,
    CalibrationNotFoundError,
    CalibrationResult,
    CalibrationSelector,
    CalibrationStore,
    ConfigurationError,
    HeaderError,
    InstrumentPlugin,
    IntegrityError,
    InvalidPluginError,
    ORMCalibration,
    RemoteNotConfiguredError,
    SourceFileError,
)

from tests.conftest import DemoCalibration, dark, files_under, output_of, record, run_python

Store = CalibrationStore[DemoCalibration]
FRAME = {"mjd_start": 60000.0, "spectrograph": "BSPEC", "lamp": "thar"}


class DarkSelector(CalibrationSelector):
    cal_type = "dark"
    match = ("spectrograph",)


class WlsSelector(CalibrationSelector):
    cal_type = "wls"
    match = ("lamp",)
    max_age = timedelta(days=2)


@pytest.fixture(autouse=True)
def plugin() -> Any:
    """The demo instrument with two selectors, in an order that is not the alphabet's."""
    yield InstrumentPlugin(DemoCalibration, [WlsSelector(), DarkSelector(), CalibrationSelector(cal_type="bias")])
    InstrumentPlugin(DemoCalibration)


# -- making a store ----------------------------------------------------------------------------------------------------


def test_a_new_store_makes_the_documented_layout_and_nothing_else(tmp_path: Path) -> None:
    with CalibrationStore(orm_class=DemoCalibration, cache_dir=tmp_path / "new" / "cache") as store:
        assert (tmp_path / "new" / "cache" / "calibrations").is_dir()
        assert (tmp_path / "new" / "cache" / "database" / "demo_calibrations.db").is_file()
        assert files_under(store.cache_dir) == []
        assert list((store.cache_dir / "calibrations").iterdir()) == []


def test_a_store_is_made_from_the_environment_alone(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("KOA_CALIBRATION_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("KOA_LOCAL_DATABASE_FILENAME", "mine.db")
    monkeypatch.setenv("KOA_USE_CACHED_CALIBRATIONS", "no")
    with CalibrationStore(DemoCalibration) as store:
        assert (store.cache_dir, store.use_cached) == (tmp_path / "cache", False)
        assert (tmp_path / "cache" / "database" / "mine.db").is_file()
    with CalibrationStore(DemoCalibration, tmp_path / "other", "yours.db", True) as store:
        assert (store.cache_dir, store.use_cached) == (tmp_path / "other", True)
        assert (tmp_path / "other" / "database" / "yours.db").is_file()


def test_a_relative_cache_stays_where_it_was_when_the_working_folder_changes(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    with CalibrationStore(DemoCalibration, "cache") as store:
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        path, _ = store.register_calibration(dark(tmp_path))
    assert path == tmp_path / "cache" / "calibrations" / "dark.fits"


@pytest.mark.parametrize("below", ["", "calibrations", "database", "partial", "database/demo_calibrations.db/x"])
def test_a_cache_folder_that_is_a_file_is_said(tmp_path: Path, below: str) -> None:
    spoilt = tmp_path / "cache" / below
    spoilt.parent.mkdir(parents=True, exist_ok=True)
    spoilt.write_text("a file")
    error = CacheError if below.startswith("database/") else ConfigurationError
    with pytest.raises(error, match=str(tmp_path / "cache")):
        CalibrationStore(DemoCalibration, tmp_path / "cache")
    assert spoilt.read_text() == "a file"


@pytest.mark.parametrize("folder", ["/proc/nowhere/cache", "/dev/null/cache", "a\0b"])
def test_a_cache_folder_that_cannot_be_made_is_said(folder: str) -> None:
    with pytest.raises(ConfigurationError, match=r"cache_dir|KOA_CALIBRATION_CACHE"):
        CalibrationStore(DemoCalibration, folder)


def test_a_cache_folder_without_the_right_to_write_is_said() -> None:
    script = """
import os, sys
from pathlib import Path
from koa_middleware import CalibrationStore, ConfigurationError
from tests.conftest import DemoCalibration
import koa_middleware.store
folder = Path(sys.argv[1])
(folder / "cache").mkdir()
(folder / "cache").chmod(0o555)
folder.chmod(0o755)
if os.getuid() == 0:
    os.setuid(65534)
for cache in (folder / "cache", folder / "cache" / "below"):
    try:
        CalibrationStore(DemoCalibration, cache)
    except ConfigurationError as error:
        print(error)
"""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        said = output_of(run_python(script, folder)).splitlines()
    assert len(said) == 2
    assert all("Permission denied" in line and "KOA_CALIBRATION_CACHE" in line for line in said)


@pytest.mark.parametrize("given", [None, "demo", ORMCalibration, InstrumentPlugin(DemoCalibration)], ids=repr)
def test_what_is_no_instruments_class_is_said(tmp_path: Path, given: Any) -> None:
    with pytest.raises(ConfigurationError, match="orm_class"):
        CalibrationStore(given, tmp_path)


def test_two_instruments_share_a_folder_and_no_table(tmp_path: Path) -> None:
    class OtherCalibration(ORMCalibration):
        instrument_name = "other"

    with CalibrationStore(DemoCalibration, tmp_path) as demo, CalibrationStore(OtherCalibration, tmp_path) as other:
        demo.register_calibration(dark(tmp_path / "sources"))
        assert (len(demo.local_db), len(other.local_db)) == (1, 0)
        for store, name in ((demo, "demo"), (other, "other")):
            with sqlite3.connect(store.cache_dir / "database" / f"{name}_calibrations.db") as connection:
                tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            connection.close()
            assert f"{name}_calibrations" in tables
            assert all(table.startswith(f"{name}_") for table in tables - {"koa_versions"})


def test_stores_may_be_nested_and_see_each_others_records_at_once(
    open_demo: Callable[..., Store], tmp_path: Path
) -> None:
    outer, inner = open_demo(), open_demo()
    _, found = inner.register_calibration(dark(tmp_path))
    assert outer.get_calibration_by_id(found.id).calibration.filename == "dark.fits"


def test_a_repr_tells_instrument_folder_and_database_and_no_secret(open_demo: Callable[..., Store]) -> None:
    text = repr(open_demo())
    for part in ("demo", "cache", "demo_calibrations.db", "local only"):
        assert part in text
    secret = open_demo(
        remote_database_url="postgresql://me:hidden@127.0.0.1:1/koa", calibration_url="https://me:hidden@127.0.0.1:1/"
    )
    assert "hidden" not in repr(secret)


def test_a_store_imports_neither_astropy_nor_a_network_library(tmp_path: Path) -> None:
    script = """
import sys, socket
socket.socket.connect = None
from koa_middleware import CalibrationStore
from tests.conftest import DemoCalibration
with CalibrationStore(DemoCalibration, sys.argv[1], remote_database_url="postgresql://127.0.0.1:1/koa") as store:
    store.query()
print(sorted({"astropy", "requests", "psycopg2"} & set(sys.modules)))
"""
    assert output_of(run_python(script, tmp_path)).strip() == "[]"


# -- choosing ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def filled(store: Store, tmp_path: Path) -> Store:
    for name, mjd, more in (
        ("near.fits", 60001.0, {}),
        ("far.fits", 59990.0, {}),
        ("bad.fits", 60000.0, {"DATAQUAL": "BAD"}),
        ("red.fits", 60000.0, {"SPECTROG": "RSPEC"}),
        ("bias.fits", 60000.0, {"CALTYPE": "bias"}),
    ):
        store.register_calibration(dark(tmp_path / "sources", name, mjd, **more))
    return store


def test_a_calibration_is_its_path_and_its_record(filled: Store) -> None:
    result = filled.get_calibration(FRAME, "dark")
    path, found = result
    assert isinstance(result, CalibrationResult)
    assert (result.path, result.calibration) == (path, found)
    assert path == filled.cache_dir / "calibrations" / "near.fits"
    assert found.filename == "near.fits"


def test_a_selector_is_a_name_a_class_or_an_instance(filled: Store) -> None:
    for selector in ("dark", " DARK ", DarkSelector, DarkSelector(), DarkSelector(max_age=timedelta(days=5))):
        assert filled.select(FRAME, selector).filename == "near.fits"


@pytest.mark.parametrize(
    "selector", [None, 42, dict, pytest.param(object(), id="object()"), "flat", "nonsense"], ids=repr
)
def test_what_is_no_selector_is_said_with_those_that_are(filled: Store, selector: Any) -> None:
    for call in (filled.select, filled.explain, filled.get_calibration):
        with pytest.raises(ConfigurationError, match="wls, dark, bias"):
            call(FRAME, selector)


def test_an_unknown_source_is_said(filled: Store) -> None:
    with pytest.raises(ConfigurationError, match="elsewhere"):
        filled.select(FRAME, "dark", source="elsewhere")  # type: ignore[arg-type]


def test_nothing_that_fits_says_what_was_asked_and_why_the_nearest_were_refused(filled: Store) -> None:
    with pytest.raises(CalibrationNotFoundError) as caught:
        filled.get_calibration(FRAME, DarkSelector(max_age=timedelta(hours=12)))
    error = caught.value
    for part in ("dark", "BSPEC", "60000.0", "4 known", "near.fits: 1.0 d newer, limit 0.5 d", "bad.fits", "RSPEC"):
        assert part in str(error)
    assert (error.cal_type, error.total, len(error.nearest)) == ("dark", 4, 3)
    assert error.asked == {"spectrograph": "BSPEC", "mjd_start": 60000.0}


def test_an_empty_database_is_said(store: Store) -> None:
    with pytest.raises(CalibrationNotFoundError, match="holds none of that type") as caught:
        store.select(FRAME, "dark")
    assert caught.value.total == 0


def test_all_types_come_in_the_plugins_order_and_named_ones_in_theirs(filled: Store, tmp_path: Path) -> None:
    filled.register_calibration(dark(tmp_path, "wls.fits", CALTYPE="wls", LAMP="ThAr"))
    found = filled.get_calibrations(FRAME)
    assert {name: each.calibration.filename for name, each in found.items()} == {
        "wls": "wls.fits",
        "dark": "near.fits",
        "bias": "bias.fits",
    }
    assert list(found) == ["wls", "dark", "bias"]
    assert list(filled.get_calibrations(FRAME, ["bias", "wls"])) == ["bias", "wls"]
    assert filled.get_calibrations(FRAME, []) == {}


def test_types_that_nothing_fits_are_one_error_that_lists_them_all(filled: Store) -> None:
    with pytest.raises(CalibrationNotFoundError) as caught:
        filled.get_calibrations({**FRAME, "spectrograph": "GSPEC"})
    assert list(caught.value.misses) == ["wls", "dark"]
    assert "wls" in str(caught.value)
    assert "dark" in str(caught.value)
    found = filled.get_calibrations({**FRAME, "spectrograph": "GSPEC"}, return_exceptions=True)
    assert list(found) == ["wls", "dark", "bias"]
    assert [type(each) for each in found.values()] == [
        CalibrationNotFoundError,
        CalibrationNotFoundError,
        CalibrationResult,
    ]


def test_an_error_that_is_no_miss_is_not_hidden_among_them(filled: Store) -> None:
    with pytest.raises(HeaderError, match="lamp"):
        filled.get_calibrations({**FRAME, "lamp": None, "spectrograph": "GSPEC"})
    with pytest.raises(SourceFileError, match=r"no-frame\.fits"):
        filled.get_calibrations("no-frame.fits", return_exceptions=True)
    (filled.cache_dir / "calibrations" / "bias.fits").write_bytes(b"spoilt")
    with pytest.raises(IntegrityError, match=r"bias\.fits"):
        filled.get_calibrations({**FRAME, "spectrograph": "GSPEC"})


def test_selecting_for_many_is_aligned_and_misses_are_those_of_asyncio_gather(filled: Store) -> None:
    frames: list[Any] = [FRAME, {**FRAME, "spectrograph": "GSPEC"}, "missing.fits", {**FRAME, "mjd_start": 59990.0}]

    async def select(frame: Any) -> Any:
        return filled.select(frame, "dark")

    async def gathered() -> list[Any]:
        return await asyncio.gather(*map(select, frames), return_exceptions=True)

    expected = asyncio.run(gathered())
    found = filled.select_many(iter(frames), "dark", return_exceptions=True)
    assert [type(each) for each in found] == [type(each) for each in expected]
    assert [each.filename for each in (found[0], found[3])] == ["near.fits", "far.fits"]  # type: ignore[union-attr]
    with pytest.raises(CalibrationNotFoundError, match="GSPEC"):
        filled.select_many(frames, "dark")
    assert filled.select_many([], "dark") == []


def test_a_single_frame_is_taken_for_many(filled: Store, tmp_path: Path) -> None:
    path = dark(tmp_path, "frame.fits", 60000.0)
    expected = [filled.select(path, "dark").filename]
    for single in (path, str(path), {**FRAME}, record(mjd=60000.0)):
        found = filled.select_many(single, "dark", return_exceptions=True)
        assert [getattr(each, "filename", each) for each in found] == expected


@pytest.mark.parametrize(
    "make", [lambda record: record.id, lambda record: [record.id], lambda record: 7, lambda _: [None]]
)
def test_what_is_no_record_is_said_before_anything_is_done(filled: Store, tmp_path: Path, make: Any) -> None:
    given = make(filled.select(FRAME, "dark"))
    for call in (
        lambda: filled.export_bundle(tmp_path / "bundle.tar", given),
        lambda: filled.publish(given),
        lambda: filled.prefetch(records=given),
        lambda: filled.to_table(given),
    ):
        with pytest.raises(ConfigurationError, match=r"is not a record\. Give records"):
            call()
    assert not (tmp_path / "bundle.tar").exists()


def test_a_single_record_is_taken_for_a_list_of_it(filled: Store, tmp_path: Path) -> None:
    record = filled.select(FRAME, "dark")
    assert list(filled.to_table(record)["id"]) == [record.id]
    filled.export_bundle(tmp_path / "bundle.tar", record)
    assert (tmp_path / "bundle.tar").is_file()
    assert filled.prefetch(records=record).cached == [record.filename]


@pytest.mark.parametrize(
    "limits",
    [
        {"older_than": 30},
        {"older_than": "30"},
        {"older_than": timedelta(days=-1)},
        {"cal_type": 0},
        {"max_size": "20GB"},
        {"max_size": True},
        {"max_size": -1},
        {"max_size": math.nan},
    ],
    ids=repr,
)
def test_a_limit_of_another_kind_is_said_and_nothing_goes(filled: Store, limits: Any) -> None:
    (name,) = limits
    with pytest.raises(ConfigurationError, match=f"^{name} is "):
        filled.prune(**limits)


@pytest.mark.parametrize("workers", [-1, 0, None, "2", math.nan, 2.5, True, 2**63], ids=repr)
def test_a_number_of_workers_that_is_none_is_said(filled: Store, workers: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^workers is .*\. Give a whole number, 1 or more\.$"):
        filled.prefetch(records=filled.query(), workers=workers)


def test_a_reason_that_is_no_text_is_said(filled: Store) -> None:
    with pytest.raises(ConfigurationError, match="The reason of the flag is 5, which is no text"):
        filled.flag("near.fits", "GOOD", 5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("quality", "reason"),
    [(None, "a light leak"), (1, "a light leak"), ("BAD", None), ("BAD", 1), ("BAD", "leak\ud800")],
)
def test_a_judgement_that_cannot_be_kept_is_said_and_changes_nothing(filled: Store, quality: Any, reason: Any) -> None:
    with pytest.raises(ConfigurationError):
        filled.flag("near.fits", quality, reason)
    assert filled.local_db.find("near.fits").quality == "GOOD"


def test_an_error_of_a_plugins_own_method_is_told_as_that_plugins_and_keeps_its_cause(filled: Store) -> None:
    class Broken(DarkSelector):
        def select_best(self, input: Any, candidates: Any) -> Any:
            return input["no_such_column"]

    with pytest.raises(InvalidPluginError, match="The select_best of Broken failed with KeyError") as caught:
        filled.select(FRAME, Broken)
    assert isinstance(caught.value.__cause__, KeyError)
    (error,) = filled.select_many([FRAME], Broken, return_exceptions=True)
    assert isinstance(error, InvalidPluginError)


# -- files -------------------------------------------------------------------------------------------------------------


def test_a_known_id_gives_its_calibration_and_an_unknown_one_an_error(filled: Store) -> None:
    found = filled.select(FRAME, "dark")
    path, again = filled.get_calibration_by_id(found.id)
    assert (path.name, again.to_dict()) == ("near.fits", found.to_dict())
    with pytest.raises(CalibrationNotFoundError, match="nonsense"):
        filled.get_calibration_by_id("nonsense")


def test_a_changed_file_is_never_handed_out_and_stays_where_it_is(filled: Store) -> None:
    found = filled.select(FRAME, "dark")
    path = filled.get_local_filepath(found)
    whole = path.read_bytes()
    for spoilt in (whole[:-1], whole + b"\0", whole[:100] + b"X" + whole[101:], b""):
        path.write_bytes(spoilt)
        assert not filled.calibration_in_cache(found)
        for call in (lambda: filled.get_calibration(FRAME, "dark"), lambda: filled.get_calibration_by_id(found.id)):
            with pytest.raises(IntegrityError, match=r"near\.fits is not what its record says") as caught:
                call()
            assert caught.value.path == path
        assert path.read_bytes() == spoilt
    path.write_bytes(whole)
    assert filled.calibration_in_cache(found)
    assert filled.get_calibration(FRAME, "dark").path == path


def test_a_file_that_was_touched_is_read_again_and_accepted(filled: Store) -> None:
    path, found = filled.get_calibration(FRAME, "dark")
    os.utime(path)
    assert filled.calibration_in_cache(found)
    assert filled.get_calibration(FRAME, "dark").path == path


def test_a_record_whose_checksum_changed_is_not_served_with_the_file_of_before(filled: Store) -> None:
    path, found = filled.get_calibration(FRAME, "dark")
    with filled.local_db.session_manager() as session:
        row = session.get(DemoCalibration, found.id)
        assert row is not None
        row.checksum = "sha256:" + "0" * 64
    with pytest.raises(IntegrityError, match="checksum"):
        filled.get_calibration(FRAME, "dark")
    assert path.is_file()


@pytest.mark.parametrize("algorithm", ["md5", "sha256"])
def test_checksums_of_both_kinds_are_verified(store: Store, algorithm: str) -> None:
    import hashlib

    content = b"1,2\n"
    path = store.cache_dir / "calibrations" / "mask.csv"
    path.write_bytes(content)
    made = record("mask.csv", checksum=f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}", file_size=4)
    store.local_db.add(made)
    assert store.get_calibration_by_id(made.id).path == path
    path.write_bytes(b"1,3\n")
    with pytest.raises(IntegrityError, match="checksum"):
        store.get_calibration_by_id(made.id)


@pytest.mark.parametrize("checksum", ["crc32:abc", "0123abcd", "sha256", "sha256:", "md5:xyz"])
def test_a_checksum_that_cannot_be_verified_is_refused(store: Store, checksum: str) -> None:
    with pytest.raises(HeaderError, match=f"{checksum}.*checksum"):
        store.local_db.add(record("mask.csv", checksum=checksum))
    assert len(store.local_db) == 0


def test_a_record_without_a_checksum_is_verified_by_its_size(store: Store) -> None:
    (store.cache_dir / "calibrations" / "mask.csv").write_bytes(b"1,2\n")
    store.local_db.add([made := record("mask.csv", file_size=4), record("bare.csv")])
    assert store.get_calibration_by_id(made.id).path.name == "mask.csv"
    (store.cache_dir / "calibrations" / "mask.csv").write_bytes(b"1,23\n")
    with pytest.raises(IntegrityError, match="5 bytes, but 4 are recorded"):
        store.get_calibration_by_id(made.id)


def test_a_file_that_is_not_here_and_cannot_come_is_said_with_the_setting(store: Store) -> None:
    store.local_db.add(made := record("remote.fits", origin="REMOTE"))
    assert not store.calibration_in_cache(made)
    with pytest.raises(RemoteNotConfiguredError, match=r"remote\.fits.*KOA_CALIBRATION_URL") as caught:
        store.get_calibration(FRAME, "dark")
    assert caught.value.variable == "KOA_CALIBRATION_URL"


def test_a_local_file_comes_from_the_cache_even_when_cached_ones_are_not_wanted(
    open_demo: Callable[..., Store], tmp_path: Path
) -> None:
    store = open_demo(use_cached=False)
    store.register_calibration(dark(tmp_path, "local.fits", 60000.0))
    store.register_calibration(dark(tmp_path, "remote.fits", 60005.0, ORIGIN="REMOTE"))
    late = {**FRAME, "mjd_start": 60005.0}
    assert store.get_calibration(FRAME, "dark").path.name == "local.fits"
    assert store.get_calibration(late, "dark", use_cached=True).path.name == "remote.fits"
    with pytest.raises(RemoteNotConfiguredError, match=r"remote\.fits"):
        store.get_calibration(late, "dark")


# -- records -----------------------------------------------------------------------------------------------------------


def test_records_stay_usable_after_the_store_is_closed(tmp_path: Path) -> None:
    with CalibrationStore(DemoCalibration, tmp_path / "cache") as store:
        _, registered = store.register_calibration(dark(tmp_path, MASTCAL=True))
        records = [registered, store.select(FRAME, "dark"), *store.query(), store.local_db.query_by_id(registered.id)]
        records += store.explain(FRAME, "dark").winner, store.explain(FRAME, "dark").candidates[0].record  # type: ignore[operator]
        with store.local_db.session_manager() as session:
            records.append(session.query(DemoCalibration).one())
    expected = registered.to_dict()
    assert expected["master_cal"] is True
    for each in records:
        assert each.to_dict() == expected
        assert each.filename == each["filename"] == each.get("filename") == "dark.fits"
        assert dict(each) == expected
        assert (each.get("nonsense"), each.get("nonsense", 1)) == (None, 1)
        assert "dark.fits" in repr(each)
        with pytest.raises(KeyError):
            each["nonsense"]


def test_a_closed_store_can_be_closed_again_and_leaves_no_open_file(tmp_path: Path) -> None:
    def open_here() -> set[str]:
        return {path for path in map(_target, Path("/proc/self/fd").iterdir()) if str(tmp_path) in path}

    for _ in range(3):
        store = CalibrationStore(DemoCalibration, tmp_path)
        store.query()
        store.close()
        store.close()
    assert open_here() == set()


def _target(descriptor: Path) -> str:
    try:
        return str(descriptor.readlink())
    except FileNotFoundError:
        return ""


def test_queries_are_those_of_the_database(filled: Store) -> None:
    assert [each.filename for each in filled.query("dark", quality="GOOD", spectrograph="BSPEC")] == [
        "far.fits",
        "near.fits",
    ]
    with pytest.raises(HeaderError, match="nonsense"):
        filled.query(nonsense=1)


# -- processes and threads ---------------------------------------------------------------------------------------------


def test_threads_share_a_store(filled: Store, tmp_path: Path) -> None:
    sources = [dark(tmp_path / "more", f"{n}.fits", 60100.0 + n) for n in range(24)]
    start = threading.Barrier(12)

    def work(number: int) -> list[str]:
        start.wait()
        names = []
        for source in sources[number::12]:
            names.append(filled.register_calibration(source).calibration.filename)
            assert filled.get_calibration(FRAME, "dark").path.name == "near.fits"
            assert filled.explain(FRAME, "dark").winner.filename == "near.fits"  # type: ignore[union-attr]
        return names

    with ThreadPoolExecutor(12) as pool:
        found = [name for names in pool.map(work, range(12)) for name in names]
    assert sorted(found) == sorted(source.name for source in sources)
    assert len(filled.local_db) == 5 + 24


def test_a_store_that_was_made_before_a_fork_works_on_both_sides(tmp_path: Path) -> None:
    script = """
import os, sys
from pathlib import Path
from koa_middleware import CalibrationSelector, CalibrationStore
from tests.conftest import DemoCalibration, dark

folder = Path(sys.argv[1])
frame = {"mjd_start": 60000.0}
with CalibrationStore(DemoCalibration, folder / "cache") as store:
    store.register_calibration(dark(folder, "before.fits"))
    children = []
    parents = store.local_db.engine.raw_connection()
    mine = parents.dbapi_connection
    parents.close()
    for n in range(4):
        child = os.fork()
        if child == 0:
            assert store.local_db.engine.raw_connection().dbapi_connection is not mine  # sqlite.org/howtocorrupt.html
            assert store.select(frame, CalibrationSelector(cal_type="dark")).filename == "before.fits"
            for k in range(5):
                store.register_calibration(dark(folder, f"child{n}{k}.fits", 60001.0 + n + k / 10))
            assert store.query()[0].filename == "before.fits"
            os._exit(0)
        children.append(child)
    store.register_calibration(dark(folder, "parent.fits", 60009.0))
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    print(codes, len(store.query()), len(list((store.cache_dir / "calibrations").iterdir())))
"""
    assert output_of(run_python(script, tmp_path)).strip() == "[0, 0, 0, 0] 22 22"
