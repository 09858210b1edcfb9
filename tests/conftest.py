"""A made instrument for the tests of core, its FITS files, a real PostgreSQL server, and a clean environment."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from koa_middleware import CalibrationStore, ORMCalibration, fits_column
from koa_middleware.testing import clean_environment  # noqa: F401  (pytest finds it here)
from koa_middleware.testing.postgres import PostgresServer
from sqlalchemy import Boolean, Float, Index, Integer, String, create_engine, make_url, text
from sqlalchemy.orm import Mapped

ROOT = Path(__file__).resolve().parents[1]
POSTGRES_URL = "KOA_TEST_POSTGRES_URL"
#: Folder with the programs of another PostgreSQL for the servers that tests start.
POSTGRES_PROGRAMS = Path(folder) if (folder := os.environ.get("KOA_TEST_POSTGRES_PROGRAMS")) else None


def repetitions(few: int, many: int) -> int:
    """How often a test does the same at random: `few` times, or `many` in ``nox -s soak``, which sets KOA_TEST_SOAK."""
    return many if os.environ.get("KOA_TEST_SOAK") else few


settings.register_profile(
    "koa",
    max_examples=repetitions(50, 5000),
    deadline=None,
    derandomize="KOA_TEST_SOAK" not in os.environ,  # so that what fails is a change; the soak draws anew
    print_blob=True,
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.too_slow],  # which tells of the machine
)
settings.load_profile("koa")


class DemoCalibration(ORMCalibration):
    """A calibration of an instrument that does not exist."""

    instrument_name = "demo"
    cal_types = ("bias", "dark", "flat", "wls")
    version_family = ("spectrograph",)
    __table_args__ = (
        Index(None, "cal_type", "spectrograph", "mjd_start"),
        Index(None, "cal_type", "lamp", "mjd_mid"),
    )

    spectrograph: Mapped[str | None] = fits_column("SPECTROG", String)
    lamp: Mapped[str | None] = fits_column("LAMP", String, fold=True)
    era: Mapped[str | None] = fits_column(("GREEN_CCD:DEMOERA", "DEMOERA"), String)
    amplifiers: Mapped[int | None] = fits_column("GRNAMPS", Integer)
    exposure_time: Mapped[float | None] = fits_column("EXPTIME", Float, info={"unit": "s"})
    mjd_mid: Mapped[float | None] = fits_column(("GREEN_CCD:MIDMJD", "RED_CCD:MIDMJD"), Float, info={"unit": "d"})
    cooled: Mapped[bool | None] = fits_column("COOLED", Boolean)


def write_fits(path: Path, keywords: Mapping[str, Any], extensions: Mapping[str, Mapping[str, Any]] = {}) -> Path:
    """Write a FITS file with these keywords in its primary header and an image in each extension."""
    import numpy as np
    from astropy.io import fits

    hdus = fits.HDUList([fits.PrimaryHDU(np.arange(64, dtype=np.int16).reshape(8, 8))])
    for name, cards in extensions.items():
        hdus.append(fits.ImageHDU(np.ones((8, 8), dtype=np.float32), name=name))
        hdus[-1].header.update(cards)
    hdus[0].header.update(keywords)
    hdus.writeto(path, overwrite=True)
    return path


def dark_keywords(mjd: float = 60000.0, **more: Any) -> dict[str, Any]:
    """Keywords of a dark that is complete, and that a frame's selection can be made with."""
    return {"CALTYPE": "dark", "EXPMJDST": mjd, "SPECTROG": "BSPEC", "DATAQUAL": "GOOD", **more}


def dark(folder: Path, name: str = "dark.fits", mjd: float = 60000.0, **more: Any) -> Path:
    """Write a dark into a folder, which is made where it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    return write_fits(folder / name, dark_keywords(mjd, **more))


def record(filename: str = "dark.fits", mjd: float = 60000.0, **more: Any) -> DemoCalibration:
    """Give a record of a good dark, not in any database."""
    values = {"cal_type": "dark", "mjd_start": mjd, "spectrograph": "BSPEC", "quality": "GOOD", **more}
    return DemoCalibration(filename=filename, **values)


def files_under(folder: Path) -> list[str]:
    """Give the paths of all files below a folder, the databases left out."""
    return sorted(
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if not path.is_dir() and "database" not in path.relative_to(folder).parts
    )


def run_python(script: str, *arguments: object, path: Path | None = None, **options: Any) -> subprocess.Popen[str]:
    """Start a script in a Python of its own, which can import these tests, and the packages in `path`."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KOA_")}
    found = [*([str(path)] if path else []), str(ROOT), environment.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, found))
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


#: Runs `work`, of which each process has the number, in processes that begin at once.
PROCESSES = """
import multiprocessing, sys
from pathlib import Path
{script}
forks = multiprocessing.get_context("fork")
together = forks.Barrier({number})

def begin(number):
    together.wait()
    work(number)

with forks.Pool({number}) as pool:
    pool.map(begin, range({number}), chunksize=1)
"""


def run_processes(number: int, script: str, *arguments: object, path: Path | None = None) -> subprocess.Popen[str]:
    """Start a process that runs the function `work(number)` of a script in so many processes at once."""
    return run_python(PROCESSES.format(script=script, number=number), *arguments, path=path)


def output_of(process: subprocess.Popen[str]) -> str:
    """Give what a script wrote; it must have ended well."""
    out, error = process.communicate(timeout=120)
    assert process.returncode == 0, error
    return out


@pytest.fixture(autouse=True, scope="session")
def interrupts() -> Iterator[None]:
    """Ctrl-C interrupts, here and in the processes of tests, also where the tests run in the background (``nohup``).

    A shell starts such a process with SIGINT ignored, which Python keeps and which each child inherits.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@contextmanager
def without_a_plugin() -> Iterator[None]:
    """Let what a plugin gives to the class end with the block."""
    names = ("selectors", "needs", "product_cards", "inputs")
    before = {name: getattr(DemoCalibration, name) for name in names}
    yield
    for name, value in before.items():
        setattr(DemoCalibration, name, value)


@pytest.fixture(autouse=True)
def as_without_a_plugin() -> Iterator[None]:
    """What a plugin of a test gives to the class ends with it."""
    with without_a_plugin():
        yield


@pytest.fixture
def open_demo(tmp_path: Path) -> Iterator[Callable[..., CalibrationStore[DemoCalibration]]]:
    """Give a function that opens a store on this test's cache folder; all are closed at the end."""
    opened = []

    def opening(folder: Path = tmp_path / "cache", orm_class: type[Any] = DemoCalibration, **more: Any) -> Any:
        store = CalibrationStore(orm_class, folder, **more)
        opened.append(store)
        return store

    yield opening
    for store in opened:
        store.close()


@pytest.fixture
def store(open_demo: Callable[..., Any]) -> CalibrationStore[DemoCalibration]:
    """Give a store on an empty cache."""
    return open_demo()


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """Address of a superuser, of the server that KOA_TEST_POSTGRES_URL names or else of one made for this run."""
    if url := os.environ.get(POSTGRES_URL):
        yield url
        return
    with PostgresServer(programs=POSTGRES_PROGRAMS) as server:
        yield server.url


@pytest.fixture
def fresh_database(postgres_url: str) -> Iterator[str]:
    """Address of an empty database, for the superuser; it goes after the test."""
    name = f"koa_test_{uuid.uuid4().hex[:12]}"
    engine = create_engine(make_url(postgres_url).set(drivername="postgresql+psycopg2"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield make_url(postgres_url).set(database=name).render_as_string(hide_password=False)
    with engine.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    engine.dispose()
