"""``koa-cal register``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..exceptions import CalibrationNotFoundError, HeaderError, KoaMiddlewareError, PluginError, SourceFileError
from ..fetch.progress import counted
from .arguments import add_force_instrument, add_instrument, add_json, instruments_as
from .context import choose_instrument, files_in, instrument_in_header
from .messages import StoppedError, report_all
from .output import print_json, print_table, print_text, size

if TYPE_CHECKING:
    from ..store import CalibrationStore

ABOUT = "put calibration files into the cache"

EXAMPLES = """
# all masters of a night; a file that fails stops no other
koa-cal register masters/*.fits
# other content under the name of a known one, as its next version
koa-cal register --new-version master-dark.fits
# paths from elsewhere, one a line
find masters -name '*.fits' | koa-cal register -
"""


def add_arguments(command: ArgumentParser) -> None:
    """Add the arguments."""
    command.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="a folder stands for the FITS files in it, - for a list of paths on standard input",
    )
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
    files = files_in(options.files, "calibrations")
    done = _Done(len(files))
    try:
        with instruments_as(options), ExitStack() as opened:
            for file, store in counted(_with_stores(options, files, opened, done), len(files), "file"):
                done.cache = str(store.cache_dir)
                try:
                    known = _known(store, file)
                    _, record = store.register_calibration(file, origin=options.origin, new_version=options.new_version)
                except KoaMiddlewareError as error:
                    done.failed[file] = error
                else:
                    (done.unchanged if record.id in known else done.registered).append(record)
    except KeyboardInterrupt:
        report_all(done.failed, debug=options.debug)
        raise StoppedError(f"stopped; {done.told()}") from None
    report_all(done.failed, debug=options.debug)
    if options.json:
        print_json(done.to_dict())
    else:
        rows = [(r.cal_type, r.filename, r.datetime_obs, r.quality, size(r.file_size)) for r in done.registered]
        if rows:
            print_table(("type", "calibration", "observed (UTC)", "quality", "size"), rows)
        print_text(done.told())
    return 1 if done.failed else 0


class _Done:
    """What came of the files that were given.

    Parameters
    ----------
    number : int
        How many there are.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self.cache = ""
        self.registered: list[Any] = []
        self.unchanged: list[Any] = []
        self.failed: dict[str, KoaMiddlewareError] = {}

    def told(self) -> str:
        """Say it in a line."""
        known = f", {len(self.unchanged)} known already" if self.unchanged else ""
        where = f" in {self.cache}" if self.registered or self.unchanged else ""
        return f"{len(self.registered)} of {self._number} registered{known}{where}"

    def to_dict(self) -> dict[str, Any]:
        """Give it as plain data."""
        return {
            "registered": [record.to_dict() for record in self.registered],
            "unchanged": [record.to_dict() for record in self.unchanged],
            "failed": {name: str(error) for name, error in self.failed.items()},
        }


def _known(store: CalibrationStore[Any], file: str) -> set[str]:
    """Give the ids of the records that had the file's name before."""
    try:
        return {store.local_db.query_by_filename(Path(file).name).id}
    except CalibrationNotFoundError:
        return set()


def _with_stores(
    options: Namespace, files: Sequence[str], opened: ExitStack, done: _Done
) -> Iterator[tuple[str, CalibrationStore[Any]]]:
    """Give files with the stores they go to; one whose header names no instrument goes with the first that does."""
    from ..opening import open_store
    from ..settings import named_instrument

    named: list[tuple[str, str]] = []
    for file in files:
        try:
            named.append((file, options.instrument or named_instrument() or instrument_in_header(file)))
        except (HeaderError, SourceFileError) as error:
            done.failed[file] = error
    first = next((name for _, name in named if name), None)
    stores: dict[str, CalibrationStore[Any]] = {}
    for file, name in named:
        try:
            instrument = choose_instrument(name or first).name
        except PluginError as error:
            if options.instrument:
                raise
            done.failed[file] = error
            continue
        if instrument not in stores:
            stores[instrument] = opened.enter_context(open_store(instrument))
        yield file, stores[instrument]
