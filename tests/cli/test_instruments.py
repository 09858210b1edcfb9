"""``koa-cal instruments``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.metadata import metadata
from pathlib import Path
from typing import Any

import pytest
from koa_middleware import plugins
from koa_middleware.cli import instruments

Run = Callable[..., Any]

# The tests have threads; the command has none.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


def test_an_installed_instrument_is_shown_with_its_package(koa_cal: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KOA_CALIBRATION_CACHE")
    found = koa_cal("instruments", "--json").ended(0)
    assert found.json["failed"] == {}
    (ours,) = [each for each in found.json["instruments"] if each["instrument"] == "testspec"]
    assert ours == {
        "instrument": "testspec",
        "package": "koa-middleware-testspec",
        "version": "1.2.3",
        "database": "testspec_calibrations.db",
        "cal_types": ["dark", "flat", "arc", "bias"],
    }
    shown = koa_cal("instruments").ended(0)
    assert shown.err == ""
    (line,) = [line.split() for line in shown.out.splitlines() if "testspec" in line]
    assert line == ["testspec", "koa-middleware-testspec", "1.2.3", ours["database"], *ours["cal_types"]]


BROKEN = {
    "raises": ("raise RuntimeError('a library is missing')", "a library is missing"),
    "misspelt": (
        "from koa_middleware import hookimpl\n\n@hookimpl\ndef koa_register_instruments(): ...",
        "koa_register_instruments",
    ),
    "hookless": ("", "koa_register_instrument"),
    "leaves": ("import sys\nprint('no licence')\nsys.exit('no licence')", "SystemExit: no licence"),
    "mute": ("class Mute(Exception):\n    def __str__(self):\n        raise ValueError\nraise Mute", "with Mute."),
    "closes": ("import sys\nsys.stdout.close()\nsys.exit()", "SystemExit"),
    "interrupts": ("raise KeyboardInterrupt", "it ends the process that loads it"),
    "dies": ("import os\nos._exit(9)", "it ends the process that loads it"),
}

#: What a good plugin may do besides.
ODD = {
    "writes": "import os\nos.write(1, b'no licence\\n')\n",
    "signals": "import signal\nsignal.signal(signal.SIGUSR1, signal.SIG_DFL)\n",
}


def test_broken_plugins_are_named_and_hinder_no_other(
    with_only: Run, distribution: Path, tmp_path: Path, make_distribution: Run
) -> None:
    good = (distribution / "koa_middleware_testspec.py").read_text().replace("testspec", "NAME")
    broken = [make_distribution(tmp_path / name, name, source) for name, (source, _) in BROKEN.items()]
    odd = [make_distribution(tmp_path / name, name, f"{source}{good}") for name, source in ODD.items()]
    run = with_only(*broken, *odd, distribution)
    found = run("instruments").ended(1)
    listed = [line.split()[0] for line in found.out.splitlines() if "koa-middleware-" in line]
    assert listed == sorted([*ODD, "testspec"])
    assert "no licence" not in found.out
    lines = [line for line in found.err.splitlines() if line != "no licence"]
    assert len(lines) == len(BROKEN)
    for name, (_, fault) in BROKEN.items():
        (said,) = [line for line in lines if f"koa-middleware-{name}==1.2.3" in line]
        assert fault in said

    said = run("instruments", "--json").ended(1).json
    assert [each["instrument"] for each in said["instruments"]] == listed
    assert set(said["failed"]) == set(BROKEN)
    assert run("status", "-i", "testspec").ended(0).err == ""
    assert "koa-middleware-raises==1.2.3" in run("status", "-i", "raises").ended(2).said


def test_where_no_plugin_is_installed_that_is_said(with_only: Run) -> None:
    run = with_only()
    assert "No instrument's plugin is installed" in run("instruments").ended(0).out
    assert run("instruments", "--json").ended(0).json == {"instruments": [], "failed": {}}
    assert "No instrument's plugin is installed" in run("status").ended(2).said
    extra = (metadata("koa-middleware").get_all("Provides-Extra") or ["none"])[0]
    assert f"pip install 'koa-middleware[{extra}]'" in run("status", "-i", extra.upper()).ended(2).said


def test_where_all_plugins_are_broken_none_is_said_to_be_missing(
    with_only: Run, tmp_path: Path, make_distribution: Run
) -> None:
    found = with_only(make_distribution(tmp_path, "raises", BROKEN["raises"][0]))("instruments").ended(1)
    assert found.out == ""
    assert "koa-middleware-raises==1.2.3" in found.said


@pytest.fixture
def also_installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], None]]:
    """Give a function that installs a package into this process, until the end of the test."""

    def install(folder: Path) -> None:
        monkeypatch.syspath_prepend(folder)
        plugins._registry.cache_clear()

    yield install
    plugins._registry.cache_clear()


def test_a_plugin_that_hangs_hinders_no_other(
    koa_cal: Run, also_installed: Run, tmp_path: Path, make_distribution: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    also_installed(make_distribution(tmp_path, "hangs", "import time\ntime.sleep(1000)"))
    monkeypatch.setattr(instruments, "PATIENCE", 2.0)
    found = koa_cal("instruments", "--json").ended(1)
    assert "testspec" in {each["instrument"] for each in found.json["instruments"]}
    assert "koa-middleware-hangs==1.2.3 does not answer: it was not loaded in 2 s" in found.json["failed"]["hangs"]


def test_what_a_plugin_prints_hinders_no_program_that_reads_the_results(
    with_only: Run, distribution: Path, tmp_path: Path, make_distribution: Run
) -> None:
    source = (distribution / "koa_middleware_testspec.py").read_text().replace("testspec", "NAME")
    talks = make_distribution(tmp_path / "talks", "talks", f"print('hello')\n{source}")
    found = with_only(talks)("status", "--json", "-i", "talks").ended(0)
    assert found.json["instrument"] == "talks"
    assert "hello" in found.err
