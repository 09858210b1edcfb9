"""What a new plugin may be called."""

from __future__ import annotations

import keyword
import re
from pathlib import Path

from ..exceptions import ConfigurationError
from ..instrument.keywords import means
from ..plugins import available_instruments, installed_plugins

#: How long a name may be: tables and their indexes are named after it.
_LONGEST = 30


def check_name(name: str) -> None:
    """Check that an instrument that is to be made can have a name.

    Raises
    ------
    ConfigurationError
        Says what is wrong with it, and which name would do.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        meant = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
        begins = re.match("[a-z]", meant) is not None
        raise _refused(
            f"{name!r} is no name of an instrument: it has other characters than a-z, 0-9 and _, or begins with none "
            "of a-z.",
            f"Type koa-cal new-plugin {meant}." if begins else "Give it a name such as myspec.",
        )
    if keyword.iskeyword(name):
        raise _refused(
            f"{name} is a word of Python, which names no instrument.", f"Type koa-cal new-plugin {name}spec."
        )
    if len(name) > _LONGEST:
        raise _refused(f"{name} has {len(name)} characters; a name has {_LONGEST} at most.", "Give it a shorter one.")
    for found in installed_plugins():
        if found.instrument == name:
            package = f"{found.distribution} {found.version}".strip()
            raise _refused(f"The instrument {name} has a plugin already: {package} is installed.", "Give another name.")


def others_named(instrume: str, name: str) -> list[str]:
    """Give the installed instruments, but the one of a name, that a value of ``INSTRUME`` means."""
    return [other for other in available_instruments() if other != name and means(instrume, [other])]


def folder_for(name: str, parent: Path) -> Path:
    """Make the folder of a new plugin's package.

    Raises
    ------
    ConfigurationError
        When there is something of that name, or it cannot be made.
    """
    folder = parent / f"koa-middleware-{name}"
    try:
        folder.mkdir()
    except FileExistsError:
        hint = "Type the command in another folder, or move that one away."
        raise _refused(f"{folder} exists already; nothing was written.", hint) from None
    except OSError as error:
        raise _refused(f"{folder} cannot be made: {error.strerror}.", "Type the command in another folder.") from error
    return folder


def _refused(said: str, hint: str) -> ConfigurationError:
    return ConfigurationError(said, hint, setting="NAME", variable=None)
