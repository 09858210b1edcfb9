"""What a judgement of quality needs: somebody who judges, a quality, and a reason."""

from __future__ import annotations

import getpass
import os

from ..exceptions import ConfigurationError
from ..instrument.plain import is_text, shown
from ..instrument.values import QUALITIES


def this_user() -> str:
    """Name of whoever runs this process; its number where the system knows no name, as in some containers.

    Bytes of a name that are not UTF-8 are escaped.
    """
    try:
        return getpass.getuser().encode(errors="backslashreplace").decode()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def check_judgement(quality: str | None, reason: str) -> str:
    """Give the quality's word.

    Raises
    ------
    ConfigurationError
        When it is not one, or there is no reason, or one that cannot be kept.
    """
    if quality is None:
        raise ConfigurationError(
            "Only a judgement that was made here can be taken back.",
            "Give here=True (koa-cal flag --here), or say another quality.",
            setting="quality",
        )
    check_reason(reason)
    return check_quality(quality)


def check_own_judgement(quality: str | None, reason: str) -> str | None:
    """Give the quality's word, or None, by which a store's own judgement is taken back; see `check_judgement`."""
    check_reason(reason)
    return None if quality is None else check_quality(quality)


def check_quality(quality: str) -> str:
    """Give the word of a quality; see `check_judgement`."""
    word = quality.strip().upper() if isinstance(quality, str) else ""
    if word not in QUALITIES:
        raise ConfigurationError(
            f"{shown(quality)} is not a quality.", f"Use one of {', '.join(QUALITIES)}.", setting="quality"
        )
    return word


def check_reason(reason: str) -> None:
    """Check that there is a reason that can be kept; see `check_judgement`."""
    if not isinstance(reason, str):
        said = f"The reason of the flag is {shown(reason)}, which is no text."
        raise ConfigurationError(said, "Say why, in words.", setting="reason")
    if not reason.strip():
        raise ConfigurationError(
            "The flag has no reason.", "Say why, for those who will look for the calibration.", setting="reason"
        )
    if not is_text(reason):
        raise ConfigurationError(
            f"The reason {shown(reason)} holds characters that are not text.", "Write it again.", setting="reason"
        )
