"""What goes wrong on the remote database, in this package's errors."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from sqlalchemy import Engine, Table
from sqlalchemy.exc import DBAPIError, InvalidRequestError

from ...exceptions import RemoteError, RemoteUnavailableError, SchemaMismatchError


def init_hint(table: Table) -> str:
    """Say how an archive is set up for an instrument's table."""
    return f"Its owner sets it up with: koa-cal remote init -i {table.name.removesuffix('_calibrations')}"


@contextmanager
def remote_errors(engine: Engine, table: Table) -> Iterator[None]:
    """Translate the driver's errors into this package's."""
    driver = cast(Any, engine.dialect.dbapi)
    try:
        yield
    except (driver.Error, DBAPIError) as error:
        raise _translated(error, engine, table) from error
    except InvalidRequestError as error:
        if "Unknown PG numeric type" not in str(error):
            raise
        raise _not_set_up(engine, table, "a column of numbers is of another type") from error


def host_of(engine: Engine) -> str:
    """Give host and port, as messages show them."""
    url = engine.url
    return f"{url.host or 'localhost'}:{url.port or 5432}"


def _translated(error: Exception, engine: Engine, table: Table) -> RemoteError | SchemaMismatchError:
    cause = getattr(error, "orig", None) or error
    driver = cast(Any, engine.dialect.dbapi)
    code = str(getattr(cause, "pgcode", None) or "")
    host = host_of(engine)
    said = " ".join(str(cause).split()).rstrip(".") or type(cause).__name__
    if engine.url.password:
        said = said.replace(str(engine.url.password), "***")
    first = said.split(" LINE ")[0]
    if code == "42501" and "must be owner" in said:
        return RemoteError(
            f"The role {engine.url.username} is not the owner on the remote database at {host}: {first}.",
            "Ask the owner to do this; nothing was changed.",
        )
    if code == "42501":
        what = re.search(r"permission denied for (\w+) (\S+)", said)
        kind, name = what.groups() if what else ("table", table.name)
        right = _right_for(cause, kind)
        return RemoteError(
            f"The role {engine.url.username} lacks a right on the remote database at {host}: {first}.",
            f"Its owner runs: GRANT {right} ON {'' if kind == 'table' else kind.upper() + ' '}{name} "
            f"TO {engine.url.username};",
        )
    unknown = str(cast(Any, cause).diag.column_name) if code == "23502" else None
    if unknown is not None and unknown not in table.c:
        return SchemaMismatchError(
            f"The table {table.name} on the remote database at {host} needs a value in {unknown}, a column that the "
            "installed plugin does not have.",
            "A newer version of the plugin made it; install that version.",
            database=host,
            table=table.name,
            missing=(unknown,),
        )
    if code in {"42P01", "42703", "3F000", "42704", "42883"}:
        return _not_set_up(engine, table, first)
    unavailable = isinstance(cause, (driver.OperationalError, driver.InterfaceError)) or code[:2] in {"08", "57", "53"}
    if unavailable:
        return RemoteUnavailableError(
            f"The remote database at {host} is not available: {said}.",
            "The local database works without it; try again later, or check the URL.",
            host=host,
        )
    return RemoteError(f"The remote database at {host} refused: {said}.", "Nothing was changed.")


def _not_set_up(engine: Engine, table: Table, said: str) -> SchemaMismatchError:
    host = host_of(engine)
    return SchemaMismatchError(
        f"The remote database at {host} is not set up for {table.name}: {said}.",
        init_hint(table),
        database=host,
        table=table.name,
        missing=(table.name,),
    )


def _right_for(cause: Any, kind: str) -> str:
    statement = bytes(getattr(getattr(cause, "cursor", None), "query", None) or b"").decode(errors="replace")
    if kind == "schema":
        return "USAGE, CREATE" if statement.lstrip().startswith("CREATE") else "USAGE"
    for right in ("INSERT", "UPDATE", "DELETE"):
        if right in statement:
            return f"SELECT, {right}"
    return "SELECT"
