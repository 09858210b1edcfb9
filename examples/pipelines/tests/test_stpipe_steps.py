"""Steps and pipelines of stpipe take their references from the store, and none from CRDS."""

import sys
import warnings

import numpy as np
import pytest
from astropy.io import fits
from koa_middleware import CalibrationNotFoundError, open_store

from .conftest import EXAMPLES


@pytest.fixture(scope="module")
def steps():
    sys.path.insert(0, str(EXAMPLES))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import stpipe_steps
    yield stpipe_steps
    sys.path.remove(str(EXAMPLES))


@pytest.fixture(autouse=True)
def cache(demo, monkeypatch):
    monkeypatch.setenv("KOA_CALIBRATION_CACHE", str(demo / "cache"))
    monkeypatch.setenv("CRDS_SERVER_URL", "http://localhost:9")  # whoever asks CRDS fails
    return demo / "cache"


@pytest.fixture
def chosen(frames):
    with open_store("hispec") as store:
        return store.get_calibration(frames[0], "dark")


@pytest.mark.parametrize("name", ["DarkStep", "DarkPipeline"])
def test_the_dark_of_the_store_is_subtracted(steps, frames, chosen, name):
    result = getattr(steps, name).call(str(frames[0]))
    assert np.array_equal(result.data, fits.getdata(frames[0]) - fits.getdata(chosen.path))
    assert list(result.header["HISTORY"]) == [f"dark: koa://hispec/{chosen.calibration.filename}"]


def test_the_product_is_saved_and_says_with_what_it_was_made(steps, frames, chosen, tmp_path):
    steps.DarkPipeline.call(str(frames[0]), output_dir=str(tmp_path), save_results=True)
    (product,) = tmp_path.iterdir()
    assert chosen.calibration.filename in str(fits.getheader(product)["HISTORY"])


def test_what_the_user_names_takes_the_place_of_the_stores_choice(steps, frames, tmp_path):
    own = tmp_path / "own.fits"
    fits.PrimaryHDU(np.full_like(fits.getdata(frames[0]), 3)).writeto(own)
    result = steps.DarkStep.call(str(frames[0]), override_dark=str(own))
    assert np.array_equal(result.data, fits.getdata(frames[0]) - 3)
    assert "".join(result.header["HISTORY"]) == f"dark: {own}"


def test_what_is_missing_is_known_before_the_first_step_runs(steps, frames, tmp_path, monkeypatch):
    other = tmp_path / "other.fits"
    with fits.open(frames[0]) as hdus:
        hdus[0].header["INSTERA"] = "7.0.0"
        hdus.writeto(other)
    ran = []
    monkeypatch.setattr(steps.DarkStep, "process", lambda self, frame: ran.append(frame))
    with pytest.raises(CalibrationNotFoundError, match=r"instrument_era 7\.0\.0"):
        steps.DarkPipeline.call(str(other))
    assert ran == []


def test_a_pipeline_hands_its_lock_on_to_its_steps(steps, frames, tmp_path):
    with open_store("hispec") as store:
        store.lock(frames[:1], ["dark"]).write(tmp_path / "night.lock")
    steps.DarkPipeline.call(str(frames[0]), lock=str(tmp_path / "night.lock"))
    with pytest.raises(CalibrationNotFoundError, match="has no frame"):
        steps.DarkPipeline.call(str(frames[1]), lock=str(tmp_path / "night.lock"))
