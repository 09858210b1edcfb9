"""The file of a figure."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

from ...disk.writing import whole_file
from ...exceptions import ConfigurationError

#: First bytes of a figure, by the ending of its name.
_FORMS = {".png": b"\x89PNG", ".pdf": b"%PDF", ".svg": b"<?xml"}

#: Dots of an inch, and most of a side of a picture that matplotlib draws.
_DOTS, _MOST_DOTS = 200, 60_000


def write_figure(figure: Any, target: Path, overwrite: bool) -> None:
    """Write a figure in the form that the name says; one of that name is replaced only when that is asked for."""
    dots = min(_DOTS, _MOST_DOTS / max(figure.get_size_inches()))
    try:
        with whole_file(target, replace=overwrite) as sink:
            figure.savefig(sink, format=target.suffix[1:].lower(), dpi=dots, facecolor=figure.get_facecolor())
    except FileExistsError:
        raise _exists(target) from None


def check_target(path: Path, overwrite: bool) -> None:
    """Check that a figure may be written here: only one of its form is replaced, and that only when asked."""
    form = _FORMS.get(path.suffix.lower())
    if form is None:
        said = f"The name {path.name} does not end with .png, .pdf or .svg."
        raise ConfigurationError(said, "Name the figure so that its ending says its form.", setting="path")
    try:
        status = path.lstat()
    except OSError:  # there is none, or what is wrong is told when it is written
        return
    if not stat.S_ISREG(status.st_mode):
        said = f"{path} is not a plain file, so no figure is written in its place."
        raise ConfigurationError(said, "Name a new file.", setting="path")
    if not overwrite:
        raise _exists(path)
    with path.open("rb") as file:
        begin = file.read(len(form))
    if begin not in (b"", form):
        said = f"{path} is no figure of that form, so none is written in its place."
        raise ConfigurationError(
            said, "Name a new file; only a figure or an empty file is overwritten.", setting="path"
        )


def _exists(path: Path) -> ConfigurationError:
    return ConfigurationError(
        f"There is a file {path} already.",
        "Name another one, or say overwrite=True (koa-cal coverage --overwrite) to replace it.",
        setting="path",
    )
