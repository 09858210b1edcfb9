"""What a remote is to those who follow it and publish to it, whatever its server."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

#: Values in the order of the class's columns.
Row = tuple[Any, ...]


@dataclass(frozen=True)
class Batch:
    """Some rows of a remote, as a reading of it yields them.

    Attributes
    ----------
    rows : list of Row
        Rows in form: each value is as the local database stores it.
    odd : list of dict
        Rows that are not, as the remote has them: ``{column: value}``.
    """

    rows: list[Row]
    odd: list[dict[str, Any]] = field(default_factory=list)
