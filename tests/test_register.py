"""What registering does to folder and database: everything or nothing."""

from __future__ import annotations

import gzip
import hashlib
import os
import stat
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any

import pytest
from astropy.io.fits import Header
from hypothesis import given, settings
from hypothesis import strategies as st
from koa_middleware import (
    CacheError,
    CalibrationSelector,
    CalibrationStore,
    DuplicateCalibrationError,
    HeaderError,
    HeaderWarning,
    IntegrityError,
    KoaMiddlewareError,
    ORMCalibration,
    QualityWarning,
    SourceFileError,
    UnsafeFilenameError,
    by,
    fits_column,
)
from koa_middleware.database.driver import GuardedConnection
from koa_middleware.database.file_names import stored_names
from sqlalchemy import String, event, text
from sqlalchemy.orm import Mapped

from tests.conftest import (
    DemoCalibration,
    dark,
    dark_keywords,
    files_under,
    output_of,
    record,
    repetitions,
    run_python,
    write_fits,
)

Store = CalibrationStore[DemoCalibration]


def state(store: Store) -> tuple[list[dict[str, Any]], dict[str, bytes]]:
    """Everything that a failed registration must leave as it was: rows, and files with their content."""
    names = files_under(store.cache_dir)
    return [row.to_dict() for row in store.query()], {name: (store.cache_dir / name).read_bytes() for name in names}


def refused(store: Store, source: Any, error: type[Exception], match: str, **more: Any) -> Any:
    """Check that a registration fails in this way and changes nothing."""
    before = state(store)
    with pytest.raises(error, match=match) as caught:
        store.register_calibration(source, **more)
    assert state(store) == before
    return caught.value


class Model:
    """A pipeline's data model: it knows its row, and writes its file where it is told."""

    def __init__(self, content: int = 0, **values: Any) -> None:
        self.meta = record(**{"filename": "model.fits", **values})
        self.content = content
        self.saves = 0

    def to_orm(self) -> DemoCalibration:
        return self.meta

    def save(self, output_dir: Path) -> Path:
        self.saves += 1
        cards = dark_keywords(self.meta.mjd_start, CONTENT=self.content, CALVER=self.meta.cal_version)
        return write_fits(Path(output_dir) / (self.meta.filename or "named-by-save.fits"), cards)


class MappingModel:
    """A model that describes itself by a mapping, and whose file doesn't hold its version."""

    def __init__(self, content: int = 0, **values: Any) -> None:
        self.values = {"cal_type": "dark", "mjd_start": 60000.0, **values}
        self.content = content

    def to_record(self) -> dict[str, Any]:
        return self.values

    def save(self, output_dir: Path) -> Path:
        return write_fits(Path(output_dir) / "model.fits", dark_keywords(60000.0, CONTENT=self.content))


# -- a file ------------------------------------------------------------------------------------------------------------


def test_a_file_and_its_row_are_in_the_cache(store: Store, tmp_path: Path) -> None:
    source = dark(tmp_path, "dark.fits", 60000.5, EXPTIME=300.0, LAMP="ThAr  ", MASTCAL=True)
    content = source.read_bytes()

    path, found = store.register_calibration(source)

    assert path == store.cache_dir / "calibrations" / "dark.fits"
    assert path.read_bytes() == content
    assert source.read_bytes() == content
    assert files_under(store.cache_dir) == ["calibrations/dark.fits"]
    assert store.query() == [found] or store.query()[0].to_dict() == found.to_dict()
    expected = {
        "filename": "dark.fits",
        "cal_type": "dark",
        "mjd_start": 60000.5,
        "datetime_obs": "2023-02-25T12:00:00.000",
        "origin": "LOCAL",
        "cal_version": "001",
        "quality": "GOOD",
        "master_cal": True,
        "checksum": f"sha256:{hashlib.sha256(content).hexdigest()}",
        "file_size": len(content),
        "lamp": "thar",
        "exposure_time": 300.0,
    }
    assert {name: found[name] for name in expected} == expected
    assert found.last_updated is not None


def test_values_of_extensions_are_found_by_their_names(store: Store, tmp_path: Path) -> None:
    extensions = {"RED_CCD": {"MIDMJD": 2.0}, "GREEN_CCD": {"MIDMJD": 60000.25, "DEMOERA": "7"}}
    source = write_fits(tmp_path / "dark.fits", dark_keywords(DEMOERA="primary"), extensions)
    _, found = store.register_calibration(source)
    assert (found.mjd_mid, found.era) == (60000.25, "7")


def test_a_csv_has_the_row_that_its_name_and_class_give(open_demo: Callable[..., Any], tmp_path: Path) -> None:
    class TraceCalibration(ORMCalibration):
        instrument_name = "trace"
        chip: Mapped[str | None] = fits_column((), String)

        @classmethod
        def values_from_header(cls, header: Any, filename: str | None = None) -> dict[str, Any]:
            kind, day, chip = (filename or "").removesuffix(".csv").split("_")
            given = {"cal_type": kind, "mjd_start": float(day), "chip": chip}
            return super().values_from_header(header, filename) | given

    source = tmp_path / "ordertrace_60000_green.csv"
    source.write_text("order,row\n1,20\n2,41\n")
    path, found = open_demo(orm_class=TraceCalibration).register_calibration(source)
    assert (found.cal_type, found.mjd_start, found.chip, path.name) == ("ordertrace", 60000.0, "green", source.name)


def test_origin_is_the_argument_then_the_header_then_local(store: Store, tmp_path: Path) -> None:
    def origin(name: str, argument: str | None = None, **keywords: Any) -> str:
        source = dark(tmp_path, name, 60000.0 + len(name), **keywords)
        return str(store.register_calibration(source, origin=argument).calibration.origin)

    assert origin("a.fits") == "LOCAL"
    assert origin("bb.fits", ORIGIN="KECK") == "REMOTE"
    assert origin("ccc.fits", "LOCAL", ORIGIN="KECK") == "LOCAL"
    assert origin("dddd.fits", "keck") == "REMOTE"
    assert origin("eeeee.fits", ORIGIN="W. M. Keck Observatory") == "LOCAL"


def test_an_unknown_origin_is_refused(store: Store, tmp_path: Path) -> None:
    refused(store, dark(tmp_path), HeaderError, "origin", origin="Lick")


def test_the_file_can_be_read_by_whom_the_umask_lets(store: Store, tmp_path: Path) -> None:
    source = dark(tmp_path)
    source.chmod(0o600)
    old = os.umask(0o027)
    try:
        path, _ = store.register_calibration(source)
        model_path, _ = store.register_calibration(Model(mjd=60001.0))
    finally:
        os.umask(old)
    assert [stat.S_IMODE(each.stat().st_mode) for each in (path, model_path)] == [0o640, 0o640]


def test_a_path_may_be_text_relative_or_of_the_home(store: Store, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    source = dark(tmp_path)
    first = store.register_calibration("dark.fits")
    assert store.register_calibration("~/dark.fits").calibration.id == first.calibration.id
    assert store.register_calibration(source).path == first.path
    assert store.register_local_calibration(source).path == first.path


def test_a_link_is_registered_as_the_file_that_it_names(store: Store, tmp_path: Path) -> None:
    link = tmp_path / "link.fits"
    link.symlink_to(dark(tmp_path))
    path, found = store.register_calibration(link)
    assert found.filename == "link.fits"
    assert not path.is_symlink()


def test_a_file_that_already_stands_in_the_cache_folder_is_adopted(store: Store, tmp_path: Path) -> None:
    source = dark(store.cache_dir / "calibrations")
    path, found = store.register_calibration(source)
    assert path == source
    assert store.get_calibration_by_id(found.id).path.read_bytes() == source.read_bytes()
    assert files_under(store.cache_dir) == ["calibrations/dark.fits"]


# -- versions ----------------------------------------------------------------------------------------------------------


def test_the_same_content_under_the_same_name_changes_nothing(store: Store, tmp_path: Path) -> None:
    source = dark(tmp_path)
    _, first = store.register_calibration(source)
    before = state(store)
    for new_version in (False, True):
        path, again = store.register_calibration(source, new_version=new_version)
        assert again.to_dict() == first.to_dict()
        assert path.is_file()
        assert state(store) == before


def test_the_same_content_under_another_name_is_a_calibration_of_its_own(store: Store, tmp_path: Path) -> None:
    source = dark(tmp_path)
    twin = tmp_path / "twin.fits"
    twin.write_bytes(source.read_bytes())
    _, first = store.register_calibration(source)
    path, second = store.register_calibration(twin)
    assert first.id != second.id
    assert (path.name, second.filename, second.checksum) == ("twin.fits", "twin.fits", first.checksum)
    assert len(store.local_db) == 2


def test_other_content_of_a_family_is_a_duplicate_that_names_the_version(store: Store, tmp_path: Path) -> None:
    store.register_calibration(dark(tmp_path / "a", CONTENT=1))
    for folder, name in (("b", "dark.fits"), ("c", "other.fits")):
        source = dark(tmp_path / folder, name, CONTENT=2)
        error = refused(store, source, DuplicateCalibrationError, r"version 001 \(dark\.fits\)")
        assert (error.filename, error.existing, error.version) == (name, "dark.fits", "001")


def test_a_new_version_takes_the_next_number_and_its_name(store: Store, tmp_path: Path) -> None:
    named = []
    for content in (1, 2, 3):
        source = dark(tmp_path / str(content), "dark.fits", CONTENT=content)
        path, found = store.register_calibration(source, new_version=True)
        assert path.read_bytes() == source.read_bytes()
        named.append((found.cal_version, found.filename, path.name))
    assert named == [
        ("001", "dark.fits", "dark.fits"),
        ("002", "dark.002.fits", "dark.002.fits"),
        ("003", "dark.003.fits", "dark.003.fits"),
    ]


def test_a_new_version_keeps_its_own_name_when_that_is_free(store: Store, tmp_path: Path) -> None:
    store.register_calibration(dark(tmp_path / "a", "dark.fits", CONTENT=1))
    path, found = store.register_calibration(dark(tmp_path / "b", "redone.fits", CONTENT=2), new_version=True)
    assert (path.name, found.cal_version) == ("redone.fits", "002")


def test_a_new_version_registered_again_is_the_one_that_is_there(store: Store, tmp_path: Path) -> None:
    for content in (1, 2):
        store.register_calibration(dark(tmp_path / str(content), CONTENT=content), new_version=True)
    before = state(store)
    for new_version in (False, True):
        _, again = store.register_calibration(tmp_path / "2" / "dark.fits", new_version=new_version)
        assert (again.cal_version, again.filename) == ("002", "dark.002.fits")
    assert state(store) == before


@pytest.mark.parametrize(
    "change", [{"mjd": 60000.1}, {"SPECTROG": "RSPEC"}, {"CALTYPE": "bias"}, {"ORIGIN": "REMOTE"}], ids=str
)
def test_a_family_is_type_time_origin_and_the_class_own_columns(store: Store, tmp_path: Path, change: Any) -> None:
    store.register_calibration(dark(tmp_path, "a.fits", CONTENT=1))
    _, found = store.register_calibration(dark(tmp_path, "b.fits", **{"CONTENT": 2, **change}), new_version=True)
    assert found.cal_version == "001"
    assert len(store.local_db) == 2


def test_families_whose_column_is_null_are_one(store: Store, tmp_path: Path) -> None:
    store.register_calibration(dark(tmp_path, "a.fits", SPECTROG="", CONTENT=1))
    refused(store, dark(tmp_path, "b.fits", SPECTROG="", CONTENT=2), DuplicateCalibrationError, "001")


def test_a_name_that_another_family_has_is_a_duplicate_or_gets_its_versions_name(store: Store, tmp_path: Path) -> None:
    store.register_calibration(dark(tmp_path / "a", mjd=60000.0))
    other = dark(tmp_path / "b", mjd=60007.0)
    refused(store, other, DuplicateCalibrationError, r"dark\.fits with other content")
    path, found = store.register_calibration(other, new_version=True)
    assert (path.name, found.cal_version) == ("dark.001.fits", "001")


@pytest.mark.parametrize("kind", ["file", "model"])
def test_a_new_version_passes_names_that_the_archives_records_have(store: Store, tmp_path: Path, kind: str) -> None:
    taken = [record(name, origin="REMOTE", checksum="sha256:" + 64 * "0") for name in ("dark.fits", "dark.001.fits")]
    store.local_db.add(taken)
    source = dark(tmp_path) if kind == "file" else Model(filename="dark.fits")
    refused(store, source, DuplicateCalibrationError, r"dark\.fits")
    path, found = store.register_calibration(source, new_version=True)
    assert (found.filename, found.cal_version, found.origin) == ("dark.002.fits", "002", "LOCAL")
    assert path.name == "dark.002.fits"


@pytest.mark.parametrize("kind", ["md5", "none"])
@pytest.mark.parametrize("new_version", [False, True])
def test_a_record_with_another_kind_of_checksum_or_none_is_known_by_its_content(
    store: Store, tmp_path: Path, kind: str, new_version: bool
) -> None:
    source = dark(tmp_path)
    content = source.read_bytes()
    said = None if kind == "none" else f"md5:{hashlib.md5(content).hexdigest()}"
    known = record(checksum=said, file_size=None)
    store.local_db.add(known)
    (store.cache_dir / "calibrations" / "dark.fits").write_bytes(content)
    path, found = store.register_calibration(source, new_version=new_version)
    assert (found.id, path.name, len(store.local_db)) == (known.id, "dark.fits", 1)
    assert found.checksum == (said or f"sha256:{hashlib.sha256(content).hexdigest()}")
    assert store.query()[0].checksum == found.checksum
    refused(store, dark(tmp_path / "other", EXPTIME=7.0), DuplicateCalibrationError, r"dark\.fits")


def test_a_record_without_checksum_and_file_is_not_taken_for_the_same(store: Store, tmp_path: Path) -> None:
    store.local_db.add(record(checksum=None, file_size=dark(tmp_path).stat().st_size))
    refused(store, tmp_path / "dark.fits", DuplicateCalibrationError, r"dark\.fits")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("d\u00e9faut.fits", "de\u0301faut.fits"),
        ("de\u0301faut.fits", "d\u00e9faut.fits"),
        ("dark.fits", "DARK.fits"),
        ("DARK.FITS", "dark.fits"),
        ("\u00c9TOILE.fits", "\u00e9toile.fits"),
        ("\u212aPF.fits", "kpf.fits"),
        ("kpf.fits", "\u212aPF.fits"),
        ("stra\u00dfe.fits", "STRASSE.fits"),
        ("strasse.fits", "STRA\u00dfE.fits"),
        ("pro\ufb01le.fits", "PROFILE.fits"),
    ],
)
def test_names_that_some_disk_takes_for_one_are_one_name(store: Store, tmp_path: Path, first: str, second: str) -> None:
    _, known = store.register_calibration(dark(tmp_path / "1", first))
    assert store.register_calibration(dark(tmp_path / "2", second)).calibration.id == known.id
    other = dark(tmp_path / "3", second, 60001.0)
    error = refused(store, other, DuplicateCalibrationError, "with other content")
    assert (error.filename, error.existing) == (second, first)
    _, found = store.register_calibration(other, new_version=True)
    assert found.filename not in {first, second}
    assert len(store.local_db) == 2


def test_names_are_found_in_any_letter_case_by_an_index(store: Store, tmp_path: Path) -> None:
    store.register_calibration(dark(tmp_path))
    names = stored_names("demo_calibrations", ":key")
    with store.local_db.session_manager() as session:
        plan = [step for *_, step in session.execute(text(f"EXPLAIN QUERY PLAN {names}"), {"key": "dark.fits"})]
    assert [step.split(" ix_demo_calibrations_")[-1] for step in plan if " INDEX " in step] == [
        "filename_any_case (filename=?)",
        "filename_not_ascii",
    ]


@pytest.mark.parametrize("place", ["source", "cache"])
def test_a_pipe_in_the_place_of_a_file_is_said_at_once(store: Store, tmp_path: Path, place: str) -> None:
    if place == "source":
        os.mkfifo(tmp_path / "dark.fits")
        refused_at_once = pytest.raises(SourceFileError, match=r"dark\.fits cannot be read: it is a named pipe")
        with refused_at_once:
            store.register_calibration(tmp_path / "dark.fits")
        return
    path, found = store.register_calibration(dark(tmp_path))
    path.unlink()
    os.mkfifo(path)
    assert not store.calibration_in_cache(found)
    assert store.verify().bad == {"dark.fits": "it is no file"}
    with pytest.raises(IntegrityError, match="it is no file"):
        store.get_calibration_by_id(found.id)
    assert store.register_calibration(tmp_path / "dark.fits").path.is_file()


def test_a_link_that_leads_to_itself_is_no_file_and_is_moved_away(store: Store, tmp_path: Path) -> None:
    path, found = store.register_calibration(dark(tmp_path))
    path.unlink()
    path.symlink_to(path.name)
    assert store.verify().bad == {"dark.fits": "it is no file"}
    with pytest.raises(IntegrityError, match="it is no file"):
        store.get_calibration_by_id(found.id)
    assert store.register_calibration(tmp_path / "dark.fits").path.is_file()
    (aside,) = (store.cache_dir / "quarantine").iterdir()
    assert aside.is_symlink()


def test_a_file_that_contradicts_its_own_checksum_is_refused(store: Store, tmp_path: Path) -> None:
    from astropy.io import fits

    source = dark(tmp_path)
    with fits.open(source) as hdus:
        hdus.writeto(source, overwrite=True, checksum=True)
    spoilt = bytearray(source.read_bytes())
    spoilt[-2880] ^= 1
    source.write_bytes(spoilt)
    refused(store, source, SourceFileError, "its primary unit is not what its DATASUM says")


def test_the_store_own_database_is_no_source(store: Store) -> None:
    with pytest.raises(SourceFileError, match="it is the database of a calibration cache"):
        store.register_calibration(store.local_db.path)


def test_the_last_version_has_no_next_one(store: Store, tmp_path: Path) -> None:
    store.register_calibration(dark(tmp_path / "a", CALVER="999", CONTENT=1))
    source = dark(tmp_path / "b", CONTENT=2)
    error = refused(store, source, DuplicateCalibrationError, "999", new_version=True)
    assert "new_version=True" not in error.hint


def test_a_file_of_other_content_without_a_row_is_not_overwritten(store: Store, tmp_path: Path) -> None:
    (store.cache_dir / "calibrations" / "dark.fits").write_bytes(b"precious")
    refused(store, dark(tmp_path), DuplicateCalibrationError, r"already has a file dark\.fits with other content")


@pytest.mark.parametrize("make", [Path.mkdir, lambda path: path.symlink_to("nowhere")], ids=["folder", "dangling link"])
def test_what_is_no_file_at_the_name_is_not_overwritten(store: Store, tmp_path: Path, make: Any) -> None:
    make(store.cache_dir / "calibrations" / "dark.fits")
    with pytest.raises(DuplicateCalibrationError, match=r"dark\.fits"):
        store.register_calibration(dark(tmp_path))
    assert store.query() == []
    assert files_under(store.cache_dir / "partial") == []


def test_a_spoilt_cached_file_is_put_right_by_registering_its_source_again(store: Store, tmp_path: Path) -> None:
    source = dark(tmp_path)
    path, found = store.register_calibration(source)
    path.write_bytes(b"spoilt")
    assert store.register_calibration(source).calibration.id == found.id
    assert path.read_bytes() == source.read_bytes()
    kept = [name for name in files_under(store.cache_dir) if name.startswith("quarantine/")]
    assert [(store.cache_dir / name).read_bytes() for name in kept] == [b"spoilt"]
    path.unlink()
    store.register_calibration(source)
    assert path.read_bytes() == source.read_bytes()


def test_an_id_of_the_header_is_kept_unless_another_record_has_it(store: Store, tmp_path: Path) -> None:
    _, first = store.register_calibration(dark(tmp_path, "a.fits", CALID="the-id"))
    _, second = store.register_calibration(dark(tmp_path, "b.fits", 60001.0, CALID="the-id"))
    assert first.id == "the-id"
    assert second.id != "the-id"
    assert len(store.local_db) == 2


# -- bad sources -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def whole_fits(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("whole")
    extensions = {"GREEN_CCD": {"MIDMJD": 60000.0}, "RED_CCD": {}}
    return write_fits(folder / "whole.fits", dark_keywords(), extensions).read_bytes()


def test_a_file_cut_anywhere_is_refused_and_leaves_nothing(store: Store, tmp_path: Path, whole_fits: bytes) -> None:
    block = 2880
    assert len(whole_fits) == 6 * block
    ends = {2 * block, 4 * block}  # there, what is left is a whole FITS file of fewer extensions
    cuts = {0, 1, 79, 80, 100, len(whole_fits) - 1}
    cuts |= {edge + step for edge in range(block, len(whole_fits), block) for step in (-1, 0, 1, 1234)}
    for size in sorted(cuts - ends):
        source = tmp_path / "cut.fits"
        source.write_bytes(whole_fits[:size])
        error = refused(store, source, SourceFileError, r"cut\.fits")
        assert error.path == source
    assert files_under(store.cache_dir) == []


def test_a_compressed_file_cut_or_spoilt_anywhere_is_refused(store: Store, tmp_path: Path, whole_fits: bytes) -> None:
    packed = gzip.compress(whole_fits, mtime=0)
    for name in ("dark.fits.gz", "dark.csv.gz", "dark.dat.gz"):
        source = tmp_path / name
        for position in range(0, len(packed), max(1, len(packed) // 25)):
            source.write_bytes(packed[:position])
            refused(store, source, SourceFileError, name.replace(".", r"\."))
            source.write_bytes(packed[:position] + bytes([packed[position] ^ 0xFF]) + packed[position + 1 :])
            before = state(store)
            with pytest.raises(KoaMiddlewareError):
                store.register_calibration(source)
            assert state(store) == before


def test_a_whole_compressed_file_is_registered_as_it_is(store: Store, tmp_path: Path, whole_fits: bytes) -> None:
    source = tmp_path / "dark.fits.gz"
    source.write_bytes(gzip.compress(whole_fits))
    path, found = store.register_calibration(source)
    assert path.read_bytes() == source.read_bytes()
    assert (found.cal_type, found.mjd_mid) == ("dark", 60000.0)


@settings(max_examples=repetitions(20, 2000))
@given(positions=st.lists(st.integers(0, 2880 * 6 - 1), min_size=1, max_size=4), value=st.integers(0, 255))
def test_a_file_with_changed_bytes_is_taken_or_refused_by_an_error_of_ours(
    tmp_path_factory: pytest.TempPathFactory, positions: list[int], value: int
) -> None:
    folder = tmp_path_factory.getbasetemp() / "changed"
    folder.mkdir(exist_ok=True)
    spoilt = bytearray(write_fits(folder / "dark.fits", dark_keywords(), {"GREEN_CCD": {}, "RED_CCD": {}}).read_bytes())
    for position in positions:
        spoilt[position] = value
    source = folder / "dark.fits"
    source.write_bytes(spoilt)
    with CalibrationStore(DemoCalibration, folder / "cache") as store:
        try:
            path, _ = store.register_calibration(source, new_version=True)
        except KoaMiddlewareError:
            assert files_under(store.cache_dir / "partial") == []
        else:
            assert path.read_bytes() == bytes(spoilt)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("dark.fits", b"<html>Please log in</html>" * 200, "FITS"),
        ("dark.fits", b'{"error": "no access"}', "FITS"),
        ("dark.fits", b"", "empty"),
        ("dark.csv", b"", "empty"),
        ("trace.csv", b"<html><body>Log in</body></html>", "not a CSV"),
        ("trace.csv", b"a,b\n1,2\n3\n", "different numbers of fields: 1, 2"),
        ("trace.csv", b"a,b\n\x00\x01\n", "not a CSV"),
        ("trace.csv", b"a,b\n\xff\xfe\n", "its content does not match its name"),
        ("mask.json", b'{"a": [1, 2', "its content does not match its name"),
    ],
)
def test_a_file_that_is_not_what_its_name_says_is_refused(
    store: Store, tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    (tmp_path / name).write_bytes(content)
    error = refused(store, tmp_path / name, SourceFileError, f"{name}.*{said}")
    assert str(error).count("is damaged") <= 1


def test_bytes_after_the_last_extension_are_refused(store: Store, tmp_path: Path) -> None:
    source = dark(tmp_path)
    source.write_bytes(source.read_bytes() + b"\0" * 100)
    refused(store, source, SourceFileError, "100 extra bytes follow")


@pytest.mark.parametrize(
    "source", ["missing.fits", "missing.csv", "", ".", "no/such/folder.fits", "a\0b.fits", "~nosuchuser/a.fits"]
)
def test_a_path_at_which_no_file_is_is_refused(store: Store, tmp_path: Path, monkeypatch: Any, source: str) -> None:
    monkeypatch.chdir(tmp_path)
    refused(store, source, SourceFileError, "cannot be read")


@pytest.mark.parametrize("source", [None, 42, pytest.param(object(), id="object()"), ["a.fits"], b"a.fits"], ids=repr)
def test_what_is_neither_a_path_nor_a_model_is_refused(store: Store, source: Any) -> None:
    with pytest.raises(KoaMiddlewareError, match=type(source).__name__):
        store.register_calibration(source)


@pytest.mark.parametrize(
    ("without", "column", "keyword"),
    [("CALTYPE", "cal_type", "CALTYPE"), ("EXPMJDST", "datetime_obs", "DATEOBS or DATE-OBS")],
)
def test_a_missing_keyword_is_named_with_its_column_and_file(
    store: Store, tmp_path: Path, without: str, column: str, keyword: str
) -> None:
    keywords = {name: value for name, value in dark_keywords().items() if name != without}
    source = write_fits(tmp_path / "dark.fits", keywords)
    error = refused(store, source, HeaderError, rf"{column}.*{keyword}.*dark\.fits")
    assert (error.column, keyword) == (column, " or ".join(error.keywords))


def test_an_unknown_type_is_refused_with_the_known_ones(store: Store, tmp_path: Path) -> None:
    source = dark(tmp_path, CALTYPE="sky")
    error = refused(store, source, HeaderError, r"dark\.fits.*'sky'.*CALTYPE.*bias, dark, flat, wls")
    assert error.column == "cal_type"


@pytest.mark.parametrize(("keyword", "value"), [("EXPMJDST", "soon"), ("MASTCAL", "maybe"), ("DATAQUAL", "SUPERB")])
def test_an_unusable_value_is_refused_with_column_and_file(
    store: Store, tmp_path: Path, keyword: str, value: str
) -> None:
    refused(store, dark(tmp_path, **{keyword: value}), HeaderError, rf"dark\.fits.*{value}")


@pytest.mark.parametrize("mjd", [1e9, -1e9, "nan", "inf"])
def test_a_time_outside_of_the_calendar_is_refused(store: Store, tmp_path: Path, mjd: Any) -> None:
    refused(store, dark(tmp_path, EXPMJDST=mjd), HeaderError, "mjd_start|datetime_obs")


@pytest.mark.parametrize("name", [".dark.fits", "aux.fits", "dark\n.fits", "x" * 240 + ".fits", "a\\b.fits"])
def test_an_unsafe_name_is_refused(store: Store, tmp_path: Path, name: str) -> None:
    source = dark(tmp_path, name)
    assert refused(store, source, UnsafeFilenameError, "cannot be a file name").name == name


def test_a_name_that_its_version_makes_too_long_is_refused(store: Store, tmp_path: Path) -> None:
    name = "x" * 234 + ".fits"
    store.register_calibration(dark(tmp_path / "a", name, CONTENT=1))
    refused(store, dark(tmp_path / "b", name, CONTENT=2), UnsafeFilenameError, "240 bytes", new_version=True)


# -- models ------------------------------------------------------------------------------------------------------------


def test_a_model_is_saved_into_the_cache(store: Store) -> None:
    model = Model()
    path, found = store.register_calibration(model)
    assert path == store.cache_dir / "calibrations" / "model.fits"
    assert found.checksum == f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
    assert found.file_size == path.stat().st_size
    assert (found.cal_type, found.spectrograph, model.saves) == ("dark", "BSPEC", 1)
    assert files_under(store.cache_dir) == ["calibrations/model.fits"]


def test_a_models_version_and_name_are_settled_before_it_saves(store: Store) -> None:
    from astropy.io import fits

    versions = []
    for content in (1, 2, 3):
        path, found = store.register_calibration(Model(content), new_version=True)
        versions.append((found.cal_version, path.name, fits.getval(path, "CALVER")))
    assert versions == [
        ("001", "model.fits", "001"),
        ("002", "model.002.fits", "002"),
        ("003", "model.003.fits", "003"),
    ]


def test_a_model_of_a_family_that_is_there_is_a_duplicate(store: Store) -> None:
    store.register_calibration(Model(1))
    refused(store, Model(2), DuplicateCalibrationError, "001")
    before = state(store)
    store.register_calibration(Model(1))
    assert state(store) == before


def test_a_model_may_describe_itself_by_a_mapping_and_leave_the_name_to_its_save(store: Store) -> None:
    model = MappingModel()
    path, found = store.register_calibration(model, origin="KECK")
    assert (path.name, found.filename, found.origin) == ("model.fits", "model.fits", "REMOTE")
    assert model.values["cal_version"] == "001"


def test_a_model_of_the_same_content_again_changes_nothing(store: Store) -> None:
    for named in ({"filename": "model.fits"}, {}):
        _, first = store.register_calibration(MappingModel(**named), new_version=True)
        before = state(store)
        for new_version in (False, True):
            _, again = store.register_calibration(MappingModel(**named), new_version=new_version)
            assert again.to_dict() == first.to_dict()
        assert state(store) == before


def test_a_model_that_names_its_file_itself_gets_versions_too(store: Store) -> None:
    found = [store.register_calibration(MappingModel(content), new_version=True) for content in (1, 2, 3)]
    assert [(path.name, each.filename, each.cal_version) for path, each in found] == [
        ("model.fits", "model.fits", "001"),
        ("model.002.fits", "model.002.fits", "002"),
        ("model.003.fits", "model.003.fits", "003"),
    ]


@pytest.mark.parametrize("kind", ["file", "model"])
def test_a_file_that_a_killed_registration_left_does_not_stop_its_family(
    store: Store, tmp_path: Path, kind: str
) -> None:
    def source(content: int) -> Any:
        return dark(tmp_path / str(content), "model.fits", CONTENT=content) if kind == "file" else Model(content)

    store.register_calibration(source(1))
    left = store.cache_dir / "calibrations" / "model.002.fits"
    left.write_bytes(b"left behind")
    path, found = store.register_calibration(source(2), new_version=True)
    assert (path.name, found.cal_version) == ("model.003.fits", "003")
    assert left.read_bytes() == b"left behind"


def test_a_file_that_a_killed_registration_of_a_model_left_is_adopted(store: Store) -> None:
    path, first = store.register_calibration(MappingModel(2, filename="second.fits"))
    content = path.read_bytes()
    with store.local_db.session_manager() as session:
        session.delete(session.get(DemoCalibration, first.id))
    assert (store.query(), path.read_bytes()) == ([], content)  # what a process that was killed leaves
    store.register_calibration(MappingModel(1, filename="first.fits"))
    with pytest.warns(QualityWarning, match=r"second\.fits was here until"):
        again, found = store.register_calibration(MappingModel(2, filename="second.fits"), new_version=True)
    assert (again, found.cal_version) == (path, "002")
    assert files_under(store.cache_dir) == ["calibrations/first.fits", "calibrations/second.fits"]


def test_a_models_name_may_be_a_path_object_and_not_leave_the_folder(store: Store) -> None:
    path, _ = store.register_calibration(MappingModel(filename=Path("pathlike.fits")))
    assert path.name == "pathlike.fits"
    refused(store, MappingModel(filename="../../evil.fits"), UnsafeFilenameError, "separator")
    refused(store, MappingModel(filename=17), KoaMiddlewareError, "17")


@pytest.mark.parametrize(
    "save",
    [
        lambda folder: Path("/etc/hostname"),
        lambda folder: folder / "never-written.fits",
        lambda folder: folder,
        lambda folder: None,
        lambda folder: "a\0b.fits",
        lambda folder: "x" * 5000,
        lambda folder: (folder / "a.fits").write_bytes(b"not FITS") and folder / "a.fits",
        lambda folder: (folder / "a.fits").write_bytes(b"") or folder / "a.fits",
    ],
    ids=["elsewhere", "nothing", "folder", "None", "NUL", "long", "not FITS", "empty"],
)
def test_a_save_that_gives_no_whole_file_in_its_folder_is_refused(store: Store, save: Any) -> None:
    class BadModel(Model):
        def save(self, output_dir: Path) -> Any:
            return save(Path(output_dir))

    refused(store, BadModel(), SourceFileError, r"BadModel|a\.fits")


def test_a_save_may_give_its_file_as_text_or_by_its_name_in_the_folder(store: Store) -> None:
    class Named(MappingModel):
        def save(self, output_dir: Path) -> Any:
            return super().save(output_dir).name

    class Text(MappingModel):
        def save(self, output_dir: Path) -> Any:
            return str(super().save(output_dir))

    assert store.register_calibration(Named(1)).path.name == "model.fits"
    assert store.register_calibration(Text(2, filename="text.fits"), new_version=True).path.name == "text.fits"


@dataclass(frozen=True)
class Frozen:
    """A record of a pipeline's own class, which nobody changes."""

    cal_type: str = "dark"
    mjd_start: float = 60000.0


@pytest.mark.parametrize(
    "described",
    [
        Frozen(),
        SimpleNamespace(cal_type="dark", mjd_start=60000.0),
        MappingProxyType({"cal_type": "dark", "mjd_start": 60000.0}),
        SimpleNamespace(to_dict=lambda: {"cal_type": "dark", "mjd_start": 60000.0}),
    ],
    ids=["frozen", "attributes", "read-only", "to_dict"],
)
def test_a_models_record_may_be_of_any_class_that_has_column_values(store: Store, described: Any) -> None:
    class Own(MappingModel):
        def to_record(self) -> Any:
            return described

    assert store.register_calibration(Own()).calibration.mjd_start == 60000.0


@pytest.mark.parametrize("described", [None, "dark", [("cal_type", "dark")], 3], ids=repr)
def test_a_models_record_without_column_values_is_refused(store: Store, described: Any) -> None:
    class Own(MappingModel):
        def to_record(self) -> Any:
            return described

    refused(store, Own(), SourceFileError, f"describes itself by a {type(described).__name__}, which has no column")


def test_a_model_whose_methods_take_other_arguments_is_refused(store: Store) -> None:
    class Saver(MappingModel):
        def save(self, path: Path) -> Path:  # type: ignore[override]
            return super().save(path)

    class Describer(MappingModel):
        def to_record(self, full: bool) -> dict[str, Any]:  # type: ignore[override]
            return super().to_record()

    refused(store, Saver(), SourceFileError, r"save\(\) that does not take output_dir alone. Pass a path, or a model")
    refused(store, Describer(), SourceFileError, r"to_record\(\) that asks for arguments")
    refused(store, MappingModel, SourceFileError, "asks for arguments")


def test_what_a_models_save_raises_reaches_the_caller_and_nothing_is_left(store: Store) -> None:
    class Failing(Model):
        def save(self, output_dir: Path) -> Path:
            super().save(output_dir)
            raise RuntimeError("the pipeline's own error")

    refused(store, Failing(), RuntimeError, "the pipeline's own error")


class HeaderModel(Model):
    """A model that writes its whole record into its header, and puts folder and name together as text."""

    def save(self, output_dir: str) -> str:  # type: ignore[override]
        cards = {"CALID": self.meta.id, "ORIGIN": self.meta.origin, "CALVER": self.meta.cal_version}
        path = output_dir + self.meta.filename
        write_fits(Path(path), dark_keywords(self.meta.mjd_start, CONTENT=self.content, **cards))
        return path


def test_a_models_file_says_the_id_and_the_origin_that_its_row_has(store: Store) -> None:
    path, found = store.register_calibration(HeaderModel(id="the-given-id"), origin="REMOTE")
    assert (found.id, found.origin) == ("the-given-id", "REMOTE")
    said = DemoCalibration.values_from_file(path)
    assert {name: said[name] for name in ("id", "origin", "cal_version")} == {
        "id": "the-given-id",
        "origin": "REMOTE",
        "cal_version": "001",
    }


def test_a_models_new_version_has_an_id_of_its_own_in_its_file_too(store: Store) -> None:
    first = store.register_calibration(HeaderModel(id="the-given-id")).calibration
    path, second = store.register_calibration(HeaderModel(1, id="the-given-id"), new_version=True)
    assert (first.id, second.cal_version) == ("the-given-id", "002")
    assert second.id != first.id
    assert DemoCalibration.values_from_file(path)["id"] == second.id
    model = HeaderModel(2, filename="other.fits", mjd_start=60001.0, id="the-given-id")
    path, other = store.register_calibration(model)
    assert DemoCalibration.values_from_file(path)["id"] == other.id == model.meta.id
    assert other.id not in {first.id, second.id}


def test_a_model_that_was_registered_is_the_same_when_it_comes_again(store: Store) -> None:
    model = HeaderModel()
    _, first = store.register_calibration(model)
    assert store.register_calibration(model).calibration.id == first.id
    assert len(store.local_db) == 1


def test_a_model_without_a_description_is_refused(store: Store) -> None:
    class Mute:
        def save(self, output_dir: Path) -> Path:
            raise AssertionError("it must not be saved")

    refused(store, Mute(), KoaMiddlewareError, "Mute.*to_orm")


def test_a_model_that_resolves_links_may_save_below_a_linked_cache(
    open_demo: Callable[..., Any], tmp_path: Path
) -> None:
    class Resolving(Model):
        def save(self, output_dir: Path) -> Path:
            return super().save(output_dir).resolve()

    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    path, _ = open_demo(tmp_path / "link").register_calibration(Resolving())
    assert path == tmp_path / "link" / "calibrations" / "model.fits"


# -- faults of the machine ---------------------------------------------------------------------------------------------


def test_a_source_that_changes_between_its_header_and_its_copy_is_refused(
    open_demo: Callable[..., Any], tmp_path: Path
) -> None:
    class Rewritten(ORMCalibration):
        """Its pipeline writes the file again while it is being registered."""

        instrument_name = "rewritten"

        @classmethod
        def values_from_file(cls, path: Path) -> dict[str, Any]:
            values = super().values_from_file(path)
            dark(path.parent, path.name, 61000.0)
            return values

    store = open_demo(orm_class=Rewritten)
    refused(store, dark(tmp_path), SourceFileError, "changed while it was read")


def test_a_source_that_grows_while_it_is_copied_is_refused(store: Store, tmp_path: Path) -> None:
    source = tmp_path / "grows.fits"
    source.write_bytes(b"a" * 100)

    # The stage is asked directly: from outside, no moment between open and read can be met with certainty.
    with store._cache.stage(source).path.open("rb") as stream:
        assert stream.read() == b"a" * 100
    first = files_under(store.cache_dir / "partial")
    with source.open("ab") as sink, pytest.raises(SourceFileError, match="changed while it was read"):
        _stage_while_growing(store, source, sink)
    assert files_under(store.cache_dir / "partial") == first


def _stage_while_growing(store: Store, source: Path, sink: Any) -> None:
    """Stage a large file while a thread keeps appending to it."""
    import threading

    sink.write(b"c" * (64 << 20))
    sink.flush()
    stop = threading.Event()

    def append() -> None:
        while not stop.wait(0.001):
            sink.write(b"d" * 4096)
            sink.flush()

    thread = threading.Thread(target=append)
    thread.start()
    try:
        store._cache.stage(source)
    finally:
        stop.set()
        thread.join()


FAULTS = {
    "row": "CREATE TRIGGER fault BEFORE INSERT ON demo_calibrations BEGIN SELECT RAISE(FAIL, 'disk full'); END",
    "signature": "CREATE TRIGGER fault BEFORE INSERT ON demo_verified_files BEGIN SELECT RAISE(FAIL, 'disk full'); END",
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("kind", ["file", "model"])
def test_a_database_that_fails_half_way_leaves_no_file(store: Store, tmp_path: Path, fault: str, kind: str) -> None:
    with store.local_db.session_manager() as session:
        session.execute(text(FAULTS[fault]))
    source = dark(tmp_path) if kind == "file" else Model()
    with pytest.raises(KoaMiddlewareError):
        store.register_calibration(source)
    assert (store.query(), files_under(store.cache_dir)) == ([], [])
    with store.local_db.session_manager() as session:
        session.execute(text("DROP TRIGGER fault"))
    store.register_calibration(source)
    assert len(store.query()) == len(files_under(store.cache_dir)) == 1


FULL_DISK = """
import resource, sys
from pathlib import Path
from koa_middleware import CacheError, CalibrationStore
from tests.conftest import DemoCalibration, dark, files_under

folder, limit = Path(sys.argv[1]), int(sys.argv[2])
large = [dark(folder / "sources", f"large{n}.fits", 60000.0 + n, LAMP="x" * 60) for n in range(300)]
with CalibrationStore(DemoCalibration, folder / "cache") as store:
    store.register_calibration(large[0])
    database = store.local_db.path
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit or database.stat().st_size + 4096, resource.RLIM_INFINITY))
    failed = None
    for source in large[1:]:
        try:
            store.register_calibration(source)
        except CacheError as error:
            failed = error
            break
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert failed is not None, "the limit was never met"
    rows = sorted(f"calibrations/{record.filename}" for record in store.query())
    assert rows == files_under(store.cache_dir), (rows, files_under(store.cache_dir))
    store.register_calibration(source)
    print(len(rows), failed)
"""


@pytest.mark.parametrize("limit", [4096, 0], ids=["the file does not fit", "the database does not fit"])
def test_on_a_full_disk_row_and_file_are_both_there_or_neither(tmp_path: Path, limit: int) -> None:
    said = output_of(run_python(FULL_DISK, tmp_path, limit))
    assert "cannot be" in said
    assert "nothing was changed" in said


def test_a_source_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    script = """
import os, sys, tempfile
from pathlib import Path
import astropy.io.fits
from koa_middleware import CalibrationStore, SourceFileError
from tests.conftest import DemoCalibration, dark

folder = Path(sys.argv[1])
source = dark(folder)
source.chmod(0)
folder.chmod(0o777)
if os.getuid() == 0:
    os.setuid(65534)
with CalibrationStore(DemoCalibration, folder / "cache") as store:
    try:
        store.register_calibration(source)
    except SourceFileError as error:
        print(error)
"""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        assert "dark.fits cannot be read: Permission denied" in output_of(run_python(script, folder))


def test_a_cache_error_names_the_file_that_cannot_be_written(store: Store, tmp_path: Path) -> None:
    partial = store.cache_dir / "partial"
    partial.rmdir()
    partial.write_text("a file where the folder should be")
    for source in (dark(tmp_path), Model()):
        with pytest.raises(CacheError, match=r"partial.*cannot be written") as caught:
            store.register_calibration(source)
        assert caught.value.path.parent == partial
    assert store.query() == []


# -- columns that stay empty -------------------------------------------------------------------------------------------


def test_a_column_that_a_selector_matches_and_that_stays_empty_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule = CalibrationSelector(cal_type="dark", match=("spectrograph",), given=("lamp",), match_if_known=("era",))
    monkeypatch.setattr(DemoCalibration, "selectors", {"dark": rule})
    with CalibrationStore(DemoCalibration, tmp_path / "cache") as store:
        with pytest.warns(HeaderWarning, match=r"empty\.fits has no spectrograph \(SPECTROG\) and no lamp \(LAMP\)"):
            store.register_calibration(dark(tmp_path, "empty.fits", SPECTROG="N/A"))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            store.register_calibration(dark(tmp_path, "whole.fits", 60001.0, LAMP="ThAr"))
            store.register_calibration(dark(tmp_path, "flat.fits", 60001.0, CALTYPE="flat", SPECTROG=""))


def test_of_a_match_that_depends_on_the_frame_the_case_of_the_calibration_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule = CalibrationSelector(cal_type="dark", match=by("spectrograph", {"BSPEC": ("lamp",), "RSPEC": ()}))
    monkeypatch.setattr(DemoCalibration, "selectors", {"dark": rule})
    with CalibrationStore(DemoCalibration, tmp_path / "cache") as store:
        with pytest.warns(HeaderWarning, match=r"blue\.fits has no lamp \(LAMP\), so"):
            store.register_calibration(dark(tmp_path, "blue.fits", SPECTROG="BSPEC"))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            store.register_calibration(dark(tmp_path, "red.fits", 60001.0, SPECTROG="RSPEC"))
            store.register_calibration(dark(tmp_path, "neither.fits", 60002.0, SPECTROG=""))


def test_a_models_record_may_be_spelt_as_a_frame_may(store: Store) -> None:
    class Own(MappingModel):
        def to_record(self) -> Any:
            return self.described

    columns = {"Cal_Type": "dark", "Mjd_Start": 60000.0, "Amplifiers": 2, "Spectrograph": "BSPEC", "note": "kept"}
    cards = {"caltype": "dark", "MJD-OBS": 60000.0, "GRNAMPS": 2, "SPECTROG": "BSPEC", "FRAMES": 5}
    header = Header(cards)
    for number, described in enumerate((columns, cards, MappingProxyType(cards), header)):
        model = Own(content=number)
        model.described = described
        found = store.register_calibration(model, new_version=number > 0).calibration
        assert (found.cal_type, found.mjd_start, found.amplifiers, found.spectrograph) == ("dark", 60000.0, 2, "BSPEC")
    assert (header["CALID"], header["CALVER"], len(header)) == (found.id, "004", 8)


def test_a_name_in_a_models_record_that_is_nearly_a_column_is_refused(store: Store) -> None:
    said = "no column amplifers, which stands in the record of MappingModel. Did you mean amplifiers?"
    refused(store, MappingModel(amplifers=2), HeaderError, said)
    store.register_calibration(MappingModel(amplifiers=2, amplifers=3, exposure=3.0, datetime="2023"))


@pytest.mark.parametrize("where", ["INSERT INTO demo_calibrations", "SELECT"])
def test_a_statement_that_is_interrupted_leaves_everything_as_it_was_and_the_store_usable(
    store: Store, tmp_path: Path, where: str
) -> None:
    store.register_calibration(dark(tmp_path, "known.fits"))
    before = state(store)

    def interrupt(cursor: Any, statement: str, parameters: Any, _context: Any) -> None:
        if statement.startswith(where):
            cursor.execute(statement, parameters)
            raise KeyboardInterrupt

    event.listen(store.local_db.engine, "do_execute", interrupt)
    with pytest.raises(KeyboardInterrupt) as kept:
        store.register_calibration(dark(tmp_path, "new.fits", 60001.0))
    event.remove(store.local_db.engine, "do_execute", interrupt)
    assert state(store) == before
    assert store.register_calibration(dark(tmp_path, "new.fits", 60001.0)).calibration in list(store.query())
    assert kept.tb is not None  # it is kept, as a notebook does, with all that it holds


def test_what_is_interrupted_behind_its_commit_is_done_wholly(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = GuardedConnection.commit

    def commit_and_stop(connection: GuardedConnection) -> None:
        is_writing = connection.in_transaction
        commit(connection)
        if is_writing:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(GuardedConnection, "commit", commit_and_stop)
        with pytest.raises(KeyboardInterrupt):
            store.register_calibration(dark(tmp_path))
    assert [row.filename for row in store.query()] == ["dark.fits"]
    assert store.verify().ok
    with monkeypatch.context() as patch:
        patch.setattr(GuardedConnection, "commit", commit_and_stop)
        with pytest.raises(KeyboardInterrupt):
            store.remove("dark.fits")
    assert (store.query(), files_under(store.cache_dir / "calibrations")) == ([], [])
    assert len(files_under(store.cache_dir / "quarantine")) == 1


def test_what_was_removed_says_so_when_it_is_registered_again(store: Store, tmp_path: Path) -> None:
    file = dark(tmp_path)
    store.register_calibration(file)
    store.flag("dark.fits", "BAD", "light leak")
    store.remove("dark.fits")
    with pytest.warns(QualityWarning, match=r"dark\.fits was here until .* UTC, with the quality BAD.*again, as GOOD"):
        store.register_calibration(file)
    store.register_calibration(file)
    store.register_calibration(dark(tmp_path / "next", "next.fits", 60001.0))
