"""A package that ``koa-cal new-plugin`` writes, installed by pip."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.packaging


def test_a_new_package_is_installed_by_pip_and_is_found_and_passes_its_tests(tmp_path: Path) -> None:
    path = os.pathsep.join(filter(None, sys.path))  # where pytest and koa-middleware are
    python = tmp_path / "venv/bin/python"

    def run(*command: str | Path) -> str:
        environment = {**os.environ, "PYTHONPATH": path}
        done = subprocess.run(
            [*map(str, command)], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    koa_cal = (python, "-m", "koa_middleware.cli")
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv")
    run(*koa_cal, "new-plugin", "freshspec")
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--no-deps")
    run(*pip, "-e", "./koa-middleware-freshspec")
    assert "koa-middleware-freshspec" in run(*koa_cal, "instruments")
    assert "bias-2.fits" in run(*koa_cal, "demo", "-i", "freshspec")
    assert "passed" in run(python, "-m", "pytest", "-p", "no:cacheprovider", tmp_path / "koa-middleware-freshspec")
