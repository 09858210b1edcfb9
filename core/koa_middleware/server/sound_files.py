"""The files that a server may send: those that have their records' content.

What the database knows of a file decides without reading it. A file that it does not know, or that has changed, is
hashed once, however many ask for it meanwhile. A spoilt one is told in the log, and not hashed again until it changes.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple
from weakref import WeakValueDictionary

import anyio
from fastapi.concurrency import run_in_threadpool

from ..cache.folder import Cache
from ..cache.look import Knowledge, fault_of
from ..cache.shared import SharedCache
from ..disk.checksums import Signature
from ..exceptions import CacheError
from ..instrument.orm import ORMCalibration
from .logs import tell
from .metrics import Metrics
from .served import Served

#: Files that are hashed at once.
_HASHING = 2
#: Times that a file is looked at that others replace meanwhile.
_LOOKS = 3
#: Spoilt files that are remembered.
_REMEMBERED = 1000


class Opened(NamedTuple):
    """A file that has its record's content, opened.

    Attributes
    ----------
    stream : binary file
    signature : Signature
        Of the content.
    """

    stream: BinaryIO
    signature: Signature


class Spoilt(NamedTuple):
    """A file that is not what its record says.

    Attributes
    ----------
    fault : str
        How it differs.
    """

    fault: str


class _Unknown(NamedTuple):
    """A file of which the database does not know what it holds now."""


Found = Opened | Spoilt | None


class SoundFiles:
    """The files of an instrument.

    Parameters
    ----------
    served : Served
    metrics : Metrics
    """

    def __init__(self, served: Served, metrics: Metrics) -> None:
        settings = served.store.settings
        self._instrument = served.plugin.name
        self._database = served.store.local_db
        self._cache = Cache(settings.cache_dir)
        self._shared = SharedCache(settings.shared_cache_dir)
        self._metrics = metrics
        self._spoilt: dict[tuple[str, str | None, Signature], str] = {}
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._hashing = anyio.CapacityLimiter(_HASHING)

    async def open(self, record: ORMCalibration) -> Found:
        """Open a record's file where it has the recorded content, here or in the shared cache; None: there is none.

        Raises
        ------
        UnsafeFilenameError
        """
        found = await self._look(record, self._cache.path(record.filename), record.filename)
        if isinstance(found, Opened):
            return found
        shared = await run_in_threadpool(self._shared.path, record)
        if shared is not None:
            found = await self._look(record, shared, str(shared)) or found
        if isinstance(found, Spoilt):
            self._metrics.spoilt.labels(self._instrument).inc()
        return found

    async def _look(self, record: ORMCalibration, path: Path, key: str) -> Found:
        found = await run_in_threadpool(self._found, record, path, key, hashes=False)
        if not isinstance(found, _Unknown):
            return found
        async with self._turns.setdefault(key, asyncio.Lock()):
            for _ in range(_LOOKS):
                look = partial(self._found, record, path, key, hashes=True)
                found = await anyio.to_thread.run_sync(look, limiter=self._hashing)
                if not isinstance(found, _Unknown):
                    return found
        return Spoilt("it is being changed")

    def _found(self, record: ORMCalibration, path: Path, key: str, *, hashes: bool) -> Found | _Unknown:
        knowledge: Knowledge[Any] = Knowledge(self._database)
        try:
            signature = Signature.of(path)
        except OSError as error:
            return None if error.errno in {errno.ENOENT, errno.ENOTDIR} else self._told(path, "it cannot be read")
        what = key, record.checksum, signature
        if what in self._spoilt:
            return Spoilt(self._spoilt[what])
        is_known = record.checksum is None or knowledge.known(key) == (record.checksum, signature)
        if not (is_known or hashes):
            return _Unknown()
        try:
            fault = fault_of(record, path, key, knowledge)
        except CacheError:
            fault = "it cannot be read"
        if fault:
            self._remember(what, fault)
            return self._told(path, fault)
        if fault is None:
            return None
        judged = [each.signature for each in knowledge.verified]
        knowledge.save()
        return self._opened(path, judged[-1] if judged else signature)

    def _opened(self, path: Path, judged: Signature) -> Opened | _Unknown:
        """Open a file, and see that it is still the one that was judged."""
        try:
            stream = path.open("rb", buffering=0)
        except OSError:
            return _Unknown()
        if Signature.of_status(os.fstat(stream.fileno())) != judged:
            stream.close()
            return _Unknown()
        self._cache.note_use(path)
        return Opened(stream, judged)

    def _remember(self, what: tuple[str, str | None, Signature], fault: str) -> None:
        while len(self._spoilt) >= _REMEMBERED:
            del self._spoilt[next(iter(self._spoilt))]
        self._spoilt[what] = fault

    def _told(self, path: Path, fault: str) -> Spoilt:
        tell(logging.ERROR, "a file is not what its record says", path=str(path), fault=fault)
        return Spoilt(fault)
