"""What was made from a calibration: masters, and what was made from these; products; lock files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import select

from ...cache.processes import applied
from ...database.local import LocalDatabase
from ...disk.fits import is_fits_name
from ...disk.reading import user_path
from ...disk.writing import cache_errors
from ...display import html_table, in_brackets, render
from ...exceptions import SourceFileError
from .uses import Calibration, Keywords, Use, Users, uses_in, uses_of_lock

_WORTH_A_PROCESS = 1500
"""Files: the headers of so many are read in about the time that a process takes to start."""

_COLUMNS = ("what", "made with", "known there by")


class Master(NamedTuple):
    """A master that was made from a calibration, or from another master that was.

    Attributes
    ----------
    calibration : Calibration
    made_from : str
        File name of what it was made from.
    by : str
        What names that one in its header: ``"checksum"``, ``"id"`` or ``"file name"``.
    """

    calibration: Calibration
    made_from: str
    by: str

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {**self.calibration._asdict(), "made_from": self.made_from, "by": self.by}


class User(NamedTuple):
    """A product or a lock file.

    Attributes
    ----------
    path : str
    used : mapping
        By file name, the calibrations that it used, and what names them there.
    """

    path: str
    used: Mapping[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {"path": self.path, "used": [{"filename": name, "by": by} for name, by in self.used.items()]}


@dataclass(frozen=True)
class Affected:
    """What was made from a calibration.

    Attributes
    ----------
    calibration : Calibration
    masters : sequence of Master
        Those of this cache, what was made from them too; the nearest first.
    products, locks : sequence of User
        Those that used it, or one of the masters.
    unread : mapping
        By path, why a file could not be read.
    not_here : int
        Known calibrations whose files are not on this disk: what they were made from is not known.
    """

    calibration: Calibration
    masters: Sequence[Master]
    products: Sequence[User]
    locks: Sequence[User]
    unread: Mapping[str, str]
    not_here: int

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {
            "calibration": self.calibration._asdict(),
            **{
                name: [each.to_dict() for each in found]
                for name, found in (("masters", self.masters), ("products", self.products), ("locks", self.locks))
            },
            "unread": dict(self.unread),
            "not_here": self.not_here,
        }

    def __repr__(self) -> str:
        return in_brackets(self, self._title().splitlines()[0])

    def __str__(self) -> str:
        return self.to_text()

    def to_text(self, width: int | None = None) -> str:
        """Give it as a table, no wider than `width` characters where that is given; no name is broken."""
        rows = self._rows()
        return render(_COLUMNS if rows else (), rows, title=self._title(), width=width)

    def _repr_html_(self) -> str:
        return html_table(_COLUMNS, self._rows(), title=self._title())

    def _rows(self) -> list[Sequence[str]]:
        masters = [
            (f"{each.calibration.cal_type} {each.calibration.filename}", each.made_from, each.by)
            for each in self.masters
        ]
        users = [
            (each.path, "\n".join(each.used), "\n".join(each.used.values())) for each in (*self.products, *self.locks)
        ]
        return [*masters, *users]

    def _title(self) -> str:
        counts = (("master", self.masters), ("product", self.products), ("lock file", self.locks))
        said = ", ".join(f"{len(found)} {noun}{'' if len(found) == 1 else 's'}" for noun, found in counts)
        head = f"{self.calibration.filename} ({self.calibration.quality}) was used in {said}"
        return "\n".join([head, *self.notes()])

    def notes(self) -> list[str]:
        """Say what could not be asked: calibrations that are not here, and files that cannot be read."""
        those = "1 known calibration is" if self.not_here == 1 else f"{self.not_here} known calibrations are"
        away = [f"{those} not on this disk: what they were made from is not known"] if self.not_here else []
        return [*away, *(f"not read: {message}" for message in self.unread.values())]


def affected_by(
    record: Any,
    database: LocalDatabase[Any],
    folders: Sequence[Path],
    products: Sequence[str],
    locks: Sequence[str],
) -> Affected:
    """Find what was made from a calibration.

    Parameters
    ----------
    record : record
    database : LocalDatabase
        Of what is known.
    folders : sequence of pathlib.Path
        Where the files of known calibrations stand; of one name, that in the first folder counts.
    products : sequence of str
        FITS files, and folders of them.
    locks : sequence of str

    Raises
    ------
    SourceFileError
        When a product or a lock file is not there.
    """
    known = _known(database)
    asked = known.pop(record.id, None) or Calibration(*(record[name] for name in Calibration._fields))
    keywords = Keywords.of(database.orm_class)
    places = _places(folders)
    here = {places[each.filename]: each for each in known.values() if each.filename in places}
    unread: dict[str, str] = {}
    masters = _masters(asked, here, Users(_read(list(here), keywords, unread)))
    made = [asked, *(each.calibration for each in masters)]
    of_products = _read(list(_files(products, folders, unread)), keywords, unread)
    return Affected(
        asked,
        masters,
        _users(made, of_products),
        _users(made, _read_locks(locks, unread)),
        unread,
        sum(is_fits_name(each.filename) and each.filename not in places for each in known.values()),
    )


def _known(database: LocalDatabase[Any]) -> dict[str, Calibration]:
    """Give all that is known, by id; what was judged here counts."""
    columns = database.orm_class.table().c
    names = [columns[name] for name in Calibration._fields]
    judged = {id_: said.quality for id_, said in database.judged_here().items()}
    found = (
        Calibration._make([*map(str, texts), checksum if isinstance(checksum, str) else None])
        for *texts, checksum in database.execute(select(*names))  # a damaged row holds anything
    )
    return {each.id: each._replace(quality=judged.get(each.id) or each.quality) for each in found}


def _places(folders: Sequence[Path]) -> dict[str, str]:
    """Give the paths of FITS files in some folders, by name."""
    found: dict[str, str] = {}
    for folder in folders:
        if not folder.is_dir():
            continue
        with cache_errors(folder, "read"), os.scandir(folder) as entries:
            for entry in entries:
                if is_fits_name(entry.name):
                    found.setdefault(entry.name, entry.path)
    return found


def _read(paths: Sequence[str], keywords: Keywords, unread: dict[str, str]) -> list[tuple[str, Use]]:
    """Read what files were made with; notes those that cannot be read."""
    found: list[tuple[str, Use]] = []
    for path, uses in zip(paths, applied(partial(uses_in, keywords=keywords), paths, _WORTH_A_PROCESS), strict=True):
        if isinstance(uses, str):
            unread[path] = uses
        else:
            found += [(path, use) for use in uses]
    return found


def _read_locks(locks: Sequence[str], unread: dict[str, str]) -> list[tuple[str, Use]]:
    found: list[tuple[str, Use]] = []
    for path in _each(locks):
        uses = uses_of_lock(path)
        if isinstance(uses, str):
            unread[str(path)] = uses
        else:
            found += [(str(path), use) for use in uses]
    return found


def _masters(asked: Calibration, here: Mapping[str, Calibration], users: Users[str]) -> list[Master]:
    """Give what was made from a calibration, then what was made from that, and so on; each once."""
    found: dict[str, Master] = {}
    pending = [asked]
    for source in pending:  # which grows
        for path, by in users.of(source).items():
            made = here[path]
            if made.id not in found and made.id != asked.id:
                found[made.id] = Master(made, source.filename, by)
                pending.append(made)
    return list(found.values())


def _users(made: Sequence[Calibration], uses: Iterable[tuple[str, Use]]) -> list[User]:
    """Give those who used one of some calibrations, in the order in which they were read."""
    given = list(uses)
    users = Users(given)
    used: dict[str, dict[str, str]] = {path: {} for path, _ in given}
    for calibration in made:
        for path, by in users.of(calibration).items():
            used[path][calibration.filename] = by
    return [User(path, names) for path, names in used.items() if names]


def _files(products: Sequence[str], folders: Sequence[Path], unread: dict[str, str]) -> Iterator[str]:
    """Give product files, those in folders too; not those of the cache, which are masters."""

    def note(error: OSError) -> None:
        unread[str(error.filename)] = f"{error.filename} cannot be read: {error.strerror}."

    own = {os.path.realpath(folder) for folder in folders}
    for path in _each(products):
        if not path.is_dir():
            yield str(path)
            continue
        for folder, inside, names in os.walk(path, onerror=note):
            inside[:] = sorted(name for name in inside if os.path.realpath(os.path.join(folder, name)) not in own)  # noqa: PTH118
            if os.path.realpath(folder) not in own:
                fits = sorted(name for name in names if is_fits_name(name) and not name.startswith("."))
                yield from (os.path.join(folder, name) for name in fits)  # noqa: PTH118


def _each(given: Sequence[str]) -> Iterator[Path]:
    """Give paths; at least one must exist."""
    for each in given:
        path = user_path(each)
        if not os.path.lexists(path):
            raise SourceFileError(f"{path} cannot be read: it is not there.", "Name what is there.", path=path)
        yield path
