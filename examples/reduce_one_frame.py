"""Reduce one frame: find the calibrations that fit it, and use them.

    python3 reduce_one_frame.py hispec night/HB.20260212.43200.00.fits

`KOA_CALIBRATION_CACHE` names the folder of the calibrations. The reduction itself is a subtraction, for show.
"""

# ruff: noqa: T201

import sys
from pathlib import Path

from astropy.io import fits
from koa_middleware import KoaMiddlewareError, open_store


def reduce_frame(instrument: str, frame: Path) -> Path:
    """Subtract the dark that fits a frame; give the path of the result."""
    with open_store(instrument) as store:
        dark = store.get_calibration(frame, "dark")
        provenance = store.provenance({"dark": dark})
        print(provenance)

    with fits.open(frame) as science, fits.open(dark.path) as master:
        science[0].data = science[0].data - master[0].data
        # What was used belongs into the product, so that anyone can ask again.
        provenance.put_into(science[0].header)
        for line in provenance.history():
            science[0].header.add_history(line)
        result = frame.with_name(f"{frame.stem}_reduced.fits")
        science.writeto(result, overwrite=True)
    return result


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    try:
        print(reduce_frame(sys.argv[1], Path(sys.argv[2])))
    except KoaMiddlewareError as error:
        # Every error says what was asked, what was found, and what to do.
        sys.exit(f"{type(error).__name__}: {error}")
