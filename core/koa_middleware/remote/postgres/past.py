"""The state of an archive at a time: each reading statement finds, under the table's name, the rows as they were.

A state is that of the rows that have no later entry in the feed, and of the former versions that held then. It stands
before each statement as a common table expression, which the server takes apart, so that it uses the indexes of both.
"""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import Connection, Table

from ...exceptions import ConfigurationError
from .errors import init_hint
from .identifiers import feed_name, history_name, quote
from .literals import text_literal
from .standing import AS_TEXT, shown_until

#: Execution option with what stands before each statement that reads.
STATE = "koa_state"

#: Rows come by the indexes in their order, since few of them are looked at; the server takes the conditions for rarer
#: than they are, and would read and sort all.
_BY_INDEX = "SET LOCAL enable_sort = off; SET LOCAL enable_bitmapscan = off; "

_READS = re.compile(r"\s*(SELECT|WITH|\()", re.IGNORECASE)


def state_of(table: Table, moment: str) -> str:
    """SQL that gives the table's name to its rows as they were at a time, UTC with microseconds, for one statement."""
    then = f"timestamptz {text_literal(f'{moment}+00')}"
    name, columns = quote(table.name), ", ".join(quote(column.name) for column in table.c)
    # The parts have no conditions of their own, so that the server merges their indexes. The last entry is looked up
    # for each row, since a join might read the whole feed.
    last = f"SELECT max(at) FROM {quote(feed_name(table))} AS later WHERE later.id = version.id::text"
    present = f"SELECT {columns}, NULL::timestamptz AS koa_since, NULL::timestamptz AS koa_until FROM {name}"
    former = f"SELECT {columns}, koa_since, koa_until FROM {quote(history_name(table))}"
    return (
        f"{_BY_INDEX}WITH {name} AS NOT MATERIALIZED ("
        f"SELECT {columns} FROM ({present} UNION ALL {former}) AS version"
        f" WHERE CASE WHEN koa_until IS NULL THEN coalesce(({last}) <= {then}, true)"
        f" ELSE koa_until > {then} AND coalesce(koa_since <= {then}, true) END) "
    )


def of_that_state(
    connection: Connection, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool
) -> tuple[str, Any]:
    """Put the state that a connection asks for before a statement that reads."""
    state = connection.get_execution_options().get(STATE)
    reads = _READS.match(statement) if state else None
    if reads is None:
        return statement, parameters
    if reads[1].upper() == "WITH":  # which may be recursive, as ours must not be
        statement = f"SELECT * FROM ({statement.rstrip().rstrip(';')}) AS koa_asked"
    return f"{state}{statement}", parameters


def check_known(connection: Connection, table: Table, moment: str, name: str) -> None:
    """Check that an archive can tell its state at a time.

    Parameters
    ----------
    connection : sqlalchemy.Connection
        That asks for no state.
    table : sqlalchemy.Table
    moment : str
    name : str
        The archive as messages call it.

    Raises
    ------
    ConfigurationError
    """
    said = f"The state of {moment} was asked"
    sides = [feed_name(table), history_name(table)]
    there = " AND ".join(f"to_regclass({text_literal(quote(side))}) IS NOT NULL" for side in sides)
    begun = until = None
    if connection.exec_driver_sql(f"SELECT {there}").scalar():
        feed = quote(feed_name(table))
        first = AS_TEXT.format(f"(SELECT max(at) FROM {feed} WHERE op = 'begun')")
        begun, until = connection.exec_driver_sql(f"SELECT {first}, {shown_until(feed)}").one()
    if begun is None or until is None:
        raise _unusable(f"{said}, and {name} keeps no history.", init_hint(table))
    if moment < begun:
        raise _unusable(f"{said}, and the history of {name} begins at {begun}.", f"Ask for a time from {begun} on.")
    if moment > until:
        raise _unusable(f"{said}, and {name} knows of none after {until}.", f"Ask for a time until {until}.")


def _unusable(message: str, hint: str) -> ConfigurationError:
    return ConfigurationError(message, hint, setting="as_of", variable=None)
