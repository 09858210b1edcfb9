"""Errors as they cross HTTP: ``application/problem+json`` (RFC 9457), written and read in one place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ... import exceptions
from ...exceptions import (
    CacheError,
    CalibrationNotFoundError,
    ChecksumMismatchError,
    ConfigurationError,
    DuplicateCalibrationError,
    HeaderError,
    IntegrityError,
    KoaMiddlewareError,
    RemoteError,
    RemoteUnavailableError,
    SchemaMismatchError,
    UnsafeFilenameError,
)

MEDIA_TYPE = "application/problem+json"

#: How the types of problems begin; what follows is the name of an error's class, or one of `BEHIND` and the like.
PREFIX = "urn:koa-middleware:problem:"

#: A server that has not come as far as the client; with the number and token of its newest entry as `newest`.
BEHIND = "behind"
#: An entry that the client names is not, or no longer, in the feed, so that it reads everything.
GONE = "gone"
#: What a publication would give has changed since it was planned.
CHANGED = "changed"

#: The status of each error of ours; of a class that is not named, that of its base.
STATUS: dict[type[KoaMiddlewareError], int] = {
    CalibrationNotFoundError: 404,
    DuplicateCalibrationError: 409,
    ConfigurationError: 422,
    HeaderError: 422,
    UnsafeFilenameError: 422,
    IntegrityError: 422,
    ChecksumMismatchError: 422,
    SchemaMismatchError: 500,
    CacheError: 507,
    RemoteUnavailableError: 503,
    RemoteError: 502,
    KoaMiddlewareError: 500,
}


class Problem(NamedTuple):
    """A problem as it is sent.

    Attributes
    ----------
    status : int
    body : dict
        ``type``, ``title``, ``status``, ``detail``, ``hint``, and values of the problem's own.
    """

    status: int
    body: dict[str, Any]


def problem(status: int, kind: str, title: str, detail: str, hint: str = "", **values: Any) -> Problem:
    """Give a problem.

    Parameters
    ----------
    status : int
    kind : str
        What follows `PREFIX` in its type.
    title : str
        The same for all of a kind.
    detail, hint : str
        One sentence each: what was asked and found, and what to do.
    **values
        In JSON's terms.
    """
    body = {"type": f"{PREFIX}{kind}", "title": title, "status": status, "detail": detail, "hint": hint, **values}
    return Problem(status, body)


def problem_of(error: KoaMiddlewareError) -> Problem:
    """Give an error of ours as a problem; values that JSON does not have are left out."""
    kind = type(error)
    status = next(STATUS[each] for each in kind.__mro__ if each in STATUS)
    values = {name: value for name, value in error._values.items() if _is_plain(value)}
    title = str(kind.__doc__).partition(".")[0]
    return problem(status, kind.__name__, title, error.message, error.hint, values=values)


def error_of(body: Mapping[str, Any]) -> KoaMiddlewareError | None:
    """Give the error that a problem was made of; None where it is another problem."""
    name = str(body.get("type", "")).removeprefix(PREFIX)
    kind = getattr(exceptions, name, None) if name in exceptions.__all__ else None
    if not (isinstance(kind, type) and issubclass(kind, KoaMiddlewareError)):
        return None
    given = body.get("values")
    values = {str(key): value for key, value in given.items()} if isinstance(given, dict) else {}
    return kind(str(body.get("detail", "")), str(body.get("hint", "")), **values)


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, str | int | float | bool)
