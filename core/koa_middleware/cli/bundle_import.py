"""``koa-cal bundle import``."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from typing import BinaryIO

from ..exceptions import ConfigurationError
from .arguments import add_json
from .context import open_for
from .messages import report_all, say
from .output import print_json, print_text

ABOUT = "read calibrations and their files from a tar"

EXAMPLES = """
koa-cal bundle import darks.tar
"""


def add_arguments(command: ArgumentParser) -> None:
    """Add the arguments."""
    command.add_argument("file", metavar="FILE.tar", help="- for standard input")
    command.add_argument(
        "-i", "--instrument", metavar="NAME", help="the instrument; default: the one that the bundle is of"
    )
    add_json(command)


def run(options: Namespace) -> int:
    """Import a bundle; says what was not imported."""
    from ..cache.bundle_file import instrument_of
    from ..disk.reading import user_path

    is_file = options.file != "-"
    named = options.instrument or (instrument_of(user_path(options.file)) if is_file else None)
    with open_for(Namespace(instrument=named)) as store:
        report = store.import_bundle(_standard_input() if options.file == "-" else options.file)
    report_all({**report.failed, **report.conflicts})
    if report.kept:
        said = (
            "was flagged here since; its quality stays"
            if len(report.kept) == 1
            else "were flagged here since; their qualities stay"
        )
        say(f"{', '.join(report.kept)} {said}")
    if options.json:
        print_json(report.to_dict())
    else:
        counts = (report.added, report.completed, report.updated, report.unchanged)
        words = ("added", "completed", "updated", "unchanged")
        print_text(", ".join(f"{len(names)} {word}" for names, word in zip(counts, words, strict=True)))
    return 0 if report.ok else 1


def _standard_input() -> BinaryIO:
    if sys.stdin is None or sys.stdin.isatty():
        raise ConfigurationError(
            "Standard input is closed or a terminal, so no bundle comes from it.",
            "Name a file, or pipe one: koa-cal bundle import - < FILE.tar.",
            setting="file",
            variable=None,
        )
    return sys.stdin.buffer
