"""Processes that register at the same time, and processes that are killed while they do."""

from __future__ import annotations

import random
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest
from koa_middleware import CalibrationStore
from koa_middleware.disk.checksums import digest_of

from tests.conftest import (
    DemoCalibration,
    dark,
    dark_keywords,
    files_under,
    output_of,
    repetitions,
    run_python,
    write_fits,
)

#: Registers its sources, each as a new version, when it is told to; says each name and version.
REGISTER = """
import sys
from pathlib import Path
from koa_middleware import CalibrationStore
from tests.conftest import DemoCalibration, dark_keywords, record, write_fits
import astropy.io.fits

class Model:
    def __init__(self, source):
        self.source, self.described = source, record(source.name)
    def to_orm(self):
        return self.described
    def save(self, output_dir):
        path = output_dir / self.described.filename
        path.write_bytes(self.source.read_bytes())
        return path

cache, kind, *sources = sys.argv[1:]
with CalibrationStore(DemoCalibration, cache) as store:
    print("ready", flush=True)
    sys.stdin.readline()
    for source in map(Path, sources):
        given = source if kind == "file" else Model(source)
        path, found = store.register_calibration(given, new_version=True)
        print(found.cal_version, path.name, flush=True)
"""


def started(cache: Path, kind: str, sources: list[Path]) -> subprocess.Popen[str]:
    return run_python(REGISTER, cache, kind, *sources, stdin=subprocess.PIPE)


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def whole_rows(cache: Path) -> set[str]:
    """Check that every row has its whole file; give the files that have a row."""
    with CalibrationStore(DemoCalibration, cache) as store:
        records = store.query()
        for each in records:
            path = store.get_local_filepath(each)
            assert path.is_file(), f"{each.filename} has a row and no file"
            assert path.stat().st_size == each.file_size
            assert digest_of(path) == each.checksum
        versions = Counter((each.datetime_obs, each.cal_version) for each in records)
        assert max(versions.values(), default=1) == 1, versions
        return {each.filename for each in records}


@pytest.mark.parametrize(("processes", "kind"), [(2, "file"), (4, "model")])
def test_processes_that_register_one_family_get_one_version_each(tmp_path: Path, processes: int, kind: str) -> None:
    each = 16 // processes
    sources = [
        [dark(tmp_path / f"{process}-{n}", "dark.fits", CONTENT=100 * process + n) for n in range(each)]
        for process in range(processes)
    ]
    running = [started(tmp_path / "cache", kind, mine) for mine in sources]
    for process in running:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in running:
        go(process)
    said = [line.split() for process in running for line in output_of(process).splitlines()]
    assert sorted(version for version, _ in said) == [f"{n:03d}" for n in range(1, 17)]
    assert {name for version, name in said if version == "001"} == {"dark.fits"}
    assert all(name == f"dark.{version}.fits" for version, name in said if version != "001")
    assert len(whole_rows(tmp_path / "cache")) == 16
    assert len(files_under(tmp_path / "cache")) == 16


def test_processes_that_register_the_same_file_share_one_record(tmp_path: Path) -> None:
    source = dark(tmp_path, "dark.fits")
    running = [started(tmp_path / "cache", "file", [source]) for _ in range(4)]
    for process in running:
        assert process.stdout is not None
        process.stdout.readline()
    for process in running:
        go(process)
    assert [output_of(process).strip() for process in running] == ["001 dark.fits"] * 4
    assert whole_rows(tmp_path / "cache") == {"dark.fits"}
    assert files_under(tmp_path / "cache") == ["calibrations/dark.fits"]


@pytest.mark.soak
@pytest.mark.parametrize("kind", ["file", "model"])
def test_a_killed_registration_leaves_no_row_without_its_whole_file(tmp_path: Path, kind: str) -> None:
    """Kill at random moments; then every file without a row is adopted by registering its content again."""
    cache, rounds = tmp_path / "cache", repetitions(1, 50)
    content = write_fits(tmp_path / "large.fits", dark_keywords()).read_bytes()
    large = content[:2880].replace(b"NAXIS1  =                    8", b"NAXIS1  =               100000")
    sources = []
    for n in range(10 + 5 * rounds):  # 1.6 MB each, every third in one family of versions
        source = tmp_path / "sources" / str(n) / ("family.fits" if n % 3 == 0 else f"dark{n}.fits")
        source.parent.mkdir(parents=True)
        mjd = 60000 if n % 3 == 0 else 60001 + n
        header = large.replace(b"60000.0", f"{mjd}.0".encode())
        data = n.to_bytes(2, "big") * 800_000
        source.write_bytes(header + data + bytes(-len(data) % 2880))
        sources.append(source)
    done = killed = 0
    for number in range(rounds):
        process = started(cache, kind, sources[done:])
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n", process.communicate()
        go(process)
        first = process.stdout.readline() if number == 0 else ""  # so that one kill is surely amidst the work
        time.sleep(random.uniform(0.0, 0.25 if number else 0.01))
        process.kill()
        said, error = process.communicate()
        said = first + said
        assert process.returncode in {-9, 0}, (said, error)  # a quick machine may be done with all of them
        killed += process.returncode == -9
        done += len(said.splitlines())
        rows = whole_rows(cache)
        assert len(rows) >= done
        for name in files_under(cache):
            assert name.startswith(("calibrations/", "partial/")), name
        # What was being registered when the process died may stand there without its row, and that alone.
        assert len({Path(name).name for name in files_under(cache / "calibrations")} - rows) <= 1
        again = started(cache, kind, sources[done : done + 1])
        go(again)
        output_of(again)
        done += 1
        assert {Path(name).name for name in files_under(cache / "calibrations")} == whole_rows(cache)
        if done >= len(sources):
            break
    assert done > 0
    assert killed > 0


def test_partial_files_of_a_killed_process_match_no_glob_of_a_pipeline(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    source = dark(tmp_path, "dark.fits")
    header = source.read_bytes()[:2880].replace(b"NAXIS1  =                    8", b"NAXIS1  =             20000000")
    with source.open("wb") as stream:  # 320 MB, sparse: long enough to be killed in the middle
        stream.write(header)
        stream.truncate(2880 + -(-320_000_000 // 2880) * 2880)
    process = started(cache, "file", [source])
    go(process)
    partial = cache / "partial"
    deadline = time.monotonic() + 60
    while not (partial.is_dir() and any(path.stat().st_size > 0 for path in partial.iterdir())):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.001)
    process.kill()
    process.communicate()
    assert files_under(cache / "calibrations") == []
    assert len(files_under(partial)) == 1
    assert not [path for suffix in ("fits", "csv", "json") for path in cache.rglob(f"*.{suffix}")]
    assert whole_rows(cache) == set()
