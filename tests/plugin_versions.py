"""Versions of one instrument's plugin, as packages that are installed: what an upgrade is tested with."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from koa_middleware import ORMCalibration

#: A column of the instrument, and the same with its letter case folded.
ARM = 'arm: Mapped[str | None] = fits_column("ARM", String)'
FOLDED = 'arm: Mapped[str | None] = fits_column("ARM", String, fold=True)'

HEAD = """
from koa_middleware import ORMCalibration, fits_column
from sqlalchemy import Boolean, Float, Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

class Demo(ORMCalibration):
    instrument_name = "demo"
"""


class Plugins:
    """Packages of an instrument's plugin, each of a version; their class is `Demo`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.made = 0

    def __call__(self, version: str, body: str = "") -> type[ORMCalibration]:
        self.made += 1
        package = f"demo_of_version_{self.made}"
        lines = "".join(f"    {line}\n" for line in body.strip().splitlines())
        (self.folder / f"{package}.py").write_text(HEAD + lines)
        info = self.folder / f"{package}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
        importlib.invalidate_caches()
        orm_class: type[ORMCalibration] = importlib.import_module(package).Demo
        return orm_class


@contextmanager
def plugins_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Plugins]:
    """Give the packages in a new folder, which Python finds meanwhile."""
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    importlib.invalidate_caches()
    yield Plugins(folder)
    for name in [name for name in sys.modules if name.startswith("demo_of_version_")]:
        del sys.modules[name]
