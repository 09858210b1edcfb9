"""Who may import whom, read from the imports of every file. A new package of core gets a line in `MAY_IMPORT`."""

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

#: The packages and modules of core from the ground up, and what each may import besides itself and the errors.
MAY_IMPORT = {
    "exceptions": "",
    "importing": "",
    "kept": "",
    "former_names": "",
    "settings": "former_names",
    "display": "importing",
    "disk": "importing",
    "fetch": "disk",
    "instrument": "disk display importing",
    "choosing": "instrument disk display kept",
    "given": "instrument",
    "database": "former_names given instrument disk display hookspecs __init__",
    "remote": "fetch database instrument disk display settings importing kept",
    "cache": "database fetch instrument disk display settings importing kept",
    "models": "instrument",
    "reports": "cache choosing database given instrument disk display importing kept",
    "register": "models cache database choosing instrument disk",
    "refresh": "cache database instrument display",
    "selection": "cache choosing fetch given instrument",
    "own_choice": "choosing database given instrument disk",
    "locked_records": "reports database instrument disk",
    "locked_selection": "locked_records selection reports choosing instrument",
    "lock_checking": "locked_records reports selection choosing database",
    "store": "own_choice lock_checking locked_selection locked_records reports selection refresh register cache remote "
    "database choosing given instrument disk settings former_names display importing kept",
    "hookspecs": "",
    "plugins": "hookspecs choosing instrument display",
    "opening": "store plugins",
    "new_plugin": "plugins instrument disk",
}
ABOVE = {"__init__", "testing", "cli", "server"}

#: Where a package, or one name of it, may be imported.
ONLY_IN = {
    "argparse": {"cli"},
    "fastapi": {"server"},
    "astropy": {"disk.fits", "display", "instrument.scales", "testing"},
    "jinja2": {"server"},
    "matplotlib": {"reports.coverage.figure"},
    "pluggy": {"plugins", "hookspecs"},
    "prometheus_client": {"server"},
    "psycopg2": {"remote.postgres.engine"},
    "requests": {"fetch.connections"},
    "sqlalchemy.create_engine": {"database.sqlite", "remote.postgres.engine", "testing"},
    "tqdm": {"fetch.progress"},
    "uvicorn": {"server"},
}
#: Packages that take long to import: in functions only, as are the modules that are there for two of them.
SLOW = {"astropy", "matplotlib", "psycopg2", "requests", "tqdm", "urllib3"}
LAZY = {"fetch.connections", "fetch.server"}


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
    def target(self) -> str:
        """The module of core that is meant, "database.sqlite"; the package itself is "__init__"."""
        _, _, below = self.module.partition(".")
        inner = f"{below}.{self.name}".strip(".")
        return inner if inner in MODULES else below if below in MODULES else "__init__"

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


def module_of(file: Path) -> str:
    parts = file.relative_to(CORE).with_suffix("").parts
    return ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)


def top(module: str) -> str:
    return module.partition(".")[0]


CORE_FILES = sorted(CORE.rglob("*.py"))
MODULES = {module_of(file) for file in CORE_FILES}
CORE_IMPORTS = [(module_of(file), found) for file in CORE_FILES for found in imports_of(file, CORE)]
INNER_IMPORTS = [
    (module, found) for module, found in CORE_IMPORTS if found.package == "koa_middleware" and not found.typing_only
]
PLUGIN_IMPORTS = [
    (package, found)
    for package in PLUGINS
    for file in sorted(package.rglob("*.py"))
    for found in imports_of(file, package)
]


def test_packages_of_core_import_downwards_only() -> None:
    assert {top(module) for module in MODULES} == set(MAY_IMPORT) | ABOVE
    wrong = [
        str(found)
        for module, found in INNER_IMPORTS
        if top(module) not in ABOVE
        if top(found.target) not in {top(module), "exceptions", *MAY_IMPORT[top(module)].split()}
    ]
    assert wrong == []


def test_no_modules_import_each_other_in_a_circle_in_functions_neither() -> None:
    graph: dict[str, set[str]] = {}
    for module, found in INNER_IMPORTS:
        if found.target != module and "__init__" not in {module, found.target}:
            graph.setdefault(module, set()).add(found.target)
    TopologicalSorter(graph).prepare()


def test_only_one_module_knows_the_kinds_of_servers() -> None:
    """It chooses one by the URL; all else sees the protocol."""
    wrong = [
        str(found)
        for module, found in CORE_IMPORTS
        if found.package == "koa_middleware" and found.target.startswith("remote.postgres")
        if module != "remote.servers" and not module.startswith(("remote.postgres", "testing"))
    ]
    assert wrong == []


def test_the_store_and_the_plugins_do_not_know_each_other() -> None:
    assert "plugins" not in MAY_IMPORT["store"]
    assert "store" not in MAY_IMPORT["plugins"]


def test_each_package_is_imported_in_its_own_place() -> None:
    wrong = [
        str(found)
        for module, found in CORE_IMPORTS
        for imported in (found.package, f"{found.module}.{found.name}")
        if not found.typing_only and not {module, top(module)} & ONLY_IN.get(imported, {module})
    ]
    assert wrong == []


def test_slow_packages_are_imported_where_they_are_used() -> None:
    wrong = [
        str(found)
        for module, found in CORE_IMPORTS
        if module not in LAZY
        if found.package in SLOW or (found.package == "koa_middleware" and found.target in LAZY)
        if found.at_module_level and not found.typing_only
    ]
    assert wrong == []


def test_only_the_settings_read_the_environment() -> None:
    reads = re.compile(r"\b(os\.environb?|getenvb?|expandvars|environ)\b")
    sources = [*CORE_FILES, *(file for package in PLUGINS for file in package.rglob("*.py"))]
    wrong = [
        f"{file.relative_to(ROOT)}: {ast.unparse(node)}"
        for file in sources
        if file not in (CORE / "settings.py", CORE / "testing/loading.py")  # which watches who reads it
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
    assert loaded & {"koa_middleware", "astropy", "matplotlib", "requests", "psycopg2"} == {"koa_middleware"}
    assert not {name for name in loaded if name.startswith("koa_middleware_")}


def test_the_help_of_the_command_line_loads_neither_a_slow_package_nor_a_plugin() -> None:
    loaded = imported_by(HELP)
    assert loaded & {"koa_middleware", "astropy", "matplotlib", "requests", "psycopg2", "sqlalchemy"} == {
        "koa_middleware"
    }
    assert not {name for name in loaded if name.startswith("koa_middleware_")}


@pytest.mark.parametrize("package", PLUGINS, ids=lambda package: package.name)
def test_importing_a_plugin_loads_no_slow_package_and_no_other_plugin(package: Path) -> None:
    loaded = imported_by(f"import {package.name}", package.parent)
    assert loaded & {"astropy", "requests", "psycopg2"} == set()
    assert {name for name in loaded if name.startswith("koa_middleware_")} == {package.name}
