"""``koa-cal serve``."""

from __future__ import annotations

import signal
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from contextlib import ExitStack
from importlib.util import find_spec

from ..exceptions import ConfigurationError
from .arguments import positive
from .context import choose_instrument
from .messages import say
from .output import print_exactly

ABOUT = "serve the archive, or this cache, over HTTP, with pages to look at"

EXAMPLES = """
# the pages on your own cache, at http://127.0.0.1:8765/
koa-cal serve
# an archive, for others
koa-cal serve -i NAME --host 0.0.0.0 --port 8765
"""

#: What the extra ``server`` brings, as it is imported.
_NEEDED = ("fastapi", "httptools", "jinja2", "multipart", "prometheus_client", "uvicorn")


def add_arguments(command: ArgumentParser) -> None:
    """Add the arguments."""
    command.add_argument(
        "-i",
        "--instrument",
        metavar="NAME",
        action="append",
        dest="instruments",
        help="the instrument; may be repeated; default: the only one installed",
    )
    command.add_argument("--host", default="127.0.0.1", metavar="HOST", help="where to listen (127.0.0.1)")
    command.add_argument("--port", default=8765, type=port, metavar="PORT", help="0 is any free one (8765)")
    command.add_argument("--private", action="store_true", help="ask for a token with the scope read for reading, too")
    command.add_argument(
        "--rate-limit",
        metavar="N",
        type=positive,
        default=0,
        help="requests a second for each token, or each address without one; default: no limit",
    )


def run(options: Namespace) -> int:
    """Serve until Ctrl-C or SIGTERM."""
    _require_the_extra()
    from ..server.app import Options, make_app
    from ..server.logs import logged_on_stderr
    from ..server.opening import open_served
    from ..server.running import Server, address_of, end_now, is_loopback, listen, serve

    names = dict.fromkeys(options.instruments or [None])
    plugins = {plugin.name: plugin for plugin in map(choose_instrument, names)}
    opened = listen(options.host, options.port)
    with ExitStack() as stack:
        for each in opened:
            stack.enter_context(each)
        stack.enter_context(logged_on_stderr())
        served = [stack.enter_context(open_served(plugin)) for plugin in plugins.values()]
        if not all(map(is_loopback, opened)):
            say("others reach this address without encryption; put a proxy with TLS before it")
        print_exactly(f"Serving {', '.join(plugins)} at {address_of(opened[0])}")
        sys.stdout.flush()
        ended_by = serve(Server(make_app(served, Options(options.private, options.rate_limit))), opened)
    end_now(130 if ended_by == signal.SIGINT else 0)
    if ended_by == signal.SIGINT:
        raise KeyboardInterrupt
    return 0


def port(text: str) -> int:
    """Read a port."""
    if not text.isdecimal() or int(text) >= 1 << 16:
        raise ArgumentTypeError(f"{text!r} is not a port, a number from 0 to 65535")
    return int(text)


def _require_the_extra() -> None:
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        said = f"koa-cal serve needs the extra server, and {', '.join(missing)} is not installed."
        hint = "Install it: pip install 'koa-middleware[server]'."
        raise ConfigurationError(said, hint, setting="server", variable=None)
