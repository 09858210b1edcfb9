"""The answers to those who follow an archive, as OpenAPI describes them; docs/http-protocol.md tells the rest."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

#: A place in the feed: number and token of an entry.
Place = tuple[int, str]
#: n, id, op, at, quality, who, why, token.
Entry = tuple[int, str | None, str, str, str | None, str | None, str | None, str]


class Column(BaseModel):
    """A column of rows."""

    name: str
    stored: str = Field(description="What the archive's table calls it.")
    type: str
    fold: bool | str
    nulls: list[str] | None
    is_required: bool
    is_unique: bool
    renamed_from: list[str]
    default: Any


class State(BaseModel):
    """What an archive says of itself."""

    newest: Place | None = Field(description="The feed's newest entry.")
    tokens: dict[str, str] = Field(default={}, description="Of the entries that were asked for, as far as it has them.")
    standby: bool = Field(description="Whether what is lacking at the end may be to come yet.")
    cluster: str = Field(description="Names the database's cluster.")
    made: str = Field(description="Changes when the table is changed or made anew; means something in a cluster.")
    resweep: tuple[int, str | None] = Field(description="The last entry that asks all to read everything, and why.")
    trouble: list[str] = Field(description="What keeps everybody from following, sentences.")
    keeps_history: bool
    stored: dict[str, str] = Field(description="The table's columns and their types.")
    columns: list[Column] = Field(description="What rows have.")
    shape: str = Field(description="Changes when anything but newest, standby and resweep does.")


class View(BaseModel):
    """The state of which an answer is."""

    newest: Place | None
    standby: bool
    clock: str | None = Field(description="Up to when it shows what happened, UTC.")
    shape: str = Field(description="That of the state; where it is another one, the client begins again.")
    etag: str = Field(description="The ETag of the state.")


class Former(BaseModel):
    """Former versions of rows: number of the entry that ended it, since, until, and the columns' values."""

    rows: list[list[Any]]
    odd: list[dict[str, Any]]


class Records(BaseModel):
    """Rows."""

    view: View
    columns: list[str]
    after: str
    is_last: bool
    rows: list[list[Any]] = Field(description="In form.")
    odd: list[dict[str, Any]] = Field(description="Rows that are not, as the archive has them.")


class History(BaseModel):
    """Entries of the feed, and the versions that they ended."""

    view: View
    columns: list[str]
    after: int
    is_last: bool
    entries: list[Entry]
    former: Former


class Changes(BaseModel):
    """Entries of the feed, and the present rows of their records; a record without a row was withdrawn."""

    view: View
    columns: list[str]
    after: int
    is_complete: bool = Field(description="Whether the last entry is the last one of its transaction.")
    entries: list[Entry]
    rows: list[list[Any]]
    odd: list[dict[str, Any]]
    former: Former


class Found(BaseModel):
    """Rows of some ids, and all that the feed tells of them."""

    state: State
    clock: str | None
    columns: list[str]
    entries: list[Entry]
    rows: list[list[Any]]
    odd: list[dict[str, Any]]
    former: Former
