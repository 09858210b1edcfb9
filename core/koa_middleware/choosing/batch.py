"""Many frames asked of one selector: what they ask of the database goes there together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Select

from ..exceptions import KoaMiddlewareError
from .answering import Ask, Asking
from .deciding import Considered, asking, check_type, choose, fallen_back, is_programmed, log_choice, programmed_of, run
from .misses import missing

if TYPE_CHECKING:
    from .selector import CalibrationSelector, Database


def choose_many(
    selector: CalibrationSelector, frames: Sequence[Mapping[str, Any]], db: Database
) -> list[Any | KoaMiddlewareError]:
    """Let a selector choose for the column values of many frames; an error stands in the place of its frame."""
    check_type(selector)
    if is_programmed(selector) or selector._overrides("select"):
        return [_outcome(lambda values=values: choose(selector, values, db)) for values in frames]
    outcomes = asked_together([asking(selector, values, db) for values in frames], db)
    found = [
        outcome
        if isinstance(outcome, KoaMiddlewareError)
        else _outcome(lambda values=values, outcome=outcome: fallen_back(selector, outcome, values, db))
        for values, outcome in zip(frames, outcomes, strict=True)
    ]
    without = [each for each in found if isinstance(each, Considered) and each.record is None]
    errors = iter(asked_together([missing(each, programmed_of(selector, each)) for each in without], db))
    return [
        each if isinstance(each, KoaMiddlewareError) else next(errors) if each.record is None else each.record
        for each in found
    ]


def choose_all(
    selector: CalibrationSelector,
    frames: Sequence[Mapping[str, Any] | KoaMiddlewareError],
    db: Database,
    *,
    keep: bool,
) -> list[Any]:
    """Let a selector choose for many frames, of which some may be errors; gives what stands in the place of each.

    Unless errors are kept, the first one is raised.
    """
    usable = [frame for frame in frames if not isinstance(frame, KoaMiddlewareError)]
    chosen = iter(zip(usable, choose_many(selector, usable, db), strict=True))
    found: list[Any] = []
    for frame in frames:
        if isinstance(frame, KoaMiddlewareError):
            found.append(frame)
            continue
        values, record = next(chosen)
        if isinstance(record, KoaMiddlewareError):
            if not keep:
                raise record
        else:
            log_choice(selector, values, record)
        found.append(record)
    return found


def _outcome(call: Any) -> Any:
    try:
        return call()
    except KoaMiddlewareError as error:
        return error


def asked_together(askings: Sequence[Asking[Any]], db: Database) -> list[Any]:
    """Give what each comes to, or its error; in each round the same statements are asked in one go."""
    outcomes: list[Any] = [None] * len(askings)
    pending: dict[int, Ask] = {}

    def go_on(number: int, rows: list[Any] | None) -> None:
        try:
            pending[number] = askings[number].send(rows)  # type: ignore[arg-type]
        except StopIteration as done:
            outcomes[number] = done.value
        except KoaMiddlewareError as error:
            outcomes[number] = error

    for number in range(len(askings)):
        go_on(number, None)
    while pending:
        asks, pending = pending, {}
        alike: dict[tuple[Select[Any], bool], list[int]] = {}
        for number, ask in asks.items():
            alike.setdefault((ask.statement, ask.rows), []).append(number)
        for (statement, _), numbers in alike.items():
            together = [asks[number] for number in numbers]
            for number, rows in zip(numbers, fetch_many(db, statement, together), strict=True):
                go_on(number, rows)
    return outcomes


def fetch_many(db: Database, statement: Select[Any], asks: Sequence[Ask]) -> list[list[Any]]:
    """Give the rows, or the records, of a statement for many; by the database's own short way where it has one."""
    short_way = getattr(db, "fetch_many", None)
    if short_way is None or len(asks) == 1:
        return [run(db, ask) for ask in asks]
    if asks[0].rows and all(
        ask.parameters == asks[0].parameters for ask in asks
    ):  # such as how many of a type there are
        return [run(db, asks[0])] * len(asks)
    found: list[list[Any]] = short_way(statement, [ask.parameters for ask in asks], rows=asks[0].rows)
    return found
