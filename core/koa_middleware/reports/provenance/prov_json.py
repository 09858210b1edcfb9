"""Where a product comes from in the terms of W3C PROV, in the form of PROV-JSON (W3C submission of 24 April 2013).

A reduction used a frame and its calibrations; its product was derived from them. Each use says in which role, by which
rule and at which distance in time. The programs that chose are agents, the rules their plans.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

from ...instrument.orm import ORMCalibration

_PREFIXES = {"koa": "urn:koa-middleware:", "xsd": "http://www.w3.org/2001/XMLSchema#"}
_REDUCTION, _PRODUCT, _CORE = "koa:reduction", "koa:product", "koa:software/koa-middleware"

#: What is told of a calibration itself, and what of its use.
_OF_CALIBRATION = ("cal_type", "file", "checksum", "version", "quality")
_OF_USE = ("delta_days", "weight", "rule", "step", "given_by_user", "as_of")


def as_prov(
    together: Mapping[str, Any], calibrations: Sequence[tuple[Mapping[str, Any], ORMCalibration]]
) -> dict[str, Any]:
    """Give a PROV document as plain data.

    Parameters
    ----------
    together : mapping
        What is told of all, as in the cards.
    calibrations : sequence of tuple
        What is told of each, as in its cards, and its record.
    """
    plugin = _name("software", together["instrument"])
    entities: dict[str, Any] = {_PRODUCT: _typed("koa:Product")}
    sources: dict[str, None] = {}
    used: list[dict[str, Any]] = []
    plans: dict[str, None] = {}
    for told, record in calibrations:
        calibration = _name("calibration", told["id"])
        entities[calibration] = _typed("koa:Calibration", label=told["file"], facts=_known(told, _OF_CALIBRATION))
        role = f"{told['cal_type']}, {told['role']}" if told["role"] else told["cal_type"]
        used.append(_use(calibration) | {"prov:role": role} | _known(told, _OF_USE))
        if record.choice is not None:
            frame, plan = _name("frame", record.choice.frame), _name("rule", record.choice.rule)
            entities[frame] = _typed("koa:Frame", label=record.choice.frame)
            entities[plan] = _typed("prov:Plan", label=record.choice.rule)
            sources.setdefault(frame)
            plans.setdefault(plan)
        sources.setdefault(calibration)
    frames = [_use(source) | {"prov:role": "frame"} for source in sources if source.startswith("koa:frame/")]
    associations = [{"prov:activity": _REDUCTION, "prov:agent": _CORE}]
    associations += [{"prov:activity": _REDUCTION, "prov:agent": plugin, "prov:plan": plan} for plan in plans]
    missing = {} if together["missing"] is None else {"koa:missing": together["missing"]}
    return {
        "prefix": dict(_PREFIXES),
        "entity": entities,
        "activity": {_REDUCTION: _typed("koa:Reduction") | missing},
        "agent": {
            _CORE: _typed("prov:SoftwareAgent", label="koa-middleware", facts=_version(together["core"])),
            plugin: _typed("prov:SoftwareAgent", label=together["instrument"], facts=_version(together["plugin"])),
        },
        "used": _numbered("used", [*frames, *used]),
        "wasGeneratedBy": _numbered("generated", [{"prov:entity": _PRODUCT, "prov:activity": _REDUCTION}]),
        "wasDerivedFrom": _numbered(
            "derived",
            [
                {"prov:generatedEntity": _PRODUCT, "prov:usedEntity": source, "prov:activity": _REDUCTION}
                for source in sources
            ],
        ),
        "wasAssociatedWith": _numbered("associated", associations),
    }


def _name(kind: str, name: Any) -> str:
    """Give a qualified name."""
    return f"koa:{kind}/{quote(str(name), safe='', errors='backslashreplace')}"


def _typed(type_: str, *, label: str | None = None, facts: Mapping[str, Any] = MappingProxyType({})) -> dict[str, Any]:
    named = {} if label is None else {"prov:label": label}
    return {"prov:type": {"$": type_, "type": "prov:QUALIFIED_NAME"}, **named, **facts}


def _known(told: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Give those values that are there, which a number that is not finite is not."""
    found = {f"koa:{name}": told[name] for name in names if told[name] is not None}
    return {name: value for name, value in found.items() if not isinstance(value, float) or math.isfinite(value)}


def _version(number: str | None) -> dict[str, Any]:
    return {} if number is None else {"koa:version": number}


def _use(entity: str) -> dict[str, Any]:
    return {"prov:activity": _REDUCTION, "prov:entity": entity}


def _numbered(word: str, relations: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Give relations by names of this document alone."""
    return {f"_:{word}{number}": dict(relation) for number, relation in enumerate(relations, 1)}
