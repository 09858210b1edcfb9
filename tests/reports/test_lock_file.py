"""Lock files as text: the same choices give the same bytes, and what is no lock file is refused with its fault."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from koa_middleware import (
    CalibrationSelector,
    CalibrationStore,
    ConfigurationError,
    InstrumentPlugin,
    KoaMiddlewareError,
    LockFile,
    SourceFileError,
    Step,
)
from koa_middleware.reports.lock.locked import ArchiveState, LockedCalibration, LockedChoice, LockedFrame

from tests.conftest import DemoCalibration, record

pytestmark = pytest.mark.filterwarnings("ignore::koa_middleware.FallbackWarning")

Store = CalibrationStore[DemoCalibration]
DARK = LockedCalibration("dark.fits", "dark", "001", "REMOTE", "2026-02-12T00:00:00.000", "id-1", f"sha256:{7:064x}", 9)
CHOICE = LockedChoice("dark", "dark.fits", rule="DarkSelector", delta_days=-0.5)
FRAME = LockedFrame("frame.fits", {"spectrograph": "BSPEC"}, (CHOICE,))
LOCK = LockFile("demo", "0.1.0", "1.2", ("spectrograph",), (DARK,), (FRAME,))


@pytest.fixture(autouse=True)
def plugin() -> InstrumentPlugin:
    return InstrumentPlugin(
        DemoCalibration,
        [
            CalibrationSelector(
                cal_type="dark",
                match=("spectrograph",),
                prefer=(Step({"lamp": "thar"}), Step(within={"exposure_time": 1.0})),
            ),
            CalibrationSelector(cal_type="wls", anchor="dark", time="mjd_mid", direction="bracket"),
        ],
    )


@pytest.fixture
def filled(store: Store) -> Store:
    store.local_db.add(
        [
            record("near.fits", 60001.0, mjd_mid=60002.0, exposure_time=30.0),
            record("far.fits", 60009.0, mjd_mid=60009.0, exposure_time=30.0),
            record("before.fits", 60000.5, cal_type="wls", mjd_mid=60000.5),
            record("after.fits", 60002.5, cal_type="wls", mjd_mid=60002.5),
        ]
    )
    return store


def frame(number: int, **more: Any) -> dict[str, Any]:
    values = {"mjd_start": 60000.0 + number, "mjd_mid": 60001.0 + number, "spectrograph": "BSPEC"}
    return {"filename": f"frame{number}.fits", "exposure_time": 30.0, "cooled": True, **values, **more}


@given(
    st.lists(st.text(min_size=1), min_size=1, max_size=4, unique_by=str.lower),
    st.one_of(st.text(), st.booleans(), st.integers(-(2**63), 2**63), st.floats(allow_nan=False)),
    st.none()
    | st.builds(ArchiveState, st.text(min_size=1), st.none() | st.integers(0, 2**62), st.none() | st.text(min_size=1)),
    st.none() | st.floats(allow_nan=False),
    st.none() | st.integers(1, 9),
)
def test_what_is_written_is_read_again(
    tmp_path_factory: Any, names: list[str], value: Any, archive: Any, delta: float | None, step: int | None
) -> None:
    choice = CHOICE._replace(rule=names[0], delta_days=delta, step=step, is_fallback=bool(step))
    frames = tuple(LockedFrame(f"{number}{name}", {"lamp": value}, (choice,)) for number, name in enumerate(names))
    lock = replace(LOCK, frames=frames, archive=archive, plugin=names[-1])
    path = tmp_path_factory.getbasetemp() / "made.lock"
    path.write_bytes(lock.to_text().encode())
    assert LockFile.read(path) == lock


def test_locking_twice_in_any_order_gives_the_same_bytes(filled: Store) -> None:
    frames = [frame(number) for number in range(5)]
    text = filled.lock(frames).to_text()
    assert filled.lock([*reversed(frames), frames[2]]).to_text() == text
    assert filled.lock([{**each, "filename": f"/other/{each['filename']}"} for each in frames]).to_text() == text
    assert filled.select_sets(frames).lock().to_text() == text


def test_a_lock_says_what_was_chosen_for_what_and_by_which_rule(filled: Store) -> None:
    lock = filled.lock([frame(1)])
    found = tomllib.loads(lock.to_text())
    assert found["frame"] == [
        {
            "filename": "frame1.fits",
            "values": {"mjd_start": 60001.0, "spectrograph": "BSPEC", "exposure_time": 30.0, "mjd_mid": 60002.0},
            "choices": [
                {
                    "cal_type": "dark",
                    "calibration": "near.fits",
                    "rule": "CalibrationSelector",
                    "step": 2,
                    "delta_days": 0.0,
                    "is_fallback": True,
                },
                {
                    "cal_type": "wls",
                    "calibration": "before.fits",
                    "side": "before",
                    "rule": "CalibrationSelector",
                    "delta_days": -1.5,
                },
                {
                    "cal_type": "wls",
                    "calibration": "after.fits",
                    "side": "after",
                    "rule": "CalibrationSelector",
                    "delta_days": 0.5,
                },
            ],
        }
    ]
    near = filled.local_db.query_by_filename("near.fits")
    written = {each["filename"]: each for each in found["calibration"]}
    assert written["near.fits"]["id"] == near.id
    assert written["near.fits"]["datetime_obs"] == near.datetime_obs
    assert found["compared"] == ["mjd_start", "spectrograph", "exposure_time", "mjd_mid"]
    assert "archive" not in found


def test_what_nothing_fits_is_kept_as_missing_with_its_reason(filled: Store) -> None:
    (kept,) = filled.lock([frame(1, spectrograph="RSPEC")]).frames
    dark, wls = kept.choices
    assert (dark.calibration, wls.calibration) == ("", "")
    assert "spectrograph" in dark.missing
    assert "\n" not in dark.missing + wls.missing


def test_a_frame_without_a_needed_value_is_kept_too(filled: Store) -> None:
    (kept,) = filled.lock([frame(1, spectrograph=None)]).frames
    assert kept.values.keys() == {"mjd_start", "exposure_time", "mjd_mid"}
    assert kept.choices[0].missing == "no spectrograph in the header"


def test_two_frames_of_one_name_that_differ_are_refused(filled: Store) -> None:
    with pytest.raises(ConfigurationError, match=r"name frame1\.fits.*its mjd_start is 60002\.0, the other's is 60001"):
        filled.lock([frame(1), frame(2, filename="frame1.fits")])
    assert len(filled.lock([frame(1), frame(1, filename="frame1.fits.gz")]).frames) == 1


def test_frames_without_a_name_are_known_by_their_values(filled: Store) -> None:
    nameless = [{name: value for name, value in frame(number).items() if name != "filename"} for number in (1, 1, 2)]
    assert [each.filename for each in filled.lock(nameless).frames] == ["", ""]


def test_a_frame_that_cannot_be_read_is_an_error(filled: Store, tmp_path: Path) -> None:
    with pytest.raises(SourceFileError, match=r"gone\.fits"):
        filled.lock([frame(1), tmp_path / "gone.fits"])
    with pytest.raises(SourceFileError, match=r"gone\.fits"):
        filled.select_sets([frame(1), tmp_path / "gone.fits"]).lock()


def test_only_a_lock_file_is_replaced_and_only_when_asked(tmp_path: Path) -> None:
    path = LOCK.write(tmp_path / "night.lock")
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match="already"):
        replace(LOCK, core="9").write(path)
    assert path.read_bytes() == before
    assert LockFile.read(replace(LOCK, core="9").write(path, overwrite=True)).core == "9"
    thesis = tmp_path / "thesis.toml"
    thesis.write_text('title = "mine"\n')
    for target in (thesis, tmp_path):
        with pytest.raises(ConfigurationError):
            LOCK.write(target, overwrite=True)
    assert thesis.read_text() == 'title = "mine"\n'
    with pytest.raises(KoaMiddlewareError):
        LOCK.write(tmp_path / "nowhere" / "night.lock")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("format = 1", "format = 2", "the format 2"),
        ("format = 1\n", "", "no format"),
        ('instrument = "demo"', "instrument = 3", "the instrument of it is 3"),
        ('filename = "dark.fits"', 'filename = "../dark.fits"', "path separator"),
        ('filename = "dark.fits"', 'filename = ".dark.fits"', "begins with a dot"),
        ("sha256:0", "sha256:x", "the checksum of dark.fits"),
        ("file_size = 9", 'file_size = "9"', "the file_size of calibration 1 is '9'"),
        ("file_size = 9", "file_size = true", "the file_size"),
        ("file_size = 9", "file_size = -9", "the file_size of dark.fits is -9"),
        ('cal_type = "dark"\n', "", "calibration 1 has no cal_type"),
        ('cal_type = "dark"\n', 'cal_type = "flat"\n', "as its dark, which is a calibration of the type flat"),
        ('rule = "DarkSelector"', 'rule = "DarkSelector", step = 0', "the step"),
        ("choices = [", 'choices = [{cal_type = "dark", missing = "none"}, ', "several choices of the type dark"),
        ('"BSPEC"', "nan", "the spectrograph of frame.fits is nan"),
        ('calibration = "dark.fits"', 'calibration = "other.fits"', "'other.fits', which is none of its calibrations"),
        ('calibration = "dark.fits", ', "", "or neither"),
        ('rule = "DarkSelector"', 'rule = "DarkSelector", side = "above"', "the side"),
        ('rule = "DarkSelector"', 'rule = "DarkSelector", missing = "all"', "says that it is missing"),
        ('"BSPEC"', "[1]", "the spectrograph of frame.fits"),
        ("[[frame]]", "[frame]", "the frame of it"),
        ("[versions]", "[[versions]]", "the versions of it"),
        ('origin = "REMOTE"', 'origin = "REMOTE"\nquallity = "GOOD"', "'quallity', which this format does not know"),
        ("[[calibration]]", '[[calibration]]\nfilename = "a"\n[[calibration]]', "calibration 1 has no cal_type"),
        ("choices = [", "choices = [[", "no TOML"),
        ("=", "", "no TOML"),
    ],
)
def test_a_file_that_was_changed_by_hand_is_refused_with_the_fault(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    text = LOCK.to_text()
    assert old in text
    path = tmp_path / "night.lock"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises((SourceFileError, ConfigurationError)) as error:
        LockFile.read(path)
    assert said in str(error.value)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("twice", ["[[frame]]", "[[calibration]]"])
def test_what_stands_there_twice_is_refused(tmp_path: Path, twice: str) -> None:
    head, _, rest = LOCK.to_text().partition(twice)
    one = rest.partition("\n[[")[0]
    path = tmp_path / "night.lock"
    path.write_text(f"{head}{twice}{one}\n{twice}{rest}")
    with pytest.raises(SourceFileError, match="of one file name"):
        LockFile.read(path)


@pytest.mark.parametrize(
    "content", [b"", b"\0\xff" * 9, b"x = " + b"[" * 9000, b"SIMPLE  =", b"\xef\xbb\xbfformat = 1"]
)
def test_what_is_no_toml_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "night.lock"
    path.write_bytes(content)
    with pytest.raises(SourceFileError, match=r"night\.lock"):
        LockFile.read(path)


def test_a_file_of_100_mb_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "night.lock"
    with path.open("wb") as sink:
        sink.truncate(100_000_000)
    with pytest.raises(SourceFileError, match="it has 100 MB"):
        LockFile.read(path)


def test_a_lock_shows_itself_in_text_and_in_notebooks() -> None:
    missing = LOCK.frames[0]._replace(filename="other.fits", choices=(LockedChoice("flat", missing="none is known"),))
    lock = replace(LOCK, frames=(FRAME, missing), archive=ArchiveState("db/<koa>", 12, "2026-02-13"))
    assert "2 frames" in str(lock)
    assert "entry 12" in str(lock)
    assert "db/&lt;koa&gt;" in lock._repr_html_()
    assert lock.to_dict()["frames"][1]["choices"] == [{"cal_type": "flat", "missing": "none is known"}]
