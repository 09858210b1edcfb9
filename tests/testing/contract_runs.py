"""The contract's tests, run on a plugin in this process."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
from koa_middleware import KoaMiddlewareError
from koa_middleware.testing import PluginContract

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
