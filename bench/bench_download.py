"""Downloads, beside curl and other clients in the same run.

Servers are processes of their own on this machine. Each figure is the median of several interleaved runs.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from koa_middleware import CalibrationStore
from koa_middleware.fetch.server import FileServer
from koa_middleware.fetch.transfer import Fetched, Transfer
from made import ORM, made_values
from measuring import Row, row

MB = 1 << 20
LARGE_MB = 512
SMALL_FILES, SMALL_BYTES = 500, 200_000
FAR_FILES, LATENCY_S, WORKERS = 100, 0.05, 8


@contextmanager
def served(folder: Path, latency_s: float = 0.0) -> Iterator[str]:
    command = [sys.executable, str(Path(__file__).with_name("file_server.py")), str(folder), str(latency_s)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


def medians(jobs: dict[str, Callable[[Path], None]], folder: Path, runs: int) -> dict[str, float]:
    """Seconds of each job, each time into a new folder.

    They take turns in an order drawn anew for each turn: what a job pays for memory and disk depends on what the one
    before it left.
    """
    times: dict[str, list[float]] = {name: [] for name in jobs}
    for run in range(runs + 1):
        for name, job in random.Random(run).sample(list(jobs.items()), len(jobs)):  # the same orders in each run
            target = folder / "out"
            target.mkdir()
            os.sync()
            begin = time.perf_counter()
            job(target)
            elapsed = time.perf_counter() - begin
            shutil.rmtree(target)
            if run:  # the first one warms the caches
                times[name].append(elapsed)
    return {name: statistics.median(values) for name, values in times.items()}


def ours(base: str, sums: dict[str, str], size: int, workers: int) -> Callable[[Path], None]:
    def job(target: Path) -> None:
        (target / "calibrations").mkdir()
        with FileServer(base) as server:
            transfers = [
                Transfer(server.url_for({"filename": name}), target / "calibrations" / name, checksum, size)
                for name, checksum in sums.items()
            ]
            outcomes = server.fetch_many(transfers, target / "partial", workers=workers)
        assert all(isinstance(outcome, Fetched) for outcome in outcomes)

    return job


def prefetched(base: str, sums: dict[str, str], size: int, known: Path) -> Callable[[Path], None]:
    """The same as a user has it: a store, which knows the records already, is opened and has their files here."""
    with CalibrationStore(ORM, known) as store:
        for values, (name, checksum) in zip(made_values(len(sums)), sums.items(), strict=True):
            store.local_db.add(ORM(**{**values, "filename": name, "checksum": checksum, "file_size": size}))

    def job(target: Path) -> None:
        shutil.copytree(known, target, dirs_exist_ok=True)
        with CalibrationStore(ORM, target, calibration_url=base) as store:
            report = store.prefetch(records=store.query(), progress=lambda _: None)
        assert len(report.downloaded) == len(sums)

    return job


def curl(base: str, names: list[str], *, sync: bool) -> Callable[[Path], None]:
    def job(target: Path) -> None:
        config = "".join(f'url = "{base}/{name}"\noutput = "{target / name}"\n' for name in names)
        subprocess.run(["curl", "--silent", "--fail", "--config", "-"], input=config, text=True, check=True)
        if sync:
            for name in names:
                descriptor = os.open(target / name, os.O_RDWR)
                os.fsync(descriptor)
                os.close(descriptor)

    return job


def others(base: str, sums: dict[str, str]) -> dict[str, Callable[[Path], None]]:
    """Other packages' ways to do the same, where they are installed."""
    jobs: dict[str, Callable[[Path], None]] = {}
    if find_spec("pooch"):
        import pooch

        pooch.get_logger().setLevel("ERROR")

        def with_pooch(target: Path) -> None:
            cache = pooch.create(path=target, base_url=f"{base}/", registry=sums)
            for name in sums:
                cache.fetch(name)

        jobs["pooch"] = with_pooch
    if find_spec("astropy"):
        from astropy.utils.data import download_file

        def with_astropy(target: Path) -> None:
            for name in sums:
                shutil.move(download_file(f"{base}/{name}", show_progress=False), target / name)

        jobs["astropy download_file"] = with_astropy
    if find_spec("parfive"):
        from parfive import Downloader

        def with_parfive(target: Path) -> None:
            downloader = Downloader(max_conn=4, progress=False)
            for name in sums:
                downloader.enqueue_file(f"{base}/{name}", path=target)
            assert not downloader.download().errors

        jobs["parfive"] = with_parfive
    return jobs


def make(folder: Path, count: int, size: int) -> dict[str, str]:
    """Files of random bytes that begin as FITS does, and their checksums."""
    folder.mkdir()
    sums = {}
    for number in range(count):
        body = (b"SIMPLE  =                    T".ljust(80) + os.urandom(size))[:size]
        (folder / f"{number:03}.fits").write_bytes(body)
        sums[f"{number:03}.fits"] = f"sha256:{hashlib.sha256(body).hexdigest()}"
    return sums


def rows(quick: bool) -> Iterator[Row]:
    """One large file, many small ones, and many over a slow line; others' clients beside, where they are installed."""
    cases = [
        (f"one file of {LARGE_MB} MB", "large", 1, LARGE_MB * MB, 0.8),
        (f"{SMALL_FILES} files of {SMALL_BYTES // 1000} kB", "small", SMALL_FILES, SMALL_BYTES, 2.0),
    ]
    with tempfile.TemporaryDirectory(prefix="koa-bench-") as name:
        folder = Path(name)
        for title, label, count, size, limit in cases[1:] if quick else cases:
            sums = make(folder / label, count, size)
            with served(folder / label) as base:
                jobs = {
                    "curl": curl(base, list(sums), sync=count == 1),
                    "koa-middleware": ours(base, sums, size, workers=4),
                    "koa-middleware, its prefetch": prefetched(base, sums, size, folder / f"known-{label}"),
                } | ({} if quick else others(base, sums))
                times = medians(jobs, folder, runs=1 if quick else 7)
            shutil.rmtree(folder / label)
            reference = times.pop("curl")
            for who, seconds in times.items():
                yield row(
                    f"{title}: {who}", seconds, "curl", reference, limit if who.startswith("koa-middleware") else None
                )
        sums = make(folder / "far", FAR_FILES, SMALL_BYTES)
        with served(folder / "far", LATENCY_S) as base:
            times = medians({"ours": ours(base, sums, SMALL_BYTES, WORKERS)}, folder, runs=1 if quick else 5)
        ideal = LATENCY_S * -(-FAR_FILES // WORKERS)
        what = f"{FAR_FILES} files over {LATENCY_S * 1000:.0f} ms, {WORKERS} workers"
        yield row(what, times["ours"], "the ideal", ideal, 1.3)
