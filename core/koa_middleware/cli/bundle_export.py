"""``koa-cal bundle export`` and ``bundle import``."""

from __future__ import annotations

from argparse import Namespace

from ..exceptions import ConfigurationError
from . import say
from .context import open_for
from .output import print_json, print_text, size


def export(options: Namespace) -> int:
    """Write chosen calibrations and their files into one tar."""
    bounds = (options.type, options.since, options.until)
    if not options.names and bounds == (None, None, None):
        raise ConfigurationError(
            "Nothing says what is wanted.",
            "Give ids or file names, or --type, --since or --until.",
            setting="names",
            variable=None,
        )
    with open_for(options) as store:
        records = [store.local_db.find(name) for name in options.names]
        if bounds != (None, None, None):
            records += store.query(*bounds)
        if not records:
            say("nothing matches; no bundle was written")
            return 1
        report = store.export_bundle(options.file, records)
        if options.json:
            print_json(report.to_dict())
        else:
            print_text(f"{len(report.exported)} calibrations, {size(report.size)}, in {report.path}")
    return 0


def import_(options: Namespace) -> int:
    """Take in what a bundle holds; says what was not taken in."""
    with open_for(options) as store:
        report = store.import_bundle(options.file)
        for name, reason in report.failed.items():
            say(f"{name}: {reason}")
        for reason in report.conflicts.values():
            say(reason)
        if options.json:
            print_json(report.to_dict())
        else:
            counts = (report.added, report.completed, report.updated, report.unchanged)
            words = ("added", "completed", "updated", "unchanged")
            print_text(", ".join(f"{len(names)} {word}" for names, word in zip(counts, words, strict=True)))
    return 0 if report.ok else 1
