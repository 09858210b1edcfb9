"""What those ask who follow an archive: its state, its feed, its rows, its history; each answer is of one state."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field

from ...remote.http.problems import BEHIND, GONE
from ...remote.http.wire import CLOCK, MOST, NOTHING, WORTH, Columns, same_etag
from ...remote.origin import Told, View
from ...remote.protocol import Mark
from ...remote.standing import Facts
from ..auth import worth_of
from ..errors import ProblemError, problems
from ..json_answers import sent
from ..limits import accepts
from ..served import Served, served
from ..state_cache import Archive
from . import bodies

router = APIRouter(prefix="/api/v1/{instrument}", tags=["following"])

_LAST = (1 << 63) - 1
#: Bytes of a list of ids.
_LARGEST = 1 << 24
#: Seconds after which a server that is behind is asked again.
_BEHIND_S = 1

Number = Annotated[int, Query(ge=0, le=_LAST)]
Limit = Annotated[int, Query(ge=1, le=MOST, description="Rows or entries, at most.")]
Token = Annotated[str, Query(max_length=100, pattern=r"^[!-~]*$", description="Of that entry; empty for 0.")]
AtLeast = Annotated[
    str | None,
    Query(
        pattern=r"^[0-9]{1,18}\.[!-~]{1,100}$",
        description="Number and token of an entry, NUMBER.TOKEN, that the archive must have in this answer's state.",
    ),
]


async def archive_of(request: Request, found: Annotated[Served, Depends(served)]) -> Archive:
    """Give the archive of an instrument; a dependency of the routes here."""
    archives: dict[str, Archive] = request.app.state.archives
    return archives.setdefault(found.plugin.name, Archive(found.remote))


OfArchive = Annotated[Archive, Depends(archive_of)]


#: Headers of a state's answer, for OpenAPI.
_TOLD = {
    CLOCK: {"description": "Up to when it shows what happened, UTC.", "schema": {"type": "string"}},
    WORTH: {
        "description": f"Scopes of the token that was sent, or {NOTHING} where it does not hold for this instrument.",
        "schema": {"type": "string"},
    },
}


@router.get(
    "/state",
    summary="How the archive stands",
    responses={
        200: {"model": bodies.State, "headers": _TOLD},
        304: {"description": "As the ETag tells."},
        **problems(404, 422, 503),
    },
    response_model=None,
)
async def state(
    request: Request,
    archive: OfArchive,
    ask: Annotated[list[Number], Query(max_length=16, description="Entries whose tokens are told.")] = [],  # noqa: B006
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """Tell the feed's newest entry, and what a client has to know before it follows.

    Without `ask` the answer has an ETag, and is the same for all; it may be 0.2 s old. The header Koa-Clock tells up to
    when it shows what happened, Koa-Token what the token of the request allows, where it has one.
    """
    worth = worth_of(request)
    if ask:
        facts, columns = await run_in_threadpool(archive.facts, ask)
        body = {**columns.state(facts), "tokens": {str(n): token for n, token in facts.tokens.items()}}
        return sent(request, body, {**_clock(facts.clock), **worth})
    said = await archive.said()
    headers = {"ETag": said.etag, "Cache-Control": "no-cache", **_clock(said.clock), **worth}
    if if_none_match and any(same_etag(each, said.etag) for each in if_none_match.split(",")):
        return Response(status_code=304, headers=headers)
    return Response(said.content, headers=headers, media_type="application/json")


@router.get(
    "/changes",
    summary="The feed after an entry",
    responses={200: {"model": bodies.Changes}, **problems(404, 410, 422, 503)},
    response_model=None,
)
def changes(
    request: Request, archive: OfArchive, after: Number, limit: Limit, token: Token = "", at_least: AtLeast = None
) -> Response:
    """Give the first entries after one, with the present rows of their records and the versions that they ended.

    410: the archive does not have the entry, and the client reads everything. 503: the server is a standby that has not
    come as far; the client asks again.
    """
    with _view(archive, [Mark(after, token)] if after else [], at_least) as (view, columns):
        told = view.changes(after, limit)
        more = {**columns.batch(told.batch), "is_complete": told.is_complete}
        return sent(request, {**_told(view, columns, told), "after": after, **more})


@router.get(
    "/records",
    summary="All rows, in the order of their ids",
    responses={200: {"model": bodies.Records}, **problems(404, 410, 422, 503)},
    response_model=None,
)
def records(
    request: Request,
    archive: OfArchive,
    limit: Limit,
    after: Annotated[str, Query(max_length=8000, pattern=r"^[^\x00]*$", description="An id.")] = "",
    at_least: AtLeast = None,
) -> Response:
    """Give the first rows after an id."""
    with _view(archive, [], at_least) as (view, columns):
        batch = view.rows(after, limit)
        is_last = len(batch.rows) + len(batch.odd) < limit
        of = {"view": columns.view(view.facts), "columns": columns.names, "after": after, "is_last": is_last}
        return sent(request, {**of, **columns.batch(batch)})


@router.get(
    "/history",
    summary="The feed, with the versions that its entries ended",
    responses={200: {"model": bodies.History}, **problems(404, 410, 422, 503)},
    response_model=None,
)
def history(
    request: Request,
    archive: OfArchive,
    after: Number,
    limit: Limit,
    until: Number = _LAST,
    at_least: AtLeast = None,
) -> Response:
    """Give the first entries after a number and up to another, without rows."""
    with _view(archive, [], at_least) as (view, columns):
        told = view.history(after, until, limit)
        is_last = len(told.entries) < limit
        return sent(request, {**_told(view, columns, told), "after": after, "is_last": is_last})


class Lookup(BaseModel):
    """Ids, and entries whose tokens are told."""

    ids: list[Annotated[str, Field(max_length=8000, pattern=r"^[^\x00]*$")]] = Field(max_length=MOST)
    ask: list[Annotated[int, Field(ge=0, le=_LAST)]] = Field(default=[], max_length=16)


@router.post(
    "/records/lookup",
    summary="What the archive has of some ids",
    responses={200: {"model": bodies.Found}, **problems(404, 410, 422, 503)},
    response_model=None,
)
@accepts(_LARGEST)
def lookup(request: Request, archive: OfArchive, asked: Lookup, at_least: AtLeast = None) -> Response:
    """Give rows of some ids, all that the feed tells of them, and the archive's state, in one view."""
    with _view(archive, [], at_least, asked.ask) as (view, columns):
        told = view.lookup(asked.ids)
        body = _told(view, columns, told)
        del body["view"]
        tokens = {str(n): token for n, token in view.facts.tokens.items()}
        of = {"state": {**columns.state(view.facts), "tokens": tokens}, "clock": view.facts.clock}
        return sent(request, {**of, **body, **columns.batch(told.batch)})


@contextmanager
def _view(
    archive: Archive, marks: Sequence[Mark], at_least: str | None, asked: Sequence[int] = ()
) -> Iterator[tuple[View, Columns]]:
    """Give a view that has some entries.

    Raises
    ------
    ProblemError
        503 where the server is a standby that has not come as far, 410 where the archive has other entries.
    """
    if at_least is not None:
        n, _, token = at_least.partition(".")
        marks = [*marks, Mark(int(n), token)]
    with archive.opened() as (views, others), views.view([*asked, *(mark.n for mark in marks)]) as view:
        for mark in marks:
            _check_there(view.facts, mark)
        yield view, archive.columns(view.facts, others)


def _check_there(facts: Facts, mark: Mark) -> None:
    newest = facts.newest
    if newest is not None and facts.tokens.get(mark.n) == mark.token:
        return
    if facts.standby and (newest is None or mark.n > newest.n):
        n = 0 if newest is None else newest.n
        said = f"This server's newest change has the number {n}, and the change {mark.n} was asked for."
        headers = {"Retry-After": str(_BEHIND_S)}
        raise ProblemError(
            503, BEHIND, "Server behind", said, "Ask again, or another server.", headers=headers, newest=newest
        )
    said = f"The archive's feed does not have the change {mark.n} that was asked for."
    raise ProblemError(410, GONE, "Change not in the feed", said, "Read the state, and everything anew.")


def _told(view: View, columns: Columns, told: Told) -> dict[str, Any]:
    return {
        "view": columns.view(view.facts),
        "columns": columns.names,
        "entries": told.entries,
        "former": columns.former(told.former),
    }


def _clock(clock: str | None) -> dict[str, str]:
    return {CLOCK: clock} if clock else {}
