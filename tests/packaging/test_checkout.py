"""What several files of the checkout say about the same thing."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
CORE = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PLUGINS = {
    path.parent.name: tomllib.loads(path.read_text(encoding="utf-8")) for path in ROOT.glob("plugins/*/pyproject.toml")
}


def commands_of_the_readme() -> list[str]:
    blocks = re.findall(r"^```(?:sh|bash|console)\n(.*?)^```", (ROOT / "README.md").read_text("utf-8"), re.M | re.S)
    return [line.partition("  #")[0].strip() for block in blocks for line in block.splitlines()]


def test_ci_runs_the_tests_with_the_command_that_the_readme_prints() -> None:
    (printed,) = {command for command in commands_of_the_readme() if command.endswith("-s tests")}
    assert printed in (ROOT / ".ci" / "run").read_text("utf-8").splitlines()


def test_the_hooks_have_the_versions_of_the_linters_and_of_core() -> None:
    lines = (ROOT / ".pre-commit-config.yaml").read_text("utf-8").splitlines()
    hooked = {match[1] for line in lines if (match := re.search(r'"([^"]+)"', line))}
    wanted = {*CORE["dependency-groups"]["lint"], *CORE["project"]["dependencies"]}
    assert hooked == {requirement for requirement in wanted if not requirement.startswith("psycopg2")}


def test_the_workflows_run_sessions_that_there_are_on_every_supported_python() -> None:
    text = (ROOT / ".github/workflows/tests.yml").read_text("utf-8")
    sessions = set(re.findall(r"^def (\w+)\(session", (ROOT / "noxfile.py").read_text("utf-8"), re.M))
    named = {name for line in re.findall(r"session: \[(.*)\]", text) for name in line.split(", ")}
    assert named | {"tests"} <= sessions
    (pythons,) = re.findall(r"python: \[(.*)\]", text)
    prefix = "Programming Language :: Python :: 3."
    declared = [line.split(" :: ")[-1] for line in CORE["project"]["classifiers"] if line.startswith(prefix)]
    assert [python.strip('"') for python in pythons.split(", ")] == declared


@pytest.mark.parametrize("name", sorted(PLUGINS))
class TestPlugin:
    @pytest.fixture
    def project(self, name: str) -> dict[str, Any]:
        return PLUGINS[name]["project"]

    def test_names_follow_the_instrument(self, name: str, project: dict[str, Any]) -> None:
        assert project["name"] == f"koa-middleware-{name}"
        assert project["entry-points"] == {"koa_middleware": {name: f"koa_middleware_{name}"}}

    def test_the_version_is_that_of_core_whose_number_stands_once(self, name: str, project: dict[str, Any]) -> None:
        folder = ROOT / "plugins" / name
        assert "version" in project["dynamic"]
        read = (folder / PLUGINS[name]["tool"]["hatch"]["version"]["path"]).resolve()
        assert read == (ROOT / CORE["tool"]["hatch"]["version"]["path"]).resolve()

    def test_core_has_an_extra_for_it(self, name: str) -> None:
        (requirement,) = CORE["project"]["optional-dependencies"][name]
        assert re.match(rf"koa-middleware-{name}\b", requirement)

    def test_pythons_and_license_are_those_of_core(self, project: dict[str, Any]) -> None:
        for field in ("requires-python", "license", "authors"):
            assert project[field] == CORE["project"][field]
