"""What the user is told besides the result: on stderr, one line each."""

from __future__ import annotations

import re
import shutil
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import quote

from ..display import printable

_known: list[str] = []
"""The instrument that the command is about, once it is known."""

_commands: list[str] = []
"""The commands that take an instrument."""


#: An argument in Python, beside which its option stands.
_IN_PYTHON = re.compile(r"\b\w+=True \((koa-cal [^)]+)\)")


class StoppedError(KeyboardInterrupt):
    """Ctrl-C, in words of what was done until then."""


def know_commands(names: Iterable[str]) -> None:
    """Say which commands take an instrument, for hints that name one."""
    _commands[:] = names


def set_instrument(name: str | None) -> None:
    """Say which instrument the command is about, for hints that name a command; None: it is not known yet."""
    _known[:] = [name] if name else []


def say(message: str) -> None:
    """Tell the user something, on stderr, in one line; a terminal gets it broken at blanks."""
    line = f"koa-cal: {printable(' '.join(as_typed(message).split()))}"
    width = shutil.get_terminal_size().columns if sys.stderr.isatty() else 0
    if width and len(line) > width:
        line = textwrap.fill(line, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
    print(line, file=sys.stderr)  # noqa: T201


def as_typed(message: str) -> str:
    """Give a message as the shell has it: of what Python and the shell call differently, the shell's alone.

    The commands that it names can be typed as they are, also where several instruments are installed.
    """
    return _with_instrument(_IN_PYTHON.sub(r"\1", message))


def _with_instrument(message: str) -> str:
    if not _known or "koa-cal " not in message or " -i " in message:
        return message
    from ..plugins import available_instruments

    if len(available_instruments()) < 2:
        return message
    return re.sub(rf"\bkoa-cal (?:{'|'.join(_commands)})\b", rf"\g<0> -i {_known[0]}", message)


def say_of(name: str, message: str) -> None:
    """Tell the user something about a file; its name stands before a message that does not begin with it."""
    say(message if message.startswith(f"{name} ") else f"{name}: {message}")


def say_left_out(left_out: Mapping[str, Sequence[str]]) -> None:
    """Tell the user which types were not asked for, and how to ask for them."""
    for cal_type, columns in left_out.items():
        needed = " ".join(f"--set {name}=..." for name in columns)
        say(f"{cal_type} is left out; ask for it with --type {cal_type} {needed}")


def report_all(failed: Mapping[str, Exception | str], *, debug: bool = False) -> None:
    """Say what failed, by file; a cause that hits many is told once, with their number, and then their names."""
    for said, names in by_cause(failed).items():
        if len(names) == 1:
            (name,) = names
            if isinstance(error := failed[name], Exception):
                report(error, name, debug=debug)
            else:
                say_of(name, error)
            continue
        say(f"{len(names)} files: {said}")
        for name in names:
            print(f"  {printable(name)}", file=sys.stderr)  # noqa: T201


def report_alike(failed: Mapping[str, tuple[str, str]], begin: str = "") -> None:
    """Say what failed, by cal type, of files; a cause that hits many is told once, and then their types and names.

    Parameters
    ----------
    failed : mapping
        By cal type, the file's name, empty where it has none, and what is said of it.
    begin : str
        Stands before each message.
    """
    causes: dict[str, list[str]] = {}
    for cal_type, (name, said) in failed.items():
        causes.setdefault(without_name(said, name) if name else said, []).append(cal_type)
    for said, types in causes.items():
        if len(types) == 1:
            say(f"{begin}{types[0]}: {failed[types[0]][1]}")
            continue
        say(f"{begin}{len(types)} files: {said}")
        for cal_type in types:
            print(f"  {cal_type}: {printable(failed[cal_type][0])}".rstrip(": "), file=sys.stderr)  # noqa: T201


def by_cause(failed: Mapping[str, Exception | str]) -> dict[str, list[str]]:
    """Give the names of what failed by what is said of them, where FILE stands for the name."""
    causes: dict[str, list[str]] = {}
    for name, error in failed.items():
        causes.setdefault(without_name(str(error), name), []).append(name)
    return causes


def without_name(said: str, name: str) -> str:
    """Give what is said of a file with FILE in the place of its path, its name, and its name in a URL."""
    last = name.rpartition("/")[2]
    in_urls = [quote(each, errors="surrogateescape") for each in (name, last)]
    forms = "|".join(re.escape(form) for form in dict.fromkeys((name, last, *in_urls)) if form)
    return re.sub(rf"(?<![\w.-])(?:{forms})(?![\w-])", "FILE", said)


def report(error: Exception, name: str = "", *, debug: bool) -> None:
    """Say an error, of a file where one is named, in one line, below its traceback where that is wanted."""
    if debug:
        import traceback

        traceback.print_exception(error)
    if name:
        say_of(name, str(error))
    else:
        say(str(error))
