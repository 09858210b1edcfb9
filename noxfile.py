# /// script
# requires-python = ">=3.11"
# dependencies = ["nox>=2025.2.9"]
# ///
"""What is done with a checkout: ``python3 noxfile.py -s demo``, ``python3 noxfile.py --list``.

Runs with nothing but Python: where nox is missing, this file puts it into ``.nox/`` and starts it from there, so
that nothing is installed into the caller's environment. ``nox -s demo`` and ``uv run noxfile.py -s demo`` do the same.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
NOX = "nox>=2025.2.9"


def nox_command() -> list[str]:
    """The command that starts nox, which is fetched where it is missing."""
    try:
        from nox.project import dependency_groups  # noqa: F401  (older ones lack it)
    except ImportError:
        pass
    else:
        return [sys.executable, "-m", "nox"]
    if importlib.util.find_spec("pip") is None:
        if uv := shutil.which("uv"):
            return [uv, "tool", "run", "--python", sys.executable, "--from", NOX, "nox"]
        sys.exit(f"{sys.executable} has neither nox nor pip, and uv is not on the PATH. Install one of the three.")
    folder = ROOT / ".nox" / f"_nox-{sys.version_info.major}.{sys.version_info.minor}"
    python = str(folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))
    if not (Path(python).is_file() and subprocess.run([python, "-c", "import nox.project"]).returncode == 0):
        # Some systems' Pythons cannot put pip into an environment; pip can install into one from outside.
        subprocess.run([sys.executable, "-m", "venv", "--clear", "--without-pip", str(folder)], check=True)
        subprocess.run([sys.executable, "-m", "pip", "--python", python, "install", "--quiet", NOX], check=True)
    return [python, "-m", "nox"]


if __name__ == "__main__":
    if sys.version_info < (3, 11):  # noqa: UP036  (anyone may call this file)
        sys.exit(f"koa-middleware needs Python 3.11 or newer, and this is Python {sys.version.split()[0]}.")
    command = [*nox_command(), "--noxfile", __file__, *sys.argv[1:]]
    if os.name == "nt":
        sys.exit(subprocess.run(command).returncode)
    os.execv(command[0], command)  # so that Ctrl-C goes to nox, which lets the session end in order

import nox  # noqa: E402  (only nox itself comes this far)

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.sessions = ["lint", "tests"]
nox.options.error_on_external_run = True

PYPROJECT = nox.project.load_toml(ROOT / "pyproject.toml")
PYTHONS = nox.project.python_versions(PYPROJECT)
PLUGINS = sorted(path.parent.name for path in ROOT.glob("plugins/*/pyproject.toml"))
COVERAGE = ["--cov=koa_middleware", *(f"--cov=koa_middleware_{plugin}" for plugin in PLUGINS)]
#: One process more than there are cores, up to four, as tests wait for servers; a slow one is no reason to wait too.
PARALLEL = [f"--numprocesses={min((os.cpu_count() or 1) + 1, 4)}", "--dist=worksteal"]


def install(session: nox.Session, *groups: str, plugins: list[str] = PLUGINS, pins: list[str] | None = None) -> None:
    """Install the checkout's core and plugins, and dependency groups of pyproject.toml."""
    folders = [".", *(f"plugins/{plugin}" for plugin in plugins)]
    editables = [argument for folder in folders for argument in ("-e", folder)]
    # Compiled as pip does where all is tested: each process of a test would compile anew what it imports.
    compiled = {"UV_COMPILE_BYTECODE": "1"} if "test" in groups and plugins == PLUGINS else None
    session.install(*editables, *nox.project.dependency_groups(PYPROJECT, *groups), *(pins or []), env=compiled)


@nox.session
def demo(session: nox.Session) -> None:
    """The main job on a made night of FITS files, offline; `-- -i kpf --dir night` for another one that stays."""
    install(session)
    session.chdir(session.invoked_from)
    session.run("koa-cal", "demo", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Every test of core and plugins; kills and random work are short."""
    install(session, "test")
    session.run("pytest", *(session.posargs or PARALLEL))


@nox.session
def coverage(session: nox.Session) -> None:
    """Lines that no test runs; takes half as long again as the tests alone."""
    install(session, "test")
    session.run("pytest", *PARALLEL, *COVERAGE, *session.posargs)


@nox.session
def soak(session: nox.Session) -> None:
    """Kills at every point and random work for long: about an hour; `-- -k killed` for some of it."""
    install(session, "test")
    chosen = ["-m", "soak or hypothesis", "--timeout=3600", *PARALLEL, *session.posargs]
    session.run("pytest", *chosen, env={"KOA_TEST_SOAK": "1"})


@nox.session(python=PYTHONS)
def pythons(session: nox.Session) -> None:
    """Every test, on each supported Python that is installed."""
    install(session, "test")
    session.run("pytest", *(session.posargs or PARALLEL))


@nox.session
def core(session: nox.Session) -> None:
    """What a missing plugin could break, with none installed.

    That is what asks for the installed plugins: the registry, a store that is opened by its instrument's name, the
    command line, the tests of the docs and of the demos; and the public names, which a plugin might have brought.
    """
    install(session, "test", plugins=[])
    cli = [f"cli/test_{name}.py" for name in ("usage", "instruments", "context", "status")]
    asking = ["test_plugins.py", "test_store.py", "test_docs.py", "test_exceptions.py", *cli, "system/test_demo.py"]
    session.run("pytest", *(session.posargs or [*PARALLEL, *(f"tests/{name}" for name in asking)]))


@nox.session
@nox.parametrize("name", PLUGINS, ids=PLUGINS)
def plugin(session: nox.Session, name: str) -> None:
    """One plugin's tests, with core and that plugin alone."""
    install(session, "test", plugins=[name])
    session.run("pytest", *(session.posargs or [f"plugins/{name}/tests"]))


@nox.session(python=PYTHONS[0])
def minimums(session: nox.Session) -> None:
    """Every test, with the lowest supported Python and the lowest versions of what core depends on."""
    dependencies = PYPROJECT["project"]["dependencies"]
    install(session, "test", "minimums", pins=[dependency.replace(">=", "==") for dependency in dependencies])
    session.run("pytest", *(session.posargs or PARALLEL))


@nox.session
def wheels(session: nox.Session) -> None:
    """Build the distributions into dist/ and test what was built."""
    dist = ROOT / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    session.install(*nox.project.dependency_groups(PYPROJECT, "build", "test"))
    for folder in (".", *(f"plugins/{plugin}" for plugin in PLUGINS)):
        session.run("python", "-m", "build", "--no-isolation", "--outdir", str(dist), folder)
    session.install(*map(str, sorted(dist.glob("*.whl"))))
    session.run("pytest", "-m", "packaging", "tests/packaging", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Style and types."""
    install(session, "lint")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")


@nox.session
def site(session: nox.Session) -> None:
    """Make the site of the docs in docs/_build/html, without a network, and look at it in a browser."""
    install(session, "docs")
    make_site(session)


@nox.session
def docs(session: nox.Session) -> None:
    """Make the site of the docs, and run the examples that stand in the README and in docs/."""
    install(session, "test", "docs")
    make_site(session)
    session.run("pytest", "tests/test_docs.py", *(session.posargs or PARALLEL))


@nox.session
def links(session: nox.Session) -> None:
    """Whether the docs' links to elsewhere lead somewhere; needs a network."""
    install(session, "docs")
    sphinx(session, "linkcheck")


def make_site(session: nox.Session) -> None:
    """Build the pages, each warning an error, and run the tests that look at them."""
    shutil.rmtree(ROOT / "docs" / "_build", ignore_errors=True)
    sphinx(session, "html")
    session.run("pytest", "-m", "site", "tests/docs_site")


def sphinx(session: nox.Session, builder: str) -> None:
    """Run Sphinx over docs/; a warning, and a link within the docs that leads nowhere, is an error."""
    built = ROOT / "docs" / "_build"
    strict = ["--nitpicky", "--fail-on-warning", "--keep-going", "--quiet"]
    session.run("sphinx-build", *strict, "-b", builder, "-d", str(built / "doctrees"), "docs", str(built / builder))


@nox.session
def pipelines(session: nox.Session) -> None:
    """The examples of pipelines, with the real frameworks."""
    install(session, "pipelines", plugins=["hispec"])
    session.install("-e", "examples/koa-middleware-kcwi")
    folders = ["examples/koa-middleware-kcwi/tests", "examples/pipelines/tests"]
    session.run("pytest", *(session.posargs or folders))


@nox.session
def bench(session: nox.Session) -> None:
    """Print how long things take, as ratios to what they cannot be faster than."""
    install(session, "bench")
    session.run("python", "bench/run.py", *session.posargs)
