"""``koa-cal rebuild``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from .arguments import add_instrument, add_json
from .context import choose_instrument
from .messages import say
from .output import print_json, print_table, print_text

ABOUT = "rebuild a lost or damaged database"

EXAMPLES = """
koa-cal rebuild
"""


def add_arguments(command: ArgumentParser) -> None:
    """Add the arguments."""
    add_instrument(command)
    add_json(command)


def run(options: Namespace) -> int:
    """Make the database anew; says where its records came from, and what is lost."""
    from ..store import CalibrationStore

    report = CalibrationStore.rebuild(choose_instrument(options.instrument).ORM)
    if options.json:
        print_json({**report.to_dict(), "ok": report.ok})
    elif not report.fault:
        print_text(f"{report.database} is sound; nothing was changed")
    else:
        done = "was completed" if report.is_completed else "was made anew"
        print_text(f"{report.database} {done}: {report.fault}")
        if report.set_aside is not None:
            print_text(f"the spoilt one is {report.set_aside}")
        sources = {
            "the old database": report.from_old,
            "copies beside it": report.from_copies,
            "the archive": report.from_archive,
            "files alone": report.from_files,
        }
        print_table(("records of", ""), sources.items())
        if report.lost:
            for said in dict.fromkeys(report.lost.values()):
                names = [name for name, each in report.lost.items() if each == said]
                print_table((said,), [(name,) for name in names])
    for sentence in report.noticed:
        say(sentence)
    return 0 if report.ok else 1
