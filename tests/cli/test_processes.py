"""What only a process of its own shows: pipes, signals, terminals, a full disk."""

from __future__ import annotations

import errno
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]


@pytest.mark.usefixtures("night")
def test_results_go_to_stdout_and_messages_to_stderr(process: Run, frame: Path) -> None:
    found = process("best", frame).ended(1)
    assert "dark-near.fits" in found.out
    assert "koa-cal:" not in found.out
    assert all(line.startswith("koa-cal: ") for line in found.err.splitlines())
    assert process("status", "-i", "testspec").ended(0).err == ""
    assert process("status", "-i", "nosuch").ended(2).out == ""


def test_a_reader_that_has_enough_is_no_error(command: Run, add_records: Run) -> None:
    add_records(3000)
    started = command("list", "-i", "testspec", "--limit", 3000)
    line = f"set -o pipefail; {shlex.join(started.pop('args'))} | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], **started, capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""
    heading, code = done.stdout.splitlines()
    assert heading.split()[:2] == ["type", "calibration"]
    assert code == "141"


def test_a_reader_that_is_gone_is_no_error(command: Run, add_records: Run) -> None:
    add_records(1)
    gone, ours = os.pipe()
    os.close(gone)
    started = subprocess.Popen(**command("list", "-i", "testspec"), stdout=ours, stderr=subprocess.PIPE, text=True)
    os.close(ours)
    assert started.communicate(timeout=60)[1] == ""
    assert started.returncode == 141


@pytest.mark.parametrize(("instrument", "code"), [("testspec", 0), ("nosuch", 2)])
@pytest.mark.parametrize("closed", ["1", "2"])
def test_a_stream_that_is_closed_from_the_start_changes_no_exit_code(
    command: Run, add_records: Run, closed: str, instrument: str, code: int
) -> None:
    add_records(1)
    started = command("list", "-i", instrument)
    line = f"{shlex.join(started.pop('args'))} {closed}>&-"
    done = subprocess.run(["bash", "-c", line], **started, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    assert "koa-cal:" not in done.stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_results_that_cannot_be_written_are_an_error_in_one_line(command: Run, add_records: Run) -> None:
    add_records(1)
    with Path("/dev/full").open("w") as full:
        started = subprocess.Popen(**command("list", "-i", "testspec"), stdout=full, stderr=subprocess.PIPE, text=True)
        said = started.communicate(timeout=60)[1]
    assert os.strerror(errno.ENOSPC) in said
    assert said.count("\n") == 1
    assert started.returncode == 1


def test_a_terminal_without_the_characters_of_a_table_is_no_error(process: Run, add_records: Run) -> None:
    add_records(1)
    found = process("list", "-i", "testspec", PYTHONIOENCODING="ascii").ended(0)
    assert "dark-0000.fits" in found.out
    assert found.err == ""


def test_an_interrupted_command_says_so_and_leaves_nothing_behind(command: Run, cache: Path) -> None:
    pipe, partial = subprocess.PIPE, cache / "partial"
    started = subprocess.Popen(
        **command("bundle", "import", "-", "-i", "testspec"), stdin=pipe, stdout=pipe, stderr=pipe, text=True
    )
    give_up = time.monotonic() + 60
    while not (partial.is_dir() and list(partial.iterdir())):  # until the command waits for a bundle
        assert started.poll() is None, started.communicate()[1]
        assert time.monotonic() < give_up
        time.sleep(0.02)
    started.send_signal(signal.SIGINT)
    out, err = started.communicate(timeout=60)
    assert started.returncode == 130
    assert out == ""
    assert err == "koa-cal: interrupted\n"
    assert not [*(cache / "calibrations").iterdir(), *partial.iterdir()]


@pytest.mark.usefixtures("night")
@pytest.mark.parametrize(
    "arguments",
    [
        ["list", "-i", "testspec"],
        ["show", "DARK", "-i", "testspec"],
        ["best", "FRAME", "--type", "dark"],
        ["explain", "FRAME", "--type", "dark"],
        ["status", "-i", "testspec"],
        ["verify", "-i", "testspec"],
        ["register", "DARK"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_no_line_is_wider_than_the_terminal(
    terminal: Run, koa_cal: Run, write: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.chdir(tmp_path / "night")
    write("frame.fits", 61083.5)
    name = "a-dark-with-a-name-that-is-nearly-as-long-as-such-a-terminal-is-wide.001.fits"
    koa_cal("register", write(name, 61083.6, "dark")).ended(0)
    given = [{"FRAME": "frame.fits", "DARK": name}.get(argument, argument) for argument in arguments]
    found = terminal(*given, columns=80).ended(0)
    assert found.out.strip()
    wide = [line for line in found.out.splitlines() if len(line) > 80]
    assert [line for line in wide if str(tmp_path) not in line] == []
    assert "\x1b" not in found.out


@pytest.mark.usefixtures("night")
def test_a_table_that_goes_to_a_file_is_as_wide_as_its_content(process: Run, frame: Path) -> None:
    found = process("best", frame, "--type", "dark").ended(0)
    (path,) = [line.strip() for line in found.out.splitlines() if line.strip().endswith("dark-near.fits")]
    assert Path(path).is_file()
