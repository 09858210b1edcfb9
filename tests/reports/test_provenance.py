"""Provenance: what a product was made with, as cards, lines and PROV; and products whose header says it."""

from __future__ import annotations

import gzip
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from astropy.io import fits
from koa_middleware import (
    CalibrationNotFoundError,
    CalibrationSelector,
    CalibrationStore,
    ConfigurationError,
    HeaderWarning,
    InstrumentPlugin,
    SourceFileError,
    __version__,
)

from tests.conftest import DemoCalibration, dark, dark_keywords, write_fits

Store = CalibrationStore[DemoCalibration]

WLS = CalibrationSelector(cal_type="wls", direction="bracket")
DARK = CalibrationSelector(cal_type="dark", match=("spectrograph",))
FLAT = CalibrationSelector(cal_type="flat")
OWN_CARDS: dict[str, Any] = {
    "dark": {"file": "DARKFILE", "delta_days": "AGEDARK", "id": "DARKID", "version": "DARKVER"},
    "wls": {"file": ("WLSFILE", "WLSFILE2"), "checksum": ("WLSSUM", "WLSSUM2")},
}


@pytest.fixture
def plugin() -> InstrumentPlugin:
    return InstrumentPlugin(DemoCalibration, [DARK, WLS, FLAT], product_cards=OWN_CARDS, inputs=("INPDARK",))


@pytest.fixture
def store(plugin: InstrumentPlugin, open_demo: Callable[..., Store], tmp_path: Path) -> Store:
    store = open_demo()
    store.register_calibration(dark(tmp_path / "night", "dark.fits", 60000.25))
    for name, mjd in (("eve.fits", 59999.5), ("morn.fits", 60001.5)):
        store.register_calibration(dark(tmp_path / "night", name, mjd, CALTYPE="wls"))
    return store


@pytest.fixture
def frame(tmp_path: Path) -> Path:
    return write_fits(tmp_path / "frame.fits", dark_keywords(60000.0, CALTYPE="science", OBJECT="10700"))


@pytest.fixture
def product(tmp_path: Path) -> Path:
    return write_fits(tmp_path / "product.fits", {"OBJECT": "10700"})


def test_the_cards_tell_of_each_calibration_in_the_order_of_the_types(store: Store, frame: Path) -> None:
    found = store.get_calibrations(frame, return_exceptions=True)
    header = store.provenance(found).cards()
    assert header["KCNUM"] == 3
    assert header["KCCORE"] == __version__
    assert header["KCINST"] == "demo"
    assert header["KCMISS"] == "flat"
    given = found["dark"].calibration
    assert [header[f"KC01{name}"] for name in ("TYPE", "FILE", "IDEN", "CSUM", "VERS", "QUAL", "RULE")] == [
        "dark",
        "dark.fits",
        given.id,
        given.checksum,
        "001",
        "GOOD",
        "CalibrationSelector",
    ]
    assert header["KC01DELT"] == pytest.approx(0.25)
    assert header["KC01USER"] is False
    assert "KC01STEP" not in header
    assert [header[f"KC{n:02}ROLE"] for n in (2, 3)] == ["before", "after"]
    assert [header[f"KC{n:02}WGHT"] for n in (2, 3)] == pytest.approx([0.75, 0.25])


def test_records_results_and_pairs_of_either_tell_the_same(store: Store, frame: Path) -> None:
    files = store.get_calibrations(frame, ["dark", "wls"])
    records = store.select_set(frame, ["dark", "wls"])
    cards = store.provenance(files).cards()
    for given in (records, list(files.values()), list(records.values()), iter(records.values())):
        assert store.provenance(given).cards() == cards
    one = store.provenance(files["dark"]).cards()
    assert one["KC01FILE"] == "dark.fits"
    assert store.provenance(files["wls"]).cards()["KCNUM"] == 2


def test_a_pair_with_one_side_says_which_it_is(store: Store) -> None:
    late = {"mjd_start": 60005.0}
    header = store.provenance([store.select_bracket(late, "wls")]).cards()
    assert (header["KCNUM"], header["KC01ROLE"], header["WLSFILE"]) == (1, "before", "morn.fits")
    assert not {"KC01WGHT", "WLSFILE2"} & set(header)


def test_the_users_own_choice_and_a_step_are_told(store: Store, frame: Path, tmp_path: Path) -> None:
    own = dark(tmp_path, "mine.fits", 60000.5)
    header = store.provenance(store.get_calibrations(frame, ["dark"], use={"dark": own})).cards()
    assert header["KC01USER"] is True
    assert header["KC01FILE"] == "mine.fits"


def test_a_record_that_was_not_chosen_has_no_rule(store: Store) -> None:
    header = store.provenance(store.query("dark")).cards()
    assert header["KC01TYPE"] == "dark"
    assert not {"KC01RULE", "KC01DELT", "KC01USER"} & set(header)


def test_what_was_judged_here_is_its_quality(store: Store, frame: Path) -> None:
    found = store.select_set(frame, ["dark"])
    store.flag("dark.fits", "BAD", "light leak", here=True)
    assert store.provenance(found).cards()["KC01QUAL"] == "BAD"


def test_the_pipelines_own_cards_are_written_beside_ours(store: Store, frame: Path) -> None:
    found = store.select_set(frame, ["dark", "wls"])
    header = store.provenance(found).cards()
    assert (header["DARKFILE"], header["DARKID"], header["DARKVER"]) == ("dark.fits", found["dark"].id, "001")
    assert header["AGEDARK"] == pytest.approx(0.25)
    assert (header["WLSFILE"], header["WLSFILE2"]) == ("eve.fits", "morn.fits")
    assert header["WLSSUM2"] == found["wls"].after.checksum


@pytest.mark.parametrize("way", ["file", "header"])
def test_the_pipelines_cards_of_a_type_that_is_not_used_any_more_go(
    store: Store, frame: Path, product: Path, way: str
) -> None:
    fits.setval(product, "WLSSUM2", value="of the pipeline")
    for types in (["dark", "wls"], ["wls"], ["dark"]):
        provenance = store.provenance(store.select_set(frame, types))
        if way == "file":
            provenance.write(product)
        else:
            with fits.open(product, mode="update") as opened:
                provenance.put_into(opened[0].header)
    header = fits.getheader(product)
    assert {keyword: header[keyword] for keyword in header if keyword.startswith(("DARK", "WLS"))} == {
        "DARKFILE": "dark.fits",
        "DARKID": store.query(filename="dark.fits")[0].id,
        "DARKVER": "001",
    }


def test_a_card_of_the_pipeline_that_names_another_file_stays(store: Store, frame: Path, product: Path) -> None:
    store.provenance(store.select_set(frame, ["dark"])).write(product)
    fits.setval(product, "DARKFILE", value="another.fits")
    store.provenance(store.select_set(frame, ["wls"])).write(product)
    assert fits.getheader(product)["DARKFILE"] == "another.fits"


@pytest.mark.parametrize("odd", [None, "dark.fits", [1], {"dark": "dark.fits"}])
def test_what_is_no_calibration_is_refused(store: Store, odd: Any) -> None:
    with pytest.raises(ConfigurationError, match="no calibration of demo"):
        store.provenance(odd)


def test_a_calibration_of_another_type_is_refused(store: Store) -> None:
    with pytest.raises(ConfigurationError, match=r"dark.fits is given as a flat, and is of the type dark"):
        store.provenance({"flat": store.query("dark")[0]})


def test_the_lines_of_a_history_fit_into_a_header(store: Store, frame: Path) -> None:
    provenance = store.provenance(store.get_calibrations(frame, return_exceptions=True))
    lines = provenance.history()
    assert lines[0] == f"3 calibrations by koa-middleware {__version__}, demo"
    assert lines[-1] == "nothing found: flat"
    assert max(map(len, lines)) <= 72
    header = fits.Header()
    for line in lines:
        header.add_history(line)
    assert list(header["HISTORY"]) == lines
    assert all(any(name in line for line in lines) for name in ("dark.fits", "eve.fits", "morn.fits"))


def test_the_terms_of_prov_tell_who_used_what(store: Store, frame: Path) -> None:
    found = store.select_set(frame)
    document = json.loads(json.dumps(store.provenance(found).to_dict(), allow_nan=False))
    entities = {name for name in document["entity"] if name.startswith("koa:calibration/")}
    assert entities == {f"koa:calibration/{each.id}" for each in (found["dark"], *found["wls"])}
    declared = {name for kind in ("entity", "activity", "agent") for name in document[kind]}
    prefixes = {*document["prefix"], "prov"}
    for relation in ("used", "wasGeneratedBy", "wasDerivedFrom", "wasAssociatedWith"):
        for each in document[relation].values():
            named = {value for key, value in each.items() if key.removeprefix("prov:") in _POINTERS}
            assert named <= declared
    assert {name.partition(":")[0] for name in declared} <= prefixes
    sources = {each["prov:usedEntity"] for each in document["wasDerivedFrom"].values()}
    assert sources == entities | {"koa:frame/frame.fits"}
    roles = {each["prov:role"]: each for each in document["used"].values()}
    assert set(roles) == {"frame", "dark", "wls, before", "wls, after"}
    assert roles["dark"]["koa:delta_days"] == pytest.approx(0.25)
    assert document["activity"]["koa:reduction"]["koa:missing"] == "flat"


_POINTERS = {"activity", "entity", "agent", "plan", "generatedEntity", "usedEntity"}


# -- in a product ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["product.fits", "product.fits.gz"])
def test_a_products_header_names_them_and_again_what_it_is_made_with_later(
    store: Store, frame: Path, product: Path, name: str
) -> None:
    if name.endswith(".gz"):
        content = gzip.compress(product.read_bytes())
        product = product.rename(product.with_name(name))
        product.write_bytes(content)
    store.provenance(store.select_set(frame)).write(product)
    assert fits.getheader(product)["KC03FILE"] == "morn.fits"
    assert store.provenance(store.select_set(frame, ["dark"])).write(str(product)) == product
    with fits.open(product) as hdus:
        hdus.verify("exception")
        header = hdus[0].header
        assert header["KCNUM"] == 1
        assert [keyword for keyword in header if keyword.startswith(("KC02", "KC03", "KCMISS"))] == []
        assert "WLSFILE" not in header
        assert header["OBJECT"] == "10700"
        assert hdus[0].data.shape == (8, 8)


def test_a_header_in_memory_takes_them_in_the_same_way(store: Store, frame: Path) -> None:
    header = fits.Header([("OBJECT", "10700")])
    store.provenance(store.select_set(frame)).put_into(header)
    store.provenance(store.select_set(frame, ["dark"])).put_into(header)
    assert (header["KCNUM"], header["OBJECT"]) == (1, "10700")
    assert [keyword for keyword in header if keyword.startswith("KC02")] == []


@pytest.mark.parametrize("given", [fits.PrimaryHDU(), fits.HDUList([fits.PrimaryHDU()]), {}, None])
def test_what_is_no_header_is_an_error_that_says_what_is_one(store: Store, frame: Path, given: Any) -> None:
    provenance = store.provenance(store.select_set(frame))
    with pytest.raises(ConfigurationError, match=rf"a {type(given).__name__} is given.*hdus\[0\]\.header"):
        provenance.put_into(given)


def test_it_is_said_when_the_pipeline_had_named_another_file(store: Store, frame: Path, product: Path) -> None:
    provenance = store.provenance(store.select_set(frame, ["dark"]))
    fits.setval(product, "DARKFILE", value="/masters/dark.fits.gz")
    provenance.write(product)  # the same file
    fits.setval(product, "DARKFILE", value="/masters/other.fits")
    with pytest.warns(HeaderWarning, match=r"DARKFILE = /masters/other.fits; it says dark.fits now"):
        provenance.write(product)


@pytest.mark.parametrize("kind", ["file", "link", "hard link", "linked into the cache", "shared"])
def test_a_file_of_the_cache_is_refused(
    store: Store, open_demo: Callable[..., Store], tmp_path: Path, kind: str
) -> None:
    calibration = store.cache_dir / "calibrations" / "dark.fits"
    path = tmp_path / "product.fits"
    if kind == "file":
        path = calibration
    elif kind == "link":
        path.symlink_to(calibration)
    elif kind == "hard link":
        os.link(calibration, path)
    elif kind == "linked into the cache":
        calibration.rename(path)
        calibration.symlink_to(path)
    else:
        path, store = calibration, open_demo(tmp_path / "own", shared_cache_dir=store.cache_dir)
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match="is a calibration of the cache"):
        store.provenance(store.query("dark")).write(path)
    assert path.read_bytes() == before


def test_a_product_that_is_missing_or_no_fits_file_is_an_error(store: Store, tmp_path: Path) -> None:
    provenance = store.provenance(store.query("dark"))
    with pytest.raises(SourceFileError):
        provenance.write(tmp_path / "product.fits")
    (tmp_path / "product.fits").write_text("order,position\n")
    with pytest.raises(SourceFileError):
        provenance.write(tmp_path / "product.fits")


def test_another_process_can_write_it(store: Store, frame: Path, product: Path) -> None:
    provenance = store.provenance(store.select_set(frame, ["dark"]))
    copy = pickle.loads(pickle.dumps(provenance))
    assert copy.cards() == provenance.cards()
    copy.write(product)
    assert fits.getheader(product)["KC01FILE"] == "dark.fits"
    with pytest.raises(ConfigurationError):
        copy.write(store.cache_dir / "calibrations" / "dark.fits")


def test_it_is_shown_in_a_notebook_with_all_text_escaped(store: Store, frame: Path) -> None:
    provenance = store.provenance({**store.select_set(frame), "flat<": CalibrationNotFoundError("none")})
    assert "dark.fits" in provenance._repr_html_()
    assert "dark.fits" in str(provenance)
