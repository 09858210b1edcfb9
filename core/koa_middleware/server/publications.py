"""What publishers send, and how rows of another version of the instrument's class become rows of the server's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from ..database.feed import Judgement
from ..exceptions import SchemaMismatchError
from ..instrument.door import TIMES
from ..instrument.orm import ORMCalibration
from ..instrument.values import normal_form
from ..remote.http.problems import CHANGED
from ..remote.protocol import Here, Values
from ..remote.rows import in_form, shown
from .errors import ProblemError
from .uploads import LARGEST

#: Rows of one publication.
MOST_ROWS = 10_000

#: Bytes of a request that publishes.
LARGEST_REQUEST = 32 << 20

Digits = Annotated[str, Field(pattern="^[0-9a-f]{64}$", description="Hexadecimal digits of a sha256")]
Quality = Literal["GOOD", "BAD", "UNKNOWN"]


def _storable(text: str) -> str:
    if "\0" in text or (not text.isascii() and text != text.encode(errors="replace").decode()):
        raise ValueError("text with U+0000, or a half of a surrogate pair, cannot be stored")
    return text


#: Text that a database can hold.
Text = Annotated[str, AfterValidator(_storable)]
Value = Text | int | float | bool | None


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Answered(_Strict):
    """Whether the publisher's file of a name has a checksum, as the plan asked."""

    filename: Text
    checksum: Text
    holds: bool


class Sent(_Strict):
    """Records that are to be published.

    Attributes
    ----------
    rows : list of dict
        Values by column.
    renamed_from : dict
        Former names of the publisher's columns, so that a server of another version knows them.
    defaults : dict
        The publisher's values for "nothing said"; a column that the server lacks may hold nothing else.
    answers : list of Answered
    """

    rows: Annotated[list[dict[Text, Value]], Field(max_length=MOST_ROWS)]
    renamed_from: dict[Text, list[Text]] = {}
    defaults: dict[Text, Value] = {}
    answers: list[Answered] = []


class Said(_Strict):
    """A judgement that the publisher's side made."""

    quality: Quality
    who: Text | None
    why: Text | None
    at: Text


class Name(_Strict):
    """What a new record is to be called."""

    filename: Text
    cal_version: Text


class ToPublish(Sent):
    """Records that are published, all or none.

    Attributes
    ----------
    planned : dict
        What the plan gave to the records that are new, by id.
    files : dict
        The sha256 of the files that were uploaded, by id.
    judgements : dict
        Oldest first, by id.
    """

    planned: dict[Text, Name]
    files: dict[Text, Digits] = {}
    judgements: dict[Text, list[Said]] = {}


class Settled(BaseModel):
    """A record as it is, or would be, in the archive."""

    id: str
    filename: str
    cal_version: str
    is_new: bool


class Question(BaseModel):
    """Asks the publisher whether its file of a name has a checksum."""

    filename: str
    checksum: str


class Plan(BaseModel):
    """What a publication would give; where something is asked, plan again with the answers."""

    rows: list[Settled]
    asked: list[Question]


class Published(BaseModel):
    """What a publication gave; `newest` is number and token of an entry that comes after all of it."""

    rows: list[Settled]
    newest: tuple[int, str] | None


class ComingFile(_Strict):
    """A file that is to be uploaded, and its size in bytes."""

    digits: Digits
    size: Annotated[int, Field(ge=0, le=LARGEST)]


class Coming(_Strict):
    """Files that are to be uploaded."""

    files: Annotated[list[ComingFile], Field(max_length=MOST_ROWS)]


class Missing(BaseModel):
    """Digits of those files that are not here yet, and for which there is room."""

    missing: list[str]


class ToPlace(_Strict):
    """Files of records that are published already, by id: the sha256 of what was uploaded for it."""

    files: Annotated[dict[Text, Digits], Field(max_length=MOST_ROWS)]


class Placed(BaseModel):
    """The ids of those records whose files the server has, under their names."""

    here: list[str]


class ToJudge(_Strict):
    """A judgement."""

    quality: Quality
    reason: Annotated[Text, Field(max_length=10_000)]


class Judged(BaseModel):
    """What the feed tells of a judgement: n, id, op, at, quality, who, why, token of each entry."""

    entries: list[tuple[int, str | None, str, str, str | None, str | None, str | None, str]]
    newest: tuple[int, str] | None


def rows_of(orm_class: type[ORMCalibration], sent: Sent) -> list[Values]:
    """Give what was sent as rows of a class, in form.

    Raises
    ------
    HeaderError, UnsafeFilenameError
        When a value is not in form, or a needed one is missing.
    ProblemError
        When a column that the class lacks holds a value, or two rows have one id.
    """
    for id_, many in Counter(str(row["id"]) for row in sent.rows if row.get("id") is not None).items():
        if many > 1:
            said = f"{many} of the rows that were sent have the id {shown(id_)}."
            raise ProblemError(422, "invalid-request", "Invalid request", said, "Send each record once.")
    return [_row(orm_class, row, sent) for row in sent.rows]


def judgements_of(sent: ToPublish) -> dict[str, list[Judgement]]:
    """Give the judgements that were sent, by id."""
    return {id_: [Judgement(**said.model_dump()) for said in made] for id_, made in sent.judgements.items()}


def here_of(sent: Sent, unknown: Callable[[str, str], bool]) -> Here:
    """Give what the publisher's side knows; what it was not asked yet, `unknown` answers.

    Whether a name belongs to another record there, the publisher itself asks before it publishes.
    """
    known = {(each.filename, each.checksum): each.holds for each in sent.answers}

    def holds(filename: str, checksum: str) -> bool:
        asked = filename, checksum
        return known[asked] if asked in known else unknown(filename, checksum)

    return Here(_no_name_is_taken, holds)


def changed(said: str) -> ProblemError:
    """Give the problem of a publication whose plan does not hold any more."""
    return ProblemError(409, CHANGED, "The plan does not hold any more", said, "Plan again; nothing was published.")


def _no_name_is_taken(_: str) -> bool:
    return False


def _row(orm_class: type[ORMCalibration], row: Mapping[str, Value], sent: Sent) -> Values:
    known: Values = dict.fromkeys(orm_class.column_names())
    for name, value in row.items():
        own = _own_name(orm_class, name, row, sent.renamed_from)
        if own is not None:
            known[own] = value
        elif value is not None and value != sent.defaults.get(name):
            raise _unknown(orm_class, name, row)
    source = f"the record {shown(known['filename'])}"
    for name in TIMES:  # of which the door takes the other where one is none
        normal_form(orm_class.table().c[name], known[name], source)
    return in_form(orm_class, known, source)


def _own_name(
    orm_class: type[ORMCalibration], name: str, row: Mapping[str, Value], renamed_from: Mapping[str, list[str]]
) -> str | None:
    """Give the class's name of a column that an older or a newer version sends."""
    columns = orm_class.table().c
    if name in columns:
        return name
    newer = (each.key for each in columns if name in each.info.get("renamed_from", ()))
    older = (old for old in renamed_from.get(name, ()) if old in columns)
    return next((each for each in (*newer, *older) if each not in row), None)


def _unknown(orm_class: type[ORMCalibration], name: str, row: Mapping[str, Any]) -> ProblemError:
    table = orm_class.table().name
    said = f"The archive's {table} lacks the column {shown(name)}, and {shown(row.get('filename'))} has a value in it."
    hint = "Nothing was published. Its keeper upgrades the server's plugin, and runs koa-cal remote init."
    values = {"database": "the archive's server", "table": table, "missing": [name]}
    return ProblemError(422, SchemaMismatchError.__name__, "Unknown column", said, hint, values=values)
