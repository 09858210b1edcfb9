"""``koa-cal list``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from .arguments import add_as_of, add_instrument, add_json, add_times, positive
from .context import open_for
from .output import counted, print_json, print_table, print_text, quality_in_words

ABOUT = "list the newest calibrations"

_ON_A_TERMINAL = 100
"""Calibrations that a table shows where nothing else is said."""


def add_arguments(command: ArgumentParser) -> None:
    """Add the arguments."""
    command.add_argument("--type", metavar="T", help="only this cal type")
    add_times(command)
    command.add_argument(
        "--limit", metavar="N", type=positive, help=f"list at most this many ({_ON_A_TERMINAL}; with --json all)"
    )
    add_as_of(command)
    add_instrument(command)
    add_json(command)


def run(options: Namespace) -> int:
    """Print the newest records, the newest last, and how many there are."""
    with open_for(options) as store:
        bounds = (options.type, options.since, options.until)
        limit = options.limit or (None if options.json else _ON_A_TERMINAL)
        known = store.known_at(options.as_of)
        records = known.query(*bounds, newest=limit)
        total = known.count(*bounds)
        judged = known.judged_here()
    if options.json:
        own = {id_: said.quality for id_, said in judged.items()}
        listed = [{**record.to_dict(), "judged_here": own.get(record.id)} for record in records]
        print_json({"total": total, "records": listed})
    else:
        if records:
            rows = [
                (r.cal_type, r.filename, r.datetime_obs, quality_in_words(r, judged.get(r.id)), r.origin)
                for r in records
            ]
            print_table(("type", "calibration", "observed (UTC)", "quality", "origin"), rows)
        all_here = len(records) == total
        print_text(counted(total, "calibration") if all_here else f"the newest {len(records)} of {total}")
    return 0 if records else 1
