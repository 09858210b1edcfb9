"""What a locked store gives: what its lock file says was chosen, and nothing else."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NoReturn

from .choosing.batch import records_in
from .choosing.bracket import Bracket
from .choosing.choice import Choice
from .choosing.criteria import not_bad
from .choosing.explanation import Explanation
from .choosing.frame import frame_name
from .choosing.frame_sets import types_for
from .choosing.judged import in_words, last_said_of
from .choosing.selector import selector_for
from .exceptions import (
    CalibrationNotFoundError,
    ConfigurationError,
    KoaMiddlewareError,
    QualityWarning,
    logger,
    warn,
)
from .instrument.detached import record_builder
from .instrument.frames import column_values
from .instrument.orm import ORMCalibration
from .locked_records import Located, LockedRecords, Sources
from .reports.lock.compared import locked_frame
from .reports.lock.lock_file import LockFile
from .reports.lock.locked import LockedChoice, LockedFrame
from .selection import Frames, Selection


class LockedSelection(Selection):
    """Choices as a lock file has them.

    Parameters
    ----------
    orm_class : type
    lock : LockFile
    sources : Sources
        Where calibrations come from that the local database does not know.
    """

    def __init__(self, orm_class: type[ORMCalibration], lock: LockFile, sources: Sources) -> None:
        super().__init__(orm_class, lambda _: ())
        self._lock = lock
        self._records = LockedRecords(orm_class, sources)

    def select(self, input: Any, selector: Any, database: Any, *, is_local: bool) -> Any:  # noqa: ARG002
        """Give the record that the lock has for a frame; of a pair the nearer one."""
        return _nearer(self._one(input, selector, database))

    def bracket(self, input: Any, selector: Any, database: Any, *, is_local: bool) -> Bracket:  # noqa: ARG002
        """Give the pair that the lock has for a frame."""
        found = self._one(input, selector, database)
        if isinstance(found, Bracket):
            return found
        said = f"{self._lock.name} has no pair for {found.choice.frame}, but {found.filename} alone."
        raise CalibrationNotFoundError(said, "Ask for the one record.", cal_type=found.cal_type)

    def many(self, inputs: Any, selector: Any, database: Any, *, is_local: bool, keep: bool) -> list[Any]:  # noqa: ARG002
        """Give the records that the lock has for frames; unless errors are kept, the first one is raised."""
        cal_type = self._type_of(selector)
        found = [one[cal_type] for one in self.sets(self.frames(inputs, keep=True), cal_type, database)]
        if not keep:
            for answer in found:
                _raised(answer)
        return [_nearer(answer) for answer in found]

    def sets(
        self,
        frames: Frames,
        cal_types: Any,
        database: Any,
        own: Mapping[str, ORMCalibration] = MappingProxyType({}),
    ) -> list[dict[str, Any]]:
        """Give what the lock has for frames; errors stand in their places."""
        if own:
            self._refuse("use", "What the user gives is said when the lock is made.")
        named = None if cal_types is None else types_for(self._orm_class, {}, cal_types)
        asked = [self._asked_of(values, named) for values in frames.values]
        chosen = [each for one in asked for answer in one.values() for each in answer if not _is_error(each)]
        located = self._located(chosen, database)
        lost = self._not_to_be_had(located)
        return [
            {name: self._answer(values, answer, located, lost) for name, answer in one.items()}
            for values, one in zip(frames.values, asked, strict=True)
        ]

    def left_out(self, values: Sequence[Any], cal_types: Any) -> dict[str, tuple[str, ...]]:  # noqa: ARG002
        """Give no types, since the lock says which there are."""
        return {}

    def common(self, inputs: Any, selector: Any, database: Any) -> NoReturn:  # noqa: ARG002
        """Refuse to choose one record for a stack."""
        self._refuse("lock", "Ask for each frame.")

    def candidates(self, input: Any, selector: Any, database: Any) -> NoReturn:  # noqa: ARG002
        """Refuse to tell what else could be chosen."""
        self._refuse("lock", "Open a store without the lock; koa-cal lock --check tells what would be chosen now.")

    def explain(self, input: Any, selector: Any, database: Any, nearest: int) -> Explanation:  # noqa: ARG002
        """Refuse to tell why something was chosen, since no rule is asked."""
        self._refuse("lock", "Open a store without the lock; koa-cal lock --check tells what would be chosen now.")

    def records(self, database: Any) -> list[Any]:
        """Give the records of all calibrations of the lock.

        Raises
        ------
        CalibrationNotFoundError
            Lists those that are not to be had.
        """
        located = self._records.locate(self._lock.calibrations, database)
        if located.lost:
            raise self._not_to_be_had(located)
        self._warn_of_bad(located, database)
        return list(located.records.values())

    def _one(self, input: Any, selector: Any, database: Any) -> Any:
        cal_type = self._type_of(selector)
        frames = Frames([""], [column_values(self._orm_class, input)])
        ((_, answer),) = self.sets(frames, [cal_type], database)[0].items()
        return _raised(answer)

    def _type_of(self, selector: Any) -> str:
        if isinstance(selector, str):
            return selector.strip().lower()
        return selector_for(self._orm_class, selector).cal_type.strip().lower()

    def _asked_of(self, values: Any, named: Sequence[str] | None) -> dict[str, Sequence[Any]]:
        """Give what the lock has for a frame, by type: choices, or the one error in their place."""
        found = values if isinstance(values, KoaMiddlewareError) else self._frame(values)
        if isinstance(found, KoaMiddlewareError):
            return {name: [found] for name in named or self._all_types()}
        types = self._in_order(found.cal_types) if named is None else named
        return {name: found.of_type(name) or [self._without(values, found, name)] for name in types}

    def _frame(self, given: Mapping[str, Any]) -> LockedFrame | CalibrationNotFoundError:
        try:
            return locked_frame(self._lock, self._orm_class, given)
        except CalibrationNotFoundError as error:
            return error

    def _without(self, values: Mapping[str, Any], frame: LockedFrame, cal_type: str) -> CalibrationNotFoundError:
        said = f"{self._lock.name} has no {cal_type} for {_called(values)}."
        has = ", ".join(frame.cal_types)
        hint = f"It has {has}; lock the frame with {cal_type} too." if has else "Lock the frame with that type."
        return CalibrationNotFoundError(said, hint, cal_type=cal_type)

    def _all_types(self) -> list[str]:
        return self._in_order(dict.fromkeys(name for each in self._lock.frames for name in each.cal_types))

    def _in_order(self, cal_types: Iterable[str]) -> list[str]:
        """Give types in the order of the plugin's selectors, those without one last."""
        given, order = list(cal_types), list(self._orm_class.selectors)
        return sorted(given, key=lambda name: order.index(name) if name in order else len(order))

    def _located(self, chosen: Iterable[LockedChoice], database: Any) -> Located:
        names = dict.fromkeys(each.calibration for each in chosen if each.calibration)
        located = self._records.locate([self._lock.by_filename[name] for name in names], database)
        self._warn_of_bad(located, database)
        return located

    def _warn_of_bad(self, located: Located, database: Any) -> None:
        records = {each.id: each for each in located.records.values()}
        good = {each.id for each in not_bad(list(records.values()), database)}
        bad = [each for each in records.values() if each.id not in good]
        said = last_said_of(database, [each.id for each in bad]) if bad else {}
        for each in bad:
            quality = in_words(said.get(each.id), each.quality)
            warn(f"{each.filename} is given as {self._lock.name} says, and its quality is {quality}.", QualityWarning)

    def _answer(self, values: Any, answer: Sequence[Any], located: Located, lost: CalibrationNotFoundError) -> Any:
        first = answer[0]
        if _is_error(first):
            return first
        name = _called(values)
        if first.missing:
            said = f"{self._lock.name} has no {first.cal_type} for {name}: {first.missing}."
            return CalibrationNotFoundError(said, "Make the lock again when there is one.", cal_type=first.cal_type)
        if any(each.calibration in located.lost for each in answer):
            return lost
        given = {each.side: self._given(each, name, located.records[each.calibration]) for each in answer}
        for record in given.values():
            self._log(record)
        return given[""] if "" in given else Bracket(given.get("before"), given.get("after"))

    def _given(self, choice: LockedChoice, frame: str, record: ORMCalibration) -> ORMCalibration:
        """Give a record as a fresh object that says for what it was chosen."""
        taken = record_builder(type(record))([record[name] for name in record.column_names()])
        taken.is_fallback = choice.is_fallback
        taken._choice = Choice(
            choice.cal_type,
            frame,
            choice.rule,
            choice.step,
            choice.delta_days,
            self._lock.as_of,
            choice.given_by_user,
        )
        return taken

    def _log(self, record: ORMCalibration) -> None:
        if (log := logger()).isEnabledFor(logging.INFO):
            log.info("%s for %s: %s, by %s", record.cal_type, record.choice.frame, record.filename, self._lock.name)

    def _not_to_be_had(self, located: Located) -> CalibrationNotFoundError:
        number, of_cause = len(located.lost), dict[str, list[str]]()
        for name, why in located.lost.items():
            place = f", its file is {located.aside[name]}" if name in located.aside else ""
            of_cause.setdefault(why, []).append(f"{name} ({self._lock.by_filename[name].cal_type}{place})")
        said = "; ".join(f"{why}: {', '.join(names)}" for why, names in of_cause.items())
        what = "a calibration that is" if number == 1 else f"{number} calibrations that are"
        other = "Copy the file out of the quarantine under its own name and register it" if located.aside else "Sync"
        return CalibrationNotFoundError(
            f"{self._lock.name} names {what} not to be had: {said}.",
            f"{other}, or import a bundle that was exported with this lock.",
        )

    def _refuse(self, setting: str, hint: str) -> NoReturn:
        said = f"The store is locked by {self._lock.name}, which alone says what a frame gets."
        raise ConfigurationError(said, hint, setting=setting, variable=None)


def _called(values: Mapping[str, Any]) -> str:
    return frame_name(values, "mjd_start")


def _is_error(given: Any) -> bool:
    return isinstance(given, KoaMiddlewareError)


def _raised(answer: Any) -> Any:
    if isinstance(answer, KoaMiddlewareError):
        raise answer
    return answer


def _nearer(answer: Any) -> Any:
    """Give the record of a pair that is nearer to the frame, of equally near ones the earlier."""
    if not isinstance(answer, Bracket):
        return answer
    return min(records_in(answer), key=lambda each: abs(each.choice.delta_days or 0.0))
