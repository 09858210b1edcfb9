"""What a prefetch is to bring, how it is shown, and what it brought."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from .exceptions import CalibrationNotFoundError, HeaderError, KoaMiddlewareError
from .inputs import column_values, default_types
from .orm import ORMCalibration

if TYPE_CHECKING:
    from .transfer import Progress

R = TypeVar("R", bound=ORMCalibration)


@dataclass
class PrefetchReport:
    """What a prefetch did.

    Attributes
    ----------
    downloaded : list of str
        File names.
    cached : list of str
        Those that were here already.
    failed : dict
        File name to what went wrong.
    unmatched : dict
        Frame, or frame and cal type, to why there is no calibration for it.
    size : int
        Bytes that came.
    """

    downloaded: list[str] = field(default_factory=list)
    cached: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    unmatched: dict[str, str] = field(default_factory=dict)
    size: int = 0

    @property
    def ok(self) -> bool:
        """Whether everything that was wanted is here."""
        return not self.failed and not self.unmatched

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return vars(self).copy()


@dataclass
class Wanted(Generic[R]):
    """What a prefetch is to bring.

    Attributes
    ----------
    records : list of records
    unmatched : dict
        As in `PrefetchReport`.
    """

    records: list[R] = field(default_factory=list)
    unmatched: dict[str, str] = field(default_factory=dict)


def wanted_for(
    orm_class: type[R], frames: Iterable[Any], cal_types: Sequence[str] | None, choose: Callable[[Any, str], R]
) -> Wanted[R]:
    """Choose the calibrations of some frames; goes on after a frame or a type that has none.

    Parameters
    ----------
    orm_class : type
    frames : iterable
        Each as in `column_values`.
    cal_types : sequence of str or None
        Only these; None means those that a frame can be asked for.
    choose : callable
        Gives the best record for a frame's values and a cal type.
    """
    wanted: Wanted[R] = Wanted()
    for number, frame in enumerate(frames, 1):
        name = str(frame) if isinstance(frame, str | os.PathLike) else f"frame {number}"
        try:
            values = column_values(orm_class, frame)
        except KoaMiddlewareError as error:
            wanted.unmatched[name] = str(error)
            continue
        for cal_type in cal_types or default_types(orm_class, values):
            try:
                wanted.records.append(choose(values, cal_type))
            except (CalibrationNotFoundError, HeaderError) as error:
                wanted.unmatched[f"{name}, {cal_type}"] = str(error)
    return wanted


@contextmanager
def shown_progress(size: int, progress: Progress | None, bar: bool) -> Iterator[Progress | None]:
    """Give what is called with new bytes: the caller's function, else that of a bar, on a terminal only."""
    if progress is not None or not bar or not sys.stderr.isatty():
        yield progress
        return
    from tqdm import tqdm

    with tqdm(total=size or None, unit="B", unit_scale=True, file=sys.stderr) as shown:

        def advance(count: int) -> None:
            shown.update(count)

        yield advance
