"""Which versions set an archive up, and what their classes declare.

They stand in the comment of the feed's table, as JSON. Whoever may connect can read it, also a role that was granted
its rights before there was a note, and a dump of the feed takes it along.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Table

from ...database.declared import Declaration, declaration_text
from ...database.versions import core_version, leads, plugin_version
from ...instrument.orm import ORMCalibration
from ...instrument.times import now_iso
from .identifiers import feed_name, quote
from .literals import text_literal


class Note(NamedTuple):
    """A version of an instrument's class that set an archive up.

    Attributes
    ----------
    version : str
        Of the plugin; empty for a class of no package.
    core : str
        Version of this package.
    since : str
        The day on which it did so first, UTC by the owner's clock.
    declaration : str
        What the class declares.
    """

    version: str
    core: str
    since: str
    declaration: str

    @classmethod
    def of(cls, orm_class: type[ORMCalibration]) -> Note:
        """Give the note of a class, from now on."""
        return cls(plugin_version(orm_class), core_version()[0], now_iso()[:10], declaration_text(orm_class))

    @property
    def declared(self) -> Declaration:
        """What the class declares."""
        return Declaration.read(self.declaration)

    def is_of(self, other: Note) -> bool:
        """Whether it is of the same class."""
        return self._key == other._key

    def leads(self, notes: Sequence[Note]) -> bool:
        """Whether this class decides, as in a local database."""
        return leads(self._key, [note._key for note in notes])

    @property
    def _key(self) -> tuple[str, str]:
        return self.version, self.declaration


def read_notes(comment: str | None) -> list[Note]:
    """Read the notes, the one that leads last; none from a comment that is not ours.

    What a newer core added to a note is left out.
    """
    try:
        found: Any = json.loads(comment or "[]")
        notes = [Note(*(str(said[name]) for name in Note._fields)) for said in found]
        for note in notes:
            _ = note.declared
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return []
    return notes


def note_statement(table: Table, notes: Sequence[Note]) -> str:
    """SQL that keeps the notes."""
    said = json.dumps([note._asdict() for note in notes])
    return f"COMMENT ON TABLE {quote(feed_name(table))} IS {text_literal(said)}"
