"""``koa-cal verify``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from .arguments import add_instrument, add_json
from .context import open_for
from .output import counted, print_json, print_table, print_text

ABOUT = "compare the cached files with their records"


def add_arguments(command: ArgumentParser) -> None:
    """Add the arguments."""
    command.add_argument("--repair", action="store_true", help="download bad files again")
    add_instrument(command)
    add_json(command)


def run(options: Namespace) -> int:
    """Compare files with records."""
    with open_for(options) as store:
        found = store.verify(repair=options.repair)
    if options.json:
        print_json(found.to_dict())
    else:
        faults = [*found.bad.items(), *((name, "missing") for name in found.missing)]
        rows = [(name, fault, "repaired" if name in found.repaired else "") for name, fault in faults]
        if rows:
            print_table(("file", "fault", ""), rows)
        print_text(f"{counted(found.checked, 'file')} checked in {store.cache_dir}, {counted(len(rows), 'fault')}")
        for path in found.leftovers:
            print_text(f"left by a killed process, goes by itself after a day: {path}")
        for name in found.without_record:
            print_text(f"no record names this file: {name}")
    return 0 if found.ok else 1
