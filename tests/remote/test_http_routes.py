"""The routes by which an archive is followed: what they refuse, what stands before them sees, and what a poll costs."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
import requests
from koa_middleware.instrument.columns import fits_column
from koa_middleware.instrument.orm import TEXT, ORMCalibration
from koa_middleware.remote.postgres.schema import initialise
from koa_middleware.server import state_cache
from sqlalchemy.orm import Mapped
from survey import HttpArchive


@pytest.fixture
def kind() -> str:
    return "http"


@pytest.fixture
def api(archive: HttpArchive) -> str:
    return f"{archive.http_url}/api/v1/survey"


def body_of(answer: requests.Response) -> Any:
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_an_etag_holds_until_the_archive_changes_whatever_stands_between_makes_of_it(archive, api):
    archive.insert("a.fits")
    first = requests.get(f"{api}/state")
    etag = first.headers["ETag"]
    assert first.headers["Cache-Control"] == "no-cache"
    for sent in (etag, f"W/{etag}", f'"other", {etag[:-1]}-gzip"'):
        again = requests.get(f"{api}/state", headers={"If-None-Match": sent})
        assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", etag)
        assert again.headers["Koa-Clock"] > first.headers["Koa-Clock"]
    archive.insert("b.fits")
    changed = requests.get(f"{api}/state", headers={"If-None-Match": etag})
    assert body_of(changed)["newest"][0] == first.json()["newest"][0] + 1
    page = body_of(requests.get(f"{api}/changes?after=0&limit=1000"))
    assert page["view"]["etag"] == changed.headers["ETag"]
    assert page["view"]["shape"] == first.json()["shape"] == changed.json()["shape"]


def test_an_entry_that_is_not_in_the_feed_is_gone_and_no_cache_keeps_an_answer_about_it(archive, api):
    archive.insert("a.fits", "b.fits")
    n, token = body_of(requests.get(f"{api}/state"))["newest"]
    asked = requests.get(f"{api}/state", params={"ask": [n, n + 7]})
    assert body_of(asked)["tokens"] == {str(n): token}
    assert asked.headers["Cache-Control"] == "no-store"
    assert body_of(requests.get(f"{api}/changes?after={n}&token={token}&limit=5"))["entries"] == []
    for path in (
        f"changes?after={n}&token=other&limit=5",
        f"changes?after={n + 1}&token={token}&limit=5",
        f"changes?after={n - 1}&limit=5",
        f"records?limit=5&at_least={n + 1}.{token}",
        f"history?after=0&limit=5&at_least={n}.other",
    ):
        refused = requests.get(f"{api}/{path}")
        assert (refused.status_code, refused.json()["type"]) == (410, "urn:koa-middleware:problem:gone")
        assert refused.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "path",
    [
        "changes?after=-1&limit=5", "changes?after=0", "changes?after=0&limit=0", "changes?after=0&limit=10001",
        f"changes?after={1 << 63}&limit=5", "records?limit=5&after=%00", "records?limit=5&at_least=5",
        "records?limit=5&at_least=.x", "history?after=x&limit=5", "state?ask=x", f"state?{'ask=1&' * 17}",
    ],
)  # fmt: skip
def test_what_is_no_question_is_refused(api, path):
    refused = requests.get(f"{api}/{path}")
    assert (refused.status_code, refused.headers["Content-Type"]) == (422, "application/problem+json")


def test_many_who_ask_for_news_cost_few_questions_and_see_it_soon(archive, api, monkeypatch):
    monkeypatch.setattr(state_cache, "KEEP_S", 0.2)
    asked = []
    viewed = archive.served.remote.viewed

    @contextmanager
    def counted(*others: Any) -> Iterator[Any]:
        asked.append(1)
        with viewed(*others) as views:
            yield views

    monkeypatch.setattr(archive.served.remote, "viewed", counted)
    with ThreadPoolExecutor(8) as pool:
        states = list(pool.map(lambda _: body_of(requests.get(f"{api}/state"))["newest"], range(100)))
        archive.insert("a.fits")
        later = list(pool.map(lambda _: body_of(requests.get(f"{api}/state"))["newest"], range(100)))
    assert set(map(str, states)) == {str(states[0])}
    assert later[-1][0] == states[0][0] + 1
    assert len(asked) < 40


def test_rows_come_compressed_to_who_takes_that(archive, api):
    archive.fill(300)
    plain = requests.get(f"{api}/records?limit=500", headers={"Accept-Encoding": "identity"})
    packed = requests.get(f"{api}/records?limit=500", stream=True)
    raw = packed.raw.read(decode_content=False)
    assert json.loads(gzip.decompress(raw))["rows"] == plain.json()["rows"]
    assert 3 * len(raw) < len(plain.content)
    assert packed.headers["Vary"] == plain.headers["Vary"] == "Accept-Encoding"


def test_a_compressed_question_is_read_and_one_that_grows_too_large_or_is_none_is_refused(archive, api):
    (identifier,) = archive.insert("a.fits")

    def ask(body: bytes) -> requests.Response:
        headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        return requests.post(f"{api}/records/lookup", body, headers=headers)

    asked = json.dumps({"ids": [identifier, *(f"no-{number}" for number in range(5000))]}).encode()
    found = body_of(ask(gzip.compress(asked)))
    assert [row[0] for row in found["rows"]] == [identifier]
    assert found["state"]["newest"][0] == found["entries"][0][0]
    assert ask(gzip.compress(b" " * (1 << 25))).status_code == 413
    for broken in (asked, gzip.compress(asked)[:-9], gzip.compress(asked)[:40] + b"x" * 40, b""):
        assert ask(broken).status_code == 400


class WeatherSurvey(ORMCalibration):
    """The survey as another version declares it."""

    instrument_name = "survey"

    weather: Mapped[str | None] = fits_column("WEATHER", TEXT, default=None)


def test_columns_come_that_another_version_of_the_class_set_up(archive, api):
    before = body_of(requests.get(f"{api}/state"))
    assert "weather" not in [column["name"] for column in before["columns"]]
    initialise(archive.engine, WeatherSurvey)
    archive.insert("a.fits")
    archive.execute("UPDATE survey_calibrations SET weather = 'dry'")
    after = body_of(requests.get(f"{api}/state"))
    assert "weather" in [column["name"] for column in after["columns"]]
    assert after["shape"] != before["shape"]
    page = body_of(requests.get(f"{api}/records?limit=5"))
    assert dict(zip(page["columns"], page["rows"][0], strict=True))["weather"] == "dry"
