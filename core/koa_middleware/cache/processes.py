"""One function for many things, in processes of their own: astropy reads one header at a time in each process.

They are started anew. A fork would take over the locks that other threads hold, and a process of `multiprocessing`
runs the caller's script once more where that has no guard.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any, TypeVar

from ..database.chunks import in_chunks
from ..exceptions import KoaMiddlewareError

T = TypeVar("T")
U = TypeVar("U")

_MOST = 8
"""Processes, each of which takes about 100 MB."""

_AT_ONCE = 25
_SCRIPT = """
import sys
sys.path[:] = sys.argv[2:]
from koa_middleware.cache.processes import serve
serve(int(sys.argv[1]))
"""


def applied(function: Callable[[T], U], things: Sequence[T], worth: int) -> Iterator[U]:
    """Apply a function to each of many things; gives what it returns, in their order.

    It runs in processes of their own where there are many things and another process can import it. Else threads of
    this one run it.

    Parameters
    ----------
    function : callable
    things : sequence
    worth : int
        Things that are worth the start of a process, which takes a second or two.

    Raises
    ------
    KoaMiddlewareError
        When a process ends before its work does.
    """
    number = min(os.cpu_count() or 1, _MOST, len(things) // worth)
    with ExitStack() as stack, ThreadPoolExecutor(os.cpu_count()) as pool:
        idle = _started(function, number, stack) if number > 1 else SimpleQueue[Connection]()
        if idle.empty():
            yield from pool.map(function, things)
            return

        def ask(some: Sequence[T]) -> list[U]:
            process = idle.get()
            try:
                return _answer(process, some)
            finally:
                idle.put(process)

        for some in pool.map(ask, list(in_chunks(things, _AT_ONCE))):
            yield from some


def serve(descriptor: int) -> None:
    """Do what the process at the other end of a connection asks, until it closes that."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the other one gets it too, and ends this one
    with Connection(descriptor) as caller, suppress(EOFError, ConnectionError):
        try:
            function = caller.recv()
        except (ImportError, AttributeError):  # which the other one made itself
            return
        caller.send([])
        while True:
            caller.send(list(map(function, caller.recv())))


def _started(function: Callable[[T], U], number: int, stack: ExitStack) -> SimpleQueue[Connection]:
    """Start processes that know a function; gives none where it cannot be sent, or not be imported there."""
    idle = SimpleQueue[Connection]()
    try:
        told = pickle.dumps(function)
    except (pickle.PicklingError, AttributeError):
        return idle
    connections = [stack.enter_context(_process()) for _ in range(number)]
    with suppress(EOFError, ConnectionError):
        for each in connections:
            each.send_bytes(told)
        for each in connections:
            each.recv()
        for each in connections:
            idle.put(each)
    return idle


@contextmanager
def _process() -> Iterator[Connection]:
    """Start a process that imports what this one does; it ends when its connection does."""
    ours, theirs = Pipe()
    with ours:
        with theirs:
            process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-c", _SCRIPT, str(theirs.fileno()), *sys.path],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )
        try:
            yield ours
        finally:
            process.terminate()
            process.wait()


def _answer(process: Connection, some: Sequence[Any]) -> list[Any]:
    try:
        process.send(some)
        answer: list[Any] = process.recv()
    except (EOFError, ConnectionError) as error:
        raise KoaMiddlewareError(
            "A process that read files ended before its work was done.",
            "Try again; where it was killed, there may be too little memory.",
        ) from error
    return answer
