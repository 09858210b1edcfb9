"""``koa-cal best``."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]


pytestmark = pytest.mark.usefixtures("night")


def test_the_best_of_each_type_is_given_with_path_id_and_age(koa_cal: Run, frame: Path, cache: Path) -> None:
    found = koa_cal("best", frame, "--type", "dark", "--type", "flat").ended(0)
    said = koa_cal("best", frame, "--type", "dark", "--type", "flat", "--json").ended(0).json["calibrations"]
    for cal_type, age in (("dark", "1.0 d newer"), ("flat", "0.250 d older")):
        assert said[cal_type]["id"] in found.out
        assert said[cal_type]["path"] in found.out
        (line,) = [line for line in found.out.splitlines() if line.split()[:1] == [cal_type]]
        assert age in line
    assert Path(said["dark"]["path"]) == cache / "calibrations" / "dark-near.fits"
    assert found.err == ""


def test_a_type_that_nothing_fits_is_said_with_its_reasons_and_the_others_are_given(koa_cal: Run, frame: Path) -> None:
    found = koa_cal("best", frame).ended(1)
    assert "dark-near.fits" in found.out
    assert "flat-before.fits" in found.out
    assert "arc" not in found.out
    arc, bias = found.err.splitlines()
    assert arc.startswith("koa-cal: arc: ")
    assert "arc-red.fits" in arc
    assert "its arm is RED, the frame's is BLUE" in arc
    assert bias.startswith("koa-cal: bias: ")
    assert "none of that type" in bias


def test_the_answers_as_json_hold_the_misses_too(koa_cal: Run, frame: Path) -> None:
    found = koa_cal("best", frame, "--json").ended(1)
    assert found.err == ""
    assert list(found.json) == ["frame", "instrument", "calibrations"]
    assert found.json["frame"] == str(frame)
    assert found.json["instrument"] == "testspec"
    calibrations = found.json["calibrations"]
    assert list(calibrations) == ["dark", "flat", "arc", "bias"]
    assert list(calibrations["dark"]) == [
        "id",
        "filename",
        "cal_version",
        "path",
        "is_here",
        "delta_days",
        "step",
        "is_fallback",
        "given_by_user",
    ]
    assert calibrations["dark"]["delta_days"] == pytest.approx(1.0)
    assert calibrations["flat"]["delta_days"] == pytest.approx(-0.25)
    assert calibrations["dark"]["is_fallback"] is False
    assert set(calibrations["arc"]) == {"error", "message"}
    assert calibrations["arc"]["error"] == "CalibrationNotFoundError"


def test_an_unknown_type_after_a_known_one_is_no_answer_for_either(koa_cal: Run, frame: Path) -> None:
    found = koa_cal("best", frame, "--type", "dark", "--type", "wavelengths").ended(2)
    assert found.out == ""
    assert "'wavelengths'" in found.said


def test_a_frame_without_a_compared_value_is_told_which_keyword_it_lacks(koa_cal: Run, write: Run) -> None:
    frame = write("unknown.fits", 61083.5, ARM="")
    found = koa_cal("best", frame, "--type", "dark").ended(1)
    assert found.out == ""
    assert "ARM" in found.said
    assert koa_cal("best", frame, "--type", "dark", "--set", "arm=BLUE").ended(0).err == ""
    assert "ARM" in koa_cal("explain", frame, "--type", "dark").ended(1).said


def test_a_file_that_is_not_here_is_an_error_unless_only_the_choice_is_wanted(
    koa_cal: Run, frame: Path, cache: Path
) -> None:
    (cache / "calibrations" / "dark-near.fits").unlink()
    found = koa_cal("best", frame, "--type", "dark").ended(1)
    assert found.out == ""
    assert "dark-near.fits" in found.said
    chosen = koa_cal("best", frame, "--type", "dark", "--no-download", "--json").ended(0).json["calibrations"]["dark"]
    assert chosen["filename"] == "dark-near.fits"


def test_a_spoilt_file_is_never_given(koa_cal: Run, frame: Path, cache: Path) -> None:
    (cache / "calibrations" / "dark-near.fits").write_bytes(b"SIMPLE  =" + bytes(100))
    found = koa_cal("best", frame, "--type", "dark", "--json").ended(1).json["calibrations"]["dark"]
    assert found["error"] == "IntegrityError"
    assert "path" not in found


def test_a_frame_that_cannot_be_read_is_one_line(koa_cal: Run, tmp_path: Path) -> None:
    empty = tmp_path / "empty.fits"
    empty.touch()
    for frame in (tmp_path / "missing.fits", empty):
        found = koa_cal("best", frame, "-i", "testspec").ended(1)
        assert found.out == ""
        assert str(frame) in found.said


def test_a_type_that_needs_a_value_which_no_frame_holds_is_left_out_and_how_to_ask_for_it_is_said(
    with_only: Run, distribution: Path, make_distribution: Run, write: Run, tmp_path: Path
) -> None:
    source = (distribution / "koa_middleware_testspec.py").read_text()
    given = source.replace('cal_type, match = "arc", ("arm",)', 'cal_type, given = "arc", ("arm",)')
    run = with_only(make_distribution(tmp_path / "installed", "testspec", given))
    frame = write("unknown.fits", 61083.5, ARM="")
    found = run("best", frame).ended(1)
    assert found.err.splitlines()[-1] == "koa-cal: arc is left out; ask for it with --type arc --set arm=..."
    assert "arc-red.fits" in run("best", frame, "--type", "arc", "--set", "arm=RED").ended(0).out


def test_a_fallback_is_noted(process: Run, koa_cal: Run, frame: Path, write: Run) -> None:
    koa_cal("register", write("bias.fits", 61083.0, "bias")).ended(0)
    found = process("best", frame, "--type", "bias").ended(0)
    assert "by fallback" in found.out
    assert "fallback" in found.said
    assert "bias.fits" in found.said


def test_a_cause_that_several_types_share_is_one_line(koa_cal: Run, frame: Path) -> None:
    found = koa_cal("best", frame, "--set", "arm=GREEN").ended(1)
    (line,) = [line for line in found.err.splitlines() if "its arm is" in line]
    assert line.startswith("koa-cal: No dark, flat, arc fits arm GREEN, mjd_start 61083.5: the nearest were refused (")
    assert line.count("dark") == 1


def test_an_empty_path_and_one_of_an_unknown_user_are_said_to_be(koa_cal: Run) -> None:
    for given in ("", " "):
        for command in (("best",), ("explain", "--type", "dark"), ("register",)):
            assert "the path is empty." in koa_cal(*command, given).ended(1).said
    assert "~no-such-user/frame.fits cannot be read" in koa_cal("best", "~no-such-user/frame.fits").ended(1).said


def test_a_frames_own_file_is_not_chosen_for_it_in_another_compression(
    koa_cal: Run, write: Run, tmp_path: Path
) -> None:
    twin = write("dark-own.fits", 61083.5, "dark")
    packed = twin.with_name("dark-own.fits.gz")
    packed.write_bytes(gzip.compress(twin.read_bytes()))
    koa_cal("register", packed).ended(0)
    found = koa_cal("best", twin, "--type", "dark", "--json").ended(0).json["calibrations"]["dark"]
    assert found["filename"] == "dark-near.fits"


def test_many_frames_each_have_their_table(koa_cal: Run, frame: Path, write: Run, tmp_path: Path) -> None:
    red = write("red-frame.fits", 61083.5, ARM="RED")
    found = koa_cal("best", frame, red, "--type", "dark", "--type", "arc").ended(1)
    assert f"calibrations for {frame}" in found.out
    assert f"calibrations for {red}" in found.out
    assert f"koa-cal: {frame}: arc: No arc fits" in found.err
    missing = tmp_path / "missing.fits"
    told = koa_cal("best", missing, red, "--type", "arc", "--json").ended(1).json
    assert (told["instrument"], [one["frame"] for one in told["frames"]]) == ("testspec", [str(missing), str(red)])
    assert told["frames"][0]["error"] == "SourceFileError"
    assert told["frames"][1]["calibrations"]["arc"]["filename"] == "arc-red.fits"


def test_without_a_frame_the_values_are_given(koa_cal: Run) -> None:
    line = ("best", "-i", "testspec", "--type", "dark", "--set", "arm=BLUE", "--set", "mjd_start=61083.5")
    found = koa_cal(*line, "--json").ended(0).json
    assert (found["frame"], found["calibrations"]["dark"]["filename"]) == ("the given values", "dark-near.fits")
    assert "mjd_start" in koa_cal(*line[:-2]).ended(1).said
    assert "No frame is given" in koa_cal("best", "-i", "testspec").ended(2).said


def test_ones_own_choice_is_used(koa_cal: Run, frame: Path, write: Run) -> None:
    own = write("own.fits", 61082.5, "dark")
    found = koa_cal("best", frame, "--type", "dark", "--use", f"DARK={own}")
    assert "1.0 d older, given by you" in found.ended(0).out
    said = koa_cal("best", frame, "--type", "dark", "--use", f"dark={own}", "--json").ended(0).json
    assert said["calibrations"]["dark"]["path"] == str(own)
    assert said["calibrations"]["dark"]["given_by_user"] is True
    assert "nosuch.fits" in koa_cal("best", frame, "--use", "dark=nosuch.fits").ended(1).said
    assert "no selector for 'sky'" in koa_cal("best", frame, "--use", "sky=nosuch.fits").ended(2).said
    assert "not TYPE=FILE_OR_ID" in koa_cal("best", frame, "--use", "dark").ended(2).err


def test_a_pair_has_two_lines_with_their_weights(
    with_only: Run, distribution: Path, make_distribution: Run, frame: Path, tmp_path: Path
) -> None:
    source = (distribution / "koa_middleware_testspec.py").read_text()
    pairs = source.replace('"flat", ("arm",), "before"', '"flat", ("arm",), "bracket"')
    run = with_only(make_distribution(tmp_path / "installed", "testspec", pairs))
    line = ("best", frame, "--type", "flat")
    lines = [each for each in run(*line).ended(0).out.splitlines() if each.split()[:1] == ["flat,"]]
    assert [each.split()[:2] for each in lines] == [["flat,", "before"], ["flat,", "after"]]
    assert "0.250 d older, weight 0.286" in lines[0]
    assert "0.100 d newer, weight 0.714" in lines[1]
    pair = run(*line, "--json").ended(0).json["calibrations"]["flat"]
    assert pair["weight"] == pytest.approx(0.25 / 0.35)
    assert (pair["before"]["filename"], pair["after"]["filename"]) == ("flat-before.fits", "flat-after.fits")


def test_a_type_for_which_two_calibrations_are_given_is_wrong_usage(koa_cal: Run, frame: Path) -> None:
    found = koa_cal("best", frame, "--use", "dark=dark-next.fits", "--use", "Dark=dark-near.fits").ended(2)
    assert "dark is given twice" in found.err


# -- into a product's header -------------------------------------------------------------------------------------------


def test_what_was_chosen_is_written_into_a_products_header(koa_cal: Run, frame: Path, write: Run) -> None:
    from astropy.io import fits

    product = write("product.fits", 61083.6, "science")
    asked = ("best", frame, "--type", "dark", "--type", "arc", "--write-header", product)
    found = koa_cal(*asked).ended(1)
    assert f"{product}: its header names 1 calibration now" in found.err
    header = fits.getheader(product)
    assert (header["KCNUM"], header["KC01FILE"], header["KCMISS"]) == (1, "dark-near.fits", "arc")
    assert koa_cal(*asked, "--json").ended(1).json["product"] == str(product)


def test_a_product_of_which_nothing_was_found_stays(koa_cal: Run, frame: Path, write: Run) -> None:
    product = Path(write("product.fits", 61083.6, "science"))
    before = product.read_bytes()
    found = koa_cal("best", frame, "--type", "arc", "--write-header", product).ended(1)
    assert "stays as it is" in found.err
    assert product.read_bytes() == before


def test_a_calibration_is_no_product(koa_cal: Run, frame: Path, cache: Path) -> None:
    product = cache / "calibrations" / "flat-before.fits"
    found = koa_cal("best", frame, "--type", "dark", "--write-header", product).ended(2)
    assert f"{product} is a calibration of the cache" in found.said


def test_a_frame_is_not_its_own_product(koa_cal: Run, frame: Path) -> None:
    before = Path(frame).read_bytes()
    assert "is the frame itself" in koa_cal("best", frame, "--type", "dark", "--write-header", frame).ended(2).said
    assert Path(frame).read_bytes() == before


def test_a_product_is_one_frames(koa_cal: Run, frame: Path, tmp_path: Path) -> None:
    assert "several frames" in koa_cal("best", frame, frame, "--write-header", tmp_path / "x.fits").ended(2).said


@pytest.mark.usefixtures("night")
def test_without_a_network_it_chooses_among_the_files_on_this_disk(koa_cal: Run, frame: Path, cache: Path) -> None:
    def chosen(*more: str) -> dict[str, Any]:
        return koa_cal("best", frame, "--type", "dark", "--json", *more).json["calibrations"]["dark"]

    assert chosen("--cached")["filename"] == "dark-near.fits"
    (cache / "calibrations" / "dark-near.fits").unlink()
    assert chosen("--no-download")["filename"] == "dark-near.fits"
    assert not chosen("--no-download")["is_here"]
    assert "(not on this disk)" in koa_cal("best", frame, "--type", "dark", "--no-download").out
    assert chosen("--cached")["filename"] == "dark-next.fits"
    (cache / "calibrations" / "dark-next.fits").unlink()
    assert chosen("--cached")["error"] == "CalibrationNotFoundError"
    koa_cal("best", frame, "--cached", "--no-download").ended(2)


def test_of_records_whose_files_are_elsewhere_it_is_said_what_to_do(koa_cal: Run, frame: Path, cache: Path) -> None:
    for file in (cache / "calibrations").iterdir():
        file.unlink()
    said = koa_cal("best", frame, "--type", "dark", "--cached").ended(1).said
    assert "of the 4 known none has its file on this disk" in said
    assert "Leave out --cached, or download them with koa-cal prefetch" in said
    assert "register" not in said
    several, none = koa_cal("best", frame, "--cached").ended(1).err.splitlines()
    assert "No dark, flat, arc fits" in several
    assert "No bias fits" in none
    assert "the database holds none of that type" in none


def test_one_cause_that_keeps_files_away_is_told_once(koa_cal: Run, frame: Path, cache: Path) -> None:
    for file in (cache / "calibrations").iterdir():
        file.unlink()
    said, dark, flat = koa_cal("best", frame, "--type", "dark", "--type", "flat").ended(1).err.splitlines()
    assert said.startswith("koa-cal: 2 files: FILE cannot be downloaded: it is LOCAL")
    assert said.endswith("--cached chooses among the files that are here.")
    assert (dark.split(), flat.split()) == (["dark:", "dark-near.fits"], ["flat:", "flat-before.fits"])


def test_of_a_misspelt_type_it_is_asked_what_was_meant(koa_cal: Run, frame: Path) -> None:
    said = koa_cal("best", frame, "--type", "drak").ended(2).said
    assert "has no selector for 'drak'. Did you mean dark? Use one of dark, flat, arc, bias." in said
    assert "CalibrationSelector" not in said


def test_a_long_value_is_cut_in_a_message(koa_cal: Run, write: Callable[..., Path]) -> None:
    said = koa_cal("best", write("long.fits", 61083.5, ARM="X" * 600), "--type", "dark").ended(1).said
    assert f"No dark fits arm {60 * 'X'}..., " in said
    assert len(said) < 1000
