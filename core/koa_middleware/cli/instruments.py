"""``koa-cal instruments``."""

from __future__ import annotations

import threading
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from ..exceptions import InvalidPluginError, PluginError
from .arguments import add_json
from .context import what_plugins_print_on_stderr
from .messages import say
from .output import print_json, print_table, print_text

if TYPE_CHECKING:
    from ..plugins import Installed, InstrumentPlugin

ABOUT = "list the installed plugins"

#: Seconds that a plugin may take to load before it is listed as not answering.
PATIENCE = 10.0


def add_arguments(command: ArgumentParser) -> None:
    """Add the arguments."""
    add_json(command)


def run(options: Namespace) -> int:
    """Print the installed plugins; one that cannot be used hinders no other."""
    from ..plugins import installed_plugins

    rows, failed = [], {}
    for found in installed_plugins():
        try:
            plugin = _loaded(found)
        except PluginError as error:
            failed[found.instrument] = str(error)
            say(str(error))
        else:
            rows.append((*found, plugin.database_filename, list(plugin.ORM.cal_types or plugin.selectors)))
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


def _loaded(found: Installed) -> InstrumentPlugin:
    """Load a plugin in a thread, which is left behind where the import does not end.

    Raises
    ------
    PluginError
        When it cannot be used, or does not answer.
    """
    from ..plugins import get_plugin

    outcome: list[InstrumentPlugin | BaseException] = []

    def load() -> None:
        try:
            outcome.append(get_plugin(found.instrument))
        except BaseException as error:  # noqa: BLE001 - it is raised in the thread that waits
            outcome.append(error)

    thread = threading.Thread(target=load, daemon=True)
    with what_plugins_print_on_stderr():
        thread.start()
        thread.join(PATIENCE)
    if not outcome:
        package = f"{found.distribution}=={found.version}"
        raise InvalidPluginError(
            f"The plugin {found.instrument} of {package} does not answer: it was not loaded in {PATIENCE:g} s.",
            "Fix, update or uninstall that package.",
            instrument=found.instrument,
            distribution=package,
        )
    if isinstance(outcome[0], BaseException):
        raise outcome[0]
    return outcome[0]
