"""What an archive says of itself, kept for a moment, so that many who ask cost its database one question."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from fastapi.concurrency import run_in_threadpool

from ..exceptions import KoaMiddlewareError
from ..remote.http.wire import Columns, etag_of
from ..remote.origin import Origin, Views
from ..remote.others import Others, with_others
from ..remote.standing import Facts

#: Seconds for which an answer is given again.
KEEP_S = 0.2


class Said(NamedTuple):
    """What an archive said of itself.

    Attributes
    ----------
    content : bytes
        As JSON, without the clock.
    etag : str
    clock : str or None
    """

    content: bytes
    etag: str
    clock: str | None


class Archive:
    """An instrument's archive, as its routes ask it.

    Parameters
    ----------
    remote : Origin
    """

    def __init__(self, remote: Origin[Any]) -> None:
        self._remote = remote
        self._others: Others = ()
        self._others_of: tuple[str, dict[str, str]] | None = None
        self._said: Said | KoaMiddlewareError | None = None
        self._asked_at = 0.0
        self._lock = asyncio.Lock()

    async def said(self) -> Said:
        """Give what the archive says of itself, no older than `KEEP_S`; one question at a time asks it."""
        wanted = time.monotonic() - KEEP_S
        while self._said is None or self._asked_at < wanted:
            async with self._lock:
                if self._said is not None and self._asked_at >= wanted:
                    break
                asked_at = time.monotonic()
                self._said = await run_in_threadpool(self._ask)
                self._asked_at = asked_at
        if isinstance(self._said, KoaMiddlewareError):
            raise self._said.with_traceback(None)
        return self._said

    def _ask(self) -> Said | KoaMiddlewareError:
        """Ask; an error is kept as an answer is, so that those who wait learn of it at once."""
        try:
            facts, columns = self.facts(())
        except KoaMiddlewareError as error:
            return error
        state = columns.state(facts)
        return Said(json.dumps(state).encode(), etag_of(state), facts.clock)

    def facts(self, asked: Collection[int]) -> tuple[Facts, Columns]:
        """Ask what the archive says of itself, and for the tokens of some entries.

        The columns of other versions are looked for where its columns have changed.
        """
        with self.opened() as (views, others):
            facts = views.facts(asked)
            of = facts.made, dict(facts.stored)
            if of == self._others_of:
                return facts, self.columns(facts, others)
            self._others, self._others_of = views.others(), of
        return self.facts(asked)

    @contextmanager
    def opened(self) -> Iterator[tuple[Views, Others]]:
        """Open a connection, for rows with the columns of all known versions of the class; these others are given."""
        others = self._others
        with self._remote.viewed(others) as views:
            yield views, others

    def columns(self, facts: Facts, others: Others) -> Columns:
        """Give the columns of the rows that come of a view."""
        orm_class = self._remote.orm_class
        return Columns(orm_class, with_others(orm_class.table(), others), others, facts.names)
