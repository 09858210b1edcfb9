"""The commands, put together. A new command is a module of its own and a line here."""

from __future__ import annotations

import re
import shlex
from argparse import Action, ArgumentError, ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Iterable, Sequence, Set
from importlib import import_module
from itertools import dropwhile, takewhile
from typing import Any, NoReturn, Protocol, cast

from ..exceptions import did_you_mean
from .messages import know_commands
from .version import add_version

#: The options that stand before a command.
_OWN_OPTIONS = ("--debug", "--version", "--help", "-h")


class Command(Protocol):
    """What the module of a command holds.

    Attributes
    ----------
    ABOUT : str
        What the command does, for its help: an order, with neither a capital nor a full stop.
    EXAMPLES : str
        What may be typed, one command a line; a line that begins with ``#`` says what the next one is for.
    """

    ABOUT: str
    EXAMPLES: str

    def add_arguments(self, command: ArgumentParser) -> None:
        """Add the command's arguments to its parser."""

    def run(self, options: Namespace) -> int:
        """Run the command; gives the exit code. What takes long to import is imported here."""


#: The module of each command, in the order of the help. A word before a blank is a group.
COMMANDS = {
    "demo": "demo",
    "instruments": "instruments",
    "register": "register",
    "list": "list_",
    "show": "show",
    "best": "best",
    "check": "check",
    "coverage": "coverage",
    "explain": "explain",
    "lock": "lock",
    "get": "get",
    "flag": "flag",
    "affected": "affected",
    "remove": "remove",
    "verify": "verify",
    "refresh": "refresh",
    "rebuild": "rebuild",
    "sync": "sync",
    "publish": "publish",
    "prefetch": "prefetch",
    "bundle export": "bundle_export",
    "bundle import": "bundle_import",
    "prune": "prune",
    "remote init": "remote_init",
    "serve": "serve",
    "status": "status",
    "completion": "completion",
    "new-plugin": "new_plugin",
    "import-legacy": "import_legacy",
    "token add": "token_add",
    "token list": "token_list",
    "token revoke": "token_revoke",
}

#: Those that take no instrument.
OF_NO_INSTRUMENT = {"completion", "instruments", "new-plugin", "token list", "token revoke"}

#: What the commands of a group do.
GROUPS = {
    "bundle": "move calibrations between machines in one tar",
    "remote": "set up the archive's database, for its owner",
    "token": "say who may use a server of the archive, for its owner",
}


#: Below the help: what holds for all commands.
_EPILOG = """\
koa-cal COMMAND --help, or koa-cal help COMMAND, shows the options of a command and examples.
KOA_CALIBRATION_CACHE names the cache folder, KOA_INSTRUMENT the instrument where -i is left out.
Exit codes: 0 done; 1 nothing matched, or a check failed; 2 wrong usage or configuration; 130 stopped by Ctrl-C;
141 whoever read the output went away."""


def command_module(name: str) -> Command:
    """Import a command."""
    return cast(Command, import_module(f".{COMMANDS[name]}", __package__))


class UsageError(Exception):
    """What was typed is no command.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        Whose usage tells what is.
    message : str
    """

    def __init__(self, parser: ArgumentParser, message: str) -> None:
        super().__init__(message)
        self.usage = parser.format_usage()


class Once(Action):
    """Take an option's value; refuse a second one, of which argparse would take the last."""

    def __call__(
        self,
        parser: ArgumentParser,  # noqa: ARG002
        namespace: Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Take the value."""
        given: set[str] = vars(namespace).setdefault("given_once", set())
        if option_string is not None and self.dest in given:
            raise ArgumentError(self, "it is given twice; give it once")
        given.add(self.dest)
        setattr(namespace, self.dest, values)


class _Parser(ArgumentParser):
    """A parser that raises what is wrong, since JSON may be wanted of it."""

    def error(self, message: str) -> NoReturn:
        """Refuse what was typed."""
        if found := re.fullmatch(r"argument (\S+): ignored explicit argument (.*)", message):
            message = f"argument {found[1]}: it takes no value, and {found[2]} is given"
        raise UsageError(self, message)


class _CommandParser(_Parser):
    """The parser of a command, whose options may stand between the names."""

    _is_again = False

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.register("action", None, Once)
        self.register("action", "store", Once)

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Namespace | None = None
    ) -> tuple[Namespace, list[str]]:
        """Parse as argparse does; where names are left over, parse again, options first, then all names."""
        found, left = super().parse_known_args(args, namespace)
        if not left or self._is_again or self._subparsers is not None:
            return found, left
        self._is_again = True  # since each of the passes comes back here
        try:
            found, left = self.parse_known_intermixed_args(args)
        finally:
            self._is_again = False
        if left:
            self.error(self._unknown(left))
        return found, left

    def _unknown(self, words: Sequence[str]) -> str:
        """Say which words mean nothing here, and what was meant by the first option among them."""
        known = [option for action in self._actions for option in action.option_strings]
        option = next((word.partition("=")[0] for word in words if word.startswith("-")), "")
        said = did_you_mean(option, known) if option else ""
        return f"unrecognized arguments: {' '.join(words)}. {said}".rstrip(" .")


def parse(words: Sequence[str]) -> Namespace:
    """Read what was typed; the options that this gives hold the command's `run`.

    Raises
    ------
    UsageError
        When it is no command of ours.
    """
    if words[:1] == ["help"]:
        words = [*words[1:], "--help"]
    parser = build_parser(words)
    _check_command(parser, words)
    return parser.parse_args(words or ["--help"])


def _check_command(parser: ArgumentParser, words: Sequence[str]) -> None:
    """Check that the command is one, of a group one of its commands, and that it stands before its options."""
    first, second, *_ = [*_named(words), "", ""]
    known = {name.partition(" ")[0] for name in COMMANDS} | {"help"}
    if before := _before(words, known):
        typed = shlex.join([*words[words.index(before[0]) + len(before) :], *before])
        parser.error(f"{before[0]} stands before the command. Options stand after it: koa-cal {typed}")
    if first not in known and _named(words):
        parser.error(
            f"{first or shlex.quote(first)} is no command. {did_you_mean(first, known)}koa-cal --help lists them."
        )
    below = [name.partition(" ")[2] for name in COMMANDS if name.startswith(f"{first} ")]
    if below and second and second not in below:
        hint = did_you_mean(second, below) or f"There are {', '.join(below)}."
        parser.error(f"{first} {second} is no command. {hint}".rstrip())


def _before(words: Sequence[str], known: Set[str]) -> list[str]:
    """Give the words before a command, where they begin with an option that ``koa-cal`` itself does not have."""
    others = list(dropwhile(lambda word: any(own.startswith(word) for own in _OWN_OPTIONS), words))
    before = list(takewhile(lambda word: word not in known, others))
    return before if len(before) < len(others) and before[:1] and before[0].startswith("-") else []


def _named(words: Sequence[str]) -> list[str]:
    """Give the words that are no options of ``koa-cal`` itself."""
    return [word for word in words if not word.startswith("-")]


def build_parser(words: Sequence[str] = ()) -> ArgumentParser:
    """Build the parser of ``koa-cal``; where the words name a command, that of this command alone is complete."""
    parser = _Parser(
        prog="koa-cal",
        description="Find, store and move the calibrations of the Keck Observatory's pipelines.",
        epilog=_EPILOG,
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    add_version(parser)
    know_commands(name for name in COMMANDS if name not in OF_NO_INSTRUMENT)
    groups = {"": _commands(parser)}
    for name in _asked(words):
        module = command_module(name)
        group, _, word = name.rpartition(" ")
        if group not in groups:
            groups[group] = _commands(_add(groups[""], group, GROUPS[group]))
        command = _add(groups[group], word, module.ABOUT, module.EXAMPLES)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser


def _asked(words: Sequence[str]) -> Iterable[str]:
    """Give the commands that words ask for, those of a group together; all where they name none."""
    first = next(iter(_named(words)), "")
    return [name for name in COMMANDS if name.partition(" ")[0] == first] or COMMANDS


def _commands(parser: ArgumentParser) -> Any:
    return parser.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=_CommandParser)


def _add(commands: Any, name: str, about: str, examples: str = "") -> ArgumentParser:
    indented = "".join(f"\n  {line}" for line in examples.strip().splitlines())
    command: ArgumentParser = commands.add_parser(
        name,
        help=about,
        description=f"{about[0].upper()}{about[1:]}.",
        epilog=f"examples:{indented}" if examples else None,
        formatter_class=RawDescriptionHelpFormatter,
    )
    return command
