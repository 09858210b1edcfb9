"""The examples of real instruments pass their own tests, and all instruments are declared, in few lines."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
REAL = ("lris", "neid")

#: What holds the rules of an instrument, by instrument, and how many lines it may have.
RULES = {
    **{name: (ROOT / f"examples/koa-middleware-{name}/src/koa_middleware_{name}", ("__init__",), 90) for name in REAL},
    **{
        name: (ROOT / f"plugins/{name}/src/koa_middleware_{name}", ("orm", "selectors"), 200)
        for name in ("hispec", "kpf", "parvi")
    },
}
METHODS = {"get_candidates", "select_best", "select_fallback", "select", "select_bracket"}


def installed(name: str, site: Path) -> list[str]:
    """Make an example's package look installed; gives the folders that Python must search for it."""
    metadata = site / f"koa_middleware_{name}-0.1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: koa-middleware-{name}\nVersion: 0.1.0\n")
    (metadata / "entry_points.txt").write_text(f"[koa_middleware]\n{name} = koa_middleware_{name}\n")
    return [str(site), str(ROOT / f"examples/koa-middleware-{name}/src")]


def test_the_examples_of_real_instruments_pass_their_own_tests(tmp_path: Path) -> None:
    folders = [folder for name in REAL for folder in installed(name, tmp_path / name)]
    path = os.pathsep.join(filter(None, [*folders, os.environ.get("PYTHONPATH")]))
    tests = [str(ROOT / f"examples/koa-middleware-{name}/tests") for name in REAL]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests]
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout
    assert "skipped" not in done.stdout


@pytest.mark.parametrize("name", RULES)
def test_the_rules_of_an_instrument_are_declared_in_few_lines(name: str) -> None:
    folder, modules, most = RULES[name]
    texts = [(folder / f"{module}.py").read_text("utf-8") for module in modules]
    assert sum(len(text.splitlines()) for text in texts) < most
    defined = {node.name for text in texts for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)}
    assert not defined & METHODS
