"""``koa-cal affected``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from koa_middleware import InstrumentPlugin

Run = Callable[..., Any]


@pytest.fixture
def product(
    koa_cal: Run, write: Run, tmp_path: Path, testspec: InstrumentPlugin, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Give a product that used a flat which was made from a dark."""
    monkeypatch.setattr(testspec.ORM, "inputs", ("INPDARK",))
    koa_cal("register", write("dark.fits", 61083.5, "dark"), "-i", "testspec").ended(0)
    koa_cal("register", write("flat.fits", 61083.5, "flat", INPDARK="dark.fits"), "-i", "testspec").ended(0)
    product = write("products/product.fits", 61083.6, "science")
    frame = write("frame.fits", 61083.6, "science")
    koa_cal("best", frame, "--type", "flat", "--write-header", product, "-i", "testspec").ended(0)
    return Path(product)


def test_masters_and_products_are_listed(koa_cal: Run, product: Path) -> None:
    found = koa_cal("affected", "dark.fits", "--products", product.parent, "-i", "testspec").ended(0)
    head, _, _, flat, used = found.out.splitlines()
    assert head.startswith("dark.fits (GOOD) was used in 1 master, 1 product, 0 lock files")
    assert flat.split() == ["flat", "flat.fits", "dark.fits", "file", "name"]
    assert used.split() == [str(product), "flat.fits", "checksum"]


def test_the_same_as_json(koa_cal: Run, product: Path) -> None:
    found = koa_cal("affected", "dark.fits", "--products", product, "-i", "testspec", "--json").ended(0).json
    assert [each["filename"] for each in found["masters"]] == ["flat.fits"]
    assert found["products"] == [{"path": str(product), "used": [{"filename": "flat.fits", "by": "checksum"}]}]
    assert found["unread"] == {}


def test_a_product_that_cannot_be_read_is_told_with_exit_code_1(koa_cal: Run, product: Path) -> None:
    bad = product.with_name("bad.fits")
    bad.write_text("no FITS")
    found = koa_cal("affected", "dark.fits", "--products", product.parent, "-i", "testspec").ended(1)
    assert f"not read: {bad}" in found.out
    assert str(product) in found.out


def test_a_path_that_is_not_there_is_told_and_the_others_are_asked(koa_cal: Run, product: Path) -> None:
    asked = ("affected", "dark.fits", "--products", "nosuch", product, "--locks", "no.toml", "-i", "testspec")
    found = koa_cal(*asked).ended(1)
    assert str(product) in found.out
    assert "nosuch" in found.err
    assert "no.toml" in found.err
    assert set(koa_cal(*asked, "--json").ended(1).json["unread"]) == {"nosuch", "no.toml"}


def test_an_unknown_calibration_is_one_line(koa_cal: Run, product: Path) -> None:
    assert "bark.fits" in koa_cal("affected", "bark.fits", "--products", product, "-i", "testspec").ended(1).said


@pytest.mark.usefixtures("product")
def test_flagging_it_bad_says_what_was_made_from_it(koa_cal: Run) -> None:
    flag = ("flag", "dark.fits", "bad", "--reason", "light leak", "-i", "testspec")
    found = koa_cal(*flag).ended(0)
    assert found.out == "dark.fits is BAD: light leak\n"
    masters, products = found.err.splitlines()
    assert masters == "koa-cal: 1 master here was made from it: flat.fits"
    assert "koa-cal affected -i testspec dark.fits --products DIR" in products
    assert [each["filename"] for each in koa_cal(*flag, "--json").ended(0).json["masters"]] == ["flat.fits"]
    assert koa_cal("flag", "dark.fits", "good", "--reason", "was not", "-i", "testspec").ended(0).err == ""


@pytest.mark.usefixtures("product")
def test_flagging_it_bad_says_too_what_could_not_be_asked(koa_cal: Run, cache: Path) -> None:
    (cache / "calibrations" / "flat.fits").write_text("no FITS")
    found = koa_cal("flag", "dark.fits", "bad", "--reason", "light leak", "-i", "testspec").ended(0)
    assert "not read: " in found.err
    assert "flat.fits" in found.err
