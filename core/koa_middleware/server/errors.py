"""Problems as answers: every error that a route raises leaves as ``application/problem+json``."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from ..exceptions import KoaMiddlewareError
from ..remote.http.problems import MEDIA_TYPE, Problem, problem, problem_of


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


def answer(found: Problem, headers: dict[str, str] | None = None) -> JSONResponse:
    """Give a problem as an answer."""
    return JSONResponse(found.body, found.status, headers, media_type=MEDIA_TYPE)


def add_handlers(app: FastAPI) -> None:
    """Let errors become problems."""

    async def of_ours(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, KoaMiddlewareError)  # noqa: S101 - as it was registered
        return answer(problem_of(error))

    async def of_the_server(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, ProblemError)  # noqa: S101 - as it was registered
        return answer(error.problem, error.headers)

    app.add_exception_handler(KoaMiddlewareError, of_ours)
    app.add_exception_handler(ProblemError, of_the_server)
