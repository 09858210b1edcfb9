"""The commands and their options; nothing here imports what a command needs."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from datetime import timedelta
from importlib import import_module
from typing import Any

from ..instrument.times import parse_iso


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of ``koa-cal``."""
    parser = argparse.ArgumentParser(
        prog="koa-cal",
        description="Find, hold and move the calibrations of the Keck Observatory's pipelines.",
        epilog="The cache folder is named by KOA_CALIBRATION_CACHE. Each command has its own --help.",
    )
    parser.add_argument("--debug", action="store_true", help="show a traceback on errors")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    demo = _add(commands, "demo", "demo:demo", "the main job on a small made night of FITS files, offline")
    demo.add_argument(
        "--remote", action="store_true", help="the round trip: Keck publishes to a PostgreSQL, an observer syncs"
    )
    demo.add_argument("--dir", metavar="DIR", help="leave the night and its cache in this folder")
    _instrument(demo)

    instruments = _add(commands, "instruments", "about:instruments", "the installed plugins")
    _json(instruments)

    register = _add(commands, "register", "files:register", "put calibration files into the cache")
    register.add_argument("files", nargs="+", metavar="FILE")
    register.add_argument(
        "--new-version", action="store_true", help="other content of a family becomes its next version"
    )
    register.add_argument("--origin", choices=("LOCAL", "REMOTE", "KECK"), help="in place of what the header says")
    _instrument(register)
    _json(register)

    listing = _add(commands, "list", "records:list_records", "the newest calibrations")
    listing.add_argument("--type", metavar="T", help="of this cal type")
    listing.add_argument(
        "--since", metavar="TIME", type=_time, help="observed at this UTC time or later, for instance 2026-02-12"
    )
    listing.add_argument("--until", metavar="TIME", type=_time, help="observed at this UTC time or day, or earlier")
    listing.add_argument("--limit", metavar="N", type=_positive, default=100, help="at most this many (100)")
    _instrument(listing)
    _json(listing)

    show = _add(commands, "show", "records:show", "one calibration's record")
    show.add_argument("name", metavar="ID_OR_FILENAME")
    _instrument(show)
    _json(show)

    best = _add(commands, "best", "choosing:best", "the best calibration of each type for a frame")
    best.add_argument("frame", metavar="FRAME")
    best.add_argument("--type", metavar="T", action="append", dest="types", help="only this cal type; may be repeated")
    best.add_argument("--no-download", action="store_true", help="choose only; leave the files where they are")
    _column_values(best)
    _instrument(best)
    _json(best)

    explain = _add(commands, "explain", "choosing:explain", "why a calibration is chosen and others are not")
    explain.add_argument("frame", metavar="FRAME")
    explain.add_argument("--type", metavar="T", required=True)
    explain.add_argument("--nearest", metavar="N", type=_positive, default=20, help="tell this many one by one (20)")
    _column_values(explain)
    _instrument(explain)
    _json(explain)

    get = _add(commands, "get", "files:get", "have calibrations in the cache, verified")
    get.add_argument("names", nargs="+", metavar="ID_OR_FILENAME")
    _instrument(get)
    _json(get)

    flag = _add(commands, "flag", "records:flag", "say that a calibration is good or bad")
    flag.add_argument("name", metavar="ID_OR_FILENAME")
    flag.add_argument("quality", choices=("good", "bad", "unknown"), type=str.lower)
    flag.add_argument("--reason", required=True, help="why, for those who miss it")
    _instrument(flag)
    _json(flag)

    verify = _add(commands, "verify", "files:verify", "compare the cached files with their records")
    verify.add_argument("--repair", action="store_true", help="download bad files again")
    _instrument(verify)
    _json(verify)

    sync = _add(commands, "sync", "remote:sync", "bring the local database up to date with the archive")
    sync.add_argument("--full", action="store_true", help="compare everything, also what the archive says is unchanged")
    _instrument(sync)
    _json(sync)

    publish = _add(commands, "publish", "remote:publish", "send LOCAL calibrations to the archive")
    publish.add_argument("names", nargs="*", metavar="ID_OR_FILENAME", help="by default all LOCAL ones")
    publish.add_argument("--upload", metavar="FOLDER", help="copy their files there first; a folder or file:// URL")
    _instrument(publish)
    _json(publish)

    prefetch = _add(commands, "prefetch", "remote:prefetch", "download ahead what will be needed")
    prefetch.add_argument("frames", nargs="*", metavar="FRAME", help="frames whose best calibrations are wanted")
    prefetch.add_argument(
        "--night", metavar="DATE", type=_time, help="the calibrations of this UTC day, for instance 2026-02-12"
    )
    prefetch.add_argument("--since", metavar="TIME", type=_time, help="those observed at this UTC time or later")
    prefetch.add_argument(
        "--until", metavar="TIME", type=_time, help="those observed at this UTC time or day, or earlier"
    )
    prefetch.add_argument(
        "--type", metavar="T", action="append", dest="types", help="only this cal type; may be repeated"
    )
    prefetch.add_argument("--workers", metavar="N", type=_positive, default=4, help="parallel transfers (4)")
    _instrument(prefetch)
    _json(prefetch)

    bundle = _add(commands, "bundle", "bundle:export", "calibrations with their files in one tar").add_subparsers(
        title="commands", metavar="COMMAND", required=True
    )
    export = _add(bundle, "export", "bundle:export", "write calibrations and their files into one tar")
    export.add_argument("file", metavar="FILE.tar")
    export.add_argument("names", nargs="*", metavar="ID_OR_FILENAME")
    export.add_argument("--type", metavar="T", help="all of this cal type")
    export.add_argument(
        "--since", metavar="TIME", type=_time, help="observed at this UTC time or later, for instance 2026-02-12"
    )
    export.add_argument("--until", metavar="TIME", type=_time, help="observed at this UTC time or day, or earlier")
    _instrument(export)
    _json(export)
    taking = _add(bundle, "import", "bundle:import_", "take in what a bundle holds")
    taking.add_argument("file", metavar="FILE.tar")
    _instrument(taking)
    _json(taking)

    prune = _add(commands, "prune", "prune:prune", "free space of what can be downloaded again")
    prune.add_argument("--max-size", metavar="SIZE", type=_size, help="leave at most this much, for instance 20GB")
    prune.add_argument("--older-than", metavar="DAYS", type=_days, help="what was not used for so many days")
    prune.add_argument("--type", metavar="T", help="only this cal type")
    prune.add_argument("--dry-run", action="store_true", help="only tell what would go")
    _instrument(prune)
    _json(prune)

    remote = _add(commands, "remote", "remote:init", "for the archive's owner").add_subparsers(
        title="commands", metavar="COMMAND", required=True
    )
    init = _add(remote, "init", "remote:init", "create the instrument's table on the PostgreSQL server")
    init.add_argument("--reader", metavar="ROLE", default="koa_reader", help="role in the printed grants (koa_reader)")
    init.add_argument("--publisher", metavar="ROLE", default="koa_publisher", help="likewise (koa_publisher)")
    _instrument(init)
    _json(init)

    status = _add(commands, "status", "about:status", "the cache, its database, the archive")
    _instrument(status)
    _json(status)
    return parser


def _add(commands: Any, name: str, where: str, about: str) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(
        name, help=about, description=f"{about[0].upper()}{about[1:]}."
    )
    command.set_defaults(run=_lazy(where))
    return command


def _lazy(where: str) -> Callable[[argparse.Namespace], int]:
    def run(options: argparse.Namespace) -> int:
        module, _, function = where.partition(":")
        code: int = getattr(import_module(f".{module}", __package__), function)(options)
        return code

    return run


def _instrument(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "-i",
        "--instrument",
        metavar="NAME",
        help="by default what the file's header says, or the only one installed",
    )


def _json(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="print JSON, for programs")


def _column_values(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--set",
        metavar="COLUMN=VALUE",
        action="append",
        default=[],
        dest="overrides",
        type=_assignment,
        help="a value that the frame's header lacks or has wrong; may be repeated",
    )


def _assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError(f"{text!r} is not COLUMN=VALUE")
    return name, value


def _time(text: str) -> str:
    try:
        parse_iso(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a UTC time such as 2026-02-12T03:00:00") from None
    return text


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def _size(text: str) -> int:
    found = re.fullmatch(r"([0-9.]+) *([kmgt]?)b?", text.strip().lower())
    try:
        return int(float(found[1]) * 1000 ** " kmgt".index(found[2] or " ")) if found else int("")
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 500MB or 20GB") from None


def _days(text: str) -> timedelta:
    try:
        days = timedelta(days=float(text))
        if days < timedelta(0):
            raise ValueError(text)
        return days
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of days above 0") from None
