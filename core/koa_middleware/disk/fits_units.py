"""The units of a FITS file, each a header with its data, read in one pass: whether all is there and as it was written.

Lengths are those of FITS Standard 4.0, sections 4.4.1 and 6.1, equations 1, 2 and 4; DATASUM and CHECKSUM those of
section 4.4.2.7 and appendix J.
"""

from __future__ import annotations

import io
import math
import re
from typing import IO, TYPE_CHECKING

from .compression import beginning_of
from .fits import read_header

if TYPE_CHECKING:
    from astropy.io.fits import Header

_BLOCK = 2880
_AT_ONCE = 360 * _BLOCK
_LONGEST_HEADER = 100_000 * _BLOCK
_ONES = 0xFFFFFFFF
_MOST_BYTES = 2**63
"""As many as a file's position can tell."""
_END = b"END".ljust(8)
_SAYING = re.compile(rb"(NAXIS\d*|BITPIX|[PG]COUNT|GROUPS|DATASUM|CHECKSUM)", re.IGNORECASE)
"""Keywords of lengths and sums."""


def fault_of_fits(stream: IO[bytes], size: int | None) -> str:
    """Say how a FITS file is damaged; empty where it is whole.

    Parameters
    ----------
    stream : binary file
        At its beginning.
    size : int or None
        Bytes, where they are known; then data of which nobody wrote a sum are passed over.

    Raises
    ------
    ValueError
        When it is no FITS file.
    """
    end = number = 0
    while (block := stream.read(_BLOCK))[:8] == (b"XTENSION" if number else b"SIMPLE  "):
        cards = _header_from(block, stream)
        header = read_header(io.BytesIO(_saying(cards)))
        length = -(-_data_bytes(header) // _BLOCK) * _BLOCK
        said = {name: str(header.get(name, "")).strip() for name in ("DATASUM", "CHECKSUM")}
        end += len(cards) + length
        if size is None or any(said.values()):
            came, data_sum = _sum(stream, length)
        else:
            came, data_sum = min(length, size - end + length), 0
            stream.seek(came, io.SEEK_CUR)
        if came < length:
            return f"it is cut short: {end - length + came} bytes of the {end} that its headers announce"
        if wrong := _wrong_sum(said, cards, data_sum):
            return f"{f'its extension {number}' if number else 'its primary unit'} is not what its {wrong} says"
        number += 1
    if not number:
        raise ValueError(f"it {beginning_of(block)}")
    extra = len(block) + _sum(stream, None)[0]
    return f"{extra} extra bytes follow its last complete extension, which ends at byte {end}" if extra else ""


def _header_from(block: bytes, stream: IO[bytes]) -> bytes:
    """Give the blocks of a header from its first one to that of its END, or to the end of the file."""
    blocks = [block]
    while not any(block[start : start + 8] == _END for start in range(0, len(block), 80)):
        block = stream.read(_BLOCK)
        blocks.append(block)
        if not block or len(blocks) * _BLOCK > _LONGEST_HEADER:
            break
    return b"".join(blocks)


def _saying(cards: bytes) -> bytes:
    """Give of a header the cards of lengths and sums: to read them all takes ten times as long.

    One without an END is given as it is.
    """
    kept: list[bytes] = []
    for start in range(0, len(cards), 80):
        card = cards[start : start + 80]
        if card[:8] == _END:
            return b"".join([*kept, card]).ljust(-(-80 * (len(kept) + 1) // _BLOCK) * _BLOCK)
        if _SAYING.fullmatch(card[:8].partition(b"=")[0].strip()):
            kept.append(card)
    return cards


def _data_bytes(header: Header) -> int:
    """Give the length of a unit's data, without what fills its last block."""
    axes = int(header["NAXIS"])
    if not 0 <= axes <= 999:
        raise ValueError(f"NAXIS is {axes}")
    sizes = [int(header[f"NAXIS{axis}"]) for axis in range(1, axes + 1)]
    if sizes and sizes[0] == 0 and header.get("GROUPS", False):
        sizes = sizes[1:]
    bits = abs(int(header["BITPIX"])) * int(header.get("GCOUNT", 1))
    data = bits // 8 * (int(header.get("PCOUNT", 0)) + math.prod(sizes)) if axes else 0
    if min(sizes, default=0) < 0 or data < 0:
        raise ValueError("an axis has a negative length")
    if data >= _MOST_BYTES:
        raise ValueError("its axes are longer than any file can be")
    return data


def _sum(stream: IO[bytes], length: int | None) -> tuple[int, int]:
    """Read so many bytes, or all that are left: how many came, and their sum."""
    came = total = 0
    while piece := stream.read(_AT_ONCE if length is None else min(_AT_ONCE, length - came)):
        came += len(piece)
        total = _added(total, piece)
    return came, total


def _added(total: int, piece: bytes) -> int:
    """Add words of 32 bits in ones' complement."""
    import numpy as np

    words = np.frombuffer(piece.ljust(-(-len(piece) // 4) * 4, b"\0"), ">u4")
    return (total + int(words.sum(dtype=np.uint64))) % _ONES


def _wrong_sum(said: dict[str, str], cards: bytes, data_sum: int) -> str:
    """Give the keyword whose sum is not that of the unit; empty where none disagrees."""
    if said["DATASUM"] and int(said["DATASUM"]) % _ONES != data_sum:
        return "DATASUM"
    return "CHECKSUM" if said["CHECKSUM"] and _added(data_sum, cards) else ""
