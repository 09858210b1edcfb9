"""``koa-cal new-plugin``: what it writes installs, passes the contract and its own tests, and lints."""

from __future__ import annotations

import importlib
import inspect
import os
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from koa_middleware.cli import main
from koa_middleware.testing import add_record, demo_store, store  # noqa: F401  (pytest finds them here)

from tests.conftest import ROOT, write_fits
from tests.testing.contract_runs import failures

NAME = "freshspec"
#: What a header may hold that would break a file of Python if it were put there as it is.
HOSTILE = {
    "INSTRUME": 'Fre"sh\\Spec',
    "BINNING": ("2,1", '""" and a \\ backslash'),
    "AMPMODE": ("it's \"", "${name} $title"),
    "READMODE": True,
    "FILTER": "None",
    "GRATNAME": " ",
    "DETECTOR": 1.5,
    "EXPTIME": "30.0",
    "IMTYPE": "Flatlamp",
    "MJD": 61083.0,
}


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """Give a function that has a package made and gives its plugin, as if it were installed."""

    def make(*options: str) -> Any:
        assert main(["new-plugin", NAME, *options]) == 0
        monkeypatch.syspath_prepend(tmp_path / f"koa-middleware-{NAME}/src")
        return importlib.import_module(f"koa_middleware_{NAME}").plugin

    yield make
    for name in [name for name in sys.modules if name.startswith(f"koa_middleware_{NAME}")]:
        del sys.modules[name]


@pytest.fixture
def plugin(made: Callable[..., Any]) -> Any:
    return made()


def test_a_new_package_fulfils_the_contract_and_passes_its_own_tests(
    plugin: Any, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    own = runpy.run_path(str(tmp_path / f"koa-middleware-{NAME}/tests/test_selectors.py"))
    tests = [each for name, each in own.items() if name.startswith("test_")]
    assert len(tests) == 2
    for test in tests:
        test(*map(request.getfixturevalue, inspect.signature(test).parameters))
    assert failures(plugin, tmp_path) == {}


def test_columns_come_from_the_header_that_is_given(made: Any, tmp_path: Path, capsys: Any) -> None:
    cards = {"INSTRUME": "FRESH", "CCDSPEED": ("Fast", "Read speed"), "ELAPTIME": 30.0, "IMTYPE": "Arclamp"}
    header = write_fits(tmp_path / "one.fits", {**cards, "DOMEPOSN": 17.0}, {"GREEN_CCD": {"MINMJD": 61083.0}})
    orm = made("--header", str(header)).ORM
    columns = {name: orm.table().c[name].info["keywords"] for name in ("read_speed", "exposure_time", "cal_type")}
    assert columns == {"read_speed": ("CCDSPEED",), "exposure_time": ("ELAPTIME",), "cal_type": ("CALTYPE", "IMTYPE")}
    assert orm.values_from_file(header)["mjd_start"] == 61083.0
    assert (orm.instrume_values, orm.cal_types[3]) == (("FRESH",), "arclamp")
    text = (tmp_path / f"koa-middleware-{NAME}/src/koa_middleware_{NAME}/orm.py").read_text("utf-8")
    assert "# Read speed\n    read_speed" in text
    assert "compares them: DOMEPOSN." in text
    assert "1 other keyword of the header" in capsys.readouterr().out


def test_what_stands_in_an_extension_without_a_name_fills_no_column(made: Any, tmp_path: Path) -> None:
    header = write_fits(tmp_path / "arms.fits", {"INSTRUME": "FRESH"}, {"": {"BINNING": 2}, "RED": {"GAIN": 2.5}})
    assert "binning" not in made("--header", str(header)).ORM.table().c
    text = (tmp_path / f"koa-middleware-{NAME}/src/koa_middleware_{NAME}/orm.py").read_text("utf-8")
    assert "compares them: RED:GAIN." in text


def test_whatever_a_header_holds_the_package_fulfils_the_contract(made: Any, tmp_path: Path) -> None:
    header = write_fits(tmp_path / "odd.fits", HOSTILE, {'A "B" C': {"SLIT": "x"}})
    plugin = made("--header", str(header))
    assert failures(plugin, tmp_path) == {}
    assert plugin.ORM.table().c.keys()[12:] == [
        "detector",
        "binning",
        "amplifiers",
        "read_speed",
        "exposure_time",
    ]


@pytest.fixture
def real_headers() -> list[Path]:
    """Real headers as text, which are not part of this repository: those of ``shared/data`` in a folder above."""
    given = os.environ.get("KOA_TEST_KPF_DATA")
    folders = [Path(given)] if given else [parent / "shared/data" for parent in ROOT.parents]
    found = [path for folder in folders for path in sorted(folder.rglob("*.hdr.txt"))]
    return found or pytest.skip("real headers are not here")


def test_real_headers_make_packages_that_fulfil_the_contract(
    made: Any, real_headers: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from astropy.io import fits

    for number, path in enumerate(real_headers):
        folder = tmp_path / str(number)
        folder.mkdir()
        monkeypatch.chdir(folder)
        lines = path.read_text().splitlines()
        cards = [line for line in lines if not line.startswith(("HDU number", "Number of header", "..."))]
        header = fits.Header.fromstring("".join(line.ljust(80) for line in cards))
        extname = header.get("EXTNAME")
        for keyword in ("XTENSION", "BITPIX", "NAXIS", "NAXIS1", "NAXIS2", "PCOUNT", "GCOUNT", "EXTNAME"):
            header.remove(keyword, ignore_missing=True, remove_all=True)
        extensions = [fits.ImageHDU(header=header, name=extname)] if extname else []
        hdus = fits.HDUList([fits.PrimaryHDU(header=None if extname else header), *extensions])
        hdus.writeto(folder / "real.fits", output_verify="silentfix+ignore")
        assert main(["new-plugin", NAME, "--header", "real.fits"]) == 0
        monkeypatch.syspath_prepend(folder / f"koa-middleware-{NAME}/src")
        plugin = importlib.import_module(f"koa_middleware_{NAME}").plugin
        assert failures(plugin, folder) == {}, path.name
        assert len(plugin.ORM.column_names()) < 30
        for name in [name for name in sys.modules if name.startswith(f"koa_middleware_{NAME}")]:
            del sys.modules[name]


@pytest.mark.skipif(shutil.which("ruff") is None, reason="ruff is not installed")
def test_a_new_package_lints(made: Any, tmp_path: Path) -> None:
    made("--header", str(write_fits(tmp_path / "odd.fits", HOSTILE)))
    for command in ("check", "format --check"):
        arguments = ["ruff", *command.split(), "--no-cache", f"koa-middleware-{NAME}"]
        done = subprocess.run(arguments, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("class", "a word of Python"),
        ("../lris", "Type koa-cal new-plugin lris."),
        ("Lris", "Type koa-cal new-plugin lris."),
        ("my-spec", "Type koa-cal new-plugin my_spec."),
        ("2dspec", "Give it a name such as myspec."),
        ("", "Give it a name such as myspec."),
        ("x" * 31, "has 31 characters"),
        ("hispec", "has a plugin already"),
    ],
)
def test_a_name_that_will_not_do_is_refused_before_anything_is_written(
    name: str, said: str, tmp_path: Path, capsys: Any
) -> None:
    if name == "hispec":
        pytest.importorskip("koa_middleware_hispec")
    assert main(["new-plugin", name]) == 2
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_left_as_it_is(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / f"koa-middleware-{NAME}").mkdir()
    assert main(["new-plugin", NAME]) == 2
    assert "exists already; nothing was written" in capsys.readouterr().err
    assert list((tmp_path / f"koa-middleware-{NAME}").iterdir()) == []


@pytest.mark.parametrize("content", [None, b"no FITS"])
def test_a_header_that_cannot_be_read_makes_no_folder(content: bytes | None, tmp_path: Path, capsys: Any) -> None:
    if content is not None:
        (tmp_path / "x.fits").write_bytes(content)
    assert main(["new-plugin", NAME, "--header", "x.fits"]) == 1
    assert "x.fits" in capsys.readouterr().err
    assert not (tmp_path / f"koa-middleware-{NAME}").exists()


def test_a_header_of_an_installed_instrument_does_not_take_its_name(made: Any, tmp_path: Path, capsys: Any) -> None:
    pytest.importorskip("koa_middleware_kpf")
    header = write_fits(tmp_path / "one.fits", {"INSTRUME": "KPF", "MJD-OBS": 61083.0})
    assert made("--header", str(header)).ORM.instrume_values == ()
    assert "set instrume_values yourself" in capsys.readouterr().err
