"""``koa-cal remote init``, ``sync``, ``publish``, ``prefetch``, and what other commands say of the archive."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import shutil
import socket
import struct
import subprocess
import termios
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from koa_middleware import InstrumentPlugin, open_store
from koa_middleware.remote.postgres.engine import postgresql_engine
from sqlalchemy import insert, make_url, text

Run = Callable[..., Any]
TABLE = "testspec_calibrations"


class Archive:
    """The database that ``KOA_REMOTE_DATABASE_URL`` names, as its owner has it, and the folder of its files."""

    def __init__(self, url: str, files: Path) -> None:
        self.url = url
        self.files = files
        self.engine = postgresql_engine(url)
        self.password = str(make_url(url).password)

    def execute(self, *statements: Any) -> None:
        with self.engine.begin() as connection:
            for statement in statements:
                connection.execute(text(statement) if isinstance(statement, str) else statement)


@pytest.fixture
def archive(fresh_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Archive]:
    """An empty database, which the environment names."""
    found = Archive(fresh_database, tmp_path / "served")
    found.files.mkdir()
    monkeypatch.setenv("KOA_REMOTE_DATABASE_URL", found.url)
    monkeypatch.setenv("KOA_CALIBRATION_URL", found.files.as_uri())
    yield found
    found.engine.dispose()


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """Give a function that goes on with the cache of another person."""
    return lambda person: monkeypatch.setenv("KOA_CALIBRATION_CACHE", str(tmp_path / person))


@pytest.fixture
def typed(koa_cal: Run, archive: Archive) -> Run:
    """Give a function that runs a command of testspec; the password is never in what it prints."""

    def run(*arguments: object) -> Any:
        found = koa_cal(*arguments, "-i", "testspec")
        assert archive.password not in found.out + found.err
        return found

    return run


# -- the owner ---------------------------------------------------------------------------------------------------------


def test_remote_init_prints_grants_that_suffice_for_reader_and_publisher(
    typed: Run, archive: Archive, write: Run, at: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    roles = [f"{kind}_{archive.engine.url.database}" for kind in ("reader", "publisher")]
    first = typed("remote", "init", "--reader", roles[0], "--publisher", roles[1]).ended(0)
    assert f"{TABLE} is set up" in first.err
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
        assert "GRANT SELECT, INSERT" in typed("publish").ended(1).said
        monkeypatch.setenv("KOA_REMOTE_DATABASE_URL", publisher)
        typed("publish").ended(0)
        at("observer")
        monkeypatch.setenv("KOA_REMOTE_DATABASE_URL", reader)
        assert typed("sync").ended(0).out == "1 added, 0 changed, 0 withdrawn\n"
        assert f"GRANT SELECT, UPDATE ON {TABLE}" in typed("flag", "dark.fits", "bad", "--reason", "x").ended(1).said
        archive.execute(f"GRANT CREATE ON SCHEMA public TO {roles[0]}")
        assert f"The role {roles[0]} is not the owner" in typed("remote", "init").ended(1).said
    finally:
        archive.execute(*(f"DROP OWNED BY {role}" for role in roles), *(f"DROP ROLE {role}" for role in roles))


def test_remote_init_names_the_right_that_its_role_lacks(
    typed: Run, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    role = f"nobody_{archive.engine.url.database}"
    archive.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'x'")
    try:
        url = make_url(archive.url).set(username=role, password="x").render_as_string(False)
        monkeypatch.setenv("KOA_REMOTE_DATABASE_URL", url)
        assert f"GRANT USAGE, CREATE ON SCHEMA public TO {role};" in typed("remote", "init").ended(1).said
    finally:
        archive.execute(f"DROP ROLE {role}")


def test_remote_init_names_the_rows_that_stand_against_its_checks(typed: Run, archive: Archive) -> None:
    typed("remote", "init").ended(0)
    archive.execute(
        f"ALTER TABLE {TABLE} DROP CONSTRAINT koa_quality",
        f"INSERT INTO {TABLE} (id, filename, cal_type, datetime_obs, mjd_start, quality)"
        " VALUES ('old', 'old.fits', 'dark', '2026-01-02T03:04:05.678', 61042, 'Bad')",
    )
    assert "old.fits (id old) has the quality 'Bad'" in typed("remote", "init").ended(0).err
    unfit = typed("remote", "init", "--json").ended(0).json["unfit"]
    assert unfit == [{"id": "old", "filename": "old.fits", "column": "quality", "value": "Bad"}]


# -- the round trip ----------------------------------------------------------------------------------------------------


def test_keck_publishes_and_an_observer_syncs_selects_and_sees_a_flag(
    typed: Run, archive: Archive, write: Run, frame: Path, at: Run, tmp_path: Path
) -> None:
    typed("remote", "init").ended(0)
    at("keck")
    near, far = write("near.fits", 61083.4, "dark"), write("far.fits", 61085.0, "dark")
    typed("register", near, far).ended(0)
    assert typed("publish", "far.fits", "--upload", archive.files, "--json").ended(0).json == {
        "published": 1,
        "unchanged": 0,
        "renamed": {},
    }
    assert typed("publish", "--upload", archive.files.as_uri()).ended(0).out == "1 published, 0 unchanged\n"
    assert typed("publish").ended(0).out == "0 published, 0 unchanged\n"
    assert typed("publish", "near.fits").ended(0).out == "0 published, 1 unchanged\n"
    assert typed("publish", "no-such.fits").ended(1).out == ""

    at("observer")
    assert typed("status", "--json").json["last_sync"] is None
    came = typed("sync", "--json").ended(0).json
    assert came == {"added": 2, "changed": 0, "withdrawn": 0, "full": True, "conflicts": []}
    best = typed("best", frame, "--type", "dark", "--json").ended(0).json["calibrations"]["dark"]
    assert best["filename"] == "near.fits"
    assert Path(best["path"]).read_bytes() == near.read_bytes()

    at("keck")
    assert "near.fits is BAD" in typed("flag", "near.fits", "bad", "--reason", "light leak").ended(0).out
    shown = typed("show", "near.fits").ended(0).out
    assert re.search(r"^BAD by \S+ at 20\d\d-.*: light leak$", shown, re.MULTILINE)
    (flag,) = typed("show", "near.fits", "--json").json["flags"]
    assert (flag["quality"], flag["reason"]) == ("BAD", "light leak")

    at("observer")
    assert typed("sync").ended(0).out == "0 added, 1 changed, 0 withdrawn\n"
    assert typed("best", frame, "--type", "dark", "--json").json["calibrations"]["dark"]["filename"] == "far.fits"
    archive.execute(f"DELETE FROM {TABLE} WHERE filename = 'near.fits'")
    assert typed("sync", "--full", "--json").ended(0).json["withdrawn"] == 1
    status = typed("status", "--json").ended(0).json
    assert (status["records"], status["files_in_cache_dir"], status["conflicts"]) == (1, 2, [])
    assert status["last_sync"]
    assert status["remote_database"].startswith("postgresql://postgres:***@")


def test_a_version_that_is_taken_there_is_told_with_the_new_name(
    typed: Run, archive: Archive, write: Run, at: Run
) -> None:
    typed("remote", "init").ended(0)
    for person, exposure in (("ann", 1.0), ("bob", 2.0)):
        at(person)
        typed("register", write("dark.fits", 61083.0, "dark", EXPTIME=exposure)).ended(0)
        sent = typed("publish").ended(0)
    assert sent.out.splitlines() == ["1 published, 0 unchanged", "dark.fits is dark.002.fits now"]
    assert [one["cal_version"] for one in typed("list", "--json").json["records"]] == ["002"]


def test_conflicts_are_named_by_sync_and_status_and_shown_by_their_id(
    typed: Run, archive: Archive, write: Run, testspec: InstrumentPlugin
) -> None:
    typed("remote", "init").ended(0)
    typed("register", write("dark.fits", 61083.0, "dark")).ended(0)
    theirs = testspec.ORM(filename="dark.fits", cal_type="dark", mjd_start=61090.0, checksum="sha256:" + 64 * "0")
    row = {name: value for name, value in theirs.to_dict().items() if name != "last_updated"}
    archive.execute(insert(testspec.ORM.table()).values(row))
    for command in ("sync", "status"):
        shown = typed(command).ended(0).out
        assert re.search(rf"dark\.fits +{theirs.id} +a LOCAL record has this file name", shown)
        (conflict,) = typed(command, "--json").json["conflicts"]
        assert (conflict["id"], conflict["record"]["mjd_start"]) == (theirs.id, 61090.0)
    shown = typed("show", theirs.id, "--json").ended(0).json
    assert (shown["mjd_start"], shown["path"]) == (61090.0, None)
    assert "LOCAL calibration has its name" in typed("get", theirs.id).ended(1).said
    assert typed("show", "dark.fits", "--json").json["mjd_start"] == 61083.0


# -- downloads ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def served(typed: Run, archive: Archive, write: Run, at: Run) -> None:
    """Publish a dark and a flat of the frame's night, a bad one, and one of another night; go on as an observer."""
    typed("remote", "init").ended(0)
    at("keck")
    for name, mjd, cal_type in (
        ("dark.fits", 61083.4, "dark"),
        ("flat.fits", 61083.3, "flat"),
        ("bad.fits", 61083.5, "dark"),
        ("late.fits", 61090.5, "dark"),
    ):
        typed("register", write(name, mjd, cal_type)).ended(0)
    typed("flag", "bad.fits", "bad", "--reason", "test").ended(0)
    typed("publish", "--upload", archive.files).ended(0)
    at("observer")
    typed("sync").ended(0)


@pytest.mark.usefixtures("served")
def test_a_prefetch_says_what_will_come_and_brings_it(typed: Run, frame: Path, archive: Archive) -> None:
    size = (archive.files / "dark.fits").stat().st_size
    found = typed("prefetch", frame, "--type", "dark", "--type", "FLAT").ended(0)
    said = rf"koa-cal: 2 calibrations, {2 * size / 1000:.1f} kB to come, [\d.]+ [kMGT]B free on the disk\n"
    assert re.fullmatch(said, found.err)
    assert found.out.startswith("2 downloaded")
    found = typed("prefetch", "--night", "2026-02-12", "--json").ended(0)
    assert found.json == {
        "downloaded": [],
        "cached": ["flat.fits", "dark.fits"],
        "failed": {},
        "unmatched": {},
        "size": 0,
    }
    (archive.files / "late.fits").unlink()
    failing = typed("prefetch", "--since", "2026-02-12", "--json").ended(1)
    assert list(failing.json["failed"]) == ["late.fits"]
    assert "late.fits" in failing.err
    unmatched = typed("prefetch", frame, "--json").ended(1)
    assert sorted(unmatched.json["unmatched"]) == [f"{frame}, arc", f"{frame}, bias"]
    assert f"{frame}, arc: No arc fits" in unmatched.err


@pytest.mark.usefixtures("served")
def test_a_prefetch_shows_its_progress_on_a_terminal_only(command: Run, process: Run, tmp_path: Path) -> None:
    shutil.copytree(tmp_path / "observer", tmp_path / "another")
    line = ("prefetch", "--since", "2026-02-12", "-i", "testspec")
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    with subprocess.Popen(**command(*line), stdout=subprocess.DEVNULL, stderr=theirs) as started:
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # so Linux tells the end
            while read := os.read(ours, 1 << 16):
                shown += read
        os.close(ours)
    assert started.returncode == 0
    assert b"3 calibrations" in shown
    assert re.search(rb"100%.*B/s", shown)
    silent = process(*line, KOA_CALIBRATION_CACHE=str(tmp_path / "another")).ended(0)
    assert re.fullmatch(r"koa-cal: 3 calibrations, 17\.3 kB to come, [\d.]+ [kMGT]B free on the disk\n", silent.err)
    assert silent.out.startswith("3 downloaded")


@pytest.mark.usefixtures("served")
def test_a_prefetch_of_nothing_is_said(typed: Run) -> None:
    assert "Nothing says what is wanted" in typed("prefetch").ended(2).said
    assert "0 calibrations" in typed("prefetch", "--night", "2020-01-01").ended(1).err
    assert typed("prefetch", "--night", "tonight").code == 2


@pytest.mark.usefixtures("served")
def test_spoilt_files_are_repaired(typed: Run, archive: Archive, tmp_path: Path) -> None:
    (path,) = typed("get", "dark.fits").ended(0).out.splitlines()
    Path(path).write_bytes(b"spoilt")
    assert "1 faults" in typed("verify").ended(1).out
    assert "repaired" in typed("verify", "--repair").ended(0).out
    assert Path(path).read_bytes() == (archive.files / "dark.fits").read_bytes()


# -- what goes wrong ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [["sync"], ["publish"], ["remote", "init"]])
@pytest.mark.parametrize("more", [[], ["--json"]])
def test_without_an_archive_these_commands_are_wrong_usage(koa_cal: Run, command: list[str], more: list[str]) -> None:
    found = koa_cal(*command, *more, "-i", "testspec").ended(2)
    assert found.out == ""
    assert "KOA_REMOTE_DATABASE_URL" in found.said


def test_an_archive_that_is_not_set_up_says_who_does_it(typed: Run) -> None:
    assert "koa-cal remote init" in typed("sync").ended(2).said


def test_an_outage_is_said_in_one_line_without_the_password_also_with_a_traceback(
    process: Run, archive: Archive, write: Run
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
    url = make_url(archive.url).set(port=port, password="p@ss w/rd%").render_as_string(False)
    secrets = ("p@ss w/rd%", str(make_url(url).render_as_string(False)).split("@")[0].split(":")[-1])
    process("register", write("dark.fits", 61083.0, "dark"), "-i", "testspec").ended(0)
    for command in (["sync"], ["--debug", "sync"], ["publish"], ["--debug", "remote", "init"]):
        found = process(*command, "-i", "testspec", KOA_REMOTE_DATABASE_URL=url)
        assert (found.code, found.out) == (1, "")
        assert f"127.0.0.1:{port}" in found.err.splitlines()[-1]
        assert len(found.err.splitlines()) == 1 or "--debug" in command
        assert ("Traceback" in found.err) == ("--debug" in command)
        for secret in secrets:
            assert secret not in found.err
    assert process("list", "-i", "testspec", KOA_REMOTE_DATABASE_URL=url).ended(0).out.endswith("1 calibrations\n")
    offline = process("sync", "-i", "testspec", KOA_REMOTE_DATABASE_URL=url, KOA_OFFLINE="1").ended(1)
    assert "offline" in offline.said


# -- the demonstration -------------------------------------------------------------------------------------------------


def test_the_demo_of_the_archive_shows_the_round_trip_and_no_secret(
    command: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("KOA_CALIBRATION_CACHE")
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # nobody but its owner may enter it
    tmp_path.chmod(0o700)
    shown: set[str] = set()
    with psutil.Popen(**command("demo", "--remote", "-i", "testspec"), stdout=-1, stderr=-1, text=True) as demo:
        while demo.poll() is None:
            shown |= {" ".join(each.info["cmdline"] or ()) for each in psutil.process_iter(["cmdline"])}
        out, err = demo.communicate()
    assert demo.returncode == 0, err
    for line in (
        "Keck sets up",
        "Keck publishes: 1 records",
        "An observer syncs: 1 added",
        "Keck flags dark.fits as BAD",
    ):
        assert line in out
    assert "The observer syncs: 0 added, 1 changed" in out
    assert "dark: No dark fits" in err
    assert "its quality is BAD" in err
    assert "postgres:***@127.0.0.1" in out
    assert out.splitlines()[-1].endswith("demo -i testspec --remote --dir night")
    assert not [line for line in shown if re.search(r"postgresql\S*://\S+:(?!\*)\S+@", line)]
    assert list(tmp_path.iterdir()) == []


def test_the_demo_of_the_archive_leaves_a_cache_to_look_at(process: Run, tmp_path: Path) -> None:
    process("demo", "--remote", "-i", "testspec", "--dir", tmp_path / "made").ended(0)
    listed = process("list", "-i", "testspec", "--json", KOA_CALIBRATION_CACHE=str(tmp_path / "made" / "observer"))
    (one,) = listed.ended(0).json["records"]
    assert (one["origin"], one["quality"]) == ("REMOTE", "BAD")
    again = process("demo", "--remote", "-i", "testspec", "--dir", tmp_path / "made").ended(2)
    assert "Name another folder by --dir" in again.said


def test_a_store_of_the_same_settings_is_what_the_commands_use(typed: Run, archive: Archive) -> None:
    typed("remote", "init").ended(0)
    with open_store("testspec") as store:
        assert store.sync_from_remote().full
        assert archive.password not in repr(store)
    assert typed("status", "--json").json["last_sync"] is not None
