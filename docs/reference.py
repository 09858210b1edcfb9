"""The command line's and the API's pages of the site, made from the parser and from the public names."""

from __future__ import annotations

import inspect
from argparse import SUPPRESS, Action, ArgumentParser
from collections.abc import Iterable, Iterator
from pathlib import Path

import koa_middleware
from koa_middleware import testing
from koa_middleware.cli.parser import build_parser
from sphinx.application import Sphinx

_ABOUT_THE_API = "Made from the docstrings. Everything here is public; all else may change."


def write(folder: Path) -> None:
    """Write both pages."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "commands.md").write_text("\n\n".join(_commands()) + "\n", "utf-8")
    (folder / "api.rst").write_text("\n".join(_api()), "utf-8")


def say_it_here(_app: Sphinx, _kind: str, name: str, _value: object, _options: object, lines: list[str]) -> None:
    """Leave out what a library's docstrings say of an object of ours."""
    if name == "koa_middleware.hookimpl":
        lines[:] = ["Decorator of a plugin's hook, the function ``koa_register_instrument``."]
    if any(line.startswith("Alias for field number") for line in lines):
        lines.clear()


def _commands() -> Iterator[str]:
    parser = build_parser()
    yield "# Every command and its options"
    yield "Made from `koa-cal` itself. [The command line](/command-line.md) shows each command at work."
    yield _usage(parser)
    yield _options(action for action in parser._actions if action.option_strings)
    for name, command in _below(parser):
        yield f"## `koa-cal {name}`"
        yield command.description or ""
        yield f"[The guide](/command-line.md#koa-cal-{name.replace(' ', '-')}) shows it at work."
        yield _usage(command)
        yield _options(command._actions)
        if command.epilog:
            yield f"```text\n{command.epilog}\n```"


def _below(parser: ArgumentParser, above: str = "") -> Iterator[tuple[str, ArgumentParser]]:
    """Give each command by its whole name, those of a group too."""
    for action in parser._actions:
        for word, command in action.choices.items() if isinstance(action.choices, dict) else ():
            yield from list(_below(command, f"{above}{word} ")) or [(f"{above}{word}", command)]


def _usage(parser: ArgumentParser) -> str:
    return f"```text\n{parser.format_usage().removeprefix('usage: ').rstrip()}\n```"


def _options(actions: Iterable[Action]) -> str:
    rows = [
        f"| {_name(action)} | {(action.help % vars(action)) if action.help else ''} |"
        for action in actions
        if action.help != SUPPRESS and action.dest != "help"
    ]
    return "\n".join(["| argument | meaning |", "| --- | --- |", *rows]) if rows else ""


def _name(action: Action) -> str:
    value = action.metavar or ("|".join(map(str, action.choices)) if action.choices else action.dest.upper())
    value = (value if isinstance(value, str) else " ".join(value)).replace("|", "\\|")
    if not action.option_strings:
        return f"`{value}`"
    taken = "" if action.nargs == 0 else f" {value}"
    return ", ".join(f"`{option}{taken}`" for option in action.option_strings)


def _api() -> Iterator[str]:
    public = {name: getattr(koa_middleware, name) for name in koa_middleware.__all__}
    errors = [name for name, value in public.items() if inspect.isclass(value) and issubclass(value, Exception)]
    warnings = [name for name in errors if issubclass(public[name], Warning)]
    yield f"The API\n=======\n\n{_ABOUT_THE_API}\n"
    yield from _summary("Store, rules and plugins", "koa_middleware", [name for name in public if name not in errors])
    yield from _summary("Errors", "koa_middleware", [name for name in errors if name not in warnings])
    yield from _summary("Warnings", "koa_middleware", warnings)
    yield from _summary("For tests of plugins", "koa_middleware.testing", testing.__all__)


def _summary(heading: str, module: str, names: Iterable[str]) -> Iterator[str]:
    yield from [heading, "-" * len(heading), "", f".. currentmodule:: {module}", ""]
    yield from [".. autosummary::", "   :toctree: api", "   :nosignatures:", "", *(f"   {name}" for name in names), ""]
