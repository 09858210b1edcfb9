"""Which files may be written into: products, not calibrations."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ...exceptions import ConfigurationError


def check_no_calibration(path: Path, folders: Sequence[Path]) -> None:
    """Check that a path is not that of a calibration, under whatever name or link.

    Parameters
    ----------
    path : pathlib.Path
    folders : sequence of pathlib.Path
        Where the calibrations stand.

    Raises
    ------
    ConfigurationError
    """
    for folder in folders:
        if _is_in(path, folder):
            said = f"{path} is a calibration of the cache {folder.parent}, which no cards are written into."
            raise ConfigurationError(said, "Name a product.", setting="path")


def _is_in(path: Path, folder: Path) -> bool:
    """Whether a file stands in a folder, or a link there leads to it, a hard one too."""
    if Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)):
        return True
    try:
        asked = path.stat()
        with os.scandir(folder) as entries:
            return any(_is_same(entry, asked) for entry in entries)
    except OSError:  # what is wrong with the product, its reader says; a folder that is not there holds nothing
        return False


def _is_same(entry: os.DirEntry[str], asked: os.stat_result) -> bool:
    try:
        return os.path.samestat(entry.stat(), asked)
    except OSError:  # a link to nothing
        return False
