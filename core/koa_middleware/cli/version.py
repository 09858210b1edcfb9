"""``koa-cal --version``."""

from __future__ import annotations

from argparse import Action, ArgumentParser
from typing import Any

from .output import print_text


def add_version(parser: ArgumentParser) -> None:
    """Add the option."""
    parser.add_argument("--version", action=_Versions, nargs=0, help="show the versions of core and of the plugins")


class _Versions(Action):
    def __call__(self, parser: ArgumentParser, *_: Any) -> None:
        """Print the versions of the installed packages, of which no plugin is imported, and end."""
        import platform

        from .. import __version__
        from ..plugins import installed_plugins

        print_text(f"koa-middleware {__version__}")
        for found in installed_plugins():
            print_text(f"{found.distribution} {found.version} ({found.instrument})")
        print_text(f"Python {platform.python_version()}")
        parser.exit()
