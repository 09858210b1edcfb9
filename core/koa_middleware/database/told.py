"""What happened to a record, or to all of a file name, from the feed, former versions and judgements made here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from sqlalchemy import Connection, select

from ..display import html_table, in_brackets, printable
from ..exceptions import CalibrationNotFoundError
from ..instrument.detached import record_builder
from ..instrument.orm import ORMCalibration, family_of
from ..instrument.plain import shown
from .feed import feed_table
from .history import history_table
from .judgements import judgements_table
from .local import LocalDatabase

_OF_NOTHING: Mapping[str, Any] = {}
_JUDGED = "judged here"


class History(list[dict[str, Any]]):
    """What happened to a record, oldest first; prints as lines."""

    def __repr__(self) -> str:
        return in_brackets(self, f"{len(self)} {'event' if len(self) == 1 else 'events'}")

    def __str__(self) -> str:
        return "\n".join(map(_line, self))

    def _repr_html_(self) -> str:
        rows = [(each["time"], _what(each), each["who"] or "", _differences(each), each["why"] or "") for each in self]
        return html_table(("time (UTC)", "what", "who", "change", "why"), rows)


def _line(event: Mapping[str, Any]) -> str:
    by = f" by {event['who']}" if event["who"] else ""
    parts = [f"{event['time']} UTC  {_what(event)}{by}", _differences(event), event["why"]]
    return printable(": ".join(filter(None, parts)))


def _what(event: Mapping[str, Any]) -> str:
    """Say what happened, of a judgement made here with its quality."""
    if event["what"] != _JUDGED:
        return str(event["what"])
    quality = event["after"]["quality"]
    return "judgement here taken back" if quality is None else f"judged {quality} here"


def _differences(event: Mapping[str, Any]) -> str:
    """Say in which columns the versions differ; nothing of a whole record that came or went."""
    before, after = event["before"], event["after"]
    names = [name for name in after if name in before and name != "last_updated"]
    return ", ".join(f"{name} {shown(before[name])} to {shown(after[name])}" for name in names)


class _Version(NamedTuple):
    """A version of a row, from one entry until another one; `until` is empty of the present one."""

    since: str
    until: str
    is_of_archive: bool
    values: dict[str, Any]


def history_of(database: LocalDatabase[Any], id_or_filename: str) -> History:
    """Tell what happened to a record, or to all that had a file name; see `CalibrationStore.history`."""
    with database.connect() as connection:
        ids = _ids_of(connection, database, id_or_filename)
        events = [event for id_ in ids for event in _events(connection, database.orm_class, id_)]
    return History(sorted(events, key=lambda event: str(event["time"])))


def known_or_former(database: LocalDatabase[Any], id_or_filename: str) -> Any:
    """Give the record of an id or file name; of one that is gone, as it was last.

    Raises
    ------
    CalibrationNotFoundError
        When there never was one.
    """
    orm_class: type[ORMCalibration] = database.orm_class
    try:
        return database.find(id_or_filename)
    except CalibrationNotFoundError:
        with database.connect() as connection:
            id_ = _ids_of(connection, database, id_or_filename)[-1]
            former = history_table(orm_class)
            last = select(former).where(former.c.id == id_).order_by(former.c.koa_n.desc()).limit(1)
            found = connection.execute(last).mappings().first()
        if found is None:
            raise
    return record_builder(orm_class)([found[name] for name in orm_class.column_names()])


def _ids_of(connection: Connection, database: LocalDatabase[Any], id_or_filename: str) -> list[str]:
    """Give the id; of a file name those of all records that had it, the one that had it last at the end."""
    orm_class: type[ORMCalibration] = database.orm_class
    feed, history, log = feed_table(orm_class).c, history_table(orm_class).c, judgements_table(orm_class).c
    for known in (feed["id"], log["id"]):
        if connection.execute(select(known).where(known == id_or_filename).limit(1)).first():
            return [id_or_filename]
    named = select(history.id).where(history.filename.collate("NOCASE") == id_or_filename)
    former = connection.execute(named.order_by(history.koa_n.desc())).scalars()
    ids = [str(id_) for id_ in reversed(dict.fromkeys(former))]
    try:
        there = str(database.find(id_or_filename).id)
    except CalibrationNotFoundError:
        if not ids:
            raise
        return ids
    return [*(id_ for id_ in ids if id_ != there), there]


def _events(connection: Connection, orm_class: type[ORMCalibration], id: str) -> Iterator[dict[str, Any]]:
    for event in _events_of(connection, orm_class, id):
        yield {**event, "id": id}


def _events_of(connection: Connection, orm_class: type[ORMCalibration], id: str) -> Iterator[dict[str, Any]]:
    feed, log = feed_table(orm_class).c, judgements_table(orm_class).c
    columns = feed.n, feed.op, feed.at, feed.who, feed.why, feed.quality, feed.archive_n
    found = connection.execute(select(*columns).where(feed.id == id))
    entries = sorted(found, key=lambda entry: (entry.at, entry.n))
    sent = {(entry.quality, entry.who, entry.why) for entry in entries if entry.archive_n is not None}
    versions = list(_versions(connection, orm_class, id))
    chains = {is_there: [each for each in versions if each.is_of_archive == is_there] for is_there in (True, False)}
    was_added_here = False
    for entry in entries:
        is_here = entry.archive_n is None
        event = _event(entry, chains[not is_here])
        if entry.op == "added" and was_added_here and not is_here:
            event["what"] = "published"
        was_added_here |= is_here and entry.op == "added"
        if not (is_here and entry.op == "flagged" and (entry.quality, entry.who, entry.why) in sent):
            yield event
    own = select(log.at, log.who, log.why, log.quality).where(log.id == id).order_by(log.n)
    for said in connection.execute(own):
        yield _told(said.at, said.who, _JUDGED, said.why, _OF_NOTHING, {"quality": said.quality})
    if versions:
        yield from _newer_versions(connection, orm_class, versions[-1])


def _newer_versions(
    connection: Connection, orm_class: type[ORMCalibration], last: _Version
) -> Iterator[dict[str, Any]]:
    """Say when records of the same family with a greater version were added, while the record was there."""
    values = last.values
    table, feed = orm_class.table().c, feed_table(orm_class).c
    family = (table[name].is_not_distinct_from(value) for name, value in family_of(orm_class, values).items())
    is_newer = table.cal_version > values["cal_version"]
    added = feed.id == table.id, feed.op == "added", (feed.archive_n.is_(None)) == (table.origin == "LOCAL")
    newer = select(feed.at, feed.who, table.filename, table.cal_version).where(*family, is_newer, *added)
    if last.until:
        newer = newer.where(feed.at < last.until)
    for at, who, filename, version in connection.execute(newer):
        yield _told(at, who, "superseded", f"{filename} is its version {version}", _OF_NOTHING, _OF_NOTHING)


def _versions(connection: Connection, orm_class: type[ORMCalibration], id: str) -> Iterator[_Version]:
    table, history, feed = orm_class.table(), history_table(orm_class), feed_table(orm_class).c
    for row in connection.execute(select(history).where(history.c.id == id).order_by(history.c.koa_n)).mappings():
        values = {column.name: row[column.name] for column in table.c}
        yield _Version(row["koa_since"], row["koa_until"], row["koa_archive_n"] is not None, values)
    now = connection.execute(select(table).where(table.c.id == id)).mappings().first()
    if now is None:
        return
    newest = select(feed.at, feed.archive_n).where(feed.id == id).order_by(feed.at.desc(), feed.n.desc())
    for at, archive_n in connection.execute(newest):
        if (archive_n is None) == (now["origin"] == "LOCAL"):
            yield _Version(at, "", archive_n is not None, dict(now))
            return
    yield _Version("", "", now["origin"] != "LOCAL", dict(now))


def _event(entry: Any, chain: list[_Version]) -> dict[str, Any]:
    """Give an entry with the versions before and after it; the version that it ended leaves the chain."""
    before = after = _OF_NOTHING
    if entry.op != "added" and chain and chain[0].until == entry.at:
        before = chain.pop(0).values
    if entry.op != "withdrawn" and chain and chain[0].since == entry.at:
        after = chain[0].values
    if before and after:
        differing = [name for name in after if before.get(name) != after[name]]
        before, after = ({name: values[name] for name in differing} for values in (before, after))
    return _told(entry.at, entry.who, entry.op, entry.why, before, after)


def _told(
    time: str, who: str | None, what: str, why: str | None, before: Mapping[str, Any], after: Mapping[str, Any]
) -> dict[str, Any]:
    return {"time": time, "who": who, "what": what, "why": why, "before": dict(before), "after": dict(after)}
