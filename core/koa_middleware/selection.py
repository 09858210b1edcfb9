"""What a store chooses for frames: one record, a pair, one of each type, for one frame or for many."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

from .cache.processes import applied
from .choosing.batch import Task, choose_each, in_places, records_in
from .choosing.bracket import Bracket
from .choosing.common import choose_common
from .choosing.deciding import admitted
from .choosing.explanation import Explanation
from .choosing.frame import frame_name
from .choosing.frame_sets import choose_sets, left_out_of
from .choosing.marking import log_choice
from .choosing.misses import moment_asked
from .choosing.own_methods import choose
from .choosing.selector import CalibrationSelector, Database, selector_for
from .exceptions import CalibrationNotFoundError, KoaMiddlewareError, logger
from .fetch.progress import counted
from .given import frames_of
from .instrument.frames import column_values
from .instrument.keywords import accepts_any_instrument
from .instrument.orm import ORMCalibration

#: Files of frames that are worth a process that reads them.
WORTH_A_PROCESS = 1000


class Frames(NamedTuple):
    """Frames as a selection sees them.

    Attributes
    ----------
    names : list of str
    values : list
        Each one's column values, or the error of one that cannot be read.
    """

    names: list[str]
    values: list[Any]


class Selection:
    """The choices of one instrument's calibrations.

    Parameters
    ----------
    orm_class : type
    advice : callable
        Gives what else may be done, for a miss in the local copy.
    """

    def __init__(
        self, orm_class: type[ORMCalibration], advice: Callable[[CalibrationNotFoundError], Iterable[str]]
    ) -> None:
        self._orm_class = orm_class
        self._advice = advice

    def select(self, input: Any, selector: Any, database: Database, *, is_local: bool) -> Any:
        """Give the record that fits a frame best."""
        values, chosen = self._asked(input, selector)
        try:
            record = choose(chosen, values, database)
        except CalibrationNotFoundError as error:
            self._advise(error, is_local)
            raise
        _tell_state(record, database)
        log_choice(chosen, values, record)
        return record

    def bracket(self, input: Any, selector: Any, database: Database, *, is_local: bool) -> Bracket:
        """Give the records before and after a frame."""
        values, chosen = self._asked(input, selector)
        try:
            found = chosen.select_bracket(values, database)
        except CalibrationNotFoundError as error:
            self._advise(error, is_local)
            raise
        _tell_state(found, database)
        for record in records_in(found):
            log_choice(chosen, values, record)
        return found

    def many(self, inputs: Any, selector: Any, database: Database, *, is_local: bool, keep: bool) -> list[Any]:
        """Give the records that fit frames best; unless errors are kept in their places, the first one is raised."""
        chosen = selector_for(self._orm_class, selector)
        frames = self.frames(inputs, keep=True)
        found = in_places(frames.values, lambda usable: choose_each([Task(chosen, each) for each in usable], database))
        for values, answer in zip(frames.values, found, strict=True):
            _tell_state(answer, database)
            self._told(chosen, values, answer, is_local)
            if isinstance(answer, KoaMiddlewareError) and not keep:
                raise answer
        return found

    def common(self, inputs: Any, selector: Any, database: Database) -> Any:
        """Give the one record that fits all frames."""
        chosen, frames = selector_for(self._orm_class, selector), self.frames(inputs, keep=False)
        try:
            record = choose_common(chosen, frames.values, frames.names, database)
        except CalibrationNotFoundError as error:
            self._advise(error, is_local=True)
            raise
        _tell_state(record, database)
        log_choice(chosen, {"filename": record.choice.frame}, record)
        return record

    def sets(
        self,
        frames: Frames,
        cal_types: Any,
        database: Database,
        own: Mapping[str, ORMCalibration] = MappingProxyType({}),
    ) -> list[dict[str, Any]]:
        """Give what frames get of each type, `own` by the user's choice; errors stand in their places."""
        found = choose_sets(self._orm_class, frames.values, cal_types, database, own)
        for values, one in zip(frames.values, found, strict=True):
            for cal_type, answer in one.items():
                _tell_state(answer, database)
                self._told(self._orm_class.selectors[cal_type], values, answer, is_local=True)
        return found

    def left_out(self, values: Sequence[Any], cal_types: Any) -> dict[str, tuple[str, ...]]:
        """Give types that were not asked for; see `left_out_of`."""
        return left_out_of(self._orm_class, values, cal_types)

    def candidates(self, input: Any, selector: Any, database: Database) -> list[Any]:
        """Give all records that a rule admits for a frame."""
        values, chosen = self._asked(input, selector)
        found = admitted(chosen, values, database)
        for record in found:
            _tell_state(record, database)
        return found

    def explain(self, input: Any, selector: Any, database: Database, nearest: int) -> Explanation:
        """Tell why each record of the type was refused or chosen."""
        values, chosen = self._asked(input, selector)
        told = chosen.explain(values, database, nearest)
        for record in told.winners:
            _tell_state(record, database)
        return told

    def frames(self, inputs: Any, *, keep: bool) -> Frames:
        """Read frames; the error of one that cannot be read stands in its place where errors are kept."""
        names, values = [], []
        several = list(frames_of(inputs))
        for number, (given, read) in enumerate(
            counted(zip(several, self._read(several), strict=True), len(several), "frame"), 1
        ):
            if isinstance(read, KoaMiddlewareError) and not keep:
                raise read
            named = read if isinstance(read, Mapping) and "filename" in read else {}
            is_path = isinstance(given, str | os.PathLike)
            names.append(str(given) if is_path else frame_name(named, "") if named else f"frame {number}")
            values.append(read)
        return Frames(names, values)

    def _read(self, several: Sequence[Any]) -> Iterable[Any]:
        """Read frames; many files in processes of their own, since astropy reads one header at a time in each."""
        read = partial(_values_or_error, self._orm_class)
        is_worth_it = len(several) >= 2 * WORTH_A_PROCESS and (os.cpu_count() or 1) > 1
        are_files = is_worth_it and all(isinstance(each, str | os.PathLike) for each in several)
        if not are_files or accepts_any_instrument():  # which the other processes would not know
            return map(read, several)

        return applied(read, several, WORTH_A_PROCESS)

    def _asked(self, input: Any, selector: Any) -> tuple[Mapping[str, Any], CalibrationSelector]:
        return column_values(self._orm_class, input), selector_for(self._orm_class, selector)

    def _told(self, selector: CalibrationSelector, values: Any, answer: Any, is_local: bool) -> None:
        """Log a choice; let a miss say what else may be done."""
        if isinstance(answer, CalibrationNotFoundError):
            self._advise(answer, is_local)
        elif logger().isEnabledFor(logging.INFO):
            for record in records_in(answer):
                log_choice(selector, values, record)

    def _advise(self, error: CalibrationNotFoundError, is_local: bool) -> None:
        """Let a miss in the present local copy say what else may be done."""
        if is_local and error.as_of is None:
            error.hint = " ".join(filter(None, [error.hint, *self._advice(error)]))


def _tell_state(answer: Any, database: Database) -> None:
    """Write into what a rule chose which state of the database was asked, where that is not the present one."""
    moment = moment_asked(database)
    if moment is not None:
        for record in records_in(answer):
            if record.choice is not None and not record.choice.given_by_user:
                record._choice = record.choice._replace(as_of=moment)


def _values_or_error(orm_class: type[ORMCalibration], given: Any) -> Any:
    try:
        return column_values(orm_class, given)
    except KoaMiddlewareError as error:
        return error
