"""Where tokens are kept: in the archive's PostgreSQL database, else in the cache's own ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ..exceptions import ConfigurationError
from .context import choose_instrument

if TYPE_CHECKING:
    from ..database.tokens import Tokens
    from ..plugins import InstrumentPlugin
    from ..settings import Settings


@contextmanager
def places(instruments: Sequence[str] = ()) -> Iterator[list[Tokens]]:
    """Give the tokens of each database that a command is about; several only where a cache has several instruments.

    Parameters
    ----------
    instruments : sequence of str
        Those that are named; none: all that the archive's database, or the cache, has.

    Raises
    ------
    ConfigurationError
        When the archive is reached over HTTP; or nothing tells which of several installed instruments is meant.
    RemoteUnavailableError
        When the archive's database is meant, and the store is offline.
    """
    from ..database.tokens import Tokens
    from ..remote.servers import require_remote
    from ..store import CalibrationStore

    with ExitStack() as opened:
        found: dict[object, Tokens] = {}
        for plugin in [choose_instrument(name) for name in instruments] or _all():
            settings = _settings(plugin.name)
            url = settings.remote_database_url
            if url is None:
                database = opened.enter_context(CalibrationStore(plugin.ORM)).local_db
                found[database.path] = Tokens(database)
            elif url not in found:
                _check_database(url)
                remote = opened.enter_context(closing(require_remote(settings, plugin.ORM, "A token of the archive")))
                found[url] = Tokens(remote.database)
        yield list(found.values())


def _all() -> list[InstrumentPlugin]:
    """Give the instruments that the cache has; any one where the archive's database has the tokens of all."""
    from ..plugins import available_instruments
    from .context import load_plugin

    installed = {name: _settings(name) for name in available_instruments()}
    if any(settings.remote_database_url for settings in installed.values()):
        return [load_plugin(next(iter(installed)))]
    here = [
        load_plugin(name)
        for name, settings in installed.items()
        if (settings.cache_dir / "database" / settings.local_database_filename).is_file()
    ]
    return here or [choose_instrument(None)]


def _settings(instrument: str) -> Settings:
    """Give an instrument's settings; of the cache folder nothing is used where an archive is set."""
    from ..settings import resolve

    found = resolve(instrument, cache_dir=Path.cwd())
    return resolve(instrument) if found.remote_database_url is None else found


def _check_database(url: str) -> None:
    from ..remote.servers import is_database
    from ..settings import REMOTE_DATABASE_URL

    if not is_database(url):
        raise ConfigurationError(
            f"{REMOTE_DATABASE_URL} is the address of a server, which hands out no tokens.",
            "Ask whoever runs it; tokens are made with the URL of its PostgreSQL database.",
            setting="remote_database_url",
            variable=REMOTE_DATABASE_URL,
        )
