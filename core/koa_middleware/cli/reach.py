"""Whether the archive and its file server answer this user: what ``koa-cal status --check`` asks."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple

from ..exceptions import KoaMiddlewareError

if TYPE_CHECKING:
    from ..store import CalibrationStore


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


def answers(store: CalibrationStore[Any]) -> list[Answer]:
    """Ask what a store is set up to ask; bounded in time by the limits of each connection."""
    settings = store.settings
    if settings.offline:
        return [Answer("network", True, "offline is set, so nothing is asked")]
    archive = [] if settings.remote_database_url is None else [_answer("archive", _ask_archive, store)]
    files = [] if settings.calibration_url is None else [_answer("file server", _ask_files, store)]
    return [*archive, *files] or [Answer("network", True, "neither an archive nor a file server is set")]


def _answer(asked: str, ask: Any, store: CalibrationStore[Any]) -> Answer:
    begun = time.monotonic()
    try:
        said = ask(store)
    except KoaMiddlewareError as error:
        return Answer(asked, False, str(error))
    return Answer(asked, True, said or f"answers, in {time.monotonic() - begun:.2f} s")


def _ask_archive(store: CalibrationStore[Any]) -> str:
    from ..remote.servers import require_remote

    with closing(require_remote(store.settings, store.orm_class, "A check")) as remote, remote.connected() as source:
        source.state(None, None)
    return ""


def _ask_files(store: CalibrationStore[Any]) -> str:
    from ..fetch.server import FileServer

    newest = store.local_db.query(origin="REMOTE", newest=1)
    if not newest:
        return "no calibration of the archive is known here yet, so no file could be asked for"
    settings = store.settings
    url = settings.calibration_url or ""
    with FileServer(url, access_token=settings.access_token, cookie_file=settings.cookie_file) as server:
        server.probe(newest[0].to_dict())
    return ""
