"""Problems as answers: every error that a route raises leaves as ``application/problem+json``."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from ..exceptions import KoaMiddlewareError
from ..remote.http.problems import MEDIA_TYPE, Problem, problem, problem_of
from .pages.problem_page import problem_page, wants_page


class ProblemError(Exception):
    """A problem that is no error of this package's.

    Parameters
    ----------
    status, kind, title, detail, hint, values
        As of `koa_middleware.remote.http.problems.problem`.
    headers : dict, optional
        Of the answer.
    """

    def __init__(
        self,
        status: int,
        kind: str,
        title: str,
        detail: str,
        hint: str = "",
        *,
        headers: dict[str, str] | None = None,
        **values: Any,
    ) -> None:
        super().__init__(detail)
        self.problem = problem(status, kind, title, detail, hint, **values)
        self.headers = headers


def answer(request: Request, found: Problem, headers: dict[str, str] | None = None) -> Response:
    """Give a problem as an answer; to a browser as a page."""
    if wants_page(request):
        return problem_page(request, found, headers)
    return JSONResponse(found.body, found.status, headers, media_type=MEDIA_TYPE)


def add_handlers(app: FastAPI) -> None:
    """Let errors become problems."""

    async def of_ours(request: Request, error: Exception) -> Response:
        assert isinstance(error, KoaMiddlewareError)  # noqa: S101 - as it was registered
        return answer(request, problem_of(error))

    async def of_the_server(request: Request, error: Exception) -> Response:
        assert isinstance(error, ProblemError)  # noqa: S101 - as it was registered
        return answer(request, error.problem, error.headers)

    async def of_starlette(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101 - as it was registered
        said = f"{request.method} {request.scope['path']} is nothing that this server answers."
        found = problem(error.status_code, "http", error.detail, said, "Begin at the first page.")
        return answer(request, found, dict(error.headers or {}))

    app.add_exception_handler(KoaMiddlewareError, of_ours)
    app.add_exception_handler(ProblemError, of_the_server)
    app.add_exception_handler(HTTPException, of_starlette)
