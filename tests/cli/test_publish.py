"""``koa-cal publish``."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Run = Callable[..., Any]


def test_a_version_that_is_taken_there_is_told_with_the_new_name(typed: Run, archive: Any, write: Run, at: Run) -> None:
    typed("remote", "init").ended(0)
    for person, exposure in (("ann", 1.0), ("bob", 2.0)):
        at(person)
        typed("register", write("dark.fits", 61083.0, "dark", EXPTIME=exposure)).ended(0)
        seen = typed("publish", "--dry-run").ended(0)
        sent = typed("publish").ended(0)
    assert seen.out.splitlines()[-1].startswith("dark.fits would be published as dark.002.fits, since")
    assert sent.out.splitlines() == [
        "1 published, 0 unchanged",
        "dark.fits is published as dark.002.fits, since the archive has other content of its name or version",
    ]
    assert [one["cal_version"] for one in typed("list", "--json").json["records"]] == ["002"]


def test_what_is_not_uploaded_is_named_until_it_is(
    typed: Run, archive: Any, write: Run, at: Run, tmp_path: Path
) -> None:
    typed("remote", "init").ended(0)
    at("ann")
    for number in range(2):
        typed("register", write(f"{number}.fits", 61083.0 + number, "dark")).ended(0)
    sent = typed("publish").ended(0)
    assert sent.out == "2 published, 0 unchanged\n"
    assert "2 files are not uploaded" in sent.said
    assert "0.fits, 1.fits" in sent.said
    for login in ("ann:s3cret@koa", "https://ann:s3cret@koa", "koa/s3cret?x=y"):
        refused = typed("publish", "--upload", login).ended(2)
        assert "is not a folder" in refused.said
        assert "s3cret" not in refused.err
    assert typed("publish", "--json").ended(0).json["not_uploaded"] == ["0.fits", "1.fits"]
    done = typed("publish", "--upload", tmp_path / "served").ended(0)
    assert (done.out, done.err) == ("0 published, 0 unchanged\n", "")
    assert sorted(path.name for path in (tmp_path / "served").iterdir()) == ["0.fits", "1.fits"]
    assert typed("publish", "--json").ended(0).json["not_uploaded"] == []


def test_a_history_tells_when_what_was_added_here_was_published(typed: Run, archive: Any, write: Run, at: Run) -> None:
    typed("remote", "init").ended(0)
    at("ann")
    typed("register", write("dark.fits", 61083.0, "dark")).ended(0)
    typed("publish").ended(0)
    typed("sync").ended(0)
    at("bob")
    typed("sync").ended(0)
    (added,) = typed("show", "dark.fits", "--history", "--json").ended(0).json
    at("ann")
    told = [each["what"] for each in typed("show", "dark.fits", "--history", "--json").ended(0).json]
    assert (added["what"], told) == ("added", ["added", "published"])


def test_a_record_whose_file_is_missing_or_spoilt_is_not_published_and_the_others_are(
    typed: Run, archive: Any, write: Run, at: Run, tmp_path: Path
) -> None:
    typed("remote", "init").ended(0)
    at("ann")
    files = tmp_path / "ann" / "calibrations"
    for number, name in enumerate(("earlier", "good", "gone", "spoilt")):
        typed("register", write(f"{name}.fits", 61083.0 + number, "dark")).ended(0)
    typed("publish", "earlier.fits").ended(0)
    (files / "gone.fits").unlink()
    for name in ("earlier", "spoilt"):
        (files / f"{name}.fits").write_bytes(b"other content")
    seen = typed("publish", "--dry-run").ended(1)
    assert seen.out.splitlines() == ["good.fits", "1 would be published, 0 unchanged"]
    assert "gone.fits, spoilt.fits" in seen.said
    sent = typed("publish", "--upload", archive.files).ended(1)
    assert sent.out == "1 published, 0 unchanged\n"
    assert "earlier.fits, gone.fits, spoilt.fits" in sent.err
    assert [path.name for path in archive.files.iterdir()] == ["good.fits"]
    refused = typed("publish", "--json").ended(1)
    assert refused.json["error"]["type"] == "IntegrityError"
    left = typed("list", "--json", "--where", "origin=LOCAL").json["records"]
    assert sorted(each["filename"] for each in left) == ["gone.fits", "spoilt.fits"]


def test_a_publication_that_is_interrupted_says_how_far_it_came(
    typed: Run, archive: Any, write: Run, command: Run
) -> None:
    typed("remote", "init").ended(0)
    typed("register", *(write(f"{number}.fits", 61083.0 + number, "dark") for number in range(150))).ended(0)
    with subprocess.Popen(
        **command("publish", "-i", "testspec", "--upload", archive.files), stderr=subprocess.PIPE, text=True
    ) as process:
        while len(list(archive.files.glob("*.fits"))) < 3:
            assert process.poll() is None
            time.sleep(0.002)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert re.search(r"interrupted after \d+ of 150 files; 0 of 150 are known as published; publish again", said), said
