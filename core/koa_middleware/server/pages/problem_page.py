"""An error as a page, or on one: the same sentence and the same hint as everywhere."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse

from ...exceptions import HeaderError, KoaMiddlewareError, SourceFileError
from ...remote.http.problems import Problem, problem_of
from .rendering import page

#: What a browser's user does who has no token that holds; programs are told of their setting.
_LOGIN = "Load the page again, and give the token as the password; the user name may be anything."


def wants_page(request: Request) -> bool:
    """Whether a browser asks, and not a program that asks the API."""
    path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    return not path.startswith("/api/") and "text/html" in request.headers.get("accept", "")


def problem_page(
    request: Request, found: Problem, headers: Mapping[str, str] | None = None, browse: str = ""
) -> HTMLResponse:
    """Give a problem as a page; with a link to the calibrations of the instrument ``browse``, where one is named."""
    body = found.body
    hint = _LOGIN if found.status == HTTPStatus.UNAUTHORIZED else body["hint"]
    answer = page(
        request, "problem.html", found.status, title=body["title"], said=body["detail"], hint=hint, browse=browse
    )
    answer.headers.update(headers or {})
    return answer


def problem_in(error: KoaMiddlewareError) -> dict[str, Any]:
    """Give an error for a page that shows it beside what was asked: status, title, sentence, hint, and its column.

    A page reads no files but those that are given to it, so that one that cannot be read is the asker's.
    """
    found = problem_of(error)
    status = 422 if isinstance(error, SourceFileError) else found.status
    column = error.column if isinstance(error, HeaderError) else ""
    told = {name: found.body[name] for name in ("title", "hint")}
    return {"status": status, "said": found.body["detail"], "column": column, **told}
