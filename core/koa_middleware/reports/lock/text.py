"""A lock file as TOML: a line for each choice, in an order that does not depend on how the frames were given.

Written here: a library breaks a choice into a line for each of its values, or not, as it fits a width, so that a longer
name changes the shape of its neighbours.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from .locked import LockedChoice, LockedFrame

if TYPE_CHECKING:
    from .lock_file import LockFile

#: The number of the format that is written, and the only one that is read.
FORMAT = 1

_HEAD = "# What was chosen for which frame. `koa-cal lock --check` tells what would be chosen differently now."


def as_text(lock: LockFile) -> str:
    """Give a lock as TOML."""
    return "\n".join(_lines(lock)) + "\n"


def _lines(lock: LockFile) -> Iterator[str]:
    yield _HEAD
    head = {"format": FORMAT, "instrument": lock.instrument, "as_of": lock.as_of, "compared": list(lock.compared)}
    yield from _pairs(head)
    yield from ("", "[versions]", *_pairs({"core": lock.core, "plugin": lock.plugin}))
    if lock.archive is not None:
        yield from ("", "[archive]", *_pairs(lock.archive._asdict()))
    for calibration in lock.calibrations:
        yield from ("", "[[calibration]]", *_pairs(calibration._asdict()))
    for frame in lock.frames:
        yield from ("", "[[frame]]", *_frame(frame))


def _frame(frame: LockedFrame) -> Iterator[str]:
    yield from _pairs({"filename": frame.filename})
    yield f"values = {_inline(frame.values)}"
    if not frame.choices:
        yield "choices = []"
        return
    yield "choices = ["
    for choice in frame.choices:
        yield f"    {_inline(said_of(choice))},"
    yield "]"


def said_of(choice: LockedChoice) -> dict[str, Any]:
    """Give what there is to say of a choice."""
    said = choice._asdict().items()
    return {name: value for name, value in said if value is not None and value is not False and value != ""}


def _pairs(values: Mapping[str, Any]) -> Iterable[str]:
    return [f"{name} = {_value(value)}" for name, value in values.items() if value not in ("", None)]


def _inline(values: Mapping[str, Any]) -> str:
    return f"{{{', '.join(f'{name} = {_value(value)}' for name, value in values.items())}}}"


def _value(value: Any) -> str:
    """Give a value in TOML, whose text is JSON's but for one character, and whose numbers are Python's."""
    if isinstance(value, str):
        valid = value.encode("utf-8", "backslashreplace").decode()
        return json.dumps(valid, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    return repr(value)
