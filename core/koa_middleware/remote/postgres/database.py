"""An instrument's table on a PostgreSQL server, as records."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from sqlalchemy import Connection, Select, event
from sqlalchemy.orm import Session

from ...database.table import CalibrationDatabase
from ...exceptions import HeaderError, RemoteError, UnsafeFilenameError
from ...instrument.detached import record_builder
from ...instrument.judged import JUDGED, Judged, Said, judged_nothing
from ...instrument.orm import ORMCalibration
from ..rows import in_form, shown
from .engine import postgresql_engine
from .errors import host_of, remote_errors
from .past import STATE, check_known, of_that_state, state_of
from .url import shown_url

R = TypeVar("R", bound=ORMCalibration)

#: Execution option with the time of the state that is asked.
_MOMENT = "koa_moment"


class RemoteDatabase(CalibrationDatabase[R]):
    """An instrument's table on a PostgreSQL server; connections are opened when they are needed.

    Parameters
    ----------
    orm_class : type
    url : str
    judged : callable
        Gives the judgements of the store that asks, by id; each statement that asks for the quality is given them.
    connections : int
        As of `postgresql_engine`; those that are kept are to the primary.
    """

    def __init__(self, orm_class: type[R], url: str, judged: Judged = judged_nothing, connections: int = 0) -> None:
        engine = postgresql_engine(url, connections, "read-write" if connections else "")
        super().__init__(orm_class, engine, f"the remote database at {host_of(engine)}")
        self._judged = judged
        event.listen(engine, "before_execute", self._with_judgements, retval=True)
        event.listen(engine, "before_cursor_execute", of_that_state, retval=True)

    def as_of(self, moment: str) -> CalibrationDatabase[R]:
        """Give its state at a time, for reading; whether that is known is asked with the first question.

        Parameters
        ----------
        moment : str
            UTC, with microseconds.
        """
        return PastRemoteDatabase(self, moment)

    def judged_here(self) -> Mapping[str, Said]:
        """Give the judgements of the store that asks, by id."""
        return self._judged(self.moment)

    def _with_judgements(
        self, connection: Connection, statement: Any, many: Any, parameters: Mapping[str, Any], _options: Any
    ) -> tuple[Any, Any, Any]:
        moment = connection.get_execution_options().get(_MOMENT)
        if not isinstance(statement, Select) or not (judged := self._judged(moment)):
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


class PastRemoteDatabase(RemoteDatabase[R]):
    """An instrument's table on a PostgreSQL server as it was at a time.

    Every question raises a `ConfigurationError` where that state is not known.

    Parameters
    ----------
    present : RemoteDatabase
        Whose connections it uses.
    moment : str
        UTC, with microseconds.
    """

    def __init__(self, present: RemoteDatabase[R], moment: str) -> None:
        options = {STATE: state_of(present.orm_class.table(), moment), _MOMENT: moment}
        CalibrationDatabase.__init__(self, present.orm_class, present.engine.execution_options(**options), present.name)
        self._judged = present._judged
        self._present = present.engine.execution_options(postgresql_readonly=True)
        self._is_known = False
        self.moment = moment

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """Give a connection whose transaction the server keeps from writing, and that asks for the state."""
        self._check()
        with super().connect() as connection:
            yield connection

    @contextmanager
    def session_manager(self) -> Iterator[Session]:
        """Give a session for SQL of one's own, which asks for the state."""
        self._check()
        with super().session_manager() as session:
            yield session

    def _check(self) -> None:
        if not self._is_known:
            table = self.orm_class.table()
            with remote_errors(self._present, table), self._present.connect() as connection:
                check_known(connection, table, str(self.moment), self.name)
            self._is_known = True

    def __repr__(self) -> str:
        return f"{super().__repr__()} as of {self.moment}"
