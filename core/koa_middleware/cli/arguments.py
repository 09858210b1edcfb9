"""Arguments that several commands have, and what may be typed for them."""

from __future__ import annotations

import re
from argparse import Action, ArgumentError, ArgumentParser, ArgumentTypeError, Namespace
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import timedelta


def add_instrument(command: ArgumentParser) -> None:
    """Add ``-i``, the instrument; without it `context.choose_instrument` decides."""
    command.add_argument(
        "-i",
        "--instrument",
        metavar="NAME",
        help="the instrument; default: KOA_INSTRUMENT, the one that the file's header names, or the only one installed",
    )


def add_force_instrument(command: ArgumentParser) -> None:
    """Add ``--force-instrument``, which accepts a header of another instrument."""
    command.add_argument(
        "--force-instrument", action="store_true", help="accept headers whose INSTRUME is another instrument's"
    )


def instruments_as(options: Namespace) -> AbstractContextManager[None]:
    """Give the context in which headers are read: with ``--force-instrument``, whatever instrument they name."""
    from ..instrument.keywords import any_instrument

    return any_instrument() if options.force_instrument else nullcontext()


def add_json(command: ArgumentParser) -> None:
    """Add ``--json``."""
    command.add_argument("--json", action="store_true", help="print JSON, for programs")


def add_types(command: ArgumentParser) -> None:
    """Add ``--type``, the wanted cal types."""
    command.add_argument(
        "--type", metavar="T", action="append", dest="types", help="only this cal type; may be repeated"
    )


def add_use(command: ArgumentParser) -> None:
    """Add ``--use``, the user's own choice of a type."""
    command.add_argument(
        "--use",
        metavar="TYPE=FILE_OR_ID",
        action=OnceEach,
        default=[],
        type=own_choice,
        help="use this calibration instead of the rule's choice; may be repeated",
    )


def add_lock(command: ArgumentParser, what: str) -> None:
    """Add ``--lock``, a lock file that says what is chosen."""
    command.add_argument("--lock", metavar="FILE", help=what)


class OnceEach(Action):
    """Collect pairs of a name and a value; refuse a name that was given before."""

    def __call__(
        self,
        parser: ArgumentParser,  # noqa: ARG002
        namespace: Namespace,
        values: Any,
        option_string: str | None = None,  # noqa: ARG002
    ) -> None:
        """Add a pair."""
        name, _ = values
        before = getattr(namespace, self.dest)
        if name.lower() in {each.lower() for each, _ in before}:
            raise ArgumentError(self, f"{name} is given twice; give it once")
        setattr(namespace, self.dest, [*before, values])


def own_choice(text: str) -> tuple[str, str]:
    """Read ``TYPE=FILE_OR_ID``."""
    name, _, value = text.partition("=")
    if not (name and value):
        raise ArgumentTypeError(f"{text!r} is not TYPE=FILE_OR_ID")
    return name.strip().lower(), value


def add_times(command: ArgumentParser) -> None:
    """Add ``--since`` and ``--until``, both inclusive."""
    command.add_argument(
        "--since", metavar="TIME", type=time, help="observed at this UTC time or later, such as 2026-02-12"
    )
    command.add_argument("--until", metavar="TIME", type=time, help="observed at this UTC time or day, or earlier")


def add_as_of(command: ArgumentParser) -> None:
    """Add ``--as-of``, the time of the state that is asked."""
    command.add_argument(
        "--as-of",
        metavar="TIME",
        type=time,
        help="answer as the records stood at this UTC time, or at the end of this day (today: now)",
    )


def add_column_values(command: ArgumentParser) -> None:
    """Add ``--set``, a column's value in place of the header's."""
    command.add_argument(
        "--set",
        metavar="COLUMN=VALUE",
        action=OnceEach,
        default=[],
        dest="overrides",
        type=assignment,
        help="a value that the frame's header lacks or has wrong; may be repeated",
    )


def assignment(text: str) -> tuple[str, str]:
    """Read ``COLUMN=VALUE``."""
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise ArgumentTypeError(f"{text!r} is not COLUMN=VALUE")
    return name, value


def time(text: str) -> str:
    """Check an ISO 8601 time, UTC."""
    from ..instrument.times import parse_iso

    try:
        parse_iso(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a UTC time such as 2026-02-12T03:00:00") from None
    return text


def moment(text: str) -> str:
    """Check an ISO 8601 time, UTC, with its time of day."""
    from ..instrument.times import parse_iso

    if not parse_iso(time(text)).has_clock:
        raise ArgumentTypeError(f"{text!r} has no time of day; write it as 2026-02-12T03:00:00")
    return text


def date(text: str) -> str:
    """Check a UTC day."""
    from ..instrument.times import parse_iso

    try:
        is_day = not parse_iso(text).has_clock
    except ValueError:
        is_day = False
    if not is_day:
        raise ArgumentTypeError(f"{text!r} is not a UTC day such as 2026-02-12")
    return text


def positive(text: str) -> int:
    """Read a whole number above 0, as large as a database can hold."""
    number = int(text) if text.isdecimal() and len(text) < 20 else 0
    if not 0 < number < 2**63:
        raise ArgumentTypeError(f"{text!r} is not a whole number above 0 and below 2**63")
    return number


def size(text: str) -> int:
    """Read a size, such as ``20GB``, as a number of bytes."""
    found = re.fullmatch(r"([0-9.]+) *([kmgt]?)b?", text.strip().lower())
    try:
        return int(float(found[1]) * 1000 ** " kmgt".index(found[2] or " ")) if found else int("")
    except (ValueError, OverflowError):
        raise ArgumentTypeError(f"{text!r} is not a size such as 500MB or 20GB") from None


def days(text: str) -> timedelta:
    """Read a number of days."""
    from datetime import timedelta

    try:
        found = timedelta(days=float(text))
        if found < timedelta(0):
            raise ValueError(text)
        return found
    except (ValueError, OverflowError):
        raise ArgumentTypeError(f"{text!r} is not a number of days, 0 or more") from None
