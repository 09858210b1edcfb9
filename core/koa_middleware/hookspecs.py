"""The one hook by which an instrument's package makes itself known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from .plugins import InstrumentPlugin

#: Entry-point group and pluggy project name.
GROUP = "koa_middleware"

hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)


@hookspec
def koa_register_instrument() -> InstrumentPlugin:  # type: ignore[empty-body]
    """Return the instrument's `InstrumentPlugin`, the same object at each call."""
