"""``koa-cal status``."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .arguments import add_instrument, add_json
from .context import choose_instrument, open_for
from .messages import say
from .no_database import without_database
from .output import print_conflicts, print_json, print_table, print_text, print_wrapped, size, with_age
from .reach import Answer, answers

if TYPE_CHECKING:
    from ..exceptions import CacheError
    from ..instrument.orm import ORMCalibration
    from ..store import CalibrationStore

ABOUT = "show the cache, its database and the archive"

EXAMPLES = """
koa-cal status
# does the archive answer, and how old is the copy
koa-cal status --check
"""


def add_arguments(command: ArgumentParser) -> None:
    """Add the arguments."""
    command.add_argument(
        "--check",
        action="store_true",
        help="ask whether the archive and its file server answer; exit code 1 where one does not",
    )
    add_instrument(command)
    add_json(command)


def run(options: Namespace) -> int:
    """Print what the store holds."""
    from ..database.older import of_older_table
    from ..remote.bookmark import is_partial, last_noticed
    from ..remote.servers import without_password
    from ..remote.staleness import PARTIAL

    orm_class = choose_instrument(options.instrument).ORM
    if (missing := without_database(orm_class)) is not None:
        return _print_nothing_yet(options, orm_class, missing)
    with open_for(options) as store:
        counts = _counts(store)
        calibrations = store.cache_dir / "calibrations"
        files = [path.stat().st_size for path in calibrations.glob("*") if path.is_file()]
        folder, url = store.settings.shared_cache_dir, store.settings.remote_database_url
        own = len(store.local_db)
        shared = (
            {} if folder is None else {"shared_cache_dir": str(folder), "records_shared": len(store.known_db) - own}
        )
        facts = {
            "instrument": store.orm_class.instrument_name,
            "cache_dir": str(store.cache_dir),
            "database": str(store.local_db.path),
            "records": own,
            **shared,
            "last_updated": store.local_db.get_last_updated(),
            "files_in_cache_dir": len(files),
            "file_bytes": sum(files),
            "remote_database": "local only" if url is None else without_password(url),
            "last_sync": store.last_sync,
            "offline": store.settings.offline,
        }
        versions = store.local_db.versions()
        conflicts, older, noticed = store.conflicts(), of_older_table(store.local_db), last_noticed(store.local_db)
        noticed += [sentence for each in versions[-1:] for sentence in each.told.splitlines()]
        noticed += [*_only_read(store), *_made_of_files(store)]
        if is_partial(store.local_db):
            noticed.append(PARTIAL)
        known = store.known_db.query(origin="REMOTE", newest=1) if options.check else []
        newest = known[0].to_dict() if known else None
        asked = answers(store.settings, orm_class, newest) if options.check else []
    if options.json:
        names = ("cal_type", "origin", "quality", "records", "newest")
        counted = [dict(zip(names, row, strict=True)) for row in counts]
        apart = [conflict.to_dict() for conflict in conflicts]
        opened = [{"name": each.name, "version": each.version, "since": each.since} for each in versions]
        told = {"versions": opened, "noticed": noticed, "counts": counted, "conflicts": apart}
        print_json({**facts, **told, **_plain(options, asked)})
    else:
        times = {name: with_age(facts[name]) for name in ("last_updated", "last_sync")}
        shown = {**facts, "file_bytes": size(sum(files)), **times}
        _print_facts(shown)
        print_table(
            ("opened by", "version", "since (UTC)"), [(each.name, each.version, each.since) for each in versions]
        )
        if counts:
            print_table(("type", "origin", "quality", "records", "newest (UTC)"), counts)
        for sentence in noticed:
            print_wrapped(sentence)
        print_conflicts(conflicts)
        _print_answers(asked)
    if older:
        say(older)
    return 0 if all(each.ok for each in asked) else 1


def _print_nothing_yet(options: Namespace, orm_class: type[ORMCalibration], missing: CacheError) -> int:
    """Print what is known without a database."""
    from ..remote.servers import with_files, without_password
    from ..settings import resolve

    settings = with_files(resolve(orm_class.instrument_name), orm_class.instrument_name)
    url = settings.remote_database_url
    facts = {
        "instrument": orm_class.instrument_name,
        "cache_dir": str(settings.cache_dir),
        "database": str(missing.path),
        "records": 0,
        "last_updated": None,
        "files_in_cache_dir": 0,
        "file_bytes": 0,
        "remote_database": "local only" if url is None else without_password(url),
        "last_sync": None,
        "offline": settings.offline,
    }
    asked = answers(settings, orm_class, None) if options.check else []
    if options.json:
        told: dict[str, Any] = {"versions": [], "noticed": [str(missing)], "counts": [], "conflicts": []}
        print_json({**facts, **told, **_plain(options, asked)})
    else:
        places = ("instrument", "cache_dir", "remote_database", "offline")
        _print_facts({name: facts[name] for name in places})
        print_text(str(missing))
        _print_answers(asked)
    return 0 if all(each.ok for each in asked) else 1


def _print_facts(facts: Mapping[str, object]) -> None:
    print_table(("", "value"), [(name.replace("_", " "), value) for name, value in facts.items()])


def _print_answers(asked: Sequence[Answer]) -> None:
    if asked:
        print_table(("asked", "answer"), [(each.asked, each.said) for each in asked])


def _plain(options: Namespace, asked: Sequence[Answer]) -> dict[str, Any]:
    return {"check": [each._asdict() for each in asked]} if options.check else {}


def _made_of_files(store: CalibrationStore[Any]) -> list[str]:
    """Say that judgements of records that a rebuilding made of files are not known."""
    from ..database.feed import made_of_files

    with store.local_db.connect() as connection:
        number, at = made_of_files(connection, store.orm_class)
    if not number:
        return []
    made = "1 record was" if number == 1 else f"{number} records were"
    said = f"{made} made anew of files alone on {at[:10]}: what was judged of them before is not known."
    return [f"{said} Look at them, and say it anew with koa-cal flag."]


def _only_read(store: CalibrationStore[Any]) -> list[str]:
    """Say that nothing can be written, where that shows without trying."""
    if (refusal := store.local_db.refusal) is not None:
        return [refusal.message]
    path = store.local_db.path
    is_allowed = os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)
    return [] if is_allowed else [f"You may not write to {path}, so it is only read."]


def _counts(store: CalibrationStore[Any]) -> list[tuple[Any, ...]]:
    """Type, origin, quality, number of records, time of the newest."""
    from sqlalchemy import func, select

    columns = store.orm_class.table().c
    groups = (columns.cal_type, columns.origin, columns.quality)
    counting = select(*groups, func.count(), func.max(columns.datetime_obs)).group_by(*groups).order_by(*groups)
    return [tuple(row) for row in store.known_db.execute(counting)]
