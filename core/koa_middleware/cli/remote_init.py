"""``koa-cal remote init``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING, Any

from .arguments import add_instrument, add_json
from .context import open_for
from .messages import say
from .output import print_json, print_text

if TYPE_CHECKING:
    from ..store import CalibrationStore

ABOUT = "create or upgrade the instrument's table on the PostgreSQL server"


def add_arguments(command: ArgumentParser) -> None:
    """Add the arguments."""
    command.add_argument(
        "--reader", metavar="ROLE", default="koa_reader", help="the role that reads, in the printed grants (koa_reader)"
    )
    command.add_argument(
        "--publisher", metavar="ROLE", default="koa_publisher", help="the role that publishes (koa_publisher)"
    )
    add_instrument(command)
    add_json(command)


def run(options: Namespace) -> int:
    """Create the instrument's table on the server, and print the grants for its owner to run."""
    with open_for(options) as store:
        database, statements = set_up(store, options.reader, options.publisher)
        table = store.orm_class.table().name
    if options.json:
        print_json({"table": table, "database": database, "grants": statements})
    else:
        say(f"{table} is set up on {database}. Grant the roles their rights with:")
        for statement in statements:
            print_text(statement)
    return 0


def set_up(store: CalibrationStore[Any], reader: str, publisher: str) -> tuple[str, list[str]]:
    """Set up the table; gives the name of its database and the grants."""
    from ..remote.postgres.schema import grants, initialise

    remote, table = store.require_remote(), store.orm_class.table()
    with remote.translated_errors():
        initialise(remote.engine, table)
        return remote.name, grants(remote.engine, table, reader, publisher)
