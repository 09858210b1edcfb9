"""Upgrading an archive's table that another version set up, beyond additions.

Columns are renamed. Values come into another type or form by the code that values from headers pass, and by ``ALTER
COLUMN TYPE``, which calls no trigger: in place of an entry for each row, the feed gets one that lets everybody read
everything once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from sqlalchemy import Column, Connection, Dialect, String, Table, text
from sqlalchemy.dialects import postgresql

from ...database.changes import n_rows
from ...database.declared import Declaration, DeclaredColumn, check_older
from ...exceptions import SchemaMismatchError
from ...instrument.orm import ORMCalibration
from ..matching import former_name
from .catalog import Catalog
from .errors import host_of
from .history_schema import restated
from .identifiers import history_name, quote
from .literals import default_literal, text_literal
from .notes import Note, read_notes
from .restating import Restating
from .values import TEXT_TYPES

_DIALECT: Dialect = postgresql.dialect()  # type: ignore[no-untyped-call]

#: Values that an error shows.
_SHOWN = 3


class Upgrade(NamedTuple):
    """What a class wants changed in an archive's table beyond additions.

    Attributes
    ----------
    there : Catalog
        What stands there once the statements were run.
    statements : list of str
    told : list of str
        What old rows don't obey, a sentence each.
    notes : list of Note
        Who set the archive up, from then on.
    leads : bool
        Whether no newer class did.
    restates : bool
        Whether rows get other names or values.
    """

    there: Catalog
    statements: list[str]
    told: list[str]
    notes: list[Note]
    leads: bool
    restates: bool = False


def upgrade(connection: Connection, orm_class: type[ORMCalibration], there: Catalog) -> Upgrade:
    """Tell what a class wants of an archive's table; only reads.

    Raises
    ------
    SchemaMismatchError
        When a column's values cannot be what the class wants, or a newer class has changed what this one knows.
    """
    notes, me = read_notes(there.comment), Note.of(orm_class)
    leads = me.leads(notes)
    is_known = any(map(me.is_of, notes))
    after = notes if is_known else [*notes, me] if leads else [me, *notes]
    if not leads:
        _check_older(connection, orm_class, notes[-1], there)
    if is_known or not leads or orm_class.table().name not in there.relations:
        return Upgrade(there, [], [], after, leads)
    changing = _Changing(connection, orm_class, there, notes[-1].declared if notes else None)
    changing.run()
    return Upgrade(changing.there, changing.statements, changing.told, after, leads, changing.restates)


def _check_older(connection: Connection, orm_class: type[ORMCalibration], newest: Note, there: Catalog) -> None:
    found = {name.lower() for name in there.columns}
    where = f"the archive at {host_of(connection.engine)}"
    try:
        check_older(orm_class, newest.declared, newest.version, found, where)
    except SchemaMismatchError as error:
        plugin = f"{orm_class.instrument_name}'s plugin of version {newest.version} or newer"
        said = f"Install {plugin}; nothing was changed." if newest.version else "Use the class that upgraded it."
        raise SchemaMismatchError(
            error.message, said, database=error.database, table=error.table, missing=error.missing
        ) from error


class _Changing:
    """The changes of one archive's table.

    Parameters
    ----------
    connection : sqlalchemy.Connection
        For reading.
    orm_class : type
    there : Catalog
    before : Declaration, optional
        What the rows obey; unknown for an archive from before notes were kept, whose types and values stay.
    """

    def __init__(
        self, connection: Connection, orm_class: type[ORMCalibration], there: Catalog, before: Declaration | None
    ) -> None:
        self.there = there
        self.statements: list[str] = []
        self.told: list[str] = []
        self.restates = False
        self._connection = connection
        self._orm_class = orm_class
        self._table: Table = orm_class.table()
        self._name = quote(self._table.name)
        self._before = before
        self._now = Declaration.of(orm_class)
        self._old_names: dict[str, str] = {}

    def run(self) -> None:
        """Find all changes."""
        self._rename()
        if self._before is not None:
            self._drop_indexes(self._before)
            for old, was in self._before.columns.items():
                name = next((new for new, former in self._old_names.items() if former == old), old)
                if name in self._now.columns and name in self.there.columns:
                    self._change(self._table.c[name], was, self._now.columns[name])
            self.told += self._not_applied(self._before)

    def _rename(self) -> None:
        columns, former = dict(self.there.columns), dict(self.there.former)
        for column in self._table.c:
            old = former_name(column, columns, self._table)
            if old is not None:
                renaming = f"RENAME COLUMN {quote(old)} TO {quote(column.name)}"
                self.statements.append(f"ALTER TABLE {self._name} {renaming}")
                columns[column.name] = columns.pop(old)
                if old in former and column.name not in former:
                    self.statements.append(f"ALTER TABLE {quote(history_name(self._table))} {renaming}")
                    former[column.name] = former.pop(old)
                self._old_names[column.name] = old
                self.restates = True
        new_names = {old: new for new, old in self._old_names.items()}
        self.there = replace(
            self.there,
            columns=columns,
            former=former,
            needed=frozenset(new_names.get(name, name) for name in self.there.needed),
            with_default=frozenset(new_names.get(name, name) for name in self.there.with_default),
            unique={new_names.get(name, name): sql for name, sql in self.there.unique.items()},
        )

    def _drop_indexes(self, before: Declaration) -> None:
        gone = [name for name, columns in before.indexes.items() if self._now.indexes.get(name) != columns]
        gone = [name for name in gone if name in self.there.relations]
        self.statements += [f"DROP INDEX {quote(name)}" for name in gone]
        self.there = replace(self.there, relations=self.there.relations - set(gone))

    def _change(self, column: Column[Any], was: DeclaredColumn, now: DeclaredColumn) -> None:
        is_unique = column.name in self.there.unique
        if was.is_unique and not now.is_unique and is_unique:
            self.statements.append(self.there.unique[column.name])
        is_restated = was.form != now.form and self._restate(column, now, is_retyped=was.type != now.type)
        if was.form != now.form:
            self._restate_former(column)
        if now.is_unique and not is_unique:
            if not is_restated:
                self._check_unique(column, quote(column.name))
            index = quote(f"uq_{self._table.name}_{column.name}")
            self.statements.append(f"CREATE UNIQUE INDEX {index} ON {self._name} ({quote(column.name)})")
        default = default_literal(column)
        has_default = column.name in self.there.with_default
        if default is not None and (is_restated if has_default else now.is_required):
            self.statements.append(f"{self._alter(column)} SET DEFAULT {default}")
        if was.is_required and not now.is_required and column.name in self.there.needed:
            self.statements.append(f"{self._alter(column)} DROP NOT NULL")
        if now.is_required and not was.is_required and column.default is None:
            self._tell_lacking(column)

    def _restate(self, column: Column[Any], now: DeclaredColumn, *, is_retyped: bool) -> bool:
        """Bring a column's values into the class's form; whether there is anything to do."""
        type_ = self._type_of(column) if is_retyped else self.there.columns[column.name]
        using = self._using(column, type_)
        if using == quote(column.name):
            return False
        if now.is_unique:
            self._check_unique(column, using)
        if column.name in self.there.with_default:
            self.statements.append(f"{self._alter(column)} DROP DEFAULT")
        collation = ' COLLATE "C"' if type_.startswith(TEXT_TYPES) else ""
        self.statements.append(f"{self._alter(column)} TYPE {type_}{collation} USING {using}")
        self.there = replace(self.there, columns={**self.there.columns, column.name: type_})
        self.restates = True
        return True

    def _restate_former(self, column: Column[Any]) -> None:
        """Bring a column's former values into the form and type that its present ones have by then."""
        if column.name in self.there.former:
            type_, old = self.there.columns[column.name], self._old_names.get(column.name, column.name)
            former = restated(self._connection, self._table, column, old, self.there.former[column.name], type_)
            self.statements += former.statements
            self.told += former.told
            self.there = replace(self.there, former={**self.there.former, column.name: type_})

    def _alter(self, column: Column[Any]) -> str:
        return f"ALTER TABLE {self._name} ALTER COLUMN {quote(column.name)}"

    def _tell_lacking(self, column: Column[Any]) -> None:
        lacking = self._count(f"{self._name} WHERE {self._old(column)} IS NULL")
        if lacking:
            self.told.append(
                f"The column {column.name} has no value in {n_rows(lacking)}, and {self._orm_class.__name__} needs "
                "one; who follows the archive with it keeps such rows apart."
            )

    def _type_of(self, column: Column[Any]) -> str:
        """Give the name that the server has for the type of a class's column."""
        type_ = String() if isinstance(column.type, String) else column.type
        written = type_.compile(dialect=_DIALECT)
        named = text("SELECT format_type(to_regtype(:written)::oid, NULL)")
        return str(self._connection.scalar(named, {"written": written}) or written)

    def _old(self, column: Column[Any]) -> str:
        """Give a column as it is called before the statements are run."""
        return quote(self._old_names.get(column.name, column.name))

    def _using(self, column: Column[Any], type_: str) -> str:
        """SQL that gives a column's values in the form and type that the class wants; its name where all are so.

        Raises
        ------
        SchemaMismatchError
        """
        there, name, old = self.there.columns[column.name], quote(column.name), self._old(column)
        if type_ == there and not there.startswith(TEXT_TYPES):
            return name  # of a type that the owner chose; clients bring its values into form
        restating = Restating(column, type_)
        distinct = f"SELECT DISTINCT {old}, {old}::text FROM {self._name} WHERE {old} IS NOT NULL"
        restating.look_at(self._connection.exec_driver_sql(distinct))
        if restating.refused:
            kind = type(column.type).__name__
            raise self._mismatch(column, f"holds {_listed(restating.refused)}, which cannot be {kind}")
        return restating.sql(column.name) if type_ != there or restating.changes else name

    def _check_unique(self, column: Column[Any], using: str) -> None:
        value = using.replace(quote(column.name), self._old(column))
        twice = (
            f"SELECT ({value})::text FROM {self._name} WHERE ({value}) IS NOT NULL "
            f"GROUP BY 1 HAVING count(*) > 1 ORDER BY 1 LIMIT {_SHOWN}"
        )
        found = [row[0] for row in self._connection.exec_driver_sql(twice)]
        if found:
            raise self._mismatch(column, f"holds {_listed(found)} in several rows each")

    def _not_applied(self, before: Declaration) -> Iterator[str]:
        for name, now in self._now.columns.items():
            was = before.columns.get(self._old_names.get(name, name))
            if was is not None and was.fold and not now.fold and name in self.there.columns:
                yield f"The column {name} keeps letter case now; it was folded before, and old values stay so."
        if self._now.cal_types and self._now.cal_types != before.cal_types:
            types = ", ".join(map(text_literal, self._now.cal_types))
            rows = self._count(f"{self._name} WHERE cal_type NOT IN ({types})")
            if rows:
                name = self._orm_class.__name__
                yield f"The column cal_type holds types in {n_rows(rows)} that {name} does not have."

    def _count(self, rows: str) -> int:
        return int(self._connection.exec_driver_sql(f"SELECT count(*) FROM {rows}").scalar_one())

    def _mismatch(self, column: Column[Any], fault: str) -> SchemaMismatchError:
        host = host_of(self._connection.engine)
        return SchemaMismatchError(
            f"The table {self._table.name} of the archive at {host} cannot be what {self._orm_class.__name__} "
            f"declares: its column {column.name} {fault}.",
            "Nothing was changed. Correct these values there first, or go on with the older plugin.",
            database=host,
            table=self._table.name,
            missing=(column.name,),
        )


def _listed(values: list[Any]) -> str:
    return ", ".join(map(repr, sorted(values, key=str)[:_SHOWN]))
