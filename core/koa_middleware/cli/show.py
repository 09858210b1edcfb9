"""``koa-cal list``, ``show`` and ``flag``."""

from __future__ import annotations

from argparse import Namespace

from ..database.flags import flags_of
from .context import open_for
from .output import print_json, print_table, print_text


def list_records(options: Namespace) -> int:
    """Print the newest records, the newest last, and how many there are."""
    with open_for(options) as store:
        bounds = (options.type, options.since, options.until)
        records = store.local_db.query(*bounds, newest=options.limit)
        total = store.local_db.count(*bounds)
        if options.json:
            print_json({"total": total, "records": [record.to_dict() for record in records]})
        elif records:
            rows = [(r.cal_type, r.filename, r.datetime_obs, r.quality, r.origin) for r in records]
            print_table(("type", "calibration", "observed (UTC)", "quality", "origin"), rows)
        if not options.json:
            print_text(f"the newest {len(records)} of {total}" if len(records) < total else f"{total} calibrations")
    return 0 if records else 1


def show(options: Namespace) -> int:
    """Print one record and what was said of its quality."""
    with open_for(options) as store:
        record = store.local_db.find(options.name)
        with store.local_db.connect() as connection:
            flags = flags_of(connection, store.orm_class, record.id)
        place = str(store.get_local_filepath(record)) if store.calibration_in_cache(record) else None
        if options.json:
            print_json({**record.to_dict(), "path": place, "flags": flags})
        else:
            rows = [(name, "" if value is None else value) for name, value in record.to_dict().items()]
            print_table(("column", "value"), [*rows, ("path", place or "not in the cache")], title=record.filename)
            for flag in flags:
                print_text(f"{flag['quality']} by {flag['flagged_by']} at {flag['flagged_at']}: {flag['reason']}")
    return 0


def flag(options: Namespace) -> int:
    """Set a record's quality."""
    with open_for(options) as store:
        record = store.flag(options.name, options.quality, options.reason)
        if options.json:
            print_json(record.to_dict())
        else:
            print_text(f"{record.filename} is {record.quality}: {options.reason}")
    return 0
