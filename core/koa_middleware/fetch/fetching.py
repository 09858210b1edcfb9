"""Fetching one file or many: each is whole and verified under its final name, or not there."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from typing import Protocol

from ..disk.writing import sync_folder
from ..exceptions import CacheError, ChecksumMismatchError, DownloadError, KoaMiddlewareError
from .attempt import Attempt, Run, StoppedError
from .pace import SLOW_TIMES
from .partial import CHUNK, Partial, TakenOver
from .responses import Setback
from .retries import RETRIES, SILENT_RETRIES, TAKEN_OVER_TIMES, pause_s
from .transfer import Fetched, Transfer
from .turns import only_one

_THREADS_PER_CONNECTION = 2


class Source(Protocol):
    """Where bytes come from."""

    def receive(self, attempt: Attempt) -> Setback | None:
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
    for _ in range(TAKEN_OVER_TIMES):
        with only_one(folder, transfer.key, run.stop):
            if not run.fresh and (there := transfer.already_there()):
                run.report(there.file_size)
                return there
            with Partial(folder, transfer.key, transfer.algorithm, large=large) as partial:
                try:
                    _fill(source, Attempt(transfer, partial, run))
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
    raise source.error(transfer, Setback("other processes keep taking over its partial file", "Try again."))


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


def _waited_for(transfer: Transfer, tries: int, run: Run) -> str:
    """Say what is waited for, and which try it is."""
    silence = f"nothing has come for {run.told_after_s:.0f} s"
    return f"waiting for {transfer.name} from {transfer.place}: {silence} (try {tries})"


def _fill(source: Source, attempt: Attempt) -> None:
    """Bring all bytes of a file, with as many requests as that takes, and check them."""
    transfer, partial, run = attempt.transfer, attempt.partial, attempt.run
    partial.take_over(usable=transfer.checksum is not None)
    run.report(partial.size)
    tries = failures = furthest = mismatches = slow = 0
    while True:
        setback = None
        if not attempt.is_complete:
            tries += 1
            with run.slots, run.waits.over(_waited_for(transfer, tries, run), lambda: partial.size):
                setback = source.receive(attempt)
        if setback is None and not partial.size and transfer.file_size != 0:
            setback = Setback("the server sent nothing", "Check KOA_CALIBRATION_URL.", permanent=True)
        if setback is None:
            if attempt.is_accepted:
                return
            mismatches += 1
            if not partial.resumed or mismatches > 1:
                raise attempt.mismatch()
            attempt.restart()
            continue
        failures = 1 if partial.size > furthest else failures + 1
        furthest = max(furthest, partial.size)
        slow += setback.slow
        retries = SILENT_RETRIES if setback.silent else RETRIES
        if setback.permanent or failures > retries or slow > SLOW_TIMES:
            run.unreachable = setback if setback.unreachable else None
            raise source.error(transfer, setback)
        if not attempt.can_resume:
            attempt.restart()
        run.wait(pause_s(run.backoff_s, failures, setback.wait_s))
