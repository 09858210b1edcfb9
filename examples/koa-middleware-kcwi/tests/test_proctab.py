from types import SimpleNamespace

import numpy as np
import pytest
from astropy.io import fits
from koa_middleware_kcwi import plugin
from koa_middleware_kcwi.proctab import StoreProctab


class Night:
    """A night's own table that tells what it was asked."""

    procfile = "kcwib.proc"

    def search_proctab(self, frame, target_type=None, target_group=None, nearest=False):
        return [target_type, target_group, nearest]


@pytest.fixture
def blue(store, tmp_path):
    """A science frame of the blue camera, whose masters are in the store."""
    masters, frames = plugin.demo(tmp_path)
    for path in masters:
        store.register_calibration(path)
    return SimpleNamespace(header=fits.getheader(frames[0]))


@pytest.fixture
def proctab(store, tmp_path):
    redux = tmp_path / "redux"
    redux.mkdir()
    return StoreProctab(Night(), redux, cache_dir=store.cache_dir)


def test_a_master_is_read_from_the_folder_of_the_products_under_the_name_that_the_pipeline_makes(blue, proctab):
    table = proctab.search_proctab(blue, target_type="MDARK", nearest=True)
    assert len(table) == 1
    name = f"{table['filename'][0].removesuffix('.fits')}_mdark.fits"
    assert np.all(fits.getdata(proctab.products / name) == 110)
    assert [path.name for path in proctab.products.iterdir()] == [name]


def test_asked_again_nothing_is_written(blue, proctab):
    proctab.search_proctab(blue, target_type="MBIAS", nearest=True)
    (placed,) = proctab.products.iterdir()
    before = placed.stat().st_mtime_ns
    proctab.n_proctab(frame=blue, target_type="MBIAS", nearest=True)
    assert placed.stat().st_mtime_ns == before


def test_another_file_of_that_name_is_not_overwritten(blue, proctab):
    proctab.search_proctab(blue, target_type="MBIAS")
    (placed,) = proctab.products.iterdir()
    placed.write_bytes(b"mine")
    with pytest.raises(FileExistsError, match="Move it away"):
        proctab.search_proctab(blue, target_type="MBIAS")
    assert placed.read_bytes() == b"mine"


def test_where_nothing_fits_the_answer_is_empty_and_the_pipelines_log_says_why(blue, proctab, caplog):
    blue.header["CCDCFG"] = "11019999"
    assert len(proctab.search_proctab(blue, target_type="MBIAS", nearest=True)) == 0
    assert "11019999" in caplog.text


def test_all_else_is_asked_of_the_nights_own_table(blue, proctab):
    assert proctab.search_proctab(blue, "BIAS", target_group="7") == ["BIAS", "7", False]
    assert proctab.procfile == "kcwib.proc"
