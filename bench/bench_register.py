"""Putting calibrations in: files one by one, and records in bulk."""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

from koa_middleware import CalibrationStore
from made import INSERT, ORM, made_files, made_rows, made_values
from measuring import Row, medians, row


def rows(quick: bool) -> Iterable[Row]:
    """Registering, and adding."""
    yield from _registering(batches=4, files=5) if quick else _registering(batches=10, files=100)
    yield from _adding(batches=2, records=1_000) if quick else _adding(batches=5, records=20_000)


def _registering(batches: int, files: int) -> Iterable[Row]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        night, bare, durable = folder / "night", folder / "bare", folder / "durable"
        for each in (night, bare, durable):
            each.mkdir()
        paths = made_files(night, (batches + 1) * files)
        with CalibrationStore(ORM, folder / "cache") as store:
            for each in (bare, durable):
                shutil.copyfile(store.local_db.path, each / "copy.db")

            def batch(number: int) -> list[Path]:
                return paths[number * files : (number + 1) * files]

            def ours(number: int) -> None:
                for path in batch(number):
                    store.register_calibration(path)

            def cp(number: int) -> None:
                subprocess.run(["cp", *batch(number), bare], check=True)
                _insert(bare / "copy.db", list(made_rows(files, number * files)))

            def by_hand(number: int) -> None:
                for path, made in zip(batch(number), made_rows(files, number * files), strict=True):
                    _copy(path, durable / path.name)
                    _insert(durable / "copy.db", [made])

            found = medians({"ours": ours, "cp": cp, "by hand": by_hand}, batches)
            if len(store.local_db) != len(paths):
                raise RuntimeError(f"{len(store.local_db)} of {len(paths)} files were registered")
    what = f"register {batches * files:,} files of 71 kB"
    total = {call: median * batches for call, median in found.items()}
    yield row(what, total["ours"], f"cp and one insert of each {files}", total["cp"], note="which flush no file")
    yield row(what, total["ours"], "by hand, one by one", total["by hand"], note="copy, hash, fsync, insert")


def _copy(source: Path, target: Path) -> None:
    """Copy a file so that a power cut does not lose it, and hash it."""
    content = source.read_bytes()
    hashlib.sha256(content).hexdigest()
    with target.open("wb") as sink:
        sink.write(content)
        sink.flush()
        os.fsync(sink.fileno())
    descriptor = os.open(target.parent, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def _insert(database: Path, made: list[tuple[Any, ...]]) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.executemany(INSERT, made)


def _adding(batches: int, records: int) -> Iterable[Row]:
    with tempfile.TemporaryDirectory() as folder, CalibrationStore(ORM, folder) as store:
        copy = Path(folder) / "copy.db"
        shutil.copyfile(store.local_db.path, copy)
        firsts = [number * records for number in range(batches + 1)]
        values = [list(made_values(records, first)) for first in firsts]
        raw = [list(made_rows(records, first)) for first in firsts]
        made: dict[int, list[Any]] = {}

        def make(number: int) -> None:
            made[number] = [ORM(**each) for each in values[number]]

        making = medians({"make": make}, batches)
        adding = medians(
            {
                "ours": lambda number: store.local_db.add(made[number]),
                "by hand": lambda number: _insert(copy, raw[number]),
            },
            batches,
        )
    total = {call: median * batches for call, median in {**making, **adding}.items()}
    what, reference = f"add {batches * records:,} records", "executemany of their rows"
    yield row(what, total["ours"], reference, total["by hand"])
    yield row(what, total["ours"] + total["make"], reference, total["by hand"], note="with making them of mappings")
