"""Whether the archive and its file server answer this user: what ``koa-cal status --check`` asks."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

from ..exceptions import KoaMiddlewareError, RemoteError
from ..settings import ACCESS_TOKEN

if TYPE_CHECKING:
    from ..instrument.orm import ORMCalibration
    from ..settings import Settings


class Answer(NamedTuple):
    """What came of a question.

    Attributes
    ----------
    asked : str
        What was asked.
    ok : bool
    said : str
        For people.
    """

    asked: str
    ok: bool
    said: str


def answers(
    settings: Settings, orm_class: type[ORMCalibration], newest: Mapping[str, object] | None, patience_s: float = 5.0
) -> list[Answer]:
    """Ask what a store is set up to ask.

    Parameters
    ----------
    settings : Settings
    orm_class : type
    newest : mapping, optional
        The record whose file is asked for.
    patience_s : float
        Seconds for which a file server may say nothing.
    """
    if settings.offline:
        return [Answer("network", True, "offline is set, so nothing is asked")]
    found: list[Answer] = []
    if settings.remote_database_url is not None:
        found.append(_answer("archive", lambda: _ask_archive(settings, orm_class)))
    if settings.calibration_url is not None:
        found.append(_answer("file server", lambda: _ask_files(settings, newest, patience_s)))
    return found or [Answer("network", True, "neither an archive nor a file server is set")]


def _answer(asked: str, ask: Callable[[], str]) -> Answer:
    begun = time.monotonic()
    try:
        said = ask()
    except KoaMiddlewareError as error:
        return Answer(asked, False, str(error))
    answered = f"answers, in {time.monotonic() - begun:.2f} s"
    return Answer(asked, True, f"{answered}; {said}" if said else answered)


def _ask_archive(settings: Settings, orm_class: type[ORMCalibration]) -> str:
    from ..remote.servers import require_remote

    with closing(require_remote(settings, orm_class, "A check")) as remote, remote.connected() as source:
        scopes = source.state(None, None).scopes
    if settings.access_token is None or scopes is None:
        return ""
    if not scopes:
        raise RemoteError(
            f"{remote.name[0].upper()}{remote.name[1:]} answers, but the token in {ACCESS_TOKEN} does not hold.",
            "It is unknown there, has expired, was revoked, or is for another instrument; ask the archive's keeper.",
        )
    return f"the token in {ACCESS_TOKEN} allows {', '.join(scopes)}"


def _ask_files(settings: Settings, newest: Mapping[str, object] | None, patience_s: float) -> str:
    from ..fetch.server import FileServer

    if newest is None:
        return "not asked: no file of the archive is known here yet"
    url, limits = settings.calibration_url or "", (patience_s, patience_s)
    with FileServer(
        url, access_token=settings.access_token, cookie_file=settings.cookie_file, timeout_s=limits
    ) as server:
        server.probe(newest)
    return ""
