"""``koa-cal register``, ``get`` and ``verify``."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

from ..exceptions import KoaMiddlewareError, PluginError, SourceFileError
from ..opening import open_store
from ..store import CalibrationStore
from . import report
from .context import choose_instrument, open_for, said_instrument
from .output import print_json, print_table, print_text, size


def register(options: Namespace) -> int:
    """Put files into the cache, each under its own header's instrument; goes on after a bad one."""
    registered: list[Any] = []
    failed: dict[str, str] = {}
    with ExitStack() as opened:
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
    """Give files with the stores they go to; one whose header says no instrument goes with the first that does."""
    said: list[tuple[str, str]] = []
    for file in options.files:
        try:
            said.append((file, options.instrument or said_instrument(file)))
        except SourceFileError as error:
            _fail(options, failed, file, error)
    first = next((name for _, name in said if name), None)
    stores: dict[str, CalibrationStore[Any]] = {}
    for file, name in said:
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
    report(error, f"{name}: ", debug=options.debug)


def get(options: Namespace) -> int:
    """Have files in the cache; prints their paths."""
    failed: dict[str, str] = {}
    wanted: dict[str, Any] = {}
    outcomes: dict[str, Any] = {}
    with open_for(options) as store:
        for name in options.names:
            try:
                wanted[name] = store.local_db.find(name)
            except KoaMiddlewareError as error:
                outcomes[name] = error
        outcomes |= dict(zip(wanted, store.get_many(list(wanted.values()), bar=True), strict=True))
    for name in dict.fromkeys(options.names):
        if isinstance(outcomes[name], KoaMiddlewareError):
            _fail(options, failed, name, outcomes[name])
    found = {name: str(outcomes[name].path) for name in dict.fromkeys(options.names) if name not in failed}
    if options.json:
        print_json({"paths": found, "failed": failed})
    else:
        for path in found.values():
            print_text(path)
    return 1 if failed else 0


def verify(options: Namespace) -> int:
    """Compare files with records."""
    with open_for(options) as store:
        found = store.verify(repair=options.repair)
        if options.json:
            print_json(found.to_dict())
        else:
            faults = [*found.bad.items(), *((name, "missing") for name in found.missing)]
            rows = [(name, fault, "repaired" if name in found.repaired else "") for name, fault in faults]
            if rows:
                print_table(("file", "fault", ""), rows)
            print_text(f"{found.checked} files checked in {store.cache_dir}, {len(rows)} faults")
    return 0 if found.ok else 1
