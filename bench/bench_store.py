"""Opening a store, and using a file that it holds."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

from koa_middleware import CalibrationStore
from made import ORM, TABLE, filled_store, made_files
from measuring import Row, at_most, medians, row


def rows(quick: bool) -> Iterable[Row]:
    """Each beside the same by hand, and beside its limit."""
    yield from _opening(20 if quick else 500)
    yield from _cached(1_000, 50) if quick else _cached(100_000, 3_000)


def _opening(rounds: int) -> Iterable[Row]:
    with tempfile.TemporaryDirectory() as folder:
        with filled_store(Path(folder), 1_000) as store:
            database = store.local_db.path

        def ours(_: int) -> None:
            CalibrationStore(ORM, folder).close()

        def by_hand(_: int) -> None:
            with closing(sqlite3.connect(database)) as connection:
                connection.execute("SELECT count(*) FROM sqlite_master").fetchone()

        found = medians({"ours": ours, "by hand": by_hand}, rounds)
    yield row("open and close a store", found["ours"], "its SQLite file by hand", found["by hand"])
    yield at_most("the difference of the two", found["ours"] - found["by hand"], 0.003)


def _cached(size: int, rounds: int) -> Iterable[Row]:
    with tempfile.TemporaryDirectory() as folder, filled_store(Path(folder), size) as store:
        path, record = store.register_calibration(made_files(Path(folder), 1)[0])
        connection = sqlite3.connect(store.local_db.path)

        def ours(_: int) -> Any:
            return store.get_calibration_by_id(record.id)

        def by_hand(_: int) -> Any:
            found = connection.execute(f"SELECT * FROM {TABLE} WHERE id = ?", (record.id,)).fetchone()
            return found, path.stat()

        found = medians({"ours": ours, "by hand": by_hand}, rounds, warm_up=10)
        connection.close()
    yield row("get a cached file by its id, verified", found["ours"], "query and stat by hand", found["by hand"], 3.0)
    yield at_most("the same", found["ours"], 0.0002)
