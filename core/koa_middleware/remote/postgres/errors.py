"""Faults of the remote database as this package's errors."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

from sqlalchemy import Engine, Table, exc
from sqlalchemy.exc import DBAPIError, InvalidRequestError

from ...exceptions import RemoteError, RemoteUnavailableError, SchemaMismatchError
from .engine import AT_PRIMARY
from .notes import Note
from .url import hosts_of

#: No function of a name and these types, or no operator, where a column is compared with what its class holds.
_NO_OPERATOR = "42883"
_NO_COLUMN = "42703"
_NOT_THERE = {"42P01", "3F000", "42704", _NO_OPERATOR}
#: Another one's transaction was in the way: a serialization failure, a deadlock.
_BUSY = {"40001", "40P01"}
#: A lock was waited for too long.
_LOCKED = "55P03"
#: The server was idle in the transaction for too long, or the whole took too long.
_TOO_LONG = {"57014", "25P03", "25P04"}
_WRONG_TEXT = {"22021", "22P05"}

#: What a server says that refuses a connection, and what to do.
_REFUSALS = (
    ("authentication failed|no password supplied", "check user and password in the URL, or the entry in ~/.pgpass."),
    ("pg_hba", "ask its owner to let this machine and user in."),
    ('(role|database) ".*" does not exist', "check the names of user and database in the URL."),
    ("conversion between", "ask its owner for a database whose encoding is UTF8."),
    ("too many (clients|connections)|connection slots", "try again later."),
    ("read-only|hot standby", "none of the hosts is one that target_session_attrs in the URL asks for."),
)


def init_command(table: Table) -> str:
    """Give the command that sets an archive up for an instrument's table."""
    return f"koa-cal remote init -i {table.name.removesuffix('_calibrations')}"


def init_hint(table: Table) -> str:
    """Say how an archive is set up for an instrument's table."""
    return f"Its owner sets it up with: {init_command(table)}"


def lacks_columns(table: Table, missing: tuple[str, ...], host: str, notes: Sequence[Note]) -> SchemaMismatchError:
    """Give the error of an archive that lacks columns which a row cannot do without.

    Parameters
    ----------
    table : sqlalchemy.Table
    missing : tuple of str
    host : str
    notes : sequence of Note
        Who set it up, the class that leads last; where that one has no such columns either, it is the newer one.
    """
    newest = notes[-1] if notes else None
    is_newer = newest is not None and newest.version and not set(missing) & newest.declared.columns.keys()
    instrument = table.name.removesuffix("_calibrations")
    return SchemaMismatchError(
        f"The table {table.name} of the remote database at {host} lacks the "
        f"column{'s' if len(missing) > 1 else ''} {', '.join(missing)}, which the plugin needs.",
        f"Install {instrument}'s plugin of version {newest.version} or newer; nothing was changed."
        if newest is not None and is_newer
        else init_hint(table),
        database=host,
        table=table.name,
        missing=missing,
    )


@contextmanager
def remote_errors(engine: Engine, table: Table) -> Iterator[None]:
    """Translate the driver's errors into this package's."""
    driver = cast(Any, engine.dialect.dbapi)
    try:
        yield
    except (driver.Error, DBAPIError) as error:
        raise _translated(error, engine, table) from error
    except exc.TimeoutError as error:
        raise RemoteUnavailableError(
            f"All connections to the remote database at {host_of(engine)} are in use.",
            "Try again in a moment; nothing was changed.",
            host=host_of(engine),
        ) from error
    except InvalidRequestError as error:
        if "Unknown PG numeric type" not in str(error):
            raise
        raise _of_other_types(engine, table, "the driver reads no numbers from one") from error
    except (UnicodeError, ValueError) as error:
        if not isinstance(error, UnicodeError) and "cannot contain NUL" not in str(error):
            raise
        raise RemoteError(
            f"The remote database at {host_of(engine)} cannot be given this text: {str(error).rstrip('.')}.",
            "Write it without these characters; nothing was changed.",
        ) from error


def host_of(engine: Engine) -> str:
    """Give host and port, as messages show them; several of them where the URL names several."""
    return hosts_of(engine.url)


def _translated(error: Exception, engine: Engine, table: Table) -> RemoteError | SchemaMismatchError:
    cause = getattr(error, "orig", None) or error
    driver = cast(Any, engine.dialect.dbapi)
    code = str(getattr(cause, "pgcode", None) or "")
    said = _said(cause, engine)
    where = f"The remote database at {host_of(engine)}"
    if code == _NO_OPERATOR and "operator" in said:
        return _of_other_types(engine, table, said)
    if code == _NO_COLUMN:
        return _of_other_columns(engine, table, said)
    if code in _NOT_THERE:
        return _not_set_up(engine, table, said)
    if code == "42501":
        return _not_allowed(cause, said, engine)
    if code == "25006" or (code == "55000" and "recovery" in said):
        return _takes_no_changes(said, engine)
    unknown = str(cast(Any, cause).diag.column_name) if code == "23502" else None
    if unknown is not None and unknown not in table.c:
        return _needs_newer(unknown, engine, table)
    if code in _WRONG_TEXT:
        return RemoteError(f"{where} holds or got text that cannot be converted: {said}.", _text_hint(code, table))
    unavailable = isinstance(cause, (driver.OperationalError, driver.InterfaceError)) or code[:2] in {"08", "57", "53"}
    if unavailable or code in _TOO_LONG:
        return RemoteUnavailableError(*_outage(code, said, where), host=host_of(engine))
    return RemoteError(f"{where} refused: {said}.", "Nothing was changed.")


def _said(cause: Exception, engine: Engine) -> str:
    """Give what the server said, without the statement and without the password."""
    said = "; ".join(" ".join(line.split()).rstrip("?.;") for line in str(cause).splitlines() if line.strip())
    if engine.url.password:
        said = said.replace(str(engine.url.password), "***")
    return re.split(r";? (?:LINE \d+|CONTEXT): ", said)[0].rstrip("?.") or type(cause).__name__


def _outage(code: str, said: str, where: str) -> tuple[str, str]:
    """Give message and hint of a fault that may go by itself."""
    if code in _BUSY:
        return f"{where} was busy, since another one was writing: {said}.", "Try again; nothing was changed there."
    if code == _LOCKED:
        hint = "Its owner finds it in pg_stat_activity or pg_prepared_xacts."
        return f"{where} was locked by another transaction for too long.", f"Try again; nothing was changed. {hint}"
    if code in _TOO_LONG:
        hint = "Try again later, or ask its owner for more time; nothing was changed there."
        return f"{where} did not wait any longer: {said}.", hint
    if code.startswith("53"):
        hint = "Tell its owner, or try again later; nothing was changed there."
        return f"{where} has no room for this: {said}.", hint
    advice = (hint for pattern, hint in _REFUSALS if not code and re.search(pattern, said))
    hint = next(advice, "try again later, or check the URL.")
    return f"{where} is not available: {said}.", f"The local database works without it; {hint}"


def _not_allowed(cause: Any, said: str, engine: Engine) -> RemoteError:
    where = f"on the remote database at {host_of(engine)}"
    role = engine.url.username or "that you connect as"
    if "must be owner" in said:
        return RemoteError(
            f"The role {role} is not the owner {where}: {said}.", "Ask the owner to do this; nothing was changed."
        )
    what = re.search(r"permission denied for (\w+) (\S+)", said)
    if what is None:
        hint = "Ask its owner; koa-cal remote init prints the grants."
    else:
        kind, name = what.groups()
        on = name if kind == "table" else f"{kind.upper()} {name}"
        right, before = _right_for(cause, kind), "Its"
        if name.endswith("_calibrations") and right != "SELECT":
            right = "INSERT, UPDATE, DELETE"  # what publishing and flagging need together
            before = "Set KOA_REMOTE_DATABASE_URL to the URL of a role that may publish; or its"
        hint = f"{before} owner runs: GRANT {right} ON {on} TO {engine.url.username or 'ROLE'};"
    return RemoteError(f"The role {role} lacks a right {where}: {said}.", hint)


def _takes_no_changes(said: str, engine: Engine) -> RemoteError:
    where = f"The remote database at {host_of(engine)} takes no changes"
    if engine.get_execution_options().get("postgresql_readonly"):
        return RemoteError(f"{where} over this connection: {said}.", "Publish or flag instead; nothing was changed.")
    several = ", or add target_session_attrs=read-write to it" if "," in host_of(engine) else ""
    return RemoteError(
        f"{where}, since it is a standby or read-only: {said}.",
        f"Give the primary's URL{several}; nothing was changed.",
    )


def _text_hint(code: str, table: Table) -> str:
    if code == "22021":
        find = f"SELECT id, filename FROM {table.name} WHERE {table.name}::text ~ '[^\\x01-\\x7f]'"
        return f"Its owner finds such rows by {find}, and writes their text in UTF-8."
    return "Write the text without this character, or ask its owner for a database whose encoding is UTF8."


def _needs_newer(column: str, engine: Engine, table: Table) -> SchemaMismatchError:
    host = host_of(engine)
    return SchemaMismatchError(
        f"The table {table.name} on the remote database at {host} needs a value in {column}, a column that the "
        "installed plugin does not have.",
        "A newer version of the plugin made it; install that version.",
        database=host,
        table=table.name,
        missing=(column,),
    )


def _of_other_types(engine: Engine, table: Table, said: str) -> SchemaMismatchError:
    host = host_of(engine)
    return SchemaMismatchError(
        f"A column of {table.name} on the remote database at {host} is of another type than the plugin's: {said}.",
        "Sync and choose from the local copy, or ask the owner for a column of the plugin's type; nothing was changed.",
        database=host,
        table=table.name,
        missing=(),
    )


def _of_other_columns(engine: Engine, table: Table, said: str) -> SchemaMismatchError:
    host = host_of(engine)
    return SchemaMismatchError(
        f"The columns of {table.name} on the remote database at {host} are not those of the installed plugin: {said}.",
        f"Sync and choose from the local copy, or install the plugin's version that set it up. {init_hint(table)}",
        database=host,
        table=table.name,
        missing=(),
    )


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
    statement = (
        bytes(getattr(getattr(cause, "cursor", None), "query", None) or b"")
        .decode(errors="replace")
        .removeprefix(AT_PRIMARY)
    )
    if kind == "schema":
        return "USAGE, CREATE" if statement.lstrip().startswith("CREATE") else "USAGE"
    for right in ("INSERT", "UPDATE", "DELETE"):
        if right in statement:
            return f"SELECT, {right}"
    return "SELECT"
