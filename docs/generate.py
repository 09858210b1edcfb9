"""Write docs/instruments/ anew from what the plugins declare, and the README's picture: ``python docs/generate.py``.

It needs core and the plugins installed. Tests compare the pages and the picture with what this gives.
"""

from __future__ import annotations

import inspect
import pkgutil
import re
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from koa_middleware import CalibrationSelector, InstrumentPlugin, ORMCalibration, get_plugin
from koa_middleware.choosing.limits import NeverAcross, date_of
from koa_middleware.choosing.selector import ruling_of
from koa_middleware.choosing.words import in_words

ROOT = Path(__file__).resolve().parents[1]
PAGES = ROOT / "docs" / "instruments"
NAMES = sorted(path.parent.name for path in ROOT.glob("plugins/*/pyproject.toml"))

#: Class methods by which an instrument's class fills what no keyword says.
HOOKS = ("derive", "values_from_header", "values_from_file", "filename_for")

ALWAYS = (
    "A calibration that is chosen is of the type, is not the frame itself, has a time, and is not flagged as `BAD`. Of "
    "two that are equally near, the earlier is chosen, then the newest version, then the lowest id. "
    "[Choosing](../choosing.md) says more."
)
COMMON = (
    "Those up to `last_updated` are the columns of all instruments; see the "
    "[plugin reference](../plugin-reference.md#the-class-ormcalibration)."
)


def page(plugin: InstrumentPlugin) -> str:
    """Give the page of an instrument."""
    package = import_module(plugin.ORM.__module__.partition(".")[0])
    parts = [
        f"# {plugin.name.upper()}",
        doc(package),
        "## Types",
        *types(plugin),
        "## Rules",
        ALWAYS,
        *rules(plugin),
        *boundaries(plugin),
        *needs(plugin),
        *cards(plugin),
        "## Columns",
        *columns(plugin.ORM),
        "## Where this comes from",
        *sources(plugin, package),
        "Made by `docs/generate.py` from the plugin's declarations; what is wrong here is corrected there.",
    ]
    return "\n\n".join(parts) + "\n"


def types(plugin: InstrumentPlugin) -> Iterator[str]:
    """Give a table of the types, with what limits the choice."""
    rows = [
        (f"`{cal_type}`", meaning(selector), "; ".join(limits(selector, plugin.ORM)))
        for cal_type, selector in plugin.selectors.items()
    ]
    rows += [
        (f"`{cal_type}`", "", "is kept, not chosen")
        for cal_type in plugin.ORM.cal_types
        if cal_type not in plugin.selectors
    ]
    yield table(("type", "what it is", "limits"), rows)


def meaning(selector: CalibrationSelector) -> str:
    """Give the first paragraph of what a selector's own class says of itself."""
    return "" if type(selector) is CalibrationSelector else doc(type(selector)).partition("\n\n")[0]


def limits(selector: CalibrationSelector, orm_class: type[ORMCalibration]) -> list[str]:
    """Give what a rule says of time, of all its cases and steps."""
    plans = [plan for _, plans in ruling_of(selector, orm_class).every() for plan in plans]
    told = [
        said
        for plan in plans
        for criterion in plan.criteria
        if criterion.setting in ("max_age", "direction", "never_across", "validity")
        for _, said in criterion.words(plan.columns)
    ]
    return [said.removeprefix("is ") for said in dict.fromkeys(told)] or ["none in time"]


def rules(plugin: InstrumentPlugin) -> Iterator[str]:
    """Give the rules in words; types with the same rule share a section."""
    shared: dict[tuple[str, ...], list[str]] = {}
    for cal_type, selector in plugin.selectors.items():
        shared.setdefault(in_words(selector, plugin.ORM), []).append(cal_type)
    for sentences, cal_types in shared.items():
        yield f"### {', '.join(f'`{cal_type}`' for cal_type in cal_types)}"
        if common := common_class([type(plugin.selectors[cal_type]) for cal_type in cal_types]):
            yield doc(common)
        yield "\n".join(f"- {sentence}" for sentence in sentences)


def common_class(classes: list[type[CalibrationSelector]]) -> type[CalibrationSelector] | None:
    """Give the nearest class of a plugin's own, with a docstring, from which all of these come."""
    for found in classes[0].__mro__:
        if found is CalibrationSelector:
            return None
        if found.__doc__ and all(issubclass(each, found) for each in classes):
            return found
    return None


def boundaries(plugin: InstrumentPlugin) -> Iterator[str]:
    """Give all boundaries, which a rule in words only counts."""
    shared: dict[tuple[float, ...], dict[str, None]] = {}
    for cal_type, selector in plugin.selectors.items():
        for _, plans in ruling_of(selector, plugin.ORM).every():
            for found in (each for plan in plans for each in plan.criteria if isinstance(each, NeverAcross)):
                shared.setdefault(found.boundaries, {})[cal_type] = None
    if shared:
        yield "## Boundaries"
        yield "UTC; a boundary belongs to what begins at it."
    for times, cal_types in shared.items():
        dates = ", ".join(date_of(time) for time in times)
        yield f"- {', '.join(f'`{cal_type}`' for cal_type in cal_types)}: {dates}."


def needs(plugin: InstrumentPlugin) -> Iterator[str]:
    """Give what each kind of frame asks for."""
    if plugin.needs:
        yield "## What a frame asks for"
        rows = [
            (
                "a frame that is no calibration" if kind is None else f"`{kind}`",
                ", ".join(f"`{name}`" for name in names) or "nothing",
            )
            for kind, names in plugin.needs.items()
        ]
        yield table(("frame", "asks for"), rows)


def cards(plugin: InstrumentPlugin) -> Iterator[str]:
    """Give the cards by which the pipeline itself says what its files were made with."""
    if plugin.product_cards or plugin.inputs:
        yield "## The pipeline's own cards"
    if plugin.product_cards:
        yield "In a product, beside [those of all instruments](../citing.md#the-cards); of a pair, in order of time:"
        rows = [
            (f"`{cal_type}`", f"`{field}`", ", ".join(f"`{keyword}`" for keyword in keywords))
            for cal_type, fields in plugin.product_cards.items()
            for field, keywords in fields.items()
        ]
        yield table(("type", "tells", "keyword"), rows)
    if plugin.inputs:
        keywords = ", ".join(f"`{keyword}`" for keyword in plugin.inputs)
        yield f"In a master's headers, the files that it was made from: {keywords}."


def columns(orm_class: type[ORMCalibration]) -> Iterator[str]:
    """Give a table of the columns, with the keywords that fill them."""
    yield f"{doc(orm_class)} {COMMON}"
    meanings = attributes(orm_class)
    rows = [
        (
            f"`{name}`",
            {"str": "text"}.get(column.type.python_type.__name__, column.type.python_type.__name__),
            column.info.get("unit", ""),
            ", ".join(f"`{keyword}`" for keyword in column.info.get("keywords", ())),
            meanings.get(name, ""),
        )
        for name, column in orm_class.table().c.items()
    ]
    yield table(("column", "type", "unit", "keywords, the first one that has a value", "what it holds"), rows)


def attributes(orm_class: type[ORMCalibration]) -> dict[str, str]:
    """Give what a class's docstring says of its attributes; names that share an entry share what it says."""
    _, _, section = inspect.cleandoc(orm_class.__doc__ or "").partition("Attributes\n----------\n")
    found: dict[str, str] = {}
    for names, said in re.findall(r"^(\S.*?) : .*\n((?:    .*\n?)+)", section, re.MULTILINE):
        together = f"`{names.replace(', ', '`, `')}`: " if ", " in names else ""
        found |= dict.fromkeys(names.split(", "), f"{together}{markdown(' '.join(said.split()))}")
    return found


def sources(plugin: InstrumentPlugin, package: Any) -> Iterator[str]:
    """Give what modules, shared classes and hooks say of themselves: where facts are from, and what is inferred."""
    told: dict[str, str] = {}
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        if not module.name.endswith(".demo"):
            told[module.name.partition(".")[2]] = doc(import_module(module.name))
    for selector in plugin.selectors.values():
        for base in type(selector).__mro__[1:]:
            if base is CalibrationSelector:
                break
            told[base.__name__] = doc(base)
    for hook in (hook for hook in HOOKS if hook in vars(plugin.ORM)):
        told[f"{plugin.ORM.__name__}.{hook}"] = doc(getattr(plugin.ORM, hook))
    yield "\n".join(f"- `{name}`: {' '.join(said.split())}" for name, said in told.items() if said)


def doc(thing: Any) -> str:
    """Give the docstring of something itself, up to its first numpydoc section, as Markdown."""
    text = inspect.cleandoc(thing.__doc__ or "")
    return markdown(re.split(r"\n\n\w+\n---", text)[0])


def markdown(text: str) -> str:
    """Give a docstring's text as Markdown."""
    return text.replace("``", "`")


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Give a table in Markdown."""
    head = tuple(head)
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(' '.join(cell.split()) for cell in line)} |" for line in lines)


def main() -> None:
    """Write all pages and the picture."""
    import picture

    picture.PLACE.write_text(picture.draw(), "utf-8")
    PAGES.mkdir(exist_ok=True)
    for name in NAMES:
        (PAGES / f"{name}.md").write_text(page(get_plugin(name)), "utf-8")


if __name__ == "__main__":
    main()
