"""``koa-cal token``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from koa_middleware import open_store
from koa_middleware.database.tokens import Tokens, new_token
from koa_middleware.remote.postgres.engine import postgresql_engine
from sqlalchemy import make_url, text

Run = Callable[..., Any]
TOKEN = re.compile(r"koa_[A-Za-z0-9_-]{43}")


@pytest.fixture
def cal(koa_cal: Run, with_night: None) -> Run:
    """Types commands where the cache holds the instrument."""
    return koa_cal


@pytest.fixture
def with_night(testspec: Any) -> None:
    """Give the cache a database of the instrument."""
    open_store("testspec").close()


@pytest.fixture
def role(fresh_database: str) -> Iterator[str]:
    """Give the address of a role without rights."""
    owner = make_url(fresh_database)
    name = f"role_{owner.database}"
    engine = postgresql_engine(fresh_database)
    with engine.begin() as connection:
        connection.execute(text(f"CREATE ROLE {name} LOGIN PASSWORD 'word'"))
    yield owner.set(username=name, password="word").render_as_string(False)
    with engine.begin() as connection:
        connection.execute(text(f"DROP OWNED BY {name}; DROP ROLE {name}"))


def add(cal: Run, *arguments: object) -> str:
    """Add a token; gives it."""
    return str(cal("token", "add", *arguments).ended(0).out.strip())


def test_a_token_is_printed_once_alone_and_kept_as_a_hash_only(cal: Run, cache: Path) -> None:
    made = cal("token", "add", "tom", "--scope", "publish", "flag").ended(0)
    assert TOKEN.fullmatch(made.out.removesuffix("\n"))
    assert made.err == ""
    token = made.out.strip()
    listed = cal("token", "list").ended(0).out + cal("token", "list", "--json").ended(0).out
    assert token not in listed
    assert not re.search("[0-9a-f]{64}", listed)
    assert all(token.encode() not in file.read_bytes() for file in cache.rglob("*") if file.is_file())


def test_no_two_tokens_are_the_same(cal: Run) -> None:
    assert add(cal, "a", "--scope", "read") != add(cal, "b", "--scope", "read")


def test_the_list_tells_what_each_token_is_for(cal: Run) -> None:
    assert cal("token", "list", "--json").ended(0).json == []
    add(cal, "tom", "--scope", "flag", "--scope", "read", "-i", "TESTSPEC", "--expires", "30d")
    add(cal, "Ann of Keck", "--scope", "read")
    tom, ann = cal("token", "list", "--json").ended(0).json
    assert (tom["name"], tom["scopes"], tom["instruments"]) == ("tom", ["read", "flag"], ["testspec"])
    month = datetime.fromisoformat(tom["expires"]) - datetime.now(UTC).replace(tzinfo=None)
    assert timedelta(days=29, hours=23) < month <= timedelta(days=30)
    assert (ann["name"], ann["instruments"], ann["expires"], ann["revoked"]) == ("Ann of Keck", None, None, None)
    table = cal("token", "list").ended(0).out
    assert table.split("\n")[0].split() == ["name", "scopes", "instruments", "made", "expires", "revoked"]
    assert "Ann of Keck" in table


@pytest.mark.parametrize(
    ("given", "kept"),
    [("2999-12-31", "2999-12-31T23:59:59.999999"), ("2999-12-31T10:00:00", "2999-12-31T10:00:00.000000")],
)
def test_a_token_holds_to_the_end_of_a_day_or_until_a_time(cal: Run, given: str, kept: str) -> None:
    add(cal, "tom", "--scope", "read", "--expires", given)
    assert cal("token", "list", "--json").ended(0).json[0]["expires"] == kept


def test_a_token_may_end_today(cal: Run) -> None:
    add(cal, "tom", "--scope", "read", "--expires", datetime.now(UTC).date().isoformat())


@pytest.mark.parametrize(
    "arguments",
    [
        ["tom"],
        ["tom", "--scope", "write"],
        ["--scope", "read", "tom"],
        ["tom", "--scope", "read", "--expires", "2020-01-01"],
        ["tom", "--scope", "read", "--expires", "soon"],
        ["tom", "--scope", "read", "-i", "nosuch"],
        ["", "--scope", "read"],
        [" tom", "--scope", "read"],
        ["to\nm", "--scope", "read"],
        ["to\u202em", "--scope", "read"],
        ["t" * 65, "--scope", "read"],
    ],
)
def test_an_unusable_request_makes_no_token(cal: Run, arguments: list[str]) -> None:
    made = cal("token", "add", *arguments).ended(2)
    assert (made.out, made.err != "") == ("", True)
    assert cal("token", "list", "--json").ended(0).json == []


def test_a_name_is_given_to_one_living_token(cal: Run) -> None:
    add(cal, "tom", "--scope", "read")
    assert "koa-cal token revoke" in cal("token", "add", "tom", "--scope", "flag").ended(2).said
    assert cal("token", "revoke", "tom").ended(0).out == ""
    add(cal, "tom", "--scope", "flag")
    first, second = cal("token", "list", "--json").ended(0).json
    assert (first["revoked"] is None, second["revoked"] is None) == (False, True)


def test_a_name_is_free_again_when_its_token_has_expired(cal: Run, testspec: Any) -> None:
    with open_store("testspec") as store:
        Tokens(store.local_db).add(new_token(), "tom", ["read"], [], "2020-01-01T00:00:00.000000")
    assert "koa-cal token list" in cal("token", "revoke", "tom").ended(1).said
    add(cal, "tom", "--scope", "read")
    assert cal("token", "list", "--json").ended(0).json[0]["revoked"] == "2020-01-01T00:00:00.000000"


def test_revoking_what_is_not_there_is_told(cal: Run) -> None:
    assert "'ann'" in cal("token", "revoke", "ann").ended(1).said


def test_an_archive_keeps_the_tokens_of_all_its_instruments_once_it_is_set_up(
    cal: Run, fresh_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KOA_REMOTE_DATABASE_URL", fresh_database)
    refused = cal("token", "add", "tom", "--scope", "publish")
    assert refused.ended(2).out == ""
    assert "koa-cal remote init" in refused.said
    cal("remote", "init", "-i", "testspec").ended(0)
    add(cal, "tom", "--scope", "publish")
    assert [each["name"] for each in cal("token", "list", "--json").ended(0).json] == ["tom"]
    cal("token", "revoke", "tom").ended(0)
    monkeypatch.delenv("KOA_REMOTE_DATABASE_URL")
    assert cal("token", "list", "--json").ended(0).json == []


def test_who_lacks_the_right_to_add_a_token_is_told_whom_to_ask(
    cal: Run, fresh_database: str, role: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KOA_REMOTE_DATABASE_URL", fresh_database)
    cal("remote", "init", "-i", "testspec").ended(0)
    monkeypatch.setenv("KOA_REMOTE_DATABASE_URL", role)
    refused = cal("token", "add", "tom", "--scope", "publish").ended(1)
    assert refused.out == ""
    assert "Its owner runs: GRANT SELECT, UPDATE ON koa_tokens TO role_" in refused.said


def test_a_server_that_is_reached_over_http_hands_out_no_tokens(cal: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KOA_REMOTE_DATABASE_URL", "https://koa.invalid/calibrations")
    assert "Ask whoever runs it" in cal("token", "add", "tom", "--scope", "publish").ended(2).said
