"""Where files come from without HTTP: folders, and object stores through fsspec."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import IO
from urllib.parse import urlsplit

from ..disk.reading import check_plain, path_of_url
from ..exceptions import CacheError, ConfigurationError, KoaMiddlewareError
from .addresses import shown
from .attempt import Attempt, StoppedError
from .partial import TakenOver
from .responses import CHECK_URL, Setback

#: Reads what it needs of an open file; gives what kept it from that.
Use = Callable[[IO[bytes]], Setback | None]


def receive_file(attempt: Attempt) -> Setback | None:
    """Read a file URL; tell what kept it from bringing all bytes."""
    attempt.restart()
    return _with_file(attempt.transfer.url, lambda source: attempt.copy(source.read))


def receive_object(attempt: Attempt) -> Setback | None:
    """Read from an object store, through fsspec, which is an extra; tell what kept it from bringing all bytes.

    Raises
    ------
    ConfigurationError
        When the package for that kind of store is not installed.
    """
    attempt.restart()
    return _with_object(attempt.transfer.url, lambda source: attempt.copy(source.read))


def probe(url: str) -> Setback | None:
    """Open a file, or an object, and read its first byte; tell what kept it from that.

    Raises
    ------
    ConfigurationError
        As in `receive_object`.
    """
    return (_with_file if urlsplit(url).scheme == "file" else _with_object)(url, _begin)


def _begin(source: IO[bytes]) -> None:
    source.read(1)


def _with_file(url: str, use: Use) -> Setback | None:
    try:
        path = path_of_url(url)
        check_plain(path)
        with path.open("rb") as source:
            return use(source)
    except CacheError:
        raise
    except OSError as error:
        hint = "Check KOA_CALIBRATION_URL, and that its folder is mounted and readable."
        return Setback(f"the file cannot be read: {error.strerror}", hint, permanent=True)


def _with_object(url: str, use: Use) -> Setback | None:
    try:
        fsspec = importlib.import_module("fsspec")
        with fsspec.open(url, "rb") as source:
            return use(source)
    except (KoaMiddlewareError, TakenOver, StoppedError):
        raise
    except ImportError as error:
        raise ConfigurationError(
            f"{shown(url)} needs a package that is not installed ({error}).",
            "pip install 'koa-middleware[s3]', or the package of fsspec for that kind of store.",
            setting="calibration_url",
            variable="KOA_CALIBRATION_URL",
        ) from error
    except Exception as error:  # noqa: BLE001 - each kind of store has errors of its own
        known = isinstance(error, FileNotFoundError | PermissionError | ValueError)
        return Setback(f"{type(error).__name__}: {error}", CHECK_URL, permanent=known)
