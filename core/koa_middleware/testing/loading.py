"""What a plugin's module does when it is imported: it may declare, and nothing else."""

from __future__ import annotations

import builtins
import importlib
import io
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from types import ModuleType
from typing import Any

import pytest

from .. import InstrumentPlugin
from ..exceptions import described

#: Packages that take long to import; a function imports them where it needs them.
SLOW = frozenset(
    {"astropy", "astroquery", "matplotlib", "numpy", "pandas", "psycopg2", "requests", "scipy", "tqdm", "urllib3"}
)


def module_of(plugin: InstrumentPlugin) -> ModuleType | None:
    """Give the module that holds a plugin, that of its class or one above it; None where none does."""
    name = plugin.ORM.__module__
    while name:
        module = sys.modules.get(name)
        if module is not None and any(value is plugin for value in vars(module).values()):
            return module
        name = name.rpartition(".")[0]
    return None


def faults_of_import(name: str) -> Iterator[str]:
    """Import a module, and those below it, anew, and say what they do besides; then put the former ones back."""
    former = {each: module for each, module in sys.modules.items() if _is_below(each, name)}
    for each in former:
        del sys.modules[each]
    imports, reads, output = _Imports(name), _Reads(name), io.StringIO()
    try:
        with (
            pytest.MonkeyPatch.context() as patch,
            without_network() as asked,
            redirect_stdout(output),
            redirect_stderr(output),
        ):
            patch.setattr(builtins, "__import__", imports)
            patch.setattr(os, "environ", reads)
            importlib.import_module(name)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin's own code
        yield f"{name} cannot be imported a second time: {described(error)}."
    finally:
        for each in [each for each in sys.modules if _is_below(each, name)]:
            del sys.modules[each]
        sys.modules.update(former)
    if output.getvalue():
        yield f"{name} prints {output.getvalue().strip()!r} at its import."
    for slow in sorted(imports.slow):
        yield f"{name} imports {slow} at its import. Import it in the function that needs it."
    for variable in sorted(reads.names):
        yield f"{name} reads the variable {variable} at its import. Read it in the function that needs it."
    for address in asked:
        yield f"{name} asks the network for {address} at its import."


@contextmanager
def without_network() -> Iterator[list[str]]:
    """Refuse connections; gives the list of the addresses that are asked for meanwhile."""
    asked: list[str] = []

    def refuse(*arguments: Any, **_: Any) -> Any:
        asked.append(":".join(str(each) for each in arguments[:2] if isinstance(each, str | int | tuple)))
        raise OSError("no network here")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", refuse)
        patch.setattr(socket.socket, "connect", lambda _, address: refuse(address))
        yield asked


class _Imports:
    """Imports as Python does, and notes the slow packages that a module, or one below it, asks for."""

    def __init__(self, name: str) -> None:
        self.slow: set[str] = set()
        self._name = name
        self._import = builtins.__import__

    def __call__(self, name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0) -> Any:
        package = name.partition(".")[0]
        if level == 0 and package in SLOW and _is_below(str((globals or {}).get("__name__")), self._name):
            self.slow.add(package)
        return self._import(name, globals, locals, fromlist, level)


class _Reads(dict[str, str]):
    """The environment; notes the variables that a module, or one below it, reads."""

    def __init__(self, name: str) -> None:
        super().__init__(os.environ)
        self.names: set[str] = set()
        self._name = name

    def _note(self, variable: object) -> None:
        callers = [sys._getframe(2), sys._getframe(2).f_back]  # os.getenv stands between
        if any(each is not None and _is_below(str(each.f_globals.get("__name__")), self._name) for each in callers):
            self.names.add(str(variable))

    def __getitem__(self, variable: str) -> str:
        self._note(variable)
        return super().__getitem__(variable)

    def get(self, variable: str, default: Any = None) -> Any:
        """Give a variable, and note it."""
        self._note(variable)
        return super().get(variable, default)

    def __contains__(self, variable: object) -> bool:
        self._note(variable)
        return super().__contains__(variable)


def _is_below(name: str, above: str) -> bool:
    return name == above or name.startswith(f"{above}.")
