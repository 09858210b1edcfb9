"""``koa-cal prune``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from . import arguments
from .arguments import add_instrument, add_json
from .context import open_for
from .messages import say
from .output import counted, print_json, print_text, size

ABOUT = "remove files that can be downloaded again"

EXAMPLES = """
# files that can come again and were not used for two months
koa-cal prune --older-than 60 --dry-run
koa-cal prune --max-size 20GB
"""


def add_arguments(command: ArgumentParser) -> None:
    """Add the arguments."""
    command.add_argument("--max-size", metavar="SIZE", type=arguments.size, help="keep at most this much, such as 20GB")
    command.add_argument(
        "--older-than", metavar="DAYS", type=arguments.days, help="remove files not used for this many days"
    )
    command.add_argument("--type", metavar="T", help="only this cal type")
    command.add_argument("--dry-run", action="store_true", help="remove nothing, only say what would go")
    add_instrument(command)
    add_json(command)


def run(options: Namespace) -> int:
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
        removed = "would remove" if report.dry_run else "removed"
        files = f"{counted(len(report.removed), 'file')} ({size(report.size)})"
        leftovers = f"{counted(len(report.leftovers), 'leftover')} ({size(report.leftover_size)})"
        print_text(f"{removed} {files} and {leftovers}; {size(report.size_left)} left")
    if report.in_use:
        files = "1 file in use" if len(report.in_use) == 1 else f"{len(report.in_use)} files in use, such as"
        say(f"kept {files} {report.in_use[0]}")
    if report.unseen:
        files = "1 file" if len(report.unseen) == 1 else f"{len(report.unseen)} files, such as"
        say(f"kept {files} {report.unseen[0]}: {_why_unseen(store.settings.calibration_url)}")
    missed = options.max_size is not None and report.size_left > options.max_size
    if missed:
        why = "those files are LOCAL, in use, another instrument's too, or could not come again"
        say(f"{size(report.size_left)} cannot be removed: {why}")
    return 1 if missed else 0


def _why_unseen(calibration_url: str | None) -> str:
    from ..fetch.addresses import Address

    if calibration_url is None:
        return "no calibration URL is set, so it could not come again (KOA_CALIBRATION_URL)"
    folder = Address(calibration_url).folder
    if folder is not None and not folder.is_dir():
        return f"the archive's folder {folder} is not there; is its disk mounted?"
    return "the archive was not seen to have it (koa-cal publish --upload FOLDER)"
