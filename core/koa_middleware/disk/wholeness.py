"""Whether a file is complete, as far as its kind lets one know."""

from __future__ import annotations

import csv
import gzip
import json
import math
import zlib
from pathlib import Path
from typing import IO

from ..exceptions import SourceFileError
from .compression import is_compressed_name, open_content
from .fits import is_fits_name, read_header, reading_fits
from .reading import check_readable

#: As many as a file's position can tell.
_MOST_BYTES = 2**63


def check_whole(path: Path) -> None:
    """Check that a file is complete, as far as its kind lets one know.

    FITS: its length is the one that its headers say. CSV: text, with the same number of fields in each line.
    JSON: it parses. Compressed files are read to their end. Nothing is known of other kinds but that they aren't empty.

    Raises
    ------
    SourceFileError
        Says what is wrong.
    """
    name = path.name.lower()
    if is_fits_name(name):
        _check_fits(path)
        return
    check_readable(path)
    try:
        with gzip.open(path, "rb") if name.endswith(".gz") else path.open("rb") as stream:
            if name.removesuffix(".gz").endswith(".csv"):
                _check_csv(path, stream.read())
            elif name.removesuffix(".gz").endswith(".json"):
                json.load(stream)
            elif name.endswith(".gz"):
                _length(stream)  # type: ignore[arg-type]
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise _damaged(path, f"its compressed data are damaged or cut short ({error})") from error
    except RecursionError as error:
        raise _damaged(path, "it is nested too deep to be read") from error
    except (ValueError, csv.Error) as error:
        raise _damaged(path, f"its content does not match its name ({error})") from error


def _check_csv(path: Path, content: bytes) -> None:
    text = content.decode("utf-8")
    if "\0" in text or text.lstrip().startswith("<"):
        raise _damaged(path, "it is not a CSV file")
    widths = {len(row) for row in csv.reader(text.splitlines(), strict=True) if row and not row[0].startswith("#")}
    if len(widths) != 1:
        raise _damaged(path, f"its lines have different numbers of fields: {', '.join(map(str, sorted(widths)))}")


def _check_fits(path: Path) -> None:
    check_readable(path)
    with reading_fits(path), open_content(path) as stream:
        found = _length(stream) if is_compressed_name(path.name) else path.stat().st_size
        stream.seek(0)
        expected = 0
        while expected < found:
            start, expected = expected, _end_of_unit(stream, expected)
            if expected == start:
                break
    if found < expected:
        raise _damaged(path, f"it is cut short: {found} bytes of the {expected} that its headers announce")
    if found > expected:
        raise _damaged(
            path, f"{found - expected} extra bytes follow its last complete extension, which ends at byte {expected}"
        )


def _end_of_unit(stream: IO[bytes], start: int) -> int:
    """Give the byte after the header and data that begin at `start`; `start` itself where no header is.

    The size of the data is that of FITS Standard 4.0, sections 4.4.1 and 6.1, equations 1, 2 and 4.
    """
    stream.seek(start)
    first = stream.read(8)
    if first != (b"XTENSION" if start else b"SIMPLE  "):
        if start:
            return start
        raise ValueError(f"it begins with {first!r}")
    stream.seek(start)
    header = read_header(stream)
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
    return stream.tell() + -(-data // 2880) * 2880


def _length(stream: IO[bytes]) -> int:
    """Length of a stream in bytes, read to its end."""
    while stream.read(1 << 20):
        pass
    return stream.tell()


def _damaged(path: Path, found: str) -> SourceFileError:
    return SourceFileError(f"{path} is damaged: {found}.", "Write or download it again.", path=path)
