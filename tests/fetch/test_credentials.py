"""Which request may carry which credentials."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest
from koa_middleware.exceptions import ConfigurationError
from koa_middleware.fetch.addresses import Address
from koa_middleware.fetch.credentials import Access

COOKIES = """# Netscape HTTP Cookie File

.koa.test\tTRUE\t/\tTRUE\t0\tsession\tcookie-123
#HttpOnly_koa.test\tFALSE\t/cgi\tTRUE\t4102444800\thidden\tcookie-456
koa.test\tFALSE\t/\tFALSE\t1\texpired\tcookie-789
"""
HOME = "https://koa.test/data"


def access(url: str = HOME, token: str | None = "token-1", jar: Path | None = None) -> Access:
    return Access(Address(url), token, jar, lambda url: ("keck", "netrc-1") if "login.test" in url else None)


@pytest.mark.parametrize(
    ("home", "url", "sent"),
    [
        (HOME, "https://koa.test/data/x", True),
        (HOME, "https://KOA.test:443/elsewhere", True),
        (HOME, "https://koa.test:8443/data/x", False),
        (HOME, "http://koa.test/data/x", False),
        (HOME, "https://other.test/data/x", False),
        (HOME, "https://koa.test.evil.test/x", False),
        (HOME, "https://evil.test/koa.test", False),
        ("http://koa.test/data", "https://koa.test/data/x", True),
        ("http://koa.test/data", "http://koa.test/data/x", False),
        ("http://localhost:8000/", "http://localhost:8000/x", True),
        ("http://127.0.0.1:8000/", "http://127.0.0.1:8001/x", False),
        ("http://[::1]:8000/", "http://[::1]:8000/x", True),
        ("http://localhost.evil.test/", "http://localhost.evil.test/x", False),
    ],
)
def test_a_token_goes_to_its_server_over_https_or_within_this_machine(home, url, sent):
    assert access(home).headers(url) == ({"Authorization": "Bearer token-1"} if sent else {})


def test_a_login_of_netrc_goes_to_the_host_that_it_is_for():
    assert access().headers("https://login.test/x") == {"Authorization": "Basic a2VjazpuZXRyYy0x"}
    assert access().headers("http://login.test/x") == {}


def test_cookies_go_to_their_host_and_path_while_they_are_valid(tmp_path):
    jar = tmp_path / "cookies.txt"
    jar.write_text(COOKIES)
    found = access(token=None, jar=jar)
    assert found.headers("https://koa.test/data/x") == {"Cookie": "session=cookie-123"}
    assert set(found.headers("https://koa.test/cgi/x")["Cookie"].split("; ")) == {
        "session=cookie-123",
        "hidden=cookie-456",
    }
    assert found.headers("https://sub.koa.test/x") == {}
    assert found.headers("http://koa.test/data/x") == {}
    assert found.hide("it was cookie-123") == "it was ***"


def test_a_refusal_says_what_to_do():
    assert "KOA_ACCESS_TOKEN" in access(token=None).hint("https://koa.test/x", {})
    assert "renew" in access().hint("https://koa.test/x", {"Authorization": "Bearer token-1"})
    assert "https" in access("http://koa.test/").hint("http://koa.test/x", {})


@pytest.mark.parametrize("token", ["bad\ntoken-123", "tok\u20acn-123"])
def test_a_token_that_no_request_can_carry_is_refused_and_not_shown(token):
    with pytest.raises(ConfigurationError, match="KOA_ACCESS_TOKEN") as caught:
        access(token=token)
    assert "123" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    "line",
    [
        b"koa.test\tFALSE\t/\tFALSE\tsecret-123\tname\tvalue",
        b"koa.test\tFALSE\tsecret-123",
        b"koa.test\tFALSE\t/\tFALSE\t0\tname\tsecret-123\xe2\x82\xac",
        b"\xff\xfe secret-123",
    ],
    ids=["no time", "too short", "no ASCII", "binary"],
)
def test_a_cookie_that_cannot_be_read_is_refused_and_not_shown(tmp_path, line):
    jar = tmp_path / "cookies.txt"
    jar.write_bytes(b"# Netscape HTTP Cookie File\n\n" + line + b"\n")
    with pytest.raises(ConfigurationError, match=r"cookies\.txt") as caught:
        access(token=None, jar=jar).headers(f"{HOME}/a.fits")
    assert "secret-123" not in "".join(traceback.format_exception(caught.value))
