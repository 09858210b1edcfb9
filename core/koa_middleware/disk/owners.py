"""Whose a temporary file is: host and process stand in its name, so that one knows of a dead process's."""

from __future__ import annotations

import hashlib
import os
import platform

HOST = hashlib.sha256(platform.node().encode()).hexdigest()[:8]
"""Stands for this machine."""


def this_owner() -> str:
    """Give what a file's name says of this process, ``<host>-<process>``."""
    return f"{HOST}-{os.getpid()}"


def is_dead(owner: str) -> bool:
    """Whether an owner is a process of this machine that has ended; of others nothing is known.

    Raises
    ------
    ValueError
        When it is no owner.
    """
    host, _, process = owner.partition("-")
    return host == HOST and not _is_running(int(process))


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
