from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from koa_middleware import CalibrationStore, ConfigurationError, KoaMiddlewareError, settings
from koa_middleware.settings import as_age, resolve

from tests.conftest import DemoCalibration

#: What stands for "not set", in an argument or a variable.
UNSET = st.sampled_from([None, "", "   ", "None", "none", "NONE", " nOnE "])

#: argument: variable
VARIABLES = {
    "cache_dir": "KOA_CALIBRATION_CACHE",
    "local_database_filename": "KOA_LOCAL_DATABASE_FILENAME",
    "use_cached": "KOA_USE_CACHED_CALIBRATIONS",
    "remote_database_url": "KOA_REMOTE_DATABASE_URL",
    "calibration_url": "KOA_CALIBRATION_URL",
    "offline": "KOA_OFFLINE",
}


def resolve_in(environment: dict[str, str | None], **arguments: Any) -> Any:
    """Resolve the settings with these variables in the real environment."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            if value is None:
                patch.delenv(name, raising=False)
            else:
                patch.setenv(name, value)
        return resolve("demo", **{"cache_dir": "/tmp/cache", **arguments})


TEXTS = {
    "cache_dir": (st.sampled_from(["/data/cache", "/data/other", "/"]), Path),
    "local_database_filename": (st.sampled_from(["my.db", "other.sqlite", "no suffix"]), str),
    "remote_database_url": (st.sampled_from(["postgresql://koa/db", "postgresql://else/db"]), str),
    "calibration_url": (st.sampled_from(["https://koa/files", "file:///mnt"]), str),
}


@given(data=st.data(), name=st.sampled_from(sorted(TEXTS)))
def test_an_argument_goes_before_the_variable_and_the_variable_before_the_default(data: Any, name: str) -> None:
    values, kind = TEXTS[name]
    argument = data.draw(UNSET | values, "argument")
    variable = data.draw(UNSET | values, "variable")
    given = [value for value in (argument, variable) if value and value.strip() and value.strip().lower() != "none"]
    default = {"local_database_filename": "demo_calibrations.db"}.get(name)

    def resolved() -> Any:
        return getattr(resolve_in({VARIABLES[name]: variable}, **{name: argument}), name)

    if not given and name == "cache_dir":
        with pytest.raises(ConfigurationError, match=r"KOA_CALIBRATION_CACHE.*cache_dir"):
            resolved()
    else:
        assert resolved() == (kind(given[0]) if given else default)


def truth(word: Any) -> bool | None:
    """What the contract says of a word; None where it is not set."""
    text = "" if word is None else str(word).strip().lower()
    if text in {"", "none"}:
        return None
    return {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}[
        text
    ]


WORDS = st.sampled_from(["true", "TRUE", "1", "Yes", "on", " On ", "false", "False", "0", "NO", "off"])


@given(
    argument=UNSET | WORDS | st.booleans() | st.sampled_from([0, 1]),
    variable=UNSET | WORDS,
    name=st.sampled_from([("use_cached", True), ("offline", False)]),
)
def test_a_boolean_comes_from_the_argument_then_the_variable_then_the_default(
    argument: Any, variable: str | None, name: tuple[str, bool]
) -> None:
    setting, default = name
    found = getattr(resolve_in({VARIABLES[setting]: variable}, **{setting: argument}), setting)
    expected = next((value for value in map(truth, (argument, variable)) if value is not None), default)
    assert found is expected


@given(word=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1))
def test_any_other_word_is_no_boolean(word: str) -> None:
    if word.strip().lower() in {"", "none", "true", "false", "1", "0", "yes", "no", "on", "off"}:
        return
    for variable in ("KOA_USE_CACHED_CALIBRATIONS", "KOA_OFFLINE"):
        with pytest.raises(ConfigurationError, match=rf"{variable}.*neither true nor false"):
            resolve_in({variable: word})
    with pytest.raises(ConfigurationError, match="neither true nor false"):
        resolve_in({}, use_cached=word)


def test_a_bad_variable_does_not_matter_where_the_argument_is_given() -> None:
    assert resolve_in({"KOA_OFFLINE": "perhaps"}, offline=True).offline is True


@pytest.mark.parametrize("name", ["a/b.db", "/b.db", "../b.db", "..", ".", "a\\b.db", "sub/", "a\0b"])
def test_a_database_name_that_is_a_path_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="is a path"):
        resolve_in({}, local_database_filename=name)
    if "\0" not in name:
        with pytest.raises(ConfigurationError, match="KOA_LOCAL_DATABASE_FILENAME is a path"):
            resolve_in({"KOA_LOCAL_DATABASE_FILENAME": name})


def test_the_cache_folder_becomes_absolute_and_a_tilde_the_home(monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert resolve("demo", cache_dir="cache").cache_dir == tmp_path / "cache"
    assert resolve("demo", cache_dir=Path("a/../cache")).cache_dir == tmp_path / "cache"
    assert resolve("demo", cache_dir="~/cache").cache_dir == tmp_path / "home" / "cache"
    assert resolve_in({"KOA_CALIBRATION_CACHE": "~"}, cache_dir=None).cache_dir == tmp_path / "home"
    assert resolve_in({"KOA_COOKIE_FILE": "~/jar"}).cookie_file == tmp_path / "home" / "jar"


def test_the_home_of_a_user_who_does_not_exist_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError, match="KOA_CALIBRATION_CACHE begins with the home of a user whom"):
        resolve("demo", cache_dir="~nosuchuser/cache")


def test_credentials_come_from_the_environment_and_stand_in_no_repr() -> None:
    secrets = {
        "KOA_ACCESS_TOKEN": " hidden-token ",
        "KOA_REMOTE_DATABASE_URL": "postgresql://me:hidden-password@koa/db",
        "KOA_CALIBRATION_URL": "https://me:hidden-login@koa/files",
    }
    settings = resolve_in(secrets)
    assert settings.access_token == "hidden-token"
    assert "hidden" not in repr(settings)
    assert resolve_in({"KOA_ACCESS_TOKEN": "None"}).access_token is None


def test_variables_are_read_when_settings_are_made_and_not_changed(monkeypatch: Any) -> None:
    monkeypatch.setenv("KOA_OFFLINE", "no")
    before = dict(os.environ)
    assert resolve("demo", cache_dir="/c").offline is False
    monkeypatch.setenv("KOA_OFFLINE", "yes")
    assert resolve("demo", cache_dir="/c").offline is True
    monkeypatch.setenv("KOA_OFFLINE", "no")
    assert dict(os.environ) == before


@pytest.mark.parametrize("given", [timedelta(minutes=1), 60, 60.0, "60", " 6e1 "], ids=repr)
def test_an_age_is_a_timedelta_or_seconds_as_number_or_text(given: Any) -> None:
    assert as_age(given) == timedelta(minutes=1)


@pytest.mark.parametrize("given", [None, "", "  ", "None", "NONE"], ids=repr)
def test_an_age_that_is_not_set_is_none(given: Any) -> None:
    assert as_age(given) is None


@pytest.mark.parametrize(
    "given", ["1 h", "nan", float("inf"), 1e300, -1, timedelta(-1), True, b"60", [60], object], ids=repr
)
def test_what_is_no_age_is_a_configuration_error_when_the_store_is_made(tmp_path: Path, given: Any) -> None:
    with pytest.raises(ConfigurationError, match="sync_if_older_than"):
        CalibrationStore(DemoCalibration, tmp_path / "cache", sync_if_older_than=given)
    assert not (tmp_path / "cache").exists()


def test_each_variable_is_listed() -> None:
    named = [value for value in vars(settings).values() if isinstance(value, str) and value.startswith("KOA_")]
    assert sorted(settings.VARIABLES) == sorted(named)


@pytest.mark.parametrize("given", [b"60", 7, 2**63, ["a"], object, {"a": 1}, "a\ud800", "a\0b"], ids=repr)
@pytest.mark.parametrize(
    "setting", ["cache_dir", "shared_cache_dir", "local_database_filename", "calibration_url", "remote_database_url"]
)
def test_what_cannot_be_the_value_of_a_setting_is_named_by_the_setting(setting: str, given: Any) -> None:
    if isinstance(given, bytes) or (given == "a\0b" and setting.endswith("_url")):
        return
    with pytest.raises(ConfigurationError, match="The argument for KOA_"):
        resolve("demo", **{"cache_dir": "/c", setting: given})


def test_bytes_are_the_path_that_they_name() -> None:
    assert resolve("demo", cache_dir=b"/data/cache").cache_dir == Path("/data/cache")  # type: ignore[arg-type]


def use_all_settings(age: Any) -> None:
    with CalibrationStore(DemoCalibration, sync_if_older_than=age) as store:
        store.local_db.add(DemoCalibration(filename="a.fits", cal_type="dark", mjd_start=6e4, origin="REMOTE"))
        store.download_calibration(store.query()[0])


LEAKS = ["https://me:s3cr/et@host/x", "s3://me:s3cr#et@bucket/x", "postgresql://me:s3cr@et@host/db", "me:s3cret"]
LEAKS += ["//me:s3cret@host/db", "me:s3cret@host:5432/db", "s3cret@host", "host:5432/db?password=s3cret"]
LEAKS += ["host=db user=me password=s3cret"]


@pytest.mark.parametrize("url", LEAKS)
@pytest.mark.parametrize("variable", [name for name in settings.VARIABLES if name != "KOA_ACCESS_TOKEN"])
def test_a_url_in_the_place_of_any_setting_is_not_repeated(
    variable: str, url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KOA_CALIBRATION_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv(variable, url)
    with pytest.raises(KoaMiddlewareError) as caught:
        use_all_settings(url if variable == "KOA_OFFLINE" else None)
    assert "s3cr" not in str(caught.value)
    assert "et@" not in str(caught.value)
    assert not list(tmp_path.rglob("*s3cr*"))


def test_a_path_may_hold_what_stands_in_urls_where_it_is_plainly_a_path(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "me@host").mkdir()
    for text in (f"{tmp_path}/a@b:c/cache", "./a@b", "me@host/cache", f"/{tmp_path}/a@b"):
        assert resolve("demo", cache_dir=text).cache_dir == Path(text).absolute()
