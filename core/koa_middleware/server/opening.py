"""What is served of an instrument, by the settings of this machine."""

from __future__ import annotations

from typing import Any, cast

from ..plugins import InstrumentPlugin
from ..remote.servers import is_database, remote_at
from ..store import CalibrationStore
from .served import Served

#: Connections to a PostgreSQL archive that are kept at most for reading, and as many for writing.
CONNECTIONS = 10


def open_served(plugin: InstrumentPlugin) -> Served:
    """Open what is served: a PostgreSQL archive where one is set, else this cache's own database, for reading only.

    Raises
    ------
    ConfigurationError, CacheError, SchemaMismatchError
    """
    store: CalibrationStore[Any] = CalibrationStore(plugin.ORM)
    url = store.settings.remote_database_url
    if url is not None and is_database(url):
        return Served(plugin, store, cast(Any, remote_at(url, plugin.ORM, connections=CONNECTIONS)), True)
    return Served(plugin, store, cast(Any, None), False)


def close_served(served: Served) -> None:
    """Close its connections."""
    if served.is_writable:
        served.remote.close()
    served.store.close()
