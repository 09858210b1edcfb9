"""``koa-cal publish``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..exceptions import IntegrityError
from ..fetch.progress import how_far
from .arguments import add_instrument, add_json
from .context import open_for, paths_given
from .messages import StoppedError, say
from .output import print_json, print_text

if TYPE_CHECKING:
    from ..instrument.orm import ORMCalibration
    from ..remote.publish import PublishResult
    from ..store import CalibrationStore

ABOUT = "send LOCAL calibrations to the archive"

EXAMPLES = """
# all LOCAL calibrations, with their files
koa-cal publish --upload /archive/calibrations
# these alone; see first what would go
koa-cal publish master-dark.001.fits --dry-run
"""


def add_arguments(command: ArgumentParser) -> None:
    """Add the arguments."""
    command.add_argument("names", nargs="*", metavar="ID_OR_FILENAME", help="default: all LOCAL ones")
    command.add_argument(
        "--upload",
        metavar="FOLDER",
        help="first copy the files that the archive may lack to this folder, a path or a file:// URL",
    )
    command.add_argument("--dry-run", action="store_true", help="send nothing, only say what would go")
    add_instrument(command)
    add_json(command)


def run(options: Namespace) -> int:
    """Send LOCAL records to the archive."""
    with open_for(options) as store:
        records = [store.local_db.find(name) for name in paths_given(options.names)] or None
        given = store.local_db.query(origin="LOCAL") if records is None else records
        try:
            result = store.publish(records, upload_to=options.upload, dry_run=options.dry_run)
        except IntegrityError as error:
            if error.result is not None and not options.json:
                _print(options, error.result)
            raise
        except KeyboardInterrupt:
            raise StoppedError(_stopped(store, given)) from None
    _print(options, result)
    return 0


def _stopped(store: CalibrationStore[Any], given: Sequence[ORMCalibration]) -> str:
    """Say how far an interrupted publication came; the archive may have taken in what is not known here yet."""
    left = {record.id for record in store.local_db.query(origin="LOCAL")}
    local = [record.id for record in given if record.origin == "LOCAL"]
    said = " after ".join(filter(None, ["interrupted", how_far()]))
    done = sum(id_ not in left for id_ in local)
    return f"{said}; {done} of {len(local)} are known as published; publish again, which doubles nothing"


def _print(options: Namespace, result: PublishResult) -> None:
    if options.json:
        print_json(
            {
                "published": result.published,
                "unchanged": result.unchanged,
                "dry_run": options.dry_run,
                "new": result.new,
                "renamed": dict(result.renamed),
                "not_uploaded": result.not_uploaded,
            }
        )
    else:
        for name in result.new if options.dry_run else []:
            print_text(name)
        published = "would be published" if options.dry_run else "published"
        print_text(f"{result.published} {published}, {result.unchanged} unchanged")
        would_be = "would be" if options.dry_run else "is"
        for old, new in result.renamed.items():
            why = ", since the archive has other content of its name or version" if old in result.new else " already"
            print_text(f"{old} {would_be} published as {new}{why}")
    if names := result.not_uploaded:
        files = "1 file is" if len(names) == 1 else f"{len(names)} files are"
        say(f"{files} not uploaded; koa-cal publish --upload FOLDER copies what is missing: {', '.join(names)}")
