"""The keywords by which the field's headers say what a calibration depends on, and the columns that they fill."""

from __future__ import annotations

from typing import Literal, NamedTuple

#: How a column takes part in the rules: compared for every type, or for those that see light; or not at all.
Role = Literal["detector", "optics", "exposure", "none"]


class Standard(NamedTuple):
    """A column that many instruments have.

    Attributes
    ----------
    name : str
    keywords : tuple of str
        Those that fill it, in order of preference.
    role : str
    kind : str
        Type of its values, ``"Float"`` for one; empty: as the header's value is.
    unit : str
    """

    name: str
    keywords: tuple[str, ...]
    role: Role = "none"
    kind: str = ""
    unit: str = ""


#: In the order in which a class lists them.
COLUMNS = (
    Standard("arm", ("ARM", "SPECTROG", "CHANNEL", "CAMERA"), "detector"),
    Standard("detector", ("DETECTOR", "DETNAM", "CCDNAME", "CHIP"), "detector"),
    Standard("binning", ("BINNING", "CCDSUM", "CCDBIN"), "detector"),
    Standard("amplifiers", ("AMPMODE", "GRNAMPS", "NUMAMPS", "NAMPS"), "detector"),
    Standard("read_speed", ("READSPED", "CCDSPEED", "READMODE", "CCDMODE", "SAMPMODE"), "detector"),
    Standard("gain", ("GAINMUL", "CCDGAIN"), "detector"),
    Standard(
        "exposure_time", ("EXPTIME", "ELAPTIME", "ITIME", "TRUITIME", "TELAPSE", "XPOSURE"), "exposure", "Float", "s"
    ),
    Standard("n_frames", ("NFRAMES", "NCOMBINE"), "none", "Integer"),
    Standard("observing_mode", ("OBSMODE", "OBS-MODE"), "optics"),
    Standard("grating", ("GRATNAME", "GRANAME", "GRATING", "DISPERSR", "BGRATNAM", "RGRATNAM"), "optics"),
    Standard("grism", ("GRISNAME", "GRISM"), "optics"),
    Standard("grating_angle", ("GRANGLE", "GRATANG"), "none", "Float", "deg"),
    Standard("wavelength", ("WAVELEN", "CWAVE", "BCWAVE", "RCWAVE", "MSWAVE"), "none", "Float", "Angstrom"),
    Standard("filter_name", ("FILTER", "FILTNAME", "FILTER1", "REDFILT", "BLUFILT", "BFILTNAM"), "optics"),
    Standard("dichroic", ("DICHNAME", "DICHROIC"), "optics"),
    Standard("slit", ("SLITNAME", "SLIT", "SLMSKNAM", "IFUNAM", "DECKNAME", "FIBER"), "optics"),
    Standard("lamp", ("LAMPNAME", "LAMP", "OCTAGON", "LMP0NAM"), "none"),
    Standard("object", ("OBJECT", "TARGOBJ", "TARGNAME"), "none", "String"),
    Standard("detector_temperature", ("DETTEMP", "CCDTEMP", "TEMPDET"), "none", "Float"),
    Standard("mjd_mid", ("MJD-MID", "MIDMJD", "MJDMID"), "none", "Float", "d"),
    Standard("koa_id", ("KOAID",), "none", "String"),
)

#: Other keywords of the common columns; the base's own come before them.
CAL_TYPE = ("KOAIMTYP", "IMTYPE", "IMAGETYP", "OBSTYPE", "CALTYPE")
STARTS = ("MJD", "MJD-BEG", "MJD-STR", "MJDSTART", "MINMJD")
DATES = ("DATE-BEG", "DATE_BEG", "DATE-STR")

#: Keywords of the base's own columns, which need no line in a class.
OF_THE_BASE = (
    "CALID", "CALTYPE", "DATEOBS", "DATE-OBS", "EXPMJDST", "MJD-OBS", "ORIGIN", "CALVER", "DATAQUAL", "MASTCAL",
    "INSTRUME", "UT", "UTC", "TIME-OBS", "TIMESYS",
)  # fmt: skip

#: Words by which headers say that there is no value.
NOTHING = ("*", "%", "N/A", "NA", "NAN", "NONE", "NULL", "UNDEFINED", "UNKNOWN")

#: The beginnings of keywords that say how a file is built, not what it is.
STRUCTURE = (
    "SIMPLE", "XTENSION", "BITPIX", "NAXIS", "EXTEND", "EXTNAME", "EXTVER", "EXTLEVEL", "PCOUNT", "GCOUNT", "BSCALE",
    "BZERO", "BUNIT", "BLANK", "CHECKSUM", "DATASUM", "COMMENT", "HISTORY", "CONTINUE", "TFORM", "TTYPE", "TUNIT",
    "TFIELDS", "ZCMPTYPE", "ZBITPIX", "ZNAXIS", "ZIMAGE", "ZTILE", "LONGSTRN",
)  # fmt: skip
