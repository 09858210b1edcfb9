"""What a cell of a notebook shows of an object that stands at its end."""

from __future__ import annotations

import doctest
import inspect
import pydoc
import re
from pathlib import Path
from typing import Any

import koa_middleware
import pytest
from koa_middleware import Bracket, CalibrationSelector, CalibrationStore, InstrumentPlugin, ORMCalibration, exceptions

from tests.conftest import DemoCalibration, dark, record

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def filled(store: CalibrationStore[DemoCalibration], tmp_path: Path) -> CalibrationStore[DemoCalibration]:
    for number in (0, 2):
        store.register_calibration(dark(tmp_path / "files", f"d{number}.fits", 60000.0 + number, LAMP=HOSTILE))
    return store


DARK = CalibrationSelector(cal_type="dark", match=("spectrograph",))
NEAREST = CalibrationSelector(cal_type="bias")
FRAME = {"mjd_start": 60000.5, "spectrograph": "BSPEC"}


def test_a_record_shows_its_columns_with_units_and_nothing_of_it_runs(filled: CalibrationStore[Any]) -> None:
    html = filled.query("dark")[0]._repr_html_()
    assert "<td>mjd_start</td><td>60000.0 d</td>" in html
    assert "&lt;script&gt;" in html
    assert "<script" not in html
    assert "exposure_time" not in html  # it is null


def test_a_result_shows_where_its_file_is_and_what_it_was_chosen_for(filled: CalibrationStore[Any]) -> None:
    html = filled.get_calibration(FRAME, DARK)._repr_html_()
    assert str(filled.cache_dir / "calibrations" / "d0.fits") in html
    assert "CalibrationSelector" in html


def test_a_pair_shows_both_sides_with_their_weights(filled: CalibrationStore[Any]) -> None:
    html = filled.select_bracket(FRAME, DARK)._repr_html_()
    assert "<td>d0.fits</td><td>0.750</td><td>0.500 d older</td>" in html
    assert "<td>d2.fits</td><td>0.250</td><td>1.5 d newer</td>" in html


def test_a_pair_of_one_side_and_a_pair_that_nobody_chose_show_no_weight() -> None:
    assert "<td>none</td>" in Bracket(None, record("a.fits"))._repr_html_()
    assert "no time" in Bracket(record("a.fits"), record("b.fits"))._repr_html_()


def test_a_store_shows_its_settings_without_secrets(open_demo: Any) -> None:
    store = open_demo(
        remote_database_url="postgresql://me:geheim@localhost/koa",
        calibration_url="https://me:geheim@x.org/f?sig=geheim",
    )
    html = store._repr_html_()
    assert str(store.cache_dir) in html
    assert "localhost" in html
    assert "geheim" not in html


def test_reports_show_what_is_counted_and_which(filled: CalibrationStore[Any], tmp_path: Path) -> None:
    (filled.cache_dir / "calibrations" / "d0.fits").unlink()
    html = filled.verify()._repr_html_()
    assert "<strong>Verification report</strong>" in html
    assert "<td>missing</td><td>1</td><td>d0.fits</td>" in html
    assert "quarantine" not in html
    assert "d2.fits" in filled.export_bundle(tmp_path / "b.tar", filled.query(filename="d2.fits"))._repr_html_()


def test_a_report_of_thousands_of_files_stays_short(filled: CalibrationStore[Any]) -> None:
    report = filled.verify()
    report.missing = [f"a_rather_long_name_of_a_file_{number}.fits" for number in range(5000)]
    report.bad = dict.fromkeys(report.missing, "its checksum differs")
    assert len(repr(report)) < 2000
    assert "and 4,990 more" in report._repr_html_()
    assert len(report._repr_html_()) < 5000


def test_what_a_session_prints_of_an_answer_stays_short_however_much_is_in_it(
    filled: CalibrationStore[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DemoCalibration, "selectors", {"dark": DARK})
    frames = [{**FRAME, "mjd_start": 60000.0 + number} for number in range(50)]
    sets = filled.select_sets(frames)
    lock = sets.lock()
    explanation = filled.explain(FRAME, "dark")
    provenance = filled.provenance([*filled.query("dark")] * 20)
    affected, coverage = filled.affected("d0.fits"), filled.coverage()
    said = [repr(each) for each in (sets, lock, filled.check_lock(lock), explanation, provenance, affected, coverage)]
    assert [each for each in said if len(each) > 400 or "\n" in each] == []
    assert "d0.fits is chosen" in repr(explanation)
    assert "50 frames" in repr(sets)
    assert repr(filled.history("d0.fits")) == "<History: 1 event>"
    hostile = repr(filled.explain({**FRAME, "spectrograph": "\x1b[2J\n" * 500}, "dark"))
    assert len(hostile) < 400
    assert hostile.isprintable()


def test_a_lock_and_its_check_show_as_tables(filled: CalibrationStore[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DemoCalibration, "selectors", {"dark": DARK})
    lock = filled.lock([FRAME])
    assert "<td>dark</td><td>d0.fits</td>" in lock._repr_html_()
    assert "<table>" not in filled.check_lock(lock)._repr_html_()
    filled.flag("d0.fits", "BAD", "hot")
    assert "<th>cause</th>" in filled.check_lock(lock)._repr_html_()


def test_the_choices_of_many_frames_show_as_their_table(
    filled: CalibrationStore[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DemoCalibration, "selectors", {"dark": DARK})
    sets = filled.select_sets([FRAME, {**FRAME, "mjd_start": 70000.0}])
    assert "<td>d0.fits</td>" in sets._repr_html_()
    assert "2 frames: 2 of 2 calibrations found" in sets._repr_html_()


def test_a_plugin_shows_its_rules_in_words_and_a_selector_its_settings() -> None:
    html = DARK._repr_html_()
    assert "<td>match</td><td>(&#x27;spectrograph&#x27;,)</td>" in html
    assert "direction" not in html
    assert repr(DARK) == "CalibrationSelector('dark')"
    plugin = InstrumentPlugin(ORM=type("Shown", (ORMCalibration,), {"instrument_name": "shown"}), selectors=[NEAREST])
    assert "<td>bias</td><td>The nearest in mjd_start is chosen.</td>" in plugin._repr_html_()


def test_a_history_and_the_columns_of_a_record_are_there_for_the_tabulator(filled: CalibrationStore[Any]) -> None:
    found = filled.query("dark")[0]
    assert "<td>added</td>" in filled.history("d0.fits")._repr_html_()
    assert {"spectrograph", "mjd_start"} <= set(found._ipython_key_completions_()) & set(dir(found))


EXAMPLES = [name for name, each in vars(CalibrationStore).items() if ">>>" in (each.__doc__ or "")]


def test_the_examples_in_the_help_of_methods_give_what_they_say(
    open_demo: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wls = CalibrationSelector(cal_type="wls", direction="bracket")
    monkeypatch.setattr(DemoCalibration, "selectors", {"dark": DARK, "wls": wls})
    monkeypatch.chdir(tmp_path)
    store = open_demo()
    for kind in ("dark", "wls"):
        for number in (0, 2):
            store.register_calibration(dark(tmp_path, f"{kind}_{number}.fits", 60000.0 + number, CALTYPE=kind))
    dark(tmp_path, "dark_4.fits", 60004.0)
    frame = {"mjd_start": 60001.5, "spectrograph": "BSPEC"}
    known = {"store": store, "frame": frame, "open_store": lambda _, **settings: open_demo(**settings)}
    told: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    of_an_archive = {"sync_from_remote"}
    for name in sorted({*EXAMPLES} - of_an_archive, key=lambda name: name.startswith("register")):  # which adds one
        text = inspect.cleandoc(getattr(CalibrationStore, name).__doc__)
        runner.run(doctest.DocTestParser().get_doctest(text, known, name, None, 0), out=told.append)
    assert told == []
    assert runner.tries > 15


def test_the_help_of_the_package_begins_with_its_names() -> None:
    summary = koa_middleware.__doc__
    names = set(koa_middleware.__all__) - set(exceptions.__all__)
    assert names - set(re.findall(r"`(\w+)`", summary)) == set()
    assert names - set(dir(koa_middleware)) == set()
    listed = pydoc.render_doc(koa_middleware, renderer=pydoc.plaintext)
    assert [name for name in koa_middleware.__all__ if name not in listed] == []


def test_the_help_of_each_public_method_says_what_it_takes() -> None:
    missing = [
        f"{name}: {parameter}"
        for name, method in inspect.getmembers(CalibrationStore, inspect.isfunction)
        if not name.startswith("_")
        for parameter in inspect.signature(method).parameters
        if parameter != "self" and not re.search(rf"\b{parameter}\b", method.__doc__ or "")
    ]
    assert missing == []
