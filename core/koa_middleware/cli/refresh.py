"""``koa-cal refresh``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from .arguments import add_instrument, add_json
from .context import open_for
from .messages import say
from .output import counted, print_json, print_table, print_text

ABOUT = "derive columns of LOCAL records again, after an upgrade of the plugin"

EXAMPLES = """
koa-cal refresh --dry-run
# read the headers again, after the plugin has learnt a keyword
koa-cal refresh --from-files
"""


def add_arguments(command: ArgumentParser) -> None:
    """Add the arguments."""
    command.add_argument("--from-files", action="store_true", help="read the headers of the files that are here again")
    command.add_argument("--dry-run", action="store_true", help="change nothing, only say what would")
    add_instrument(command)
    add_json(command)


def run(options: Namespace) -> int:
    """Make LOCAL records anew; says what changed."""
    with open_for(options) as store:
        report = store.refresh(from_files=options.from_files, dry_run=options.dry_run)
    if options.json:
        print_json(report.to_dict())
    else:
        rows = [
            (name, column, change.before, change.after)
            for name, columns in report.changed.items()
            for column, change in columns.items()
        ]
        if rows:
            print_table(("file", "column", "before", "after"), rows)
        would = "would change" if report.dry_run else "changed"
        print_text(f"{counted(len(report.changed), 'record')} of {report.checked} {would}")
    for name, why in report.failed.items():
        say(f"{name} stays as it is: {why}")
    if report.not_here:
        say(f"not here, so not read: {counted(len(report.not_here), 'file')}, such as {report.not_here[0]}")
    return 0 if report.ok else 1
