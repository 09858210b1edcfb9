"""The application: all routes and what stands before them, put together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from fastapi import Depends, FastAPI

from . import health, metrics
from .api import files, instruments, reading, writing
from .auth import known_tokens, may
from .errors import SCHEMAS, add_handlers, problems
from .limits import BodyLimit
from .metrics import Metrics
from .observing import Observed
from .pages.routes import add_pages
from .rates import RateLimit
from .served import Served
from .sound_files import SoundFiles
from .unzipped import Unzipped

API = "/api/v1"


@dataclass(frozen=True)
class Options:
    """How a server serves.

    Attributes
    ----------
    is_private : bool
        Whether reading asks for a token with the scope ``read``.
    rate_limit : int
        Requests that each client may make in a second; 0: as many as it likes.
    """

    is_private: bool = False
    rate_limit: int = 0


def make_app(served: Iterable[Served], options: Options = Options()) -> FastAPI:
    """Make the application that serves some instruments.

    Parameters
    ----------
    served : iterable of Served
    options : Options
    """
    app = _Application(
        title="koa-middleware",
        version="1",
        openapi_url=f"{API}/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        responses=problems(),
    )
    app.state.served = {each.plugin.name: each for each in served}
    app.state.archives = {}
    app.state.options = options
    app.state.metrics = Metrics(app.state.served.values())
    app.state.readiness = health.Readiness(app.state.served.values())
    app.state.tokens = known_tokens(app.state.served)
    app.state.files = {name: SoundFiles(each, app.state.metrics) for name, each in app.state.served.items()}
    add_handlers(app)
    app.add_middleware(BodyLimit)
    app.add_middleware(Unzipped)
    if options.rate_limit:
        app.add_middleware(RateLimit, rate=options.rate_limit)
    app.add_middleware(Observed, metrics=app.state.metrics)  # the last one stands around the others
    app.include_router(health.router)
    for each in (metrics, instruments, reading):
        app.include_router(each.router, dependencies=[Depends(may("read"))])
    app.include_router(files.router)
    app.include_router(writing.router)
    add_pages(app)
    return app


class _Application(FastAPI):
    def openapi(self) -> dict[str, Any]:
        """Describe all routes, with what their problems are and the instruments that there are."""
        described = super().openapi()
        described.setdefault("components", {}).setdefault("schemas", {}).update(SCHEMAS)
        names = sorted(self.state.served)
        for operation in (each for path in described["paths"].values() for each in path.values()):
            for parameter in operation.get("parameters", ()):
                if names and (parameter["name"], parameter["in"]) == ("instrument", "path"):
                    parameter["schema"]["enum"] = names
        return described
