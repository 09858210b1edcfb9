"""``koa-cal get``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..exceptions import ConfigurationError, KoaMiddlewareError
from .arguments import add_as_of, add_instrument, add_json, add_lock
from .context import open_for, paths_given
from .messages import report_all
from .output import print_exactly, print_json

if TYPE_CHECKING:
    from ..store import CalibrationStore

ABOUT = "download calibrations, verify them and print their paths"

EXAMPLES = """
# paths of verified files, for a script
koa-cal get master-dark.001.fits
koa-cal get --lock night.toml
"""


def add_arguments(command: ArgumentParser) -> None:
    """Add the arguments."""
    command.add_argument(
        "names", nargs="*", metavar="ID_OR_FILENAME", help="- for a list on standard input, one a line"
    )
    add_lock(command, "all calibrations of this lock file")
    add_as_of(command)
    add_instrument(command)
    add_json(command)


def run(options: Namespace) -> int:
    """Print the paths of verified files; what is not in the cache is downloaded."""
    if bool(options.names) == bool(options.lock):
        said = "Calibrations are named beside a lock file." if options.lock else "No calibrations are named."
        hint = "Give ids or file names, or a lock file with --lock."
        raise ConfigurationError(said, hint, setting="names", variable=None)
    asked = paths_given(options.names)
    names = dict.fromkeys(asked)
    records: dict[str, Any] = {}
    errors: dict[str, KoaMiddlewareError] = {}
    with open_for(options, lock=options.lock) as store:
        if options.lock:
            records = {each.filename: each for each in store.locked_records()}
            names = dict.fromkeys(records)
        if options.lock and options.as_of is not None:
            store.known_at(options.as_of)  # which says that a lock file alone counts
        for name in asked:
            try:
                records[name] = store.known_at(options.as_of).find(name)
            except KoaMiddlewareError as error:
                errors[name] = error
        if options.as_of is None:
            failed = store.prefetch(records=records.values()).failed
            errors |= {name: failed[record.filename] for name, record in records.items() if record.filename in failed}
            paths = {name: str(store.get_local_filepath(records[name])) for name in names if name not in errors}
        else:
            paths = _paths_then(store, records, options.as_of, errors)
    report_all({name: errors[name] for name in names if name in errors}, debug=options.debug)
    if options.json:
        print_json({"paths": paths, "failed": {name: str(errors[name]) for name in names if name in errors}})
    else:
        for path in paths.values():
            print_exactly(path)
    return 1 if errors else 0


def _paths_then(
    store: CalibrationStore[Any], records: Mapping[str, Any], as_of: str, errors: dict[str, KoaMiddlewareError]
) -> dict[str, str]:
    """Give the paths of files as they were at a time; adds the errors of those that are not to be had."""
    paths: dict[str, str] = {}
    for name, record in records.items():
        try:
            paths[name] = str(store.get_calibration_by_id(record.id, as_of=as_of).path)
        except KoaMiddlewareError as error:
            errors[name] = error
    return paths
