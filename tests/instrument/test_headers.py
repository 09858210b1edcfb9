from __future__ import annotations

import gzip
import warnings
from pathlib import Path
from typing import Any

import pytest
from koa_middleware import HeaderError, SourceFileError
from koa_middleware.disk.fits import is_fits_name
from koa_middleware.disk.wholeness import check_whole
from koa_middleware.instrument.headers import Headers, headers_of, open_headers

from tests.conftest import DemoCalibration, dark, dark_keywords, output_of, run_python, write_fits

BLOCK = 2880


def raw_fits(path: Path, *cards: str) -> Path:
    """Write a primary header of these cards as they are."""
    first = ["SIMPLE  =                    T", "BITPIX  =                    8", "NAXIS   =                    0"]
    text = "".join(card.ljust(80) for card in (*first, *cards, "END"))
    path.write_bytes(text.encode("ascii").ljust(-(-len(text) // BLOCK) * BLOCK))
    return path


def values(path: Path, *keys: str) -> dict[str, Any]:
    with open_headers(path) as found:
        return {key: found.get(key) for key in keys}


def test_keywords_are_found_in_the_primary_header_and_in_extensions_by_name(tmp_path: Path) -> None:
    path = write_fits(tmp_path / "a.fits", {"K": 1}, {"RED_CCD": {"K": 3}, "GREEN_CCD": {"K": 2}})
    expected = {"K": 1, "GREEN_CCD:K": 2, "RED_CCD:K": 3, "BLUE_CCD:K": None, "RED_CCD:NONE": None, "NONE": None}
    assert values(path, *expected) == expected


def test_text_loses_its_trailing_blanks_and_keeps_its_leading_ones(tmp_path: Path) -> None:
    path = raw_fits(tmp_path / "a.fits", "A       = 'Bias    '", "B       = '  x  '", "C       = '        '")
    assert values(path, "A", "B", "C") == {"A": "Bias", "B": "  x", "C": ""}


def test_of_a_keyword_that_occurs_twice_the_first_counts(tmp_path: Path) -> None:
    assert values(raw_fits(tmp_path / "a.fits", "K       = 1", "K       = 2"), "K") == {"K": 1}


def test_long_text_is_joined_from_its_continue_cards(tmp_path: Path) -> None:
    text = "kpf_20250122_master_bias_autocal-bias.fits, " * 5
    path = write_fits(tmp_path / "a.fits", {"INPBIAS": text})
    assert b"CONTINUE" in path.read_bytes()
    assert values(path, "INPBIAS") == {"INPBIAS": text.rstrip()}


def test_a_keyword_without_a_value_is_as_one_that_is_not_there(tmp_path: Path) -> None:
    assert values(raw_fits(tmp_path / "a.fits", "K       =", "L       = 1"), "K", "L") == {"K": None, "L": 1}


def test_a_card_that_is_none_of_fits_is_an_error_only_for_whom_it_matters(tmp_path: Path) -> None:
    path = raw_fits(tmp_path / "a.fits", "K       = not a value", "L       = 1")
    assert values(path, "L") == {"L": 1}
    with pytest.raises(HeaderError, match="K"):
        values(path, "K")


def test_a_header_or_a_mapping_is_read_like_a_file(tmp_path: Path) -> None:
    from astropy.io import fits

    path = write_fits(tmp_path / "a.fits", {"K": "x  "}, {"GREEN_CCD": {"K": 2}})
    primary = headers_of(fits.getheader(path))
    green = headers_of(fits.getheader(path, "GREEN_CCD"))
    assert (primary["K"], primary.get("GREEN_CCD:K")) == ("x", None)
    assert (green["K"], green["GREEN_CCD:K"], green.get("RED_CCD:K")) == (2, 2, None)
    assert headers_of({"K": 1}) == {"K": 1}
    assert "K" in set(primary)
    assert len(primary) == len(set(primary))
    assert dict(Headers(lambda _: None)) == {}


@pytest.mark.parametrize("name", ["a.fits", "a.FITS", "a.fit", "a.fts", "a.fits.gz", "a.fits.fz"])
def test_names_of_fits_files(name: str) -> None:
    assert is_fits_name(name)


@pytest.mark.parametrize("name", ["a.csv", "fits", "a.fits.txt", "a.json", "a.gz"])
def test_names_of_other_files(name: str) -> None:
    assert not is_fits_name(name)


@pytest.mark.parametrize("suffix", [".fits", ".fits.gz"])
def test_a_whole_file_passes_whatever_it_holds(tmp_path: Path, suffix: str) -> None:
    import numpy as np
    from astropy.io import fits

    hdus = fits.HDUList(
        [
            fits.PrimaryHDU(),
            fits.ImageHDU(np.zeros((3, 5), dtype=np.float64), name="IMAGE"),
            fits.ImageHDU(name="EMPTY"),
            fits.BinTableHDU.from_columns([fits.Column("a", "PJ()", array=np.array([[1, 2], [3]], dtype=object))]),
            fits.CompImageHDU(np.arange(10000, dtype=np.int16).reshape(100, 100), name="PACKED"),
            fits.TableHDU.from_columns([fits.Column("a", "A10", array=["x", "y"])]),
        ]
    )
    path = tmp_path / f"a{suffix}"
    hdus.writeto(path)
    check_whole(path)


def test_random_groups_are_measured_by_their_own_rule(tmp_path: Path) -> None:
    import numpy as np
    from astropy.io import fits

    data = fits.GroupData(np.zeros((7, 1, 4), dtype=np.float32), parnames=["u", "v"], pardata=[np.arange(7.0)] * 2)
    path = tmp_path / "a.fits"
    fits.GroupsHDU(data).writeto(path)
    check_whole(path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(SourceFileError, match="cut short"):
        check_whole(path)


@pytest.mark.parametrize(
    ("card", "said"),
    [
        ("NAXIS   = 999999999999", "NAXIS is"),
        ("NAXIS   = -1", "NAXIS is"),
        ("NAXIS   = 1", "NAXIS1"),
        ("NAXIS   = 'two'", "two"),
    ],
)
def test_a_spoilt_number_of_axes_is_refused_at_once(tmp_path: Path, card: str, said: str) -> None:
    path = raw_fits(tmp_path / "a.fits")
    path.write_bytes(path.read_bytes().replace(b"NAXIS   =                    0".ljust(80), card.encode().ljust(80)))
    with pytest.raises(SourceFileError, match=rf"a\.fits.*{said}"):
        check_whole(path)


def test_an_error_tells_both_lengths(tmp_path: Path) -> None:
    path = write_fits(tmp_path / "a.fits", dark_keywords())
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(SourceFileError, match=f"{2 * BLOCK - 100} bytes of the {2 * BLOCK}"):
        check_whole(path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", b"order,row\n1,2\n"),
        ("a.csv", b"# made by hand, in a hurry\norder,row\n1,2\n\n3,4\n"),
        ("a.csv", b'name,note\n"a, b",c\n'),
        ("a.csv", "name\nétalon\n".encode()),
        ("a.json", b'{"a": [1, 2]}'),
        ("a.txt", b"\xff\xfe anything"),
        ("a.csv.gz", gzip.compress(b"a,b\n1,2\n", mtime=0)),
        ("a.dat.gz", gzip.compress(b"anything", mtime=0)),
    ],
)
def test_whole_files_of_other_kinds_pass(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    check_whole(path)


def test_warnings_of_astropy_reach_nobody(tmp_path: Path) -> None:
    path = raw_fits(tmp_path / "a.fits", "LONGKEYWORD = 1", "lower   = 2")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_whole(path)
        assert values(path, "SIMPLE") == {"SIMPLE": True}


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    script = """
import sys
from pathlib import Path
from koa_middleware import CalibrationStore
from tests.conftest import DemoCalibration, dark
from tests.memory import peak_mb
folder = Path(sys.argv[1])
small = dark(folder, "small.fits", 60001.0)
with CalibrationStore(DemoCalibration, folder / "cache") as store:
    store.register_calibration(small)
    before = peak_mb()
    large = dark(folder, "large.fits")
    data = large.read_bytes()
    header = data[:2880].replace(b"NAXIS1  =                    8", b"NAXIS1  =             10000000")
    with large.open("wb") as stream:  # 160 MB, sparse
        stream.write(header)
        stream.truncate(2880 + -(-2 * 8 * 10_000_000 // 2880) * 2880)
    path, record = store.register_calibration(large)
    assert path.stat().st_size == record.file_size > 160_000_000
    print(peak_mb() - before)
"""
    grown_mb = float(output_of(run_python(script, tmp_path)))
    assert grown_mb < 40


@pytest.mark.parametrize("name", ["frame.fits.1", "frame.fits.tmp", "frame", "frame.dat.gz"])
def test_a_fits_file_of_any_name_is_known_by_its_first_bytes(tmp_path: Path, name: str) -> None:
    path = dark(tmp_path, "frame.fits", 60001.5)
    content = path.read_bytes()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    assert DemoCalibration.values_from_file(tmp_path / name)["mjd_start"] == 60001.5


def test_a_file_that_is_no_fits_is_read_by_its_name_alone(tmp_path: Path) -> None:
    (tmp_path / "trace.csv").write_text("SIMPLE,1")
    assert DemoCalibration.values_from_file(tmp_path / "trace.csv") == {"filename": "trace.csv"}
