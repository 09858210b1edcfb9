"""The file of a figure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...disk.targets import Kind, check_target, target_file
from ...exceptions import ConfigurationError, SourceFileError

#: First bytes of a figure, by the ending of its name.
_FORMS = {".png": b"\x89PNG", ".pdf": b"%PDF", ".svg": b"<?xml"}

#: Dots of an inch, and most of a side of a picture that matplotlib draws.
_DOTS, _MOST_DOTS = 200, 60_000


def write_figure(figure: Any, target: Path, overwrite: bool) -> None:
    """Write a figure in the form that the name says; an existing one is replaced only on request."""
    dots = min(_DOTS, _MOST_DOTS / max(figure.get_size_inches()))
    with target_file(target, FIGURE, overwrite=overwrite) as sink:
        figure.savefig(sink, format=target.suffix[1:].lower(), dpi=dots, facecolor=figure.get_facecolor())


def check_figure_target(path: Path, overwrite: bool) -> None:
    """Check that a figure may be written here: only one of its form is replaced, and that only when asked."""
    if path.suffix.lower() not in _FORMS:
        said = f"The name {path.name} does not end with .png, .pdf or .svg."
        raise ConfigurationError(said, "Name the figure so that its ending says its form.", setting="path")
    check_target(path, FIGURE, overwrite=overwrite)


def _check_form(path: Path) -> None:
    form = _FORMS[path.suffix.lower()]
    with path.open("rb") as file:
        if file.read(len(form)) != form:
            raise SourceFileError(f"{path} is no figure of that form.", "Name a figure.", path=path)


FIGURE = Kind("figure of that form", "koa-cal coverage", _check_form)
