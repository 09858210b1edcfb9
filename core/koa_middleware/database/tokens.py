"""Tokens by which a server of the archive knows who asks: kept as hashes, beside what is served.

The table stands in the archive's PostgreSQL database, where its owner makes it with all else; or in the cache's own
one, where the first token makes it.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Collection
from typing import Any, Literal, NamedTuple, get_args

from sqlalchemy import Column, Connection, Index, MetaData, String, Table, exc, insert, inspect, or_, select, update

from ..exceptions import ConfigurationError
from ..instrument.times import now_iso
from .local import LocalDatabase
from .table import CalibrationDatabase

Scope = Literal["read", "publish", "flag"]
SCOPES: tuple[Scope, ...] = get_args(Scope)

#: How each token begins, so that people and scanners of secrets know it for one.
PREFIX = "koa_"
_BYTES = 32
_LONGEST_NAME = 64

#: Times are UTC, in microseconds; scopes and instruments are separated by blanks, no instrument means all.
TOKENS = Table(
    "koa_tokens",
    MetaData(),
    Column("sha256", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("scopes", String, nullable=False),
    Column("instruments", String, nullable=False),
    Column("made", String, nullable=False),
    Column("expires", String),
    Column("revoked", String),
)
_OF_LIVING = TOKENS.c.revoked.is_(None)
Index("uq_koa_tokens_name", TOKENS.c.name, unique=True, postgresql_where=_OF_LIVING, sqlite_where=_OF_LIVING)


class Token(NamedTuple):
    """What is kept of a token.

    Attributes
    ----------
    name : str
        Whose it is; the "who" of what is done with it.
    scopes : tuple of str
    instruments : tuple of str
        For which it holds; empty: for all in its database.
    made : str
    expires, revoked : str or None
    """

    name: str
    scopes: tuple[str, ...]
    instruments: tuple[str, ...]
    made: str
    expires: str | None = None
    revoked: str | None = None

    def holds_for(self, instrument: str) -> bool:
        """Whether it is for an instrument."""
        return not self.instruments or instrument in self.instruments

    def has_expired(self) -> bool:
        """Whether its time is over."""
        return self.expires is not None and self.expires <= now_iso()


def new_token() -> str:
    """Make a token: the prefix and 32 random bytes."""
    return PREFIX + base64.urlsafe_b64encode(secrets.token_bytes(_BYTES)).rstrip(b"=").decode()


def hash_of(token: str) -> str:
    """Give what is kept of a token's letters."""
    return hashlib.sha256(token.encode(errors="surrogateescape")).hexdigest()


def check_name(name: str) -> None:
    """Check that a token can have a name.

    Raises
    ------
    ConfigurationError
    """
    fault = ""
    if not name.isprintable():
        fault = "it holds what is not seen"
    elif not name or name != name.strip():
        fault = "it is empty, or a blank stands at its end"
    elif len(name) > _LONGEST_NAME:
        fault = f"it is longer than {_LONGEST_NAME} letters"
    if fault:
        raise _unusable(f"A token cannot be named {name!r}: {fault}.", "Give a plain name, such as the publisher's.")


class Tokens:
    """The tokens of a database.

    Parameters
    ----------
    database : CalibrationDatabase
        An instrument's table there, beside which they stand.
    """

    def __init__(self, database: CalibrationDatabase[Any]) -> None:
        self._database = database

    def add(
        self, token: str, name: str, scopes: Collection[str], instruments: Collection[str], expires: str | None
    ) -> None:
        """Keep a new token.

        Parameters
        ----------
        token : str
            As `new_token` made it.
        name : str
        scopes, instruments : collection of str
            As of `Token`.
        expires : str or None
            UTC, in microseconds.

        Raises
        ------
        ConfigurationError
            When the name is unusable, or a living token has it.
        SchemaMismatchError
            When the archive has no table for it.
        RemoteError
            When its role may not write there.
        """
        check_name(name)
        now = now_iso()
        row = {"sha256": hash_of(token), "name": name, "scopes": " ".join(each for each in SCOPES if each in scopes)}
        row |= {"instruments": " ".join(sorted(instruments)), "made": now}
        with self._database.begin() as connection:
            if isinstance(self._database, LocalDatabase):
                TOKENS.metadata.create_all(connection)
            has_ended = (TOKENS.c.name == name) & _OF_LIVING & (TOKENS.c.expires <= now)
            connection.execute(update(TOKENS).where(has_ended).values(revoked=TOKENS.c.expires))
            try:
                connection.execute(insert(TOKENS), {**row, "expires": expires})
            except exc.IntegrityError:
                said = f"{self._database.name} has a living token named {name!r}."
                raise _unusable(said, "Choose another name, or revoke it first: koa-cal token revoke.") from None

    def revoke(self, name: str) -> bool:
        """End the living token of a name; whether there was one."""
        with self._database.begin() as connection:
            if not _is_made(connection):
                return False
            named = update(TOKENS).where(TOKENS.c.name == name, _is_living())
            return connection.execute(named.values(revoked=now_iso())).rowcount > 0

    def living(self) -> dict[str, Token]:
        """Give those that hold, by their hashes."""
        return self._read(living=True)

    def all(self) -> dict[str, Token]:
        """Give all that ever were, oldest first, by their hashes."""
        return self._read(living=False)

    def _read(self, *, living: bool) -> dict[str, Token]:
        asked = select(TOKENS).order_by(TOKENS.c.made)
        with self._database.connect() as connection:
            rows = connection.execute(asked.where(_is_living()) if living else asked) if _is_made(connection) else ()
            return {
                hash_: Token(name, tuple(scopes.split()), tuple(instruments.split()), *times)
                for hash_, name, scopes, instruments, *times in rows
            }


def _is_living() -> Any:
    return _OF_LIVING & or_(TOKENS.c.expires.is_(None), TOKENS.c.expires > now_iso())


def _is_made(connection: Connection) -> bool:
    return inspect(connection).has_table(TOKENS.name)


def _unusable(message: str, hint: str) -> ConfigurationError:
    return ConfigurationError(message, hint, setting="NAME", variable=None)
