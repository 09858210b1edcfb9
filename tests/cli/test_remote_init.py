"""``koa-cal remote init``."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from sqlalchemy import make_url

Run = Callable[..., Any]


TABLE = "testspec_calibrations"


def run(archive: Any, script: str) -> list[Any]:
    """Run a script as psql does, which adds no transaction of its own; gives the rows of the last question."""
    with closing(psycopg2.connect(archive.url)) as driver, driver.cursor() as cursor:
        driver.set_session(autocommit=True)
        cursor.execute(script)
        return cursor.fetchall() if cursor.description else []


@pytest.mark.usefixtures("archive")
def test_remote_init_needs_no_cache_folder(typed: Run, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert typed("remote", "init", "--sql").ended(0).out
    assert not cache.exists()
    monkeypatch.delenv("KOA_CALIBRATION_CACHE")
    assert typed("remote", "init", "--sql").ended(0).out


def test_remote_init_prints_grants_that_suffice_for_reader_and_publisher(
    typed: Run, archive: Any, write: Run, at: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    roles = [f"{kind}_{archive.engine.url.database}" for kind in ("reader", "publisher")]
    first = typed("remote", "init", "--reader", roles[0], "--publisher", roles[1]).ended(0)
    assert "is set up now" in first.err
    said = typed("remote", "init", "--reader", roles[0], "--publisher", roles[1], "--json").ended(0).json
    assert said["table"] == TABLE
    assert said["grants"] == first.out.splitlines()
    archive.execute(*(f"CREATE ROLE {role} LOGIN PASSWORD 'p@ss:w/rd'" for role in roles), *said["grants"])
    try:
        reader, publisher = (
            make_url(archive.url).set(username=role, password="p@ss:w/rd").render_as_string(False) for role in roles
        )
        at("keck")
        typed("register", write("dark.fits", 61083.0, "dark")).ended(0)
        monkeypatch.setenv("KOA_REMOTE_DATABASE_URL", reader)
        refused = typed("publish").ended(1).said
        assert "Set KOA_REMOTE_DATABASE_URL to the URL of a role that may publish" in refused
        assert f"GRANT INSERT, UPDATE, DELETE ON {TABLE} TO {roles[0]};" in refused
        monkeypatch.setenv("KOA_REMOTE_DATABASE_URL", publisher)
        typed("publish").ended(0)
        at("observer")
        monkeypatch.setenv("KOA_REMOTE_DATABASE_URL", reader)
        assert typed("sync").ended(0).out == "1 added, 0 changed, 0 withdrawn\n"
        assert (
            f"GRANT INSERT, UPDATE, DELETE ON {TABLE}"
            in typed("flag", "dark.fits", "bad", "--reason", "x").ended(1).said
        )
        archive.execute(f"GRANT CREATE ON SCHEMA public TO {roles[0]}")
        assert f"The role {roles[0]} is not the owner" in typed("remote", "init").ended(1).said
    finally:
        archive.execute(*(f"DROP OWNED BY {role}" for role in roles), *(f"DROP ROLE {role}" for role in roles))


def test_remote_init_prints_the_sql_that_is_missing_and_runs_nothing(typed: Run, archive: Any) -> None:
    told = typed("remote", "init", "--sql").ended(0)
    assert told.err == ""
    assert told.out.startswith("BEGIN ISOLATION LEVEL READ COMMITTED;\n")
    assert told.out.endswith("COMMIT;\n")
    said = typed("remote", "init", "--sql", "--json").ended(0).json
    assert "\n".join([*said["statements"], ""]) == told.out
    run(archive, told.out)
    again = typed("remote", "init", "--sql").ended(0)
    assert (again.out, "there is nothing to run" in again.said) == ("", True)
    assert typed("remote", "init", "--json").ended(0).json["statements"] == []


def test_remote_init_lets_everybody_read_everything_once(typed: Run, archive: Any) -> None:
    typed("remote", "init").ended(0)
    asked = typed("remote", "init", "--resweep", "--sql").ended(0).out
    assert (asked.count("'resweep'"), asked.count("CREATE")) == (1, 0)
    typed("remote", "init", "--resweep").ended(0)
    assert run(archive, f"SELECT op FROM {TABLE}_feed") == [("begun",), ("begun",), ("resweep",)]


def test_remote_init_names_the_right_that_its_role_lacks(
    typed: Run, archive: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    role = f"nobody_{archive.engine.url.database}"
    archive.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'x'")
    try:
        url = make_url(archive.url).set(username=role, password="x").render_as_string(False)
        monkeypatch.setenv("KOA_REMOTE_DATABASE_URL", url)
        assert f"GRANT USAGE, CREATE ON SCHEMA public TO {role};" in typed("remote", "init").ended(1).said
    finally:
        archive.execute(f"DROP ROLE {role}")


def test_remote_init_names_the_rows_that_stand_against_its_checks(typed: Run, archive: Any) -> None:
    typed("remote", "init").ended(0)
    archive.execute(
        f"ALTER TABLE {TABLE} DROP CONSTRAINT koa_quality",
        f"INSERT INTO {TABLE} (id, filename, cal_type, datetime_obs, mjd_start, quality)"
        " VALUES ('old', 'old.fits', 'dark', '2026-01-02T03:04:05.678', 61042, 'Bad')",
    )
    said = typed("remote", "init").ended(0).err
    assert "old.fits (id old) has the quality 'Bad'" in said
    assert "1 old value is read in form where it has one, but its row cannot be changed until it is corrected." in said
    unfit = typed("remote", "init", "--json").ended(0).json["unfit"]
    assert unfit == [{"id": "old", "filename": "old.fits", "column": "quality", "value": "Bad"}]
