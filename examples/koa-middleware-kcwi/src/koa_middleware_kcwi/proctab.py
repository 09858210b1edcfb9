"""A stand-in for the processing table of KCWI_DRP, which takes masters from a calibration store.

KCWI_DRP's primitives ask ``context.proctab`` (``search_proctab``, in older versions ``n_proctab``), and read the file
that ``get_master_name`` makes of the answer's first `filename`: its stem, an underscore, the type in small letters.
They read it in the folder of the products. So the stand-in puts the store's file there, under that name. What is not
about a master goes to the night's own table.
"""

import filecmp
import logging
import os
import shutil
from pathlib import Path
from typing import Any
from uuid import uuid4

from astropy.table import Table
from koa_middleware import CalibrationNotFoundError, CalibrationStore

from . import KcwiCalibration

#: What the primitives read themselves. An arc is asked for because of the maps made with it, which only a night has.
MASTERS = ("MBIAS", "MDARK", "MFLAT", "MTWIF", "MDOME")


class StoreProctab:
    """The night's own table, but for masters, which the rules of the store choose.

    Parameters
    ----------
    night
        The ``Proctab`` that this one stands in for.
    products
        The folder of the products, from which the primitives read masters.
    **store
        What `CalibrationStore` takes besides the class: `cache_dir`, `lock`, ...

    Raises
    ------
    FileExistsError
        From a question: another file of the master's name is in the folder of the products.
    """

    def __init__(self, night: Any, products: str | os.PathLike[str], **store: Any) -> None:
        self.night = night
        self.products = Path(products)
        self.store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["night"], name)

    def search_proctab(
        self, frame: Any, target_type: str | None = None, target_group: str | None = None, nearest: bool = False
    ) -> Any:
        """Give the rows of what a frame needs; of a master one row, or none where nothing fits.

        `frame` has a `header`, as ``CCDData`` has. A master's row has `TYPE`, `CAM`, `MJD` and `filename`; its file is
        in the folder of the products then.
        """
        if target_type not in MASTERS:
            return self.night.search_proctab(frame, target_type, target_group, nearest)
        with CalibrationStore(KcwiCalibration, **self.store) as store:
            try:
                path, record = store.get_calibration(frame.header, target_type.lower())
            except CalibrationNotFoundError as missing:
                logging.getLogger("KCWI").warning("%s", missing)
                return Table(names=("TYPE", "CAM", "MJD", "filename"), dtype=("U9", "U4", float, "U80"))
        ending = f"_{target_type.lower()}"
        stem = Path(record.filename).stem.removesuffix(ending)
        self._place(path, f"{stem}{ending}.fits")
        row = {"TYPE": target_type, "CAM": record.camera.upper(), "MJD": record.mjd_start, "filename": f"{stem}.fits"}
        return Table([row])

    n_proctab = search_proctab

    def _place(self, path: Path, name: str) -> None:
        """Put a copy of a file where the primitives look for it, whole at once, since several workers may do so."""
        there = self.products / name
        if there.exists() and filecmp.cmp(path, there, shallow=False):
            return
        if there.exists():
            raise FileExistsError(f"{there} is not what the store has chosen, {path}. Move it away or register it.")
        copy = shutil.copyfile(path, self.products / f".{uuid4().hex}")
        copy.replace(there)
