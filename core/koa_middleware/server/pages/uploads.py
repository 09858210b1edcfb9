"""Files that are given to a page: their headers are read, and nothing of them is kept."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import IO, Any, NamedTuple
from urllib.parse import urlencode

from fastapi import Request
from fastapi.responses import RedirectResponse
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from ...disk.compression import is_compressed_name
from ...disk.fits_units import headers_of_units
from ...disk.names import check_filename
from ...exceptions import KoaMiddlewareError, SourceFileError
from ...instrument.frames import FileWith, column_values
from ...instrument.orm import ORMCalibration
from ..errors import ProblemError

#: Bytes of a form with all its files; as many forms are read at a time, since what comes stands on the disk meanwhile;
#: and seconds until one must be there, so that nobody keeps others waiting.
MOST_BYTES, AT_ONCE, PATIENCE_S = 200_000_000, 5, 120.0

#: Files of a form.
MOST_FILES = 100

#: Bytes of a compressed file, which is read as a whole.
_MOST_COMPRESSED = 100_000_000

#: Bytes that say whether a file is one of FITS.
_BEGINNING = 2880


class Given(NamedTuple):
    """A file that was given: its name, and its column values or why it cannot be read."""

    name: str
    values: Mapping[str, Any] | KoaMiddlewareError


@asynccontextmanager
async def form_of(request: Request) -> AsyncIterator[FormData]:
    """Give a form with its files, which are gone afterwards.

    Raises
    ------
    ProblemError
        When it is too slow, none, or too many are being read.
    """
    turns: asyncio.Semaphore = request.app.state.uploads
    if turns.locked():
        said = f"{AT_ONCE} uploads are being read, which is as many as this server reads at a time."
        hint = "Send it again in a minute."
        raise ProblemError(503, "busy", "The server is busy", said, hint, headers={"Retry-After": "10"})
    async with turns:
        parser = MultiPartParser(request.headers, request.stream(), max_files=MOST_FILES, max_fields=200)
        try:
            async with asyncio.timeout(PATIENCE_S):
                form = await parser.parse()
        except TimeoutError as error:
            said = f"The files did not come within {PATIENCE_S:.0f} s."
            hint = "Send fewer files, or only the beginning of each, in which its headers stand."
            raise ProblemError(408, "too-slow", "Too slow", said, hint, headers={"Connection": "close"}) from error
        except (MultiPartException, KeyError) as error:
            said = "What was sent is not a form with files, or has too many parts."
            raise ProblemError(400, "form", "Not a form", said, f"Send at most {MOST_FILES} files.") from error
        try:
            yield form
        finally:
            await form.close()


def to_address(items: Sequence[tuple[str, Any]]) -> RedirectResponse:
    """Send a browser to the page whose address has what was typed into a form, so that it can be sent to others."""
    typed = [(name, value) for name, value in items if isinstance(value, str) and value.strip()]
    return RedirectResponse(f"?{urlencode(typed)}", HTTPStatus.SEE_OTHER)


def values_in(files: Sequence[UploadFile], orm_class: type[ORMCalibration], typed: Mapping[str, Any]) -> list[Given]:
    """Read the column values of files as those of frames.

    Parameters
    ----------
    files : sequence of UploadFile
    orm_class : type
    typed : mapping
        Column values in the place of the headers'.
    """
    return [_given(each, orm_class, typed) for each in files]


def _given(file: UploadFile, orm_class: type[ORMCalibration], typed: Mapping[str, Any]) -> Given:
    name = PurePosixPath((file.filename or "").replace("\\", "/")).name
    with TemporaryDirectory(prefix="koa-") as folder:
        try:
            path = Path(folder, check_filename(name))
            _keep_headers(file.file, path)
            return Given(name, column_values(orm_class, FileWith(str(path), typed) if typed else path))
        except KoaMiddlewareError as error:
            error.message = error.message.replace(f"{folder}/", "")
            return Given(name, error)


def _keep_headers(stream: IO[bytes], path: Path) -> None:
    """Write a file that has the headers of another at their places, and no data; a compressed one as it is."""
    stream.seek(0, 2)
    size = stream.tell()
    stream.seek(0)
    if is_compressed_name(path.name) and size > _MOST_COMPRESSED:
        said = f"{path} is compressed and has {size // 1_000_000} MB, and is not read here."
        raise SourceFileError(said, "Uncompress it; then its beginning is enough.", path=path)
    with path.open("wb") as kept:
        if is_compressed_name(path.name):
            shutil.copyfileobj(stream, kept)
            return
        kept.write(stream.read(_BEGINNING))
        stream.seek(0)
        with suppress(ValueError, KeyError, OSError, OverflowError):  # whoever reads the file says what is wrong
            for header in headers_of_units(stream):
                kept.seek(stream.tell() - len(header))
                kept.write(header)
        kept.truncate(size)
