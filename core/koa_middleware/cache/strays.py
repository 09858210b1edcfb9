"""Files without a record that have a calibration's content: copies of it, or the renamed file itself."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy import select

from ..database.chunks import in_chunks
from ..database.verified_files import once_here
from ..disk.checksums import Checksum, digest_of
from ..disk.writing import cache_errors
from .named import names_in
from .own_files import files_but, is_of, named_beside
from .placing import Holdings


def same_content(holdings: Holdings[Any], filenames: Iterable[str]) -> dict[str, list[str]]:
    """Give, for files of the cache, the file names of the calibrations that have their content.

    Files are hashed whose size is that of a record; those that no record is like are left out.

    Raises
    ------
    CacheError
        When a file cannot be read.
    """
    sizes: dict[Path, int] = {}
    for path in map(holdings.cache.calibrations.joinpath, filenames):
        with cache_errors(path, "read"), suppress(FileNotFoundError):
            if path.is_file():
                sizes[path] = path.stat().st_size
    recorded = _recorded(holdings, sorted(set(sizes.values())))
    found: dict[str, list[str]] = {}
    for path, size in sizes.items():
        kinds = {checksum.kind for checksum in recorded.get(size, ())}
        digests = []
        with cache_errors(path, "read"), suppress(FileNotFoundError):  # another process took it away meanwhile
            digests = [Checksum.parse(digest_of(path, kind)) for kind in sorted(kinds)]
        if names := [name for digest in digests for name in recorded[size].get(digest, ())]:
            found[path.name] = names
    return found


def unnamed(holdings: Holdings[Any]) -> tuple[set[str], dict[str, list[str]]]:
    """Give the names of files that no record ever named, where any is the instrument's; and `same_content` of the rest.

    A file whose record went here is none of these.
    """
    orm_class, cache, database = holdings.orm_class, holdings.cache, holdings.database
    with database.connect() as connection:
        known = once_here(connection, orm_class)
        known.update(connection.execute(select(orm_class.table().c.filename)).scalars())
    named, _ = named_beside(database.path, orm_class)
    named.update(names_in(database.path, but=orm_class.table().name))
    names = {path.name for path in files_but(cache, known | named)}
    like = same_content(holdings, names)
    names -= like.keys()
    return (names if any(is_of(orm_class, cache.calibrations / name) for name in sorted(names)) else set()), like


def _recorded(holdings: Holdings[Any], sizes: list[int]) -> dict[int, dict[Checksum, list[str]]]:
    """Give the file names of the records of some sizes, by size and checksum."""
    table = holdings.orm_class.table().c
    asked = select(table.filename, table.file_size, table.checksum).where(table.checksum.is_not(None))
    found: dict[int, dict[Checksum, list[str]]] = {}
    with holdings.database.connect() as connection:
        for some in in_chunks(sizes):
            for filename, size, checksum in connection.execute(asked.where(table.file_size.in_(some))):
                with suppress(ValueError, TypeError):  # a checksum that is none is that of no file
                    found.setdefault(size, {}).setdefault(Checksum.parse(checksum), []).append(filename)
    return found
