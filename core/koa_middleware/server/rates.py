"""How often one client may ask: each token, and each address that bears none, has its own measure."""

from __future__ import annotations

import hashlib
import ipaddress
import time
from collections import OrderedDict
from math import ceil

from fastapi import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from ..remote.http.problems import problem
from .errors import answer
from .logs import WHO

#: Seconds on whose average the rate is kept: so much may come at once after a silence.
BURST_S = 10.0

#: Which are asked by programs that look after the server.
_FREE = frozenset({"/health", "/ready", "/metrics"})

#: How many clients are remembered before those that were silent are forgotten.
_MANY = 10_000


class Rates:
    """When each client may ask again.

    Parameters
    ----------
    rate : float
        Requests a second.
    """

    def __init__(self, rate: float) -> None:
        self._pause = 1 / rate
        self._next: dict[str, float] = {}

    def wait(self, client: str, now: float) -> float:
        """Count a request; gives 0, or the seconds after which it may come again, which is not counted.

        Parameters
        ----------
        client : str
        now : float
            Seconds of any clock that goes on.
        """
        due = max(now, self._next.get(client, now))
        too_early = due + self._pause - now - max(BURST_S, self._pause)
        if too_early > 0:
            return too_early
        if client not in self._next and len(self._next) >= _MANY:
            self._next = {name: then for name, then in self._next.items() if then > now}
        self._next[client] = due + self._pause
        return 0.0


class RateLimit:
    """Lets each client ask so often.

    A token counts once a route has found it to hold. Until then its request counts for its address, so that tokens that
    somebody makes up give no more requests.
    """

    def __init__(self, app: ASGIApp, rate: float) -> None:
        self._app = app
        self._rates = Rates(rate)
        self._owners: OrderedDict[bytes, str] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, or say when to ask again."""
        if scope["type"] != "http" or scope["path"] in _FREE:
            await self._app(scope, receive, send)
            return
        login = _login_of(scope)
        client = self._owners.get(login) or _address_of(scope)
        wait = ceil(self._rates.wait(client, time.monotonic()))
        if wait:
            said = problem(
                429, "too-many-requests", "Too many requests", "This client asks too often.", f"Ask again in {wait} s."
            )
            await answer(said, {"retry-after": str(wait)})(scope, receive, send)
            return
        await self._app(scope, receive, send)
        self._remember(login, scope)

    def _remember(self, login: bytes, scope: Scope) -> None:
        name = scope["state"].get(WHO)
        self._owners.pop(login, None)
        if login and name:
            self._owners[login] = f"token {name}"
        if len(self._owners) > _MANY:
            self._owners.popitem(last=False)


def _login_of(scope: Scope) -> bytes:
    """Give what stands for a request's token, and does not tell it; empty where it bears none."""
    found = Request(scope).headers.get("authorization", "")
    return hashlib.sha256(found.encode()).digest() if found else b""


def _address_of(scope: Scope) -> str:
    """Give a client's address; of IPv6 its network, since a household has many addresses."""
    host = str(scope["client"][0]) if scope.get("client") else ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return host
    mapped = address.ipv4_mapped
    return str(mapped or ipaddress.ip_network((address, 64), strict=False))
