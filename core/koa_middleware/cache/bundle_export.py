"""Writing bundles: each file is verified, and the bundle is whole or is not written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from ..disk.targets import Kind, check_target, exists_already
from ..disk.writing import sweep_beside
from ..display import Report
from ..exceptions import CacheError, KoaMiddlewareError, all_in_one
from ..instrument.orm import ORMCalibration
from .bundle_columns import other_columns, other_values
from .bundle_file import Entry, entry_of, instrument_of, stream_bundle, write_bundle
from .bundle_head import Head
from .placing import Holdings
from .provide import Provider

R = TypeVar("R", bound=ORMCalibration)


@dataclass(repr=False)
class BundleExport(Report):
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
        holdings.cache.check_outside(target)
        check_target(target, _KIND, overwrite=overwrite)
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
        raise exists_already(path, _KIND) from None


_KIND = Kind("bundle", "koa-cal bundle export", instrument_of)
