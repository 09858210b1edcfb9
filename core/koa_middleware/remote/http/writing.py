"""Publishing and judging over HTTP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from ...database.feed import Judgement
from ...exceptions import RemoteError
from ..protocol import Here, Upload, Values

if TYPE_CHECKING:
    from .remote import HttpRemote


def publish(
    remote: HttpRemote[Any],
    rows: Sequence[Values],  # noqa: ARG001
    judgements: Mapping[str, Sequence[Judgement]],  # noqa: ARG001
    upload: Upload | None,  # noqa: ARG001
    here: Here,  # noqa: ARG001
    who: str,  # noqa: ARG001
) -> NoReturn:
    """Take records in; see `koa_middleware.remote.protocol.Remote.publish`."""
    raise RemoteError(f"{remote.name} takes no publications.", "Publish at the database.")


def flag(remote: HttpRemote[Any], id: str, quality: str, reason: str, who: str) -> NoReturn:  # noqa: ARG001
    """Set a record's quality; see `koa_middleware.remote.protocol.Remote.flag`."""
    raise RemoteError(f"{remote.name} takes no judgements.", "Flag at the database.")
