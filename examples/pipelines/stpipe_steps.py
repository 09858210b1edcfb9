"""A mixin for the steps and pipelines of `stpipe` that stands in the place of CRDS, and a step and a pipeline with it.

    from stpipe_steps import DarkPipeline
    DarkPipeline.call("night/HB.20260212.43200.00.fits", output_dir="reduced", save_results=True)

`KOA_CALIBRATION_CACHE` names the folder of the calibrations.
"""

# ruff: noqa: ARG002, ARG003  (stpipe gives these arguments)

from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

from astropy.io import fits
from koa_middleware import CalibrationStore, open_store
from stpipe import Pipeline, Step


class StoreReferences:
    """Takes references from a calibration store; stands before `Step` or `Pipeline` among the bases.

    A `Pipeline` with `lock` in its spec hands it on to its steps.
    """

    instrument: ClassVar[str]

    spec = """
        output_ext = string(default=".fits")
        lock = string(default=None)  # a lock file, from which all references come
    """

    def get_reference_file(self, input_file: Any, reference_file_type: str) -> str:
        """Give the path of the reference that fits, or of the one that the user named (``override_dark``)."""
        if self.get_ref_override(reference_file_type) is not None:
            return super().get_reference_file(input_file, reference_file_type)
        frame, _ = self._get_crds_parameters(input_file)
        with self._store() as store:
            path, record = store.get_calibration(frame, reference_file_type)
        self._reference_files_used.append((reference_file_type, f"koa://{self.instrument}/{record.filename}"))
        return str(path)

    def _precache_references(self, input_file: Any) -> None:
        types = [name for name in dict.fromkeys(self.reference_file_types) if self.get_ref_override(name) is None]
        if types and self.parent is None:  # a pipeline asks for what its steps need
            frame, _ = self._get_crds_parameters(input_file)
            with self._store() as store:
                store.get_calibrations(frame, types)

    @classmethod
    def _get_config_from_parameters(cls, crds_parameters: Any, crds_observatory: str) -> Any:
        return cls._empty_config()

    def _store(self) -> CalibrationStore:
        return open_store(self.instrument, lock=self.search_attr("lock"))


class Frame:
    """The smallest model that stpipe takes: a FITS file whose primary header says what it is."""

    crds_observatory = "keck"

    def __init__(self, path: str | Path) -> None:
        with fits.open(path) as hdus:
            self.header, self.data = hdus[0].header.copy(), hdus[0].data.copy()
        self.meta = SimpleNamespace(filename=Path(path).name)

    def __enter__(self) -> "Frame":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def get_crds_parameters(self) -> dict[str, Any]:
        """Give what a reference is chosen by."""
        return dict(self.header)

    def save(self, path: str, *args: Any, **options: Any) -> str:
        """Write the frame; gives the path."""
        fits.PrimaryHDU(self.data, self.header).writeto(path, overwrite=True)
        return path


class DarkStep(StoreReferences, Step):
    """Subtract the dark."""

    class_alias = "dark"
    reference_file_types = ["dark"]
    instrument = "hispec"

    @classmethod
    def _datamodels_open(cls, init: Any, **options: Any) -> Frame:
        return init if isinstance(init, Frame) else Frame(init)

    def process(self, input: Any) -> Frame:
        """Give the frame without its dark."""
        frame = self.open_model(input)
        frame.data = frame.data - fits.getdata(self.get_reference_file(frame, "dark"))
        return frame

    def finalize_result(self, result: Frame, reference_files_used: list[tuple[str, str]]) -> None:
        """Write into the product what it was made with."""
        for name, reference in reference_files_used:
            result.header.add_history(f"{name}: {reference}")


class DarkPipeline(StoreReferences, Pipeline):
    """One step; the references of all steps are brought before the first one runs."""

    class_alias = "dark_pipeline"
    instrument = "hispec"
    step_defs = {"dark": DarkStep}
    _datamodels_open = DarkStep._datamodels_open

    def process(self, input: Any) -> Frame:
        """Run the step."""
        return self.dark.run(input)
