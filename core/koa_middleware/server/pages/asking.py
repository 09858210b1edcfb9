"""What an address may ask of a page: a name that the page does not know is refused, so that no answer is to less."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import Depends, Request

from ...exceptions import did_you_mean
from ..errors import ProblemError


def takes(*names: str, prefix: str = "") -> Any:
    """Give the dependency of a page whose address may have these names, and those that begin with a prefix."""
    return Depends(_checking(names, prefix))


def _checking(names: tuple[str, ...], prefix: str) -> Callable[[Request], Awaitable[None]]:
    async def check(request: Request) -> None:
        for name in request.query_params:
            if name in names or (prefix and name.startswith(prefix)):
                continue
            said = f"The address asks for {name!r}, which this page does not know."
            known = [*names, *([f"{prefix}COLUMN"] if prefix else [])]
            hint = f"{did_you_mean(name, names)}It knows {', '.join(known)}." if known else "Leave it out."
            raise ProblemError(422, "unknown-name", "An unknown name in the address", said, hint)

    return check
