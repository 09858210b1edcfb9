"""What commands print on a terminal of 80 columns."""

from __future__ import annotations

import fcntl
import os
import pty
import shlex
import struct
import sys
import termios
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .conftest import Outcome

#: As long as the names of HISPEC's and KPF's masters.
DARK = "KPF.20260212.43200.00_KP.20260212.43200.00_mastercal-dark-near.fits"
FLAT = "HISPEC.20260212.42000.00_mastercal-flat-of-the-fibre-A.001.fits"
FRAME = "KP.20260212.43200.00_a-frame-of-a-name-that-is-as-long-as-these.fits"


@pytest.fixture
def on_terminal(koa_cal: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Give a function that runs a command in this process on a terminal of 80 columns, and gives its lines."""

    def run(*arguments: object) -> list[str]:
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        with monkeypatch.context() as patch, os.fdopen(theirs, "w", encoding="utf-8") as stream:
            for name in ("stdout", "__stdout__"):
                patch.setattr(sys, name, stream)
            patch.delenv("COLUMNS", raising=False)
            koa_cal(*arguments)
            stream.flush()
            os.set_blocking(ours, False)
            shown = b""
            try:
                while read := os.read(ours, 1 << 16):
                    shown += read
            except BlockingIOError:
                pass
        os.close(ours)
        return shown.decode().splitlines()

    return run


@pytest.fixture
def long_names(koa_cal: Callable[..., Outcome], write: Callable[..., Path], tmp_path: Path, monkeypatch: Any) -> None:
    """Register calibrations of long names, and go on in the folder of a frame with one."""
    dark, flat, frame = write(DARK, 61084.5, "dark"), write(FLAT, 61083.25, "flat"), write(FRAME, 61083.5)
    koa_cal("register", dark, flat).ended(0)
    monkeypatch.chdir(frame.parent)


COMMANDS = [
    f"register -i testspec {DARK} {FLAT} --new-version",
    "list -i testspec",
    "list -i testspec --columns id,filename,cal_type,datetime_obs,arm,quality",
    f"show -i testspec {DARK}",
    f"show -i testspec {DARK} --history",
    f"best {FRAME} --type dark --type flat",
    f"best {FRAME} --type dark --no-download",
    f"check {FRAME}",
    f"explain {FRAME} --type dark",
    f"explain {FRAME} --type flat --set arm=RED",
    "coverage -i testspec",
    f"get -i testspec {DARK}",
    f"affected -i testspec {DARK} --products .",
    "verify -i testspec",
    "refresh -i testspec",
    "status -i testspec",
    "status -i testspec --check",
    "instruments",
    "prune -i testspec",
    f"remove -i testspec {DARK} --dry-run",
]


@pytest.mark.usefixtures("long_names")
@pytest.mark.parametrize("command", COMMANDS)
def test_a_terminal_of_80_columns_breaks_nothing(command: str, on_terminal: Callable[..., list[str]]) -> None:
    lines = on_terminal(*shlex.split(command))
    words = [word for line in lines for word in line.split() if len(word) > 8]
    assert lines
    assert [line for line in lines if len(line) > 80 and " " in line.strip()] == []
    assert [word for word in words for name in (DARK, FLAT, FRAME) if word in name and word != name] == []


@pytest.mark.usefixtures("long_names")
def test_a_value_that_has_room_stands_beside_its_name_though_another_has_none(on_terminal: Any) -> None:
    lines = on_terminal("show", "-i", "testspec", DARK)
    assert "  quality        GOOD" in lines
    assert lines[lines.index("  filename") + 1].split() == [DARK]
