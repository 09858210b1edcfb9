"""Which files are whole: FITS by its lengths and its own sums, plain and compressed, and what is no file at all."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from koa_middleware import SourceFileError
from koa_middleware.disk.fits import is_fits_name
from koa_middleware.disk.reading import check_readable, leave_to_sqlite, open_source
from koa_middleware.disk.wholeness import check_whole

COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".bz2": partial(bz2.compress, compresslevel=1),
    ".xz": partial(lzma.compress, preset=0),
}


@pytest.fixture(scope="module")
def summed() -> bytes:
    """Give a FITS file of three units, each with DATASUM and CHECKSUM: an image, an odd-sized image, a table."""
    made = io.BytesIO()
    table = fits.BinTableHDU.from_columns([fits.Column("x", "J", array=np.arange(1000))], name="TABLE")
    image = fits.ImageHDU(np.arange(7 * 11, dtype=np.int16).reshape(7, 11), name="IMAGE")
    primary = fits.PrimaryHDU(np.random.default_rng(1).normal(size=(400, 350)))
    fits.HDUList([primary, image, table]).writeto(made, checksum=True)
    return made.getvalue()


@pytest.mark.parametrize("compression", COMPRESS)
@pytest.mark.parametrize("suffix", [".fits", ".fit", ".fts"])
def test_a_whole_file_passes_in_each_form(tmp_path: Path, summed: bytes, suffix: str, compression: str) -> None:
    path = tmp_path / f"a{suffix}{compression}"
    path.write_bytes(COMPRESS[compression](summed))
    assert is_fits_name(path.name)
    assert is_fits_name(path.name.upper())
    check_whole(path)


@pytest.mark.parametrize("compression", COMPRESS)
@pytest.mark.parametrize(("unit", "name"), [(0, "primary unit"), (1, "extension 1"), (2, "extension 2")])
@pytest.mark.parametrize("part", ["header", "data"])
def test_a_changed_bit_contradicts_the_files_own_sums(
    tmp_path: Path, summed: bytes, compression: str, unit: int, name: str, part: str
) -> None:
    with fits.open(io.BytesIO(summed)) as hdus:
        info = hdus[unit].fileinfo()
    spoilt = bytearray(summed)
    if part == "data":
        spoilt[info["datLoc"] + 5] ^= 0x40
    else:
        spoilt[summed.index(b"array data type", info["hdrLoc"])] ^= 0x02
    path = tmp_path / f"a.fits{compression}"
    path.write_bytes(COMPRESS[compression](bytes(spoilt)))
    keyword = "DATASUM" if part == "data" else "CHECKSUM"
    with pytest.raises(SourceFileError, match=f"its {name} is not what its {keyword} says"):
        check_whole(path)


def test_sums_that_are_blank_say_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    header = fits.Header([("DATASUM", ""), ("CHECKSUM", "  ")])
    fits.PrimaryHDU(np.zeros((3, 3)), header).writeto(path)
    check_whole(path)


def test_an_fpacked_file_has_the_sums_of_its_table(tmp_path: Path, summed: bytes) -> None:
    path = tmp_path / "a.fits.fz"
    image = fits.CompImageHDU(np.arange(10000, dtype=np.int16).reshape(100, 100))
    fits.HDUList([fits.PrimaryHDU(), image]).writeto(path, checksum=True)
    check_whole(path)
    spoilt = bytearray(path.read_bytes())
    spoilt[-2880] ^= 1
    path.write_bytes(spoilt)
    with pytest.raises(SourceFileError, match="extension 1"):
        check_whole(path)


@pytest.mark.parametrize("compression", [".gz", ".bz2", ".xz"])
@pytest.mark.parametrize("name", ["a.fits", "a.csv", "a.json", "a.txt"])
def test_compressed_data_that_are_cut_or_spoilt_are_damaged(tmp_path: Path, name: str, compression: str) -> None:
    content = {"a.csv": b"1,2\n" * 5000, "a.json": b"[" + b"1," * 5000 + b"1]"}.get(name, os.urandom(5000))
    if name == "a.fits":
        made = io.BytesIO()
        fits.PrimaryHDU(np.random.default_rng(1).normal(size=(60, 70))).writeto(made)
        content = made.getvalue()
    path = tmp_path / (name + compression)
    packed = COMPRESS[compression](content)
    path.write_bytes(packed)
    check_whole(path)
    for spoilt in (packed[:-20], packed[: len(packed) // 2] + b"\xff" * 8 + packed[len(packed) // 2 + 8 :]):
        path.write_bytes(spoilt)
        with pytest.raises(SourceFileError):
            check_whole(path)


def pipe(path: Path) -> None:
    os.mkfifo(path)


def bound_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (pipe, "named pipe"),
        (bound_socket, "socket"),
        (Path.mkdir, "folder"),
        (lambda path: path.symlink_to("/dev/zero"), "device"),
    ],
    ids=["pipe", "socket", "folder", "device"],
)
@pytest.mark.parametrize("check", [check_readable, check_whole, open_source])
def test_what_is_no_file_is_said_at_once(
    tmp_path: Path, make: Callable[[Path], None], word: str, check: Callable[[Path], object]
) -> None:
    path = tmp_path / "a.fits"
    make(path)
    with pytest.raises(SourceFileError, match=rf"a\.fits cannot be read: it is a {word}"):
        check(path)


@pytest.mark.parametrize(
    ("name", "compression", "said"),
    [
        ("a.fits.gz", ".bz2", "its name says gzip, but it is compressed with bzip2"),
        ("a.fits.bz2", ".xz", "its name says bzip2, but it is compressed with xz"),
        ("a.fits.xz", ".gz", "its name says xz, but it is compressed with gzip"),
        ("a.csv.gz", "", "its name says gzip, but it begins with b'a,b"),
        ("a.fits", ".gz", "it is compressed with gzip"),
    ],
)
def test_a_file_that_is_not_compressed_as_its_name_says_is_told_what_it_is(
    tmp_path: Path, name: str, compression: str, said: str
) -> None:
    (tmp_path / name).write_bytes(COMPRESS[compression](b"a,b\n1,2\n" * 1000))
    with pytest.raises(SourceFileError, match=said):
        check_whole(tmp_path / name)


@pytest.mark.parametrize("suffix", [".Z", ".zip", ".zst"])
def test_a_compression_that_is_not_read_is_named(tmp_path: Path, summed: bytes, suffix: str) -> None:
    path = tmp_path / f"a.fits{suffix}"
    path.write_bytes(b"\x1f\x9d" + summed)
    with pytest.raises(SourceFileError, match=rf"not read here \({suffix}\).*gzip"):
        check_whole(path)
    check_whole(path.rename(tmp_path / f"notes{suffix}"))


def test_a_database_in_use_is_not_opened_by_hand_under_any_name(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    path.write_bytes(b"SQLite format 3\0")
    leave_to_sqlite(path)
    (tmp_path / "link.fits").symlink_to(path)
    for name in (path, tmp_path / "link.fits"):
        with pytest.raises(SourceFileError, match="database of a calibration cache"):
            check_readable(name)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", b"[" * 100_000),
        ("a.csv", b"1," + b"2" * 200_000 + b"\n"),
        ("a.csv.gz", gzip.compress(b'"' * 200_001)),
    ],
)
def test_what_no_reader_takes_is_damaged(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(SourceFileError, match="is damaged"):
        check_whole(path)


def test_axes_longer_than_any_file_are_said(tmp_path: Path) -> None:
    header = fits.Header([("SIMPLE", True), ("BITPIX", 8), ("NAXIS", 3)])
    header.extend([(f"NAXIS{axis}", 2**40) for axis in (1, 2, 3)])
    path = tmp_path / "a.fits"
    path.write_bytes(header.tostring().encode())
    with pytest.raises(SourceFileError, match="longer than any file"):
        check_whole(path)
