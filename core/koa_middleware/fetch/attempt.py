"""One attempt to fetch a file: what is wanted, what has come, and the call that it belongs to."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from ..exceptions import ChecksumMismatchError
from .partial import CHUNK, Partial
from .progress import Progress
from .responses import HEAD, Setback, plausible, what_came
from .transfer import Transfer
from .waiting import TOLD_AFTER_S, Waits

_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class StoppedError(Exception):
    """The call that this transfer belongs to has ended."""


@dataclass
class Run:
    """What the transfers of one call have in common.

    Attributes
    ----------
    partial_folder : pathlib.Path
    progress : callable or None
        Called with the bytes that have come since its last call, by one thread at a time.
    fresh : bool
        Fetch also what stands there already with the recorded content.
    backoff_s : float
        Seconds before the first repetition of a request; doubled at each one, with jitter.
    connections : int
        Requests at the same time.
    told_after_s : float
        Seconds without a new byte after which it is told that a server is waited for.
    unreachable : Setback or None
        Set by the first transfer that found no server.
    """

    partial_folder: Path
    progress: Progress | None
    fresh: bool
    backoff_s: float
    connections: int = 1
    told_after_s: float = TOLD_AFTER_S
    unreachable: Setback | None = None
    stop: threading.Event = field(default_factory=threading.Event)
    slots: threading.Semaphore = field(init=False)
    waits: Waits = field(init=False)
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.slots = threading.Semaphore(self.connections)
        self.waits = Waits(self.told_after_s)

    def report(self, count: int) -> None:
        """Tell of new bytes; a negative number takes some back."""
        if count and self.progress is not None:
            with self._turn:
                self.progress(count)

    def check(self) -> None:
        """Raise `StoppedError` where the call has ended."""
        if self.stop.is_set():
            raise StoppedError

    def wait(self, seconds: float) -> None:
        """Wait, unless the call ends."""
        self.stop.wait(seconds)
        self.check()


@dataclass
class Attempt:
    """One attempt to fetch a file.

    Attributes
    ----------
    transfer : Transfer
        What is wanted.
    partial : Partial
        What has come.
    run : Run
        The call that it belongs to.
    """

    transfer: Transfer
    partial: Partial
    run: Run

    @property
    def is_complete(self) -> bool:
        """Whether all bytes are here, as far as their number is recorded."""
        wanted = self.transfer.file_size
        return bool(self.partial.size) and wanted is not None and self.partial.size >= wanted

    @property
    def can_resume(self) -> bool:
        """Whether a checksum, or else the server's strong validator, says that two pieces belong together."""
        validator = self.partial.validator
        return validator is not None and (self.transfer.checksum is not None or validator.startswith('"'))

    @property
    def is_accepted(self) -> bool:
        """Whether what has come is the recorded content."""
        return self.transfer.accepts(self.partial.size, self.partial.checksum)

    def mismatch(self) -> ChecksumMismatchError:
        """Return the error of a content that is not accepted."""
        return self.transfer.mismatch(self.partial.size, self.partial.checksum())

    def restart(self) -> None:
        """Forget what has come."""
        if self.partial.size:
            self.run.report(-self.partial.size)
            self.partial.restart()

    def copy(self, read: Callable[[int], bytes], headers: Mapping[str, str] = _NO_HEADERS) -> Setback | None:
        """Append what `read` gives, as long as it can be the file, until there is more than recorded."""
        wanted, piece = self.transfer.file_size, b""
        if not self.partial.size:
            while len(piece) < HEAD and (more := read(CHUNK)):
                piece += more
            if setback := self.not_the_file(piece, headers):
                return setback
        while piece := piece or read(CHUNK):
            self.run.check()
            self.partial.write(piece)
            self.run.report(len(piece))
            if wanted is not None and self.partial.size > wanted:
                break
            self.partial.remember()
            piece = b""
        return None

    def not_the_file(self, head: bytes, headers: Mapping[str, str]) -> Setback | None:
        """Tell what came instead, where a file with this beginning cannot be the wanted one."""
        if not head or plausible(self.transfer.name, head, headers):
            return None
        hint = "Check KOA_CALIBRATION_URL, and that you have access to this file."
        return Setback(what_came(head, headers), hint, permanent=True)
