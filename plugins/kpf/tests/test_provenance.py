"""The pipeline's own cards: products and masters as KPF's pipeline writes them say what they were made with."""

import pytest
from astropy.io import fits


def named(affected):
    return [each.calibration.filename for each in affected.masters]


@pytest.fixture
def night(plugin, store, tmp_path):
    """Register the masters of the plugin's night; give its frame."""
    calibrations, (frame,) = plugin.demo(tmp_path / "night")
    for path in calibrations:
        if "sci3" not in path.name:  # of which one is a failed one
            store.register_calibration(path)
    return frame


def test_a_bad_bias_leads_to_the_dark_and_over_it_to_the_flat(night, store):
    assert named(store.affected("kpf_20250102_master_bias_autocal-bias.fits")) == [
        "kpf_20250102_master_dark_autocal-dark.fits",
        "kpf_20250102_master_flat.fits",
    ]


def test_a_product_gets_the_pipelines_own_cards(night, store):
    header = store.provenance(store.select_set(night, ["bias", "flat", "wls"])).cards()
    assert header["BIASFILE"] == "kpf_20250104_master_bias_autocal-bias.fits"
    assert header["AGEBIAS"] == header["KC01DELT"] > 0
    assert header["FLATFILE"] == "kpf_20250102_master_flat.fits"
    assert header["WLSFILE"] == "kpf_20250102_master_WLS_autocal-lfc-all-eve_L1.fits"
    assert header["WLSFILE2"] == "kpf_20250103_master_WLS_autocal-lfc-all-morn_L1.fits"
    assert header["AGEWLS"] < 0 < header["AGEWLS2"]


@pytest.mark.parametrize("name", ["bias_autocal-bias", "dark_autocal-dark", "flat", "WLS_autocal-thar-all-eve_L1"])
def test_a_product_of_the_pipeline_is_found_by_each_of_its_masters(name, plugin, store, real_header, tmp_path):
    """The wavelength solution is named with its folder, in a continued text."""
    product = tmp_path / "KP.20231105.64071.69_L2.fits"
    fits.PrimaryHDU(header=real_header("KP.20231105.64071.69_L2.PRIMARY.hdr.txt")).writeto(product)
    filename = f"kpf_20231105_master_{name}.fits"
    store.local_db.add(plugin.ORM(filename=filename, cal_type=name.partition("_")[0].lower(), mjd_start=60253.5))
    (found,) = store.affected(filename, products=[product]).products
    assert found.path == str(product)


def test_a_master_of_the_pipeline_names_all_that_it_was_made_from(plugin, store, real_header, tmp_path):
    header = real_header("kpf_20250122_master_flat.GREEN_CCD.hdr.txt")
    product = tmp_path / "kpf_20250122_master_flat.fits"
    hdus = fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(header=header, name="GREEN_CCD")])
    hdus.writeto(product)
    for filename, cal_type in (
        ("kpf_20250122_master_bias_autocal-bias.fits", "bias"),
        ("kpf_20250122_master_dark_autocal-dark.fits", "dark"),
        ("kpf_20240211_master_flat_GREEN_CCD.csv", "ordertrace"),
        ("kpf_20240211_order_mask_untrimmed_made20240212.fits", "ordermask"),
        ("kpf_20240211_smooth_lamp_made20240212.fits", "smoothlamp"),
    ):
        store.local_db.add(plugin.ORM(filename=filename, cal_type=cal_type, mjd_start=60697.0))
        assert [each.path for each in store.affected(filename, products=[product]).products] == [str(product)]
