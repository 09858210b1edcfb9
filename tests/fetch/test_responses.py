"""What a server's answer means."""

from __future__ import annotations

from email.utils import formatdate
from time import time

import pytest
from koa_middleware.fetch.responses import continues, problem_in, retry_after, validator, what_came, words


@pytest.mark.parametrize(
    ("headers", "goes_on"),
    [
        ({"Content-Range": "bytes 100-199/200", "ETag": '"a"'}, True),
        ({"Content-Range": "bytes 100-199/*"}, True),
        ({"Content-Range": "bytes 99-199/200", "ETag": '"a"'}, False),
        ({"Content-Range": "bytes 100-300/301", "ETag": '"a"'}, False),
        ({"Content-Range": "bytes 100-199/200", "ETag": '"b"'}, False),
        ({"ETag": '"a"'}, False),
    ],
)
def test_an_answer_goes_on_only_where_offset_length_and_etag_agree(headers, goes_on):
    assert continues(headers, 100, 200, '"a"') is goes_on


def test_a_weak_etag_is_not_trusted_with_a_range():
    date = formatdate(0, usegmt=True)
    assert validator({"ETag": 'W/"a"', "Last-Modified": date}) == date
    assert validator({"ETag": 'W/"a"'}) is None


@pytest.mark.parametrize(("value", "seconds"), [("7", 7), ("", 0), ("soon", 0), ("Thu, 01 Jan 1970 00:00:00 GMT", 0)])
def test_the_wait_that_a_server_asks_for_is_understood(value, seconds):
    assert retry_after({"Retry-After": value}) == seconds


def test_a_wait_until_a_date_is_understood():
    assert 25 < retry_after({"Retry-After": formatdate(time() + 30, usegmt=True)}) <= 30


def test_an_error_page_becomes_one_short_line():
    page = b"<html><style>p {}</style>\n<p>No &amp;\x1b[31m\r\naccess</p>" + b"x" * 5000
    line = words(page)
    assert line.startswith("No & [31m access x")
    assert len(line) == 200


def test_a_problem_is_told_by_its_sentence_and_hint_and_what_is_none_is_not():
    headers = {"Content-Type": "application/problem+json; charset=utf-8"}
    body = b'{"title": "Spoilt", "detail": "The copy is spoilt.", "hint": "Ask its keeper."}'
    assert problem_in(body, headers) == ("The copy is spoilt.", "Ask its keeper.")
    for other in (body[:-9], b"[]", b"{}", b""):
        assert problem_in(other, headers) == ("", "")
    assert problem_in(body, {"Content-Type": "application/json"}) == ("", "")


def test_of_what_came_in_place_of_a_file_the_beginning_is_shown() -> None:
    assert what_came(2048 * b"y", {}).endswith(f"which begins with '{60 * 'y'}'")
