"""The README and docs/: their examples run, and they name everything that there is.

In a ``console`` block a line that begins with ``$ `` is a command; the lines below it are its output, where any are
given. ``...`` stands for whatever varies. A command without expected output must end well and say nothing, or its
results go to ``/dev/null``. The blanks of a whole table are those of the output.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import inspect
import logging
import os
import re
import shlex
import subprocess
import sys
import tomllib
import traceback
import warnings
from collections.abc import Iterator
from doctest import ELLIPSIS, NORMALIZE_WHITESPACE, Example, OutputChecker
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import koa_middleware
import pytest
from koa_middleware import exceptions, hookspecs, plugins, settings
from koa_middleware.cli import main
from koa_middleware.cli.parser import build_parser

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
INSTRUMENTS = sorted((DOCS / "instruments").glob("*.md"))
TUTORIAL = ROOT / "examples" / "koa-middleware-esi"

FLAGS = ELLIPSIS | NORMALIZE_WHITESPACE
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
WITH_EXAMPLES = [path for path in PAGES if re.search("^```(python|console)", path.read_text("utf-8"), re.MULTILINE)]
#: A command that holds nothing which a shell would read.
FOR_NO_SHELL = re.compile(r"koa-cal [^|<>;&$`*?~\\]+(> /dev/null)?")
#: The variable by which the pages' commands find a PostgreSQL database.
ARCHIVE_URL = "ARCHIVE_URL"
#: The folder in which the pages' commands are typed.
HOME = "/home/observer"
#: Ids are random, and a table is as wide as its paths.
VARYING = [(re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"), "ID"), (re.compile("─+"), "─")]


def page(name: str) -> str:
    return (DOCS / name).read_text("utf-8")


def prose(text: str) -> str:
    """A page without its fenced blocks."""
    return FENCED.sub("", text)


def sections(text: str) -> dict[str, str]:
    """The text below each heading, by heading."""
    parts = re.split(r"^#+ (.+)$", FENCED.sub(lambda block: re.sub("^#", " #", block[0], flags=re.M), text), flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def koa_cal(command: str) -> tuple[int, str]:
    """Run a command in a fork of this process, which has imported what it needs; gives its exit code and output."""
    read, write = os.pipe()
    sys.stdout.flush()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if not child:
        typed, quiet, _ = command.partition("> /dev/null")
        output = os.open(os.devnull, os.O_WRONLY) if quiet else write
        os._exit(_as_a_new_process(shlex.split(typed)[1:], output, write))
    os.close(write)
    with open(read, encoding="utf-8") as stream:  # noqa: PTH123 - a pipe has no path
        said = stream.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said


def _as_a_new_process(arguments: list[str], output: int, errors: int) -> int:
    """Run ``koa-cal`` with nothing of what pytest and earlier examples have set."""
    code = 70
    try:
        os.dup2(output, 1)
        os.dup2(errors, 2)
        sys.stdout = open(1, "w", buffering=1, encoding="utf-8")  # noqa: SIM115 - the process ends with it
        sys.stderr = open(2, "w", buffering=1, encoding="utf-8")  # noqa: SIM115
        logging.root.handlers.clear()
        warnings.resetwarnings()
        warnings.simplefilter("ignore", DeprecationWarning)
        plugins._registry.cache_clear()
        code = main(arguments)
    except SystemExit as ended:
        code = int(ended.code or 0)
    except BaseException:  # noqa: BLE001 - the process ends here
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    return code


def missing_rows(wanted: str, got: str) -> list[str]:
    """Rows of a whole table on a page that do not stand in the output with the same blanks."""
    rows = [line for line in wanted.splitlines() if line.startswith("  ")]
    return [] if any("..." in row for row in rows) else [row for row in rows if row not in got.splitlines()]


class Console:
    """Runs the commands of a console block, one shell each; environment and folder go on to the next one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.monkeypatch = monkeypatch
        self.folder = folder
        self.state = folder.parent / "environment"

    def __call__(self, example: Any) -> str | None:
        for command, wanted in self.commands(example.parsed):
            code, said = koa_cal(command) if FOR_NO_SHELL.fullmatch(command) else self.in_shell(command)
            got = self.normal(said.replace(str(self.folder), HOME))
            case = Example(command, self.normal(wanted))
            if wanted and not OutputChecker().check_output(case.want, got, FLAGS):
                return f"$ {command}\n{OutputChecker().output_difference(case, got, FLAGS)}"
            if missing := missing_rows(case.want, got):
                return f"$ {command}\nhas not these rows with their blanks:\n" + "\n".join([*missing, "but", got])
            if not wanted and (code or (got.strip() and "> /dev/null" not in command)):
                return f"$ {command}\nends with exit code {code} and says what the page does not show:\n{got}"
        return None

    def in_shell(self, command: str) -> tuple[int, str]:
        done = subprocess.run(
            ["bash", "-c", f"{command}\ncode=$?; env -0 > '{self.state}'; exit $code"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            timeout=120,
            check=False,
        )
        self.go_on()
        return done.returncode, done.stdout

    def commands(self, block: str) -> Iterator[tuple[str, str]]:
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, wanted = part.replace("\\\n", " ").partition("\n")
            yield command, wanted

    def go_on(self) -> None:
        variables = dict(line.partition("=")[::2] for line in self.state.read_text("utf-8").split("\0") if line)
        for name in (name for name in variables if name.startswith("KOA_")):
            self.monkeypatch.setenv(name, variables[name])
        self.monkeypatch.chdir(variables["PWD"])

    def normal(self, text: str) -> str:
        for pattern, word in VARYING:
            text = pattern.sub(word, text)
        return text


class Tutorial(Console):
    """The commands of the tutorial, where pip installs without a network, and the files that stand on the page."""

    def __call__(self, example: Any) -> str | None:
        if not example.parsed.startswith("$ python3 -m pip install -e"):
            return super().__call__(example)
        example.parsed = "".join(example.parsed.splitlines(keepends=True)[1:])
        self.install("esi")
        return super().__call__(example)

    def install(self, name: str) -> None:
        """Make the package that was written look installed, for this process and for those that it starts."""
        site = self.folder.parent / "site"
        metadata = site / f"koa_middleware_{name}-0.1.0.dist-info"
        metadata.mkdir(parents=True)
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: koa-middleware-{name}\nVersion: 0.1.0\n")
        (metadata / "entry_points.txt").write_text(f"[koa_middleware]\n{name} = koa_middleware_{name}\n")
        folders = [str(site), str(self.folder / f"koa-middleware-{name}/src")]
        path = os.pathsep.join(filter(None, [*folders, os.environ.get("PYTHONPATH")]))
        self.monkeypatch.setenv("PYTHONPATH", path)
        self.monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")  # two versions of a file may be of one second
        self.monkeypatch.setattr(sys, "dont_write_bytecode", True)
        for folder in folders:
            self.monkeypatch.syspath_prepend(folder)

    def write(self, example: Any) -> None:
        """Write a file that the page shows, whose name stands before it."""
        named = re.search(r"`([\w./-]+)`:\n\n$", example.document.text[: example.region.start])
        (self.folder / named[1]).write_text(example.parsed)

    def check(self) -> None:
        """Check that the page ends with the plugin that stands in the examples."""
        made = self.folder / TUTORIAL.name
        files = [path.relative_to(TUTORIAL) for path in TUTORIAL.rglob("*") if path.is_file()]
        files = [path for path in files if not {"__pycache__", ".pytest_cache", ".ruff_cache"} & set(path.parts)]
        assert [path for path in files if (made / path).read_bytes() != (TUTORIAL / path).read_bytes()] == []


@pytest.mark.skipif(not entry_points(group="koa_middleware", name="hispec"), reason="the examples are of HISPEC")
@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_of_a_page_give_what_it_says(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    from sybil.document import Document
    from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser

    if "koa-cal demo -i kpf" in path.read_text("utf-8") and not entry_points(group="koa_middleware", name="kpf"):
        pytest.skip("the examples are of KPF")
    if f"${ARCHIVE_URL}" in path.read_text("utf-8"):
        monkeypatch.setenv(ARCHIVE_URL, request.getfixturevalue("fresh_database"))
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    monkeypatch.setenv("PYTHONUTF8", "1")
    is_tutorial = path.stem == "write-a-plugin"
    run = (Tutorial if is_tutorial else Console)(monkeypatch, folder)
    python = CodeBlockParser("python", run.write) if is_tutorial else PythonCodeBlockParser(doctest_optionflags=FLAGS)
    document = Document.parse(str(path), python, CodeBlockParser("console", run))
    document.namespace["__name__"] = "__main__"
    for example in document.examples():
        example.evaluate()
    if is_tutorial:
        run.check()


class Nightly:
    """The script of the night recipes, run as cron does: with the variables of a crontab alone."""

    def __init__(self, folder: Path, archive: str) -> None:
        self.path = folder / "nightly.sh"
        (job,) = (block for _, block in FENCED.findall(page("night-recipes.md")) if block.startswith("#!/bin/sh"))
        self.path.write_text(job)
        self.crontab = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
            "KOA_CALIBRATION_CACHE": str(folder / "cache"),
            "KOA_REMOTE_DATABASE_URL": archive,
        }

    def __call__(self, *arguments: str | Path) -> tuple[int, list[str], str, str]:
        """Gives the exit code, the steps, the log and the mail."""
        typed = ["/bin/sh", self.path, *arguments]
        done = subprocess.run(typed, capture_output=True, text=True, env=self.crontab, timeout=120, check=False)
        return done.returncode, re.findall("^[^ ]+Z koa-cal (.*)", done.stdout, re.MULTILINE), done.stdout, done.stderr


@pytest.mark.skipif(not entry_points(group="koa_middleware", name="hispec"), reason="the night is of HISPEC")
def test_the_job_of_the_night_recipes_brings_a_night_to_the_archive(
    fresh_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    monkeypatch.setenv("KOA_REMOTE_DATABASE_URL", fresh_database)
    monkeypatch.setenv("KOA_CALIBRATION_CACHE", str(tmp_path / "cache"))
    for command in (f"koa-cal demo -i hispec --dir {tmp_path}/demo", "koa-cal remote init -i hispec"):
        assert koa_cal(command)[0] == 0
    assert not (tmp_path / "cache").exists()  # who sets an archive up needs none
    assert koa_cal("koa-cal sync -i hispec")[0] == 0
    nightly = Nightly(tmp_path, fresh_database)
    code, steps, log, mail = nightly(tmp_path / "demo/night")
    assert steps == ["sync", "register", "publish", "verify"]
    assert code == 1
    assert "koa-cal register ended with exit code 1" in mail  # the science frame is no calibration
    assert "19 published, 0 unchanged" in log
    assert "19 files checked" in log
    (tmp_path / "cloudy").mkdir()
    next(tmp_path.glob("cache/calibrations/HB.20260214.03600*")).write_text("spoilt")
    code, steps, log, mail = nightly(tmp_path / "cloudy")
    assert steps == ["sync", "publish", "verify"]
    assert code == 1
    assert "cloudy is empty" in log
    assert "  HB.20260214.03600.00.mastercal-dark.001.fits  " in mail
    assert mail.endswith("koa-cal verify ended with exit code 1\n")


def test_the_job_of_the_night_recipes_is_red_where_a_folder_is_missing(tmp_path: Path) -> None:
    nightly = Nightly(tmp_path, "postgresql:///none")
    (tmp_path / "masters").mkdir()
    missing = str(tmp_path / "reduced")
    for arguments, named in (([missing], missing), ([], "''"), ([tmp_path / "masters"], "Mount its disk")):
        code, steps, log, mail = nightly(*arguments)
        assert (code, steps, log) == (1, [], "")
        assert named in mail.splitlines()[-1]
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=lambda path: path.stem)
def test_a_page_with_a_night_says_that_it_begins_in_an_empty_folder(path: Path) -> None:
    before, *night = re.split(r"^\$ koa-cal demo ", path.read_text("utf-8"), maxsplit=1, flags=re.MULTILINE)
    assert not night or path.stem == "write-a-plugin" or "new, empty folder" in " ".join(before.split())


def test_no_page_installs_from_an_index_which_has_not_got_the_packages() -> None:
    lines = [line for path in PAGES for line in path.read_text("utf-8").splitlines()]
    told = [line for line in lines if "pip install" in line and "'koa-middleware" in line and "./" not in line]
    assert [line for line in told if not line.startswith("Once ")] == []


@pytest.mark.parametrize("path", [*PAGES, *INSTRUMENTS], ids=lambda path: path.stem)
def test_links_lead_somewhere(path: Path) -> None:
    text = prose(path.read_text("utf-8"))
    dead = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        file, _, anchor = target.partition("#")
        found = path.parent / file if file else path
        if "://" in target:
            continue
        if not found.exists() or (anchor and anchor not in map(slug, sections(found.read_text("utf-8")))):
            dead.append(target)
    assert dead == []


def slug(heading: str) -> str:
    """The anchor that a Markdown renderer gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_each_page_stands_in_the_index() -> None:
    linked = set(re.findall(r"\]\((\w[\w/-]*\.md)", page("index.md")))
    assert linked == {str(path.relative_to(DOCS)) for path in [*PAGES[1:], *INSTRUMENTS]} - {"index.md"}


def script(name: str) -> Any:
    """A script of docs/ as a module."""
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_each_plugin_of_the_repository_has_a_page() -> None:
    assert [path.stem for path in INSTRUMENTS] == script("generate").NAMES


@pytest.mark.parametrize("path", INSTRUMENTS, ids=lambda path: path.stem)
def test_an_instruments_page_says_what_its_plugin_declares(path: Path) -> None:
    if not entry_points(group="koa_middleware", name=path.stem):
        pytest.skip("the plugin is not installed")
    made = script("generate").page(koa_middleware.get_plugin(path.stem))
    assert path.read_text("utf-8") == made, "Run `python docs/generate.py`."


@pytest.mark.skipif(not entry_points(group="koa_middleware", name="hispec"), reason="the picture is of HISPEC")
def test_the_picture_of_the_readme_shows_what_the_command_says() -> None:
    picture = script("picture")
    assert picture.PLACE.read_text("utf-8") == picture.draw(), "Run `python docs/generate.py`."


def test_the_variables_are_those_that_the_settings_read() -> None:
    assert set(re.findall(r"\bKOA_[A-Z_]+\b", page("settings.md"))) == set(settings.VARIABLES)
    assert set(re.findall(r"\bKOA_[A-Z_]+\b", PAGES[0].read_text("utf-8"))) <= set(settings.VARIABLES)


def test_the_readme_is_read_in_a_minute() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    assert len(text.splitlines()) < 120
    assert re.search(r"!\[[^]]{40,}\]\(docs/images/explain\.svg\)", text.partition("## ")[0])


@pytest.mark.parametrize("package", ["koa_middleware", "koa_middleware.testing"])
def test_each_public_name_is_documented(package: str) -> None:
    assert undocumented(importlib.import_module(package).__all__) == []


@pytest.mark.parametrize("name", ["CalibrationStore", "CalibrationSelector", "ORMCalibration", "InstrumentPlugin"])
def test_each_attribute_and_method_of_a_public_class_is_documented(name: str) -> None:
    members = vars(getattr(koa_middleware, name)).keys() - {"metadata", "registry"}  # SQLAlchemy's
    assert undocumented(sorted(member for member in members if not member.startswith("_"))) == []


def undocumented(names: Any) -> list[str]:
    text = "\n".join(path.read_text("utf-8") for path in PAGES)
    marked = "\n".join(re.findall(r"`[^`\n]+`|^```\w+\n.*?^```$", text, re.MULTILINE | re.DOTALL))
    return [name for name in names if not re.search(rf"\b{name}\b", marked)]


def test_each_hook_is_documented_with_its_signature() -> None:
    hooks = {name: hook for name, hook in vars(hookspecs).items() if hasattr(hook, "koa_middleware_spec")}
    signatures = [f"def {name}{inspect.signature(hook)}".replace("'", "") for name, hook in hooks.items()]
    assert signatures
    assert [signature for signature in signatures if f"{signature}:" not in page("plugin-reference.md")] == []


def test_each_error_and_warning_is_documented_with_its_attributes() -> None:
    told = {name.strip("`"): text for name, text in sections(page("errors.md")).items() if name.startswith("`")}
    errors = {name: error for name, error in vars(exceptions).items() if inspect.isclass(error)}
    ours = (exceptions.KoaMiddlewareError, UserWarning)
    errors = {name: error for name, error in errors.items() if issubclass(error, ours)}
    assert set(told) == set(errors)
    missing = [
        f"{name}.{value}"
        for name, error in errors.items()
        for value in inspect.get_annotations(error)
        if f"`{value}`" not in told[name]
    ]
    assert missing == []


def test_each_module_is_described_in_the_architecture() -> None:
    described = re.findall(r"^\| `(\w+)` \|", sections(page("architecture.md"))["Modules"], re.MULTILINE)
    modules = {path.stem for path in Path(koa_middleware.__file__).parent.iterdir() if path.name != "py.typed"}
    assert sorted(described) == sorted(name for name in modules if not name.startswith("_"))


def test_each_dependency_is_justified_in_the_architecture() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    named = [*project["project"]["dependencies"], *project["dependency-groups"]["test"]]
    names = {re.match(r"[\w-]+", requirement)[0] for requirement in named}
    justified = re.findall(r"`([\w-]+)`", sections(page("architecture.md"))["Dependencies"])
    assert names - set(justified) == set()


def commands(parser: argparse.ArgumentParser | None = None, above: str = "") -> dict[str, argparse.ArgumentParser]:
    """Each command by its whole name, those of a group too."""
    found: dict[str, argparse.ArgumentParser] = {}
    for action in (parser or build_parser())._actions:
        for name, command in action.choices.items() if isinstance(action.choices, dict) else ():
            below = commands(command, f"{above}{name} ")
            found |= below or {f"{above}{name}": command}
    return found


def test_the_commands_of_the_command_line_are_documented() -> None:
    documented = {heading.strip("`") for heading in sections(page("command-line.md")) if heading.startswith("`koa-cal")}
    assert documented == {f"koa-cal {name}" for name in commands()}


@pytest.mark.parametrize("name", sorted(commands()))
def test_a_command_is_documented_with_its_options(name: str) -> None:
    text = prose(sections(page("command-line.md"))[f"`koa-cal {name}`"])
    actions = [action for action in commands()[name]._actions if action.dest != "help"]
    options = {action.option_strings[-1] for action in actions if action.option_strings}
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text)) == options
    assert [str(action.metavar) for action in actions if action.metavar and str(action.metavar) not in text] == []
