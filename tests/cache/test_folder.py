from __future__ import annotations

import errno
import hashlib
import os
import re
from pathlib import Path
from typing import Any

import pytest
from koa_middleware import ConfigurationError, SourceFileError, UnsafeFilenameError
from koa_middleware.cache.folder import Cache
from koa_middleware.disk.checksums import Signature


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    made = Cache(tmp_path / "cache")
    made.create()
    return made


def test_creating_is_idempotent_and_disturbs_nothing(cache: Cache) -> None:
    (cache.calibrations / "a.fits").write_bytes(b"kept")
    cache.create()
    assert sorted(path.name for path in cache.root.iterdir()) == ["calibrations", "database", "partial"]
    assert (cache.calibrations / "a.fits").read_bytes() == b"kept"


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3_000_000])
def test_a_staged_file_is_whole_and_hashed(cache: Cache, tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    (tmp_path / "source").write_bytes(content)
    staged = cache.stage(tmp_path / "source")
    assert staged.path.read_bytes() == content
    assert (staged.file_size, staged.checksum) == (size, f"sha256:{hashlib.sha256(content).hexdigest()}")
    assert staged.path.parent == cache.partial
    assert re.fullmatch(r"[0-9a-f]{32}\.[0-9a-f]{8}-\d+", staged.path.name)  # matches no pipeline's glob


def test_a_placed_file_is_moved_and_never_onto_another(cache: Cache, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"content")
    first, second = cache.stage(tmp_path / "source"), cache.stage(tmp_path / "source")
    path = cache.place(first, "a.fits")
    assert path == cache.calibrations / "a.fits"
    assert path.read_bytes() == b"content"
    assert not first.path.exists()
    path.write_bytes(b"older")
    with pytest.raises(FileExistsError):
        cache.place(second, "a.fits")
    assert path.read_bytes() == b"older"
    assert second.path.exists()
    with pytest.raises(UnsafeFilenameError):
        cache.place(second, "../a.fits")


def test_a_file_system_without_hard_links_is_good_enough(cache: Cache, tmp_path: Path, monkeypatch: Any) -> None:
    def no_links(*_: Any) -> None:
        raise OSError(errno.EPERM, "the file system has no hard links")

    monkeypatch.setattr(os, "link", no_links)
    (tmp_path / "source").write_bytes(b"content")
    first, second = cache.stage(tmp_path / "source"), cache.stage(tmp_path / "source")
    assert cache.place(first, "a.fits").read_bytes() == b"content"
    with pytest.raises(FileExistsError):
        cache.place(second, "a.fits")
    (cache.calibrations / "dangling.fits").symlink_to("nowhere")
    with pytest.raises(FileExistsError):
        cache.place(second, "dangling.fits")


def test_a_source_seen_before_must_be_the_one_that_is_copied(cache: Cache, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"header of the first")
    seen = Signature.of(source)
    assert cache.stage(source, seen).path.read_bytes() == b"header of the first"
    (tmp_path / "new").write_bytes(b"header of the other")
    (tmp_path / "new").replace(source)
    left = sorted(cache.partial.iterdir())
    with pytest.raises(SourceFileError, match="changed while it was read"):
        cache.stage(source, seen)
    assert sorted(cache.partial.iterdir()) == left


def test_a_missing_source_is_said(cache: Cache, tmp_path: Path) -> None:
    with pytest.raises(SourceFileError, match="cannot be read: No such file"):
        cache.stage(tmp_path / "missing")
    assert list(cache.partial.iterdir()) == []


def test_a_staging_folder_goes_at_the_end_whatever_happens(cache: Cache) -> None:
    with cache.staging_folder() as folder:
        (folder / "sub").mkdir()
        (folder / "sub" / "a.fits").write_bytes(b"x")
        assert folder.parent == cache.partial
    with pytest.raises(ZeroDivisionError), cache.staging_folder() as folder:
        1 / 0  # noqa: B018
    assert list(cache.partial.iterdir()) == []


def test_a_quarantined_file_is_kept_out_of_the_way_each_under_its_own_name(cache: Cache) -> None:
    kept = []
    for content in (b"one", b"two"):
        path = cache.calibrations / "a.fits"
        path.write_bytes(content)
        kept.append(cache.quarantine(path))
        assert not path.exists()
    assert [path.read_bytes() for path in kept] == [b"one", b"two"]
    assert {path.parent for path in kept} == {cache.root / "quarantine"}
    assert not any(path.match("*.fits") for path in kept)


def test_a_signature_changes_when_the_file_does(cache: Cache) -> None:
    path = cache.calibrations / "a.fits"
    path.write_bytes(b"12")
    first = Signature.of(path)
    assert Signature.of(path) == first
    os.utime(path, ns=(0, first.mtime_ns + 1))
    touched = Signature.of(path)
    path.write_bytes(b"123")
    assert len({first, touched, Signature.of(path)}) == 3
    with pytest.raises(FileNotFoundError):
        Signature.of(cache.calibrations / "missing")


def test_a_folder_that_cannot_be_made_names_the_setting(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match=r"file.*KOA_CALIBRATION_CACHE or cache_dir") as caught:
        Cache(tmp_path / "file").create()
    assert (caught.value.setting, caught.value.variable) == ("cache_dir", "KOA_CALIBRATION_CACHE")


@pytest.mark.parametrize("place", ["", "calibrations", "database", "partial"])
@pytest.mark.parametrize("kind", ["pipe", "file"])
def test_what_stands_in_the_place_of_a_folder_is_named(tmp_path: Path, place: str, kind: str) -> None:
    path = tmp_path / "cache" / place
    path.parent.mkdir(exist_ok=True)
    os.mkfifo(path) if kind == "pipe" else path.touch()
    with pytest.raises(ConfigurationError, match=rf": {path} is not a folder\."):
        Cache(tmp_path / "cache").create()
