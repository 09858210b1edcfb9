"""A plugin's demo night, written where nothing else may change."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from .. import CalibrationStore, InstrumentPlugin
from ..choosing.batch import records_in
from ..disk.fits import is_fits
from ..exceptions import KoaMiddlewareError, described
from .loading import without_network

_SHAPE = "Return (calibration paths, frame paths), two lists of the files that it wrote."


class Night(NamedTuple):
    """What a demo wrote.

    Attributes
    ----------
    calibrations, frames : list of pathlib.Path
    faults : list of str
        What is wrong with it; then there may be no paths.
    """

    calibrations: list[Path]
    frames: list[Path]
    faults: list[str]


def write_night(plugin: InstrumentPlugin, folder: Path) -> Night:
    """Let a plugin's demo write its night into a new folder below one, the working directory being another there."""
    if plugin.demo is None:
        pytest.skip("the plugin brings no demo")
    around, night = folder / "around", folder / "around" / "night"
    night.mkdir(parents=True)
    (around / "here").mkdir()
    with pytest.MonkeyPatch.context() as patch, without_network() as asked:
        patch.chdir(around / "here")
        try:
            written: Any = plugin.demo(night)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin's own code
            written = error
    faults = [f"demo asks the network for {each}. It must work offline." for each in asked]
    if isinstance(written, BaseException):
        return Night([], [], [*faults, f"demo fails with {described(written)}."])
    if not (
        isinstance(written, tuple | list) and len(written) == 2 and all(isinstance(each, list) for each in written)
    ):
        return Night([], [], [*faults, f"demo returns {written!r}. {_SHAPE}"])
    calibrations, frames = ([Path(path) for path in paths] for paths in written)
    return Night(calibrations, frames, [*faults, *_faults(calibrations, frames, around, night)])


def _faults(calibrations: list[Path], frames: list[Path], around: Path, night: Path) -> Iterator[str]:
    beside = sorted(path for path in around.rglob("*") if path.is_file() and night not in path.parents)
    outside = [path for path in (*calibrations, *frames) if night.resolve() not in path.resolve().parents]
    for path in dict.fromkeys([*beside, *outside]):
        yield f"demo writes {os.path.relpath(path, night)}, outside the folder that it is given."
    for path in (path for path in (*calibrations, *frames) if not path.is_file()):
        yield f"demo names {path.name}, which it does not write."
    if len({*calibrations, *frames}) < len(calibrations) + len(frames):
        yield "demo names a file twice."
    for what, paths in (("calibrations", calibrations), ("frames", frames)):
        if not any(is_fits(path) for path in paths):
            yield f"demo writes no FITS file among its {what}."


def faults_of_answers(plugin: InstrumentPlugin, night: Night, folder: Path) -> Iterator[str]:
    """Register a night's calibrations in a new store and ask for each frame; say what is not as it should be."""
    with CalibrationStore(plugin.ORM, folder) as store:
        for path in night.calibrations:
            try:
                store.register_calibration(path)
            except KoaMiddlewareError as error:
                yield f"demo's {path.name} cannot be registered: {error}"
        if len(store.local_db) != len(night.calibrations):
            yield f"Of demo's {len(night.calibrations)} calibrations {len(store.local_db)} are registered."
            return
        for frame in night.frames:
            yield from _faults_of_frame(store, frame)


def _faults_of_frame(store: CalibrationStore[Any], frame: Path) -> Iterator[str]:
    try:
        answers = store.get_calibrations(frame, return_exceptions=True)
    except KoaMiddlewareError as error:
        yield f"demo's frame {frame.name} cannot be asked for: {error}"
        return
    found = [result for answer in answers.values() for result in records_in(answer)]
    if answers and not found:
        said = "; ".join(f"{name}: {error}" for name, error in answers.items())
        yield f"demo's frame {frame.name} finds no calibration. {said}"
    for result in (result for result in found if not result.path.read_bytes()):
        yield f"The file of {result.calibration.filename} is empty."
