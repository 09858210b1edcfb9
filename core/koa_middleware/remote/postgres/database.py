"""An instrument's table on a PostgreSQL server, as records."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from sqlalchemy import Connection, Select, event
from sqlalchemy.orm import Session

from ...database.table import CalibrationDatabase
from ...exceptions import HeaderError, RemoteError, UnsafeFilenameError
from ...instrument.detached import record_builder
from ...instrument.judged import JUDGED, Said
from ...instrument.orm import ORMCalibration
from ..rows import in_form, shown
from .engine import postgresql_engine
from .errors import host_of, remote_errors
from .url import shown_url

R = TypeVar("R", bound=ORMCalibration)


class RemoteDatabase(CalibrationDatabase[R]):
    """An instrument's table on a PostgreSQL server; connections are opened when they are needed.

    Parameters
    ----------
    orm_class : type
    url : str
    judged_here : callable
        Gives the judgements of the store that asks, by id; each statement that asks for the quality is given them.
    """

    def __init__(self, orm_class: type[R], url: str, judged_here: Callable[[], Mapping[str, Said]] = dict) -> None:
        engine = postgresql_engine(url)
        super().__init__(orm_class, engine, f"the remote database at {host_of(engine)}")
        self.judged_here = judged_here
        event.listen(engine, "before_execute", self._with_judgements, retval=True)

    def _with_judgements(
        self, _connection: Connection, statement: Any, many: Any, parameters: Mapping[str, Any], _options: Any
    ) -> tuple[Any, Any, Any]:
        if not isinstance(statement, Select) or not (judged := self.judged_here()):
            return statement, many, parameters
        told = {JUDGED: json.dumps({id_: said.quality for id_, said in judged.items()})}
        return statement, [{**each, **told} for each in many], {**parameters, **told} if not many else parameters

    def last_said_of(self, ids: Iterable[str]) -> dict[str, Said]:
        """What the store that asks has judged itself of some calibrations, by id."""
        judged = self.judged_here()
        return {id_: judged[id_] for id_ in ids if id_ in judged}

    @contextmanager
    def translated_errors(self) -> Iterator[None]:
        """Turn the server's errors into this package's."""
        with remote_errors(self.engine, self.orm_class.table()):
            yield

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """Give a connection whose transaction the server keeps from writing."""
        engine = self.engine.execution_options(postgresql_readonly=True)
        with remote_errors(engine, self.orm_class.table()), engine.connect() as connection:
            yield connection

    @contextmanager
    def session_manager(self) -> Iterator[Session]:
        """Give a session for SQL of one's own, which the server keeps from writing."""
        engine = self.engine.execution_options(postgresql_readonly=True)
        with (
            remote_errors(engine, self.orm_class.table()),
            Session(engine, expire_on_commit=False) as session,
            session.begin(),
        ):
            yield session

    def fetch(self, statement: Select[Any], parameters: Mapping[str, Any]) -> list[R]:
        """Records of a statement that selects the table's columns, in form.

        Raises
        ------
        RemoteError
            When a row cannot be brought into form; a sync keeps such a row apart.
        """
        build = record_builder(self.orm_class)
        with self.connect() as connection:
            rows = connection.execute(statement, dict(parameters)).mappings().all()
        return [build(tuple(self._in_form(row).values())) for row in rows]

    def _in_form(self, row: Mapping[Any, Any]) -> dict[str, Any]:
        try:
            return in_form(self.orm_class, {**row, "id": str(row["id"])})
        except (HeaderError, UnsafeFilenameError) as error:
            filename, identifier = shown(row["filename"]), shown(row["id"])
            raise RemoteError(
                f"The row {filename} (id {identifier}) of {self.name} cannot be used: {error.message}",
                "Sync and choose from the local copy, which keeps such rows apart.",
            ) from error

    def __repr__(self) -> str:
        return f"RemoteDatabase({self.orm_class.instrument_name}, {shown_url(self.engine.url)})"
