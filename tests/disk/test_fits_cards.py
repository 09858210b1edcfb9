"""Cards that are written into a file: as a block, with nothing else changed, whole or not at all."""

from __future__ import annotations

import gzip
import os
import stat
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from koa_middleware import SourceFileError
from koa_middleware.disk.fits_cards import cards_of_all_units, long_text_card, put_cards, write_cards
from koa_middleware.disk.fits_units import fault_of_fits

from tests.conftest import run_python, write_fits


def is_ours(keyword: str) -> bool:
    return keyword.startswith("KC")


def block(*values: object) -> fits.Header:
    return fits.Header([(f"KC{n}", value, "ours") for n, value in enumerate(values)])


@pytest.fixture
def product(tmp_path: Path) -> Path:
    return write_fits(tmp_path / "product.fits", {"OBJECT": "10700"}, {"SCI": {"GAIN": 2.0}})


def units(path: Path) -> list[tuple[list[str], bytes]]:
    """Give the cards of each unit, as they are in the file, and its data."""
    with fits.open(path) as hdus:
        found = []
        for hdu in hdus:
            place = hdu.fileinfo()
            content = gzip.open(path).read() if path.suffix == ".gz" else path.read_bytes()  # noqa: SIM115
            cards = content[place["hdrLoc"] : place["datLoc"]].decode()
            data = content[place["datLoc"] : place["datLoc"] + place["datSpan"]]
            found.append(([cards[n : n + 80] for n in range(0, len(cards), 80)], data))
        return found


def test_all_else_in_the_file_stays(product: Path) -> None:
    before = units(product)
    write_cards(product, block("a", 2), is_ours)
    after = units(product)
    assert [data for _, data in after] == [data for _, data in before]
    assert after[1:] == before[1:]
    assert [card for card in after[0][0] if not card.startswith("KC")][: len(before[0][0]) - 2] == before[0][0][:-2]


@pytest.mark.parametrize("in_memory", [False, True])
def test_cards_that_are_written_again_take_the_place_of_the_earlier_ones(product: Path, in_memory: bool) -> None:
    def put(*values: object) -> list[str]:
        if in_memory:
            put_cards(header, block(*values), is_ours)
            return list(header)
        write_cards(product, block(*values), is_ours)
        return list(fits.getheader(product))

    header = fits.getheader(product)
    put("a", "b", "c")
    if in_memory:
        header.append(("LATER", 1))
    else:
        fits.setval(product, "LATER", value=1)
    long = "x" * 200
    assert put(long)[-2:] == ["KC0", "LATER"]
    assert put(1, 2)[-3:] == ["KC0", "KC1", "LATER"]
    assert put()[-2:] == ["OBJECT", "LATER"]


@pytest.mark.parametrize("data_sum", [True, False])
@pytest.mark.parametrize("size", [0, 5, 1000])
def test_the_checksum_is_right_afterwards(tmp_path: Path, size: int, data_sum: bool) -> None:
    rng = np.random.default_rng(size)
    data = rng.integers(-(2**15), 2**15, size, dtype=np.int16) if size else None
    path = tmp_path / "product.fits"
    fits.HDUList([fits.PrimaryHDU(data), fits.ImageHDU(np.ones(9))]).writeto(path, checksum=True)
    if not data_sum:
        fits.delval(path, "DATASUM")
    for n in range(8):
        write_cards(path, block(*rng.random(n).tolist(), "a" * n), is_ours)
        with path.open("rb") as stream:
            assert fault_of_fits(stream, None) == ""
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with fits.open(path, checksum=True) as hdus:
                assert "CHECKSUM" in hdus[0].header


def test_a_file_without_checksum_gets_none(product: Path) -> None:
    write_cards(product, block(1), is_ours)
    assert "CHECKSUM" not in fits.getheader(product)


def test_data_that_are_not_what_their_sum_says_are_not_summed_anew(tmp_path: Path) -> None:
    path = tmp_path / "product.fits"
    fits.PrimaryHDU(np.arange(10)).writeto(path, checksum=True)
    spoilt = bytearray(path.read_bytes())
    spoilt[2880 + 8] ^= 1
    path.write_bytes(spoilt)
    with pytest.raises(SourceFileError, match="DATASUM"):
        write_cards(path, block(1), is_ours)
    assert path.read_bytes() == spoilt


def test_a_file_that_is_compressed_with_gzip_stays_so(product: Path) -> None:
    packed = product.with_name("product.fits.gz")
    packed.write_bytes(gzip.compress(product.read_bytes()))
    before = units(packed)
    write_cards(packed, block("a"), is_ours)
    assert fits.getheader(packed)["KC0"] == "a"
    assert [data for _, data in units(packed)] == [data for _, data in before]


def fpacked(path: Path) -> None:
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(np.zeros((40, 40), np.int16))]).writeto(path, overwrite=True)


def no_fits(path: Path) -> None:
    path.write_text("order,position\n")


def cut(path: Path) -> None:
    fits.PrimaryHDU(np.zeros((99, 99))).writeto(path, checksum=True, overwrite=True)
    os.truncate(path, 9000)


@pytest.mark.parametrize(("spoil", "said"), [(fpacked, "packed"), (no_fits, "no FITS"), (cut, "cut short")])
def test_what_no_cards_can_stand_in_is_refused_and_stays(
    product: Path, spoil: Callable[[Path], None], said: str
) -> None:
    spoil(product)
    before = product.read_bytes()
    with pytest.raises(SourceFileError, match=said):
        write_cards(product, block(1), is_ours)
    assert product.read_bytes() == before
    assert list(product.parent.iterdir()) == [product]


@pytest.mark.parametrize("name", ["product.fits.bz2", "product.fits.xz"])
def test_another_compression_is_refused(product: Path, name: str) -> None:
    packed = product.rename(product.with_name(name))
    with pytest.raises(SourceFileError, match="gzip"):
        write_cards(packed, block(1), is_ours)


def test_cards_in_the_primary_header_of_a_file_with_packed_images_are_found(tmp_path: Path) -> None:
    path = tmp_path / "product.fits"
    hdus = fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(np.zeros((40, 40), np.int16))])
    hdus[0].header["OBJECT"] = "10700"
    hdus.writeto(path)
    write_cards(path, block("a"), is_ours)
    assert fits.getheader(path)["KC0"] == "a"


def test_a_link_leads_to_the_file_that_is_written_and_its_permissions_stay(product: Path) -> None:
    product.chmod(0o640)
    link = product.with_name("link.fits")
    link.symlink_to(product)
    write_cards(link, block("a"), is_ours)
    assert link.is_symlink()
    assert fits.getheader(product)["KC0"] == "a"
    assert stat.S_IMODE(product.stat().st_mode) == 0o640


def test_a_header_says_once_that_text_is_continued(product: Path) -> None:
    fits.setval(product, "LONGSTRN", value="OGIP 1.0", comment="of the pipeline")
    cards = block("x" * 200)
    cards.insert(0, long_text_card())
    write_cards(product, cards, is_ours)
    assert list(fits.getheader(product)).count("LONGSTRN") == 1


def test_bytes_of_other_cards_stay_whatever_they_are(tmp_path: Path) -> None:
    """Of a card that is none of FITS, astropy would make another one, or none."""
    odd = b"ODD     = NaN / caf\xe9".ljust(80)
    header = b"".join(
        card.ljust(80)
        for card in (
            b"SIMPLE  =                    T",
            b"BITPIX  =                    8",
            b"NAXIS   =                    0",
            odd,
            b"END",
        )
    )
    path = tmp_path / "product.fits"
    path.write_bytes(header.ljust(2880))
    write_cards(path, block("a"), is_ours)
    assert odd in path.read_bytes()
    assert cards_of_all_units(path, is_ours) == [[("KC0", "a")]]


KILLED = """
import os, signal, sys
from pathlib import Path
from astropy.io import fits
from koa_middleware.disk import fits_cards, writing
move = writing.move_into_place
def killed(*arguments, **options):
    os.kill(os.getpid(), signal.SIGKILL)
writing.move_into_place = killed
fits_cards.write_cards(Path(sys.argv[1]), fits.Header([("KC0", 1)]), lambda keyword: keyword == "KC0")
"""


def test_a_process_that_is_killed_leaves_the_file_as_it_was(product: Path) -> None:
    before = product.read_bytes()
    process = run_python(KILLED, product)
    process.communicate(timeout=60)
    assert process.returncode == -9
    assert product.read_bytes() == before
    (left,) = [path for path in product.parent.iterdir() if path != product]
    os.utime(left, (0, 0))
    write_cards(product, block(1), is_ours)
    assert list(product.parent.iterdir()) == [product]


def test_wanted_cards_of_all_units_are_read_with_their_continued_text(tmp_path: Path) -> None:
    long = "/masters/20231105/" + "x" * 100 + ".fits"
    path = write_fits(
        tmp_path / "product.fits",
        {"A": long, "B": 1, "C": 2.5},
        {"ONE": {"A": "one", "Z": "not wanted"}, "TWO": {}},
    )
    wanted = {"A", "C"}
    expected: list[list[tuple[str, Any]]] = [[("A", long), ("C", 2.5)], [("A", "one")], []]
    assert cards_of_all_units(path, wanted.__contains__) == expected
    packed = path.with_name("product.fits.gz")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert cards_of_all_units(packed, wanted.__contains__) == expected


@pytest.mark.parametrize("content", [b"", b"order,position\n", b"SIMPLE  = T" + bytes(3000)])
def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "product.fits"
    path.write_bytes(content)
    with pytest.raises(SourceFileError):
        cards_of_all_units(path, is_ours)
