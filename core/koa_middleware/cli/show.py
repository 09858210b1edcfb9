"""``koa-cal show``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from .arguments import add_instrument, add_json
from .context import open_for
from .output import print_json, print_table, print_text

ABOUT = "show one calibration's record"


def add_arguments(command: ArgumentParser) -> None:
    """Add the arguments."""
    command.add_argument("name", metavar="ID_OR_FILENAME")
    add_instrument(command)
    add_json(command)


def run(options: Namespace) -> int:
    """Print one record and what was said of its quality."""
    from ..database.feed import judgements_of

    with open_for(options) as store:
        record = store.known_db.find(options.name)
        with store.local_db.connect() as connection:
            judgements = judgements_of(connection, store.orm_class, record.id)
        place = str(store.get_local_filepath(record)) if store.calibration_in_cache(record) else None
    if options.json:
        flags = [
            {"calibration_id": record.id, "quality": quality, "reason": why, "flagged_by": who, "flagged_at": at}
            for quality, who, why, at in judgements
        ]
        print_json({**record.to_dict(), "path": place, "flags": flags})
    else:
        rows = [(name, "" if value is None else value) for name, value in record.to_dict().items()]
        print_table(("column", "value"), [*rows, ("path", place or "not in the cache")], title=record.filename)
        for quality, who, why, at in judgements:
            print_text(f"{quality} by {who} at {at}: {why or 'no reason given'}")
    return 0
