"""The demo of each instrument of this repository, typed as a user types it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from koa_middleware import available_instruments

ROOT = Path(__file__).resolve().parents[2]
INSTRUMENTS = sorted(path.parent.name for path in ROOT.glob("plugins/*/pyproject.toml"))

#: By the instruments' rules, what is right for a frame of the made night, and what is nearer and wrong.
RIGHT = {
    "hispec": ("HB.20260214.03600.00.mastercal-dark.001.fits", "HB.20260212.42000.00.mastercal-dark.001.fits"),
    "kpf": ("kpf_20250104_master_bias_autocal-bias.fits", "kpf_20250102_master_bias_autocal-bias.fits"),
    "parvi": ("master_dark_300.0s.fits", "master_dark_60.0s.fits"),
}


def typed(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Type a command into a shell that stands in a folder, koa-cal being on its path and nothing set."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("KOA_")}
    env["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), env.get("PATH", os.defpath)])
    env["TMPDIR"] = str(folder)
    return subprocess.run(
        ["sh", "-c", command], cwd=folder, env=env, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_the_demo_chooses_right_and_each_next_command_works_when_it_is_typed(instrument: str, tmp_path: Path) -> None:
    if instrument not in available_instruments():
        pytest.skip(f"the plugin of {instrument} is not installed")
    right, nearer = RIGHT[instrument]
    command = f"koa-cal demo -i {instrument}"
    outcomes = []
    for _ in range(3):  # the demo, the demo that leaves its folder, and what that one says to type
        outcomes.append(typed(command, tmp_path))
        assert outcomes[-1].returncode == 0, outcomes[-1].stderr
        if len(outcomes) == 1:
            assert list(tmp_path.iterdir()) == []
        command = outcomes[-1].stdout.splitlines()[-1].removeprefix("next: ")
    passing, staying, listing = (outcome.stdout for outcome in outcomes)

    for made in (passing, staying):
        chosen = [line for line in made.splitlines() if line.split()[1:2] == ["chosen"]]
        assert chosen
        assert chosen[0].split()[0] == right
        (refused,) = [line for line in made.splitlines() if line.split()[:1] == [nearer]][:1]
        assert refused.split()[1] not in {"chosen", "farther"}
    check_the_files_that_stay(tmp_path / "night", listing)


def check_the_files_that_stay(folder: Path, listing: str) -> None:
    """Check that frames and calibrations are files as their kind should be, and that each calibration is listed."""
    from astropy.io import fits

    made = sorted((folder / "night").iterdir())
    assert made
    for path in made:
        if path.suffix == ".fits":
            with fits.open(path) as hdus:
                hdus.verify("exception")
                assert hdus[0].header["INSTRUME"]
    cached = {path.name for path in (folder / "cache" / "calibrations").iterdir()}
    frames = {path.name for path in made} - cached
    assert frames
    assert {name for name in cached if name not in listing} == set()
    assert listing.splitlines()[-1] == f"{len(cached)} calibrations"


def test_the_demo_shows_an_instrument_when_none_is_named(tmp_path: Path) -> None:
    if not available_instruments():
        pytest.skip("no plugin is installed")
    done = typed("koa-cal demo", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert available_instruments()[0] in done.stdout.splitlines()[0]
    assert " is chosen" in done.stdout
