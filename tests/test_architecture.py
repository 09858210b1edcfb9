"""Who may import whom. A new module of core gets a line in `MAY_IMPORT`."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CORE = ROOT / "core" / "koa_middleware"
PLUGINS = sorted(folder for folder in ROOT.glob("plugins/*/src/koa_middleware_*") if folder.is_dir())

#: The modules of core, from the bottom to the top, and those of core that each may import.
MAY_IMPORT: dict[str, set[str]] = {
    "exceptions": set(),
    "times": {"exceptions"},
    "filenames": {"exceptions"},
    "settings": {"exceptions"},
    "headers": {"exceptions"},
    "values": {"exceptions", "times"},
    "disk": {"exceptions"},
    "cache": {"exceptions", "filenames", "disk"},
    "addresses": {"exceptions"},
    "access": {"exceptions", "addresses"},
    "answers": set(),
    "partial": {"disk"},
    "locks": {"disk"},
    "transfer": {"exceptions", "addresses", "answers", "cache", "disk", "partial", "locks"},
    "connections": {"access", "answers"},
    "download": {"exceptions", "access", "addresses", "answers", "connections", "partial", "transfer"},
    "engines": {"exceptions"},
}
VALUES = {"exceptions", "times", "filenames", "values"}
MAY_IMPORT |= {
    "orm": VALUES | {"headers"},
    "tables": VALUES | {"orm"},
    "records": VALUES | {"orm"},
    "inputs": VALUES | {"headers", "orm"},
    "rules": VALUES | {"orm"},
    "explain": VALUES | {"orm", "records", "rules", "tables"},
    "selectors": VALUES | {"orm", "records", "rules", "explain"},
    "files": VALUES | {"orm", "cache"},
    "flags": VALUES | {"orm"},
    "remote_schema": set(),
    "copy_state": set(),
    "remote_values": {"copy_state", "remote_schema", "times"},
    "remote_errors": {"exceptions"},
    "remote": {"exceptions", "copy_state", "remote_schema", "remote_values", "remote_errors"},
    "local_copy": {"copy_state", "remote_schema", "remote_values"},
    "sync": {"copy_state", "remote", "local_copy"},
    "database": VALUES | {"orm", "records", "files", "flags", "engines", "sync"},
    "publish": {"exceptions", "orm", "records", "copy_state", "remote", "remote_errors", "remote_schema", "local_copy"},
}
TABLE = VALUES | {"headers", "orm", "records", "files", "flags", "cache", "database"}
MAY_IMPORT |= {
    "registration": TABLE,
    "verification": TABLE,
    "prefetch": TABLE | {"inputs"},
    "shared": TABLE | {"verification"},
    "provision": TABLE | {"addresses", "settings", "verification", "download", "prefetch", "shared"},
    "bundle_file": {"exceptions", "filenames", "cache", "disk"},
    "bundle": TABLE | {"bundle_file", "provision", "registration", "verification"},
    "prune": TABLE | {"partial", "disk"},
    "archive": TABLE | {"settings", "disk", "engines", "copy_state", "remote_errors", "sync", "publish"},
    "store": TABLE
    | {"settings", "engines", "inputs", "tables", "explain", "selectors", "copy_state", "sync", "publish"}
    | {"registration", "verification", "prefetch", "provision", "archive", "bundle", "prune"},
    "hookspecs": {"exceptions"},
    "plugins": {"exceptions", "orm", "selectors", "hookspecs"},
    "opening": {"plugins", "store"},
}
ALL = set(MAY_IMPORT)
MAY_IMPORT |= {"__init__": ALL, "testing": ALL | {"__init__"}, "cli": ALL | {"__init__", "testing"}}

#: Where a package, or one name of it, may be imported.
ONLY_IN = {
    "argparse": {"cli"},
    "astropy": {"headers", "tables"},
    "pluggy": {"plugins", "hookspecs"},
    "psycopg2": {"engines"},
    "requests": {"connections"},
    "sqlalchemy.create_engine": {"engines", "testing"},
    "tqdm": {"prefetch"},
}
#: Packages that take long to import: in functions only, as are the modules that are there for two of them.
SLOW = {"astropy", "psycopg2", "requests", "tqdm", "urllib3"}
LAZY = {"connections", "download"}


@dataclass(frozen=True)
class Import:
    """One imported name."""

    file: Path
    line: int
    module: str  #: absolute, "koa_middleware.orm"
    name: str | None  #: of `from module import name`
    typing_only: bool
    at_module_level: bool

    @property
    def package(self) -> str:
        return self.module.partition(".")[0]

    @property
    def unit(self) -> str:
        """The module of core that is meant: "orm", "cli" for each module of the command line."""
        _, _, below = self.module.partition(".")
        module = below.partition(".")[0] or self.name
        return module if module in MAY_IMPORT else "__init__"

    def __str__(self) -> str:
        name = f" import {self.name}" if self.name else ""
        return f"{self.file.relative_to(ROOT)}:{self.line}: {self.module}{name}"


def imports_of(file: Path, package: Path) -> Iterator[Import]:
    """Every import of a file, at module level and in functions."""
    folder = [package.name, *file.relative_to(package).parent.parts]

    def walk(node: ast.AST, typing_only: bool, at_module_level: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                for alias in child.names:
                    yield Import(file, child.lineno, alias.name, None, typing_only, at_module_level)
            elif isinstance(child, ast.ImportFrom):
                above = folder[: len(folder) - child.level + 1] if child.level else []
                module = ".".join([*above, *filter(None, [child.module])])
                for alias in child.names:
                    yield Import(file, child.lineno, module, alias.name, typing_only, at_module_level)
            else:
                for_types = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
                function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
                yield from walk(child, typing_only or for_types, at_module_level and not function)

    yield from walk(ast.parse(file.read_text(encoding="utf-8")), False, True)


def unit_of(file: Path) -> str:
    return file.relative_to(CORE).with_suffix("").parts[0]


CORE_FILES = sorted(CORE.rglob("*.py"))
CORE_IMPORTS = [(unit_of(file), found) for file in CORE_FILES for found in imports_of(file, CORE)]
PLUGIN_IMPORTS = [
    (package, found)
    for package in PLUGINS
    for file in sorted(package.rglob("*.py"))
    for found in imports_of(file, package)
]


def test_every_module_of_core_has_its_place_in_the_table() -> None:
    assert {unit_of(file) for file in CORE_FILES} <= set(MAY_IMPORT)


def test_the_table_of_modules_has_no_circle() -> None:
    below_the_package = {module: allowed - {"__init__"} for module, allowed in MAY_IMPORT.items()}
    TopologicalSorter(below_the_package).prepare()


def test_the_store_and_the_plugins_do_not_know_each_other() -> None:
    assert "plugins" not in MAY_IMPORT["store"]
    assert "store" not in MAY_IMPORT["plugins"]


def test_modules_of_core_import_downwards_only() -> None:
    wrong = [
        str(found)
        for unit, found in CORE_IMPORTS
        if found.package == "koa_middleware" and not found.typing_only
        if found.unit != unit and found.unit not in MAY_IMPORT[unit]
    ]
    assert wrong == []


def test_each_package_is_imported_in_its_own_place() -> None:
    wrong = [
        str(found)
        for unit, found in CORE_IMPORTS
        for imported in (found.package, f"{found.module}.{found.name}")
        if not found.typing_only and unit not in ONLY_IN.get(imported, {unit})
    ]
    assert wrong == []


def test_slow_packages_are_imported_where_they_are_used() -> None:
    wrong = [
        str(found)
        for unit, found in CORE_IMPORTS
        if unit not in LAZY
        if found.package in SLOW or (found.package == "koa_middleware" and found.unit in LAZY)
        if found.at_module_level and not found.typing_only
    ]
    assert wrong == []


def test_only_the_settings_read_the_environment() -> None:
    reads = re.compile(r"\b(os\.environb?|getenvb?|expandvars|environ)\b")
    sources = [*CORE_FILES, *(file for package in PLUGINS for file in package.rglob("*.py"))]
    wrong = [
        f"{file.relative_to(ROOT)}: {ast.unparse(node)}"
        for file in sources
        if file != CORE / "settings.py"
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute | ast.Name | ast.ImportFrom) and reads.search(ast.unparse(node))
    ]
    assert wrong == []


def test_core_names_no_instrument() -> None:
    instruments = {"hispec", "kpf", "parvi", *(package.name.removeprefix("koa_middleware_") for package in PLUGINS)}
    names = re.compile("|".join(instruments), re.IGNORECASE)
    wrong = [
        f"{file.relative_to(ROOT)}:{number}: {line.strip()}"
        for file in CORE_FILES
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1)
        if names.search(line)
    ]
    assert wrong == []


def test_plugins_import_public_names_only() -> None:
    import koa_middleware
    import koa_middleware.testing

    public = {
        "koa_middleware": set(koa_middleware.__all__),
        "koa_middleware.testing": set(koa_middleware.testing.__all__),
    }
    wrong = [
        str(found)
        for _, found in PLUGIN_IMPORTS
        if found.package == "koa_middleware" and found.name not in public.get(found.module, ())
    ]
    assert wrong == []


def test_plugins_do_not_know_each_other() -> None:
    wrong = [
        str(found)
        for package, found in PLUGIN_IMPORTS
        if found.package.startswith("koa_middleware_") and found.package != package.name
    ]
    assert wrong == []


HELP = """\
import contextlib
sys.argv = ["koa-cal", "--help"]
from koa_middleware.cli import main
with contextlib.suppress(SystemExit):
    main()"""


def imported_by(statements: str, *folders: Path) -> set[str]:
    """The packages that are loaded after some statements in a new process."""
    before = f"import json, sys\nsys.path[:0] = {[str(folder) for folder in folders]}\n"
    after = '\nprint(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})), file=sys.stderr)'
    command = [sys.executable, "-c", before + statements + after]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stderr.splitlines()[-1]))


def test_importing_core_loads_neither_a_slow_package_nor_a_plugin() -> None:
    loaded = imported_by("import koa_middleware")
    assert loaded & {"koa_middleware", "astropy", "requests", "psycopg2"} == {"koa_middleware"}
    assert not {name for name in loaded if name.startswith("koa_middleware_")}


def test_the_help_of_the_command_line_loads_neither_a_slow_package_nor_a_plugin() -> None:
    loaded = imported_by(HELP)
    assert loaded & {"koa_middleware", "astropy", "requests", "psycopg2", "sqlalchemy"} == {"koa_middleware"}
    assert not {name for name in loaded if name.startswith("koa_middleware_")}


@pytest.mark.parametrize("package", PLUGINS, ids=lambda package: package.name)
def test_importing_a_plugin_loads_no_slow_package_and_no_other_plugin(package: Path) -> None:
    loaded = imported_by(f"import {package.name}", package.parent)
    assert loaded & {"astropy", "requests", "psycopg2"} == set()
    assert {name for name in loaded if name.startswith("koa_middleware_")} == {package.name}
