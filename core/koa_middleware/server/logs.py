"""The server's log: one line of JSON on stderr for each thing that happened, without any secret."""

from __future__ import annotations

import json
import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from .. import exceptions

#: Characters of a text, such as a path, that a line holds.
_LONGEST = 1000

log = logging.getLogger("koa_middleware.server")

#: The key of a request's state under which a route that has checked a token says whose it is.
WHO = "who"


def tell(level: int, message: str, error: BaseException | None = None, **values: Any) -> None:
    """Log what happened, with values of its own; of an error its traceback, too."""
    log.log(level, "%s", message, exc_info=error, extra={"values": values})


class JsonLines(logging.Formatter):
    """Each record as one line: ``time`` (UTC), ``level``, ``message``, its values, ``traceback``."""

    def format(self, record: logging.LogRecord) -> str:
        """Give the line."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line: dict[str, Any] = {"time": at, "level": record.levelname.lower(), "message": record.getMessage()}
        line |= getattr(record, "values", {})
        line = {name: value[:_LONGEST] if isinstance(value, str) else value for name, value in line.items()}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


@contextmanager
def logged_on_stderr() -> Iterator[None]:
    """Let everything that is logged in this process go to stderr as lines of JSON; warnings, too."""
    root, shown = logging.getLogger(), warnings.showwarning
    before, level = root.handlers[:], root.level
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    log.setLevel(logging.INFO)
    warnings.showwarning = _log_warning
    try:
        yield
    finally:
        root.handlers[:], warnings.showwarning = before, shown
        root.setLevel(level)


def _log_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    if category.__module__ != exceptions.__name__:  # ours are logged where they are given
        tell(logging.WARNING, str(message))
