"""The URL of the archive's database: what may stand in it, and that nothing secret of it is shown."""

from __future__ import annotations

import pytest
from koa_middleware import CalibrationStore, ConfigurationError
from koa_middleware.remote.servers import without_password

from tests.conftest import DemoCalibration

ADDRESS = "postgresql://127.0.0.1:1/koa"


@pytest.mark.parametrize(
    "url",
    [
        f"{ADDRESS}?user=me&PASSWORD=s3cret",
        f"{ADDRESS}?pasword=s3cret",
        f"{ADDRESS}?dsn=password=s3cret",
        f"{ADDRESS}?dbname=password=s3cret",
        f"{ADDRESS};password=s3cret",
        "postgresql://127.0.0.1:1/password=s3cret",
        "postgresql://127.0.0.1:1/dbname=x password=s3cret",
    ],
)
def test_options_that_no_server_knows_are_refused_without_being_repeated(tmp_path, url):
    with pytest.raises(ConfigurationError, match="The URL of the remote database") as caught:
        CalibrationStore(DemoCalibration, tmp_path, remote_database_url=url)
    assert caught.value.setting == "remote_database_url"
    assert "s3cret" not in f"{caught.value!r} {caught.value}"


@pytest.mark.parametrize("option", ["sslpassword", "password", "options", "sslkey", "passfile", "service"])
def test_the_options_of_a_url_are_not_shown(tmp_path, option):
    with CalibrationStore(DemoCalibration, tmp_path, remote_database_url=f"{ADDRESS}?{option}=s3cret") as store:
        assert "127.0.0.1:1/koa" in repr(store)
        assert "s3cret" not in repr(store) + repr(store.remote_db)


def test_a_url_is_shown_with_the_hosts_that_its_options_name():
    assert without_password("postgresql://me:x@/koa?host=one&port=5&sslmode=require") == "postgresql://me:***@one:5/koa"
    assert without_password("postgresql://me@/koa?host=/var/run/db") == "postgresql://me@/var/run/db:5432/koa"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:a@s3cret?@host:5432/koa",
        "postgresql://me,:?s3cret@127.0.0.1:1",
        "postgresql://me:1,2?s3cret@127.0.0.1:1/koa",
        "postgresql://me/:s3cret?@127.0.0.1:1",
        "postgresql://me@:,?s3cret@127.0.0.1:1/koa",
        "postgresql://me:@[s3cret]@127.0.0.1:1/koa",
        "postgresql://me/:s3cret?\n@127.0.0.1:1/koa?user=a",
    ],
)
def test_a_password_with_signs_that_are_not_encoded_is_not_taken_for_a_host(url):
    with pytest.raises(ConfigurationError, match="percent-encoded") as caught:
        without_password(url)
    assert "s3cret" not in str(caught.value)
    assert without_password("postgresql://me:a?b@host:5432/koa?sslmode=require") == "postgresql://me:***@host:5432/koa"


@pytest.mark.parametrize("more", ["/api", "/api/v1/", "/koa/api/v1/hispec", "?token=s3cret", "#pages"])
def test_what_stands_behind_the_place_of_an_archives_server_is_said_to_be_left_out(more):
    with pytest.raises(ConfigurationError, match="Leave out /api") as caught:
        without_password(f"https://archive.example{more}")
    assert "s3cret" not in str(caught.value)
    assert without_password("https://archive.example/api/koa") == "https://archive.example/api/koa"
