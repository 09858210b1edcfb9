"""Plugins that are broken on purpose: each is a sound one with one thing changed.

`BROKEN` has for each what is put in the place of what in `SOUND`, and what the message must name.
"""

from __future__ import annotations

SOUND = """
from datetime import timedelta
from pathlib import Path

from koa_middleware import (
    CalibrationSelector, InstrumentPlugin, ORMCalibration, at_least, between, by, fits_column, hookimpl, relative,
)
from sqlalchemy import JSON, DateTime, Enum, Float, Index, Integer, String
from sqlalchemy.orm import Mapped


class SoundCalibration(ORMCalibration):
    instrument_name = "soundspec"
    instrume_values = ("SOUND", "SoundSpec")
    cal_types = ("bias", "arc")
    version_family = ("grating",)
    filename_pattern = r"(?P<cal_type>[a-z]+)-.*"
    mjd_start: Mapped[float] = fits_column(
        ("MJD-OBS", "JD"), Float, convert=lambda day: day - 2400000.5 if day > 2400000.5 else day, sort_order=-96
    )
    grating: Mapped[str | None] = fits_column("GRATNAME", String, fold=True)
    binning: Mapped[int | None] = fits_column("BINNING", Integer)
    exposure_time: Mapped[float | None] = fits_column("EXPTIME", Float)
    mjd_mid: Mapped[float | None] = fits_column("MJDMID", Float)
    __table_args__ = (
        Index(None, "cal_type", "binning", "mjd_start"), Index(None, "cal_type", "grating", "binning", "mjd_mid"),
    )

    @classmethod
    def derive(cls, values):
        if "mjd_start" not in values:
            return values
        return {"mjd_mid": values["mjd_start"] + values.get("exposure_time", 0.0) / 172800, **values}


class BiasSelector(CalibrationSelector):
    cal_type = "bias"
    match = ("binning",)
    max_age = timedelta(days=10)


class ArcSelector(CalibrationSelector):
    cal_type = "arc"
    match = ("grating", "binning")
    within = {"exposure_time": relative(0.1)}
    never_across = (59000.0, 61000.0)
    time = "mjd_mid"


def demo(folder: Path):
    from astropy.io import fits

    def write(name, mjd, **cards):
        made = {"INSTRUME": "SOUND", "GRATNAME": "Red", "BINNING": 2, "EXPTIME": 30.0, "MJD-OBS": mjd}
        fits.PrimaryHDU(header=fits.Header({**made, **cards})).writeto(folder / name)
        return folder / name

    calibrations = [write("bias-1.fits", 60000.1), write("arc-1.fits", 60000.2, MJDMID=60000.21)]
    return calibrations, [write("frame.fits", 60000.3)]


plugin = InstrumentPlugin(
    SoundCalibration,
    [BiasSelector(), ArcSelector()],
    demo=demo,
    needs={"arc": ("bias",), None: ("bias", "arc")},
    product_cards={"bias": {"file": "BIASFILE"}},
    inputs=("INPBIAS",),
)


@hookimpl
def koa_register_instrument():
    return plugin
"""

_RULES = "[BiasSelector(), ArcSelector()]"
_DERIVED = '        if "mjd_start" not in values:\n            return values\n        return {"mjd_mid": values'
_RETURNED = "return calibrations, [write("
_MID = "    mjd_mid: Mapped"
_ARC = "    never_across = (59000.0, 61000.0)"
_FILE_NAME = "    @classmethod\n    def filename_for(cls, record):\n        return "
_READ = "    @classmethod\n    def values_from_file(cls, path):\n        return "
_IMPORT = "from pathlib import Path\n\n"
_HELPER = "\n\nclass BiasSelector("

#: What is wrong: what stands in the place of what, and what the message names.
BROKEN: dict[str, tuple[str, str, str]] = {
    # the class
    "instrument_name with capitals": ('"soundspec"', '"SoundSpec"', "instrument_name 'SoundSpec'"),
    "cal_types as text": ('("bias", "arc")', '("bias")', "cal_types"),
    "a cal type in capitals": ('("bias", "arc")', '("Bias", "arc")', "'Bias' among its cal_types"),
    "a misspelt attribute of the class": ("    cal_types", "    caltypes", "caltypes.*cal_types"),
    "version_family of no column": ('("grating",)', '("gratings",)', "gratings in its version_family"),
    "version_family as text": ('version_family = ("grating",)', 'version_family = ("grating")', "version_family"),
    "instrume_values as text": ('("SOUND", "SoundSpec")', '"SOUND"', "instrume_values"),
    "instrume_values of another instrument": (
        '("SOUND", "SoundSpec")',
        '("SOUND", "HISPEC")',
        "instrume_values.*hispec",
    ),
    "a pattern that does not compile": ('(?P<cal_type>[a-z]+)-.*"', '(?P<cal_type>[a-z]+-.*"', "filename_pattern"),
    "a pattern of an unknown group": ("(?P<cal_type>", "(?P<caltype>", "caltype in its filename_pattern"),
    "a hook that is gone": ("def derive(cls, values):", "def normalise(cls, values):", "normalise.*derive"),
    # columns
    "a JSON column": (_MID, '    extra: Mapped[dict | None] = fits_column("X", JSON)\n' + _MID, "column extra"),
    "an Enum column": (_MID, '    lamp: Mapped[str | None] = fits_column("X", Enum("a", "b"))\n' + _MID, "column lamp"),
    "a DateTime column": (
        _MID,
        '    taken: Mapped[object | None] = fits_column("X", DateTime)\n' + _MID,
        "column taken",
    ),
    "a column named metadata": (
        _MID,
        '    metadata: Mapped[str | None] = fits_column("X", String)\n' + _MID,
        "metadata",
    ),
    "a column named keys": (_MID, '    keys: Mapped[str | None] = fits_column("X", String)\n' + _MID, "named keys"),
    "a column with a comma behind it": (
        'fits_column("BINNING", Integer)',
        'fits_column("BINNING", Integer),',
        "binning",
    ),
    "a column that is never null and has no default": (
        "binning: Mapped[int | None]",
        "binning: Mapped[int]",
        "no binning .keyword BINNING.",
    ),
    "a default in another form": (
        '"GRATNAME", String, fold=True',
        '"GRATNAME", String, fold=True, default="Red"',
        "default 'Red' of grating",
    ),
    "a convert that raises": ("day - 2400000.5 if day > 2400000.5 else day", "day / 0", "ZeroDivisionError"),
    "a convert that gives another kind": (
        '"BINNING", Integer',
        '"BINNING", Integer, convert=lambda v: "2x2"',
        "binning",
    ),
    "an index of no column": ('"cal_type", "binning", "mjd_start"', '"cal_type", "bining", "mjd_start"', "bining"),
    "no index for a rule": (
        'Index(None, "cal_type", "binning", "mjd_start"), ',
        "",
        'Write Index.*"binning", "mjd_start"',
    ),
    # derive
    "derive that fails on little": (
        'if "mjd_start" not in values:',
        'if values["grating"] == "x":',
        "derive fails with KeyError: 'grating'",
    ),
    "derive that drifts": (
        "/ 172800, **values}",
        "/ 172800} | values | {'mjd_mid': values.get('mjd_mid', 60000.0) + 1}",
        "mjd_mid",
    ),
    "derive that is never the same": ('values["mjd_start"] + ', "__import__('random').random() + ", "derive.*mjd_mid"),
    "derive that overwrites": (
        "/ 172800, **values}",
        "/ 172800 + 1} | {k: v for k, v in values.items() if k != 'mjd_mid'}",
        "mjd_mid.*given",
    ),
    "derive that returns nothing": ("            return values\n", "            return None\n", "derive returns None"),
    "derive that changes its input": (
        '        if "mjd_start" not in',
        "        values['binning'] = 3\n        if \"mjd_start\" not in",
        "changes.*binning",
    ),
    "derive of no column": ('return {"mjd_mid": values', 'return {"mid": values', "derive returns mid"),
    "derive of what the column cannot hold": (
        'return {"mjd_mid": values',
        'return {"exposure_time": "long", "mjd_mid": values',
        "exposure_time.*'long'",
    ),
    # hooks
    "unsafe file names": (_MID, _FILE_NAME + "'../' + record.filename\n\n" + _MID, "filename_for.*\\.\\./"),
    "file names that are not unique": (_MID, _FILE_NAME + "record.filename\n\n" + _MID, "filename_for.*001 and 002"),
    "file names of None": (_MID, _FILE_NAME + "None\n\n" + _MID, "filename_for.*NoneType"),
    "values_from_file of no column": (
        _MID,
        _READ + "{**super().values_from_file(path), 'gratname': 1}\n\n" + _MID,
        "gratname",
    ),
    "values_from_file of None": (_MID, _READ + "None\n\n" + _MID, "values_from_file.*NoneType"),
    # rules
    "a misspelt attribute of a rule": ("    max_age =", "    maxage =", "maxage.*max_age"),
    "match as text": ('match = ("binning",)', 'match = ("binning")', "match"),
    "match of no column": ('match = ("binning",)', 'match = ("bining",)', "bining"),
    "boundaries out of order": ("(59000.0, 61000.0)", "(61000.0, 59000.0)", "never_across|boundar"),
    "boundaries in JD": ("(59000.0, 61000.0)", "(2459000.5, 2461000.5)", "2459000"),
    "a tolerance that is text": ('"exposure_time": relative(0.1)', '"exposure_time": "10 %"', "exposure_time"),
    "a tolerance of text": ('"exposure_time": relative(0.1)', '"grating": 2.0', "grating"),
    "a tolerance of no column": ('"exposure_time": relative(0.1)', '"exptime": 2.0', "exptime"),
    "a tolerance of 3000 %": ("relative(0.1)", "relative(30)", "30"),
    "an unknown anchor": (_ARC, '    anchor = "wls"', "anchor wls"),
    "a circular anchor": (
        '    match = ("binning",)',
        '    match = ("binning",)\n    anchor = "bias"',
        "bias hang on each other",
    ),
    "a value that the column cannot hold": (_ARC, '    require = {"binning": "two"}', "'two' of binning"),
    "a range of text": (_ARC, '    require = {"grating": at_least(3)}', "grating"),
    "a case of another letter case": (
        _ARC,
        '    max_age = by("grating", {"Red": timedelta(days=1)})',
        "'Red' of grating",
    ),
    "two rules of one type": (_RULES, "[BiasSelector(), BiasSelector(), ArcSelector()]", "two selectors for bias"),
    "a rule that is a class": (_RULES, "[BiasSelector, ArcSelector()]", "BiasSelector.*not an instance"),
    "a method that takes something else": (
        _ARC,
        "    def get_candidates(self, frame):\n        return []\n",
        "get_candidates.*input, db",
    ),
    "a method that returns something else": (
        _ARC,
        "    def select_best(self, input, candidates):\n        return list(candidates)\n",
        "select_best of ArcSelector",
    ),
    "a method that fails": (
        _ARC,
        "    def get_candidates(self, input, db):\n        return input['lampe']\n",
        "get_candidates.*KeyError",
    ),
    "a rule that cannot be pickled": ("[BiasSelector(), ", "[type('Local', (BiasSelector,), {})(), ", "Local of bias"),
    # the plugin
    "needs of an unknown type": ('None: ("bias", "arc")', 'None: ("bias", "arcs")', "'arcs'"),
    "needs that are text": ('"arc": ("bias",)', '"arc": "bias"', "needs of arc"),
    "cards that are no mapping": ('{"file": "BIASFILE"}', '"BIASFILE"', "product_cards of bias"),
    "cards that tell nothing": ('{"file": "BIASFILE"}', '{"name": "BIASFILE"}', "product_cards.*'name'"),
    "inputs as text": ('inputs=("INPBIAS",)', 'inputs="INPBIAS"', "inputs"),
    "no hook": ("@hookimpl\n", "", "koa_register_instrument"),
    "a hook that returns the class": (
        "    return plugin\n",
        "    return SoundCalibration\n",
        "returned SoundCalibration",
    ),
    # the demo
    "a demo outside its folder": (
        "calibrations = [",
        "(folder.parent / 'x.log').write_text('x')\n    calibrations = [",
        "x.log",
    ),
    "a demo in the working directory": (
        "calibrations = [",
        "Path('left.fits').write_text('x')\n    calibrations = [",
        "left.fits",
    ),
    "a demo without FITS files": (
        ".writeto(folder / name)\n        return folder / name",
        "\n        (folder / f'{name}.csv').write_text('x')\n        return folder / f'{name}.csv'",
        "no FITS file among its frames",
    ),
    "a demo of spoilt files": (
        _RETURNED,
        "[path.write_text('x') for path in calibrations]\n    return calibrations, [write(",
        "bias-1.fits cannot be read as FITS",
    ),
    "a demo that returns paths alone": (_RETURNED, "return calibrations or [write(", "demo returns"),
    "a demo that names what it does not write": (
        _RETURNED,
        "calibrations.append(folder / 'arc-2.fits')\n    " + _RETURNED,
        "arc-2.fits",
    ),
    "a demo that fails": (_RETURNED, "return 1 / 0, [write(", "demo fails with ZeroDivisionError"),
    "a demo whose frames find nothing": (
        'write("frame.fits", 60000.3)',
        'write("frame.fits", 60000.3, BINNING=1)',
        "frame.fits finds no calibration",
    ),
    "a demo of another instrument": ('{"INSTRUME": "SOUND"', '{"INSTRUME": "OTHER"', "INSTRUME"),
    "a demo that asks the network": (
        "calibrations = [",
        "import urllib.request as u\n    calibrations = [u.urlopen('http://a.example')] and [",
        "a.example",
    ),
    # the import
    "an import that prints": (_IMPORT, _IMPORT + "print('hello')\n", "prints 'hello'"),
    "an import of requests": (_IMPORT, _IMPORT + "import requests\n", "imports requests"),
    "an import of psycopg2": (_IMPORT, _IMPORT + "import psycopg2\n", "imports psycopg2"),
    "an import that reads a variable": (
        _IMPORT,
        _IMPORT + "import os\nHOME = os.environ.get('SOUND_HOME')\n",
        "SOUND_HOME",
    ),
    "an import that asks for a variable": (
        _IMPORT,
        _IMPORT + "import os\nHOME = os.getenv('SOUND_HOME')\n",
        "SOUND_HOME",
    ),
    "an import that asks the network": (
        _IMPORT,
        _IMPORT + "import socket\ntry:\n    socket.create_connection(('b.example', 80))\nexcept OSError:\n    pass\n",
        "b.example",
    ),
}
