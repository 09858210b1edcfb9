"""Why another calibration would be chosen now than the lock's, as the databases tell it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any

from ...choosing.explanation import CHOSEN, FARTHER, Explanation
from ...choosing.judged import in_words, last_said_of, qualities_of
from ...choosing.selector import CalibrationSelector, anchors_of
from ...database.listed import records_by
from ...database.local import LocalDatabase
from ...exceptions import HeaderError
from ...instrument.orm import ORMCalibration
from ...kept import kept_property
from .differences import Differing
from .happened import JUDGED, Happened, happened
from .lock_file import LockFile
from .locked import LockedCalibration

#: Gives what became of the records of a type for a frame's values.
Explain = Callable[[Mapping[str, Any], str], Explanation]

Why = tuple[str, str]
"""Kind and sentence of a cause."""


class Causes:
    """Tells causes, each from what is known of the two calibrations; what the rule says is asked once for each type.

    Parameters
    ----------
    lock : LockFile
    local, known : LocalDatabase
        The store's own database, and what stands under it too.
    explain : callable
    """

    def __init__(self, lock: LockFile, local: LocalDatabase[Any], known: LocalDatabase[Any], explain: Explain) -> None:
        self._lock, self._local, self._known, self._explain = lock, local, known, explain
        self._histories: dict[str, list[Happened]] = {}
        self._standing: dict[str, list[Any]] = {}
        self._bad: dict[str, str | None] = {}
        self._of_rules: dict[tuple[str, bool], Why] = {}
        self._of_locked: dict[str, Why | None] = {}

    def read(self, locked: Iterable[LockedCalibration], records: Iterable[ORMCalibration]) -> None:
        """Read, in bulk, what is known of locked calibrations, and of records that would be chosen now."""
        asked = {each.filename: each for each in locked}
        by_id = records_by(self._known, "id", [each.id for each in asked.values() if each.id])
        by_name = records_by(self._known, "filename", list(asked))
        for one in asked.values():
            found = [*by_id.get(one.id, []), *by_name.get(one.filename, [])]
            self._standing[one.filename] = found
        self._read_qualities([each for found in self._standing.values() for each in found])
        locals_ = [each.id for each in self._lock.calibrations if each.origin == "LOCAL"]
        ids = {*(each.id for each in asked.values()), *(each.id for each in records), *locals_}
        self._histories = happened(self._local, ids)

    def _read_qualities(self, records: Sequence[ORMCalibration]) -> None:
        """Find out which records are BAD, and in whose words."""
        qualities = qualities_of(records, self._known)
        bad = {each.id: each.quality for each, quality in zip(records, qualities, strict=True) if quality == "BAD"}
        said = last_said_of(self._known, bad) if bad else {}
        words = {id_: in_words(said.get(id_), quality) for id_, quality in bad.items()}
        self._bad |= {each.id: words.get(each.id) for each in records}

    def why(self, one: Differing, others: Collection[str]) -> list[Why]:
        """Give the causes of a difference; `others` are all the types in which the frame's choices differ."""
        selector = self._known.orm_class.selectors.get(one.cal_type)
        if selector is None:
            return [("rule", f"the plugin has no rule for {one.cal_type} any more")]
        fallen = None if one.then is None else self.of_locked(one.then)
        shape = ("rule", f"the rule {type(selector).__name__} changed: it gives {one.shape}") if one.shape else None
        if certain := [each for each in (fallen, shape) if each is not None]:
            return certain
        return [self._of_what_stands(one, selector, others)]

    def _of_what_stands(self, one: Differing, selector: CalibrationSelector, others: Collection[str]) -> Why:
        """Give the cause where the locked calibration, if there is one, stands and may be chosen."""
        if one.now is not None and (came := self._of_now(one.now)) is not None:
            return came
        if one.then is not None and (changed := self._since(one.then.id, one.then.filename, one.then.origin)):
            return changed
        if anchors := [each for each in anchors_of(selector) if each in others]:
            return "anchor", f"it hangs on the {anchors[0]}, which would be another one"
        return self._of_rule(one, selector)

    def of_locked(self, locked: LockedCalibration) -> Why | None:
        """Tell what became of a locked calibration; None where it stands and may be chosen."""
        if locked.filename not in self._of_locked:
            self._of_locked[locked.filename] = self._fallen(locked)
        return self._of_locked[locked.filename]

    def _fallen(self, locked: LockedCalibration) -> Why | None:
        name, found = locked.filename, self._standing[locked.filename]
        same = [each for each in found if locked.is_content_of(each)]
        if not same and locked.checksum:
            of_content = self._known.query(checksum=locked.checksum)
            same = [each for each in of_content if each.cal_type == locked.cal_type]
            self._read_qualities(same)
        if not same and found:
            return "content", f"{name} has other content now: {found[0].checksum}, the lock's is {locked.checksum}"
        if not same:
            gone = [each for each in self._history(locked.id) if each.op == "withdrawn"]
            return "withdrawn", f"{name} was withdrawn {gone[-1]}" if gone else f"{name} is not known here"
        bad = [self._bad[each.id] for each in same]
        return None if None in bad else ("quality", f"{name} is {bad[0]}")

    def _of_now(self, record: ORMCalibration) -> Why | None:
        """Tell what happened to what would be chosen, since the lock was made; None where nothing is known to have."""
        added = self._added(record.id)
        new = "new", f"{record.filename} is new{f', added {added.when}' if added and not added.archive_n else ''}"
        is_of_lock = record.filename in self._lock.by_filename and self._lock.by_filename[
            record.filename
        ].is_content_of(record)
        is_certain = self._lock.as_of is not None or record.origin != "LOCAL"
        if not is_of_lock and is_certain and added is not None and self._is_since(added, record.origin):
            return new
        done = self._since(record.id, record.filename, record.origin, unless_known=is_of_lock)
        return done if done is not None or is_of_lock or self._was_known(record) else new

    def _added(self, id: str) -> Happened | None:
        return next((each for each in reversed(self._history(id)) if each.op == "added"), None)

    def _was_known(self, record: ORMCalibration) -> bool:
        """Whether a calibration was there when the lock was made, as far as anything tells."""
        added = self._added(record.id)
        if added is not None and (is_since := self._is_since(added, record.origin)) is not None:
            return not is_since
        archive = self._lock.archive
        until = None if archive is None or record.origin == "LOCAL" else archive.at
        return until is not None and record.last_updated is not None and record.last_updated <= until

    def _is_since(self, one: Happened, origin: str) -> bool | None:
        """Whether something happened after the lock was made, or after the state that was locked; None: unknown."""
        if self._lock.as_of is not None:
            return one.at > self._lock.as_of
        if one.op == JUDGED or (origin != "LOCAL" and one.archive_n is None and one.op == "flagged"):
            return one.at > self._until if self._until else None
        if origin == "LOCAL":
            return one.n > self._bound if self._bound else None
        entry = None if self._lock.archive is None else self._lock.archive.entry
        return None if entry is None or one.archive_n is None else one.archive_n > entry

    @kept_property
    def _newest_locked(self) -> Happened | None:
        """The newest entry of the local feed that was there when the lock was made, as far as it is known."""
        own = [each.id for each in self._lock.calibrations if each.origin == "LOCAL" and each.id]
        added = [entry for id_ in own for entry in self._history(id_) if entry.op == "added"]
        return max(added, key=attrgetter("n"), default=None)

    @property
    def _bound(self) -> int:
        """Number of that entry; 0 where none is known."""
        return 0 if self._newest_locked is None else self._newest_locked.n

    @property
    def _until(self) -> str:
        """A time (UTC) at which the lock was not made yet; empty where none is known."""
        archive = self._lock.archive
        of_archive = "" if archive is None else archive.at or ""
        return max(of_archive, "" if self._newest_locked is None else self._newest_locked.at)

    def _since(self, id: str, filename: str, origin: str, *, unless_known: bool = True) -> Why | None:
        """Tell what was done last to a calibration since the lock was made.

        Of what may have been done before the lock too, nothing is told where that calibration is `unless_known`.
        """
        for each in sorted(self._history(id), key=attrgetter("at"), reverse=True):
            is_since = self._is_since(each, origin)
            may_be = is_since or (is_since is None and not unless_known)
            if may_be and (told := each.told_of(filename)) is not None:
                return told
        return None

    def _of_rule(self, one: Differing, selector: CalibrationSelector) -> Why:
        """Ask the rule; what it says of one frame stands for all frames of the type of which nothing else is known."""
        key = one.cal_type, one.then is None
        if key not in self._of_rules:
            kind, said = self._changed(one)
            unlocked = [each for each in anchors_of(selector) if each not in self._locked_types]
            also = f"; or the {unlocked[0]} on which it hangs, which is not locked" if unlocked else ""
            rule = f"the rule {type(selector).__name__} changed: " if kind == "rule" else ""
            self._of_rules[key] = kind, f"{rule}{said}{also}"
        return self._of_rules[key]

    @kept_property
    def _locked_types(self) -> frozenset[str]:
        return frozenset(name for each in self._lock.frames for name in each.cal_types)

    def _changed(self, one: Differing) -> Why:
        if isinstance(one.error, HeaderError):
            return "rule", f"it asks for {one.error.column or 'more'}, of which the lock says nothing"
        if one.then is not None:
            candidates = self._explain(one.values, one.cal_type).candidates
            told = [each for each in candidates if one.then.is_content_of(each.record)]
            if told and told[0].rule not in (CHOSEN, FARTHER):
                return "rule", f"it refuses {one.then.filename} for {one.frame}: {told[0].why}"
        if one.now is not None and one.now.origin == "LOCAL" and self._lock.as_of is None:
            return "new", f"{one.now.filename} was not known where the lock was made, or the rule prefers it now"
        now = "none" if one.now is None else one.now.filename
        instead = "" if one.then is None else f" in place of {one.then.filename}"
        return "rule", f"it takes {now}{instead} for {one.frame}"

    def _history(self, id: str) -> Sequence[Happened]:
        return self._histories.get(id, ())
