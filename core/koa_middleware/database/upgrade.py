"""How a database that another version of core or of a plugin made comes up to date.

One class leads: that of the greatest version, of equal versions the one that came last. It decides on names, types,
forms and indexes, once. An older class adds what it lacks and leaves all else alone, so that two versions which use one
database in turn come to rest.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

from sqlalchemy import Connection

from ..instrument.orm import ORMCalibration
from .changes import changes_in, former_columns, lacking, not_applied, renamed_columns
from .declared import Declaration, check_older, declaration_text
from .derived import derive_missing
from .feed import feed_paused, feed_table, flags_name, has_older_flags
from .history import MADE_NEW, UPGRADED, begin_history, history_table, is_recorded
from .remake import bring_into_form, history_in_form
from .schema import Found, add_columns, complete, forget_bookmark, has_all, read_schema
from .sqlite import driver_of, quote
from .versions import CORE, SCHEMA, Version, core_version, leads, plugin_version, read_versions, write_version


@dataclass(frozen=True)
class Standing:
    """How a database stands to a class.

    Attributes
    ----------
    orm_class : type
    found : Found
        What it holds.
    core, plugins : list of Version
        Who opened it; of the instrument's the last one leads.
    has_older_flags : bool
        Whether an older core left judgements.
    """

    orm_class: type[ORMCalibration]
    found: Found
    core: list[Version]
    plugins: list[Version]
    has_older_flags: bool

    @classmethod
    def of(cls, connection: sqlite3.Connection, orm_class: type[ORMCalibration]) -> Self:
        """Read it."""
        found = read_schema(connection)
        name = orm_class.instrument_name
        versions = read_versions(connection, name) if "koa_versions" in found.columns else []
        core = [each for each in versions if each.name == CORE]
        plugins = [each for each in versions if each.name == name]
        left = flags_name(orm_class) in found.columns and has_older_flags(connection, orm_class)
        return cls(orm_class, found, core, plugins, left)

    @property
    def newer_core(self) -> Version | None:
        """The core that made what this one may only read."""
        return next((each for each in self.core if int(each.schema) > SCHEMA), None)

    @property
    def newest(self) -> Version | None:
        """The version of the instrument's class that leads; None before any was noted."""
        return self.plugins[-1] if self.plugins else None

    @property
    def leading(self) -> tuple[str, str] | None:
        """Version and declaration of the class that leads."""
        return self._known[-1] if self.plugins else None

    @property
    def is_core_known(self) -> bool:
        """Whether this core opened it before."""
        return core_version() in [(each.version, each.schema) for each in self.core]

    @property
    def is_class_known(self) -> bool:
        """Whether this class opened it before."""
        return _me(self.orm_class) in self._known

    @property
    def leads(self) -> bool:
        """Whether no newer class uses it."""
        return leads(_me(self.orm_class), self._known)

    @property
    def keeps_history(self) -> bool:
        """Whether all changes of rows were kept so far."""
        tables = {feed_table(self.orm_class).name, history_table(self.orm_class).name}
        return tables <= self.found.columns.keys() and is_recorded(self.orm_class, self.found.triggers)

    @property
    def _known(self) -> list[tuple[str, str]]:
        return [(each.version, each.schema) for each in self.plugins]

    @property
    def is_up_to_date(self) -> bool:
        """Whether there is nothing to do."""
        is_known = self.is_core_known and self.is_class_known and not self.has_older_flags
        return is_known and has_all(self.found, self.orm_class, leads=self.leads)

    def check(self, database: str) -> None:
        """Check that the class can use it.

        Raises
        ------
        SchemaMismatchError
            When a newer class has changed what this one knows.
        """
        if self.newest is not None and not self.leads:
            columns = self.found.columns.get(self.orm_class.table().name, set())
            check_older(self.orm_class, Declaration.read(self.newest.schema), self.newest.version, columns, database)


def upgrade(
    connection: Connection, orm_class: type[ORMCalibration], database: str, keep_copy: Callable[[], None]
) -> list[str]:
    """Bring a database up to date, in the caller's transaction, which holds the write lock.

    Parameters
    ----------
    connection : sqlalchemy.Connection
    orm_class : type
    database : str
        As messages call it.
    keep_copy : callable
        Leaves a copy of what is committed; it is called before anything but an addition.

    Returns
    -------
    list of str
        What old rows don't obey, a sentence each.

    Raises
    ------
    SchemaMismatchError
        When a column's values cannot be what the class wants, or a newer class has changed what this one knows.
    """
    driver = driver_of(connection)
    now = Standing.of(driver, orm_class)
    now.check(database)
    if now.is_up_to_date or now.newer_core is not None:
        return []
    told: list[str] = []
    is_new = orm_class.table().name not in now.found.columns
    if now.core and not is_new and feed_table(orm_class).name not in now.found.columns:
        told.append(f"The history of {orm_class.table().name} was lost: who judged what, when and why is not known.")
    if now.leads and not now.is_class_known and not is_new:
        before = None if now.newest is None else Declaration.read(now.newest.schema)
        former = former_columns(driver, orm_class)
        renamed = _rename(driver, orm_class)
        filled = _fill(driver, orm_class, former)
        told += not_applied(driver, orm_class, before, {**former, **renamed})
        changes = changes_in(driver, orm_class, before, renamed, filled)
        if renamed or changes.restated or changes.is_remade:
            keep_copy()
            add_columns(connection, orm_class, database)
        bring_into_form(driver, orm_class, changes, database)
        told += history_in_form(driver, orm_class, changes)
        complete(connection, orm_class, database, leads=True)
        told += derive_missing(driver, orm_class)
        if renamed or changes.restated:
            forget_bookmark(driver, orm_class)
    else:
        complete(connection, orm_class, database, leads=now.leads)
    if not now.keeps_history:
        begin_history(driver, orm_class, MADE_NEW if is_new else UPGRADED)
    if not now.is_core_known:
        write_version(driver, CORE, *core_version())
    if not now.is_class_known:
        name = orm_class.instrument_name
        write_version(driver, name, *_me(orm_class), told="\n".join(told), as_first=not now.leads)
    return told


def _rename(connection: sqlite3.Connection, orm_class: type[ORMCalibration]) -> dict[str, str]:
    """Give columns their new names, in former versions too; returns them by the old ones."""
    renamed = renamed_columns(connection, orm_class)
    for table in (orm_class.table().name, history_table(orm_class).name):
        there = {row[0].lower() for row in connection.execute("SELECT name FROM pragma_table_info(?)", (table,))}
        for old, name in ((old, name) for old, name in renamed.items() if old.lower() in there):
            connection.execute(f"ALTER TABLE {quote(table)} RENAME COLUMN {quote(old)} TO {quote(name)}")
    return renamed


def _fill(connection: sqlite3.Connection, orm_class: type[ORMCalibration], former: Mapping[str, str]) -> list[str]:
    """Give columns what they lack from their former ones, in former versions too; names them."""
    if not former:
        return []
    with feed_paused(connection, orm_class):
        for table in (orm_class.table().name, history_table(orm_class).name):
            there = {row[0].lower() for row in connection.execute("SELECT name FROM pragma_table_info(?)", (table,))}
            for old, name in ((old, name) for old, name in former.items() if {old.lower(), name.lower()} <= there):
                filled = f"UPDATE {quote(table)} SET {quote(name)} = {quote(old)} WHERE {lacking(old, name)}"  # noqa: S608
                connection.execute(filled)
    return list(former.values())


def _me(orm_class: type[ORMCalibration]) -> tuple[str, str]:
    return plugin_version(orm_class), declaration_text(orm_class)
