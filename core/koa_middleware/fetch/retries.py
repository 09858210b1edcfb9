"""How often a request is repeated, and how long to wait for a server."""

from __future__ import annotations

import random

RETRIES = 4
"""Attempts, after a first one, that may follow each other without a new byte."""

SILENT_RETRIES = 1
"""The same of a server that sends nothing: each attempt waits for it as long as `TIMEOUT_S` says."""

BACKOFF_S = 0.5
"""Seconds before the first repetition of a request; doubled at each one, with jitter."""

TIMEOUT_S = (10.0, 60.0)
"""Seconds to connect, and between two pieces of an answer."""

LONGEST_WAIT_S = 60.0
"""Seconds that a server's ``Retry-After`` is obeyed; a longer one is an error at once."""

TAKEN_OVER_TIMES = 3
"""Times that a transfer starts again after another process took its partial file."""


def pause_s(backoff_s: float, failures: int, asked_s: float) -> float:
    """Seconds to wait after so many failures in a row, at least as long as the server asks."""
    return max(backoff_s * 2.0 ** (failures - 1) * random.uniform(0.5, 1.0), asked_s)  # noqa: S311 - jitter
