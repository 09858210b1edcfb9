"""JSON answers, compressed where the client takes that."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from typing import Any

from fastapi import Request, Response

_MEDIA_TYPE = "application/json"
#: Bytes from which an answer is compressed, and how hard; harder takes the time of many answers.
_LARGE, _LEVEL = 1000, 4


def sent(request: Request, body: Any, headers: Mapping[str, str] | None = None) -> Response:
    """Give an answer that nobody keeps; to be called where it may take its time."""
    content = json.dumps(body, allow_nan=False, separators=(",", ":")).encode()
    more = {"Cache-Control": "no-store", "Vary": "Accept-Encoding", **(headers or {})}
    if len(content) >= _LARGE and "gzip" in request.headers.get("accept-encoding", ""):
        content, more["Content-Encoding"] = gzip.compress(content, _LEVEL, mtime=0), "gzip"
    return Response(content, headers=more, media_type=_MEDIA_TYPE)
