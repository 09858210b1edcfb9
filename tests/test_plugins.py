"""Installed plugins, as small distributions that are written here and found by a Python of their own."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from koa_middleware import (
    CalibrationSelector,
    InstrumentPlugin,
    InvalidPluginError,
    ORMCalibration,
    Step,
    available_instruments,
    by,
    fits_column,
)
from koa_middleware.testing import PluginContract
from sqlalchemy import Float, Index, String
from sqlalchemy.orm import Mapped

from tests.conftest import DemoCalibration, output_of, run_python

GOOD = """
from koa_middleware import CalibrationSelector, InstrumentPlugin, ORMCalibration, fits_column, hookimpl
from sqlalchemy import String
from sqlalchemy.orm import Mapped

class Calibration(ORMCalibration):
    instrument_name = "{name}"
    lamp: Mapped[str | None] = fits_column("LAMP", String)

class DarkSelector(CalibrationSelector):
    cal_type = "dark"

plugin = InstrumentPlugin(ORM=Calibration, selectors=[DarkSelector()])

@hookimpl
def koa_register_instrument():
    return plugin
"""

#: What is wrong with a plugin, its module, and what its error says of that.
BROKEN = {
    "raises on import": ("raise RuntimeError('no licence')", "RuntimeError: no licence"),
    "ends the process on import": ("import sys; sys.exit(3)", "SystemExit: 3"),
    "ends the process in its hook": (GOOD.replace("return plugin", "raise SystemExit"), "its hook failed.*SystemExit"),
    "lacks a dependency": ("import no_such_package_anywhere", "ModuleNotFoundError.*no_such_package_anywhere"),
    "does not parse": ("def f(:", "SyntaxError"),
    "misspells its hook": (GOOD.replace("koa_register_instrument", "koa_register_instument"), "koa_register_instument"),
    "forgets the decorator": (GOOD.replace("@hookimpl", ""), "has no hook koa_register_instrument"),
    "asks its hook for an argument": (GOOD.replace("instrument():", "instrument(folder):"), "folder"),
    "raises in its hook": (GOOD.replace("return plugin", "return 1 / 0"), "ZeroDivisionError"),
    "returns no plugin": (GOOD.replace("return plugin", "return Calibration"), "not an InstrumentPlugin"),
    "returns nothing": (GOOD.replace("return plugin", "return None"), "its hook returned nothing"),
    "has another name": (GOOD.replace("{name}", "elsewhere"), r"entry point is named broken\d+demo.*elsewhere"),
    "has a bad class": (GOOD.replace('"{name}"', '"Bad Name"'), "Bad Name"),
    "has a selector twice": (
        GOOD.replace("[DarkSelector()]", "[DarkSelector()] * 2"),
        "two selectors for dark. Leave one of them out",
    ),
    "has no words": (
        "class Mute(Exception):\n    def __str__(self):\n        raise ValueError\nraise Mute",
        "failed with Mute. Fix, update or uninstall",
    ),
    "misdeclares its class": (
        GOOD.replace('instrument_name = "{name}"', 'instrument_name = "{name}"; cal_types = "bias"'),
        r"text as its cal_types. Write \('bias',\), with the comma",
    ),
    "ends its words with a full stop": ("raise RuntimeError('no licence.')", "no licence. Fix"),
    "has a selector of an unknown column": (
        GOOD.replace('"dark"', '"dark"; match = ("lampe",)'),
        "lampe.* Its columns are id, filename",
    ),
}


def put(site: Path, name: str, module: str, *, package: str | None = None, version: str = "1.2.3") -> Path:
    """Install a distribution with one entry point into a folder."""
    package = package or f"koa-middleware-{name}"
    imported = package.replace("-", "_")
    info = site / f"{imported}-{version}.dist-info"
    info.mkdir(parents=True)
    (site / f"{imported}.py").write_text(module.replace("{name}", name))
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(f"[koa_middleware]\n{name} = {imported}\n")
    return site


@pytest.fixture
def install(tmp_path: Path) -> Callable[..., Path]:
    """Give a function that installs a distribution with one entry point into a folder of this test."""
    return partial(put, tmp_path / "site")


def ask(site: Path, script: str) -> Any:
    """Run a script in a Python that finds these distributions; give what it prints as JSON."""
    preamble = "import json, sys\nfrom koa_middleware import *\nfrom koa_middleware.plugins import installed_plugins\n"
    return json.loads(output_of(run_python(preamble + textwrap.dedent(script), path=site)))


def test_a_plugin_is_found_by_its_name_in_any_letter_case_and_is_the_modules_own(install: Any) -> None:
    assert ask(
        install("gooddemo", GOOD),
        """
        plugin = get_plugin(" GoodDemo ")
        import koa_middleware_gooddemo as module
        print(json.dumps([plugin is module.plugin, plugin is get_plugin("gooddemo"), plugin.name,
            plugin.database_filename, list(plugin.selectors), plugin.ORM.__name__, repr(plugin)]))
        """,
    ) == [
        True,
        True,
        "gooddemo",
        "gooddemo_calibrations.db",
        ["dark"],
        "Calibration",
        "InstrumentPlugin('gooddemo', cal types: dark)",
    ]


def test_listing_imports_no_plugin_and_getting_one_imports_that_one(install: Any) -> None:
    install("ademo", GOOD)
    install("bdemo", GOOD)
    site = install("cdemo", "raise RuntimeError")
    said = ask(
        site,
        """
        ours = lambda: sorted(name for name in sys.modules if name.startswith("koa_middleware_"))
        names = [name for name in available_instruments() if name.endswith("demo")]
        installed = [list(each) for each in installed_plugins() if each.instrument.endswith("demo")]
        before = ours()
        get_plugin("bdemo")
        print(json.dumps([names, installed, before, ours()]))
        """,
    )
    assert said == [
        ["ademo", "bdemo", "cdemo"],
        [[name, f"koa-middleware-{name}", "1.2.3"] for name in ("ademo", "bdemo", "cdemo")],
        [],
        ["koa_middleware_bdemo"],
    ]


@pytest.fixture(scope="module")
def said_of_broken(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What is said of each broken plugin, twice, by one Python that then gets a good one; and the names it lists."""
    site = put(tmp_path_factory.mktemp("site"), "gooddemo", GOOD)
    for number, (module, _) in enumerate(BROKEN.values()):
        put(site, f"broken{number}demo", module, version="0.0.7")
    return ask(
        site,
        """
        def said(name):
            try:
                return get_plugin(name).name
            except InvalidPluginError as error:
                return [str(error), error.instrument, error.distribution]
        names = [name for name in available_instruments() if name.endswith("demo")]
        print(json.dumps([{name: [said(name), said(name)] for name in names}, said("gooddemo")]))
        """,
    )


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_plugin_is_named_with_its_package_and_hinders_no_other(said_of_broken: Any, fault: str) -> None:
    said, good = said_of_broken
    name = f"broken{list(BROKEN).index(fault)}demo"
    assert good == "gooddemo"
    first, again = said[name]
    assert first == again
    message, instrument, distribution = first
    assert (instrument, distribution) == (name, f"koa-middleware-{name}==0.0.7")
    assert distribution in message
    assert re.search(BROKEN[fault][1], message), message
    assert ".." not in message
    assert "Fix the plugin" not in message


def test_a_plugin_is_loaded_by_many_threads_at_once_and_beside_one_that_hangs(install: Any) -> None:
    install("hangdemo", "import time; time.sleep(1000)")
    site = install("gooddemo", "import time; time.sleep(0.2)\n" + GOOD)
    assert (
        ask(
            site,
            """
        import threading
        threading.Thread(target=get_plugin, args=("hangdemo",), daemon=True).start()
        found = []
        threads = [threading.Thread(target=lambda: found.append(get_plugin("gooddemo").name)) for _ in range(8)]
        [thread.start() for thread in threads], [thread.join() for thread in threads]
        print(json.dumps(found))
        """,
        )
        == ["gooddemo"] * 8
    )


def test_two_packages_of_one_name_are_both_named_and_hinder_no_other(install: Any) -> None:
    install("twindemo", GOOD, package="koa-middleware-twindemo")
    install("twindemo", GOOD, package="someones-twindemo", version="9")
    site = install("gooddemo", GOOD)
    message, good, names = ask(
        site,
        """
        try:
            get_plugin("twindemo")
        except InvalidPluginError as error:
            message = str(error)
        names = [name for name in available_instruments() if name.endswith("demo")]
        print(json.dumps([message, get_plugin("gooddemo").name, names]))
        """,
    )
    assert "koa-middleware-twindemo==1.2.3" in message
    assert "someones-twindemo==9" in message
    assert good == "gooddemo"
    assert names == ["gooddemo", "twindemo"]


def test_an_unknown_name_lists_what_is_installed_and_the_extra_that_would_bring_it(install: Any) -> None:
    site = install("gooddemo", GOOD)
    info = site / "koa_middleware-9.9.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: koa-middleware\nVersion: 9.9\nProvides-Extra: laterdemo\n"
    )
    said = ask(
        site,
        """
        found = []
        for name in ("LaterDemo", "nowheredemo", None, 7):
            try:
                get_plugin(name)
            except UnknownInstrumentError as error:
                found.append([str(error), error.instrument, "gooddemo" in error.available])
        print(json.dumps(found))
        """,
    )
    (later, instrument, available), (nowhere, _, _), *no_names = said
    assert (instrument, available) == ("laterdemo", True)
    assert "'LaterDemo'" in later
    assert "gooddemo" in later
    assert "pip install 'koa-middleware[laterdemo]'" in later
    assert "gooddemo" in nowhere
    assert "pip install" not in nowhere
    assert [name in message for name, (message, _, _) in zip(("None", "7"), no_names, strict=True)] == [True, True]


def test_a_store_is_opened_by_name(install: Any, tmp_path: Path) -> None:
    site = install("gooddemo", GOOD)
    said = ask(
        site,
        f"""
        with open_store("GOODDEMO", cache_dir={str(tmp_path / "cache")!r}, offline=True) as store:
            print(json.dumps([repr(store), store.settings.offline]))
        """,
    )
    assert "gooddemo" in said[0]
    assert said[1] is True
    assert (tmp_path / "cache" / "database" / "gooddemo_calibrations.db").is_file()


RESTLESS = """
    @classmethod
    def derive(cls, values):
        return {**values, "lamp": values.get("lamp", "") + "x"}

def demo(folder):
    from astropy.io import fits
    cards = fits.Header({"CALTYPE": "dark", "MJD-OBS": 60000.5})
    dark, frame = folder / "dark.fits", folder / "frame.fits"
    fits.PrimaryHDU(header=cards).writeto(dark)
    fits.PrimaryHDU(header=cards).writeto(frame)
    return [dark], [frame]

class DarkSelector("""


def test_the_contract_that_plugins_are_tested_with_passes_a_good_one_and_fails_slow_and_restless_ones(
    install: Any, tmp_path: Path
) -> None:
    declared = "CalibrationSelector):\n    "
    install("gooddemo", GOOD)
    install("slowdemo", GOOD.replace(f"{declared}cal_type", f"{declared}match = ('lamp',)\n    cal_type"))
    restless = GOOD.replace("\nclass DarkSelector(", RESTLESS).replace("DarkSelector()]", "DarkSelector()], demo=demo")
    site = install("restlessdemo", restless)
    tests = tmp_path / "test_contracts.py"
    tests.write_text(
        "from koa_middleware import get_plugin\n"
        "from koa_middleware.testing import PluginContract as Contract\n"
        + "".join(
            f"class Test{name.title()}(Contract):\n    plugin = get_plugin('{name}demo')\n"
            for name in ("good", "slow", "restless")
        )
    )
    script = "import pytest, sys; sys.exit(pytest.main(['-q', '-p', 'no:cacheprovider', sys.argv[1]]))"
    process = run_python(script, tests, path=site, cwd=tmp_path)
    out, _ = process.communicate(timeout=120)
    failed = [line for line in out.splitlines() if line.startswith("FAILED")]
    assert len(failed) == 2, out
    assert "TestSlow" in failed[0]
    assert "index" in failed[0]
    assert "TestRestless::test_derive_gives_the_same" in failed[1]
    assert "asked with its own of dark.fits: {'lamp': 'xx'}" in out


def read_plans(*selectors: CalibrationSelector, indexes: list[tuple[str, ...]]) -> None:
    """Let the contract read the query plans of a plugin with these selectors and indexes."""

    class Calibration(ORMCalibration):
        instrument_name = "plandemo"
        __table_args__ = tuple(Index(None, *names) for names in indexes)
        arm: Mapped[str | None] = fits_column("ARM", String)
        speed: Mapped[str | None] = fits_column("SPEED", String)
        lamp: Mapped[str | None] = fits_column("LAMP", String)
        mjd_mid: Mapped[float | None] = fits_column("MIDMJD", Float)
        valid_from: Mapped[float | None] = fits_column("VALFROM", Float)

    contract = PluginContract()
    contract.plugin = InstrumentPlugin(Calibration, selectors)
    contract.test_each_selector_probes_an_index_from_both_sides_of_the_time()


class WlsSelector(CalibrationSelector):
    cal_type = "wls"


_LAMPS = (Step({"lamp": "lfc"}), Step({"lamp": "thar"}), Step())


@pytest.mark.parametrize(
    ("settings", "who", "index"),
    [
        ({"match": ("speed",), "time": "mjd_mid"}, "WlsSelector of wls", ("cal_type", "speed", "mjd_mid")),
        ({"prefer": _LAMPS}, "WlsSelector of wls, step 1", ("cal_type", "lamp", "mjd_start")),
        (
            {"match": by("arm", {"red": ("speed",), "blue": ()})},
            "WlsSelector of wls, for arm 'red'",
            ("cal_type", "speed", "mjd_start"),
        ),
        ({"validity": ("valid_from", None)}, "WlsSelector of wls", ("cal_type", "valid_from")),
        (
            {"match": ("arm",), "never_across": (60000.0,), "validity": ("valid_from", None)},
            "WlsSelector of wls",
            ("cal_type", "arm", "valid_from"),
        ),
        (
            {"match": ("speed",), "direction": "bracket", "same": ("lamp",)},
            "WlsSelector of wls, pairs of the same lamp",
            ("cal_type", "speed", "mjd_start"),
        ),
    ],
)
def test_the_contract_says_which_index_a_selector_lacks(
    settings: dict[str, Any], who: str, index: tuple[str, ...]
) -> None:
    others: list[tuple[str, ...]] = [("cal_type", "arm", "mjd_start")]
    line = f"Write Index(None, {', '.join(json.dumps(name) for name in index)}) into the __table_args__ of Calibration."
    with pytest.raises(AssertionError, match=f"(?m)^(AssertionError: )?{re.escape(who)}: .*{re.escape(line)}"):
        read_plans(WlsSelector(**settings), indexes=others)
    read_plans(WlsSelector(**settings), indexes=[*others, index])


# -- what a plugin is --------------------------------------------------------------------------------------------------


@pytest.fixture
def orm() -> type[ORMCalibration]:
    class Calibration(ORMCalibration):
        instrument_name = "made"
        cal_types = ("dark", "flat")

    return Calibration


def test_a_plugin_carries_its_selectors_by_type_in_their_order(orm: type[ORMCalibration]) -> None:
    flat, dark = CalibrationSelector(cal_type="flat"), CalibrationSelector(cal_type="dark")
    made = InstrumentPlugin(orm, [flat, dark])
    assert list(made.selectors.items()) == [("flat", flat), ("dark", dark)]
    assert orm.selectors is made.selectors
    assert (made.name, made.ORM, made.demo) == ("made", orm, None)
    with pytest.raises(TypeError):
        made.selectors["bias"] = dark  # type: ignore[index]


@pytest.mark.parametrize(
    ("selectors", "said"),
    [
        ([CalibrationSelector(cal_type="dark")] * 2, "two selectors for dark"),
        ([CalibrationSelector(cal_type="dark"), CalibrationSelector(cal_type=" DARK")], "two selectors for dark"),
        ([CalibrationSelector], "not an instance"),
        (["dark"], "not an instance"),
        ([CalibrationSelector()], "no cal_type"),
        ([CalibrationSelector(cal_type="sky")], "sky"),
        ([CalibrationSelector(cal_type="dark", match=("spektrograph",))], "spektrograph"),
        ([CalibrationSelector(cal_type="dark", match_if_known=("spektrograph",))], "spektrograph"),
        ([CalibrationSelector(cal_type="dark", given=("spektrograph",))], "spektrograph"),
        ([CalibrationSelector(cal_type="dark", require={"spektrograph": 1})], "spektrograph"),
        ([CalibrationSelector(cal_type="dark", time="mjd_middle")], "mjd_middle"),
        (
            [CalibrationSelector(cal_type="dark", anchor="flats"), CalibrationSelector(cal_type="flat")],
            "you mean flat?",
        ),
        (
            [CalibrationSelector(cal_type="dark", anchor="flat"), CalibrationSelector(cal_type="flat", anchor="Dark")],
            "dark and flat hang on each other",
        ),
        ([CalibrationSelector(cal_type="dark", anchor=by("origin", {"LOCAL": "dark", "REMOTE": None}))], "each other"),
    ],
)
def test_selectors_that_do_not_fit_the_class_are_refused(
    orm: type[ORMCalibration], selectors: list[Any], said: str
) -> None:
    with pytest.raises(InvalidPluginError, match=said):
        InstrumentPlugin(orm, selectors)


@pytest.mark.parametrize(
    ("needs", "said"),
    [
        ([("flat", "dark")], "not a mapping"),
        ({"flat": "dark"}, "needs of flat are 'dark'"),
        ({"flats": ("dark",)}, "Did you mean flat?"),
        ({"flat": ("drak",)}, "Did you mean dark?"),
        ({None: ("flat",)}, "needs of None name 'flat', of which it has no selector"),
    ],
)
def test_needs_that_do_not_fit_the_selectors_are_refused(orm: type[ORMCalibration], needs: Any, said: str) -> None:
    with pytest.raises(InvalidPluginError, match=re.escape(said)):
        InstrumentPlugin(orm, [CalibrationSelector(cal_type="dark")], needs=needs)


@pytest.mark.parametrize(
    ("cards", "said"),
    [
        ([("dark", "DARKFILE")], "not a mapping"),
        ({"bark": {"file": "DARKFILE"}}, "Did you mean dark?"),
        ({"dark": "DARKFILE"}, "of dark are 'DARKFILE', not a mapping"),
        ({"dark": {"flie": "DARKFILE"}}, "Did you mean file?"),
        ({"dark": {"file": ()}}, "have () as the file"),
        ({"dark": {"file": ("A", "B", "C")}}, "have ('A', 'B', 'C') as the file"),
        ({"dark": {"file": 1}}, "have 1 as the file"),
        ({"dark": {"file": "DARK_FILE"}}, "'DARK_FILE', which is no keyword"),
        ({"dark": {"file": "darkfile"}}, "'darkfile', which is no keyword"),
        ({"dark": {"file": ("DARK1", None)}}, "None, which is no keyword"),
        ({"dark": {"file": "NAXIS1"}}, "'NAXIS1', which is no keyword"),
        ({"dark": {"file": "KC01FILE"}}, "'KC01FILE', which is no keyword"),
        ({"dark": {"file": "DARKFILE", "id": "DARKFILE"}}, "DARKFILE, which stands there twice"),
        ({"dark": {"file": "CALFILE"}, "flat": {"file": "CALFILE"}}, "CALFILE, which stands there twice"),
    ],
)
def test_product_cards_that_are_none_are_refused(orm: type[ORMCalibration], cards: Any, said: str) -> None:
    with pytest.raises(InvalidPluginError, match=re.escape(said)):
        InstrumentPlugin(orm, product_cards=cards)


@pytest.mark.parametrize(
    ("inputs", "said"),
    [("INPBIAS", "not a list of keywords"), (["INPBIAS", "INPBIAS"], "twice"), ([b"INPBIAS"], "no keyword")],
)
def test_inputs_that_are_no_keywords_are_refused(orm: type[ORMCalibration], inputs: Any, said: str) -> None:
    with pytest.raises(InvalidPluginError, match=re.escape(said)):
        InstrumentPlugin(orm, inputs=inputs)


def test_product_cards_and_inputs_are_the_plugins_and_its_classs(orm: type[ORMCalibration]) -> None:
    cards: dict[str, dict[str, str | tuple[str, str]]] = {"dark": {"file": ("DARK1", "DARK2"), "delta_days": "AGEDARK"}}
    plugin = InstrumentPlugin(orm, product_cards=cards, inputs=(each for each in ["INPDARK"]))
    assert (
        plugin.product_cards == orm.product_cards == {"dark": {"file": ("DARK1", "DARK2"), "delta_days": ("AGEDARK",)}}
    )
    assert plugin.inputs == orm.inputs == ("INPDARK",)


@pytest.mark.parametrize(
    "given", [None, "demo", pytest.param(DemoCalibration(), id="a record"), ORMCalibration, dict], ids=repr
)
def test_a_plugin_needs_a_class_of_calibrations(given: Any) -> None:
    with pytest.raises(InvalidPluginError, match="ORM"):
        InstrumentPlugin(given)


def test_names_of_installed_instruments_are_sorted() -> None:
    assert available_instruments() == sorted(set(available_instruments()))
