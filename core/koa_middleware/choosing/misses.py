"""What is said where nothing fits; of several types each cause once."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

from ..exceptions import CalibrationNotFoundError, KoaMiddlewareError
from ..instrument.detached import record_builder
from .answering import Ask, Asking
from .explanation import Candidate
from .judged import last_said_of
from .judging import Judge, Programmed, count_of_type, judges_of
from .pairs import SIDES
from .wording import in_pairs

if TYPE_CHECKING:
    from .considered import Considered
    from .selector import Database

#: Stands in a message for the types that it concerns.
_TYPES = "\0"

#: Reasons that a message tells, also of several types together.
_MOST_REASONS = 3


@runtime_checkable
class _InPart(Protocol):
    """A database of which those records alone are asked whose files are on this disk."""

    def not_here(self, cal_type: str) -> int:
        """Give how many others of a type there are."""


class Told(NamedTuple):
    """A cause and the types that it concerns.

    Attributes
    ----------
    cal_types : list of str
    message, hint : str
    error : KoaMiddlewareError
        That of the first type.
    """

    cal_types: list[str]
    message: str
    hint: str
    error: KoaMiddlewareError


class Part(NamedTuple):
    """What one step, or one side of a bracket, refused.

    Attributes
    ----------
    name : str
        ``"by step 1"``, ``"before the frame"``; empty where there is only one.
    refused : tuple of Candidate
        The nearest.
    """

    name: str
    refused: tuple[Candidate, ...]


def missing(considered: Considered, programmed: Programmed, db: Database) -> Asking[CalibrationNotFoundError]:
    """Ask for the error of a selection that came to nothing: only for the nearest records, and for their number."""
    judges = judges_of(considered.plans, considered.frame, programmed, (), None, considered.as_pair)
    parts: list[Part] = []
    for judge in judges:
        told = yield from _nearest(judge, db)
        step = f"by step {judge.plan.rule.step} " if len(judges) > 1 else ""
        if considered.as_pair:
            sides = {side: tuple(each for each in told if each.side == side) for side in SIDES}
            parts += [Part(f"{step}{side} the frame", found[:1]) for side, found in sides.items()]
        else:
            parts.append(Part(step.strip(), tuple(told[: 2 if step else _MOST_REASONS])))
    cal_type, total = judges[-1].plan.of_type.cal_type, 0
    if any(part.refused for part in parts):
        rows = yield Ask(count_of_type(judges[-1].plan.orm_class), {"cal_type": cal_type}, rows=True)
        total = int(rows[0][0])
    return not_found(cal_type, judges[-1].asked, total, parts, db=db)


def _nearest(judge: Judge, db: Database) -> Asking[list[Candidate]]:
    """Ask for the nearest records of the type; of a bracket for those on both sides."""
    build = record_builder(judge.plan.orm_class, raw=True)  # of rows as the driver gives them, or not
    time = judge.plan.order[1]
    for by in dict.fromkeys((judge.walked, time)):
        rows = yield Ask(judge.near(_MOST_REASONS, by=by), judge.parameters, rows=True)
        found = {record.id: (record, number) for record, number in ((build(row[:-1]), row[-1]) for row in rows)}
        ordered = judge.in_order(record for record, _ in found.values())
        said = (
            last_said_of(db, flagged) if (flagged := [id_ for id_, (_, n) in found.items() if judge.is_bad(n)]) else {}
        )
        told = [judge.candidate(*found[record.id], said) for record in ordered]
        if not judge.is_pair or {each.side for each in told} >= set(SIDES):
            break
    return told


def moment_asked(db: Database) -> str | None:
    """Give the time of the state that a database tells; None of the present one."""
    return getattr(db, "moment", None)


def not_found(
    cal_type: str,
    asked: Mapping[str, Any],
    total: int,
    parts: Sequence[Part],
    takes_none: str = "",
    *,
    db: Database,
) -> CalibrationNotFoundError:
    """Give the error for a selection that came to nothing.

    Parameters
    ----------
    cal_type : str
    asked : mapping
        The frame's values that were compared.
    total : int
        Number of records of the type.
    parts : sequence of Part
    takes_none : str
        What is said where a selector's own method takes none of those that fit, else empty.
    db : Database
        That was asked.
    """
    as_of, not_here = moment_asked(db), 0
    then = f" --as-of {as_of}" if as_of else ""
    hint = f"koa-cal explain FRAME --type {cal_type}{then} lists them all."
    if not total:
        not_here = db.not_here(cal_type) if isinstance(db, _InPart) else 0
        found = _holds_none(as_of, not_here)
        hint = f"koa-cal list{then} shows what there was." if then else "Add one with koa-cal register."
        hint = "Leave out --cached, or download them with koa-cal prefetch FRAME." if not_here else hint
    else:
        refused = ", ".join(_refused(parts))
        found = takes_none and f"{takes_none} {refused}"
        found = found or f"of the {total} known, the nearest were refused {refused}"
    return CalibrationNotFoundError(
        f"No {cal_type} fits {in_pairs(asked)}: {found}.",
        hint,
        cal_type=cal_type,
        asked=asked,
        total=total,
        not_here=not_here,
        as_of=as_of,
        nearest=tuple(candidate for part in parts for candidate in part.refused),
    )


def _holds_none(as_of: str | None, not_here: int = 0) -> str:
    if not_here:
        return f"of the {not_here} known none has its file on this disk"
    return f"the database held none of that type at {as_of}" if as_of else "the database holds none of that type"


def _refused(parts: Sequence[Part]) -> Iterator[str]:
    """Say what each part refused; parts that refused the same for the same reasons together."""
    names: dict[str, list[str]] = {}
    for part in parts:
        told = "; ".join(f"{each.record.filename}: {each.reason}" for each in part.refused)
        names.setdefault(told, []).append(part.name)
    for told, named in names.items():
        yield f"{' and '.join(named)} ({told or 'none is known'})".strip()


def told_once(errors: Mapping[str, KoaMiddlewareError]) -> list[Told]:
    """Put together the errors, by cal type, that have one cause: the same rules refused, or the same is said."""
    groups: dict[Hashable, dict[str, KoaMiddlewareError]] = {}
    shared = {each for each, number in Counter(map(id, errors.values())).items() if number > 1}
    for cal_type, error in errors.items():
        cause = id(error) if id(error) in shared else _cause(cal_type, error)
        groups.setdefault((type(error), cause), {})[cal_type] = error
    return [_told(group) for group in groups.values()]


def _cause(cal_type: str, error: KoaMiddlewareError) -> Hashable:
    """Give what an error is about, without what differs from type to type: its name, files, offsets."""
    if isinstance(error, CalibrationNotFoundError) and error.asked:
        return frozenset(candidate.rule for candidate in error.nearest), error.not_here > 0
    return _without(cal_type, error.message)


def _told(group: Mapping[str, KoaMiddlewareError]) -> Told:
    (cal_type, first), *others = group.items()
    names = ", ".join(group)
    is_one = not others or others[0][1] is first
    hint = first.hint if is_one else first.hint.replace(f"--type {cal_type} ", "--type T ")
    if is_one:
        message = first.message
    elif isinstance(first, CalibrationNotFoundError) and first.asked:
        message = f"No {names} fits {_asked_of_all(list(group.values()))}: {_reasons(list(group.values()))}."
    else:
        message = _without(cal_type, first.message).replace(_TYPES, names)
    return Told(list(group), message, hint, first)


def _without(cal_type: str, message: str) -> str:
    return re.sub(rf"\b{re.escape(cal_type)}\b", _TYPES, message)


def _reasons(errors: Sequence[Any]) -> str:
    """Why nothing fits, without files and offsets."""
    nearest = [candidate for error in errors for candidate in error.nearest]
    reasons = list(dict.fromkeys(candidate.why for candidate in nearest))
    more = "; ..." if len(reasons) > _MOST_REASONS else ""
    said = "; ".join(reasons[:_MOST_REASONS]) + more
    return (
        f"the nearest were refused ({said})"
        if reasons
        else _holds_none(errors[0].as_of, sum(error.not_here for error in errors))
    )


def _asked_of_all(errors: Sequence[KoaMiddlewareError]) -> str:
    """Give the values by which each type was compared, in words."""
    asked = [dict(getattr(error, "asked", {})) for error in errors]
    common = {name: value for name, value in asked[0].items() if all(each.get(name) == value for each in asked)}
    return in_pairs(common) or "the frame"
