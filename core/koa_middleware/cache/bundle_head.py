"""What the manifest of a bundle says of all its records: their instrument, and the versions that wrote them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from ..database.declared import Declaration, declaration_text
from ..database.versions import core_version, plugin_version
from ..exceptions import SourceFileError
from ..instrument.orm import ORMCalibration

FORMAT, VERSION = "koa-calibrations", 1

_HINT = "Copy or export it again; nothing was imported."


@dataclass(frozen=True)
class Head:
    """What a manifest says of all records.

    Attributes
    ----------
    instrument : str
    core, plugin : str
        Versions of this package and of the plugin; empty where it does not say.
    declared : Declaration, optional
        What the class declares that wrote it.
    others : mapping
        Columns that the class does not know, and the names of their types.
    """

    instrument: str
    core: str = ""
    plugin: str = ""
    declared: Declaration | None = None
    others: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, orm_class: type[ORMCalibration], others: Mapping[str, str]) -> Self:
        """Give the head of a bundle that is written now."""
        declared = Declaration.read(declaration_text(orm_class))
        return cls(orm_class.instrument_name, core_version()[0], plugin_version(orm_class), declared, others)

    def to_dict(self) -> dict[str, Any]:
        """Give it as it stands in a manifest."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "instrument": self.instrument,
            "versions": {"core": self.core, "plugin": self.plugin},
            "declaration": None if self.declared is None else json.loads(self.declared.text),
            "others": dict(self.others),
        }

    @classmethod
    def read(cls, manifest: Mapping[str, Any], instrument: str) -> Self:
        """Read the manifest of a bundle of an instrument.

        Raises
        ------
        SourceFileError
            When it is of another format or instrument; its message lacks the bundle's name, with which it begins.
        """
        said = manifest.get("versions")
        versions = {name: said.get(name) for name in ("core", "plugin")} if isinstance(said, dict) else {}
        texts = {name: text for name, text in versions.items() if isinstance(text, str) and text.isprintable()}
        if manifest.get("version") != VERSION:
            core = texts.get("core")
            raise SourceFileError(
                f"is a bundle of format {manifest.get('version')}; this release reads format {VERSION}.",
                f"Install koa-middleware {core} or newer; nothing was imported."
                if core
                else "Use the release that wrote it, or a newer one; nothing was imported.",
                path=None,
            )
        if manifest.get("instrument") != instrument:
            raise SourceFileError(
                f"is a bundle of {manifest.get('instrument')!r}, not of {instrument}.",
                "Name its instrument with -i; nothing was imported.",
                path=None,
            )
        others = manifest.get("others")
        types = {name: str(type_) for name, type_ in others.items()} if isinstance(others, dict) else {}
        return cls(instrument, **texts, declared=_declared(manifest.get("declaration")), others=types)


def _declared(found: Any) -> Declaration | None:
    if found is None:
        return None
    try:
        return Declaration.read(json.dumps(found))
    except ValueError as error:
        raise SourceFileError("has a declaration of columns in its manifest that is none.", _HINT, path=None) from error
