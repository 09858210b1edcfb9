"""Telling how far long work is: to a caller's function, or by a bar on a terminal or in a notebook."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeVar

from ..disk.room import in_words

if TYPE_CHECKING:
    from tqdm import tqdm

T = TypeVar("T")

Progress = Callable[[int], None]
"""Called with the bytes that have come since its last call."""

#: Seconds that work takes before a bar of its items appears.
_DELAY_S = 0.5

_reached: list[str] = []
"""How far the counted work came that is not at its end, in words."""


def how_far() -> str:
    """Say how far counted work came that was not ended, such as ``3 of 7 files``; empty where there was none."""
    return "".join(_reached)


@contextmanager
def shown_progress(size: int, progress: Progress | None, bar: bool) -> Iterator[Progress | None]:
    """Give what is called with new bytes: the caller's function, else that of a bar, where somebody looks at it."""
    if progress is not None or not bar or not _is_watched():
        yield progress
        return
    _reached.clear()
    with _bar(total=size or None, unit="B", unit_scale=True) as shown:

        def advance(count: int) -> None:
            shown.update(count)
            _reached[:] = [f"{in_words(shown.n)} of {in_words(size)}" if size else in_words(shown.n)]

        yield advance
    _reached.clear()


def counted(items: Iterable[T], total: int | None, unit: str) -> Iterator[T]:
    """Give items one by one, and show how many are done and what remains, where somebody looks at it.

    Parameters
    ----------
    items : iterable
    total : int or None
        How many there are, where that is known.
    unit : str
        What they are, such as ``"file"``.
    """
    _reached.clear()
    bar = _bar(total=total, unit=f" {unit}", delay=_DELAY_S, leave=False) if _is_watched() else nullcontext()
    of_all = "" if total is None else f" of {total}"
    with bar as shown:
        for done, item in enumerate(items, 1):
            yield item
            _reached[:] = [f"{done}{of_all} {unit}{'' if (total or done) == 1 else 's'}"]
            if shown is not None:
                shown.update(1)
    _reached.clear()


def _is_watched() -> bool:
    """Tell whether a bar would be seen: on a terminal, or in a notebook."""
    return sys.stderr.isatty() or _is_notebook()


def _is_notebook() -> bool:
    """Tell whether this is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return type(shell).__name__ == "ZMQInteractiveShell"


def _bar(**settings: Any) -> tqdm[Any]:
    """Make a bar of the place's kind; in a notebook without widgets it is one of text."""
    if _is_notebook() and find_spec("ipywidgets") is not None:
        from tqdm.notebook import tqdm as notebook_bar

        return notebook_bar(**settings)
    from tqdm import tqdm

    return tqdm(file=sys.stderr, **settings)
