"""A process is killed at each system call that changes something, or the power is cut there; nothing is to be repaired.

After each: the database is sound, `verify` finds no fault, what was reported as done is there, every other file is ours
and known as a leftover, goes when it is old, and the same work can be done again to its end. See killing.c.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from koa_middleware import CalibrationStore
from koa_middleware.cache.folder import Cache
from koa_middleware.cache.verify import VerificationReport
from koa_middleware.disk.checksums import digest_of
from koa_middleware.disk.writing import left_beside
from sqlalchemy import update

from tests.conftest import ROOT, DemoCalibration, dark, record, repetitions
from tests.plugin_versions import ARM, Plugins
from tests.system.killing import do
from tests.system.test_store_remote import Server

HERE = Path(__file__).parent
DATABASE = Path("cache", "database", "demo_calibrations.db")
BUNDLE = Path("bundles", "night.tar")
COMPILER = shutil.which("cc")

#: How a process ends at a call: killed before it, killed amidst it where it writes, or by a power cut before it, in
#: which all that was not flushed is lost, or some.
ENDS = {"killed": (0, 0), "torn": (1, 0), "power cut": (0, 1), "power cut with some lost": (0, 2)}

pytestmark = [
    pytest.mark.soak,
    pytest.mark.filterwarnings("ignore:1 file is in no record"),  # after the first registration that was cut off
    pytest.mark.skipif(sys.platform != "linux" or COMPILER is None, reason="needs Linux and a compiler of C"),
]


@dataclass
class Work:
    """What is done to a cache, in ``<root>/cache`` beside ``<root>/archive``; the paths in it begin with ``ROOT``.

    Attributes
    ----------
    name : str
        Of a function of killing.py.
    holds : callable
        Checks, of a store and what was reported as done, that it is there.
    faults : set of str
        Names of the files that are spoilt before.
    survives : callable
        Checks of the folder what must be true even before the work is done again.
    """

    name: str
    holds: Callable[[Any, list[str]], None]
    settings: dict[str, Any] = field(default_factory=dict)
    arguments: dict[str, Any] = field(default_factory=dict)
    module: str = ""
    orm_class: Any = DemoCalibration
    faults: frozenset[str] = frozenset()
    survives: Callable[[Path], object] = bool

    def asked(self, root: Path) -> dict[str, Any]:
        said: dict[str, Any] = json.loads(
            json.dumps(
                {
                    "work": self.name,
                    "cache": "ROOT/cache",
                    "module": self.module,
                    "settings": self.settings,
                    "arguments": self.arguments,
                }
            ).replace("ROOT", str(root))
        )
        return said


class Killer:
    """Starts processes that end at a call; one Python of its own that forks."""

    def __init__(self, folder: Path) -> None:
        self.plugins = folder / "plugins"
        self.plugins.mkdir()
        shim = folder / "killing.so"
        compiled = [str(COMPILER), "-shared", "-fPIC", "-O1", "-o", str(shim), str(HERE / "killing.c"), "-lpthread"]
        subprocess.run(compiled, check=True)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("KOA_")}
        path = os.pathsep.join([str(ROOT), str(self.plugins), environment.get("PYTHONPATH", "")])
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "killing.py")],
            env=environment | {"LD_PRELOAD": str(shim), "PYTHONPATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._folder = folder

    def __call__(self, work: Work, root: Path, last: int, end: str) -> tuple[int, list[str]]:
        """Do it, to its end with 0; gives the number of calls, 0 when it was killed, and what was reported as done."""
        torn, power = ENDS[end]
        said = self._folder / "said"
        asked = {"root": str(root), "last": last, "torn": torn, "power": power, "said": str(said)} | work.asked(root)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        calls, code = map(int, self._process.stdout.readline().split())
        assert code in {0, -9}, "the work failed"
        return calls if code == 0 else 0, said.read_text().splitlines()

    def close(self) -> None:
        self._process.communicate()


@pytest.fixture(scope="module")
def killer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Killer]:
    made = Killer(tmp_path_factory.mktemp("killer"))
    sys.path.insert(0, str(made.plugins))
    yield made
    sys.path.remove(str(made.plugins))
    made.close()


# -- what must be true afterwards --------------------------------------------------------------------------------------


def opened(work: Work, root: Path) -> CalibrationStore[Any]:
    return CalibrationStore(work.orm_class, root / "cache", **work.asked(root)["settings"])


def check_sound(root: Path) -> None:
    with closing(sqlite3.connect(root / DATABASE)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def check_verified(work: Work, store: CalibrationStore[Any]) -> VerificationReport:
    report = store.verify()
    assert set(report.bad) <= work.faults, report
    assert not report.missing, report
    assert not report.database, report
    return report


def unknown(root: Path, store: CalibrationStore[Any], report: VerificationReport) -> list[str]:
    """Give the files that are neither records' nor known as something else."""
    known = {root / "cache" / "calibrations" / name for name in report.without_record}
    known |= {root / folder / each.filename for each in store.query() for folder in ("cache/calibrations", "archive")}
    known |= {root / DATABASE, root / f"{DATABASE}-journal", root / "cache/partial/locks", root / BUNDLE}
    known |= set(map(Path, [*report.leftovers, *report.quarantine, *beside_bundle(root)]))
    kept = (".bak", ".spoilt", ".spoilt-journal")
    return [
        str(path)
        for path in root.rglob("*")
        if path.is_file() and not known & {path, *path.parents} and not path.name.endswith(kept)
    ]


def beside_bundle(root: Path) -> list[str]:
    """Give what exports left beside the bundle."""
    folder = (root / BUNDLE).parent
    return list(map(str, left_beside(folder, of_dead=True))) if folder.exists() else []


def made_old(paths: list[str]) -> None:
    for top in map(Path, paths):
        for path in (*top.rglob("*"), top):
            os.utime(path, (time.time() - 200_000,) * 2)


def check(work: Work, root: Path, said: list[str], extra: Path) -> None:
    """Check a cache on which a process ended, and that the next ones go on there."""
    work.survives(root)
    if work.name == "rebuild":
        do(**work.asked(root), say=said.append)
    if not (root / DATABASE).exists():
        assert not said
    with opened(work, root) as store:
        check_sound(root)
        report = check_verified(work, store)
        work.holds(store, said)
        assert unknown(root, store, report) == []
        made_old([*report.leftovers, *beside_bundle(root)])
    with opened(work, root) as store:
        store.register_calibration(extra)
    assert list(Cache(root / "cache").left_behind(of_dead=True)) == []
    if work.name == "prune":  # what was looked at just now is in use
        made_old([str(path) for path in (root / "cache" / "calibrations").iterdir()])
    again: list[str] = []
    do(**work.asked(root), say=again.append)
    with opened(work, root) as store:
        report = check_verified(work, store)
        assert report.ok
        assert report.leftovers == beside_bundle(root) == []
        assert report.without_record == [] or work.name == "remove"  # whose row goes first, and its file then
        assert unknown(root, store, report) == []
        work.holds(store, again)


def kill_everywhere(work: Work, build: Callable[[Path], None], killer: Killer, tmp_path: Path) -> None:
    """End the work at some calls by chance; in a long run at every call in each of the `ENDS`."""
    extra = dark(tmp_path, "extra.fits", 60500.0)
    build(tmp_path / "whole")
    calls, said = killer(work, tmp_path / "whole", 0, "killed")
    assert calls > 0
    assert said
    build(tmp_path / "first")
    assert killer(work, tmp_path / "first", 1, "killed") == (0, [])
    places = [(end, last) for end in ENDS for last in range(1, calls + 1)]
    for end, last in random.sample(places, repetitions(1, len(places))):
        root = tmp_path / f"{end} {last}"
        build(root)
        _, said = killer(work, root, last, end)
        try:
            check(work, root, said, extra)
        except Exception as error:
            error.add_note(f"{work.name}, {end} at call {last} of {calls}, after it said {said}")
            raise
        shutil.rmtree(root)


# -- the works ---------------------------------------------------------------------------------------------------------


def cache_of(root: Path, *names: str) -> None:
    """Make a cache with LOCAL darks, from files that are registered there, and an archive's empty folder."""
    (root / "archive").mkdir(parents=True)
    with CalibrationStore(DemoCalibration, root / "cache") as store:
        for n, name in enumerate(names):
            store.register_calibration(dark(root.with_name("sources"), name, 60000.0 + n))


def archive_of(root: Path, *names: str, large: bool = False) -> None:
    """Put darks into an archive's folder, and their records into the cache."""
    with CalibrationStore(DemoCalibration, root / "cache") as store:
        for n, name in enumerate(names):
            path = dark(root / "archive", name, 60100.0 + n)
            if large:
                with path.open("ab") as stream:
                    stream.write(bytes(2880 * 400))  # so much that what came is kept for the next process
            values = {"checksum": digest_of(path), "file_size": path.stat().st_size, "origin": "REMOTE"}
            store.local_db.add(record(name, 60100.0 + n, **values))


def has_said(store: Any, said: list[str]) -> None:
    for name in said:
        assert store.get_local_filepath(store.local_db.query_by_filename(name)).is_file()


def has_all(store: Any, said: list[str], names: list[str]) -> None:
    if said:
        has_said(store, names)


def copied(template: Path) -> Callable[[Path], None]:
    def build(root: Path) -> None:
        shutil.copytree(template, root)

    return build


@pytest.mark.parametrize("name", ["register", "register_model"])
def test_a_registration_can_end_at_any_call(name: str, killer: Killer, tmp_path: Path) -> None:
    """The first one of a cache, which makes its folders and its database."""
    sources = [str(dark(tmp_path / "night", f"{n}.fits", 60000.0 + n)) for n in range(2)]
    kill_everywhere(
        Work(name, has_said, arguments={"sources": sources[: 1 if name == "register_model" else 2]}),
        lambda root: (root / "archive").mkdir(parents=True),
        killer,
        tmp_path,
    )


@pytest.mark.parametrize(("name", "scheme"), [("download", "file"), ("download", "http"), ("prefetch", "http")])
def test_a_download_can_end_at_any_call(name: str, scheme: str, killer: Killer, tmp_path: Path) -> None:
    template = tmp_path / "template"
    cache_of(template, "own.fits")
    archive_of(template, "one.fits", large=True)
    archive_of(template, "two.fits")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(template / "archive")))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = "file://ROOT/archive" if scheme == "file" else f"http://127.0.0.1:{server.server_port}"
    work = Work(name, has_said, settings={"calibration_url": url})
    try:
        kill_everywhere(work, copied(template), killer, tmp_path)
    finally:
        server.shutdown()
        server.server_close()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def are_bad(store: Any, said: list[str]) -> None:
    for name in said:
        assert store.local_db.query_by_filename(name).quality == "BAD"


def test_a_judgement_can_end_at_any_call(killer: Killer, tmp_path: Path) -> None:
    template = tmp_path / "template"
    cache_of(template, "one.fits", "two.fits")
    kill_everywhere(Work("flag", are_bad), copied(template), killer, tmp_path)


def are_gone(store: Any, said: list[str]) -> None:
    assert not {each.filename for each in store.query()} & set(said)
    assert not {path.name for path in (store.cache_dir / "calibrations").iterdir()} & set(said)


def test_a_removal_can_end_at_any_call(killer: Killer, tmp_path: Path) -> None:
    template = tmp_path / "template"
    cache_of(template, "one.fits", "two.fits")
    kill_everywhere(Work("remove", are_gone), copied(template), killer, tmp_path)


def is_pruned(store: Any, said: list[str]) -> None:
    names = {path.name for path in (store.cache_dir / "calibrations").iterdir()}
    assert "own.fits" in names
    assert not (said and names & {"one.fits", "two.fits"})


def test_a_pruning_can_end_at_any_call(killer: Killer, tmp_path: Path) -> None:
    template = tmp_path / "template"
    cache_of(template, "own.fits")
    archive_of(template, "one.fits", "two.fits")
    work = Work("prune", is_pruned, settings={"calibration_url": "file://ROOT/archive"})
    with opened(work, template) as store:
        store.prefetch(records=store.query(origin="REMOTE"))

    def build(root: Path) -> None:
        shutil.copytree(template, root)
        made_old([str(path) for path in (root / "cache" / "calibrations").iterdir()])

    kill_everywhere(work, build, killer, tmp_path)


def test_the_import_of_a_bundle_can_end_at_any_call(killer: Killer, tmp_path: Path) -> None:
    names = ["one.fits", "two.fits"]
    cache_of(tmp_path / "source", *names)
    with CalibrationStore(DemoCalibration, tmp_path / "source" / "cache") as store:
        bundle = store.export_bundle(tmp_path / "bundle.tar", store.query()).path
    cache_of(tmp_path / "template")
    work = Work("import_bundle", partial(has_all, names=names), arguments={"bundle": str(bundle)})
    kill_everywhere(work, copied(tmp_path / "template"), killer, tmp_path)


def bundled(root: Path) -> set[str]:
    """Give the names that the bundle brings, whole, into an empty cache; none where there is no bundle."""
    if not (root / BUNDLE).exists():
        return set()
    with tempfile.TemporaryDirectory() as empty, CalibrationStore(DemoCalibration, empty) as other:
        return set(other.import_bundle(root / BUNDLE).added)


@pytest.mark.parametrize("before", [set(), {"one.fits"}], ids=["new", "in place of another"])
def test_the_export_of_a_bundle_can_end_at_any_call(before: set[str], killer: Killer, tmp_path: Path) -> None:
    template = tmp_path / "template"
    names = {"one.fits", "two.fits"}
    cache_of(template, *names)
    (template / BUNDLE).parent.mkdir()
    with CalibrationStore(DemoCalibration, template / "cache") as store:
        for name in before:
            store.export_bundle(template / BUNDLE, store.query(filename=name))

    def is_whole(root: Path) -> None:
        assert bundled(root) in (before, names)

    def is_exported(store: Any, said: list[str]) -> None:
        assert not said or bundled(store.cache_dir.parent) >= names

    arguments = {"bundle": f"ROOT/{BUNDLE}"}
    work = Work("export_bundle", is_exported, arguments=arguments, survives=is_whole)
    kill_everywhere(work, copied(template), killer, tmp_path)


def test_a_refreshing_can_end_at_any_call(killer: Killer, tmp_path: Path) -> None:
    template = tmp_path / "template"
    cache_of(template, "one.fits", "two.fits")
    with CalibrationStore(DemoCalibration, template / "cache") as store:
        with store.local_db.session_manager() as session:
            session.execute(update(DemoCalibration).values(spectrograph=None))
        store.flag("one.fits", "BAD", "light leak")
    for path in (template / "cache" / "calibrations").iterdir():
        path.touch()  # so that it is hashed, and that noted

    def are_all_read(store: Any, said: list[str]) -> None:
        found = [each for each in store.query() if each.filename != "extra.fits"]
        assert {each.filename: each.quality for each in found} == {"one.fits": "BAD", "two.fits": "GOOD"}
        assert {each.spectrograph for each in found} in ([{"BSPEC"}] if said else [{"BSPEC"}, {None}])

    kill_everywhere(Work("refresh", are_all_read), copied(template), killer, tmp_path)


def test_a_repair_can_end_at_any_call(killer: Killer, tmp_path: Path) -> None:
    template = tmp_path / "template"
    cache_of(template, "own.fits")
    names = ["spoilt.fits", "lost.fits"]
    archive_of(template, *names)
    work = Work(
        "repair",
        partial(has_all, names=names),
        settings={"calibration_url": "file://ROOT/archive"},
        faults=frozenset({"spoilt.fits"}),
    )
    with opened(work, template) as store:
        store.prefetch(records=store.query(origin="REMOTE"))
    calibrations = template / "cache" / "calibrations"
    (calibrations / "lost.fits").unlink()
    (calibrations / "spoilt.fits").write_bytes(b"spoilt")
    (template / "cache" / "partial" / f"{'0' * 32}").write_bytes(b"left")
    made_old([str(template / "cache" / "partial" / f"{'0' * 32}")])
    kill_everywhere(work, copied(template), killer, tmp_path)


def test_an_upgrade_can_end_at_any_call(killer: Killer, tmp_path: Path) -> None:
    plugins = Plugins(killer.plugins)
    plugins.made = 1000  # names of their own
    older = plugins("1.0", ARM)
    newer = plugins("1.1", 'chip: Mapped[float | None] = fits_column("ARM", Float, renamed_from=("arm",))')
    template = tmp_path / "template"
    with CalibrationStore(older, template / "cache") as store:
        for n in range(2):
            store.register_calibration(dark(tmp_path / "night", f"{n}.fits", 60000.0 + n, ARM=str(n)))

    def has_values(store: Any, said: list[str]) -> None:
        assert {each.filename: each.chip for each in store.query() if each.filename != "extra.fits"} == {
            "0.fits": 0.0,
            "1.fits": 1.0,
        }

    work = Work("upgrade", has_values, module=newer.__module__, orm_class=newer)
    kill_everywhere(work, copied(template), killer, tmp_path)


def spoilt(database: Path) -> None:
    with database.open("r+b") as stream:
        stream.write(b"no database any more".ljust(100))


def emptied(database: Path) -> None:
    """Take all rows out; SQLite finds no fault in it."""
    with closing(sqlite3.connect(database)) as connection, connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall():
            connection.execute(f'DELETE FROM "{name}"')


def cut_off(database: Path) -> None:
    os.truncate(database, 0)


@pytest.mark.parametrize("lose", [spoilt, emptied, cut_off, Path.unlink])
def test_a_rebuilding_can_end_at_any_call(lose: Callable[[Path], None], killer: Killer, tmp_path: Path) -> None:
    template = tmp_path / "template"
    names = ["one.fits", "two.fits"]
    cache_of(template, *names)
    lose(template / DATABASE)

    def has_all_rows_or_none(root: Path) -> None:
        check_sound(root)
        with closing(sqlite3.connect(root / DATABASE)) as connection:
            assert connection.execute("SELECT count(*) FROM demo_calibrations").fetchone() in {(0,), (2,)}

    survives = has_all_rows_or_none if lose is emptied else bool
    work = Work("rebuild", partial(has_all, names=names), survives=survives)
    kill_everywhere(work, copied(template), killer, tmp_path)


@pytest.fixture
def server(fresh_database: str) -> Iterator[Server]:
    found = Server(fresh_database)
    yield found
    found.close()


def test_a_sync_can_end_at_any_call(server: Server, killer: Killer, tmp_path: Path) -> None:
    cache_of(tmp_path / "template", "own.fits")
    server.insert(*(record(f"theirs{n}.fits", 60100.0 + n) for n in range(20)))

    def has_synced(store: Any, said: list[str]) -> None:
        assert store.local_db.count(origin="REMOTE") == 20 if said else True

    work = Work("sync", has_synced, settings={"remote_database_url": server.url})
    kill_everywhere(work, copied(tmp_path / "template"), killer, tmp_path)


def test_a_publication_can_end_at_any_call(server: Server, killer: Killer, tmp_path: Path) -> None:
    numbers = iter(range(10_000))

    def build(root: Path) -> None:
        number = next(numbers)
        cache_of(root)
        with CalibrationStore(DemoCalibration, root / "cache") as store:
            for n in (2 * number, 2 * number + 1):
                store.register_calibration(dark(tmp_path / "night", f"{n}.fits", 61000.0 + n))

    def has_published(store: Any, said: list[str]) -> None:
        there = {row["filename"]: row["origin"] for row in server.rows().values()}
        here = {each.filename: each.origin for each in store.query() if each.filename != "extra.fits"}
        for name in here:
            assert here[name] == "LOCAL" or there[name] == "REMOTE"
            assert name not in there or (store.cache_dir.with_name("archive") / name).is_file()
            assert not said or here[name] == "REMOTE"

    work = Work(
        "publish",
        has_published,
        settings={"remote_database_url": server.url, "calibration_url": "file://ROOT/archive"},
        arguments={"folder": "ROOT/archive"},
    )
    kill_everywhere(work, build, killer, tmp_path)
