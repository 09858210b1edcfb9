"""The columns that describe a calibration of ESI, and the FITS keywords that fill them."""

from typing import Any

from koa_middleware import ORMCalibration, fits_column
from sqlalchemy import Float, Index, Integer, String
from sqlalchemy.orm import Mapped

#: Type and light of what OBSTYPE calls; other words, such as Object, are no calibration.
KINDS = {
    "Bias": ("bias", None),
    "DmFlat": ("flat", "dome"),
    "IntFlat": ("flat", "internal"),
    "Line": ("arc", "lamp"),
}


class EsiCalibration(ORMCalibration):
    """A calibration of ESI."""

    instrument_name = "esi"
    cal_types = ("bias", "flat", "arc")  # a file of another type is refused
    version_family = ("binning", "amplifiers", "mode", "slit")

    cal_type: Mapped[str] = fits_column(
        ("CALTYPE", "OBSTYPE"),
        String,
        fold=True,
        convert=lambda word: KINDS.get(word, (word.lower(),))[0],
        sort_order=-98,
    )
    light: Mapped[str | None] = fits_column("OBSTYPE", String, convert=lambda word: KINDS.get(word, (None, None))[1])
    binning: Mapped[str | None] = fits_column("BINNING", String, convert=lambda text: text.replace(" ", ""))
    amplifiers: Mapped[int | None] = fits_column("NUMAMPS", Integer)
    exposure_time: Mapped[float | None] = fits_column("ELAPTIME", Float, info={"unit": "s"})
    slit: Mapped[str | None] = fits_column("SLMSKNAM", String, fold=True)
    prism: Mapped[str | None] = fits_column("PRISMNAM", String, fold=True)
    mode: Mapped[str | None] = fits_column((), String)
    object: Mapped[str | None] = fits_column("TARGNAME", String)

    # For each rule: the columns that it compares, then the time.
    __table_args__ = (
        Index(None, "cal_type", "binning", "amplifiers", "mjd_start"),
        Index(None, "cal_type", "binning", "amplifiers", "mode", "light", "mjd_start"),
        Index(None, "cal_type", "binning", "amplifiers", "mode", "slit", "mjd_start"),
    )

    @classmethod
    def derive(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Give the mode, which follows from the prism."""
        if "prism" not in values:
            return values
        return {"mode": "echellette" if values["prism"] == "in" else "other", **values}
