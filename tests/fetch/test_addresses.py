"""Addresses of files, and what may be shown of them."""

from __future__ import annotations

import pickle
from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from koa_middleware.exceptions import ConfigurationError, DownloadError
from koa_middleware.fetch.addresses import Address, hide_secrets

VALUES = {
    "filename": "a b#1.fits",
    "koa_id": "KP.20240405.1",
    "koa_filepath": "/koadata20/KPF/a&b.fits",
    "cal_version": 7,
}


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("https://koa.test/data", "https://koa.test/data/a%20b%231.fits"),
        ("https://koa.test/data/", "https://koa.test/data/a%20b%231.fits"),
        ("https://koa.test", "https://koa.test/a%20b%231.fits"),
        ("HTTP://koa.test:81/d?key=1", "http://koa.test:81/d/a%20b%231.fits?key=1"),
        ("https://u:p@koa.test/d", "https://koa.test/d/a%20b%231.fits"),
        (
            "https://koa.test/cgi/nph-getKOA?filehand={koa_filepath}",
            "https://koa.test/cgi/nph-getKOA?filehand=/koadata20/KPF/a%26b.fits",
        ),
        ("https://koa.test/{koa_id}/{cal_version}/x", "https://koa.test/KP.20240405.1/7/x"),
        ("file:///archive/masters", "file:///archive/masters/a%20b%231.fits"),
        ("s3://bucket/masters", "s3://bucket/masters/a b#1.fits"),
    ],
)
def test_an_address_is_a_base_and_a_name_or_a_filled_template(url, address):
    assert Address(url).fill(VALUES) == address


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/data/archive",
        "koa.test/data",
        "https://",
        "https://{instrument}.test/x",
        "https://koa.test/{filename.__class__}",
        "https://koa.test/{filename[0]}",
        "https://koa.test/{filename!r}",
        "https://koa.test/{cal_version:03}",
        "https://koa.test/{}",
        "https://koa.test/{filename",
        "file://otherhost/data",
        "https://[koa/data",
        "https://koa.test:99999/data",
        "https://koa.test:port/data",
    ],
)
def test_what_is_no_address_is_refused_with_the_variable_to_set(url):
    with pytest.raises(ConfigurationError, match="calibration URL") as caught:
        Address(url)
    assert caught.value.variable == "KOA_CALIBRATION_URL"


@pytest.mark.parametrize("scheme", ["http", "https", "s3", "file"])
@pytest.mark.parametrize(
    "login",
    [
        "me:S3C/R3T",
        "me:S3C#R3T",
        "me:S3C?R3T",
        "me:12/S3C",
        "me:12#S3C",
        "me:12?S3C",
        "me:[S3C",
        "me:p@S3C/w",
        "me:{S3C}",
        "me:\uff0fS3C",
    ],
)
def test_a_login_that_is_not_escaped_is_refused_and_never_shown(scheme, login):
    with pytest.raises(ConfigurationError) as caught:
        Address(f"{scheme}://{login}@host.test/x")
    assert "S3C" not in str(caught.value)
    assert "R3T" not in str(caught.value)


@pytest.mark.parametrize("url", ["https://koa.test/a@b", "https://koa.test/a?b=c@d", "https://koa.test/a#b"])
def test_a_letter_that_may_be_of_a_password_is_to_be_escaped(url):
    with pytest.raises(ConfigurationError, match="write @ as %40, / as %2F, # as %23"):
        Address(url)
    assert Address("https://me:a%2Fb%40c%23@koa.test/x").login == ("me", "a/b@c#")
    assert Address("file:///a@b").fill({"filename": "x"}) == "file:///a@b/x"
    assert Address("s3://bucket/a@b").fill({"filename": "x"}) == "s3://bucket/a@b/x"


@pytest.mark.parametrize("password", ["koa", "test", "masters", "a", "http"])
def test_a_password_that_stands_in_the_address_too_cannot_be_read_from_what_is_hidden(password):
    address = Address(f"https://koa:{password}@koa.test/masters")
    said = "https://koa.test/masters/a.fits: refused"
    assert hide_secrets(said, address.secrets()) == said


@pytest.mark.parametrize("value", [None, "", "  "])
def test_a_missing_value_is_named(value):
    with pytest.raises(DownloadError, match=r"a\.fits needs its koa_filepath"):
        Address("https://koa.test/{koa_filepath}").fill({"filename": "a.fits", "koa_filepath": value})
    with pytest.raises(DownloadError, match="needs its filename"):
        Address("https://koa.test/").fill({"filename": None})


@pytest.mark.parametrize("path", ["../x", "a/../../x", ".."])
def test_a_value_cannot_lead_out_of_its_folder(path):
    with pytest.raises(DownloadError, match="another folder"):
        Address("https://koa.test/data/{koa_filepath}").fill({"koa_filepath": path})


@given(st.text(min_size=1).filter(lambda name: name.strip() and "/" not in name and name != ".."))
def test_any_name_stays_one_segment_of_the_path(name):
    try:
        name.encode()
    except UnicodeEncodeError:
        return
    address = Address("https://koa.test/data?key=1").fill({"filename": name})
    path, _, query = address.removeprefix("https://koa.test/data/").partition("?")
    assert (unquote(path), query) == (name, "key=1")


@pytest.mark.parametrize(
    "text",
    [
        "https://user:SECRET@koa.test/x",
        "GET /x?token=SECRET HTTP/1.1",
        "Authorization: Bearer SECRET",
        "authorization: basic SECRET=",
        "postgresql://u:SECRET@h/d and https://h/?a=1&b=SECRET",
        "https://koa.test/x?SECRET",
    ],
)
def test_secrets_are_hidden(text):
    assert "SECRET" not in hide_secrets(text)
    assert "SECRET" not in repr(pickle.loads(pickle.dumps(DownloadError(hide_secrets(text)))))


def test_known_secrets_are_hidden_wherever_they_stand():
    assert hide_secrets("got a/b and a%2Fb", {"a/b"}) == "got *** and ***"


@pytest.mark.parametrize(
    "token", ["SECRET {koa_filepath}", "{koa_filepath} SECRET", "a 'SECRET", "a)SECRET", 'a"SECRET']
)
def test_no_part_of_a_token_is_shown_whatever_stands_in_it(token):
    address = Address(f"https://koa.test/x?file={{koa_id}}&token={token}")
    assert repr(address) == "Address('https://koa.test/x?***')"
    with pytest.raises(DownloadError, match="needs its koa_id") as caught:
        address.fill({"filename": "a.fits", "koa_id": None, "koa_filepath": "x"})
    assert "SECRET" not in f"{caught.value} {caught.value.url}"
    if "{" not in token:
        for sent in (token, quote(token), quote(token, safe="'()")):
            assert "SECRET" not in hide_secrets(f"GET /x?token={sent} failed", address.secrets())


def test_a_placeholder_that_is_no_column_is_not_repeated():
    with pytest.raises(ConfigurationError, match="placeholder that is not a column's name") as caught:
        Address("https://koa.test/x?file={filename}&token=ab{SECRET}").fill({"filename": "a.fits"})
    assert "SECRET" not in str(caught.value)


def test_the_repr_shows_no_secret():
    assert repr(Address("https://u:SECRET@koa.test/d?key=SECRET")) == "Address('https://koa.test/d/{filename}?***')"
