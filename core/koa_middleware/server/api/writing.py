"""Publishing, flagging, and uploads: what those write who have a token for it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Annotated, Any, TypeVar, cast

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Depends, Header, Path, Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel

from ...cache.folder import Cache
from ...cache.placing import Holdings
from ...remote import protocol
from ...remote.protocol import Values
from ...remote.writable import Asked, WritableRemote
from ..auth import Caller, may
from ..errors import ProblemError, problems
from ..limits import accepts
from ..placing import Placing
from ..publications import (
    LARGEST_REQUEST,
    Coming,
    Digits,
    Judged,
    Missing,
    Placed,
    Plan,
    Published,
    Question,
    Sent,
    Settled,
    Text,
    ToJudge,
    ToPlace,
    ToPublish,
    changed,
    here_of,
    judgements_of,
    rows_of,
)
from ..served import Served, served
from ..uploads import LARGEST, Uploads

T = TypeVar("T")

#: Requests that are worked on at once, besides publications; others wait without a thread, which readers need.
_AT_ONCE = 4

publisher, judge = may("publish"), may("flag")


class _AskedFirst(APIRoute):
    """A route that looks at the token before the body is read, which may be large."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Give what answers a request."""
        answer = super().get_route_handler()

        async def asked_first(request: Request) -> Response:
            await publisher(request, None)
            return await answer(request)

        return asked_first


_DECLARED = problems(401, 403, 404, 409, 413, 422, 502, 503, 507)
router = APIRouter(prefix="/api/v1/{instrument}", tags=["writing"], responses=_DECLARED, route_class=_AskedFirst)
flags = APIRouter()

#: The body of an upload, which no model describes.
_BYTES = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}

Key = Annotated[
    str,
    Header(
        alias="Idempotency-Key",
        pattern="^[!-~]{8,100}$",
        description="The same each time that a request is asked again; kept for a week.",
    ),
]


class _Desk:
    """What all requests that write share.

    Parameters
    ----------
    app
        The application.
    """

    def __init__(self, app: Any) -> None:
        self._turns = CapacityLimiter(_AT_ONCE)
        all_served: dict[str, Served] = app.state.served
        roots = {each.store.cache_dir for each in all_served.values()}
        self._uploads = {root: Uploads(Cache(root)) for root in roots}
        self._queues = {name: CapacityLimiter(1) for name in all_served}

    @classmethod
    def of(cls, request: Request) -> _Desk:
        """Give the one of the application."""
        state = request.app.state
        if not hasattr(state, "writing_desk"):
            state.writing_desk = cls(request.app)
        return cast(_Desk, state.writing_desk)

    def uploads(self, one: Served) -> Uploads:
        """Give the uploads to an instrument's cache."""
        return self._uploads[one.store.cache_dir]

    async def in_turn(self, work: Callable[..., T], *arguments: Any) -> T:
        """Do blocking work in a thread, when there is one for it."""
        return await to_thread.run_sync(partial(work, *arguments), limiter=self._turns)

    async def in_queue(self, one: Served, work: Callable[..., T], *arguments: Any) -> T:
        """Do what publishers of an instrument do one after the other, as the archive makes them."""
        return await to_thread.run_sync(partial(work, one, *arguments), limiter=self._queues[one.plugin.name])


def writable(one: Annotated[Served, Depends(served)]) -> Served:
    """Give what is served where it can be written to; a dependency.

    Raises
    ------
    ProblemError
        403.
    """
    if not one.is_writable:
        said = f"This server serves {one.plugin.name} for reading only."
        hint = "Register and flag with koa-cal in the folder that it serves; nothing was changed."
        raise ProblemError(403, "read-only", "The archive is read only", said, hint)
    return one


Writable = Annotated[Served, Depends(writable)]
Publisher = Annotated[Caller, Depends(publisher)]
Desk = Annotated[_Desk, Depends(_Desk.of)]


@router.put(
    "/uploads/{digits}",
    status_code=201,
    response_class=Response,
    summary="Bring a file that is to be published",
    openapi_extra=_BYTES,
)
@accepts(LARGEST)
async def upload(digits: Annotated[Digits, Path()], one: Writable, _: Publisher, desk: Desk, request: Request) -> None:
    """Take a file in under the digits of its sha256, as which nobody sees it; it stays for a day."""
    said = request.headers.get("content-length", "")
    if not said.isdecimal():
        raise ProblemError(
            411, "length-required", "No length", "An upload has to say its length.", "Send Content-Length."
        )
    await desk.uploads(one).receive(digits, int(said), request.stream())


@router.post("/uploads", summary="Ask which files have yet to come")
@accepts(LARGEST_REQUEST)
async def missing(sent: Coming, one: Writable, _: Publisher, desk: Desk) -> Missing:
    """Tell which files are not here yet, and that there is room for them."""
    sizes = {each.digits: each.size for each in sent.files}
    return Missing(missing=await desk.in_turn(desk.uploads(one).missing, sizes))


@router.post("/placements", summary="Give uploads to records that are published already")
@accepts(LARGEST_REQUEST)
async def place(sent: ToPlace, one: Writable, _: Publisher, desk: Desk) -> Placed:
    """Give uploads their records' names; tells of which records the files are here."""
    return await desk.in_queue(one, _place, sent)


@router.post("/publications/plan", summary="Ask what a publication would give")
@accepts(LARGEST_REQUEST)
async def plan(sent: Sent, one: Writable, _: Publisher, desk: Desk) -> Plan:
    """Tell the names and versions that records would get; nothing is changed."""
    return await desk.in_turn(_plan, one, sent)


@router.post("/publications", summary="Publish records, all or none")
@accepts(LARGEST_REQUEST)
async def publish(sent: ToPublish, one: Writable, caller: Publisher, desk: Desk, key: Key) -> Published:
    """Take records in, with what was said of their quality."""
    return await desk.in_queue(one, _publish, sent, _asked(key, one, caller, "publish", sent), caller.name)


@flags.post("/records/{id:path}/judgements", summary="Judge a record's quality")
async def flag(
    id: Text, sent: ToJudge, one: Writable, caller: Annotated[Caller, Depends(judge)], desk: Desk, key: Key
) -> Judged:
    """Set a record's quality, and keep who did it and why."""
    asked = _asked(key, one, caller, f"judge {id}", sent)
    found = await desk.in_turn(_remote(one).flag_once, asked, id, sent.quality, sent.reason, caller.name)
    return Judged(entries=list(found.entries), newest=found.newest)


router.include_router(flags)


def _remote(one: Served) -> WritableRemote[Any]:
    return cast(WritableRemote[Any], one.remote)


def _holdings(one: Served) -> Holdings[Any]:
    return Holdings(Cache(one.store.cache_dir), one.store.local_db)


def _asked(key: str, one: Served, caller: Caller, what: str, sent: BaseModel) -> Asked:
    said = json.dumps([one.plugin.name, caller.name, what, sent.model_dump()], sort_keys=True)
    return Asked(key, hashlib.sha256(said.encode(errors="surrogatepass")).hexdigest())


def _plan(one: Served, sent: Sent) -> Plan:
    asked: list[Question] = []

    def ask(filename: str, checksum: str) -> bool:
        asked.append(Question(filename=filename, checksum=checksum))
        return True

    settled = _remote(one).plan(rows_of(one.plugin.ORM, sent), here_of(sent, ask))
    return Plan(rows=list(map(_settled, settled)), asked=asked)


def _publish(one: Served, sent: ToPublish, asked: Asked, who: str) -> Published:
    placing = Placing(_holdings(one))

    def place(files: Any) -> None:
        new: dict[str, Values] = {row["id"]: row for _, row in files}
        for id_, row in new.items():
            planned = sent.planned.get(id_)
            if planned is None or (planned.filename, planned.cal_version) != (row["filename"], row["cal_version"]):
                raise changed(f"The record {id_} would get the name {row['filename']} by now.")
        missing = placing.place({id_: digits for id_, digits in sent.files.items() if id_ in new}, new)
        if missing:
            raise changed(f"The file of {new[missing[0]]['filename']} is not here any more.")

    def unknown(filename: str, checksum: str) -> bool:
        raise changed(f"Whether the file {filename} has the checksum {checksum} has to be asked first.")

    with placing.undone_on_failure():
        found = _remote(one).publish_once(
            asked, rows_of(one.plugin.ORM, sent), judgements_of(sent), place, here_of(sent, unknown), who
        )
    return Published(rows=list(map(_settled, found.settled)), newest=found.newest)


def _place(one: Served, sent: ToPlace) -> Placed:
    placing = Placing(_holdings(one))
    here: list[str] = []

    def place(rows: Any) -> None:
        known = {row["id"]: row for row in rows}
        files = {id_: digits for id_, digits in sent.files.items() if id_ in known}
        missing = placing.place(files, known)
        here.extend(id_ for id_ in files if id_ not in missing)

    _remote(one).with_rows(list(sent.files), place)
    return Placed(here=here)


def _settled(found: protocol.Settled) -> Settled:
    row, is_new = found
    return Settled(id=str(row["id"]), filename=row["filename"], cal_version=str(row["cal_version"]), is_new=is_new)
