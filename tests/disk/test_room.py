"""Room on a disk."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from koa_middleware import CacheError
from koa_middleware.disk.room import RESERVE, check_room, in_words


def test_what_does_not_fit_is_said_with_both_numbers(tmp_path: Path) -> None:
    with pytest.raises(CacheError, match=r" has .*B free; this download needs 1000000 TB\.") as caught:
        check_room(tmp_path, 10**18, "this download")
    assert caught.value.path == tmp_path
    assert "100 MB stay in reserve" in caught.value.hint


def test_a_reserve_stays_free_but_nothing_needs_no_room(tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free
    check_room(tmp_path, free - RESERVE - 50_000_000, "this download")
    with pytest.raises(CacheError):
        check_room(tmp_path, free - RESERVE + 50_000_000, "this download")
    check_room(tmp_path, 0, "this download")


@pytest.mark.parametrize(
    ("size", "words"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (12_345, "12.3 kB"), (123_456_789, "123 MB"), (1.2e9, "1.2 GB")],
)
def test_bytes_are_written_as_one_reads_them(size: float, words: str) -> None:
    assert in_words(size) == words
