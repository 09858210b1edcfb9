"""Who may do what on a server, by its token."""

from __future__ import annotations

import base64
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from koa_middleware import CalibrationStore
from koa_middleware.database.tokens import TOKENS, Tokens, new_token
from koa_middleware.remote.http.problems import MEDIA_TYPE
from koa_middleware.remote.postgres.remote import PostgresRemote
from sqlalchemy import event

from tests.conftest import DemoCalibration
from tests.server.live import Answer, Live, live, serving

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")


@dataclass
class Guarded:
    """A server with a route for each scope, and its tokens."""

    server: Live
    tokens: Tokens
    statements: list[str]
    router: Any

    def add(
        self, *scopes: str, name: str = "tom", expires: str | None = None, instruments: tuple[str, ...] = ()
    ) -> str:
        """Add a token."""
        token = new_token()
        self.tokens.add(token, name, scopes, instruments, expires)
        return token

    def ask(self, scope: str, token: str | None = None) -> Answer:
        """Ask for what needs a scope."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return self.server.ask(f"/api/v1/demo/{scope}", headers)


@pytest.fixture(params=["folder", "postgresql"])
def kind(request: pytest.FixtureRequest) -> str:
    """Where the tokens are kept."""
    return str(request.param)


@pytest.fixture
def served(store: CalibrationStore[Any], kind: str, request: pytest.FixtureRequest) -> Iterator[Any]:
    """Give what is served."""
    if kind == "folder":
        yield serving(store)
        return
    with closing(PostgresRemote(DemoCalibration, request.getfixturevalue("fresh_database"))) as remote:
        remote.set_up("reader", "publisher")
        yield serving(store, remote)


@pytest.fixture
def start(served: Any) -> Iterator[Callable[..., Guarded]]:
    """Give a function that starts a server of what is served."""
    with ExitStack() as started:

        def starting(**options: Any) -> Guarded:
            statements: list[str] = []
            engine = served.remote.database.engine
            event.listen(engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
            app = guarded_app(served, **options)
            return Guarded(started.enter_context(live(app)), Tokens(served.remote.database), statements, app.router)

        yield starting


def guarded_app(served: Any, **options: Any) -> Any:
    """Make an application with a route for each scope, and one that is of no instrument."""
    from fastapi import Depends
    from koa_middleware.server.app import Options, make_app
    from koa_middleware.server.auth import may

    app = make_app([served], Options(**options))
    for scope in ("read", "publish", "flag"):
        known = Depends(may(scope))

        def route(caller: Any = known) -> dict[str, Any]:
            return {"name": caller.name, "scopes": caller.scopes}

        app.get(f"/api/v1/{{instrument}}/{scope}")(route)
        if scope == "read":
            app.get("/any/one")(route)
    return app


@pytest.fixture
def guarded(start: Callable[..., Guarded]) -> Guarded:
    """Give an open server."""
    return start()


def test_a_token_says_who_writes(guarded: Guarded) -> None:
    answer = guarded.ask("publish", guarded.add("publish", "flag", name="Tom of Keck"))
    assert (answer.status, answer.json) == (200, {"name": "Tom of Keck", "scopes": ["publish", "flag"]})


def test_writing_without_a_token_that_holds_is_refused_alike_whatever_is_wrong_with_it(guarded: Guarded) -> None:
    revoked, expired = guarded.add("publish"), guarded.add("publish", name="old", expires="2020-01-01T00:00:00.000000")
    guarded.tokens.revoke("tom")
    refused = [
        guarded.ask("publish", token) for token in (None, "koa_nonsense", new_token(), expired, revoked, "\xe9", "")
    ]
    assert {(each.status, each.headers["content-type"]) for each in refused} == {(401, MEDIA_TYPE)}
    assert len({each.body for each in refused[1:-1]}) == 1
    assert all(b"the one that was sent does not hold" in each.body for each in refused[1:-1])
    assert all(b"none was sent" in each.body for each in (refused[0], refused[-1]))
    assert {each.headers["www-authenticate"] for each in refused} == {'Bearer realm="koa-middleware"'}


def test_the_scope_that_a_token_lacks_is_named(guarded: Guarded) -> None:
    answer = guarded.ask("publish", guarded.add("flag", "read"))
    assert (answer.status, answer.json["scope"]) == (403, "publish")
    assert answer.json["detail"] == "The token of tom lacks the scope publish."


def test_a_token_of_other_instruments_is_refused(guarded: Guarded) -> None:
    answer = guarded.ask("flag", guarded.add("flag", instruments=("other",)))
    assert (answer.status, answer.json["detail"]) == (403, "The token of tom is for other, not for demo.")
    assert guarded.ask("flag", guarded.add("flag", name="ann", instruments=("demo", "other"))).status == 200


def test_an_instrument_that_the_server_does_not_have_is_no_question_of_tokens(start: Callable[..., Guarded]) -> None:
    guarded = start(is_private=True)
    headers = {"Authorization": f"Bearer {guarded.add('read', instruments=('demo',))}"}
    for name in ("favicon.ico", "DEMO"):
        assert guarded.server.ask(f"/api/v1/{name}/state", headers).status == 404


def test_a_token_counts_in_its_header_alone(guarded: Guarded) -> None:
    token = guarded.add("publish")
    path = "/api/v1/demo/publish"
    for query in (f"access_token={token}", f"token={token}", f"Authorization=Bearer%20{token}"):
        assert guarded.server.ask(f"{path}?{query}").status == 401
    assert guarded.server.ask(path, {"Cookie": f"token={token}"}).status == 401
    assert guarded.server.ask(path, {"Authorization": token}).status == 401
    assert (
        guarded.server.ask(path, {"Authorization": f"Bearer {token}", "authorization": f"Bearer {token}"}).status == 401
    )
    assert guarded.server.ask(path, {"AUTHORIZATION": f"bearer  {token} "}).status == 200


def test_reading_is_open_to_all_and_names_those_who_say_who_they_are(guarded: Guarded) -> None:
    assert guarded.ask("read").json == {"name": "", "scopes": []}
    assert guarded.ask("read", "nonsense").json == {"name": "", "scopes": []}
    assert guarded.ask("read", guarded.add("flag")).json == {"name": "tom", "scopes": ["flag"]}


def test_a_private_server_asks_readers_for_their_token_too(start: Callable[..., Guarded]) -> None:
    guarded = start(is_private=True)
    reader, writer = guarded.add("read"), guarded.add("publish", name="ann")
    for path in ("/api/v1/demo/read", "/any/one"):
        nobody = guarded.server.ask(path)
        assert (nobody.status, nobody.headers["content-type"]) == (401, MEDIA_TYPE)
        assert guarded.server.ask(path, {"Authorization": f"Bearer {reader}"}).json["name"] == "tom"
        assert guarded.server.ask(path, {"Authorization": f"Bearer {writer}"}).json["scope"] == "read"


def asked_of(router: Any, above: str = "") -> Iterator[tuple[str, str]]:
    """Give method and path of all that a router answers, and those that stand in it."""
    for each in router.routes:
        below = getattr(each, "original_router", None)
        if below is not None:
            yield from asked_of(below, above + router.prefix)
        elif each.path not in OPEN:
            yield from ((method, re.sub("{[^}]+}", "demo", above + each.path)) for method in each.methods)


#: What a private server tells everybody: programs that look after it, and a login's page, need it.
OPEN = {"/health", "/ready", "/api/v1/openapi.json", "/static"}


def test_whatever_else_there_is_on_a_private_server_asks_for_a_token(start: Callable[..., Guarded]) -> None:
    guarded = start(is_private=True)
    answers = {each: guarded.server.ask(each[1], method=each[0]).status for each in asked_of(guarded.router)}
    assert len(answers) > 20
    assert {each: status for each, status in answers.items() if status != 401} in (
        {},
        {("POST", "/api/v1/demo/records/demo/judgements"): 403},  # of a folder, which nobody writes to
    )


def as_basic(user: str, password: str) -> dict[str, str]:
    """The header by which a browser logs in."""
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def test_a_browser_logs_in_to_private_pages_with_its_token_as_the_password(start: Callable[..., Guarded]) -> None:
    guarded = start(is_private=True)
    token = guarded.add("read", "publish")
    assert guarded.ask("read").headers["www-authenticate"].startswith('Basic realm="koa-middleware"')
    for user in ("", "tom", "any"):
        assert guarded.server.ask("/api/v1/demo/read", as_basic(user, token)).json["name"] == "tom"
    for wrong in (
        as_basic("tom", "word"),
        as_basic(token, ""),
        {"Authorization": "Basic %%"},
        {"Authorization": "Basic"},
    ):
        assert guarded.server.ask("/api/v1/demo/read", wrong).status == 401


def test_nothing_is_written_by_a_login_that_a_browser_sends_by_itself(guarded: Guarded) -> None:
    answer = guarded.server.ask("/api/v1/demo/publish", as_basic("tom", guarded.add("publish")))
    assert (answer.status, "Basic" in answer.headers["www-authenticate"]) == (401, False)


def test_a_new_token_holds_at_once_and_a_revoked_one_no_longer_than_a_second(
    guarded: Guarded, kind: str, tmp_path: Path
) -> None:
    assert guarded.ask("publish", "unknown").status == 401  # so that the tokens have just been read
    token = guarded.add("publish")
    assert guarded.ask("publish", token).status == 200
    elsewhere = guarded.tokens
    if kind == "folder":
        store = CalibrationStore(DemoCalibration, tmp_path / "cache")
        elsewhere = Tokens(store.local_db)
    elsewhere.revoke("tom")
    if kind == "folder":
        store.close()
    revoked_at, slowest, holds = time.monotonic(), 0.0, True
    while holds:
        asked_at = time.monotonic()
        assert asked_at - revoked_at < 1 + slowest
        holds = guarded.ask("publish", token).status == 200
        slowest = max(slowest, time.monotonic() - asked_at)


def test_a_token_that_expires_holds_no_longer_than_it_says(guarded: Guarded) -> None:
    ends = datetime.now(UTC).replace(tzinfo=None) + timedelta(seconds=0.5)
    token = guarded.add("publish", expires=ends.isoformat(timespec="microseconds"))
    held = guarded.ask("publish", token).status == 200
    assert held or datetime.now(UTC).replace(tzinfo=None) > ends
    time.sleep(max(0.0, (ends - datetime.now(UTC).replace(tzinfo=None)).total_seconds()))
    assert guarded.ask("publish", token).status == 401


def test_who_guesses_costs_the_database_no_question_for_each_guess(guarded: Guarded) -> None:
    def guess() -> None:
        for _ in range(40):
            assert guarded.ask("publish", new_token()).status == 401

    begun = time.monotonic()
    guessing = [threading.Thread(target=guess) for _ in range(5)]
    for each in guessing:
        each.start()
    for each in guessing:
        each.join()
    asked = sum(TOKENS.name in statement and "sha256" in statement for statement in guarded.statements)
    assert asked <= 2 + (time.monotonic() - begun) / 0.05


def test_no_refusal_repeats_a_token(guarded: Guarded) -> None:
    token = guarded.add("read")
    for answer in (guarded.ask("publish", token), guarded.ask("publish", f"{token}x")):
        assert token not in answer.body.decode() + str(answer.headers)
