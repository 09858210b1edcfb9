"""What to do about a record's file: use it, download it, move it aside, or refuse.

Nothing is read or changed here: `look` finds out what there is, and `provide` does what is decided.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ..disk.checksums import Signature
from ..exceptions import DownloadError, IntegrityError, KoaMiddlewareError, RemoteNotConfiguredError
from ..instrument.orm import ORMCalibration
from ..settings import CALIBRATION_URL


class Found(NamedTuple):
    """What was found of a record's file.

    Attributes
    ----------
    own : pathlib.Path
        Where the user's own cache has it, or would have it.
    own_fault : str or None
        How the file there differs from its record, empty where it does not; None: there is no file.
    shared : pathlib.Path or None
        Where the shared cache has it; None where it has none, or was not looked at.
    shared_fault : str
        As `own_fault`.
    is_of_another : bool
        Whether the file name belongs to another record.
    own_signature : Signature or None
        Of the user's own file when it was found to be spoilt.
    """

    own: Path
    own_fault: str | None = None
    shared: Path | None = None
    shared_fault: str = ""
    is_of_another: bool = False
    own_signature: Signature | None = None


@dataclass(frozen=True)
class Terms:
    """The terms under which a file is asked for.

    Attributes
    ----------
    use_cached : bool
        Whether a file that is here is used; false: one of the archive is downloaded again.
    offline : bool
    has_url : bool
        Whether a calibration URL is set.
    """

    use_cached: bool = True
    offline: bool = False
    has_url: bool = True


class Here(NamedTuple):
    """The file can be used where it is."""

    path: Path


@dataclass(frozen=True)
class ToCome:
    """The file must be downloaded."""


@dataclass(frozen=True)
class Spoilt:
    """A file differs from its record, and can be had elsewhere.

    Attributes
    ----------
    path : pathlib.Path
    fault : str
    then : Here, ToCome or Spoilt
        The other way.
    is_shared : bool
        Whether it is the shared cache's, which nobody but its keeper changes.
    signature : Signature or None
        Of the file when it was found to be spoilt.
    """

    path: Path
    fault: str
    then: Here | ToCome | Spoilt
    is_shared: bool = False
    signature: Signature | None = None


@dataclass(frozen=True)
class NotToBeHad:
    """The file cannot be had; the error says why."""

    error: KoaMiddlewareError


Decision = Here | ToCome | Spoilt | NotToBeHad


def decide(record: ORMCalibration, found: Found, terms: Terms) -> Decision:
    """Decide what becomes of a record's file."""
    if not terms.use_cached and record.origin != "LOCAL":
        return decide_download(record, found, terms)
    if found.own_fault is None:
        return _decide_without_own(record, found, terms)
    if found.is_of_another and (found.own_fault or record.checksum is None):
        return _taken(record)
    if not found.own_fault:
        return Here(found.own)
    then = _decide_without_own(record, found, terms)
    if record.origin == "LOCAL" or isinstance(then, NotToBeHad):
        return _spoilt_for_good(record, found, terms)
    return Spoilt(found.own, found.own_fault, then, signature=found.own_signature)


def _decide_without_own(record: ORMCalibration, found: Found, terms: Terms) -> Decision:
    if found.shared is None:
        return decide_download(record, found, terms)
    if not found.shared_fault:
        return Here(found.shared)
    then = decide_download(record, found, terms)
    if not isinstance(then, ToCome):
        error = IntegrityError(
            f"{found.shared} in the shared cache is not what its record says: {found.shared_fault}.",
            "Tell the keeper of that cache, or download the file into your own cache where there is a network.",
            path=found.shared,
        )
        return NotToBeHad(error)
    return Spoilt(found.shared, found.shared_fault, then, is_shared=True)


def decide_download(record: ORMCalibration, found: Found, terms: Terms) -> ToCome | NotToBeHad:
    """Decide whether a record's file can be downloaded, whatever is here."""
    name, folder = record.filename, found.own.parent
    if record.origin == "LOCAL":
        error = DownloadError(
            f"{name} cannot be downloaded: it is LOCAL, so the archive does not have it.",
            f"Register it again if it is missing from {folder}.",
        )
        return NotToBeHad(error)
    if found.is_of_another:
        return _taken(record)
    again = "cannot be downloaded again"
    if terms.offline:
        message = f"{name} is not in the cache, and" if found.own_fault is None else f"{name} {again}:"
        hint = "Unset KOA_OFFLINE, or download it where there is a network."
        return NotToBeHad(DownloadError(f"{message} the store is offline.", hint))
    if not terms.has_url:
        message = f"{name} is not in the cache {folder.parent}, and" if found.own_fault is None else f"{name} {again}:"
        hint = f"Set {CALIBRATION_URL}, or register the file."
        error_ = RemoteNotConfiguredError(f"{message} no calibration URL is set.", hint, variable=CALIBRATION_URL)
        return NotToBeHad(error_)
    return ToCome()


def _taken(record: ORMCalibration) -> NotToBeHad:
    error = DownloadError(
        f"{record.filename} cannot be downloaded: another calibration has its name.",
        "koa-cal status lists such conflicts; a LOCAL one can be registered under another name.",
    )
    return NotToBeHad(error)


def _spoilt_for_good(record: ORMCalibration, found: Found, terms: Terms) -> NotToBeHad:
    if record.origin == "LOCAL":
        hint = "Register the right file again, which moves this one aside; it is left where it is."
    elif terms.offline:
        hint = "Unset KOA_OFFLINE to download it again; it is left where it is."
    else:
        hint = f"Set {CALIBRATION_URL} to download it again; it is left where it is."
    message = f"{found.own} is not what its record says: {found.own_fault}."
    return NotToBeHad(IntegrityError(message, hint, path=found.own))


def to_come(decision: Decision) -> bool:
    """Whether a decision ends with a download."""
    while isinstance(decision, Spoilt):
        decision = decision.then
    return isinstance(decision, ToCome)
