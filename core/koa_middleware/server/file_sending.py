"""A file on its way to a client, in bounded memory."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from fastapi.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from ..disk.checksums import Signature
from ..exceptions import IntegrityError
from .ranges import Part
from .sound_files import Opened

#: Bytes that are read and sent at once.
PIECE = 1 << 18


class SentFile(StreamingResponse):
    """A part of an opened file, which is closed at the end, whatever that is.

    Where the file is changed meanwhile the answer breaks off, so that nobody takes it for whole.

    Parameters
    ----------
    opened : Opened
    part : Part
    status : int
    headers : mapping
    """

    def __init__(self, opened: Opened, part: Part, status: int, headers: Mapping[str, str]) -> None:
        self._opened = opened
        length = {"content-length": str(part.stop - part.start)}
        super().__init__(self._pieces(part), status, {**headers, **length})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._opened.stream.close()

    async def _pieces(self, part: Part) -> AsyncIterator[bytes]:
        left = part.stop - part.start
        self._opened.stream.seek(part.start)
        while left:
            piece = await run_in_threadpool(self._opened.stream.read, min(left, PIECE))
            left -= len(piece)
            if not piece or (not left and self._has_changed()):
                path = Path(self._opened.stream.name)
                said = f"{path} changed while it was sent."
                raise IntegrityError(said, "It is judged anew when it is asked for again.", path=path)
            yield piece

    def _has_changed(self) -> bool:
        return Signature.of_status(os.fstat(self._opened.stream.fileno())) != self._opened.signature
