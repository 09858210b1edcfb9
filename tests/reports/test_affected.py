"""What was made from a calibration: masters over masters, products by whatever cards name it, lock files."""

from __future__ import annotations

import gzip
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st
from koa_middleware import (
    CalibrationNotFoundError,
    CalibrationSelector,
    CalibrationStore,
    InstrumentPlugin,
    SourceFileError,
)
from koa_middleware.reports.provenance.affected import Affected
from koa_middleware.reports.provenance.uses import Calibration, Use, Users, known_by

from tests.conftest import DemoCalibration, dark_keywords, write_fits

Store = CalibrationStore[DemoCalibration]

CARDS: dict[str, Any] = {
    "bias": {"file": "BIASFILE"},
    "dark": {"file": "DARKFILE", "id": "DARKID", "checksum": "DARKSUM"},
    "wls": {"file": ("WLSFILE", "WLSFILE2")},
}


@pytest.fixture
def store(open_demo: Callable[..., Store], tmp_path: Path) -> Store:
    """Give a store with a bias, a dark that was made from it, a flat from that dark, and another bias."""
    selectors = [CalibrationSelector(cal_type=name) for name in ("bias", "dark", "flat", "wls")]
    InstrumentPlugin(DemoCalibration, selectors, product_cards=CARDS, inputs=("INPBIAS", "INPDARK"))
    store = open_demo()
    night = tmp_path / "night"
    night.mkdir()
    master(store, night, "bias.fits", "bias")
    master(store, night, "other_bias.fits", "bias", mjd=60001.0)
    master(store, night, "dark.fits", "dark", INPBIAS="bias.fits")
    master(store, night, "flat.fits", "flat", INPBIAS="other_bias.fits", INPDARK="/masters/dark.fits")
    return store


def master(store: Store, folder: Path, name: str, cal_type: str, mjd: float = 60000.0, **inputs: str) -> Any:
    """Register a master; the keywords of its inputs stand in an extension, as those of a chip."""
    path = write_fits(folder / name, dark_keywords(mjd, CALTYPE=cal_type, NAME=name), {"GREEN_CCD": inputs})
    return store.register_calibration(path).calibration


def masters(affected: Affected) -> list[str]:
    return [each.calibration.filename for each in affected.masters]


def products(affected: Affected) -> dict[str, dict[str, str]]:
    return {Path(each.path).name: dict(each.used) for each in affected.products}


def test_masters_are_found_over_all_generations(store: Store) -> None:
    affected = store.affected("bias.fits")
    assert masters(affected) == ["dark.fits", "flat.fits"]
    assert [(each.made_from, each.by) for each in affected.masters] == [
        ("bias.fits", "file name"),
        ("dark.fits", "file name"),
    ]
    assert masters(store.affected("other_bias.fits")) == ["flat.fits"]
    assert masters(store.affected("flat.fits")) == []


def test_masters_that_name_each_other_are_found_once(store: Store, tmp_path: Path) -> None:
    master(store, tmp_path, "one.fits", "dark", mjd=60005.0, INPDARK="two.fits", INPBIAS="one.fits")
    master(store, tmp_path, "two.fits", "dark", mjd=60006.0, INPDARK="one.fits")
    assert masters(store.affected("one.fits")) == ["two.fits"]


def test_products_of_the_masters_are_found_too(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "products"
    (folder / "2023" / "nov").mkdir(parents=True)
    write_fits(folder / "by_bias.fits", {"BIASFILE": "bias.fits"})
    write_fits(folder / "2023" / "by_dark.fits", {"DARKFILE": "/masters/dark.fits.gz"})
    write_fits(folder / "2023" / "nov" / "by_second_wls.fits", {"WLSFILE": "a.fits", "WLSFILE2": "flat.fits"})
    write_fits(folder / "by_other.fits", {"BIASFILE": "other_bias.fits"})
    (folder / "notes.txt").write_text("bias.fits")
    assert products(store.affected("bias.fits", products=[folder])) == {
        "by_bias.fits": {"bias.fits": "file name"},
        "by_dark.fits": {"dark.fits": "file name"},
        "by_second_wls.fits": {"flat.fits": "file name"},
    }


def test_our_own_cards_are_found_in_any_header_of_a_product(store: Store, tmp_path: Path) -> None:
    found = store.select_set({"mjd_start": 60000.0}, ["dark", "flat"])
    product = write_fits(tmp_path / "product.fits", {}, {"INSTRUMENT_HEADER": {}})
    with fits.open(product, mode="update") as hdus:
        store.provenance(found).put_into(hdus["INSTRUMENT_HEADER"].header)
    packed = product.with_name("packed.fits.gz")
    packed.write_bytes(gzip.compress(product.read_bytes()))
    used = {"dark.fits": "checksum", "flat.fits": "checksum"}
    assert products(store.affected("bias.fits", products=[product, packed])) == {
        "product.fits": used,
        "packed.fits.gz": used,
    }


def test_of_a_card_that_stands_there_twice_both_count(store: Store, tmp_path: Path) -> None:
    product = write_fits(tmp_path / "product.fits", {"DARKFILE": "other.fits"})
    with fits.open(product, mode="update") as opened:
        opened[0].header.append(("DARKFILE", "dark.fits"))
    assert [each.path for each in store.affected("dark.fits", products=[product]).products] == [str(product)]


def test_three_hundred_products_are_read(store: Store, tmp_path: Path) -> None:
    template = write_fits(tmp_path / "template.fits", {"BIASFILE": "bias.fits"})
    other = write_fits(tmp_path / "other.fits", {"BIASFILE": "other_bias.fits"})
    folder = tmp_path / "products"
    folder.mkdir()
    for n in range(300):
        shutil.copy(template if n % 3 else other, folder / f"{n:03}.fits")
    assert sorted(products(store.affected("bias.fits", products=[folder]))) == [
        f"{n:03}.fits" for n in range(300) if n % 3
    ]


def test_a_file_that_cannot_be_read_is_told_and_stops_no_other(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "products"
    folder.mkdir()
    write_fits(folder / "good.fits", {"BIASFILE": "bias.fits"})
    (folder / "bad.fits").write_text("no FITS")
    (folder / "link.fits").symlink_to("nowhere")
    lock = tmp_path / "night.lock"
    lock.write_text("no lock")
    affected = store.affected("bias.fits", products=[folder], locks=[lock])
    assert list(products(affected)) == ["good.fits"]
    assert sorted(affected.unread) == sorted([str(folder / "bad.fits"), str(folder / "link.fits"), str(lock)])
    assert "bad.fits" in str(affected)


def test_the_files_of_the_cache_are_masters_not_products(store: Store) -> None:
    affected = store.affected("bias.fits", products=store.cache_dir)
    assert masters(affected) == ["dark.fits", "flat.fits"]
    assert affected.products == []


@pytest.mark.parametrize("what", ["products", "locks"])
def test_what_is_not_there_is_an_error(store: Store, tmp_path: Path, what: str) -> None:
    with pytest.raises(SourceFileError, match="nowhere"):
        store.affected("bias.fits", **{what: [tmp_path / "nowhere"]})


def test_a_calibration_that_is_not_known_is_an_error(store: Store) -> None:
    with pytest.raises(CalibrationNotFoundError):
        store.affected("bais.fits")


def test_calibrations_whose_files_are_away_are_counted(store: Store) -> None:
    (store.cache_dir / "calibrations" / "dark.fits").unlink()
    affected = store.affected("bias.fits")
    assert masters(affected) == []
    assert affected.not_here == 1
    assert "1 known calibration is not on this disk" in str(affected)
    assert len(affected.notes()) == 1


def test_masters_of_a_shared_cache_are_found(store: Store, open_demo: Callable[..., Store], tmp_path: Path) -> None:
    own = open_demo(tmp_path / "own", shared_cache_dir=store.cache_dir)
    assert masters(own.affected("bias.fits")) == ["dark.fits", "flat.fits"]


def test_lock_files_are_found_by_what_they_hold(store: Store, tmp_path: Path) -> None:
    frame = {"filename": "science.fits", "mjd_start": 60000.1}
    locked, other = tmp_path / "locked.lock", tmp_path / "other.lock"
    lock = store.lock([frame], ["dark"])
    lock.write(locked)
    (known,) = lock.calibrations
    other.write_text(locked.read_text().replace(known.checksum, f"sha256:{'0' * 64}").replace(known.id, "another"))
    affected = store.affected("bias.fits", locks=[locked, other])
    assert [(each.path, dict(each.used)) for each in affected.locks] == [(str(locked), {"dark.fits": "checksum"})]


def test_what_used_a_calibration_that_was_removed_is_found(store: Store, tmp_path: Path) -> None:
    product = write_fits(tmp_path / "product.fits", {"DARKFILE": "dark.fits"})
    store.remove("bias.fits")
    affected = store.affected("bias.fits", products=[product])
    assert masters(affected) == ["dark.fits", "flat.fits"]
    assert [each.path for each in affected.products] == [str(product)]


def test_it_is_data_text_and_html(store: Store, tmp_path: Path) -> None:
    product = write_fits(tmp_path / "product.fits", {"DARKFILE": "dark.fits"})
    store.flag("bias.fits", "BAD", "light leak", here=True)
    affected = store.affected("bias.fits", products=[product])
    said = json.loads(json.dumps(affected.to_dict()))
    assert said["calibration"]["quality"] == "BAD"
    assert [each["filename"] for each in said["masters"]] == ["dark.fits", "flat.fits"]
    assert said["products"] == [{"path": str(product), "used": [{"filename": "dark.fits", "by": "file name"}]}]
    assert str(affected).startswith("bias.fits (BAD) was used in 2 masters, 1 product, 0 lock files")
    assert str(product) in affected.to_text(60)
    assert str(product) in affected._repr_html_()


# -- what a card means -------------------------------------------------------------------------------------------------

SUM, OTHER = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"
DARK = Calibration("id", "dark.fits", "dark", "GOOD", SUM)


@pytest.mark.parametrize(
    ("use", "by"),
    [
        (Use("dark.fits", "id", SUM), "checksum"),
        (Use("renamed.fits", "other", SUM.upper()), "checksum"),
        (Use("dark.fits", "id", OTHER), "id"),
        (Use("renamed.fits", "id"), "id"),
        (Use("dark.fits"), "file name"),
        (Use("DARK.fits.fz"), "file name"),
        (Use("dark.fits", "", f"md5:{'0' * 32}"), "file name"),
        (Use("dark.fits", "", OTHER), ""),
        (Use("dark.fits", "other"), ""),
        (Use("mydark.fits"), ""),
        (Use(), ""),
    ],
)
def test_checksum_and_id_count_before_the_name(use: Use, by: str) -> None:
    assert known_by(use, DARK) == by
    assert Users([("product", use)]).of(DARK) == ({"product": by} if by else {})


_NAMES = st.sampled_from(["", "a.fits", "A.fits.gz", "b.fits"])
_IDS = st.sampled_from(["", "1", "2"])
_SUMS = st.sampled_from(["", SUM, OTHER, f"md5:{'0' * 32}", "nonsense"])


@given(
    st.lists(st.tuples(st.integers(0, 3), st.builds(Use, _NAMES, _IDS, _SUMS)), max_size=8),
    _NAMES.filter(bool),
    _IDS.filter(bool),
    _SUMS,
)
def test_whoever_used_a_calibration_is_found(
    uses: list[tuple[int, Use]], filename: str, id_: str, checksum: str
) -> None:
    asked = Calibration(id_, filename, "dark", "GOOD", checksum or None)
    expected = {who for who, use in uses if known_by(use, asked)}
    assert set(Users(uses).of(asked)) == expected


def test_a_folder_that_may_not_be_read_is_told(store: Store, tmp_path: Path) -> None:
    closed = tmp_path / "products" / "closed"
    closed.mkdir(parents=True)
    closed.chmod(0)
    if os.access(closed, os.R_OK):
        pytest.skip("this user reads everything")
    try:
        assert str(closed) in store.affected("bias.fits", products=[closed.parent]).unread
    finally:
        closed.chmod(0o700)
