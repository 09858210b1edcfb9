import os
import subprocess
import sys
from pathlib import Path

import pytest
from astropy.io import fits
from koa_middleware.testing import clean_environment  # noqa: F401

EXAMPLES = Path(__file__).resolve().parents[1]
SCIENCE = "HB.20260212.43200.00.fits"


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """A made night of HISPEC in a folder, and a cache that has its calibrations."""
    folder = tmp_path_factory.mktemp("demo")
    command = [sys.executable, "-m", "koa_middleware.cli", "demo", "-i", "hispec", "--dir", str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def frames(demo, tmp_path_factory):
    """Forty science frames of that night, a minute apart."""
    folder = tmp_path_factory.mktemp("frames")
    paths = []
    for n in range(40):
        path = folder / f"HB.20260212.{43200 + 60 * n}.00.fits"
        with fits.open(demo / "night" / SCIENCE) as hdus:
            hdus[0].header["MJD-OBS"] = 61083.5 + n / 1440
            hdus[0].header["KOAID"] = path.name
            hdus[0].data = hdus[0].data + n
            hdus.writeto(path)
        paths.append(path)
    return paths


@pytest.fixture(scope="module")
def run(demo):
    """A function that runs one of the examples in a process of its own."""
    environment = {**os.environ, "KOA_CALIBRATION_CACHE": str(demo / "cache")}

    def run(example, *arguments):
        command = [sys.executable, str(EXAMPLES / example), *map(str, arguments)]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)

    return run
