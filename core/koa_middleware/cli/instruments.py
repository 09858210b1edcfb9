"""``koa-cal instruments``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from ..exceptions import PluginError
from .arguments import add_json
from .messages import say
from .output import print_json, print_table, print_text

ABOUT = "list the installed plugins"


def add_arguments(command: ArgumentParser) -> None:
    """Add the arguments."""
    add_json(command)


def run(options: Namespace) -> int:
    """Print the installed plugins; one that cannot be used hinders no other."""
    from ..plugins import get_plugin, installed_plugins

    rows, failed = [], {}
    for found in installed_plugins():
        try:
            plugin = get_plugin(found.instrument)
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
