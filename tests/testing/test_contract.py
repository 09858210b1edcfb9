"""What `PluginContract` finds: a sound plugin passes, and each broken one fails where its fault is named."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from koa_middleware import InvalidPluginError, ORMCalibration, fits_column
from koa_middleware.testing.faults import faults_of_derive
from sqlalchemy import String
from sqlalchemy.orm import Mapped

from tests.conftest import repetitions
from tests.testing.broken_plugins import BROKEN, SOUND
from tests.testing.contract_runs import failures

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


def test_a_derive_that_overrides_text_of_its_own_column_is_named() -> None:
    class Overriding(ORMCalibration):
        instrument_name = "overriding"
        mode: Mapped[str | None] = fits_column((), String)

        @classmethod
        def derive(cls, values: Mapping[str, Any]) -> dict[str, Any]:
            return {**values, "mode": "x"}

    assert any("as mode, which is given as 'xx' and stays so" in fault for fault in faults_of_derive(Overriding, []))
