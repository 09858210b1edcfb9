"""Rows in the pages of an SQLite file that SQLite itself no longer reads.

The format is that of sqlite.org/fileformat2.html, sections 1.6 (pages and cells) and 2.1 (records).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

_LEAF_OF_TABLE = 0x0D
_USUAL_SIZE = 4096
_HEADER = 100
_INTEGER_BYTES = (0, 1, 2, 3, 4, 6, 8)
_FLOAT = 7


def rows_in(content: bytes) -> Iterator[tuple[int, list[Any]]]:
    """Give row number and values of each row in the pages of a database, of whatever table; what is spoilt is left out.

    Rows may be among them that were deleted or changed since, in pages that nobody uses any more.
    """
    size = _page_size(content)
    for start in range(0, len(content), size):
        page = content[start : start + size]
        begin = 0 if start else _HEADER
        if len(page) < begin + 8 or page[begin] != _LEAF_OF_TABLE:
            continue
        cells = int.from_bytes(page[begin + 3 : begin + 5], "big")
        for place in range(begin + 8, min(begin + 8 + 2 * cells, len(page) - 1), 2):
            try:
                yield _row(content, size, page, int.from_bytes(page[place : place + 2], "big"))
            except (ValueError, IndexError, struct.error):  # UnicodeDecodeError is a ValueError
                continue


def _page_size(content: bytes) -> int:
    said = int.from_bytes(content[16:18], "big")
    said = 65536 if said == 1 else said
    return said if said in {1 << power for power in range(9, 17)} else _USUAL_SIZE


def _row(content: bytes, size: int, page: bytes, at: int) -> tuple[int, list[Any]]:
    length, at = _number(page, at)
    number, at = _number(page, at)
    return number, _values(_payload(content, size, page, at, length))


def _payload(content: bytes, size: int, page: bytes, at: int, length: int) -> bytes:
    """Give a cell's payload, the end of which may stand in other pages."""
    most, least = size - 35, (size - 12) * 32 // 255 - 23
    if length <= most:
        return _exactly(page[at : at + length], length)
    if length > len(content):
        raise ValueError(length)
    here = least + (length - least) % (size - 4)
    here = here if here <= most else least
    pieces = [page[at : at + here]]
    following, missing = int.from_bytes(page[at + here : at + here + 4], "big"), length - here
    while missing > 0:
        start = (following - 1) * size
        piece = content[start + 4 : start + min(size, 4 + missing)] if following else b""
        if not piece:
            raise ValueError(following)
        pieces.append(piece)
        following, missing = int.from_bytes(content[start : start + 4], "big"), missing - len(piece)
    return _exactly(b"".join(pieces), length)


def _values(payload: bytes) -> list[Any]:
    end, at = _number(payload, 0)
    values: list[Any] = []
    body = end
    while at < end:
        kind, at = _number(payload, at)
        value, body = _value(payload, kind, body)
        values.append(value)
    if at != end or body != len(payload):
        raise ValueError(body)
    return values


def _value(payload: bytes, kind: int, at: int) -> tuple[Any, int]:
    """Give the value of a serial type that stands at a place, and where the next one does."""
    if kind >= 12:
        raw = _exactly(payload[at : at + (kind - 12) // 2], (kind - 12) // 2)
        return (raw.decode() if kind % 2 else raw), at + len(raw)
    if kind == _FLOAT:
        return struct.unpack(">d", payload[at : at + 8])[0], at + 8
    if kind in {8, 9}:
        return kind - 8, at
    length = _INTEGER_BYTES[kind]
    raw = _exactly(payload[at : at + length], length)
    return (int.from_bytes(raw, "big", signed=True) if kind else None), at + length


def _number(data: bytes, at: int) -> tuple[int, int]:
    """Give a number of variable length, and where it ends."""
    number = 0
    for place in range(at, at + 8):
        number = number << 7 | data[place] & 0x7F
        if data[place] < 0x80:
            return number, place + 1
    return number << 8 | data[at + 8], at + 9


def _exactly(piece: bytes, length: int) -> bytes:
    if len(piece) != length:
        raise ValueError(length)
    return piece
