"""``koa-cal verify``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .arguments import add_instrument, add_json
from .context import open_to_read
from .messages import without_name
from .output import counted, print_json, print_table, print_text

if TYPE_CHECKING:
    from ..cache.verify import VerificationReport

ABOUT = "compare the cached files with their records"

EXAMPLES = """
koa-cal verify
# see first what a repair would do
koa-cal verify --repair --dry-run
"""


#: What it is, the file, what is to be said of it, and what was done.
Row = tuple[str, str, str, str]


def add_arguments(command: ArgumentParser) -> None:
    """Add the arguments."""
    command.add_argument(
        "--repair", action="store_true", help="download bad and lost files again, and remove what killed processes left"
    )
    command.add_argument("--dry-run", action="store_true", help="repair nothing, only say what a repair would do")
    add_instrument(command)
    add_json(command)


def run(options: Namespace) -> int:
    """Compare files with records."""
    with open_to_read(options) as store:
        report = store.verify(repair=options.repair, dry_run=options.dry_run)
    if options.json:
        print_json(report.to_dict())
        return 0 if report.ok else 1
    rows = _told_once(list(_rows(report)))
    if rows:
        is_mended = options.repair or options.dry_run
        columns = ("what", "file", "found", "repair") if is_mended else ("what", "file", "found")
        print_table(columns, [row[: len(columns)] for row in rows])
    print_text(_summary(report, store.cache_dir))
    return 0 if report.ok else 1


def _told_once(rows: Sequence[Row]) -> list[Row]:
    """Put files of which the same is found into one row, their names one below the other, each in one line."""
    from ..display import printable

    found: dict[Row, list[str]] = {}
    for what, name, said, done in rows:
        found.setdefault((what, "", without_name(said, name), without_name(done, name)), []).append(name)
    given = {(what, name): (said, done) for what, name, said, done in rows}
    told: list[Row] = []
    for (what, _, said, done), names in found.items():
        shown = "\n".join(map(printable, names))
        one = given[what, names[0]]
        said, done = one if len(names) == 1 else (f"{len(names)} files: {said}", done)
        told.append((what, shown, printable(said), printable(done)))
    return told


def _rows(report: VerificationReport) -> Iterator[Row]:
    """Give what was found, the faults first: what it is, the file, what is to be said of it, and what was done."""
    for line in report.database:
        yield "fault", "the database", f"{line} koa-cal rebuild makes it anew.", ""
    for name, fault in report.bad.items():
        done = report.actions.get(name, "")
        yield "fault", name, fault.removesuffix(f"; {done}"), done
    for name, said in report.rows.items():
        yield "fault", name, said, report.actions.get(name, "")
    for name in report.missing:
        yield "fault", name, "its file is missing, and the archive does not have it", report.actions.get(name, "")
    for name in report.gone:
        yield "not here", name, "its file was here; it can be downloaded again", report.actions.get(name, "")
    for conflict in report.conflicts:
        yield "conflict", conflict.filename, f"the archive's {conflict.id} is kept apart: {conflict.reason}", ""
    for name in report.without_record:
        like = report.same_content.get(name, [])
        said = (
            f"no record names this file; it has the content of {', '.join(like)}"
            if like
            else "no record names this file"
        )
        yield "unknown", name, said, report.actions.get(name, "")
    for path in report.leftovers:
        yield "leftover", path, "a killed process left it; it goes by itself after a day", report.actions.get(path, "")
    if report.quarantine:
        folder = str(Path(report.quarantine[0]).parent)
        yield "quarantine", folder, f"{counted(len(report.quarantine), 'file')} moved aside", ""


def _summary(report: VerificationReport, cache: Path) -> str:
    """Say it all in one line."""
    parts = [f"{counted(report.checked, 'file')} checked in {cache}"]
    if report.repaired:
        parts.append(f"{len(report.repaired)} repaired")
    if report.not_here:
        parts.append(f"{counted(report.not_here, 'file')} of the archive not downloaded")
    if report.unchecked:
        parts.append(f"{counted(len(report.unchecked), 'file')} without a checksum")
    return ", ".join([*parts, counted(report.faults, "fault")])
