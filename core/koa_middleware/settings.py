"""Settings of a store: argument, then environment variable, then default.

The only reader of ``os.environ``. Nothing is read at import; a store reads its settings when it is made.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

from .exceptions import ConfigurationError
from .former_names import under_present_names

CACHE_DIR = "KOA_CALIBRATION_CACHE"
INSTRUMENT = "KOA_INSTRUMENT"
LOCAL_DATABASE_FILENAME = "KOA_LOCAL_DATABASE_FILENAME"
SHARED_CACHE_DIR = "KOA_SHARED_CALIBRATION_CACHE"
USE_CACHED = "KOA_USE_CACHED_CALIBRATIONS"
REMOTE_DATABASE_URL = "KOA_REMOTE_DATABASE_URL"
CALIBRATION_URL = "KOA_CALIBRATION_URL"
OFFLINE = "KOA_OFFLINE"
ACCESS_TOKEN = "KOA_ACCESS_TOKEN"  # noqa: S105 - the variable's name
COOKIE_FILE = "KOA_COOKIE_FILE"

#: All variables that are read.
VARIABLES = (
    CACHE_DIR,
    INSTRUMENT,
    LOCAL_DATABASE_FILENAME,
    SHARED_CACHE_DIR,
    USE_CACHED,
    REMOTE_DATABASE_URL,
    CALIBRATION_URL,
    OFFLINE,
    ACCESS_TOKEN,
    COOKIE_FILE,
)

_TRUE = frozenset({"true", "1", "yes", "on"})
_FALSE = frozenset({"false", "0", "no", "off"})

#: What stands in URLs and logins, and hardly ever in names.
_OF_URLS = re.compile(r"[@:?=]|^//")

T = TypeVar("T")


@dataclass(frozen=True)
class Settings:
    """What a store works with.

    Attributes
    ----------
    cache_dir : pathlib.Path
        Absolute.
    local_database_filename : str
        A plain file name.
    use_cached : bool
    remote_database_url, calibration_url : str or None
        Secrets may stand in them, so they are not part of the repr.
    offline : bool
    shared_cache_dir : pathlib.Path or None
        Absolute; of a read-only cache under the user's own.
    access_token, cookie_file
        Credentials for the file server.
    """

    cache_dir: Path
    local_database_filename: str
    use_cached: bool = True
    remote_database_url: str | None = field(default=None, repr=False)
    calibration_url: str | None = field(default=None, repr=False)
    offline: bool = False
    shared_cache_dir: Path | None = None
    access_token: str | None = field(default=None, repr=False)
    cookie_file: Path | None = None

    @property
    def shared_database(self) -> Path | None:
        """Where the shared cache's database is, or would be, of the same name as the user's own; None without one."""
        folder = self.shared_cache_dir
        return None if folder is None else folder / "database" / self.local_database_filename


def resolve(
    instrument_name: str,
    *,
    cache_dir: str | os.PathLike[str] | None = None,
    local_database_filename: str | None = None,
    use_cached: bool | str | None = None,
    remote_database_url: str | None = None,
    calibration_url: str | None = None,
    offline: bool | str | None = None,
    shared_cache_dir: str | os.PathLike[str] | None = None,
) -> Settings:
    """Settings of a store of one instrument.

    Each comes from the argument, else from its environment variable, else from the default. An empty or blank
    string and the word ``None`` (any letter case) mean "not set". Former variables count, with a DeprecationWarning.

    Raises
    ------
    ConfigurationError
        Where no cache folder is named, a boolean is not one, or the database name is a path.
    """
    environ = under_present_names(os.environ)
    folder = _pick(cache_dir, CACHE_DIR, environ, _folder)
    if folder is None:
        raise ConfigurationError(
            "No cache folder is set.",
            f"Set the environment variable {CACHE_DIR} or pass cache_dir.",
            setting="cache_dir",
            variable=CACHE_DIR,
        )
    cached = _pick(use_cached, USE_CACHED, environ, _boolean)
    off = _pick(offline, OFFLINE, environ, _boolean)
    shared = _pick(shared_cache_dir, SHARED_CACHE_DIR, environ, _folder)
    return Settings(
        cache_dir=folder,
        local_database_filename=_pick(local_database_filename, LOCAL_DATABASE_FILENAME, environ, _plain_name)
        or f"{instrument_name}_calibrations.db",
        use_cached=True if cached is None else cached,
        remote_database_url=_pick(remote_database_url, REMOTE_DATABASE_URL, environ, _text),
        calibration_url=_pick(calibration_url, CALIBRATION_URL, environ, _text),
        offline=False if off is None else off,
        shared_cache_dir=None if shared == folder else shared,
        access_token=_pick(None, ACCESS_TOKEN, environ, _text),
        cookie_file=_pick(None, COOKIE_FILE, environ, _folder),
    )


def named_instrument() -> str | None:
    """Give the instrument that the environment names for the command line; None where it names none."""
    return _pick(None, INSTRUMENT, os.environ, _text)


def wants_completion() -> bool:
    """Tell whether a shell asks for what may be typed next."""
    return "_ARGCOMPLETE" in os.environ


def as_age(given: timedelta | float | str | None) -> timedelta | None:
    """Read the age from which a store syncs: a timedelta, or seconds as number or text; None where it is not set.

    Raises
    ------
    ConfigurationError
        When it is anything else, or negative.
    """
    if given is None or (isinstance(given, str) and given.strip().lower() in {"", "none"}):
        return None
    try:
        if isinstance(given, bool | bytes):
            raise TypeError
        age = given if isinstance(given, timedelta) else timedelta(seconds=float(given))
        if age < timedelta(0):
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise ConfigurationError(
            f"sync_if_older_than is {_shown(given)}, which is not an age.",
            "Give a datetime.timedelta, or a number of seconds.",
            setting="sync_if_older_than",
        ) from None
    return age


def _pick(argument: object, variable: str, environ: Mapping[str, str], parse: Callable[[str, str], T]) -> T | None:
    """Parse the first of argument and variable that is set.

    No message repeats a value: whoever mixes up two variables may have a URL with a password in any of them.
    """
    for value, name in (
        (argument, f"The argument for {variable}"),
        (environ.get(variable), variable),
    ):
        if value is None:
            continue
        text = str(value) if parse is _boolean else _as_text(value, name)
        if text.strip() and text.strip().lower() != "none":
            return parse(text, name)
    return None


def _as_text(value: object, name: str) -> str:
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if isinstance(value, bytes):
        return os.fsdecode(value)
    if isinstance(value, str):
        return value
    raise _unusable(name, f"is {_shown(value)}", "Give text.")


def _text(text: str, name: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _unusable(name, "holds characters that are not text", "Write it again.") from None
    return text.strip()


def _boolean(text: str, name: str) -> bool:
    word = text.strip().lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise _unusable(name, "is neither true nor false", "Use one of true, false, 1, 0, yes, no, on, off.")


def _plain_name(text: str, name: str) -> str:
    text = _text(text, name)
    if text in {".", ".."} or any(character in text for character in "/\\\0"):
        hint = "Give a file name only; the file is kept in the database folder of the cache."
        raise _unusable(name, "is a path", hint)
    if _OF_URLS.search(text):
        raise _unusable(name, "may be a URL or a login, not a file name", "Give a file name without @, :, ? and =.")
    return text


def _folder(text: str, name: str) -> Path:
    """Give a path, absolute."""
    if "://" in text:
        raise _unusable(name, "is a URL, not a path", "Give an absolute path.")
    try:
        os.fsencode(text)
        if "\0" in text:
            raise ValueError
    except ValueError:
        raise _unusable(name, "holds characters that no path can have", "Give an absolute path.") from None
    try:
        path = Path(text).expanduser()
        if not is_plainly_a_path(text):
            raise _unusable(name, "may be a URL or a login, not a path", "Give an absolute path.")
        return Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow links
    except (RuntimeError, OSError) as error:
        raise _unusable(
            name, "begins with the home of a user whom this machine does not know", "Give an absolute path."
        ) from error


def is_plainly_a_path(text: str) -> bool:
    """Whether text is no URL and no login: it has no sign of one, or begins as a path does or with what exists here.

    Raises
    ------
    RuntimeError
        When it begins with the home of a user whom this machine does not know.
    """
    if "://" in text:
        return False
    path = Path(text).expanduser()
    if text.startswith(("./", "../")) or (path.is_absolute() and not text.startswith("//")):
        return True
    return not _OF_URLS.search(text) or os.path.lexists(Path(*path.parts[: 1 + path.is_absolute()]))


def _shown(value: object) -> str:
    """Give a value as messages may show it."""
    known = value is None or isinstance(value, int | float | timedelta)
    return repr(value) if known else f"of the type {type(value).__name__}"


def _unusable(name: str, fault: str, hint: str) -> ConfigurationError:
    return ConfigurationError(f"{name} {fault}.", hint, setting=name, variable=name)
