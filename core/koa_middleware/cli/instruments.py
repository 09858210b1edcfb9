"""``koa-cal instruments``."""

from __future__ import annotations

import os
import time
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING, Any, NamedTuple

from ..exceptions import InvalidPluginError, PluginError
from .arguments import add_json
from .context import load_plugin
from .messages import say
from .output import print_json, print_table, print_text

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.context import ForkProcess

    from ..plugins import Installed

ABOUT = "list the installed plugins"

EXAMPLES = """
koa-cal instruments
koa-cal instruments --json
"""

#: Seconds that the plugins may take to load before one is listed as not answering.
PATIENCE = 10.0


class _Asked(NamedTuple):
    """A process that loads a plugin, and the end of the pipe on which it answers."""

    found: Installed
    process: ForkProcess
    answer: Connection


def add_arguments(command: ArgumentParser) -> None:
    """Add the arguments."""
    add_json(command)


def run(options: Namespace) -> int:
    """Print the installed plugins; one that cannot be used hinders no other."""
    from ..plugins import installed_plugins

    rows, failed = [], {}
    asked = [_ask(found) for found in installed_plugins()]
    deadline = time.monotonic() + PATIENCE
    for one in asked:
        try:
            rows.append((*one.found, *_answer(one, deadline)))
        except PluginError as error:
            failed[one.found.instrument] = str(error)
            say(str(error))
    names = ("instrument", "package", "version", "database", "cal_types")
    if options.json:
        print_json({"instruments": [dict(zip(names, row, strict=True)) for row in rows], "failed": failed})
    elif rows:
        print_table(
            ("instrument", "package", "version", "default database", "cal types"),
            [(*row[:-1], " ".join(row[-1])) for row in rows],
        )
    elif not failed:
        print_text("No instrument's plugin is installed.")
    return 1 if failed else 0


def _ask(found: Installed) -> _Asked:
    """Load a plugin in a process of its own, which it may end, or leave without its streams."""
    import multiprocessing

    context = multiprocessing.get_context("fork")
    answer, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_load, args=(found.instrument, theirs), daemon=True)
    process.start()
    theirs.close()
    return _Asked(found, process, answer)


def _load(instrument: str, theirs: Connection) -> None:
    """Load a plugin; sends the name of its database and its types, or the error why it cannot be used."""
    os.dup2(2, 1)  # what is written there are results, and a plugin's words are none
    try:
        plugin = load_plugin(instrument)
        theirs.send((plugin.database_filename, [*map(str, plugin.ORM.cal_types or plugin.selectors)]))
    except PluginError as error:
        theirs.send(error)
    except KeyboardInterrupt:  # of the plugin's own: the user's reaches the process that waits, too
        os._exit(130)


def _answer(asked: _Asked, deadline: float) -> Any:
    """Wait for what is said of a plugin.

    Raises
    ------
    PluginError
        When it cannot be used, does not answer, or ended the process.
    """
    try:
        is_there = asked.answer.poll(max(0.0, deadline - time.monotonic()))
        said = asked.answer.recv() if is_there else f"does not answer: it was not loaded in {PATIENCE:g} s"
    except EOFError:
        said = "cannot be used: it ends the process that loads it"
    finally:
        asked.process.kill()
        asked.process.join()
        asked.answer.close()
    if isinstance(said, str):
        package = f"{asked.found.distribution}=={asked.found.version}"
        raise InvalidPluginError(
            f"The plugin {asked.found.instrument} of {package} {said}.",
            "Fix, update or uninstall that package.",
            instrument=asked.found.instrument,
            distribution=package,
        )
    if isinstance(said, PluginError):
        raise said
    return said
