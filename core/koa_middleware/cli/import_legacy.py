"""``koa-cal import-legacy``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from .arguments import add_instrument, add_json
from .context import open_for
from .messages import report_all, say
from .output import counted, print_json, print_text

ABOUT = "bring in a cache of the older koa_middleware"

EXAMPLES = """
# see first what there is
koa-cal import-legacy ~/old-cache --dry-run
koa-cal import-legacy ~/old-cache
"""


def add_arguments(command: ArgumentParser) -> None:
    """Add the arguments."""
    command.add_argument("folder", metavar="FOLDER", help="the cache folder of the older package; it stays as it is")
    command.add_argument("--dry-run", action="store_true", help="take nothing in, only say what would be")
    add_instrument(command)
    add_json(command)


def run(options: Namespace) -> int:
    """Bring a cache in; says what was left."""
    with open_for(Namespace(instrument=options.instrument or _named_by(options.folder))) as store:
        found = store.import_legacy(options.folder, dry_run=options.dry_run)
    for sentence in found.noticed:
        say(sentence)
    report_all({**found.failed, **found.conflicts}, debug=options.debug)
    if options.json:
        print_json({**found.to_dict(), "dry_run": options.dry_run})
    else:
        would = "would be " if options.dry_run else ""
        left = len(found.failed) + len(found.conflicts)
        parts = [f"{len(found.added)} {would}added", f"{len(found.completed)} {would}completed"]
        parts += [f"{len(found.updated)} {would}updated", f"{len(found.unchanged)} unchanged"]
        print_text(", ".join([*parts, counted(left, "file") + " left"]))
    return 0 if found.ok else 1


def _named_by(folder: str) -> str | None:
    """Give the instrument that the name of the only database there has, where its plugin is installed; else None."""
    from ..cache.legacy import databases_in
    from ..disk.reading import user_path
    from ..plugins import available_instruments

    names = {path.name.removesuffix("_calibrations.db").lower() for path in databases_in(user_path(folder))}
    known = sorted(names & set(available_instruments()))
    return known[0] if len(known) == 1 else None
