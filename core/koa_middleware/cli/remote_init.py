"""``koa-cal remote init``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from .arguments import add_instrument, add_json
from .context import choose_instrument
from .messages import say
from .output import print_exactly, print_json

if TYPE_CHECKING:
    from ..remote.protocol import UnfitRow

#: Rows of an archive that are named on the terminal.
_SHOWN = 20

ABOUT = "create or upgrade the instrument's table on the PostgreSQL server"

EXAMPLES = """
# the SQL alone, for who runs the server
koa-cal remote init --sql
koa-cal remote init
"""


def add_arguments(command: ArgumentParser) -> None:
    """Add the arguments."""
    command.add_argument(
        "--reader", metavar="ROLE", default="koa_reader", help="the role that reads, in the printed grants (koa_reader)"
    )
    command.add_argument(
        "--publisher", metavar="ROLE", default="koa_publisher", help="the role that publishes (koa_publisher)"
    )
    command.add_argument("--resweep", action="store_true", help="make every client read everything once")
    command.add_argument("--sql", action="store_true", help="print what would be run, for psql, and run nothing")
    add_instrument(command)
    add_json(command)


def run(options: Namespace) -> int:
    """Create the instrument's table on the server and print the grants for its owner to run, or print the SQL only."""
    from ..remote.servers import require_remote
    from ..settings import resolve

    orm_class = choose_instrument(options.instrument).ORM
    settings = resolve(orm_class.instrument_name, cache_dir=Path.cwd())  # of which a set-up uses nothing
    with closing(require_remote(settings, orm_class)) as remote:
        done = remote.set_up(options.reader, options.publisher, resweep=options.resweep, run=not options.sql)
        table, database = orm_class.table().name, remote.name
    for sentence in done.told:
        say(sentence)
    _tell_unfit(done.unfit)
    if options.json:
        said = {**vars(done), "unfit": [vars(row) for row in done.unfit]}
        print_json({"table": table, "database": database, **said})
    elif options.sql:
        _print_sql(done.statements)
        if not done.statements:
            say(f"{table} on {database} has all that it needs; there is nothing to run.")
    else:
        what = "is set up now" if done.statements else "had all that it needs"
        say(f"{table} on {database} {what}. Grant the roles their rights with:")
        _print_sql(done.grants)
    return 0


def _tell_unfit(rows: Sequence[UnfitRow]) -> None:
    for row in rows[:_SHOWN]:
        say(f"{row.filename} (id {row.id}) has the {row.column} {row.value!r}, which the archive now refuses.")
    if len(rows) == 1:
        say("1 old value is read in form where it has one, but its row cannot be changed until it is corrected.")
    elif rows:
        say(
            f"{len(rows)} old values are read in form where they have one, "
            "but their rows cannot be changed until they are corrected."
        )


def _print_sql(statements: Sequence[str]) -> None:
    for statement in statements:
        print_exactly(statement)
