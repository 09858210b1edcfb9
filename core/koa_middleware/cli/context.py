"""Which instrument a command is about, and its store."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..disk.fits import is_fits_name
from ..disk.reading import check_readable
from ..exceptions import ConfigurationError
from ..instrument.headers import open_headers
from ..opening import open_store
from ..plugins import InstrumentPlugin, available_instruments, get_plugin
from ..store import CalibrationStore


def open_for(options: Namespace, files: Iterable[str] = ()) -> CalibrationStore[Any]:
    """Open the store of the command's instrument."""
    return open_store(choose_instrument(options.instrument, files).name)


def choose_instrument(name: str | None, files: Iterable[str] = ()) -> InstrumentPlugin:
    """Give the plugin of the named instrument; else of the first file's ``INSTRUME``; else the only one installed.

    Raises
    ------
    ConfigurationError
        When nothing decides.
    UnknownInstrumentError, InvalidPluginError
        When the decided one is not installed or cannot be used.
    """
    if name:
        return get_plugin(name)
    said = next(filter(None, map(said_instrument, files)), None)
    if said:
        return get_plugin(said)
    installed = available_instruments()
    if len(installed) == 1:
        return get_plugin(installed[0])
    raise ConfigurationError(
        f"Nothing says which instrument is meant; installed: {', '.join(installed) or 'none'}.",
        "Name it by -i." if installed else "Install an instrument's package, for instance koa-middleware[NAME].",
        setting="instrument",
        variable=None,
    )


def said_instrument(file: str) -> str:
    """Give the ``INSTRUME`` of a file's header; empty where it has none, or is no FITS file.

    Raises
    ------
    SourceFileError
        When the file cannot be read.
    """
    path = Path(file).expanduser()
    check_readable(path)
    if not is_fits_name(path.name):
        return ""
    with open_headers(path) as headers:
        return str(headers.get("INSTRUME") or "").strip()
