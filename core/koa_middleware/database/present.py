"""A local database as if it had only some of its records, such as those whose files are on this disk; for reading."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn, TypeVar

from sqlalchemy import Select, func, select

from ..exceptions import CacheError
from ..instrument.orm import ORMCalibration
from .chunks import in_chunks
from .layered import LayeredDatabase, attached_as_shared, ordered_last
from .local import LocalDatabase
from .sqlite import make_read_only
from .views import views

R = TypeVar("R", bound=ORMCalibration)

#: The table of each connection that has the file names.
_NAMES = "temp.koa_present"

#: Names in one statement.
_AT_ONCE = 400


class PresentDatabase(LocalDatabase[R]):
    """What a database holds of some file names, by the same indexes.

    Parameters
    ----------
    known : LocalDatabase
        With a shared one under it or without.
    filenames : iterable of str
    """

    def __init__(self, known: LocalDatabase[R], filenames: Iterable[str]) -> None:
        self._known, self._filenames = known, list(filenames)
        super().__init__(known.orm_class, known.path, may_be_missing=not known.has_file)
        self.unnoted = known.unnoted

    def _prepare(self) -> None:
        known = self._known
        begin = [f"CREATE TABLE {_NAMES} (filename TEXT PRIMARY KEY)"]
        for some in in_chunks(self._filenames, _AT_ONCE):
            values = ", ".join("('{}')".format(name.replace("'", "''")) for name in some)
            begin.append(f"INSERT INTO {_NAMES} VALUES {values}")  # noqa: S608 - quoted names of records
        if isinstance(known, LayeredDatabase):
            begin.append(attached_as_shared(known.shared))
            made = views(known.own.readable(), known.below, among=_NAMES)
        else:
            made = views(known.readable(), among=_NAMES)
        make_read_only(self.engine, [*begin, *made])

    def not_here(self, cal_type: str) -> int:
        """Give how many records of a type there are whose names are left out."""
        of_type = self.orm_class.table().c.cal_type == cal_type
        counting = select(func.count()).select_from(self.orm_class.table()).where(of_type)
        return int(self._known.rows(counting, {})[0][0]) - int(self.rows(counting, {})[0][0])

    def begin(self) -> NoReturn:
        """Refuse to write.

        Raises
        ------
        CacheError
        """
        said = f"Only a part of {self.path} is shown here, for reading."
        raise CacheError(said, "Write to the store's whole database.", path=self.path)

    def rows(self, statement: Select[Any], parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Rows of a statement as the driver gives them."""
        return super().rows(ordered_last(statement), parameters)

    def fetch_many(self, statement: Select[Any], parameters: Sequence[Mapping[str, Any]], *, rows: bool) -> list[Any]:
        """Records of a statement, or its rows, for each of many parameters."""
        return super().fetch_many(ordered_last(statement), parameters, rows=rows)
