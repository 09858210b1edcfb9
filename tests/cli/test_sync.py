"""``koa-cal sync``, and what an outage looks like."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from koa_middleware import InstrumentPlugin, open_store
from sqlalchemy import insert, make_url

Run = Callable[..., Any]


TABLE = "testspec_calibrations"


def test_keck_publishes_and_an_observer_syncs_selects_and_sees_a_flag(
    typed: Run, archive: Any, write: Run, frame: Path, at: Run, tmp_path: Path
) -> None:
    typed("remote", "init").ended(0)
    at("keck")
    near, far = write("near.fits", 61083.4, "dark"), write("far.fits", 61085.0, "dark")
    typed("register", near, far).ended(0)
    assert typed("publish", "far.fits", "--upload", archive.files, "--json").ended(0).json == {
        "published": 1,
        "unchanged": 0,
        "dry_run": False,
        "new": ["far.fits"],
        "renamed": {},
        "not_uploaded": [],
    }
    assert typed("publish", "--upload", archive.files.as_uri()).ended(0).out == "1 published, 0 unchanged\n"
    assert typed("publish").ended(0).out == "0 published, 0 unchanged\n"
    assert typed("publish", "near.fits").ended(0).out == "0 published, 1 unchanged\n"
    assert typed("publish", "no-such.fits").ended(1).out == ""

    at("observer")
    assert typed("status", "--json").json["last_sync"] is None
    came = typed("sync", "--json").ended(0).json
    assert came == {"added": 2, "changed": 0, "withdrawn": 0, "full": True, "noticed": [], "conflicts": []}
    best = typed("best", frame, "--type", "dark", "--json").ended(0).json["calibrations"]["dark"]
    assert best["filename"] == "near.fits"
    assert Path(best["path"]).read_bytes() == near.read_bytes()

    at("keck")
    assert "near.fits is BAD" in typed("flag", "near.fits", "bad", "--reason", "light leak").ended(0).out
    shown = typed("show", "near.fits").ended(0).out
    assert re.search(r"^BAD by \S+, 20\d\d-.* UTC, .* ago: light leak$", shown, re.MULTILINE)
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


def test_conflicts_are_named_by_sync_and_status_and_shown_by_their_id(
    typed: Run, archive: Any, write: Run, testspec: InstrumentPlugin
) -> None:
    typed("remote", "init").ended(0)
    typed("register", write("dark.fits", 61083.0, "dark")).ended(0)
    theirs = testspec.ORM(filename="dark.fits", cal_type="dark", mjd_start=61090.0, checksum="sha256:" + 64 * "0")
    row = {name: value for name, value in theirs.to_dict().items() if name != "last_updated"}
    odd = {**row, "filename": "arc.fits", "id": "\x1b[2J\n\u202e" + 2000 * "7", "file_size": 2**63 - 1}
    for values in (row, odd):
        archive.execute(insert(testspec.ORM.table()).values(values))
    for command in ("sync", "status"):
        shown = typed(command).ended(0).out
        assert r"\x1b[2J\n\u202e777" in shown
        assert "\x1b" not in shown
        assert max(map(len, shown.splitlines())) < 1000
        assert re.search(rf"dark\.fits +{theirs.id} +a LOCAL record has this file name", shown)
        apart, conflict = typed(command, "--json").json["conflicts"]
        assert apart["id"] == odd["id"]
        assert (conflict["id"], conflict["record"]["mjd_start"]) == (theirs.id, 61090.0)
    shown = typed("show", theirs.id, "--json").ended(0).json
    assert (shown["mjd_start"], shown["path"]) == (61090.0, None)
    assert "another calibration has its name" in typed("get", theirs.id).ended(1).said
    assert typed("show", "dark.fits", "--json").json["mjd_start"] == 61083.0


def test_an_archive_that_is_not_set_up_says_who_does_it(typed: Run) -> None:
    assert "koa-cal remote init" in typed("sync").ended(2).said


def test_an_outage_is_said_in_one_line_without_the_password_also_with_a_traceback(
    process: Run, archive: Any, write: Run
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
    assert process("list", "-i", "testspec", KOA_REMOTE_DATABASE_URL=url).ended(0).out.endswith("1 calibration\n")
    offline = process("sync", "-i", "testspec", KOA_REMOTE_DATABASE_URL=url, KOA_OFFLINE="1").ended(1)
    assert "offline" in offline.said


def test_a_store_of_the_same_settings_is_what_the_commands_use(typed: Run, archive: Any) -> None:
    typed("remote", "init").ended(0)
    with open_store("testspec") as store:
        assert store.sync_from_remote().full
        assert archive.password not in repr(store)
    assert typed("status", "--json").json["last_sync"] is not None
