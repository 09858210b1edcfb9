"""Records made of rows, without a session: usable after the store is closed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, TypeVar, cast

from sqlalchemy.dialects.sqlite import dialect as sqlite_dialect
from sqlalchemy.orm import configure_mappers
from sqlalchemy.orm.attributes import instance_state, manager_of_class

from .orm import ORMCalibration

R = TypeVar("R", bound=ORMCalibration)


def record_builder(orm_class: type[R], raw: bool = False) -> Callable[[Sequence[Any]], R]:
    """Give a function that makes a detached record of a row with the table's columns in order.

    `raw` rows come from the SQLite driver as it stores them, others through SQLAlchemy. No column holds bytes: where a
    spoilt database has some, they are the text that shows them.
    """
    return cast("Callable[[Sequence[Any]], R]", _builder(orm_class, raw))


@lru_cache(maxsize=64)
def _builder(orm_class: type[ORMCalibration], raw: bool) -> Callable[[Sequence[Any]], ORMCalibration]:
    configure_mappers()
    manager = manager_of_class(orm_class)
    names, key = orm_class.column_names(), orm_class.table().primary_key.columns.keys()
    mapped, _, token = manager.mapper.identity_key_from_primary_key(("",) * len(key))
    places = [names.index(name) for name in key]
    dialect = sqlite_dialect()
    found = ((c.key, c.type.dialect_impl(dialect).result_processor(dialect, None)) for c in orm_class.table().c)
    processors = [(name, process) for name, process in found if raw and process is not None]

    def build(row: Sequence[Any]) -> ORMCalibration:
        if bytes in map(type, row):
            row = [str(each, errors="backslashreplace") if isinstance(each, bytes) else each for each in row]
        record: ORMCalibration = manager.new_instance()
        state = record.__dict__
        state.update(zip(names, row, strict=True))
        for name, process in processors:
            state[name] = process(state[name])
        # A complete new record needs no more of what `make_transient_to_detached` does for each attribute.
        instance_state(record).key = mapped, tuple([row[place] for place in places]), token
        return record

    return build
