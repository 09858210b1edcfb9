"""Partial files and their owners."""

from __future__ import annotations

import os
import time

from koa_middleware.fetch import partial
from koa_middleware.fetch.partial import CHUNK, Partial

KEY = "0123456789abcdef"


def begin(folder, validator='"etag"'):
    growing = Partial(folder, KEY, "sha256", large=False)
    growing.validator = validator
    growing.write(bytes(2 * CHUNK))
    growing.remember()
    return growing


def test_what_was_forgotten_is_not_taken_for_the_beginning_of_the_old_content(tmp_path):
    with begin(tmp_path) as first:
        first.restart()
        first.write(b"of a new content")
        assert first.path.name.split(".")[3] == ""


def test_a_file_of_a_living_owner_is_left_alone_until_it_stands_still(tmp_path):
    with begin(tmp_path) as first, begin(tmp_path) as second:
        second.restart()
        second.take_over(usable=True)
        assert (second.size, first.path.exists()) == (0, True)
        old = time.time() - partial.ABANDONED_AFTER_S - 1
        os.utime(first.path, (old, old))
        second.take_over(usable=True)
        assert (second.size, second.validator, first.path.exists()) == (2 * CHUNK, '"etag"', False)


def test_the_taker_keeps_its_own_copy(tmp_path):
    with begin(tmp_path) as first:
        first.release()
        with Partial(tmp_path, KEY, "sha256", large=False) as second:
            second.take_over(usable=True)
            before = second.checksum()
            first._file.write(b"the first one writes on")
            first._file.flush()
            assert second.path.stat().st_size == 2 * CHUNK
            assert second.checksum() == before


def test_a_validator_that_fits_into_no_file_name_is_not_kept(tmp_path):
    with begin(tmp_path, '"' + "x" * 300 + '"') as first:
        first.release()
    assert list(tmp_path.iterdir()) == []
