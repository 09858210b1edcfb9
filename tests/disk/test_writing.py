from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from koa_middleware import CacheError, SourceFileError
from koa_middleware.disk.writing import cache_errors, sync_folder


@pytest.mark.parametrize(
    ("number", "hint"),
    [
        (errno.ENOSPC, "Free some space"),
        (errno.EDQUOT, "Free some space"),
        (errno.EFBIG, "raise its limit"),
        (errno.EACCES, "Make .* writable"),
        (errno.EROFS, "another cache folder"),
        (errno.EIO, "its disk is sound"),
    ],
)
def test_a_failed_write_says_what_to_do(tmp_path: Path, number: int, hint: str) -> None:
    with pytest.raises(CacheError, match=rf"a\.fits cannot be written: .*{hint}"), cache_errors(tmp_path / "a.fits"):
        raise OSError(number, os.strerror(number))


def test_errors_of_ours_and_name_clashes_pass_through(tmp_path: Path) -> None:
    for error in (CacheError("a"), SourceFileError("b"), FileExistsError("c")):
        with pytest.raises(type(error)) as caught, cache_errors(tmp_path):
            raise error
        assert caught.value is error


def test_a_folder_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(CacheError, match="gone cannot be written"):
        sync_folder(tmp_path / "gone")
