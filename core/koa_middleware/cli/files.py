"""``koa-cal register``, ``get`` and ``verify``."""

from __future__ import annotations

from argparse import Namespace

from ..exceptions import KoaMiddlewareError
from . import say
from .context import open_for
from .output import print_json, print_table, print_text, size


def register(options: Namespace) -> int:
    """Put files into the cache; goes on after a bad one."""
    registered, failed = [], {}
    with open_for(options, options.files) as store:
        for file in options.files:
            try:
                _, record = store.register_calibration(file, origin=options.origin, new_version=options.new_version)
            except KoaMiddlewareError as error:
                if options.debug:
                    raise
                failed[file] = str(error)
                say(f"{file}: {error}")
            else:
                registered.append(record)
    if options.json:
        print_json({"registered": [record.to_dict() for record in registered], "failed": failed})
    else:
        rows = [(r.cal_type, r.filename, r.datetime_obs, r.quality, size(r.file_size)) for r in registered]
        if rows:
            print_table(("type", "calibration", "observed (UTC)", "quality", "size"), rows)
        print_text(f"{len(registered)} of {len(options.files)} registered in {store.cache_dir}")
    return 1 if failed else 0


def get(options: Namespace) -> int:
    """Have files in the cache; prints their paths."""
    found, failed = {}, {}
    with open_for(options) as store:
        for name in options.names:
            try:
                found[name] = str(store.get_calibration_by_id(store.local_db.find(name).id).path)
            except KoaMiddlewareError as error:
                if options.debug:
                    raise
                failed[name] = str(error)
                say(f"{name}: {error}")
    if options.json:
        print_json({"paths": found, "failed": failed})
    else:
        for path in found.values():
            print_text(path)
    return 1 if failed else 0


def verify(options: Namespace) -> int:
    """Compare files with records."""
    with open_for(options) as store:
        report = store.verify(repair=options.repair)
        if options.json:
            print_json(report.to_dict())
        else:
            faults = [*report.bad.items(), *((name, "missing") for name in report.missing)]
            rows = [(name, fault, "repaired" if name in report.repaired else "") for name, fault in faults]
            if rows:
                print_table(("file", "fault", ""), rows)
            print_text(f"{report.checked} files checked in {store.cache_dir}, {len(rows)} faults")
    return 0 if report.ok else 1
