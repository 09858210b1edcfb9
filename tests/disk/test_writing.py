from __future__ import annotations

import errno
import hashlib
import io
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from koa_middleware import CacheError, SourceFileError
from koa_middleware.disk.owners import HOST, this_owner
from koa_middleware.disk.writing import (
    cache_errors,
    copy_stream,
    left_beside,
    move_into_place,
    new_file,
    sweep_beside,
    sync_folder,
    whole_file,
)


@pytest.mark.parametrize(
    ("number", "hint"),
    [
        (errno.ENOSPC, "Free some space"),
        (errno.EDQUOT, "Free some space"),
        (errno.EFBIG, "raise your quota"),
        (errno.EACCES, "Check the permissions"),
        (errno.EROFS, "another cache folder"),
        (errno.EIO, "its disk works"),
    ],
)
def test_a_failed_write_says_what_to_do(tmp_path: Path, number: int, hint: str) -> None:
    with pytest.raises(CacheError, match=rf"a\.fits cannot be written: .*{hint}"), cache_errors(tmp_path / "a.fits"):
        raise OSError(number, os.strerror(number))


def test_a_file_that_a_user_names_is_to_be_written_elsewhere(tmp_path: Path) -> None:
    with pytest.raises(CacheError) as caught, whole_file(tmp_path / "night.lock"):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))
    assert "night.lock cannot be written" in caught.value.message
    assert "write it elsewhere" in caught.value.hint
    assert "cache" not in caught.value.hint


def test_errors_of_ours_and_name_clashes_pass_through(tmp_path: Path) -> None:
    for error in (CacheError("a"), SourceFileError("b"), FileExistsError("c")):
        with pytest.raises(type(error)) as caught, cache_errors(tmp_path):
            raise error
        assert caught.value is error


def test_a_folder_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(CacheError, match="gone cannot be written"):
        sync_folder(tmp_path / "gone")


def test_a_whole_file_has_its_name_at_the_end_and_not_before(tmp_path: Path) -> None:
    final = tmp_path / "a.fits"
    with whole_file(final) as sink:
        sink.write(b"content")
        assert not final.exists()
        assert list(tmp_path.glob("*.fits")) == []
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a.fits": b"content"}


@pytest.mark.parametrize("writing", [new_file, whole_file])
def test_what_is_not_written_to_its_end_leaves_nothing(tmp_path: Path, writing: Any) -> None:
    with pytest.raises(ZeroDivisionError), writing(tmp_path / "a.fits") as sink:  # noqa: PT012
        sink.write(b"half of the cont")
        1 / 0  # noqa: B018
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_replaced_only_on_request(tmp_path: Path) -> None:
    final = tmp_path / "a.fits"
    final.write_bytes(b"older")
    with pytest.raises(FileExistsError), whole_file(final) as sink:
        sink.write(b"newer")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a.fits": b"older"}
    with whole_file(final, replace=True) as sink:
        sink.write(b"newer")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a.fits": b"newer"}


def test_without_hard_links_a_name_that_is_taken_is_still_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object) -> None:
        raise OSError(errno.EPERM, "the file system has no hard links")

    monkeypatch.setattr(os, "link", no_links)
    (tmp_path / "first").write_bytes(b"1")
    (tmp_path / "second").write_bytes(b"2")
    move_into_place(tmp_path / "first", tmp_path / "a")
    with pytest.raises(FileExistsError):
        move_into_place(tmp_path / "second", tmp_path / "a")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"1", "second": b"2"}


@pytest.fixture
def other_disk() -> Iterator[Path]:
    """Give a folder on another disk than that of ``tmp_path``."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="there is no second disk")
@pytest.mark.parametrize("replace", [False, True])
def test_a_file_moves_to_another_disk_whole_and_only_where_it_may(
    tmp_path: Path, other_disk: Path, replace: bool
) -> None:
    assert tmp_path.stat().st_dev != other_disk.stat().st_dev
    source, final = tmp_path / "first", other_disk / "a.fits"
    content = os.urandom(300_000)
    source.write_bytes(content)
    move_into_place(source, final, replace=replace)
    assert final.read_bytes() == content
    assert not source.exists()
    source.write_bytes(b"second")
    if replace:
        move_into_place(source, final, replace=True)
    else:
        with pytest.raises(FileExistsError):
            move_into_place(source, final)
    assert final.read_bytes() == (b"second" if replace else content)
    assert source.exists() is not replace
    assert [path.name for path in other_disk.iterdir()] == ["a.fits"]


def test_a_hidden_file_of_a_dead_process_is_known_and_one_of_a_living_or_unknown_one_after_a_day(
    tmp_path: Path,
) -> None:
    ended = 2**22 + 1  # above the largest process number
    names = {owner: f".koa-{number:032x}.{owner}.part" for number, owner in enumerate((this_owner(), "00000000-1"))}
    names["dead"] = f".koa-{9:032x}.{HOST}-{ended}.part"
    for name in (*names.values(), ".nfs0001.part", "mine.part"):
        (tmp_path / name).write_bytes(b"x")
    assert [path.name for path in left_beside(tmp_path, of_dead=True)] == [names["dead"]]
    assert list(left_beside(tmp_path, of_dead=False)) == []
    for name in names.values():
        os.utime(tmp_path / name, (0, time.time() - 90_000))
    assert {path.name for path in left_beside(tmp_path, of_dead=False)} == set(names.values())
    young = tmp_path / f".koa-{8:032x}.{HOST}-{ended}.part"
    young.touch()
    sweep_beside(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {".nfs0001.part", "mine.part", young.name}


def test_an_error_names_the_file_that_was_to_be_written(tmp_path: Path) -> None:
    with pytest.raises(CacheError, match=r"gone/a\.fits cannot be written"), whole_file(tmp_path / "gone" / "a.fits"):
        pass


@pytest.mark.parametrize("kind", ["sha256", "md5"])
@pytest.mark.parametrize("size", [0, 1, (1 << 16) + 1, 3_000_000])
def test_a_copy_is_whole_and_hashed(kind: str, size: int) -> None:
    content, sink = os.urandom(size), io.BytesIO()
    assert copy_stream(io.BytesIO(content), sink, kind) == f"{kind}:{hashlib.new(kind, content).hexdigest()}"
    assert sink.getvalue() == content
