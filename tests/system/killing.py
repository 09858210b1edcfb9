"""Does one thing to a cache in a process that dies at a given system call; see killing.c, which must be preloaded.

Reads lines of JSON ``{"work", "root", "last", "torn", "power", "said", ...}`` from its standard input, forks a process
for each, and answers with the number of calls; 0 when the process was killed. The process writes what it reports as
done into the file `said`, a line each.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from koa_middleware import CalibrationStore

from tests.conftest import DemoCalibration, record

Say = Callable[[str], None]
Open = Callable[..., Any]


class Model:
    """A calibration of a pipeline that writes its file itself."""

    def __init__(self, source: Path) -> None:
        self.source = source

    def to_orm(self) -> DemoCalibration:
        return record(self.source.name, 60010.0)

    def save(self, output_dir: Path) -> Path:
        path = output_dir / self.source.name
        path.write_bytes(self.source.read_bytes())
        return path


def register(store: Any, say: Say, sources: list[str]) -> None:
    for source in sources:
        say(store.register_calibration(source)[1].filename)


def register_model(store: Any, say: Say, sources: list[str]) -> None:
    for source in sources:
        say(store.register_calibration(Model(Path(source)))[1].filename)


def download(store: Any, say: Say) -> None:
    for each in store.query(origin="REMOTE"):
        say(store.download_calibration(each).name)


def prefetch(store: Any, say: Say) -> None:
    store.prefetch(records=store.query(origin="REMOTE"))
    for each in store.query(origin="REMOTE"):
        say(each.filename)


def flag(store: Any, say: Say) -> None:
    for each in store.query(origin="LOCAL"):
        store.flag(each, "BAD", "cosmic rays")
        say(each.filename)


def remove(store: Any, say: Say) -> None:
    for each in store.query(origin="LOCAL"):
        store.remove(each)
        say(each.filename)


def prune(store: Any, say: Say) -> None:
    store.prune(older_than=timedelta(hours=1))
    say("pruned")


def repair(store: Any, say: Say) -> None:
    store.verify(repair=True)
    say("repaired")


def import_bundle(store: Any, say: Say, bundle: str) -> None:
    store.import_bundle(bundle)
    say("imported")


def export_bundle(store: Any, say: Say, bundle: str) -> None:
    store.export_bundle(bundle, store.query(), overwrite=Path(bundle).exists())
    say("exported")


def refresh(store: Any, say: Say) -> None:
    store.refresh(from_files=True)
    say("refreshed")


def sync(store: Any, say: Say) -> None:
    store.sync_from_remote()
    say("synced")


def publish(store: Any, say: Say, folder: str) -> None:
    store.publish(upload_to=folder)
    say("published")


def upgrade(store: Any, say: Say) -> None:
    say("opened")


def rebuild(cache: str, say: Say) -> None:
    CalibrationStore.rebuild(DemoCalibration, cache)
    say("rebuilt")


def do(work: str, cache: str, say: Say, module: str, settings: dict[str, Any], arguments: dict[str, Any]) -> None:
    """Do it as a user would: with a store that is opened, used and closed."""
    if work == "rebuild":
        rebuild(cache, say)
        return
    orm_class = importlib.import_module(module).Demo if module else DemoCalibration
    with CalibrationStore(orm_class, cache, **settings) as store:
        globals()[work](store, say, **arguments)


def main() -> None:
    shim = ctypes.CDLL(None)
    shim.koa_calls.restype = ctypes.c_long
    for line in sys.stdin:
        asked = json.loads(line)
        read, write = os.pipe()
        child = os.fork()
        if not child:
            os.close(read)
            try:
                with Path(asked["said"]).open("w") as said:
                    shim.koa_arm(
                        os.fsencode(asked["root"]), ctypes.c_long(asked["last"]), asked["torn"], asked["power"]
                    )
                    do(
                        asked["work"],
                        asked["cache"],
                        lambda done: print(done, file=said, flush=True),
                        asked["module"],
                        asked["settings"],
                        asked["arguments"],
                    )
                os.write(write, str(shim.koa_calls()).encode())
                os._exit(0)
            except BaseException:  # noqa: BLE001 - told on stderr, and by the exit
                import traceback

                traceback.print_exc()
                os._exit(1)
        os.close(write)
        with os.fdopen(read) as told:
            calls = told.read() or "0"
        _, status = os.waitpid(child, 0)
        print(calls, os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
