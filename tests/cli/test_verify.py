"""``koa-cal verify``."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from koa_middleware.disk.owners import HOST

Run = Callable[..., Any]


@pytest.mark.usefixtures("night")
def test_whole_files_are_verified(koa_cal: Run) -> None:
    assert koa_cal("verify", "-i", "testspec").ended(0).out.startswith("7 files checked")
    found = koa_cal("verify", "-i", "testspec", "--json").ended(0)
    lists = ["missing", "gone", "repaired", "mended", "unchecked", "without_record", "leftovers", "quarantine"]
    none: dict[str, Any] = {"bad": {}, "rows": {}, "actions": {}, "same_content": {}, "not_here": 0, "dry_run": False}
    lists += ["conflicts", "database"]
    assert found.json == {"ok": True, "checked": 7, **none, **{name: [] for name in lists}}
    assert found.err == ""


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flip_a_bit(path: Path) -> None:
    """Change one bit and leave size and times as they were."""
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.usefixtures("night")
@pytest.mark.parametrize("spoil", [cut, flip_a_bit, Path.unlink])
@pytest.mark.parametrize("repair", [[], ["--repair"]])
def test_a_spoilt_file_is_found(koa_cal: Run, cache: Path, spoil: Callable[[Path], None], repair: list[str]) -> None:
    spoil(cache / "calibrations" / "dark-near.fits")
    found = koa_cal("verify", "-i", "testspec", *repair).ended(1)
    (line,) = [line for line in found.out.splitlines() if "dark-near.fits" in line]
    assert "repaired" not in line
    assert found.out.splitlines()[-1].endswith(" 1 fault")
    said = koa_cal("verify", "-i", "testspec", "--json").ended(1).json
    assert [*said["bad"], *said["missing"]] == ["dark-near.fits"]


@pytest.mark.usefixtures("published")
def test_spoilt_files_are_repaired(typed: Run, archive: Any, tmp_path: Path) -> None:
    (path,) = typed("get", "dark.fits").ended(0).out.splitlines()
    Path(path).write_bytes(b"spoilt")
    assert ", 1 fault\n" in typed("verify").ended(1).out
    assert "repaired" in typed("verify", "--repair").ended(0).out
    assert Path(path).read_bytes() == (archive.files / "dark.fits").read_bytes()


@pytest.mark.usefixtures("published")
def test_a_repair_says_of_each_file_what_it_did(typed: Run) -> None:
    (path,) = map(Path, typed("get", "dark.fits").ended(0).out.splitlines())
    path.unlink()
    (path.parent / "notes.txt").write_bytes(b"a user's")
    planned = typed("verify", "--repair", "--dry-run").ended(0).out.splitlines()
    assert next(line for line in planned if "dark.fits" in line).endswith("would be downloaded again")
    assert not path.exists()
    mended = typed("verify", "--repair").ended(0).out.splitlines()
    assert next(line for line in mended if "dark.fits" in line).endswith("downloaded again")
    assert "left where it is" in next(line for line in mended if "notes.txt" in line)
    assert ", 1 repaired, " in mended[-1]
    assert typed("verify", "--json").ended(0).json["gone"] == []


@pytest.mark.usefixtures("night")
def test_a_terminal_shows_how_far_it_is(command: Run, process: Run) -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    with subprocess.Popen(**command("verify", "-i", "testspec"), stdout=subprocess.DEVNULL, stderr=theirs) as started:
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # so Linux tells the end
            while read := os.read(ours, 1 << 16):
                shown += read
        os.close(ours)
    assert started.returncode == 0
    assert re.search(rb"100%.*B/s", shown)
    assert process("verify", "-i", "testspec").ended(0).err == ""


@pytest.mark.usefixtures("night")
def test_what_is_no_fault_is_listed_all_the_same(koa_cal: Run, tmp_path: Path) -> None:
    cache = Path(os.environ["KOA_CALIBRATION_CACHE"])
    (cache / "calibrations" / "nobodys.fits").write_bytes(b"put here by hand")
    left = cache / "partial" / f"{32 * 'a'}.{HOST}-{2**22 + 1}"
    left.write_bytes(b"left")
    said = koa_cal("verify", "-i", "testspec").ended(0).out
    (unknown,) = [line for line in said.splitlines() if "nobodys.fits" in line]
    assert "no record names this file" in unknown
    (leftover,) = [line for line in said.splitlines() if str(left) in line]
    assert "goes by itself after a day" in leftover
    assert said.splitlines()[-1] == f"7 files checked in {cache}, 0 faults"


@pytest.mark.usefixtures("night")
def test_the_name_of_a_file_without_a_record_is_written_out(koa_cal: Run, cache: Path) -> None:
    (cache / "calibrations" / "x\n\x1b[31m.fits").write_bytes(b"x")
    (line,) = [line for line in koa_cal("verify", "-i", "testspec").ended(0).out.splitlines() if "31m" in line]
    assert "x\\n\\x1b[31m.fits" in line


@pytest.mark.usefixtures("night")
def test_of_several_files_without_a_record_each_stands_in_a_line(koa_cal: Run, cache: Path) -> None:
    names = ["nobodys-1.fits", "nobodys-2.fits", "nobodys-3.fits"]
    for name in names:
        (cache / "calibrations" / name).write_bytes(b"put here by hand")
    lines = koa_cal("verify", "-i", "testspec").ended(0).out.splitlines()
    found = [[word for word in line.split() if word.startswith("nobodys")] for line in lines if "nobodys" in line]
    assert found == [[name] for name in names]
    assert len([line for line in lines if "3 files: no record names this file" in line]) == 1
