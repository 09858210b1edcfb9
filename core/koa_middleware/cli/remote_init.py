"""``koa-cal remote init``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from contextlib import closing

from .arguments import add_instrument, add_json
from .context import open_for
from .messages import say
from .output import print_json, print_text

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
    from ..remote.servers import require_remote

    with open_for(options) as store, closing(require_remote(store.settings, store.orm_class)) as remote:
        grants = remote.set_up(options.reader, options.publisher).grants
        table, database = store.orm_class.table().name, remote.name
    if options.json:
        print_json({"table": table, "database": database, "grants": grants})
    else:
        say(f"{table} is set up on {database}. Grant the roles their rights with:")
        for statement in grants:
            print_text(statement)
    return 0
