"""Transfers: one file or many, each one whole and verified under its final name, or not there at all."""

from __future__ import annotations

import hashlib
import random
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from ..disk.checksums import KINDS, Checksum
from ..disk.writing import cache_errors, sync_folder
from ..exceptions import CacheError, ChecksumMismatchError, DownloadError, KoaMiddlewareError
from .addresses import hide_secrets
from .partial import CHUNK, Partial, TakenOver
from .progress import Progress
from .responses import HEAD, Setback, plausible, what_came
from .turns import only_one

RETRIES = 4
"""Attempts, after a first one, that may follow each other without a new byte."""
_TAKEN_OVER_TIMES = 3
_THREADS_PER_CONNECTION = 2
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Transfer:
    """One file to fetch.

    Parameters
    ----------
    url : str
        As `FileServer.url_for` gives it. Not part of the repr: secrets may stand in it.
    destination : pathlib.Path
        Final name, in a folder that exists.
    checksum : str or None
        ``"sha256:<hex>"`` or ``"md5:<hex>"``, as recorded.
    file_size : int or None
        Bytes, as recorded.
    """

    url: str = field(repr=False)
    destination: Path
    checksum: str | None = None
    file_size: int | None = None

    @property
    def name(self) -> str:
        """The final file name."""
        return self.destination.name

    @property
    def key(self) -> str:
        """The same for all who want this content under this name; no secret stands in it."""
        wanted = f"{self.name}\0{self.checksum}\0{self.file_size}"
        return hashlib.sha256(wanted.encode()).hexdigest()[:16]

    @property
    def algorithm(self) -> str:
        """Of the recorded checksum; ``"sha256"`` where there is none."""
        return self._recorded.kind if self.checksum else next(iter(KINDS))

    @property
    def _recorded(self) -> Checksum:
        try:
            return Checksum.parse(self.checksum or "")
        except ValueError as error:
            raise DownloadError(
                f"{self.name} cannot be verified: its recorded checksum is {self.checksum!r}, {error}.",
                "Correct the record.",
            ) from error

    def accepts(self, size: int, checksum: Callable[[], str]) -> bool:
        """Whether a content is the recorded one, as far as size and checksum are recorded."""
        if self.file_size not in {None, size}:
            return False
        return self.checksum is None or checksum() == str(self._recorded)

    def mismatch(self, size: int, checksum: str = "") -> ChecksumMismatchError:
        """Return the error of a content that is not accepted."""
        expected, found = self.checksum or "", checksum
        if self.file_size not in {None, size}:
            expected, found = f"{self.file_size} bytes", f"{size} bytes"
        return ChecksumMismatchError(
            f"{self.name} came with other content than recorded: {found} in place of {expected}.",
            "Synchronise, in case the record is out of date; else tell those who keep the archive.",
            url=hide_secrets(self.url),
            expected=expected,
            found=found,
        )


@dataclass(frozen=True)
class Fetched:
    """A file that stands, whole and verified, under its final name.

    Attributes
    ----------
    path : pathlib.Path
    file_size : int
        Bytes.
    checksum : str
        Of its content, of the recorded checksum's kind; sha256 where none is recorded.
    transferred : bool
        False where it stood there already: another process had brought it in the meantime.
    """

    path: Path
    file_size: int
    checksum: str
    transferred: bool


class StoppedError(Exception):
    """The call that this transfer belongs to has ended."""


@dataclass
class Run:
    """What the transfers of one call have in common.

    Attributes
    ----------
    partial_folder : pathlib.Path
    progress : callable
        Called with the bytes that have come since its last call, by one thread at a time.
    fresh : bool
        Fetch also what stands there already with the recorded content.
    backoff_s : float
        Seconds before the first repetition of a request; doubled at each one, with jitter.
    connections : int
        Requests at the same time.
    unreachable : Setback or None
        Set by the first transfer that found no server.
    """

    partial_folder: Path
    progress: Progress | None
    fresh: bool
    backoff_s: float
    connections: int = 1
    unreachable: Setback | None = None
    stop: threading.Event = field(default_factory=threading.Event)
    slots: threading.Semaphore = field(init=False)
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.slots = threading.Semaphore(self.connections)

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


class Source(Protocol):
    """Where bytes come from."""

    def receive(self, transfer: Transfer, partial: Partial, run: Run) -> Setback | None:
        """Bring bytes by one request; tell what kept it from bringing all."""

    def error(self, transfer: Transfer, setback: Setback) -> DownloadError:
        """Return the error of a transfer that was given up, without secrets."""


def fetch(source: Source, transfer: Transfer, run: Run) -> Fetched:
    """Bring one file; its name is on the disk too on return."""
    fetched = _fetch(source, transfer, run)
    sync_folder(transfer.destination.parent)
    return fetched


def _fetch(source: Source, transfer: Transfer, run: Run) -> Fetched:
    """Bring one file.

    Raises
    ------
    DownloadError, ChecksumMismatchError, CacheError
    """
    if run.unreachable:
        raise source.error(transfer, run.unreachable)
    folder = run.partial_folder
    large = transfer.file_size is None or transfer.file_size > 4 * CHUNK
    for _ in range(_TAKEN_OVER_TIMES):
        with only_one(folder, transfer.key, run.stop):
            if not run.fresh and (there := _already_there(transfer)):
                run.report(there.file_size)
                return there
            with Partial(folder, transfer.key, transfer.algorithm, large=large) as partial:
                try:
                    _fill(source, transfer, partial, run)
                    partial.place(transfer.destination)
                except TakenOver:
                    run.report(-partial.size)
                    continue
                except (CacheError, ChecksumMismatchError):
                    raise
                except BaseException:
                    if transfer.checksum:
                        partial.release()
                    raise
                return Fetched(transfer.destination, partial.size, partial.checksum(), transferred=True)
    raise source.error(transfer, Setback("other processes keep taking its partial file", "Try again."))


def fetch_many(source: Source, transfers: Sequence[Transfer], run: Run) -> list[Fetched | KoaMiddlewareError]:
    """Bring many files in parallel; returns for each, in their order, what `fetch` returned or raised."""
    outcomes: dict[int, Fetched | KoaMiddlewareError] = {}
    todo = deque(enumerate(transfers))
    bugs: list[Exception] = []

    def work() -> None:
        while not run.stop.is_set():
            try:
                index, transfer = todo.popleft()
            except IndexError:
                return
            try:
                outcomes[index] = _fetch(source, transfer, run)
            except KoaMiddlewareError as error:
                outcomes[index] = error
            except StoppedError:
                return
            except Exception as error:  # noqa: BLE001 - raised again below, in the caller's thread
                bugs.append(error)
                run.stop.set()

    # More threads than connections: while some wait for the disk, which writes many files at once as fast as
    # one, others use the connections. Daemons: after Ctrl-C nobody waits for a thread that waits for a
    # server.
    count = min(_THREADS_PER_CONNECTION * run.connections, len(transfers))
    threads = [threading.Thread(target=work, daemon=True) for _ in range(count)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        run.stop.set()
    if bugs:
        raise bugs[0]
    for folder in {outcome.path.parent for outcome in outcomes.values() if isinstance(outcome, Fetched)}:
        sync_folder(folder)
    return [outcomes[index] for index in range(len(transfers))]


def _fill(source: Source, transfer: Transfer, partial: Partial, run: Run) -> None:
    """Bring all bytes of a file, with as many requests as that takes, and check them."""
    partial.take_over(usable=transfer.checksum is not None)
    run.report(partial.size)
    failures = furthest = mismatches = 0
    while True:
        setback = None
        if not partial.size or transfer.file_size is None or partial.size < transfer.file_size:
            with run.slots:
                setback = source.receive(transfer, partial, run)
        if setback is None and not partial.size and transfer.file_size != 0:
            setback = Setback("the server sent nothing", "Check KOA_CALIBRATION_URL.", permanent=True)
        if setback is None:
            if transfer.accepts(partial.size, partial.checksum):
                return
            mismatches += 1
            if not partial.resumed or mismatches > 1:
                raise transfer.mismatch(partial.size, partial.checksum())
            restart(partial, run)
            continue
        failures = 1 if partial.size > furthest else failures + 1
        furthest = max(furthest, partial.size)
        if setback.permanent or failures > RETRIES:
            run.unreachable = setback if setback.unreachable else None
            raise source.error(transfer, setback)
        if not _can_resume(transfer, partial):
            restart(partial, run)
        backoff_s = run.backoff_s * 2 ** (failures - 1) * random.uniform(0.5, 1.0)  # noqa: S311 - jitter
        run.wait(max(backoff_s, setback.wait_s))


def copy(
    read: Callable[[int], bytes],
    transfer: Transfer,
    partial: Partial,
    run: Run,
    headers: Mapping[str, str] = _NO_HEADERS,
) -> Setback | None:
    """Append what `read` gives, when it can be the file at all, until there is more than recorded."""
    piece = b""
    if not partial.size:
        while len(piece) < HEAD and (more := read(CHUNK)):
            piece += more
        if setback := not_the_file(transfer, piece, headers):
            return setback
    while piece := piece or read(CHUNK):
        run.check()
        partial.write(piece)
        run.report(len(piece))
        if transfer.file_size is not None and partial.size > transfer.file_size:
            break
        partial.remember()
        piece = b""
    return None


def not_the_file(transfer: Transfer, head: bytes, headers: Mapping[str, str]) -> Setback | None:
    """Tell what came instead, where a file with this beginning cannot be the wanted one."""
    if not head or plausible(transfer.name, head, headers):
        return None
    hint = "Check KOA_CALIBRATION_URL, and that you have access to this file."
    return Setback(what_came(head, headers), hint, permanent=True)


def restart(partial: Partial, run: Run) -> None:
    """Forget what has come."""
    if partial.size:
        run.report(-partial.size)
        partial.restart()


def _can_resume(transfer: Transfer, partial: Partial) -> bool:
    """Whether a checksum, or else the server's strong validator, says that two pieces belong together."""
    return partial.validator is not None and (transfer.checksum is not None or partial.validator.startswith('"'))


def _already_there(transfer: Transfer) -> Fetched | None:
    """Return what another process brought in the meantime, where it has the recorded content."""
    if transfer.checksum is None and transfer.file_size is None:
        return None
    algorithm = transfer.algorithm
    with cache_errors(transfer.destination, "read"):
        try:
            size = transfer.destination.stat().st_size
            if transfer.file_size not in {None, size}:
                return None
            with transfer.destination.open("rb") as file:
                found = f"{algorithm}:{hashlib.file_digest(file, algorithm).hexdigest()}"
        except FileNotFoundError:
            return None
    if not transfer.accepts(size, lambda: found):
        return None
    return Fetched(transfer.destination, size, found, transferred=False)
