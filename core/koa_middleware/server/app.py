"""The application: all routes and what stands before them, put together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fastapi import FastAPI

from .auth import known_tokens
from .errors import add_handlers
from .served import Served

API = "/api/v1"


@dataclass(frozen=True)
class Options:
    """How a server serves.

    Attributes
    ----------
    is_private : bool
        Whether reading asks for a token with the scope ``read``.
    """

    is_private: bool = False


def make_app(served: Iterable[Served], options: Options = Options()) -> FastAPI:
    """Make the application that serves some instruments.

    Parameters
    ----------
    served : iterable of Served
    options : Options
    """
    app = FastAPI(title="koa-middleware", version="1", openapi_url=f"{API}/openapi.json", docs_url=None, redoc_url=None)
    app.state.served = {each.plugin.name: each for each in served}
    app.state.tokens = known_tokens(app.state.served)
    app.state.options = options
    add_handlers(app)
    return app
