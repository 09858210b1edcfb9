"""The archive's files, whole or from where a download stopped."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends, Header, Request, Response
from fastapi.concurrency import run_in_threadpool

from ...disk.checksums import Checksum
from ...disk.names import check_filename
from ...exceptions import CalibrationNotFoundError
from ...instrument.orm import ORMCalibration
from ..auth import may
from ..elsewhere import address_elsewhere
from ..errors import ProblemError, problems
from ..file_sending import SentFile
from ..ranges import Part, is_known, part_asked
from ..served import Served, served
from ..sound_files import Opened, SoundFiles, Spoilt

#: What files are, by the ends of their names; all others are bytes. None is ever shown as a page.
KINDS = {
    ".fits": "application/fits",
    ".fit": "application/fits",
    ".fts": "application/fits",
    ".fz": "application/fits",
    ".gz": "application/gzip",
    ".csv": "text/csv",
    ".json": "application/json",
    ".txt": "text/plain",
}
_BYTES = "application/octet-stream"

#: Seconds after which a server is asked again for a file that has to be mended there.
_MENDED_AFTER_S = 600
#: Seconds for which what a server sent may be given again without asking it.
_KEPT_S = 60

_CONTENT = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in [*KINDS.values(), _BYTES]}

router = APIRouter(prefix="/api/v1/{instrument}", tags=["files"])


async def files_of(instrument: str, request: Request) -> SoundFiles:
    """Give an instrument's files; a dependency of routes below it, once it is known."""
    found: Mapping[str, SoundFiles] = request.app.state.files
    return found[instrument]


@router.get(
    "/files/{filename}",
    summary="A calibration's file",
    dependencies=[Depends(may("read"))],
    response_class=Response,
    responses={
        200: {"description": "The file", "content": _CONTENT},
        206: {"description": "The part of it that Range asks for", "content": _CONTENT},
        304: {"description": "The client has it", "content": {}},
        307: {"description": "It is elsewhere: at an address that can be used for minutes", "content": {}},
        **problems(401, 403, 404, 416, 422, 502, 503),
    },
)
@router.head("/files/{filename}", include_in_schema=False, dependencies=[Depends(may("read"))])
async def file(
    filename: str,
    request: Request,
    served: Annotated[Served, Depends(served)],
    files: Annotated[SoundFiles, Depends(files_of)],
    range_: Annotated[str | None, Header(alias="Range", description="One range of bytes; several get all.")] = None,
    if_range: Annotated[str | None, Header(description="An ETag; a part is sent only of what it stands for.")] = None,
    if_none_match: Annotated[str | None, Header(description="ETags of what the client has.")] = None,
) -> Response:
    """Give a calibration's file by its name: only content of the recorded checksum, which is the ETag."""
    record = await run_in_threadpool(_record, served, check_filename(filename))
    headers = _headers(record, is_private=request.app.state.options.is_private)
    if "etag" in headers and is_known(if_none_match, headers["etag"]):
        return Response(status_code=304, headers={name: headers[name] for name in ("etag", "cache-control")})
    found = await files.open(record)
    if not isinstance(found, Opened):
        return await run_in_threadpool(_elsewhere, served, record, found)
    if request.method == "HEAD":
        found.stream.close()
        return Response(headers={**headers, "content-length": str(found.signature.size)})
    size = found.signature.size
    part = part_asked(range_, if_range, headers.get("etag", ""), size)
    if part is None:
        return SentFile(found, Part(0, size), 200, headers)
    if part.start == part.stop:
        found.stream.close()
        raise _no_such_part(record.filename, size)
    return SentFile(found, part, 206, {**headers, "content-range": f"bytes {part.start}-{part.stop - 1}/{size}"})


def _record(served: Served, filename: str) -> ORMCalibration:
    """Give the record of a name as the cache has it, which may follow an archive; else as the archive has it."""
    copy = served.store.local_db
    for database in (copy, served.remote.database) if served.is_writable else (copy,):
        with suppress(CalibrationNotFoundError):
            record: ORMCalibration = database.query_by_filename(filename)
            is_its_own = database is copy and served.is_writable and record.origin == "LOCAL"
            if record.filename == filename and not is_its_own:
                return record
    said = f"{served.plugin.name} has no file {filename!r}."
    raise ProblemError(404, "unknown-file", "No such file", said, "Sync: it may have been withdrawn.")


def _headers(record: ORMCalibration, *, is_private: bool) -> dict[str, str]:
    name = record.filename
    headers = {
        "accept-ranges": "bytes",
        "cache-control": f"{'private' if is_private else 'public'}, max-age={_KEPT_S}, no-transform",
        "content-disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}",
        "content-type": next((kind for end, kind in KINDS.items() if name.lower().endswith(end)), _BYTES),
    }
    with suppress(ValueError):  # which the look at the file tells
        headers["etag"] = f'"{Checksum.parse(record.checksum or "")}"'
    return headers


def _elsewhere(served: Served, record: ORMCalibration, found: Spoilt | None) -> Response:
    address = address_elsewhere(served, record)
    if address is not None:
        headers = {"location": address, "cache-control": "no-store"}
        return Response(status_code=307, headers=headers)
    if found is None:
        said = f"The file {record.filename} is not on this server."
        raise ProblemError(404, "file-not-here", "File not here", said, "Ask whoever runs the server for it.")
    said = f"The server's copy of {record.filename} is not what its record says: {found.fault}."
    hint = "It is not sent; whoever runs the server mends it with koa-cal verify --repair."
    wait = {"retry-after": str(_MENDED_AFTER_S)}
    raise ProblemError(503, "spoilt-file", "File spoilt", said, hint, headers=wait)


def _no_such_part(name: str, size: int) -> ProblemError:
    said = f"{name} has {size} bytes, and none of those that the header Range asks for."
    headers = {"content-range": f"bytes */{size}"}
    return ProblemError(416, "no-such-part", "No such part", said, "Ask for all of it.", headers=headers)
