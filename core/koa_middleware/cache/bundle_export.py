"""Writing bundles: each file is verified, and a whole bundle is left or none."""

from __future__ import annotations

import stat
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from ..disk.writing import sweep_beside
from ..exceptions import CacheError, ConfigurationError, KoaMiddlewareError, SourceFileError, all_in_one
from ..instrument.orm import ORMCalibration
from .bundle_columns import other_columns, other_values
from .bundle_file import Entry, entry_of, instrument_of, stream_bundle, write_bundle
from .bundle_head import Head
from .folder import Cache
from .placing import Holdings
from .provide import Provider

R = TypeVar("R", bound=ORMCalibration)


@dataclass
class BundleExport:
    """What an export wrote.

    Attributes
    ----------
    path : pathlib.Path
        The bundle; ``-`` where it went to an open file.
    exported : list of str
        File names.
    size : int
        Of their files, bytes.
    """

    path: Path
    exported: list[str] = field(default_factory=list)
    size: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {**vars(self), "path": str(self.path)}


def export_bundle(
    target: Path | BinaryIO, records: Iterable[R], files: Provider[R], holdings: Holdings[R], *, overwrite: bool
) -> BundleExport:
    """Write a bundle; see `CalibrationStore.export_bundle`."""
    report = BundleExport(target if isinstance(target, Path) else Path("-"))
    if isinstance(target, Path):
        _check_target(target, holdings.cache, overwrite)
    entries = []
    wanted = list({record.id: record for record in records}.values())
    outcomes = files.provide_many(wanted, True, bar=True)
    if failures := [outcome for outcome in outcomes if isinstance(outcome, KoaMiddlewareError)]:
        raise all_in_one(failures)
    found = [outcome.path for outcome in outcomes if not isinstance(outcome, KoaMiddlewareError)]
    with holdings.database.connect() as connection:
        others = other_columns(connection, holdings.orm_class)
    head = Head.of(holdings.orm_class, others)
    more = other_values(holdings.database, list(others), [record.id for record in wanted])
    for record, file in zip(wanted, found, strict=True):
        entry = entry_of(record.to_dict() | more.get(record.id, {}), file)
        entries.append((entry, file))
        report.exported.append(record.filename)
        report.size += entry.size
    if isinstance(target, Path):
        _write_file(target, head, entries, overwrite)
    else:
        stream_bundle(target, head, entries)
    return report


def _write_file(path: Path, head: Head, entries: Sequence[tuple[Entry, Path]], overwrite: bool) -> None:
    with suppress(CacheError):  # what is wrong with the folder is told when the bundle is written
        sweep_beside(path.parent)
    try:
        write_bundle(path, head, entries, overwrite=overwrite)
    except FileExistsError:
        raise _exists(path) from None


def _check_target(path: Path, cache: Cache, overwrite: bool) -> None:
    """Check that a bundle may be written here: only a bundle or an empty file is replaced, and that only when asked."""
    if path.parent.resolve() in {folder.resolve() for folder in (cache.calibrations, cache.database, cache.partial)}:
        raise ConfigurationError(
            f"{path} is in a folder of the cache's own files.", "Write the bundle elsewhere.", setting="path"
        )
    try:
        status = path.lstat()
    except OSError:  # there is none, or what is wrong is told when it is written
        return
    if not stat.S_ISREG(status.st_mode):
        raise ConfigurationError(
            f"{path} is not a plain file, so no bundle is written in its place.",
            "Name a new file, or - for standard output.",
            setting="path",
        )
    if not overwrite:
        raise _exists(path)
    if status.st_size:
        try:
            instrument_of(path)
        except SourceFileError as error:
            raise ConfigurationError(
                f"{path} is no bundle, so no bundle is written in its place.",
                "Name a new file; only a bundle or an empty file is overwritten.",
                setting="path",
            ) from error


def _exists(path: Path) -> ConfigurationError:
    return ConfigurationError(
        f"There is a file {path} already.",
        "Name another one, or say overwrite=True (koa-cal bundle export --overwrite) to replace it.",
        setting="path",
    )
