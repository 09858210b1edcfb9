"""``koa-cal register``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from ..exceptions import HeaderError, KoaMiddlewareError, PluginError, SourceFileError
from .arguments import add_force_instrument, add_instrument, add_json, instruments_as
from .context import choose_instrument, instrument_in_header
from .messages import report
from .output import print_json, print_table, print_text, size

if TYPE_CHECKING:
    from ..store import CalibrationStore

ABOUT = "put calibration files into the cache"


def add_arguments(command: ArgumentParser) -> None:
    """Add the arguments."""
    command.add_argument("files", nargs="+", metavar="FILE")
    command.add_argument(
        "--new-version",
        action="store_true",
        help="register different content of a known calibration as its next version",
    )
    command.add_argument(
        "--origin", choices=("LOCAL", "REMOTE", "KECK"), help="use this origin instead of the header's"
    )
    add_instrument(command)
    add_force_instrument(command)
    add_json(command)


def run(options: Namespace) -> int:
    """Put files into the cache, each under its own header's instrument; goes on after a bad one."""
    registered: list[Any] = []
    failed: dict[str, str] = {}
    with instruments_as(options), ExitStack() as opened:
        for file, store in _with_stores(options, opened, failed):
            try:
                _, record = store.register_calibration(file, origin=options.origin, new_version=options.new_version)
            except KoaMiddlewareError as error:
                _fail(options, failed, file, error)
            else:
                registered.append(record)
    if options.json:
        print_json({"registered": [record.to_dict() for record in registered], "failed": failed})
    else:
        rows = [(r.cal_type, r.filename, r.datetime_obs, r.quality, size(r.file_size)) for r in registered]
        if rows:
            print_table(("type", "calibration", "observed (UTC)", "quality", "size"), rows)
        where = f" in {store.cache_dir}" if registered else ""
        print_text(f"{len(registered)} of {len(options.files)} registered{where}")
    return 1 if failed else 0


def _with_stores(
    options: Namespace, opened: ExitStack, failed: dict[str, str]
) -> Iterator[tuple[str, CalibrationStore[Any]]]:
    """Give files with the stores they go to; one whose header names no instrument goes with the first that does."""
    from ..opening import open_store

    named: list[tuple[str, str]] = []
    for file in options.files:
        try:
            named.append((file, options.instrument or instrument_in_header(file)))
        except (HeaderError, SourceFileError) as error:
            _fail(options, failed, file, error)
    first = next((name for _, name in named if name), None)
    stores: dict[str, CalibrationStore[Any]] = {}
    for file, name in named:
        try:
            instrument = choose_instrument(name or first).name
        except PluginError as error:
            if options.instrument:
                raise
            _fail(options, failed, file, error)
            continue
        if instrument not in stores:
            stores[instrument] = opened.enter_context(open_store(instrument))
        yield file, stores[instrument]


def _fail(options: Namespace, failed: dict[str, str], name: str, error: KoaMiddlewareError) -> None:
    failed[name] = str(error)
    report(error, name, debug=options.debug)
