"""Which versions of core and of plugins made a database what it is."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import cache, lru_cache
from importlib.metadata import PackageNotFoundError, entry_points, version
from typing import Any, NamedTuple

from sqlalchemy import Column, Integer, MetaData, String, Table
from sqlalchemy.schema import CreateTable

from .. import __version__
from ..hookspecs import GROUP
from ..instrument.orm import ORMCalibration
from ..instrument.times import now_iso
from .declared import Declaration

CORE = "koa-middleware"

#: The number of the tables of core's own; it grows when an older core could spoil what a newer one made.
SCHEMA = 1

#: Made by every class's database; it is nobody's.
VERSIONS = Table(
    "koa_versions",
    MetaData(),
    Column("n", Integer, primary_key=True),
    Column("name", String, nullable=False),
    Column("version", String, nullable=False),
    Column("schema", String, nullable=False),
    Column("since", String, nullable=False),
    Column("told", String),
)


class Version(NamedTuple):
    """A version of core or of an instrument's class that opened a database.

    Attributes
    ----------
    name : str
        ``koa-middleware``, or the instrument's.
    version : str
        Of the package; empty for a class of no package.
    schema : str
        Of core a number; of an instrument, what its class declares.
    since : str
        When it opened the database first, UTC.
    told : str
        What could not be brought into the class's form then, a sentence a line.
    """

    name: str
    version: str
    schema: str
    since: str
    told: str


def read_versions(connection: sqlite3.Connection, instrument_name: str) -> list[Version]:
    """Read core's versions and an instrument's, in the order in which they came; none where there is no table.

    What is no version is passed over: it is as if that version had never opened the database.
    """
    asked = "SELECT name, version, schema, since, coalesce(told, '') FROM koa_versions WHERE name IN (?, ?) ORDER BY n"
    try:
        found = [Version(*row) for row in connection.execute(asked, (CORE, instrument_name))]
    except sqlite3.OperationalError as error:
        if str(error) != "no such table: koa_versions":
            raise
        return []
    return [each for each in found if _is_sound(each)]


def write_version(
    connection: sqlite3.Connection, name: str, version: str, schema: str, *, told: str = "", as_first: bool = False
) -> None:
    """Add a version, in the caller's transaction: as the last one, or before all others."""
    connection.execute(str(CreateTable(VERSIONS, if_not_exists=True)))
    place = "min(n) - 1" if as_first else "max(n) + 1"
    connection.execute(
        "INSERT INTO koa_versions (n, name, version, schema, since, told) "  # noqa: S608
        f"SELECT coalesce({place}, 1), ?, ?, ?, ?, ? FROM koa_versions",
        (name, version, schema, now_iso(), told or None),
    )


def _is_sound(found: Version) -> bool:
    """Whether a row is one that `write_version` writes."""
    if not all(isinstance(each, str) for each in found):
        return False
    return _is_schema(found.name, found.schema)


@lru_cache(maxsize=64)
def _is_schema(name: str, text: str) -> bool:
    try:
        return int(text) >= 0 if name == CORE else Declaration.read(text) is not None
    except ValueError:
        return False


def leading_class(connection: sqlite3.Connection, instrument_name: str) -> tuple[str, str] | None:
    """Give version and declaration of the class that leads; None where none is noted."""
    asked = "SELECT version, schema FROM koa_versions WHERE name = ? ORDER BY n DESC LIMIT 1"
    found: tuple[str, str] | None = connection.execute(asked, (instrument_name,)).fetchone()
    return found


def core_version() -> tuple[str, str]:
    """Give this core's version and schema."""
    return __version__, str(SCHEMA)


@lru_cache(maxsize=64)
def plugin_version(orm_class: type[ORMCalibration]) -> str:
    """Give the version of the distribution that brings a class; empty where none does."""
    package = orm_class.__module__.partition(".")[0]
    try:
        return version(package)  # most are named as their package is
    except (PackageNotFoundError, ValueError):
        return _versions_by_package().get(package, "")


@cache
def _versions_by_package() -> dict[str, str]:
    plugins = [entry for entry in entry_points(group=GROUP) if entry.dist is not None]
    return {entry.module.partition(".")[0]: entry.dist.version for entry in plugins if entry.dist is not None}


def leads(mine: tuple[str, str], known: Sequence[tuple[str, str]]) -> bool:
    """Whether a class decides on names, types, forms and indexes: no newer one does, and it did not before another one.

    Parameters
    ----------
    mine : tuple of str
        Version and declaration of the class.
    known : sequence of such tuples
        Of the classes that came so far, the one that decides last.
    """
    if not known or known[-1] == mine:
        return True
    return mine not in known and not is_newer(known[-1][0], mine[0])


def is_newer(version: str, than: str) -> bool:
    """Whether a version is greater than another one; text that is no version number is the least."""
    return version != than and _number(version) > _number(than)


def _number(version: str) -> Any:
    from packaging.version import Version as Number  # only where versions differ

    try:
        return Number(version)
    except ValueError:
        return Number("0.dev0")
