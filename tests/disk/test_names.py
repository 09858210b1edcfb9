from __future__ import annotations

from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st
from koa_middleware import UnsafeFilenameError
from koa_middleware.cache.folder import Cache
from koa_middleware.disk.names import LONGEST_NAME, check_filename, folded

#: Pieces of which names are made that try to leave a folder.
PIECES = st.sampled_from(
    [
        "..",
        ".",
        "/",
        "\\",
        "\0",
        "~",
        "C:",
        "con",
        "NUL.",
        "a",
        "dark.fits",
        " ",
        "\n",
        "\x7f",
        "é",
        "\udc80",
        "*",
        "x" * 120,
    ]
)
HOSTILE = st.text() | st.lists(PIECES, max_size=6).map("".join)


@given(name=HOSTILE)
def test_a_name_is_refused_or_is_one_that_stays_in_the_folder(name: str) -> None:
    cache = Cache(Path("/cache"))
    try:
        path = cache.path(name)
    except UnsafeFilenameError:
        return
    assert path.parent == cache.calibrations
    assert path.name == name == PurePosixPath(name).name
    assert PureWindowsPath(name).parts in {(name,), (PureWindowsPath(name).drive, PureWindowsPath(name).name)}
    assert not name.startswith(".")
    assert name.isprintable() or not any(ord(letter) < 32 for letter in name)
    assert len(name.encode()) <= LONGEST_NAME


@given(name=HOSTILE)
def test_an_accepted_name_can_be_made(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.getbasetemp() / "names"
    folder.mkdir(exist_ok=True)
    try:
        check_filename(name)
    except UnsafeFilenameError:
        return
    (folder / name).write_bytes(b"made")
    assert [path.name for path in folder.iterdir()] == [name]
    (folder / name).unlink()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "empty"),
        ("  ", "empty"),
        ("a/b.fits", "separator"),
        ("a\\b.fits", "separator"),
        ("/etc/passwd", "separator"),
        ("../dark.fits", "separator"),
        ("..", "dot"),
        (".", "dot"),
        (".hidden.fits", "dot"),
        ("dark.fits\0.txt", "control"),
        ("dark\n.fits", "control"),
        ("dark\x85.fits", "control"),
        ("a\u202eb.fits", r"U\+202E"),
        ("a\u2066b.fits", r"U\+2066"),
        ("a\u200bb.fits", r"U\+200B"),
        ("a\u2028b.fits", r"U\+2028"),
        ("dark.fits ", "ends"),
        ("dark.", "ends"),
        ("CON", "reserve"),
        ("nul.fits", "reserve"),
        ("Com1.tar.gz", "reserve"),
        ("x" * 236 + ".fits", "240 bytes"),
        ("é" * 120 + ".fits", "240 bytes"),
        ("\udcff.fits", "not valid text"),
    ],
)
def test_each_kind_of_unsafe_name_is_said(name: str, reason: str) -> None:
    with pytest.raises(UnsafeFilenameError, match=reason) as caught:
        check_filename(name)
    assert caught.value.name == name
    assert reason.replace("\\", "") in caught.value.reason


@pytest.mark.parametrize(
    "name",
    [
        "HB.20260212.00000.00.mastercal-dark.001.fits",
        "kpf_20250122_master_bias_autocal-bias.fits",
        "console.fits",
        "null.csv",
        "x" * 235 + ".fits",
        "étoile.fits",
        "a..b.fits",
    ],
)
def test_names_of_the_field_are_accepted(name: str) -> None:
    assert check_filename(name) == name


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("d\u00e9faut.fits", "de\u0301faut.fits"),
        ("dark.fits", "DARK.FITS"),
        ("\u00c9.fits", "e\u0301.fits"),
        ("stra\u00dfe.fits", "STRASSE.fits"),
    ],
)
def test_names_that_some_disk_takes_for_one_are_one(one: str, other: str) -> None:
    assert folded(one) == folded(other)
    assert folded(one) != folded(f"x{other}")
