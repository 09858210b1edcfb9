"""``koa-cal sync``, ``publish``, ``prefetch`` and ``remote init``."""

from __future__ import annotations

import shutil
from argparse import Namespace

from ..exceptions import ConfigurationError
from ..remote.postgres.schema import grants, initialise
from . import say
from .context import open_for
from .output import print_conflicts, print_json, print_text, size


def sync(options: Namespace) -> int:
    """Bring the local database up to date; names what is in conflict."""
    with open_for(options) as store:
        result = store.sync_from_remote(full=options.full)
        if options.json:
            print_json(
                {
                    "added": result.added,
                    "changed": result.changed,
                    "withdrawn": result.withdrawn,
                    "full": result.full,
                    "conflicts": [vars(conflict) for conflict in result.conflicts],
                }
            )
        else:
            print_text(f"{result.added} added, {result.changed} changed, {result.withdrawn} withdrawn")
            print_conflicts(result.conflicts)
    return 0


def publish(options: Namespace) -> int:
    """Send LOCAL records to the archive."""
    with open_for(options) as store:
        records = [store.local_db.find(name) for name in options.names] or None
        result = store.publish(records, upload_to=options.upload)
        if options.json:
            counts = {"published": result.published, "unchanged": result.unchanged}
            print_json({**counts, "renamed": dict(result.renamed)})
        else:
            print_text(f"{result.published} published, {result.unchanged} unchanged")
            for old, new in result.renamed.items():
                print_text(f"{old} is {new} now")
    return 0


def prefetch(options: Namespace) -> int:
    """Download ahead; says beforehand how much will come."""
    with open_for(options, options.frames) as store:
        bounds = (options.since or options.night, options.until or options.night)
        if not options.frames and bounds == (None, None):
            raise ConfigurationError(
                "Nothing says what is wanted.",
                "Give frames, or --night, or --since and --until.",
                setting="frames",
                variable=None,
            )
        types = None if options.types is None else [name.lower() for name in options.types]
        found = store.query(None, *bounds) if bounds != (None, None) else []
        found = [one for one in found if one.quality != "BAD" and (types is None or one.cal_type in types)]
        wanted = store.wanted(options.frames, types, found)
        number, coming = len({record.filename for record in wanted.records}), store.missing_size(wanted.records)
        free = shutil.disk_usage(store.cache_dir).free
        say(f"{number} calibrations, {size(coming)} to come, {size(free)} free on the disk")
        report = store.prefetch(records=wanted.records, workers=options.workers)
        report.unmatched.update(wanted.unmatched)
        for name, failure in [*report.failed.items(), *report.unmatched.items()]:
            say(f"{name}: {failure}")
        if options.json:
            print_json(report.to_dict())
        else:
            print_text(f"{len(report.downloaded)} downloaded, {size(report.size)}; {len(report.cached)} were here")
    return 0 if report.ok and wanted.records else 1


def init(options: Namespace) -> int:
    """Create the instrument's table on the server, and print the grants that its owner gives."""
    with open_for(options) as store:
        remote = store.require_remote()
        with remote.translated_errors():
            initialise(remote.engine, store.orm_class.table())
            statements = grants(remote.engine, store.orm_class.table(), options.reader, options.publisher)
        if options.json:
            print_json({"table": store.orm_class.table().name, "database": remote.name, "grants": statements})
        else:
            table = store.orm_class.table().name
            say(f"{table} is set up on {remote.name}; its owner now grants the roles their rights:")
            for statement in statements:
                print_text(statement)
    return 0
