"""Who asks, and what they may: tokens of requests, judged from a memory that is half a second old at most.

A token comes in the header ``Authorization`` alone: as a bearer token; or, for reading, as the password of HTTP Basic
under any user's name, by which a browser logs in to private pages and a ``~/.netrc`` to a private server. Browsers send
such a login with requests that other sites make, too, so nothing is written by it.

All living tokens are read together, so that the database is asked twice a second at most however many ask the server;
for tokens that are not known, twenty times.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.security import HTTPBearer

from ..database.tokens import Scope, Token, Tokens, hash_of
from ..remote.http.wire import NOTHING, WORTH
from .errors import ProblemError
from .logs import WHO
from .served import Served

#: Seconds for which the tokens that were read are believed; a revocation holds within them, also of other processes.
FRESH_S = 0.5
#: Seconds between two readings, which all wait together whose tokens are not known.
_PAUSE_S = 0.05

_REALM = 'realm="koa-middleware"'
_BEARER = f"Bearer {_REALM}"
_FOR_READING = f'Basic {_REALM}, charset="UTF-8", {_BEARER}'


@dataclass(frozen=True)
class Caller:
    """Who asks.

    Attributes
    ----------
    name : str
        Of the token; empty where none was needed and none that is known was given.
    scopes : tuple of str
    """

    name: str = ""
    scopes: tuple[str, ...] = ()


ANYONE = Caller()


class KnownTokens:
    """The living tokens of what is served, kept in memory for a moment.

    Parameters
    ----------
    tokens : Tokens
    """

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens
        self._living: Mapping[str, Token] = {}
        self._begun = float("-inf")
        self._reading = asyncio.Lock()

    async def find(self, letters: str) -> Token | None:
        """Give the living token of these letters; None where there is none.

        Raises
        ------
        RemoteError, CacheError
            When the database cannot be asked.
        """
        asked = hash_of(letters)  # whose letters tell nothing, so that how long a look-up takes tells nothing either
        now = time.monotonic()
        for begun in (now - FRESH_S, now):  # again where it is not among them, since it may be new
            found = (await self._read_since(begun)).get(asked)
            if found is not None:
                return None if found.has_expired() else found
        return None

    async def _read_since(self, moment: float) -> Mapping[str, Token]:
        """Give the tokens as a reading found them that began at a time, or later."""
        if self._begun < moment:
            async with self._reading:
                if self._begun < moment:
                    await asyncio.sleep(self._begun + _PAUSE_S - time.monotonic())
                    begun = time.monotonic()
                    self._living = await run_in_threadpool(self._tokens.living)
                    self._begun = begun
        return self._living


def known_tokens(served: Mapping[str, Served]) -> dict[str, KnownTokens]:
    """Give the tokens that hold for what is served, by instrument."""
    return {
        name: KnownTokens(Tokens(each.remote.database if each.is_writable else each.store.local_db))
        for name, each in served.items()
    }


async def caller_of(request: Request, scope: Scope = "read") -> Caller:
    """Tell whose living token a request bears; `ANYONE` where it bears none.

    Of a route below an instrument it is one of that instrument's database, else one of any.
    """
    token = await _token_of(request, scope)
    return ANYONE if token is None else Caller(token.name, token.scopes)


def worth_of(request: Request) -> dict[str, str]:
    """Give the header that tells what a request's token allows for its instrument; empty where it bears none.

    It is for routes that `may` guards for reading.
    """
    if not _letters_of(request, "read"):
        return {}
    token: Token | None = request.state.token
    holds = token is not None and token.holds_for(str(request.path_params.get("instrument")))
    return {WORTH: " ".join(token.scopes) if token is not None and holds else NOTHING}


def may(scope: Scope) -> Callable[..., Awaitable[Caller]]:
    """Give the dependency of routes that ask for a scope; reading is open, unless the server is private.

    It gives the caller, whom the log names.
    """

    async def reading(request: Request) -> Caller:
        token = await _token_of(request, "read")
        request.state.token = token
        if request.app.state.options.is_private:
            _require(token, "read", request)
        return _noted(request, token)

    async def writing(request: Request, _: Annotated[Any, Depends(_IN_OPENAPI)]) -> Caller:
        token = await _token_of(request, scope)
        _require(token, scope, request)
        return _noted(request, token)

    return reading if scope == "read" else writing


#: Tells the OpenAPI that a route asks for a token.
_IN_OPENAPI = HTTPBearer(scheme_name="token", description="As koa-cal token add printed it.", auto_error=False)


def _noted(request: Request, token: Token | None) -> Caller:
    caller = ANYONE if token is None else Caller(token.name, token.scopes)
    setattr(request.state, WHO, caller.name or None)
    return caller


async def _token_of(request: Request, scope: Scope) -> Token | None:
    letters = _letters_of(request, scope)
    if not letters:
        return None
    all_known: Mapping[str, KnownTokens] = request.app.state.tokens
    instrument = str(request.path_params.get("instrument"))
    for known in [all_known[instrument]] if instrument in all_known else all_known.values():
        if (found := await known.find(letters)) is not None:
            return found
    return None


def _letters_of(request: Request, scope: Scope) -> str:
    """Give what a request bears as its token; empty where that is none."""
    headers = request.headers.getlist("authorization")
    kind, _, given = headers[0].partition(" ") if len(headers) == 1 else ("", "", "")
    if kind.lower() == "bearer":
        return given.strip()
    if kind.lower() != "basic" or scope != "read":
        return ""
    try:
        return base64.b64decode(given.strip(), validate=True).decode().partition(":")[2]
    except (binascii.Error, ValueError):  # ValueError: it is no text
        return ""


def _require(token: Token | None, scope: Scope, request: Request) -> None:
    if token is None:
        if _letters_of(request, scope):
            found = "the one that was sent does not hold"
            hint = (
                "It is unknown here, has expired, or was revoked; set KOA_ACCESS_TOKEN to another token of this server."
            )
        else:
            found, hint = "none was sent", "Set KOA_ACCESS_TOKEN to a token of this server."
        said = f"This asks for a token with the scope {scope}, and {found}."
        challenge = {"WWW-Authenticate": _FOR_READING if scope == "read" else _BEARER}
        raise ProblemError(401, "unauthorized", "No token that holds", said, hint, headers=challenge)
    if scope not in token.scopes:
        said = f"The token of {token.name} lacks the scope {scope}."
        raise _forbidden(said, f"Ask for a token that has it: koa-cal token add NAME --scope {scope}.", scope)
    instrument = str(request.path_params.get("instrument"))
    if instrument in request.app.state.tokens and not token.holds_for(instrument):
        said = f"The token of {token.name} is for {' and '.join(token.instruments)}, not for {instrument}."
        raise _forbidden(said, f"Ask for a token for it: koa-cal token add NAME -i {instrument}.", scope)


def _forbidden(said: str, hint: str, scope: Scope) -> ProblemError:
    headers = {"WWW-Authenticate": f'{_BEARER}, error="insufficient_scope", scope="{scope}"'}
    return ProblemError(403, "forbidden", "The token does not suffice", said, hint, headers=headers, scope=scope)
