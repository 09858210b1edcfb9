"""Clients that send or read too slowly, too much, or never come to an end; with limits a hundred times shorter."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse
from koa_middleware.server.app import make_app
from koa_middleware.server.limits import Limits, accepts

from tests.server.shell import Client, log_lines, running, wait_for

LIMITS = Limits(
    head_seconds=0.3,
    head_bytes=2000,
    body_seconds=0.4,
    body_rate=1000,
    reader_seconds=0.4,
    idle_seconds=1,
    unread_bytes=1 << 20,
)
#: Within which a slow client is cut, on a machine that does other things, too.
SOON = 5.0


#: What the route of endless bytes has given out.
streamed: list[int] = []


def app_of_tests() -> FastAPI:
    app = make_app([])

    @app.post("/x/y/z/taken")
    @accepts(1 << 22)
    async def taken(request: Request) -> dict[str, int]:
        return {"size": len(await request.body())}

    @app.get("/x/y/z/late")
    async def late() -> dict[str, str]:
        await asyncio.sleep(1)
        return {"it": "came"}

    @app.get("/x/y/z/endless")
    async def endless() -> StreamingResponse:
        async def pieces() -> AsyncIterator[bytes]:
            while True:
                streamed.append(1 << 16)
                yield bytes(1 << 16)

        return StreamingResponse(pieces())

    return app


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with running(app_of_tests(), LIMITS) as port:
        yield port


@pytest.fixture
def connect(port: int) -> Iterator[Callable[..., Client]]:
    made: list[Client] = []

    def make(receives: int = 0) -> Client:
        made.append(Client(port, receives))
        return made[-1]

    yield make
    for client in made:
        client.close()


def test_a_head_that_never_comes_to_its_end_is_cut_and_the_client_told(connect: Callable[..., Client]) -> None:
    client = connect()
    client.send("GET /health HTTP/1.1\r\nHost: here\r\n")
    client.answer().problem(408)
    assert client.ends_within(SOON) == b""


def test_a_head_that_comes_letter_by_letter_is_cut_all_the_same(connect: Callable[..., Client]) -> None:
    connect().send_until_cut(b"G", SOON, pause=0.05)


def test_a_connection_on_which_nothing_comes_is_closed_without_a_word(connect: Callable[..., Client]) -> None:
    assert connect().ends_within(SOON) == b""


def test_line_ends_before_a_request_keep_no_connection_open(connect: Callable[..., Client]) -> None:
    client = connect()
    assert client.ask("/health").status == 200
    client.send_until_cut(b"\r\n", SOON, pause=0.05)


def test_a_connection_is_kept_between_requests_but_not_for_long(connect: Callable[..., Client]) -> None:
    client = connect()
    assert client.ask("/health").status == 200
    time.sleep(0.5)  # longer than a head may take
    assert client.ask("/health").status == 200
    assert client.ends_within(SOON) == b""


@pytest.mark.parametrize("way", ["Content-Length: 100000", "Transfer-Encoding: chunked"])
def test_a_body_that_comes_too_slowly_is_cut(connect: Callable[..., Client], way: str) -> None:
    client = connect()
    client.send(f"POST /x/y/z/taken HTTP/1.1\r\nHost: here\r\n{way}\r\n\r\n5\r\nabcde")
    client.answer().problem(408)
    assert client.ends_within(SOON) == b""


def test_a_body_that_comes_steadily_may_take_long(connect: Callable[..., Client]) -> None:
    client = connect()
    client.send("POST /x/y/z/taken HTTP/1.1\r\nHost: here\r\nContent-Length: 16000\r\n\r\n")
    for _ in range(16):  # 1.6 s, four times as long as nothing may come
        time.sleep(0.1)
        client.send(bytes(1000))
    assert client.answer().json == {"size": 16000}


def test_a_server_that_takes_long_cuts_nobody(connect: Callable[..., Client]) -> None:
    client = connect()
    assert client.ask("/x/y/z/late").json == {"it": "came"}


def test_the_next_request_may_wait_half_sent_while_one_is_answered(connect: Callable[..., Client]) -> None:
    client = connect()
    client.send("GET /x/y/z/late HTTP/1.1\r\nHost: here\r\n\r\nGET /health HTTP/1.1\r\nHo")
    assert client.answer().json == {"it": "came"}
    client.send("st: here\r\n\r\n")
    assert client.answer().json == {"status": "up"}


def test_a_reader_that_takes_nothing_is_cut_and_memory_stays_bounded(connect: Callable[..., Client]) -> None:
    streamed.clear()
    with log_lines() as lines:
        client = connect(receives=4096)
        client.send("GET /x/y/z/endless HTTP/1.1\r\nHost: here\r\n\r\n")
        wait_for(lambda: any(line["message"] == "request" for line in lines))
    assert sum(streamed) < 20_000_000  # what the system's own buffers take
    assert [line["why"] for line in lines if line["message"] == "cut"] == ["it took nothing of an answer"]


def test_a_reader_that_is_slow_is_served(connect: Callable[..., Client]) -> None:
    client = connect(receives=1 << 16)
    client.send("GET /x/y/z/endless HTTP/1.1\r\nHost: here\r\n\r\n")
    end = time.monotonic() + 3 * LIMITS.reader_seconds
    while time.monotonic() < end:
        assert client.read()
        time.sleep(0.002)


def test_a_head_that_is_too_large_is_refused(connect: Callable[..., Client]) -> None:
    client = connect()
    client.send("GET /health HTTP/1.1\r\nHost: here\r\nX-Much: " + "a" * 3000)
    client.answer().problem(431)
    assert client.ends_within(SOON) == b""


@pytest.mark.parametrize("said", ["\x16\x03\x01\x02\x00\x01\x00", "HELO here\r\n", "GET / HTTP/9.9\r\n\r\n"])
def test_what_is_no_http_is_refused(connect: Callable[..., Client], said: str) -> None:
    client = connect()
    client.send(said)
    refused = client.answer()
    refused.problem(400)
    assert refused.headers["x-content-type-options"] == "nosniff"
    assert client.ends_within(SOON) == b""


def test_a_body_that_is_too_large_is_refused_before_it_comes(connect: Callable[..., Client]) -> None:
    client = connect()
    head = "POST /x/y/z/taken HTTP/1.1\r\nHost: here\r\nExpect: 100-continue\r\nContent-Length: 99000000\r\n\r\n"
    client.send(head)
    client.answer().problem(413)  # where 100 would ask for it


def test_a_body_of_unknown_size_is_refused_once_it_is_too_large(connect: Callable[..., Client]) -> None:
    client = connect()
    client.send("POST /x/y/z/taken HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n")
    piece = b"%x\r\n" % (1 << 16) + bytes(1 << 16) + b"\r\n"
    for _ in range(65):
        client.send(piece)
    client.answer().problem(413)


def test_a_body_within_the_limit_of_its_route_is_taken(connect: Callable[..., Client]) -> None:
    assert connect().ask("/x/y/z/taken", "POST", body=bytes(1 << 22)).json == {"size": 1 << 22}


def test_a_client_that_sends_on_gets_its_answer_and_is_cut_in_the_end(connect: Callable[..., Client]) -> None:
    client = connect()
    client.send("POST /no/such/place/at/all HTTP/1.1\r\nHost: here\r\nContent-Length: 99000000000\r\n\r\n")
    client.answer().problem(404)
    client.send_until_cut(bytes(1 << 16), SOON)


def test_many_slow_clients_keep_nobody_else_waiting(port: int) -> None:
    slow = [Client(port) for _ in range(200)]
    try:
        for client in slow:
            client.send("GET /health HTTP/1.1\r\nHo")
        with closing(Client(port)) as other:
            begun = time.monotonic()
            assert other.ask("/health").status == 200
            assert time.monotonic() - begun < SOON
    finally:
        for client in slow:
            client.close()
