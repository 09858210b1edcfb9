"""A throwaway instrument's package, and ways to type koa-cal: in this process, in one of its own, and on a terminal."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import shutil
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import koa_middleware
import pytest
from koa_middleware import CalibrationSelector, CalibrationStore, InstrumentPlugin, get_plugin, open_store, plugins
from koa_middleware.cli import main
from koa_middleware.remote.postgres.engine import postgresql_engine
from sqlalchemy import make_url, text

Run = Callable[..., Any]

#: The package of an instrument that does not exist.
TESTSPEC = """
from datetime import timedelta

from koa_middleware import CalibrationSelector, InstrumentPlugin, ORMCalibration, fits_column, hookimpl
from sqlalchemy import String
from sqlalchemy.orm import Mapped


class TestspecCalibration(ORMCalibration):
    __test__ = False
    instrument_name = "NAME"
    cal_types = ("dark", "flat", "arc", "bias")
    version_family = ("arm",)
    arm: Mapped[str | None] = fits_column("ARM", String)


class DarkSelector(CalibrationSelector):
    cal_type, match, max_age = "dark", ("arm",), timedelta(days=5)


class FlatSelector(CalibrationSelector):
    cal_type, match, direction = "flat", ("arm",), "before"


class ArcSelector(CalibrationSelector):
    cal_type, match = "arc", ("arm",)


class BiasSelector(CalibrationSelector):
    cal_type, match, require = "bias", ("arm",), {"master_cal": True}

    def select_fallback(self, input, db):
        candidates = CalibrationSelector(cal_type="bias", match=("arm",)).get_candidates(input, db)
        return candidates[0] if candidates else None


def write_night(folder):
    from astropy.io import fits

    cards = {"INSTRUME": "NAME", "ARM": "BLUE", "MJD-OBS": 61083.5}
    frame, dark = folder / "frame.fits", folder / "dark.fits"
    fits.PrimaryHDU(header=fits.Header(cards)).writeto(frame, overwrite=True)
    fits.PrimaryHDU(header=fits.Header({**cards, "CALTYPE": "dark"})).writeto(dark, overwrite=True)
    return [dark], [frame]


plugin = InstrumentPlugin(
    ORM=TestspecCalibration,
    selectors=[DarkSelector(), FlatSelector(), ArcSelector(), BiasSelector()],
    demo=write_night,
)


@hookimpl
def koa_register_instrument():
    return plugin
"""


class Outcome(NamedTuple):
    """How a command ended, and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What stands on stdout, which must be JSON as every parser reads it."""
        return json.loads(self.out, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))

    @property
    def said(self) -> str:
        """The one line on stderr."""
        assert self.err.startswith("koa-cal: ")
        assert self.err.count("\n") == 1, self.err
        assert self.err.endswith("\n")
        return self.err

    def ended(self, code: int) -> Outcome:
        """Check the exit code."""
        assert self.code == code, f"exit code {self.code}\n{self.out}\n{self.err}"
        assert "Traceback" not in self.out + self.err, self.err
        return self


def make_distribution(folder: Path, instrument: str, source: str = TESTSPEC, version: str = "1.2.3") -> Path:
    """Make the folder of an installed package ``koa-middleware-<instrument>`` with its entry point."""
    module = f"koa_middleware_{instrument}"
    information = folder / f"{module}-{version}.dist-info"
    information.mkdir(parents=True)
    (folder / f"{module}.py").write_text(source.replace("NAME", instrument))
    (information / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: koa-middleware-{instrument}\nVersion: {version}\n"
    )
    (information / "entry_points.txt").write_text(f"[koa_middleware]\n{instrument} = {module}\n")
    return folder


@pytest.fixture(name="make_distribution")
def _make_distribution() -> Callable[..., Path]:
    return make_distribution


@pytest.fixture(scope="session")
def distribution(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder of the package of the instrument ``testspec``."""
    return make_distribution(tmp_path_factory.mktemp("installed"), "testspec")


@pytest.fixture(scope="module", autouse=True)
def testspec(distribution: Path) -> Iterator[InstrumentPlugin]:
    """Install the instrument ``testspec`` into this process, beside whatever is installed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(distribution)
        plugins._registry.cache_clear()
        yield get_plugin("testspec")
    plugins._registry.cache_clear()


@pytest.fixture(autouse=True)
def cache(clean_environment: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Give the cache folder of this test, which the environment names."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("KOA_CALIBRATION_CACHE", str(folder))
    return folder


@pytest.fixture
def koa_cal(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Give a function that runs a command in this process."""

    def run(*arguments: object) -> Outcome:
        capsys.readouterr()
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as ended:
            code = int(ended.code or 0)
        return Outcome(code, *capsys.readouterr())

    return run


def environment(*folders: Path, **more: str) -> dict[str, str]:
    """Give this test's environment for a process that finds the packages in `folders` first."""
    changing = {"COLUMNS", "LINES", "PYTHONIOENCODING", "PYTHONUNBUFFERED"}
    known = {name: value for name, value in os.environ.items() if name not in changing}
    path = os.pathsep.join([*map(str, folders), *filter(None, [known.get("PYTHONPATH")])])
    return {**known, "PYTHONPATH": path, **more}


@pytest.fixture
def command(distribution: Path) -> Callable[..., dict[str, Any]]:
    """Give a function that gives the arguments of `subprocess.Popen` for a command in a process of its own."""

    def prepare(*arguments: object, **more: str) -> dict[str, Any]:
        line = [sys.executable, "-m", "koa_middleware.cli", *map(str, arguments)]
        return {"args": line, "env": environment(distribution, **more)}

    return prepare


@pytest.fixture
def process(command: Callable[..., dict[str, Any]]) -> Callable[..., Outcome]:
    """Give a function that runs a command in a process of its own; keywords are variables of its environment."""

    def run(*arguments: object, **more: str) -> Outcome:
        done = subprocess.run(**command(*arguments, **more), capture_output=True, text=True, timeout=60, check=False)
        return Outcome(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="session")
def without_plugins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder that holds, as links, all installed packages but instruments' plugins."""
    folder = tmp_path_factory.mktemp("packages")
    (folder / "koa_middleware").symlink_to(Path(koa_middleware.__file__).parent)
    for installed in [Path(entry) for entry in sys.path if any(Path(entry).glob("*.dist-info"))]:
        for path in installed.iterdir():
            of_plugin = path.name.startswith("koa_middleware_")
            link = folder / path.name
            if path.suffix != ".pth" and not of_plugin and not link.is_symlink():
                link.symlink_to(path)
    return folder


@pytest.fixture
def with_only(without_plugins: Path) -> Callable[..., Callable[..., Outcome]]:
    """Give a function that gives a way to run a command where only the plugins in some folders are installed."""

    def choose(*folders: Path) -> Callable[..., Outcome]:
        def run(*arguments: object) -> Outcome:
            line = [sys.executable, "-S", "-m", "koa_middleware.cli", *map(str, arguments)]
            env = {**environment(), "PYTHONPATH": os.pathsep.join(map(str, [*folders, without_plugins]))}
            done = subprocess.run(line, env=env, capture_output=True, text=True, timeout=60, check=False)
            return Outcome(done.returncode, done.stdout, done.stderr)

        return run

    return choose


@pytest.fixture
def terminal(command: Callable[..., dict[str, Any]]) -> Callable[..., Outcome]:
    """Give a function that runs a command whose stdout is a terminal of so many columns."""

    def run(*arguments: object, columns: int = 80) -> Outcome:
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        started = subprocess.Popen(**command(*arguments), stdout=theirs, stderr=subprocess.PIPE, text=True)
        os.close(theirs)
        shown = b""
        try:
            while read := os.read(ours, 1 << 16):
                shown += read
        except OSError:  # so Linux tells the end
            pass
        finally:
            os.close(ours)
        _, err = started.communicate(timeout=60)
        return Outcome(started.returncode, shown.decode().replace("\r\n", "\n"), err)

    return run


def write_fits(path: Path, cards: Mapping[str, Any]) -> Path:
    """Write a small FITS file."""
    import numpy as np
    from astropy.io import fits

    path.parent.mkdir(parents=True, exist_ok=True)
    fits.PrimaryHDU(np.arange(64, dtype=np.int16), fits.Header(dict(cards))).writeto(path, overwrite=True)
    return path


def write_exposure(folder: Path, name: str, mjd: float, cal_type: str | None = None, **cards: Any) -> Path:
    """Write a calibration, or a frame where no type is given, of the blue arm."""
    kind = {} if cal_type is None else {"CALTYPE": cal_type, "DATAQUAL": "GOOD"}
    return write_fits(folder / name, {"INSTRUME": "TESTSPEC", "ARM": "BLUE", "MJD-OBS": mjd, **kind, **cards})


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Give a function that writes an exposure into this test's folder ``night``."""
    return partial(write_exposure, tmp_path / "night")


@pytest.fixture
def frame(write: Callable[..., Path]) -> Path:
    """Give a blue frame of 2026-02-12T12:00 UTC."""
    return write("frame.fits", 61083.5)


@pytest.fixture
def no_records(cache: Path) -> None:
    """Make the database of testspec, without records."""
    open_store("testspec").close()


@pytest.fixture(scope="module")
def made_night(testspec: InstrumentPlugin, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with files and a cache that holds them."""
    folder = tmp_path_factory.mktemp("made")
    write = partial(write_exposure, folder / "night")
    files = [
        write("dark-near.fits", 61084.5, "dark"),
        write("dark-next.fits", 61086.5, "dark"),
        write("dark-red.fits", 61083.4, "dark", ARM="RED"),
        write("dark-old.fits", 61070.0, "dark"),
        write("flat-before.fits", 61083.25, "flat"),
        write("flat-after.fits", 61083.6, "flat"),
        write("arc-red.fits", 61083.5, "arc", ARM="RED"),
    ]
    with CalibrationStore(testspec.ORM, folder / "cache", testspec.database_filename, offline=True) as store:
        for file in files:
            store.register_calibration(file)
    return folder


@pytest.fixture
def night(made_night: Path, tmp_path: Path) -> None:
    """Fill the cache with calibrations around the frame; nothing blue of the types arc and bias is among them."""
    shutil.copytree(made_night, tmp_path, dirs_exist_ok=True)


@pytest.fixture
def arc_for_a_given_arm(testspec: InstrumentPlugin, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the arm of an arc be what the user gives."""
    selector = CalibrationSelector(cal_type="arc", given=("arm",))
    monkeypatch.setattr(testspec.ORM, "selectors", {**testspec.ORM.selectors, "arc": selector})


@pytest.fixture
def add_records(testspec: InstrumentPlugin) -> Callable[[int], None]:
    """Give a function that adds so many records without files, one a minute from 2026-02-12T12:00 UTC on."""

    def add(number: int) -> None:
        records = [
            testspec.ORM(filename=f"dark-{n:04d}.fits", cal_type="dark", mjd_start=61083.5 + n / 1440, arm="BLUE")
            for n in range(number)
        ]
        with open_store("testspec") as store:
            store.local_db.add(records)

    return add


class Archive:
    """The database that ``KOA_REMOTE_DATABASE_URL`` names, as its owner has it, and the folder of its files."""

    def __init__(self, url: str, files: Path) -> None:
        self.url = url
        self.files = files
        self.engine = postgresql_engine(url)
        self.password = str(make_url(url).password)

    def execute(self, *statements: Any) -> None:
        with self.engine.begin() as connection:
            for statement in statements:
                connection.execute(text(statement) if isinstance(statement, str) else statement)


@pytest.fixture
def archive(fresh_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Archive]:
    """An empty database, which the environment names."""
    found = Archive(fresh_database, tmp_path / "served")
    found.files.mkdir()
    monkeypatch.setenv("KOA_REMOTE_DATABASE_URL", found.url)
    monkeypatch.setenv("KOA_CALIBRATION_URL", found.files.as_uri())
    yield found
    found.engine.dispose()


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """Give a function that goes on with the cache of another person."""
    return lambda person: monkeypatch.setenv("KOA_CALIBRATION_CACHE", str(tmp_path / person))


@pytest.fixture
def typed(koa_cal: Run, archive: Archive) -> Run:
    """Give a function that runs a command of testspec; the password is never in what it prints."""

    def run(*arguments: object) -> Any:
        found = koa_cal(*arguments, "-i", "testspec")
        assert archive.password not in found.out + found.err
        return found

    return run


@pytest.fixture
def published(typed: Run, archive: Archive, write: Run, at: Run) -> None:
    """Publish a dark and a flat of the frame's night, a bad one, and one of another night; go on as an observer."""
    typed("remote", "init").ended(0)
    at("keck")
    for name, mjd, cal_type in (
        ("dark.fits", 61083.4, "dark"),
        ("flat.fits", 61083.3, "flat"),
        ("bad.fits", 61083.5, "dark"),
        ("late.fits", 61090.5, "dark"),
    ):
        typed("register", write(name, mjd, cal_type)).ended(0)
    typed("flag", "bad.fits", "bad", "--reason", "test").ended(0)
    typed("publish", "--upload", archive.files).ended(0)
    at("observer")
    typed("sync").ended(0)
