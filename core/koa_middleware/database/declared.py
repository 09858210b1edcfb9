"""What a class declares that its rows obey, as text that a database keeps.

From it an upgrade knows what changed, and an older class what a newer one did to its columns.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple, Self

from sqlalchemy import Column, Table, UniqueConstraint

from ..exceptions import SchemaMismatchError
from ..instrument.orm import ORMCalibration


class DeclaredColumn(NamedTuple):
    """What a class declares of a column.

    Attributes
    ----------
    type : str
        Name of the SQLAlchemy type, without its arguments.
    fold : bool or str
    nulls : tuple of str, or None
    is_required : bool
        Whether every row has a value.
    is_unique : bool
    renamed_from : tuple of str
        Former names.
    """

    type: str
    fold: bool | str
    nulls: tuple[str, ...] | None
    is_required: bool
    is_unique: bool
    renamed_from: tuple[str, ...]

    @property
    def form(self) -> tuple[Any, ...]:
        """What decides the form of a value."""
        return self.type, self.fold, self.nulls


class Declaration(NamedTuple):
    """What a class declares.

    Attributes
    ----------
    columns : dict
        `DeclaredColumn` by name.
    indexes : dict
        Columns by the index's name.
    cal_types, version_family : tuple of str
    """

    columns: dict[str, DeclaredColumn]
    indexes: dict[str, tuple[str, ...]]
    cal_types: tuple[str, ...]
    version_family: tuple[str, ...]

    @classmethod
    def of(cls, orm_class: type[ORMCalibration]) -> Self:
        """Read a class."""
        table = orm_class.table()
        unique = unique_columns(table)
        return cls(
            {column.name: _declared(column, (column.name,) in unique) for column in table.c},
            {str(index.name): tuple(index.columns.keys()) for index in table.indexes},
            tuple(sorted(orm_class.cal_types)),
            tuple(sorted(orm_class.version_family)),
        )

    @classmethod
    def read(cls, text: str) -> Self:
        """Read what a database keeps, without what a newer core added there.

        Raises
        ------
        ValueError
            When it is no declaration.
        """
        try:
            return cls._read(json.loads(text))
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
            raise ValueError("it is no declaration") from error

    @classmethod
    def _read(cls, found: dict[str, Any]) -> Self:
        columns = {
            name: DeclaredColumn(
                _texts([said["type"]])[0],
                _fold(said.get("fold", False)),
                None if said.get("nulls") is None else _texts(said["nulls"]),
                said.get("is_required", False) is True,
                said.get("is_unique", False) is True,
                _texts(said.get("renamed_from", [])),
            )
            for name, said in found["columns"].items()
        }
        indexes = {name: _texts(names) for name, names in found["indexes"].items()}
        return cls(columns, indexes, _texts(found["cal_types"]), _texts(found["version_family"]))

    @property
    def text(self) -> str:
        """The declaration as a database keeps it."""
        columns = {
            name: {key: value for key, value in said._asdict().items() if value not in (False, None, ())}
            for name, said in self.columns.items()
        }
        return json.dumps({**self._asdict(), "columns": columns}, sort_keys=True)

    def new_name_of(self, column: str) -> str | None:
        """The name that a former name was changed to."""
        return next((name for name, said in self.columns.items() if column in said.renamed_from), None)


def _texts(found: Any) -> tuple[str, ...]:
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise TypeError
    return tuple(found)


def _fold(found: Any) -> bool | str:
    if not isinstance(found, bool | str):
        raise TypeError
    return found


def _declared(column: Column[Any], is_unique: bool) -> DeclaredColumn:
    info = column.info
    return DeclaredColumn(
        type(column.type).__name__,
        info.get("fold") or False,
        None if info.get("nulls") is None else tuple(sorted(info["nulls"])),
        not column.nullable,
        is_unique,
        tuple(info.get("renamed_from", ())),
    )


def unique_columns(table: Table) -> set[tuple[str, ...]]:
    """Give the sets of columns, in order, whose values no two rows share; the primary key is left out."""
    constraints = (each.columns.keys() for each in table.constraints if isinstance(each, UniqueConstraint))
    indexes = (index.columns.keys() for index in table.indexes if index.unique)
    return {tuple(names) for names in (*constraints, *indexes)}


@lru_cache(maxsize=64)
def declaration_text(orm_class: type[ORMCalibration]) -> str:
    """Give what a class declares as a database keeps it."""
    return Declaration.of(orm_class).text


def check_older(
    orm_class: type[ORMCalibration], newest: Declaration, version: str, found: set[str], database: str
) -> None:
    """Check that a class can read and write what a newer one has made of its columns.

    Parameters
    ----------
    orm_class : type
    newest : Declaration
        Of the newer one, whose plugin's version is `version`.
    found : set of str
        The table's columns, in lower case.
    database : str

    Raises
    ------
    SchemaMismatchError
        When a column was renamed, has another type, or takes only values that the class doesn't always give.
    """
    faults = dict(_faults(Declaration.of(orm_class), newest, found))
    if not faults:
        return
    name = orm_class.instrument_name
    raise SchemaMismatchError(
        f"The class {orm_class.__name__} cannot use {database}, which {name}'s version {version or 'without number'} "
        f"upgraded: {'; '.join(faults.values())}.",
        f"Install {name}'s plugin of version {version} or newer, or use another cache folder."
        if version
        else "Use the class that upgraded it, or another cache folder.",
        database=database,
        table=orm_class.table().name,
        missing=tuple(faults),
    )


def _faults(mine: Declaration, newest: Declaration, found: set[str]) -> Iterator[tuple[str, str]]:
    for name, column in mine.columns.items():
        there = newest.columns.get(name)
        new_name = newest.new_name_of(name)
        if there is None and new_name is not None and name.lower() not in found:
            yield name, f"the column {name} is called {new_name}"
        elif there is None:
            continue
        elif there.type != column.type:
            yield name, f"the column {name} is {there.type}, not {column.type}"
        elif there.is_required and not column.is_required:
            yield name, f"the column {name} needs a value in every row"
        elif there.is_unique and not column.is_unique:
            yield name, f"the column {name} may hold each value once only"
