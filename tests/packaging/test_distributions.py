"""The wheels and source distributions in dist/, installed as a user would."""

from __future__ import annotations

import email
import html
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from email.message import Message
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath

import pytest
from koa_middleware import __version__

pytestmark = pytest.mark.packaging

ROOT = Path(__file__).resolve().parents[2]
DIST = ROOT / "dist"
PLUGINS = sorted(path.parent.name for path in ROOT.glob("plugins/*/pyproject.toml"))
SOURCES = {
    "koa_middleware": ROOT / "core/koa_middleware",
    **{f"koa_middleware_{name}": ROOT / f"plugins/{name}/src/koa_middleware_{name}" for name in PLUGINS},
}

#: What a checkout holds that is no source; another process may be at work there.
LEFT_OUT = (".git", ".nox", ".hypothesis", ".*_cache", "__pycache__", "dist")


def run(*command: str | Path, cwd: Path | None = None, timeout: float = 600) -> str:
    done = subprocess.run(
        [*map(str, command)], cwd=cwd, capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def built(package: str, kind: str) -> Path:
    found = list(DIST.glob(f"{package}-[0-9]*{kind}"))
    assert len(found) == 1, f"one {package} *{kind} expected in {DIST}: run `nox -s wheels`"
    return found[0]


def source_files(package: str) -> set[str]:
    folder = SOURCES[package]
    files = (file.relative_to(folder.parent) for file in folder.rglob("*") if file.is_file())
    return {file.as_posix() for file in files if "__pycache__" not in file.parts}


@pytest.fixture(scope="module")
def wheelhouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The four wheels and their dependencies."""
    folder = tmp_path_factory.mktemp("wheelhouse")
    wheels = [str(built(package, ".whl")) for package in SOURCES]
    run(sys.executable, "-m", "pip", "download", "--quiet", "--dest", folder, *wheels)
    return folder


def empty_environment(folder: Path) -> Path:
    """Make an environment; gives the folder of its commands."""
    run(sys.executable, "-m", "venv", "--without-pip", folder)
    return folder / ("Scripts" if os.name == "nt" else "bin")


def pip(commands: Path, *arguments: str | Path) -> None:
    """Run pip on an environment."""
    run(sys.executable, "-m", "pip", "--isolated", "--python", commands / "python", *arguments)


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder without a word."""

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def index(wheelhouse: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a package index on loopback that has the wheelhouse and no more."""
    folder = tmp_path_factory.mktemp("index")
    for file in wheelhouse.iterdir():
        project = folder / "simple" / re.sub(r"[-_.]+", "-", file.name.partition("-")[0]).lower()
        project.mkdir(parents=True, exist_ok=True)
        os.link(file, project / file.name)
    for project in (folder / "simple").iterdir():
        names = sorted(html.escape(file.name) for file in project.iterdir())
        (project / "index.html").write_text("".join(f'<a href="{name}">{name}</a>' for name in names), "utf-8")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/simple/"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def from_index(index: str) -> list[str]:
    """Give what makes pip install from that index alone; modules are compiled when imported, which saves time."""
    return ["install", "--quiet", "--no-compile", "--index-url", index]


@pytest.fixture(scope="module")
def core_alone(tmp_path_factory: pytest.TempPathFactory, from_index: list[str]) -> Path:
    """An environment with core and what it depends on, no more; gives the folder of its commands."""
    commands = empty_environment(tmp_path_factory.mktemp("core") / "venv")
    pip(commands, *from_index, "koa-middleware")
    return commands


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory, from_index: list[str]) -> Path:
    """An environment with core, all plugins, and what this one has besides; gives the folder of its commands."""
    folder = tmp_path_factory.mktemp("everything")
    commands, others = empty_environment(folder / "venv"), folder / "others"
    others.mkdir()
    for installed in (Path(entry) for entry in sys.path if any(Path(entry).glob("*.dist-info"))):
        for path in installed.iterdir():
            if not path.name.startswith("koa_middleware") and path.suffix != ".pth":
                (others / path.name).symlink_to(path)
    (site,) = (folder / "venv" / "lib").glob("python*/site-packages")
    (site / "others.pth").write_text(f"{others}\n")
    pip(commands, *from_index, "--no-deps", "koa-middleware", *(f"koa-middleware-{name}" for name in PLUGINS))
    return commands


def instruments(commands: Path) -> list[str]:
    return [row["instrument"] for row in json.loads(run(commands / "koa-cal", "instruments", "--json"))["instruments"]]


@pytest.mark.parametrize("package", SOURCES)
class TestContent:
    def test_the_wheel_holds_the_package_and_nothing_else(self, package: str) -> None:
        with zipfile.ZipFile(built(package, ".whl")) as wheel:
            files = {name for name in wheel.namelist() if ".dist-info/" not in name}
        assert files == source_files(package)
        assert f"{package}/py.typed" in files

    def test_the_source_distribution_holds_what_builds_the_wheel(self, package: str) -> None:
        with tarfile.open(built(package, ".tar.gz")) as sdist:
            files = {str(PurePosixPath(*PurePosixPath(name).parts[1:])) for name in sdist.getnames()}
        parent = SOURCES[package].parent.name
        code = {f"{parent}/{name}" for name in source_files(package)}
        assert code <= files
        assert {"LICENSE", "PKG-INFO", "README.md", "pyproject.toml"} <= files
        assert not {name for name in files - code if name.endswith(".py")}

    def test_the_same_bytes_are_built_elsewhere_at_another_time(self, package: str, tmp_path: Path) -> None:
        folder = SOURCES[package].parents[0 if package == "koa_middleware" else 1]
        copied = tmp_path / "elsewhere"
        shutil.copytree(ROOT, copied, ignore=shutil.ignore_patterns(*LEFT_OUT), copy_function=shutil.copy)
        for file in copied.rglob("*.py"):
            file.chmod(0o600)
        where = copied / (folder.parent if package == "koa_middleware" else folder).relative_to(ROOT)
        run(sys.executable, "-m", "build", "--no-isolation", "--outdir", tmp_path / "dist", where)
        assert {file.name: file.read_bytes() for file in (tmp_path / "dist").iterdir()} == {
            built(package, kind).name: built(package, kind).read_bytes() for kind in (".whl", ".tar.gz")
        }

    def test_the_metadata_has_what_an_index_shows(self, package: str) -> None:
        with zipfile.ZipFile(built(package, ".whl")) as wheel:
            (name,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
            metadata: Message = email.message_from_bytes(wheel.read(name))
        assert metadata["License-Expression"] == "BSD-3-Clause"
        assert metadata["Requires-Python"] == ">=3.11"
        assert metadata["Version"] == __version__
        assert {"Summary", "Author", "Keywords", "Description-Content-Type"} <= set(metadata)
        assert str(metadata.get_payload()).lstrip().startswith("# koa-middleware")


@pytest.mark.parametrize("name", PLUGINS)
def test_an_extra_brings_that_plugin_alone(name: str, core_alone: Path, from_index: list[str], tmp_path: Path) -> None:
    pip(core_alone, *from_index, f"koa-middleware[{name}]")
    try:
        assert instruments(core_alone) == [name]
        assert run(core_alone / "koa-cal", "demo", "--dir", tmp_path / "night")
    finally:
        pip(core_alone, "uninstall", "--quiet", "--yes", *(f"koa-middleware-{plugin}" for plugin in PLUGINS))


def test_core_alone_says_how_to_get_an_instrument(core_alone: Path) -> None:
    assert instruments(core_alone) == []
    failed = subprocess.run(
        [core_alone / "koa-cal", "list", "-i", PLUGINS[0]], capture_output=True, text=True, check=False, timeout=60
    )
    assert failed.returncode == 2
    assert f"koa-middleware[{PLUGINS[0]}]" in failed.stderr


@pytest.mark.timeout(900)
@pytest.mark.parametrize("missing", PLUGINS)
def test_without_a_plugins_folder_the_others_work(
    missing: str, everything: Path, from_index: list[str], tmp_path: Path
) -> None:
    checkout = tmp_path / "checkout"
    shutil.copytree(ROOT, checkout, ignore=shutil.ignore_patterns(*LEFT_OUT))
    shutil.rmtree(checkout / "plugins" / missing)
    pip(everything, "uninstall", "--quiet", "--yes", f"koa-middleware-{missing}")
    try:
        run(everything / "python", "-m", "pytest", "--collect-only", "-q", cwd=checkout)
        others = [name for name in PLUGINS if name != missing]
        if missing == PLUGINS[0]:  # what the others and the checkout say is the same whichever is missing
            working = [*(f"plugins/{name}/tests/test_contract.py" for name in others), "tests/packaging"]
            run(everything / "python", "-m", "pytest", "-q", "-x", *working, "tests/test_architecture.py", cwd=checkout)
        for name in others:
            assert " is chosen" in run(everything / "koa-cal", "demo", "-i", name)
    finally:
        pip(everything, *from_index, "--no-deps", f"koa-middleware-{missing}")


@pytest.mark.timeout(900)
def test_the_first_command_of_the_readme_needs_a_clone_and_python_with_pip_alone(tmp_path: Path) -> None:
    run("git", "clone", "--quiet", ROOT, tmp_path / "clone")
    run(sys.executable, "-m", "venv", tmp_path / "venv")
    python = tmp_path / "venv" / ("Scripts/python" if os.name == "nt" else "bin/python")
    folders = [folder for folder in os.environ["PATH"].split(os.pathsep) if not shutil.which("uv", path=folder)]
    env = {**os.environ, "PATH": os.pathsep.join(folders), "PIP_COMPILE": "0"}  # modules are compiled when imported
    command = next(line for line in (ROOT / "README.md").read_text("utf-8").splitlines() if line.endswith("-s demo"))
    done = subprocess.run(
        [python, *command.split()[1:]], cwd=tmp_path / "clone", env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert " is chosen" in done.stdout
    assert subprocess.run([python, "-c", "import nox"], capture_output=True, check=False).returncode != 0
