"""Why no calibration fits a stack of frames: of each, the first frame that refuses it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from ..exceptions import CalibrationNotFoundError
from ..instrument.detached import record_builder
from .considered import Considered
from .deciding import missed
from .explanation import Candidate
from .frame import Frame
from .judged import last_said_of
from .judging import Judge
from .misses import Part, not_found
from .own_methods import programmed_of
from .statement import Plan, fetch_rows
from .wording import in_ends

if TYPE_CHECKING:
    from .selector import CalibrationSelector, Database


def missed_by_all(
    selector: CalibrationSelector, considered: Considered, frames: Sequence[Frame], db: Database
) -> CalibrationNotFoundError:
    """Give the error for a stack that nothing fits; says why the nearest candidates were refused, and for which frame.

    Parameters
    ----------
    selector : CalibrationSelector
    considered : Considered
        What the choice for all of them came to.
    frames : sequence of Frame
        Each by itself.
    db : Database
    """
    found: list[CalibrationNotFoundError] = []
    parts: list[Part] = []
    for plan in considered.plans:
        of_step = missed(selector, Considered(considered.frame, (plan,)), db)
        judges = [Judge(plan, frame, programmed_of(selector, considered)) for frame in frames]
        name = f"by step {plan.rule.step}" if len(considered.plans) > 1 else ""
        found.append(of_step)
        parts.append(Part(name, tuple(_told(of_step.nearest, judges, db))))
    asked = {**found[-1].asked, **_ranges(considered.plans[-1], frames)}
    return not_found(str(found[-1].cal_type), asked, found[-1].total, parts, db=db)


def _told(nearest: Sequence[Candidate], judges: Sequence[Judge], db: Database) -> Iterator[Candidate]:
    """Tell of each candidate the first frame that refuses it; one that no frame refuses is told as it was."""
    told: dict[str, Candidate] = {}
    for judge in judges:
        untold = [each.record.id for each in nearest if each.record.id not in told]
        if not untold:
            break
        for each in _of_frame(judge, untold, db):
            told[each.record.id] = replace(each, when=f"for {judge.frame.source}, {each.when}")
    for each in nearest:
        yield told.get(each.record.id, each)


def _of_frame(judge: Judge, ids: Sequence[str], db: Database) -> Iterator[Candidate]:
    """Tell of those among some records that one frame refuses."""
    plan, build = judge.plan, record_builder(judge.plan.orm_class)
    outcome = judge.outcome(plan.columns).label("outcome")
    statement = select(plan.orm_class.table(), outcome).where(plan.columns["id"].in_(ids))
    for row in fetch_rows(db, statement, judge.parameters):
        if not judge.fits(row[-1]):
            record = build(row[:-1])
            said = last_said_of(db, [record.id]) if judge.is_bad(row[-1]) else {}
            yield judge.candidate(record, row[-1], said)


def _ranges(plan: Plan, frames: Sequence[Frame]) -> Mapping[str, Any]:
    """Give what is asked by distance, of which each frame has its own, from the least to the largest."""
    values = {name: [frame.needed(name) for frame in frames] for name, _ in plan.rule.within}
    times = [frame.own_time_if_known(plan.time) for frame in frames]
    values[plan.time] = [each for each in times if each is not None]
    return {name: in_ends(found) for name, found in values.items() if found}
