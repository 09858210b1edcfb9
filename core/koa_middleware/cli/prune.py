"""``koa-cal prune``."""

from __future__ import annotations

from argparse import Namespace

from . import say
from .context import open_for
from .output import print_json, print_text, size


def prune(options: Namespace) -> int:
    """Free space; says what went, and what could not."""
    with open_for(options) as store:
        report = store.prune(
            max_size=options.max_size, older_than=options.older_than, cal_type=options.type, dry_run=options.dry_run
        )
        if options.json:
            print_json(report.to_dict())
        else:
            for name in report.removed:
                print_text(name)
            verb = "would go" if report.dry_run else "removed"
            freed = f"{len(report.removed)} files, {size(report.size)}"
            leftovers = f"{len(report.leftovers)} leftovers, {size(report.leftover_size)}"
            print_text(f"{verb}: {freed}; {leftovers}; {size(report.size_left)} stay")
        if report.in_use:
            say(f"{len(report.in_use)} files are in use and stay, such as {report.in_use[0]}")
        missed = options.max_size is not None and report.size_left > options.max_size
        if missed:
            say(f"what stays is LOCAL, of another instrument too, or in use: {size(report.size_left)}")
    return 1 if missed else 0
