"""Mending the rows that are left of a spoilt database, before anything is added to them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from ..database.by_index import correct, differing
from ..database.feed import feed_paused
from ..database.local import LocalDatabase
from ..database.row_forms import spoilt_rows
from ..database.sqlite import driver_of, quote
from ..instrument.plain import shown
from .folder import Cache
from .row_mending import RowMender


class Told(NamedTuple):
    """What was mended, in sentences, and what could not be, by file name or id."""

    noticed: list[str]
    lost: dict[str, str]


def correct_by_indexes(local: LocalDatabase[Any], old: Path) -> Told:
    """Let records have the ids and names that the old indexes say, where the table's own are known to nobody."""
    told = Told([], {})
    for found in differing(old, local.orm_class):
        said = f"{found.column} {shown(found.in_table)} of the old table is {shown(found.in_index)} in its index"
        with local.begin() as connection:
            is_corrected = correct(driver_of(connection), local.orm_class, found)
        if is_corrected:
            told.noticed.append(f"The {said}, which is right: something else here knows it.")
        else:
            told.lost[str(found.in_table)] = f"the {said}; which of them is right is not known"
    return told


def mend_all(local: LocalDatabase[Any], cache: Cache) -> Told:
    """Mend the rows that are not in form, and remove those that lost too much."""
    told, table = Told([], {}), quote(local.orm_class.table().name)
    with local.begin() as connection, feed_paused(driver_of(connection), local.orm_class):
        driver = driver_of(connection)
        mender = RowMender(driver, local.orm_class, cache)
        mended = mender.mended(spoilt_rows(driver, local.orm_class))
        left = mender.write(mended)
        driver.executemany(f"DELETE FROM {table} WHERE _rowid_ = ?", [(each.row.rowid,) for each in left])  # noqa: S608
    for each in mended:
        if each in left or each.lost:
            told.lost[each.row.name] = each.lost or f"its row is spoilt: {each.row.said}"
        else:
            told.noticed.append(f"{each.row.name} was mended: {each.said}.")
    return told
