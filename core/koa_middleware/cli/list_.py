"""``koa-cal list``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..exceptions import ConfigurationError
from .arguments import add_as_of, add_instrument, add_json, add_times, assignment, positive
from .context import columns_named, open_to_read, values_wanted
from .output import counted, print_json, print_table, print_text, quality_in_words

if TYPE_CHECKING:
    from ..instrument.judged import Said
    from ..instrument.orm import ORMCalibration
    from ..store import CalibrationStore

ABOUT = "list the newest calibrations"

EXAMPLES = """
# the newest good darks of a month
koa-cal list --type dark --quality good --since 2026-02-01 --until 2026-02-28
# by columns of the instrument, those whose files are on this disk
koa-cal list --where spectrograph=BSPEC --columns filename,datetime_obs,cal_version --cached
"""

_ON_A_TERMINAL = 100
"""Calibrations that a table shows where nothing else is said."""

_HEADS = {"cal_type": "type", "filename": "calibration", "datetime_obs": "observed (UTC)"}
"""What columns are called above a table."""


def add_arguments(command: ArgumentParser) -> None:
    """Add the arguments."""
    command.add_argument("--type", metavar="T", help="only this cal type")
    command.add_argument(
        "--where",
        metavar="COLUMN=VALUE",
        action="append",
        default=[],
        type=assignment,
        help="only those with this value, or with COLUMN= those without one; may be repeated, and all must hold",
    )
    command.add_argument(
        "--quality",
        type=str.lower,
        choices=("good", "bad", "unknown"),
        help="only those of this quality, as it was judged here where it was",
    )
    add_times(command)
    command.add_argument("--cached", action="store_true", help="only those whose files are on this disk")
    command.add_argument("--columns", metavar="COLUMNS", help="print these columns, such as filename,mjd_start")
    command.add_argument(
        "--limit", metavar="N", type=positive, help=f"list at most this many ({_ON_A_TERMINAL}; with --json all)"
    )
    add_as_of(command)
    add_instrument(command)
    add_json(command)


def run(options: Namespace) -> int:
    """Print the newest records, the newest last, and how many there are."""
    with open_to_read(options) as store:
        columns = columns_named(store, options.columns.split(","), "--columns") if options.columns else []
        where = _where(store, options)
        bounds = (where.pop("cal_type", options.type), options.since, options.until)
        limit = options.limit or (None if options.json else _ON_A_TERMINAL)
        known = store.among_cached().known_db if options.cached else store.known_at(options.as_of)
        judged = known.judged_here()
        if options.quality is not None and not judged:
            where["quality"] = options.quality
        if options.quality is None or not judged:
            records, total = known.query(*bounds, newest=limit, **where), known.count(*bounds, **where)
        else:
            records = [each for each in known.query(*bounds, **where) if _quality(each, judged) == options.quality]
            total, records = len(records), records[-(limit or len(records)) :]
    if options.json:
        own = {id_: said.quality for id_, said in judged.items()}
        listed = [{**_asked_of(record, columns), "judged_here": own.get(record.id)} for record in records]
        print_json({"total": total, "records": listed})
    else:
        if records:
            names = columns or ["cal_type", "filename", "datetime_obs", "quality", "origin"]
            heads = [_HEADS.get(name, name) for name in names]
            print_table(heads, [[_cell(each, name, judged) for name in names] for each in records])
        all_here = len(records) == total
        print_text(counted(total, "calibration") if all_here else f"the newest {len(records)} of {total}")
    return 0 if records else 1


def _where(store: CalibrationStore[Any], options: Namespace) -> dict[str, Any]:
    """Give what the columns must hold."""
    if options.cached and options.as_of is not None:
        said = "--cached and --as-of are both given."
        hint = "Leave one out: what is on this disk is known of the present alone."
        raise ConfigurationError(said, hint, setting="--cached", variable=None)
    wanted = values_wanted(store, options.where)
    if options.type is not None and "cal_type" in wanted:
        said = "--type and --where cal_type=... are both given."
        raise ConfigurationError(said, "Leave one of them out.", setting="--where", variable=None)
    return wanted


def _quality(record: ORMCalibration, judged: Mapping[str, Said]) -> str:
    """Give a record's quality, as it was judged here where it was."""
    own = judged.get(record.id)
    return str(record.quality if own is None else own.quality).lower()


def _asked_of(record: ORMCalibration, columns: list[str]) -> dict[str, Any]:
    values = record.to_dict()
    return {name: values[name] for name in columns} if columns else values


def _cell(record: ORMCalibration, name: str, judged: Mapping[str, Said]) -> object:
    if name == "quality":
        return quality_in_words(record, judged.get(record.id))
    return "" if record[name] is None else record[name]
