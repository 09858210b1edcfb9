"""What a shell is told when the user presses Tab: cal types, columns, instruments, and names of calibrations."""

from __future__ import annotations

import sqlite3
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from typing import Any

from ..exceptions import KoaMiddlewareError
from .arguments import OnceEach
from .context import choose_instrument

#: Names of calibrations that are offered at most, the newest.
_OFFERED = 500


def complete(parser: ArgumentParser) -> None:
    """Answer the shell, and end this process."""
    import argcomplete
    from argcomplete.finders import safe_actions

    from .parser import Once

    safe_actions.update((Once, OnceEach))  # others than argparse's are not run, and -i not known then
    _teach(parser)
    argcomplete.autocomplete(parser)


def _teach(parser: ArgumentParser) -> None:
    """Give each argument that has values of its own what finds them."""
    for action in parser._actions:
        if isinstance(action.choices, dict):
            for command in action.choices.values():
                _teach(command)
        elif found := _COMPLETERS.get(str(action.metavar)):
            action.completer = found  # type: ignore[attr-defined]
        elif action.dest in ("instrument", "instruments"):
            action.completer = _instruments  # type: ignore[attr-defined]


def _instruments(prefix: str, **_: Any) -> Iterable[str]:
    from ..plugins import available_instruments

    return [name for name in available_instruments() if name.startswith(prefix)]


def _types(prefix: str, parsed_args: Namespace, **_: Any) -> Iterable[str]:
    with suppress(KoaMiddlewareError):  # a shell has no place for it; the command will tell
        plugin = choose_instrument(getattr(parsed_args, "instrument", None))
        return [name for name in sorted({*plugin.selectors, *plugin.ORM.cal_types}) if name.startswith(prefix)]
    return []


def _columns(prefix: str, parsed_args: Namespace, **_: Any) -> Iterable[str]:
    *before, last = prefix.split(",")
    with suppress(KoaMiddlewareError):
        names = choose_instrument(getattr(parsed_args, "instrument", None)).ORM.column_names()
        return [",".join([*before, name]) for name in names if name.startswith(last)]
    return []


def _assignments(prefix: str, **settings: Any) -> Iterable[str]:
    return [f"{name}=" for name in _columns(prefix, **settings)]


def _own_choices(prefix: str, **settings: Any) -> Iterable[str]:
    return [f"{name}=" for name in _types(prefix, **settings)]


def _names(prefix: str, parsed_args: Namespace, **_: Any) -> Iterable[str]:
    """Give names of calibrations, straight from the database, since nobody waits a second for them."""
    from ..settings import resolve

    with suppress(KoaMiddlewareError, sqlite3.Error):
        orm_class = choose_instrument(getattr(parsed_args, "instrument", None)).ORM
        settings = resolve(orm_class.instrument_name)
        path = settings.cache_dir / "database" / settings.local_database_filename
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
            found = connection.execute(
                f'SELECT filename FROM "{orm_class.table().name}" WHERE substr(filename, 1, ?) = ? '  # noqa: S608
                "ORDER BY datetime_obs DESC LIMIT ?",
                (len(prefix), prefix, _OFFERED),
            )
            return [name for (name,) in found]
    return []


#: By what an argument is called in the usage.
_COMPLETERS: dict[str, Callable[..., Iterable[str]]] = {
    "T": _types,
    "COLUMN=VALUE": _assignments,
    "COLUMNS": _columns,
    "ID_OR_FILENAME": _names,
    "TYPE=FILE_OR_ID": _own_choices,
}
