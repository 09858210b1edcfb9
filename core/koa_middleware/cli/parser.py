"""The commands, put together. A new command is a module of its own and a line here."""

from __future__ import annotations

from argparse import Action, ArgumentError, ArgumentParser, Namespace
from collections.abc import Sequence
from typing import Any, Protocol

from . import (
    affected,
    best,
    bundle_export,
    bundle_import,
    check,
    coverage,
    demo,
    explain,
    flag,
    get,
    instruments,
    list_,
    lock,
    new_plugin,
    prefetch,
    prune,
    publish,
    rebuild,
    refresh,
    register,
    remote_init,
    remove,
    serve,
    show,
    status,
    sync,
    token_add,
    token_list,
    token_revoke,
    verify,
)
from .messages import know_commands
from .version import add_version


class Command(Protocol):
    """What the module of a command holds.

    Attributes
    ----------
    ABOUT : str
        What the command does, for its help: an order, with neither a capital nor a full stop.
    """

    ABOUT: str

    def add_arguments(self, command: ArgumentParser) -> None:
        """Add the command's arguments to its parser."""

    def run(self, options: Namespace) -> int:
        """Run the command; gives the exit code. What takes long to import is imported here."""


#: In the order of the help. A word before a blank is a group.
COMMANDS: dict[str, Command] = {
    "demo": demo,
    "instruments": instruments,
    "register": register,
    "list": list_,
    "show": show,
    "best": best,
    "check": check,
    "coverage": coverage,
    "explain": explain,
    "lock": lock,
    "get": get,
    "flag": flag,
    "affected": affected,
    "remove": remove,
    "verify": verify,
    "refresh": refresh,
    "rebuild": rebuild,
    "sync": sync,
    "publish": publish,
    "prefetch": prefetch,
    "bundle export": bundle_export,
    "bundle import": bundle_import,
    "prune": prune,
    "remote init": remote_init,
    "serve": serve,
    "status": status,
    "new-plugin": new_plugin,
    "token add": token_add,
    "token list": token_list,
    "token revoke": token_revoke,
}

#: Those that take no instrument.
OF_NO_INSTRUMENT = {"instruments", "new-plugin", "token list", "token revoke"}

#: What the commands of a group do.
GROUPS = {
    "bundle": "move calibrations between machines in one tar",
    "remote": "set up the archive's database, for its owner",
    "token": "say who may use a server of the archive, for its owner",
}


class _Once(Action):
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


class _CommandParser(ArgumentParser):
    """The parser of a command, whose options may stand between the names."""

    _is_again = False

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.register("action", None, _Once)
        self.register("action", "store", _Once)

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Namespace | None = None
    ) -> tuple[Namespace, list[str]]:
        """Parse as argparse does; where names are left over, parse again, options first, then all names."""
        found, left = super().parse_known_args(args, namespace)
        if not left or self._is_again or self._subparsers is not None:
            return found, left
        self._is_again = True  # since each of the passes comes back here
        try:
            return self.parse_known_intermixed_args(args)
        finally:
            self._is_again = False


def build_parser() -> ArgumentParser:
    """Build the parser of ``koa-cal``; the options that it gives hold the command's `run`."""
    parser = ArgumentParser(
        prog="koa-cal",
        description="Find, store and move the calibrations of the Keck Observatory's pipelines.",
        epilog="KOA_CALIBRATION_CACHE names the cache folder. koa-cal COMMAND --help shows the options of a command.",
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    add_version(parser)
    know_commands(name for name in COMMANDS if name not in OF_NO_INSTRUMENT)
    groups = {"": _commands(parser)}
    for name, module in COMMANDS.items():
        group, _, word = name.rpartition(" ")
        if group not in groups:
            groups[group] = _commands(_add(groups[""], group, GROUPS[group]))
        command = _add(groups[group], word, module.ABOUT)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser


def _commands(parser: ArgumentParser) -> Any:
    return parser.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=_CommandParser)


def _add(commands: Any, name: str, about: str) -> ArgumentParser:
    command: ArgumentParser = commands.add_parser(name, help=about, description=f"{about[0].upper()}{about[1:]}.")
    return command
