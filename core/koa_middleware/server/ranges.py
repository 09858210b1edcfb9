"""Which part of a file a request asks for (RFC 9110, 13 and 14)."""

from __future__ import annotations

import re
from typing import NamedTuple

_ONE = re.compile(r"bytes=[ \t]*([0-9]{0,18})-([0-9]{0,18})[ \t]*", re.ASCII | re.IGNORECASE)
_TAG = re.compile(r'(?:W/)?("[^"]*")')


class Part(NamedTuple):
    """Bytes of a file, from `start` to before `stop`."""

    start: int
    stop: int


def part_asked(range_: str | None, if_range: str | None, etag: str, size: int) -> Part | None:
    """Give the part that a request asks for; None: all, as is answered to several parts and to what is no range, too.

    Parameters
    ----------
    range_, if_range : str or None
        The headers.
    etag : str
        Of the file, with its quotes; a part is given only of what `if_range` names, never by a date.
    size : int
        Bytes of the file.

    Returns
    -------
    Part or None
        An empty part, ``start == stop``, where the file has no byte of what is asked.
    """
    found = None if range_ is None else _ONE.fullmatch(range_.strip())
    if found is None or if_range not in (None, etag):
        return None
    first, last = found.groups()
    if not first:
        return Part(max(size - int(last), 0), size) if last else None
    start, stop = int(first), int(last) + 1 if last else size
    if last and stop <= start:
        return None
    return Part(start, min(stop, size)) if start < size else Part(size, size)


def is_known(if_none_match: str | None, etag: str) -> bool:
    """Whether the client has what an ETag stands for."""
    if if_none_match is None:
        return False
    return if_none_match.strip() == "*" or etag in _TAG.findall(if_none_match)
