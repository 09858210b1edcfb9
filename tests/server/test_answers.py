"""What holds for every answer: problems, headers, HEAD, the log, the counters; and how often one may ask."""

from __future__ import annotations

import json
import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from typing import Any

import pytest
from fastapi import FastAPI, Query, Request, Response
from fastapi.responses import StreamingResponse
from koa_middleware.exceptions import CalibrationNotFoundError
from koa_middleware.server.app import Options, make_app
from koa_middleware.server.rates import Rates

from tests.server.shell import Answer, Client, log_lines, running, wait_for

SECRET = "s3cr3t-letters-of-a-token"
#: The headers that no answer lacks.
SECURITY = {
    "content-security-policy",
    "referrer-policy",
    "x-content-type-options",
    "x-frame-options",
    "cross-origin-resource-policy",
}


def with_routes_of_tests(app: FastAPI) -> FastAPI:
    @app.get("/x/y/z/fails")
    async def fails() -> None:
        raise RuntimeError("the reason that only the log knows")

    @app.get("/x/y/z/begins")
    async def begins() -> StreamingResponse:
        async def pieces() -> AsyncIterator[bytes]:
            yield b"begun"
            raise RuntimeError("in the middle")

        return StreamingResponse(pieces())

    @app.get("/x/y/z/lacks")
    async def lacks() -> None:
        raise CalibrationNotFoundError("Nothing fits.", "Ask for less.", cal_type="dark")

    @app.post("/x/y/z/numbers")
    async def numbers(body: dict[str, int], limit: int = Query(10, ge=1, le=50)) -> dict[str, int]:
        return {"sum": sum(body.values()), "limit": limit}

    @app.get("/x/y/z/files/{name}")
    async def file(name: str) -> Response:
        return Response(name)

    @app.get("/x/y/z/known")
    async def known(request: Request) -> dict[str, str]:
        if request.headers.get("authorization") == f"Bearer {SECRET}":
            request.state.who = "night-crew"
        return {}

    return app


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with running(with_routes_of_tests(make_app([]))) as port:
        yield port


@pytest.fixture
def client(port: int) -> Iterator[Client]:
    with closing(Client(port)) as client:
        yield client


def request_lines(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [line for line in lines if line["message"] == "request"]


def test_an_unknown_address_is_a_problem(client: Client) -> None:
    assert client.ask("/no/such/place/at/all").problem(404)["type"] == "urn:koa-middleware:problem:not-found"
    client.ask("/health/").problem(404)  # and no redirect, whose target the Host header would choose


def test_a_method_that_an_address_does_not_take_is_a_problem_that_names_those_it_takes(client: Client) -> None:
    refused = client.ask("/health", "DELETE")
    refused.problem(405)
    assert refused.headers["allow"] == "GET, HEAD"
    refused = client.ask("/x/y/z/numbers", "GET")
    refused.problem(405)
    assert refused.headers["allow"] == "POST"


def test_a_value_that_does_not_fit_is_a_problem_that_says_which_and_repeats_nothing(client: Client) -> None:
    refused = client.ask(f"/x/y/z/numbers?limit={SECRET}", "POST", body=b"{}")
    assert refused.problem(422)["errors"][0]["place"] == ["query", "limit"]
    assert SECRET not in refused.body.decode()
    refused = client.ask(
        "/x/y/z/numbers", "POST", {"Content-Type": "application/json"}, json.dumps({"a": SECRET}).encode()
    )
    assert refused.problem(422)["errors"][0]["place"] == ["body", "a"]
    assert SECRET not in refused.body.decode()


@pytest.mark.parametrize("body", [b"{", b"\xff\xfe", b'{"a": 1}}'])
def test_a_body_that_is_no_json_is_a_problem(client: Client, body: bytes) -> None:
    client.ask("/x/y/z/numbers", "POST", {"Content-Type": "application/json"}, body).problem(400)


def test_an_error_of_the_package_is_a_problem_with_its_message_and_hint(client: Client) -> None:
    found = client.ask("/x/y/z/lacks").problem(404)
    assert (found["detail"], found["hint"], found["values"]) == ("Nothing fits.", "Ask for less.", {"cal_type": "dark"})


def test_an_unexpected_error_tells_its_id_and_the_log_tells_the_rest(client: Client) -> None:
    with log_lines() as lines:
        failed = client.ask("/x/y/z/fails")
    told = failed.problem(500)
    (line,) = [line for line in lines if line["level"] == "error"]
    assert told["id"] == line["id"] == failed.headers["x-request-id"]
    assert "RuntimeError: the reason that only the log knows" in line["traceback"]
    assert "reason" not in failed.body.decode()
    assert "Traceback" not in failed.body.decode()


def test_an_answer_that_fails_in_its_middle_does_not_look_whole(client: Client) -> None:
    with log_lines() as lines:
        client.send("GET /x/y/z/begins HTTP/1.1\r\nHost: here\r\n\r\n")
        came = client.ends_within(10)
    assert came.endswith(b"begun\r\n")  # the piece, and no last piece of no bytes
    assert "in the middle" in next(line for line in lines if line["level"] == "error")["traceback"]


@pytest.mark.parametrize(
    "path",
    [
        "/health",
        "/no/such/place/at/all",
        "/x/y/z/fails",
        "/metrics",
        "/api/v1/openapi.json",
        "/x/y/z/files/a",
    ],
)
def test_every_answer_forbids_a_browser_what_it_does_not_need(client: Client, path: str) -> None:
    headers = client.ask(path, headers={"Origin": "https://elsewhere.example"}).headers
    assert headers.keys() >= SECURITY
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert not [name for name in headers if name.startswith("access-control-")]
    assert not re.search(r"\d", headers["server"])


def test_head_is_get_without_a_body(client: Client) -> None:
    got, head = client.ask("/health"), client.ask("/health", "HEAD")
    assert head.body == b""
    assert head.status == 200
    assert {**head.headers, "date": "", "x-request-id": ""} == {**got.headers, "date": "", "x-request-id": ""}
    assert client.ask("/no/such/place/at/all", "HEAD").status == 404
    assert client.ask("/x/y/z/numbers", "HEAD").status == 405
    assert client.ask("/health").json == {"status": "up"}  # nothing of a body was left on the connection


def test_each_request_is_a_line_of_the_log_without_any_secret(client: Client) -> None:
    with log_lines() as lines:
        client.ask(f"/x/y/z/known?token={SECRET}", headers={"Authorization": f"Bearer {SECRET}", "Cookie": SECRET})
        client.ask("/x/y/z/files/a%0Ab")
    first, second = request_lines(lines)
    assert SECRET not in json.dumps(lines)
    assert (first["who"], first["method"], first["path"], first["status"]) == (
        "night-crew",
        "GET",
        "/x/y/z/known",
        200,
    )
    assert first["client"] == "127.0.0.1"
    assert first["bytes"] == 2
    assert first["ms"] >= 0
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first["time"])
    assert second["path"] == "/x/y/z/files/a\nb"  # which JSON writes in one line
    assert second["who"] is None


def test_the_address_of_a_client_behind_a_proxy_on_this_machine_is_the_one_that_the_proxy_says(client: Client) -> None:
    with log_lines() as lines:
        client.ask("/health", headers={"X-Forwarded-For": "198.51.100.9, 203.0.113.7"})
    assert request_lines(lines)[0]["client"] == "203.0.113.7"  # the last one, which the proxy itself has seen


def test_a_client_that_goes_away_is_no_error(port: int) -> None:
    with log_lines() as lines:
        client = Client(port)
        client.send("POST /x/y/z/numbers HTTP/1.1\r\nHost: here\r\nContent-Length: 100\r\n\r\n{")
        time.sleep(0.1)
        client.close()
        wait_for(lambda: bool(request_lines(lines)))
    assert [line["level"] for line in lines] == ["info"]


def test_requests_are_counted_by_route_and_never_by_a_files_name(client: Client) -> None:
    for name in ("HB.secret-target.fits", "other.fits"):
        client.ask(f"/x/y/z/files/{name}")
    client.ask("/no/such/place/at-all")
    text = client.ask("/metrics").body.decode()
    assert re.search(r'koa_requests_total\{method="GET",route="/x/y/z/files/\{name\}",status="200"\} [2-9]', text)
    assert 'route="none",status="404"' in text
    assert 'koa_request_seconds_count{route="/x/y/z/files/{name}"}' in text
    assert "secret-target" not in text
    assert "at-all" not in text


def test_a_method_that_nobody_knows_makes_no_counter_of_its_own(client: Client) -> None:
    client.ask("/health", "PROPFIND").problem(405)
    text = client.ask("/metrics").body.decode()
    assert "PROPFIND" not in text
    assert 'method="other",route="/health",status="405"' in text


@pytest.fixture(scope="module")
def limited() -> Iterator[int]:
    with running(with_routes_of_tests(make_app([], Options(rate_limit=1)))) as port:
        yield port


def until_refused(client: Client, **headers: str) -> Answer:
    for _ in range(30):
        answer = client.ask("/x/y/z/known", headers=headers)
        if answer.status != 200:
            return answer
    raise AssertionError("it was never refused")


def test_who_asks_too_often_is_told_when_to_ask_again_and_others_are_served(limited: int) -> None:
    with closing(Client(limited)) as client:
        refused = until_refused(client, **{"X-Forwarded-For": "203.0.113.7"})
        refused.problem(429)
        assert 1 <= int(refused.headers["retry-after"]) <= 2
        assert client.ask("/x/y/z/known", headers={"X-Forwarded-For": "203.0.113.8"}).status == 200
        assert client.ask("/health", headers={"X-Forwarded-For": "203.0.113.7"}).status == 200
        time.sleep(int(refused.headers["retry-after"]))
        assert client.ask("/x/y/z/known", headers={"X-Forwarded-For": "203.0.113.7"}).status == 200


def test_made_up_tokens_give_no_more_requests(limited: int) -> None:
    with closing(Client(limited)) as client:
        answers = [
            client.ask(
                "/x/y/z/known", headers={"X-Forwarded-For": "203.0.113.9", "Authorization": f"Bearer {n}"}
            ).status
            for n in range(15)
        ]
    assert 429 in answers


def test_a_token_that_holds_has_a_measure_of_its_own(limited: int) -> None:
    crew = {"X-Forwarded-For": "203.0.113.10", "Authorization": f"Bearer {SECRET}"}
    with closing(Client(limited)) as client:
        assert client.ask("/x/y/z/known", headers=crew).status == 200
        until_refused(client, **{"X-Forwarded-For": "203.0.113.10"})
        assert client.ask("/x/y/z/known", headers=crew).status == 200
        assert client.ask("/x/y/z/known", headers={**crew, "X-Forwarded-For": "203.0.113.11"}).status == 200
        until_refused(client, **crew)


def test_the_addresses_of_one_ipv6_network_are_one_client(limited: int) -> None:
    with closing(Client(limited)) as client:
        answers = [
            client.ask("/x/y/z/known", headers={"X-Forwarded-For": f"2001:db8:1:2::{n:x}"}).status for n in range(1, 16)
        ]
        assert 429 in answers
        assert client.ask("/x/y/z/known", headers={"X-Forwarded-For": "2001:db8:1:3::1"}).status == 200


def test_over_a_long_time_a_client_gets_its_rate_and_no_more() -> None:
    rates, served = Rates(2), 0
    for tenth in range(1000):  # ten requests a second for 100 s
        served += not rates.wait("one", tenth / 10)
    assert 200 <= served <= 220  # and those of the first burst


def test_clients_that_were_silent_are_forgotten() -> None:
    rates = Rates(1)
    for number in range(50_000):
        rates.wait(str(number), number / 100)
    assert len(rates._next) < 11_000
