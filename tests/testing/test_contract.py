"""What `PluginContract` finds: a sound plugin passes, and each broken one fails where its fault is named."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from koa_middleware import InvalidPluginError, KoaMiddlewareError
from koa_middleware.testing import PluginContract

from tests.conftest import repetitions
from tests.testing.broken_plugins import BROKEN, SOUND

PACKAGE = "koa_middleware_soundspec"


@pytest.fixture
def plugin_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    """Give a function that imports a package of some text and gives its plugin."""

    def load(text: str) -> Any:
        (tmp_path / f"{PACKAGE}.py").write_text(text)
        monkeypatch.syspath_prepend(tmp_path)
        return importlib.import_module(PACKAGE).plugin

    yield load
    sys.modules.pop(PACKAGE, None)


#: The contract's tests that make a database; the others take milliseconds.
SLOW = ("least", "overrides", "registered")


def failures(plugin: Any, folder: Path, all_of_them: bool = True) -> dict[str, str]:
    """What the contract's tests say of a plugin, by test; those that take longer only where the others find nothing."""
    contract = PluginContract()
    contract.plugin = plugin
    said: dict[str, str] = {}
    tests = [each for each in inspect.getmembers(contract, inspect.ismethod) if each[0].startswith("test_")]
    for name, test in sorted(tests, key=lambda each: any(word in each[0] for word in SLOW)):
        if said and not all_of_them and any(word in name for word in SLOW):
            continue
        (folder / name).mkdir()
        try:
            test(**({"tmp_path": folder / name} if "tmp_path" in inspect.signature(test).parameters else {}))
        except (AssertionError, KoaMiddlewareError) as error:
            said[name] = str(error)
        except pytest.skip.Exception:
            continue
    return said


def test_a_sound_plugin_passes(plugin_of: Callable[[str], Any], tmp_path: Path) -> None:
    assert failures(plugin_of(SOUND), tmp_path) == {}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_plugin_fails_once_or_twice_by_the_name_of_its_fault(
    plugin_of: Callable[[str], Any], tmp_path: Path, fault: str
) -> None:
    sound, broken, named = BROKEN[fault]
    assert sound in SOUND
    try:
        plugin = plugin_of(SOUND.replace(sound, broken, 1))
    except InvalidPluginError as error:
        said = {"the class": str(error)}
    else:
        said = failures(plugin, tmp_path, all_of_them=bool(repetitions(0, 1)))
    assert 1 <= len(said) <= 2, said
    assert all(re.search(named, each, re.DOTALL) for each in said.values()), said
