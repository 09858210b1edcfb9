"""Problems as answers: every error that a route raises leaves as ``application/problem+json``."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.routing import Match

from ..exceptions import KoaMiddlewareError, RemoteUnavailableError
from ..remote.http.problems import MEDIA_TYPE, Problem, problem, problem_of
from .logs import WHO, tell
from .pages.problem_page import problem_page, wants_page

#: Seconds after which who was told that the archive does not answer, or has no connection free, may ask again.
_AGAIN_S = "1"


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


#: What all problems have, for OpenAPI.
SCHEMAS: dict[str, Any] = {
    "Problem": {
        "type": "object",
        "description": "A problem, as RFC 9457 has it; some have values of their own.",
        "properties": {
            "type": {"type": "string", "description": "Its kind."},
            "title": {"type": "string", "description": "The same for all of a kind."},
            "status": {"type": "integer"},
            "detail": {"type": "string", "description": "What was asked, and what was found."},
            "hint": {"type": "string", "description": "What to do."},
        },
        "required": ["type", "title", "status", "detail", "hint"],
    }
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Give what a route declares of its problems, for its ``responses``; without a status: what all may answer."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    if not statuses:
        return {"default": {"description": "A problem", "content": content}}
    return {status: {"description": HTTPStatus(status).phrase, "content": content} for status in statuses}


def answer(found: Problem, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Give a problem as an answer, which nobody keeps."""
    return JSONResponse(found.body, found.status, {"cache-control": "no-store", **(headers or {})}, MEDIA_TYPE)


def answer_to(request: Request, found: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """Give a problem as an answer; to a browser that asks for a page, as one."""
    return problem_page(request, found, headers) if wants_page(request) else answer(found, headers)


def outward(error: KoaMiddlewareError) -> KoaMiddlewareError:
    """Give an error as those are told of it who bear no token: what a database says of itself goes to the log."""
    if not isinstance(error, RemoteUnavailableError):
        return error
    tell(logging.WARNING, "the archive is not available", why=error.message)
    return RemoteUnavailableError(
        "The archive does not answer its server.", "Ask again later, or tell its keeper, whose log says why.", host=""
    )


def add_handlers(app: FastAPI) -> None:
    """Let errors become problems."""

    @app.exception_handler(KoaMiddlewareError)
    async def of_ours(request: Request, error: KoaMiddlewareError) -> Response:
        found = problem_of(error if getattr(request.state, WHO, None) else outward(error))
        return answer_to(request, found, {"retry-after": _AGAIN_S} if found.status == 503 else None)

    @app.exception_handler(ProblemError)
    async def of_the_server(request: Request, error: ProblemError) -> Response:
        return answer_to(request, error.problem, error.headers)

    @app.exception_handler(RequestValidationError)
    async def of_values(request: Request, error: RequestValidationError) -> Response:
        return answer_to(request, _of_values(error))

    @app.exception_handler(HTTPException)
    async def of_http(request: Request, error: HTTPException) -> Response:
        headers = {name.lower(): value for name, value in (error.headers or {}).items()}
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            headers["allow"] = ", ".join(_allowed(request))
        return answer_to(request, _of_http(error), headers)


def _of_values(error: RequestValidationError) -> Problem:
    """Say which values are wrong and why, and never what was given: a secret may stand in the wrong place."""
    found = [{"place": [_readable(part) for part in each["loc"]], "message": each["msg"]} for each in error.errors()]
    if any(each["type"] == "json_invalid" for each in error.errors()):
        return problem(400, "no-json", "No JSON", "The request's body is no JSON.", "Send JSON.")
    first = found[0]
    said = f"{'.'.join(first['place'][1:]) or first['place'][0]}: {first['message']}."
    hint = "Give values as the API's description has them."
    return problem(422, "invalid-request", "Invalid request", said, hint, errors=found)


def _readable(part: object) -> str:
    """Give a part of a place, which may be a name that a client chose, as text that can be sent."""
    return str(part).encode(errors="backslashreplace").decode()


#: What is said where a route says nothing of its own, and what to do.
_SAID = {
    404: ("There is nothing at this address.", "The API is described at /api/v1/openapi.json."),
    405: ("This address does not take this method.", "The API is described at /api/v1/openapi.json."),
}
_DO = {413: "Send less at once."}


def _of_http(error: HTTPException) -> Problem:
    status = HTTPStatus(error.status_code)
    detail, hint = _SAID.get(status, (str(error.detail), _DO.get(status, "")))
    return problem(status, status.phrase.lower().replace(" ", "-"), status.phrase, detail, hint)


def _allowed(request: Request) -> list[str]:
    """Give the methods that an address takes."""
    methods = ("DELETE", "GET", "PATCH", "POST", "PUT")
    scopes = {method: {**request.scope, "method": method} for method in methods}
    taken = [name for name, scope in scopes.items() if _is_taken(request, scope)]
    return sorted({*taken, *(["HEAD"] if "GET" in taken else [])})


def _is_taken(request: Request, scope: dict[str, Any]) -> bool:
    return any(route.matches(scope)[0] is Match.FULL for route in request.app.routes)
