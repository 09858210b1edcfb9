"""The short form: a store by an instrument's name."""

from __future__ import annotations

from typing import Any

from .plugins import get_plugin
from .store import CalibrationStore


def open_store(instrument: str, **settings: Any) -> CalibrationStore[Any]:
    """Open the store of an installed instrument.

    Parameters
    ----------
    instrument : str
        In any letter case.
    **settings
        Go to `CalibrationStore`.

    Raises
    ------
    UnknownInstrumentError, InvalidPluginError
        As `get_plugin` does.
    ConfigurationError
        When a setting is missing or cannot be used, such as the cache folder.
    CacheError, SchemaMismatchError
        When the cache or its database cannot be used.
    """
    return CalibrationStore(get_plugin(instrument).ORM, **settings)
