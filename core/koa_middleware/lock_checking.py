"""Asking a store's rules again for what stands in a lock file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from .choosing.explanation import Explanation
from .database.local import LocalDatabase
from .locked_records import record_for
from .reports.lock.causes import Causes
from .reports.lock.check import LockCheck, check_lock
from .reports.lock.compared import locked_frame
from .reports.lock.lock_file import LockFile
from .reports.lock.locking import ChosenIn
from .selection import Frames, Selection

#: Candidates that an explanation tells one by one, among which the locked one should be.
_NEAREST = 200


def check(
    lock: LockFile,
    inputs: Iterable[Any] | None,
    selection: Selection,
    known: LocalDatabase[Any],
    local: LocalDatabase[Any],
    chosen_in: ChosenIn,
    synced: str,
) -> LockCheck:
    """Compare a lock file with what would be chosen now; see `CalibrationStore.check_lock`.

    Parameters
    ----------
    lock : LockFile
    inputs : iterable of frames, or None
        Of which frames; None: of all.
    selection : Selection
    known, local : LocalDatabase
        Where calibrations are chosen, and the store's own database.
    chosen_in : ChosenIn
    synced : str
        Of which sync the answer is, in words; empty where no archive is followed.
    """
    orm_class = known.orm_class

    def choose(values: list[Any], cal_types: list[str], given: Mapping[str, str]) -> list[dict[str, Any]]:
        own = {name: record_for(lock.by_filename[file], known) for name, file in given.items()}
        return selection.sets(Frames([""] * len(values), values), cal_types, known, own)

    def explain(values: Mapping[str, Any], cal_type: str) -> Explanation:
        return selection.explain(values, cal_type, known, _NEAREST)

    if inputs is not None:
        frames = selection.frames(inputs, keep=False).values
        found = [locked_frame(lock, orm_class, each) for each in frames]
        lock = replace(lock, frames=tuple({id(each): each for each in found}.values()))
    of_users = frozenset(each.checksum for each in lock.calibrations if not each.id)
    chosen_in = chosen_in._replace(unregistered=of_users)
    told = check_lock(lock, orm_class, choose, Causes(lock, local, known, explain), chosen_in)
    return replace(told, notes=(synced, *told.notes)) if synced else told
