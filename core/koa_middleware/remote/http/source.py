"""An archive over HTTP, followed: each answer is of one state, and each next one of the same or a newer one.

Why nothing is lost stands in docs/architecture.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import Table

from ...exceptions import SchemaMismatchError
from ..position import Position, reader_digest
from ..protocol import Batch, Found, Mark, State
from ..standing import asked_by
from .asking import Refused, Reply
from .mapped import Mapped
from .problems import BEHIND, GONE
from .reading import HttpReading, There, at_least_of, newer
from .wire import CLOCK, NOTHING, WORTH, columns_of, entries_of, facts_of, mark_of

if TYPE_CHECKING:
    from .remote import HttpRemote

#: Times that a state is asked for again which is older than what the client has: another server may answer.
_AGAIN_TIMES = 3


class HttpSource:
    """A `koa_middleware.remote.protocol.Source` that asks a server.

    Parameters
    ----------
    remote : HttpRemote
    table : sqlalchemy.Table
        Of the client's class, with the columns of other versions.
    """

    def __init__(self, remote: HttpRemote[Any], table: Table) -> None:
        self.remote = remote
        self.table = table
        self.asking = remote.asking
        self._judged: tuple[str | None, str | None, There] | None = None

    def state(self, since: str | None, seen: str | None) -> State:
        """Tell how the archive stands to a client; nothing but headers comes where nothing is new."""
        known, newest = Position.read(since), Position.read(seen)
        etag, _, reader = known.etag.rpartition(" ") if known else ("", "", "")
        is_whole = known is not None and (newest is None or newest.mark == known.mark)
        is_known = is_whole and reader == reader_digest(self.table)
        reply = self._state(headers={"If-None-Match": etag} if is_known else {})
        if reply.status == 304 and since is not None:
            # Whether the archive keeps a history is not said; who lacks it looks.
            return State(
                since, True, False, clock=reply.headers.get(CLOCK), keeps_history=True, scopes=_scopes_in(reply)
            )
        there = self._there(reply, reply.headers.get("ETag", ""))
        marks = {position.mark for position in (known, newest) if position is not None}
        if marks <= {there.facts.newest}:
            there = replace(there, facts=replace(there.facts, tokens=dict(marks)))
        else:
            there = self._ask(since, seen, there.facts.newest)
        self._judged = since, seen, there
        return replace(there.facts.state(self.table, since, seen), scopes=_scopes_in(reply))

    @contextmanager
    def reading(self, since: str | None, seen: str | None) -> Iterator[HttpReading]:
        """Begin to read."""
        judged, self._judged = self._judged, None
        there = judged[2] if judged is not None and judged[:2] == (since, seen) else self._ask(since, seen)
        if there.mapped.missing:
            raise self._lacks_columns(there.mapped.missing)
        state, newest = there.facts.state(self.table, since, seen), Position.read(seen) or Position.read(since)
        # What the archive has lost is not asked for any more.
        is_there = newest is not None and there.facts.tokens.get(newest.n) == newest.token
        at_least = newest.mark if newest is not None and (is_there or state.behind) else None
        yield HttpReading(self, there, state, newer(at_least, self.remote.at_least))

    def lookup(self, ids: Sequence[str], since: str | None, seen: str | None) -> Found:
        """Give what the archive has of some ids."""
        newest = Position.read(seen)
        at_least = newer(newest.mark if newest else None, self.remote.at_least)
        body = {"ids": list(ids), "ask": asked_by(since, seen)}
        try:
            found = self.asked("records/lookup", at_least_of(at_least), body)
        except Refused as refused:
            if refused.kind == GONE and at_least is not None:
                self.remote.at_least = None  # of a history that the archive has lost
                found = self.asked("records/lookup", [], body)
            elif refused.kind == BEHIND:
                mark = mark_of(refused.body.get("newest")) or Mark(0, "")
                return Found(Batch([]), [], Batch([]), State(since or "", True, True, behind=mark))
            else:
                raise self.asking.unexpected(refused) from None
        with self.asking.understanding():
            there = self._there_of({**found["state"], "clock": found["clock"]})
            batch = there.mapped.batch(found["columns"], found)
            former = there.mapped.former(found["columns"], found["former"])
            state = there.facts.state(self.table, since, seen)
            return Found(batch, entries_of(found["entries"]), former, state)

    def tokens(self, numbers: Sequence[int]) -> Mapping[int, str]:
        """Give the tokens of entries, as far as they are there, by number."""
        return self._there_now(numbers).facts.tokens

    def asked(self, path: str, query: Sequence[tuple[str, object]], body: Any = None) -> dict[str, Any]:
        """Ask for an object; what may be large is posted.

        Raises
        ------
        Refused
        """
        reply = self.asking.get(path, query) if body is None else self.asking.post(path, body, query)
        with self.asking.understanding():
            return _object(reply.body)

    def _ask(self, since: str | None, seen: str | None, told: Mark | None = None) -> There:
        """Ask how the archive stands, again where an answer is older than what the client has or was told of."""
        there = self._there_now(asked_by(since, seen))
        for _ in range(_AGAIN_TIMES):
            is_behind = there.facts.state(self.table, since, seen).behind is not None
            if not is_behind and newer(there.facts.newest, told) == there.facts.newest:
                break
            self.asking.wait_for_another()
            there = self._there_now(asked_by(since, seen))
        return there

    def _there_now(self, numbers: Sequence[int]) -> There:
        return self._there(self._state([("ask", n) for n in numbers or [0]]))

    def _state(self, query: Sequence[tuple[str, object]] = (), headers: Mapping[str, str] | None = None) -> Reply:
        try:
            return self.asking.get("state", query, headers)
        except Refused as refused:
            raise self.asking.unexpected(refused) from None

    def _there(self, reply: Reply, etag: str = "") -> There:
        with self.asking.understanding():
            return self._there_of({**_object(reply.body), "clock": reply.headers.get(CLOCK)}, etag)

    def _there_of(self, state: dict[str, Any], etag: str = "") -> There:
        mapped = Mapped(self.table, columns_of(state))
        return There(facts_of(state, mapped.names, mapped.otherwise, etag), mapped, str(state["shape"]))

    def _lacks_columns(self, missing: tuple[str, ...]) -> SchemaMismatchError:
        table = self.table.name
        return SchemaMismatchError(
            f"The table {table} of {self.remote.name} lacks the column{'s' if len(missing) > 1 else ''} "
            f"{', '.join(missing)}, which the plugin needs.",
            "Install the version of the plugin that the archive's server has; nothing was changed.",
            database=self.remote.host,
            table=table,
            missing=missing,
        )


def _scopes_in(reply: Reply) -> tuple[str, ...] | None:
    """Give what the token that was sent allows; None where the server does not tell."""
    told = reply.headers.get(WORTH)
    return None if told is None else tuple(scope for scope in told.split() if scope != NOTHING)


def _object(found: Any) -> dict[str, Any]:
    """Give an answer that is an object.

    Raises
    ------
    ValueError
    """
    if not isinstance(found, dict):
        raise ValueError("the answer is no object")
    return found
