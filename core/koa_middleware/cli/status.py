"""``koa-cal instruments`` and ``status``."""

from __future__ import annotations

from argparse import Namespace

from sqlalchemy import func, select

from ..exceptions import PluginError
from ..plugins import get_plugin, installed_plugins
from . import say
from .context import open_for
from .output import print_conflicts, print_json, print_table, print_text, size


def instruments(options: Namespace) -> int:
    """Print the installed plugins; one that cannot be used hinders no other."""
    rows, failed = [], {}
    for found in installed_plugins():
        try:
            plugin = get_plugin(found.instrument)
        except PluginError as error:
            failed[found.instrument] = str(error)
            say(str(error))
        else:
            rows.append((*found, plugin.database_filename, list(plugin.ORM.cal_types or plugin.selectors)))
    names = ("instrument", "package", "version", "database", "cal_types")
    if options.json:
        print_json({"instruments": [dict(zip(names, row, strict=True)) for row in rows], "failed": failed})
    elif rows:
        print_table(
            ("instrument", "package", "version", "default database", "cal types"),
            [(*row[:-1], " ".join(row[-1])) for row in rows],
        )
    else:
        print_text("no instrument's plugin is installed")
    return 1 if failed else 0


def status(options: Namespace) -> int:
    """Print what the store holds."""
    with open_for(options) as store:
        columns = store.orm_class.table().c
        counting = (
            select(columns.cal_type, columns.origin, columns.quality, func.count(), func.max(columns.datetime_obs))
            .group_by(columns.cal_type, columns.origin, columns.quality)
            .order_by(columns.cal_type, columns.origin, columns.quality)
        )
        counts = [tuple(row) for row in store.local_db.execute(counting)]
        files = [path.stat().st_size for path in (store.cache_dir / "calibrations").iterdir() if path.is_file()]
        folder = store.settings.shared_cache_dir
        shared = {} if folder is None else {"shared_cache_dir": str(folder)}
        facts = {
            "instrument": store.orm_class.instrument_name,
            "cache_dir": str(store.cache_dir),
            "database": str(store.local_db.path),
            **shared,
            "records": sum(row[3] for row in counts),
            "last_updated": store.local_db.get_last_updated(),
            "files_in_cache_dir": len(files),
            "file_bytes": sum(files),
            "remote_database": store.remote_name,
            "last_sync": store.last_sync,
            "offline": store.settings.offline,
        }
        conflicts = store.conflicts()
        if options.json:
            names = ("cal_type", "origin", "quality", "records", "newest")
            counted = [dict(zip(names, row, strict=True)) for row in counts]
            print_json({**facts, "counts": counted, "conflicts": [vars(conflict) for conflict in conflicts]})
        else:
            shown = {**facts, "file_bytes": size(sum(files)), "last_sync": store.last_sync or "never"}
            print_table(("", "value"), [(name.replace("_", " "), value) for name, value in shown.items()])
            if counts:
                print_table(("type", "origin", "quality", "records", "newest (UTC)"), counts)
            print_conflicts(conflicts)
    return 0
