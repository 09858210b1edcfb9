"""``koa-cal new-plugin``: write the package of a new instrument's plugin."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from .messages import say
from .output import counted, print_exactly, print_text

ABOUT = "write the package of a new instrument's plugin, which installs and passes its tests"

EXAMPLES = """
koa-cal new-plugin myspec
# columns and keywords from the header of one of your frames
koa-cal new-plugin myspec --header frame.fits
"""


def add_arguments(command: ArgumentParser) -> None:
    """Add the arguments."""
    command.add_argument("name", metavar="NAME", help="the instrument's name: a-z, 0-9 and _, such as myspec")
    command.add_argument("--header", metavar="FITS", help="take columns and keywords from this file's headers")


def run(options: Namespace) -> int:
    """Write the package into a new folder of the working directory."""
    from dataclasses import replace

    from .. import __version__
    from ..disk.reading import user_path
    from ..new_plugin.columns import PLAIN, suggested_by
    from ..new_plugin.names import check_name, folder_for, others_named
    from ..new_plugin.writing import write_package

    check_name(options.name)
    suggestion = PLAIN if options.header is None else suggested_by(user_path(options.header))
    for other in others_named(suggestion.instrume, options.name):
        say(f"The header's INSTRUME is {other}'s, whose plugin is installed; set instrume_values yourself.")
        suggestion = replace(suggestion, instrume="")
    folder = folder_for(options.name, Path.cwd())
    written = write_package(folder, options.name, suggestion, __version__)
    print_text(f"{counted(len(written), 'file')} written into {folder.name}")
    named = ", ".join(column.name for column in suggestion.columns)
    print_text(f"columns: {named or 'the common ones alone'}")
    if suggestion.left_out:
        keywords = counted(len(suggestion.left_out), "other keyword")
        print_text(f"{keywords} of the header listed in src/koa_middleware_{options.name}/orm.py")
    print_exactly(f"next: python3 -m pip install -e './{folder.name}[test]' && python3 -m pytest {folder.name}")
    return 0
