"""What a declared rule asks the database for: a record, a pair, an anchor before that, or all that it admits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..exceptions import CalibrationNotFoundError, ConfigurationError, InvalidPluginError
from .answering import Ask, Asking, Sides, answer, best, sides
from .bracket import Bracket
from .considered import Considered, Prepared
from .frame import Frame
from .marking import note_choice, taken
from .misses import missing
from .order import distance
from .own_methods import choose, is_declared, programmed_of
from .rule import Declared
from .statement import fetch, fetch_rows

if TYPE_CHECKING:
    from .selector import CalibrationSelector, Database


def run(db: Database, ask: Ask) -> list[Any]:
    """Give the rows of what is asked, or its records; by the database's own short way where it has one."""
    if not ask.rows:
        return fetch(db, ask.statement, ask.parameters)
    short_way = getattr(db, "fetch_many", None)
    if short_way is None:
        return fetch_rows(db, ask.statement, ask.parameters)
    rows: list[Any] = short_way(ask.statement, [ask.parameters], rows=True)[0]
    return rows


def asking(
    selector: CalibrationSelector,
    input: Mapping[str, Any],
    db: Database,
    prepared: Prepared,
    *,
    as_pair: bool = False,
    hanging: tuple[str, ...] = (),
) -> Asking[Considered]:
    """Ask for what a selector's declared rule gives.

    Parameters
    ----------
    prepared : Prepared
        What was prepared for others of the same batch.
    as_pair : bool
        Whether a pair is wanted, whatever the direction is.
    hanging : tuple of str
        The types that hang on this one.

    Raises
    ------
    CalibrationNotFoundError
        When there is no calibration on which it hangs.
    HeaderError
    """
    ruling = prepared.ruling(selector)
    frame = prepared.frame(ruling, input)
    declared, plans = ruling.settled(frame)
    if declared.anchor is not None:
        frame.anchor = yield from anchor_of(selector, declared, frame, db, prepared, hanging)
    if as_pair or declared.direction == "bracket":
        if declared.validity:
            raise no_pairs(selector, "it goes by intervals")
        found = yield from sides(plans, frame)
        pair = Bracket(*[taken(selector, side, frame) for side in found])
        nearer = nearer_of(selector, found, pair)
        step = None if nearer is None else nearer.choice.step
        return Considered(frame, plans, nearer, pair, step, as_pair=True)
    single = yield from best(plans, frame)
    if single is None:
        return Considered(frame, plans)
    return Considered(frame, plans, taken(selector, single, frame), step=single.plan.rule.step)


def _check_asked(frame: Frame, selector: CalibrationSelector, declared: Declared) -> None:
    if declared.validity:
        frame.own_time(selector.time)
    for name in (*declared.match, *declared.given, *declared.within):
        frame.needed(name)


def nearer_of(selector: CalibrationSelector, found: Sides, pair: Bracket) -> Any:
    """Give the record of a pair that is nearer to the time from which it was measured, of equally near the earlier."""
    sides_found = [(side, record) for side, record in zip(found, pair, strict=True) if side is not None]
    if not sides_found:
        return None
    return min(sides_found, key=lambda each: distance(getattr(each[1], selector.time), each[0].time))[1]


def anchor_of(
    selector: CalibrationSelector,
    declared: Declared,
    frame: Frame,
    db: Database,
    prepared: Prepared,
    hanging: tuple[str, ...] = (),
) -> Asking[Any]:
    """Ask for the calibration on which the chosen one hangs; the frame must have what is compared besides."""
    _check_asked(frame, selector, declared)
    name = str(declared.anchor).strip().lower()
    anchor, chain = db.orm_class.selectors.get(name), (*hanging, selector.cal_type.strip().lower())
    if anchor is None or name in chain:
        fault = "of which there is no selector" if anchor is None else f"which hangs on {selector.cal_type}"
        raise InvalidPluginError(
            f"The selector {type(selector).__name__} has the anchor {name}, {fault}.",
            "Name a type whose selector does not hang on this one.",
            instrument=db.orm_class.instrument_name,
            distribution="",
        )
    try:
        if name in prepared.own:
            record = prepared.own[name]
        elif not is_declared(anchor):
            record = choose(anchor, frame.given, db)
        else:
            considered = yield from asking(anchor, frame.given, db, prepared, hanging=chain)
            record = considered.record
            if record is None:
                raise (yield from missing(considered, programmed_of(anchor, considered), db))
        if record[selector.time] is None and (declared.never_across or not declared.validity):
            said = f"{record.filename} has no {selector.time}."
            raise CalibrationNotFoundError(said, "Register it with that value.", cal_type=name)
    except CalibrationNotFoundError as error:
        raise CalibrationNotFoundError(
            f"No {selector.cal_type} can be chosen, since it hangs on the frame's {name}: {error.message}",
            error.hint,
            cal_type=selector.cal_type,
            asked=error.asked,
            total=error.total,
            nearest=error.nearest,
        ) from error
    return record


def admitted_by(selector: CalibrationSelector, input: Mapping[str, Any], db: Database) -> list[Any]:
    """All records that a selector's declared rule admits: the one that it chooses, then the best first by each step."""

    def admitted() -> Asking[list[Any]]:
        ruling = selector._ruling(db.orm_class)
        frame = ruling.frame(input)
        declared, plans = ruling.settled(frame)
        if declared.anchor is not None:
            frame.anchor = yield from anchor_of(selector, declared, frame, db, Prepared(db.orm_class))
        found: dict[str, Any] = {}
        for plan in plans:
            records = yield Ask(plan.candidates, plan.parameters(frame))
            for record in records:
                if found.setdefault(record.id, record) is record and plan.rule.step is not None:
                    note_choice(selector, record, frame, plan.rule.step)
        chosen = None
        if declared.direction == "bracket":
            pair = yield from sides(plans, frame)
            chosen = nearer_of(selector, pair, Bracket(*[side and side.record for side in pair]))
        return sorted(found.values(), key=lambda record: chosen is None or record.id != chosen.id)

    return answer(admitted(), lambda ask: run(db, ask))


def no_pairs(selector: CalibrationSelector, why: str) -> ConfigurationError:
    """Give the error for a pair that is asked of a rule that knows none."""
    said = f"{type(selector).__name__} knows no pairs: {why}."
    return ConfigurationError(said, "Ask for the one record that fits.", setting="selector", variable=None)
