"""Bundles: what they carry, what they refuse, and what a kill leaves.

The invariant of an import: a record that is here has its file with the recorded content, whatever happened.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import lzma
import os
import random
import shutil
import signal
import tarfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import koa_middleware
import pytest
from koa_middleware import CalibrationStore, ConfigurationError, IntegrityError, SourceFileError
from koa_middleware.cache.bundle_file import MANIFEST
from koa_middleware.exceptions import CacheError, RemoteNotConfiguredError
from sqlalchemy import update

from tests.conftest import DemoCalibration, dark, files_under, output_of, repetitions, run_processes, run_python

Store = CalibrationStore[DemoCalibration]
OpenDemo = Callable[..., Any]
#: A member of an archive: its header and its content.
Members = list[tuple[tarfile.TarInfo, bytes]]


@pytest.fixture
def source(open_demo: OpenDemo, tmp_path: Path) -> Store:
    """Give a store with a LOCAL and two REMOTE darks."""
    store = open_demo(tmp_path / "source")
    store.register_calibration(dark(tmp_path / "night", "local.fits", 60000.0))
    store.register_calibration(dark(tmp_path / "night", "remote.fits", 60001.0), origin="REMOTE")
    store.register_calibration(dark(tmp_path / "night", "second.fits", 60002.0, CALVER="007"), origin="REMOTE")
    return store


@pytest.fixture
def target(open_demo: OpenDemo, tmp_path: Path) -> Store:
    """Give an empty store that cannot download."""
    return open_demo(tmp_path / "target", offline=True)


@pytest.fixture
def bundle(source: Store, tmp_path: Path) -> Path:
    """Give a bundle of all that the source has."""
    return source.export_bundle(tmp_path / "night.tar", source.query()).path


def read(path: Path) -> Members:
    with tarfile.open(path, "r:") as archive:
        return [(member, archive.extractfile(member).read()) for member in archive]


def write(path: Path, members: Members) -> Path:
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        for member, data in members:
            archive.addfile(member, io.BytesIO(data))
    return path


def header(name: str, size: int = 0, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.size, made.type, made.linkname = size, kind, link
    return made


def with_manifest(path: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    """Rewrite a bundle with another manifest."""
    (_, text), *rest = read(path)
    manifest = json.loads(text)
    data = json.dumps(change(manifest) or manifest).encode()
    return write(path, [(header(MANIFEST, len(data)), data), *rest])


def check_sound(store: Store) -> int:
    """Check the invariant; gives the number of records."""
    records = store.query()
    for record in records:
        found = store.get_local_filepath(record).read_bytes()
        assert f"sha256:{hashlib.sha256(found).hexdigest()}" == record.checksum
    return len(records)


def rows(store: Store, *left_out: str) -> list[dict[str, Any]]:
    return [{k: v for k, v in record.to_dict().items() if k not in left_out} for record in store.query()]


def test_a_bundle_carries_records_and_files_as_they_are(source: Store, target: Store, bundle: Path) -> None:
    report = target.import_bundle(bundle)
    assert report.added == ["local.fits", "remote.fits", "second.fits"]
    assert report.ok
    assert rows(target, "last_updated") == rows(source, "last_updated")
    assert [r["origin"] for r in rows(target)] == ["LOCAL", "REMOTE", "REMOTE"]
    assert target.query(filename="second.fits")[0].last_updated == source.query(filename="second.fits")[0].last_updated
    assert check_sound(target) == 3
    assert target.get_calibration_by_id(source.query()[0].id).path.parent == target.cache_dir / "calibrations"


def test_a_bundle_is_a_plain_tar_whose_manifest_comes_first(bundle: Path, source: Store) -> None:
    with tarfile.open(bundle, "r:") as archive:
        names = archive.getnames()
        manifest = json.load(archive.extractfile(names[0]))
    assert names == ["manifest.json", *(f"calibrations/{name}.fits" for name in ("local", "remote", "second"))]
    assert (manifest["version"], manifest["instrument"]) == (1, "demo")
    first = manifest["records"][0]
    assert first["columns"]["id"] == source.query()[0].id
    assert (first["checksum"], first["size"]) == (source.query()[0].checksum, source.query()[0].file_size)


def test_importing_again_changes_nothing(target: Store, bundle: Path) -> None:
    target.import_bundle(bundle)
    before, files = rows(target), files_under(target.cache_dir)
    report = target.import_bundle(bundle)
    assert (report.unchanged, report.added) == (["local.fits", "remote.fits", "second.fits"], [])
    assert (rows(target), files_under(target.cache_dir)) == (before, files)


def test_a_record_without_its_file_gets_it(target: Store, bundle: Path) -> None:
    target.import_bundle(bundle)
    (target.cache_dir / "calibrations" / "remote.fits").unlink()
    spoilt = target.cache_dir / "calibrations" / "second.fits"
    spoilt.write_bytes(spoilt.read_bytes()[::-1])
    assert target.import_bundle(bundle).completed == ["remote.fits", "second.fits"]
    assert check_sound(target) == 3
    assert [name for name in files_under(target.cache_dir) if "quarantine" in name]


def test_a_newer_state_of_a_remote_record_comes_and_an_older_one_does_not(
    source: Store, target: Store, tmp_path: Path
) -> None:
    old = source.export_bundle(tmp_path / "old.tar", source.query()).path
    table = DemoCalibration.table()
    with source.local_db.begin() as connection:
        changes = {"quality": "BAD", "last_updated": "2099-01-01T00:00:00.000000"}
        connection.execute(update(table).where(table.c.filename == "remote.fits").values(changes))
    new = source.export_bundle(tmp_path / "new.tar", source.query()).path
    target.import_bundle(old)
    assert target.import_bundle(new).updated == ["remote.fits"]
    assert target.query(filename="remote.fits")[0].quality == "BAD"
    assert target.import_bundle(old).unchanged == ["local.fits", "remote.fits", "second.fits"]
    assert target.query(filename="remote.fits")[0].quality == "BAD"


def test_a_local_record_that_was_judged_since_is_reported_and_stays(target: Store, bundle: Path) -> None:
    target.import_bundle(bundle)
    target.flag("local.fits", "BAD", "a light leak")
    report = target.import_bundle(bundle)
    assert report.ok
    assert report.kept == ["local.fits"]
    assert report.unchanged == ["remote.fits", "second.fits"]
    assert target.query(filename="local.fits")[0].quality == "BAD"


def test_conflicts_change_nothing_and_hinder_no_other(target: Store, bundle: Path, tmp_path: Path) -> None:
    target.register_calibration(dark(tmp_path / "other", "local.fits", 60000.5))
    stray = target.cache_dir / "calibrations" / "remote.fits"
    stray.write_bytes(b"of nobody we know")
    before = rows(target)
    report = target.import_bundle(bundle)
    assert set(report.conflicts) == {"local.fits", "remote.fits"}
    assert not report.ok
    assert report.added == ["second.fits"]
    assert stray.read_bytes() == b"of nobody we know"
    assert [row for row in rows(target) if row["filename"] == "local.fits"] == before


def test_an_id_that_other_content_has_is_a_conflict(target: Store, bundle: Path, tmp_path: Path) -> None:
    _, mine = target.register_calibration(dark(tmp_path / "other", "mine.fits", 60005.0))
    with_manifest(bundle, lambda manifest: manifest["records"][0]["columns"].update(id=mine.id))
    assert "mine.fits" in target.import_bundle(bundle).conflicts["local.fits"]
    assert target.query(filename="mine.fits")[0].id == mine.id
    assert not (target.cache_dir / "calibrations" / "local.fits").exists()


def test_a_spoilt_file_fails_alone(target: Store, bundle: Path) -> None:
    data = bundle.read_bytes()
    place = data.index(b"SIMPLE") + 2880
    bundle.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
    report = target.import_bundle(bundle)
    assert list(report.failed) == ["local.fits"]
    assert report.added == ["remote.fits", "second.fits"]
    assert check_sound(target) == 2
    assert not list((target.cache_dir / "partial").iterdir())


def test_a_record_whose_own_checksum_is_another_one_is_not_taken_in(target: Store, bundle: Path) -> None:
    def change(manifest: dict[str, Any]) -> None:
        manifest["records"][0]["columns"]["checksum"] = "md5:" + 32 * "0"
        manifest["records"][1]["columns"]["file_size"] += 1

    report = target.import_bundle(with_manifest(bundle, change))
    assert set(report.failed) == {"local.fits", "remote.fits"}
    assert check_sound(target) == 1


def test_a_record_without_a_checksum_is_compared_with_the_manifest(target: Store, bundle: Path) -> None:
    with_manifest(bundle, lambda manifest: manifest["records"][0]["columns"].update(checksum=None, file_size=None))
    good = bundle.read_bytes()
    place = good.index(b"SIMPLE") + 2880
    bundle.write_bytes(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
    assert list(target.import_bundle(bundle).failed) == ["local.fits"]
    bundle.write_bytes(good)
    assert target.import_bundle(bundle).added == ["local.fits"]
    assert target.query(filename="local.fits")[0].checksum is None


@pytest.mark.parametrize("name", ["../../escaped.fits", "/tmp/escaped.fits", ".hidden.fits", "sub/local.fits"])
def test_a_name_with_a_path_is_refused_also_where_the_manifest_agrees(name: str, target: Store, bundle: Path) -> None:
    with_manifest(bundle, renamed(name))
    members = read(bundle)
    members[1][0].name = f"calibrations/{name}"
    write(bundle, members)
    with pytest.raises(SourceFileError, match="names a file"):
        target.import_bundle(bundle)
    assert len(target.local_db) == 0


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE])
def test_what_is_no_plain_file_is_refused_also_where_the_manifest_agrees(
    kind: bytes, target: Store, bundle: Path
) -> None:
    nothing = {"size": 0, "checksum": f"sha256:{hashlib.sha256(b'').hexdigest()}"}
    with_manifest(bundle, lambda manifest: manifest["records"][0].update(nothing))
    members = read(bundle)
    members[1] = (header(members[1][0].name, 0, kind, "calibrations/remote.fits"), b"")
    write(bundle, members)
    with pytest.raises(SourceFileError, match="not a plain file"):
        target.import_bundle(bundle)
    assert len(target.local_db) == 0


def add(name: str, **more: Any) -> Callable[[Members], None]:
    return lambda members: members.append((header(name, **more), b""))


def twice(members: Members) -> None:
    members.append(members[1])


def shorter(members: Members) -> None:
    members[1] = (header(members[1][0].name, 10), members[1][1][:10])


def no_manifest(members: Members) -> None:
    del members[0]


def late_manifest(members: Members) -> None:
    members.append(members.pop(0))


def linked(members: Members) -> None:
    members[1] = (header(members[1][0].name, 0, tarfile.SYMTYPE, "/etc/passwd"), b"")


def sparse(members: Members) -> None:
    pax = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": str(1 << 50)}
    members[1][0].pax_headers = {**pax, "GNU.sparse.name": members[1][0].name}


@pytest.mark.parametrize(
    "harm",
    [
        add("../../escaped.fits"),
        add("/tmp/escaped.fits"),
        add("calibrations/unnamed.fits"),
        add("calibrations", kind=tarfile.DIRTYPE),
        add("calibrations/local.fits", kind=tarfile.SYMTYPE, link="/etc/passwd"),
        add("calibrations/hard.fits", kind=tarfile.LNKTYPE, link="/etc/passwd"),
        add("calibrations/device.fits", kind=tarfile.CHRTYPE),
        add("calibrations/pipe.fits", kind=tarfile.FIFOTYPE),
        twice,
        shorter,
        linked,
        sparse,
        no_manifest,
        late_manifest,
        lambda members: members.pop(),
        lambda members: members.insert(1, members[0]),
    ],
    ids=[
        "parent",
        "absolute",
        "unnamed",
        "folder",
        "symlink",
        "hardlink",
        "device",
        "pipe",
        "twice",
        "short",
        "linked",
        "sparse",
        "no-manifest",
        "late-manifest",
        "missing",
        "two-manifests",
    ],
)
def test_a_hostile_archive_is_refused_and_changes_nothing(
    harm: Callable[[Members], Any], target: Store, bundle: Path, tmp_path: Path
) -> None:
    members = read(bundle)
    harm(members)
    write(bundle, members)
    with pytest.raises(SourceFileError, match=r"night\.tar"):
        target.import_bundle(bundle)
    assert len(target.local_db) == 0
    assert files_under(target.cache_dir) == []
    assert not list(tmp_path.parent.rglob("escaped.fits"))


def renamed(name: str) -> Callable[[dict[str, Any]], None]:
    def change(manifest: dict[str, Any]) -> None:
        manifest["records"][0]["columns"]["filename"] = name

    return change


@pytest.mark.parametrize(
    "change",
    [
        renamed("../../escaped.fits"),
        renamed("/tmp/escaped.fits"),
        renamed("remote.fits"),
        renamed("\x1b[2Jcleared.fits"),
        lambda manifest: manifest.update(instrument="kpf"),
        lambda manifest: manifest.update(version=2),
        lambda manifest: manifest.update(format="other"),
        lambda manifest: manifest.update(records=17),
        lambda manifest: manifest.pop("records"),
        lambda manifest: manifest["records"][0].update(size=-1),
        lambda manifest: manifest["records"][0].update(size=1e9),
        lambda manifest: manifest["records"][0].update(size=True),
        lambda manifest: manifest["records"][0].update(checksum="sha256:0"),
        lambda manifest: manifest["records"][0].update(columns=None),
        lambda manifest: manifest["records"][0]["columns"].update(id=None),
        lambda manifest: manifest["records"].append(manifest["records"][0]),
        lambda manifest: [manifest],
    ],
)
def test_a_hostile_manifest_is_refused_and_changes_nothing(
    change: Callable[[dict[str, Any]], Any], target: Store, bundle: Path
) -> None:
    with_manifest(bundle, change)
    with pytest.raises(SourceFileError) as raised:
        target.import_bundle(bundle)
    assert str(bundle) in raised.value.message
    assert "\x1b" not in str(raised.value)
    assert len(target.local_db) == 0
    assert files_under(target.cache_dir) == []


def test_a_manifest_that_nests_without_end_is_refused(target: Store, bundle: Path) -> None:
    data = b"[" * 1_000_000
    write(bundle, [(header(MANIFEST, len(data)), data), *read(bundle)[1:]])
    with pytest.raises(SourceFileError):
        target.import_bundle(bundle)


def field(number: int) -> bytes:
    """A number as the size field of a header, octal or, as GNU tar writes huge and negative ones, in base 256."""
    return number.to_bytes(12, "big", signed=True) if number < 0 else b"\x80" + number.to_bytes(11, "big")


@pytest.mark.parametrize("size", [-512, -1024, -(10**9), 1 << 62, (1 << 88) - 1])
@pytest.mark.parametrize("kind", [b"0", b"x", b"g", b"L", b"S", b"5", b"Z"])
@pytest.mark.timeout(20)
def test_sizes_that_lie_neither_hang_nor_fill_the_memory(size: int, kind: bytes, target: Store, bundle: Path) -> None:
    data = bytearray(bundle.read_bytes())
    place = data.index(b"calibrations/remote.fits")
    data[place + 124 : place + 136] = field(size)
    data[place + 156 : place + 157] = kind
    data[place + 148 : place + 156] = b"        "
    data[place + 148 : place + 156] = b"%06o\0 " % sum(data[place : place + 512])
    bundle.write_bytes(data)
    with pytest.raises(SourceFileError):
        target.import_bundle(bundle)
    assert len(target.local_db) == 0


def test_a_bundle_that_was_cut_anywhere_is_refused(target: Store, bundle: Path) -> None:
    data = bundle.read_bytes()
    content_ends = data.rindex(b"SIMPLE") + target_size(bundle)
    cuts = [0, 1, 511, 512, 1024, 5000, content_ends - 1, *random.Random(7).sample(range(content_ends), 30)]
    for cut in cuts:
        bundle.write_bytes(data[:cut])
        with pytest.raises(SourceFileError):
            target.import_bundle(bundle)
    assert len(target.local_db) == 0
    assert files_under(target.cache_dir) == []


def target_size(bundle: Path) -> int:
    """Size of the last file in a bundle, bytes."""
    return read(bundle)[-1][0].size


def test_random_damage_never_leaves_a_wrong_file(target: Store, bundle: Path) -> None:
    data, chance = bundle.read_bytes(), random.Random(11)
    for _ in range(60):
        spoilt = bytearray(data)
        for _ in range(chance.choice([1, 3, 200])):
            spoilt[chance.randrange(len(spoilt))] = chance.randrange(256)
        bundle.write_bytes(spoilt)
        with suppress(SourceFileError):
            target.import_bundle(bundle)
        check_sound(target)


@pytest.mark.parametrize("content", [b"", b"not a tar", b"\x1f\x8b" + bytes(2000), bytes(10240)])
def test_what_is_no_bundle_is_refused(content: bytes, target: Store, tmp_path: Path) -> None:
    (tmp_path / "some.tar").write_bytes(content)
    with pytest.raises(SourceFileError, match=r"some\.tar"):
        target.import_bundle(tmp_path / "some.tar")
    with pytest.raises(SourceFileError, match=r"missing\.tar"):
        target.import_bundle(tmp_path / "missing.tar")


def test_a_compressed_bundle_is_not_unpacked(target: Store, bundle: Path) -> None:
    import gzip

    bundle.write_bytes(gzip.compress(bundle.read_bytes()))
    with pytest.raises(SourceFileError):
        target.import_bundle(bundle)


def test_an_export_of_a_spoilt_file_leaves_no_bundle(source: Store, tmp_path: Path) -> None:
    spoilt = source.cache_dir / "calibrations" / "local.fits"
    spoilt.write_bytes(spoilt.read_bytes()[::-1])
    with pytest.raises(IntegrityError):
        source.export_bundle(tmp_path / "out" / "night.tar", source.query())
    assert not (tmp_path / "out").exists()


def test_an_export_hashes_what_it_writes(source: Store, tmp_path: Path) -> None:
    """A file that was changed behind the remembered signature is found all the same."""
    earlier = tmp_path / "night.tar"
    source.export_bundle(earlier, source.query())
    content = earlier.read_bytes()
    path = source.cache_dir / "calibrations" / "local.fits"
    state = path.stat()
    with path.open("r+b") as stream:
        stream.seek(2880)
        stream.write(b"\xff")
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    with pytest.raises(SourceFileError, match=r"local\.fits"):
        source.export_bundle(earlier, source.query(), overwrite=True)
    assert earlier.read_bytes() == content
    assert [p.name for p in tmp_path.iterdir() if p.name.endswith(".part")] == []


def test_an_existing_file_is_replaced_on_request_only(source: Store, tmp_path: Path) -> None:
    there = tmp_path / "night.tar"
    there.touch()
    for _ in ("an empty file", "a bundle"):
        before = there.read_bytes()
        with pytest.raises(ConfigurationError, match=r"There is a file .*night\.tar already.*overwrite"):
            source.export_bundle(there, source.query())
        assert there.read_bytes() == before
        source.export_bundle(there, source.query(), overwrite=True)
        assert tarfile.is_tarfile(there)


def test_a_file_that_is_no_bundle_is_never_replaced(source: Store, tmp_path: Path) -> None:
    there = tmp_path / "thesis.tar"
    there.write_text("a thesis")
    with tarfile.open(tmp_path / "photos.tar", "w") as archive:
        archive.add(there, "manifest.json")
    for path in (there, tmp_path / "photos.tar"):
        before = path.read_bytes()
        with pytest.raises(ConfigurationError, match=rf"{path.name} is no bundle"):
            source.export_bundle(path, source.query(), overwrite=True)
        assert path.read_bytes() == before


@pytest.mark.parametrize("end", ["new/", "new/.", "there/"])
def test_a_bundle_is_not_written_where_a_folder_is_named(source: Store, tmp_path: Path, end: str) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(ConfigurationError, match="is the path of a folder"):
        source.export_bundle(f"{tmp_path}/{end}", source.query())
    assert [path.name for path in tmp_path.iterdir() if path.name == "new" or path.is_file()] == []


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("kind", ["pipe", "link", "dangling link", "device", "folder"])
def test_what_is_no_plain_file_is_never_replaced(source: Store, tmp_path: Path, kind: str, overwrite: bool) -> None:
    path = tmp_path / "night.tar"
    precious = tmp_path / "precious"
    precious.write_text("kept")
    make: dict[str, Callable[[], object]] = {
        "pipe": lambda: os.mkfifo(path),
        "link": lambda: path.symlink_to(precious),
        "dangling link": lambda: path.symlink_to("nowhere"),
        "device": lambda: path.symlink_to("/dev/stdout"),
        "folder": path.mkdir,
    }
    make[kind]()
    before = path.lstat()
    with pytest.raises(ConfigurationError, match="is not a plain file"):
        source.export_bundle(path, source.query(), overwrite=overwrite)
    after = path.lstat()
    assert (after.st_ino, after.st_mode, precious.read_text()) == (before.st_ino, before.st_mode, "kept")


def test_a_file_that_appears_while_a_bundle_is_written_is_not_replaced(
    source: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "night.tar"
    write = tarfile.TarFile.addfile

    def appears(*arguments: Any) -> None:
        path.write_text("a thesis")
        write(*arguments)

    monkeypatch.setattr(tarfile.TarFile, "addfile", appears)
    with pytest.raises(ConfigurationError, match="already"):
        source.export_bundle(path, source.query())
    assert path.read_text() == "a thesis"
    assert [each.name for each in tmp_path.glob(".koa*")] == []


@pytest.mark.parametrize("folder", ["calibrations", "database", "partial"])
def test_no_bundle_is_written_among_the_caches_own_files(source: Store, folder: str) -> None:
    target = source.cache_dir / folder / "demo_calibrations.db"
    before = rows(source)
    with pytest.raises(ConfigurationError, match="the cache's own files"):
        source.export_bundle(target, source.query(), overwrite=True)
    assert rows(source) == before


def test_a_bundle_goes_through_a_pipe(source: Store, target: Store, tmp_path: Path) -> None:
    reading, writing = os.pipe()
    with ThreadPoolExecutor(1) as pool, os.fdopen(reading, "rb") as stream, os.fdopen(writing, "wb") as sink:
        importing = pool.submit(target.import_bundle, stream)
        report = source.export_bundle(sink, source.query())
        sink.close()
        assert importing.result().added == report.exported == ["local.fits", "remote.fits", "second.fits"]
    assert str(report.path) == "-"
    assert check_sound(target) == 3
    assert [name for name in files_under(target.cache_dir) if name.startswith("partial")] == []


def test_a_bundle_that_breaks_off_in_a_pipe_is_refused(source: Store, target: Store) -> None:
    whole = io.BytesIO()
    source.export_bundle(whole, source.query())
    for length in (0, 100, len(whole.getvalue()) // 2, len(whole.getvalue()) - 12_000):
        with pytest.raises(SourceFileError, match=r"^standard input "):
            target.import_bundle(io.BytesIO(whole.getvalue()[:length]))
    assert files_under(target.cache_dir) == []


@pytest.mark.parametrize("side", ["here", "there"])
@pytest.mark.parametrize("kind", ["md5", "none"])
def test_the_same_content_under_another_kind_of_checksum_is_no_conflict(
    source: Store, target: Store, tmp_path: Path, kind: str, side: str
) -> None:
    older = target if side == "here" else source
    target.import_bundle(source.export_bundle(tmp_path / "first.tar", source.query()).path)
    table = DemoCalibration.table()
    for record in older.query():
        md5 = hashlib.md5(older.get_local_filepath(record).read_bytes()).hexdigest()
        said = {"checksum": None, "file_size": None} if kind == "none" else {"checksum": f"md5:{md5}"}
        with older.local_db.begin() as connection:
            connection.execute(update(table).where(table.c.id == record.id).values(said))
    report = target.import_bundle(source.export_bundle(tmp_path / "second.tar", source.query()).path)
    assert (report.conflicts, len(report.unchanged)) == ({}, 3)


def test_an_export_brings_what_is_missing(open_demo: OpenDemo, source: Store, target: Store, tmp_path: Path) -> None:
    served = tmp_path / "served"
    shutil.copytree(source.cache_dir / "calibrations", served)
    for path in (source.cache_dir / "calibrations").glob("*mote.fits"):
        path.unlink()
    with pytest.raises(RemoteNotConfiguredError):
        source.export_bundle(tmp_path / "night.tar", source.query())
    assert not (tmp_path / "night.tar").exists()
    downloading = open_demo(source.cache_dir, calibration_url=served.as_uri())
    downloading.export_bundle(tmp_path / "night.tar", downloading.query())
    assert len(target.import_bundle(tmp_path / "night.tar").added) == 3


def test_a_bundle_that_cannot_be_written_is_an_error_of_its_path(source: Store, tmp_path: Path) -> None:
    with pytest.raises(CacheError, match="nowhere"):
        source.export_bundle(tmp_path / "nowhere" / "night.tar", source.query())


def test_the_umask_says_who_may_read(source: Store, open_demo: OpenDemo, tmp_path: Path) -> None:
    old = os.umask(0o002)
    try:
        bundle = source.export_bundle(tmp_path / "night.tar", source.query()).path
        target = open_demo(tmp_path / "target")
        target.import_bundle(bundle)
        spoilt = target.cache_dir / "calibrations" / "remote.fits"
        spoilt.write_bytes(b"spoilt")
        target.import_bundle(bundle)
    finally:
        os.umask(old)
    made = [bundle, *target.cache_dir.rglob("*")]
    assert len(made) > 6
    assert {oct(path.stat().st_mode & 0o777) for path in made if path.is_file()} == {"0o664"}
    assert {oct(path.stat().st_mode & 0o777) for path in made if path.is_dir()} == {"0o775"}


def wait_for(folder: Path, files: int) -> None:
    """Wait until a folder has so many files."""
    end = time.monotonic() + 60
    while len(list(folder.iterdir())) < files:
        assert time.monotonic() < end
        time.sleep(0.0005)


@pytest.mark.soak
def test_killed_imports_leave_records_with_their_files_and_the_next_one_ends_the_work(
    open_demo: OpenDemo, tmp_path: Path
) -> None:
    source = open_demo(tmp_path / "source")
    for number in range(60):
        source.register_calibration(dark(tmp_path / "night", f"dark{number}.fits", 60000.0 + number))
    bundle = source.export_bundle(tmp_path / "night.tar", source.query()).path
    script = """
import sys
from koa_middleware import CalibrationStore
from tests.conftest import DemoCalibration
with CalibrationStore(DemoCalibration, sys.argv[1]) as store:
    print("ready", flush=True)
    store.import_bundle(sys.argv[2])
"""
    target, chance, seen = tmp_path / "target", random.Random(3), []
    for _ in range(repetitions(1, 5)):
        process = run_python(script, target, bundle, path=Path(koa_middleware.__file__).parents[1])
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        here = len(list((target / "calibrations").iterdir()))
        wait_for(target / "calibrations", here + chance.choice([2, 4, 6]))
        time.sleep(chance.uniform(0.0, 0.004))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        with CalibrationStore(DemoCalibration, target) as store:
            seen.append(check_sound(store))
    assert any(0 < number < 60 for number in seen), f"no kill hit an import: {seen}"
    store = open_demo(target)
    assert store.import_bundle(bundle).ok
    assert check_sound(store) == 60


def test_many_imports_at_once_end_as_one(source: Store, bundle: Path, tmp_path: Path, open_demo: OpenDemo) -> None:
    target = tmp_path / "target"
    script = """
from koa_middleware import CalibrationStore
from tests.conftest import DemoCalibration

def work(number):
    with CalibrationStore(DemoCalibration, sys.argv[1]) as store:
        assert store.import_bundle(sys.argv[2]).ok
"""
    output_of(run_processes(6, script, target, bundle, path=Path(koa_middleware.__file__).parents[1]))
    store = open_demo(target)
    assert check_sound(store) == 3
    assert rows(store, "last_updated") == rows(source, "last_updated")
    assert not list((target / "partial").iterdir())


@pytest.mark.parametrize("way", [gzip, bz2, lzma], ids=lambda way: way.__name__)
def test_a_compressed_bundle_is_told_from_a_damaged_one(target: Store, bundle: Path, way: Any) -> None:
    bundle.write_bytes(way.compress(bundle.read_bytes()))
    with pytest.raises(SourceFileError, match=r"is compressed with \w+, .* Uncompress it first"):
        target.import_bundle(bundle)


def test_a_file_that_is_not_open_for_bytes_is_refused(source: Store, target: Store, bundle: Path) -> None:
    records = source.query()
    with io.StringIO() as text, pytest.raises(ConfigurationError, match="a text file"):
        source.export_bundle(text, records)  # type: ignore[arg-type]
    with bundle.open(encoding="latin-1") as text, pytest.raises(ConfigurationError, match="a text file"):
        target.import_bundle(text)  # type: ignore[arg-type]
    with bundle.open("rb") as reading, pytest.raises(ConfigurationError, match="not open for writing"):
        source.export_bundle(reading, records)
    with pytest.raises(ConfigurationError, match="a closed file"):
        target.import_bundle(reading)
