"""Whether a file is complete, as far as its kind lets one know."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import IO

from ..exceptions import SourceFileError
from .compression import DAMAGE, is_compressed_name, open_content, without_compression
from .fits import is_fits, reading_fits
from .fits_units import fault_of_fits
from .reading import check_readable


def check_whole(path: Path) -> None:
    """Check that a file is complete, as far as its kind lets one know.

    FITS: its length is the one that its headers say, and its content what its DATASUM and CHECKSUM say. CSV: text,
    with the same number of fields in each line. JSON: it parses. Compressed files are read to their end. Nothing is
    known of other kinds but that they aren't empty.

    Raises
    ------
    SourceFileError
        Says what is wrong.
    """
    if is_fits(path):
        _check_fits(path)
        return
    check_readable(path)
    name = without_compression(path.name)
    try:
        with open_content(path) as stream:
            if name.endswith(".csv"):
                _check_csv(path, stream.read())
            elif name.endswith(".json"):
                json.load(stream)
            elif is_compressed_name(path.name):
                _read_to_end(stream)
    except SourceFileError:
        raise
    except (OSError, *DAMAGE) as error:
        raise _damaged(path, f"it cannot be read to its end ({error})") from error
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
    size = None if is_compressed_name(path.name) else path.stat().st_size
    with reading_fits(path), open_content(path) as stream:
        fault = fault_of_fits(stream, size)
    if fault:
        raise _damaged(path, fault)


def _read_to_end(stream: IO[bytes]) -> None:
    while stream.read(1 << 20):
        pass


def _damaged(path: Path, found: str) -> SourceFileError:
    return SourceFileError(f"{path} is damaged: {found}.", "Write or download it again.", path=path)
