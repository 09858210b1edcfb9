"""Which part of a file is asked for."""

from __future__ import annotations

import pytest

pytest.importorskip("fastapi")

from koa_middleware.server.ranges import Part, is_known, part_asked

ETAG = '"sha256:ab"'


@pytest.mark.parametrize(
    ("asked", "part"),
    [
        (None, None),
        ("bytes=0-0", Part(0, 1)),
        ("bytes=3-", Part(3, 10)),
        ("bytes=3-5", Part(3, 6)),
        ("bytes= 3-5 ", Part(3, 6)),
        ("BYTES=3-5", Part(3, 6)),
        ("bytes=3-99999999999", Part(3, 10)),
        ("bytes=-4", Part(6, 10)),
        ("bytes=-40", Part(0, 10)),
        ("bytes=-0", Part(10, 10)),
        ("bytes=10-", Part(10, 10)),
        ("bytes=10-20", Part(10, 10)),
        # no ranges, or several, which RFC 9110 lets a server answer with all
        ("bytes=5-3", None),
        ("bytes=-", None),
        ("bytes=", None),
        ("bytes=0-1,3-4", None),
        ("bytes=a-b", None),
        ("bytes=1.5-2", None),
        ("bytes=+1-2", None),
        ("bytes=\u0661-2", None),
        ("lines=0-1", None),
        ("bytes=" + "9" * 1000 + "-", None),
    ],
)
def test_one_range_gets_a_part_and_anything_else_the_whole(asked: str | None, part: Part | None) -> None:
    assert part_asked(asked, None, ETAG, 10) == part


@pytest.mark.parametrize(
    ("if_range", "part"),
    [
        (ETAG, Part(3, 6)),
        ('"sha256:cd"', None),
        (f"W/{ETAG}", None),
        ("Sat, 28 Nov 2026 03:00:00 GMT", None),
        ("", None),
    ],
)
def test_a_part_is_given_only_of_what_the_client_has_the_rest_of(if_range: str, part: Part | None) -> None:
    assert part_asked("bytes=3-5", if_range, ETAG, 10) == part


def test_of_an_empty_file_there_is_no_part() -> None:
    assert part_asked("bytes=0-", None, ETAG, 0) == Part(0, 0)


@pytest.mark.parametrize(
    ("if_none_match", "known"),
    [
        (None, False),
        (ETAG, True),
        (f"W/{ETAG}", True),
        (f'"x", {ETAG}', True),
        ("*", True),
        ('"x"', False),
        ("sha256:ab", False),
        ('"a, sha256:ab"', False),
    ],
)
def test_what_a_client_has_is_known_by_its_etag(if_none_match: str | None, known: bool) -> None:
    assert is_known(if_none_match, ETAG) == known
