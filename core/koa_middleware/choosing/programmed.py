"""The methods that a plugin's selector overrides: how they are called, and what they may return."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import Select, bindparam, select

from ..exceptions import ConfigurationError, InvalidPluginError, KoaMiddlewareError, described
from ..instrument.orm import ORMCalibration
from ..instrument.plain import is_text, shown
from .statement import fetch

if TYPE_CHECKING:
    from .selector import CalibrationSelector, Database


def records_by(
    selector: CalibrationSelector, method: str, orm_class: type[ORMCalibration], *arguments: Any
) -> list[ORMCalibration]:
    """Call a method that gives records of a class.

    Raises
    ------
    ConfigurationError
        When it returns something else.
    InvalidPluginError
        When it fails with an error that is none of this package, or ends the program.
    """
    with its_errors(selector, method):
        found = getattr(selector, method)(*arguments)
        if isinstance(found, Iterable) and not isinstance(found, list | str | ORMCalibration):
            found = list(found)
    hint = "It should return a list of records."
    if not isinstance(found, list):
        raise _returned(selector, method, shown(found), hint)
    for each in found:
        if not isinstance(each, orm_class):
            raise _returned(selector, method, f"{shown(each)} among its records", hint)
    return found


def record_by(selector: CalibrationSelector, method: str, *arguments: Any) -> ORMCalibration | None:
    """Call a method that gives a record or None; see `records_by` for its errors."""
    with its_errors(selector, method):
        record = getattr(selector, method)(*arguments)
    if record is None or isinstance(record, ORMCalibration):
        return record
    raise _returned(selector, method, shown(record), "It should return a record, or None.")


def check_candidate(
    selector: CalibrationSelector, record: ORMCalibration, candidates: Sequence[ORMCalibration]
) -> None:
    """Check that what `select_best` took is one of its candidates.

    Raises
    ------
    ConfigurationError
    """
    if not any(each is record for each in candidates) and record.id not in [each.id for each in candidates]:
        found = f"{shown(record.filename)}, which is none of its candidates"
        raise _returned(selector, "select_best", found, "It should return one of them, or None.")


def as_held(selector: CalibrationSelector, method: str, record: ORMCalibration, db: Database) -> ORMCalibration:
    """Read a record that a method gave from the database: a method may have kept it for long, or changed it.

    Raises
    ------
    ConfigurationError
        When the database holds none of that id, or it is not of the selector's type.
    """
    cal_type = selector.cal_type.strip().lower()
    found = fetch(db, _itself(db.orm_class), {"id": record.id}) if is_text(record.id) else []
    if found and found[0].cal_type == cal_type:
        found[0].is_fallback = record.is_fallback
        return found[0]
    fault = f"whose cal_type is {found[0].cal_type}" if found else "which the database does not hold"
    raise _returned(
        selector,
        method,
        f"{shown(record.filename)}, {fault}",
        f"It should return what the database holds of the type {cal_type}.",
    )


@lru_cache(maxsize=64)
def _itself(orm_class: type[ORMCalibration]) -> Select[Any]:
    table = orm_class.table()
    return select(table).where(table.c.id == bindparam("id", None))


@contextmanager
def its_errors(selector: CalibrationSelector, method: str) -> Iterator[None]:
    """Say of an error that is none of this package which method of a plugin it is of.

    Where the base's own method fails, it is of the records that the plugin's candidates are.
    """
    try:
        yield
    except (KoaMiddlewareError, Warning):
        raise
    except (Exception, SystemExit) as error:
        faulty = next((each for each in (method, "get_candidates") if selector._overrides(each)), None)
        if faulty is None:
            raise
        raise InvalidPluginError(
            f"The {faulty} of {type(selector).__name__} failed with {described(error)}.",
            "Correct that method.",
            instrument="",
            distribution="",
        ) from error


def _returned(selector: CalibrationSelector, method: str, found: str, hint: str) -> ConfigurationError:
    said = f"The {method} of {type(selector).__name__} returned {found}."
    return ConfigurationError(said, hint, setting=method, variable=None)


@contextmanager
def without_collection() -> Iterator[None]:
    """Keep Python from looking for cyclic garbage while there are many records, of which none is garbage."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
