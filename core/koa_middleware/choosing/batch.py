"""Many choices at once: what they ask of the database goes there together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import Select

from ..exceptions import KoaMiddlewareError
from ..instrument.orm import ORMCalibration
from .answering import Ask, Asking
from .asking import asking, run
from .bracket import Bracket
from .considered import Considered, Prepared
from .misses import missing
from .own_methods import check_type, choose, fallen_back, is_programmed, programmed_of
from .programmed import without_collection

if TYPE_CHECKING:
    from .selector import CalibrationSelector, Database

#: Choices that go together; more would only take more memory.
TOGETHER = 8192


class Task(NamedTuple):
    """A frame's column values, and the selector that chooses for them."""

    selector: CalibrationSelector
    values: Mapping[str, Any]


Answer = Any  # a record, a Bracket, or a KoaMiddlewareError


def choose_each(
    tasks: Sequence[Task],
    db: Database,
    *,
    pairs: bool = False,
    own: Mapping[str, ORMCalibration] = MappingProxyType({}),
) -> list[Answer]:
    """Let selectors choose; an error stands in the place of what it is of.

    With `pairs`, a selector whose direction is ``"bracket"`` gives a `Bracket`, else the nearer record of it. What the
    user gave of a type is `own`.
    """
    found: list[Answer] = []
    with without_collection():
        for first in range(0, len(tasks), TOGETHER):
            found += _choose_together(tasks[first : first + TOGETHER], db, pairs, own)
    return found


def _choose_together(
    tasks: Sequence[Task], db: Database, pairs: bool, own: Mapping[str, ORMCalibration]
) -> list[Answer]:
    by_method = {id(task.selector): _is_by_method(task.selector) for task in tasks}
    prepared = Prepared(db.orm_class, own)
    declared = [task for task in tasks if not by_method[id(task.selector)]]
    outcomes = iter(asked_together([asking(*task, db, prepared) for task in declared], db))
    found = [
        _outcome(partial(choose, task.selector, task.values, db))
        if by_method[id(task.selector)]
        else _outcome(partial(_answer, task, next(outcomes), db, pairs))
        for task in tasks
    ]
    without = [
        missing(each, programmed_of(task.selector, each), db)
        for task, each in zip(tasks, found, strict=True)
        if isinstance(each, Considered)
    ]
    errors = iter(asked_together(without, db))
    return [next(errors) if isinstance(each, Considered) else each for each in found]


def _is_by_method(selector: CalibrationSelector) -> bool:
    check_type(selector)
    return is_programmed(selector) or selector._overrides("select")


def _answer(task: Task, considered: Considered | KoaMiddlewareError, db: Database, pairs: bool) -> Answer | Considered:
    """Give the answer to what was considered; that itself where it came to nothing."""
    if isinstance(considered, KoaMiddlewareError):
        raise considered
    considered = fallen_back(task.selector, considered, task.values, db)
    if considered.record is None:
        return considered
    return considered.bracket if pairs and considered.bracket is not None else considered.record


def _outcome(call: Callable[[], Answer]) -> Answer:
    try:
        return call()
    except KoaMiddlewareError as error:
        return error


def in_places(
    frames: Sequence[Mapping[str, Any] | KoaMiddlewareError], choose_for: Callable[[list[Any]], list[Answer]]
) -> list[Answer]:
    """Choose for the frames that could be read; the error of another one stands in its place."""
    answers = iter(choose_for([frame for frame in frames if not isinstance(frame, KoaMiddlewareError)]))
    return [frame if isinstance(frame, KoaMiddlewareError) else next(answers) for frame in frames]


def records_in(answer: Answer) -> list[Any]:
    """Give the records of an answer: one, both of a pair, or none of an error."""
    if isinstance(answer, KoaMiddlewareError):
        return []
    return [each for each in answer if each is not None] if isinstance(answer, Bracket) else [answer]


def asked_together(askings: Sequence[Asking[Any]], db: Database) -> list[Any]:
    """Give what each comes to, or its error; in each round the same statements are asked in one go."""
    outcomes: list[Any] = [None] * len(askings)
    pending: dict[int, Ask] = {}

    def go_on(number: int, rows: Any) -> None:
        try:
            pending[number] = askings[number].send(rows)
        except StopIteration as done:
            outcomes[number] = done.value
        except KoaMiddlewareError as error:
            outcomes[number] = error

    for number in range(len(askings)):
        go_on(number, None)
    while pending:
        asks, pending = pending, {}
        alike: dict[Select[Any], list[int]] = {}
        for number, ask in asks.items():
            alike.setdefault(ask.statement, []).append(number)
        for statement, numbers in alike.items():
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
