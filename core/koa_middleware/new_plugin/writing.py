"""The files of a new plugin's package, from templates."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from ..instrument.keywords import bare
from .columns import PYTHON, TYPES, Picked, Suggestion

#: A file of the package by its template.
FILES = {
    "pyproject.txt": "pyproject.toml",
    "readme.txt": "README.md",
    "workflow.txt": ".github/workflows/tests.yml",
    "init.txt": "src/koa_middleware_{name}/__init__.py",
    "orm.txt": "src/koa_middleware_{name}/orm.py",
    "selectors.txt": "src/koa_middleware_{name}/selectors.py",
    "demo.txt": "src/koa_middleware_{name}/demo.py",
    "conftest.txt": "tests/conftest.py",
    "test_contract.txt": "tests/test_contract.py",
    "test_selectors.txt": "tests/test_selectors.py",
}

#: Longest line that the package's own ruff allows.
_WIDTH = 120

#: Where a common column stands.
_PLACES = {"cal_type": -98, "datetime_obs": -97, "mjd_start": -96}


def write_package(folder: Path, name: str, suggestion: Suggestion, version: str) -> list[Path]:
    """Write the files of a plugin's package into its folder; gives their paths.

    Parameters
    ----------
    folder : pathlib.Path
    name : str
        The instrument's.
    suggestion : Suggestion
        Its columns.
    version : str
        Of koa-middleware, of which the package needs one like it.
    """
    words = _words(name, suggestion, version)
    written = []
    for template, path in FILES.items():
        text = Template((files(__package__) / "templates" / template).read_text("utf-8")).substitute(words)
        written.append(folder / path.format(name=name))
        written[-1].parent.mkdir(parents=True, exist_ok=True)
        written[-1].write_text(text, "utf-8")
    typed = folder / f"src/koa_middleware_{name}/py.typed"
    typed.touch()
    return [*written, typed]


def _words(name: str, suggestion: Suggestion, version: str) -> dict[str, str]:
    major, minor = version.split(".")[:2]
    own = [column for column in suggestion.columns if column.name not in _PLACES]
    detector = [column.name for column in own if column.role == "detector"]
    optics = [*detector, *(column.name for column in own if column.role == "optics")]
    exposure = [column.name for column in own if column.role == "exposure"]
    kinds = {column.kind for column in suggestion.columns}
    return {
        "name": name,
        "title": name.upper(),
        "calibration": f"{name.title().replace('_', '')}Calibration",
        "requirement": f"koa-middleware>={major}.{minor},<{int(major) + 1}",
        "sql_types": ", ".join(sorted(kinds | ({"Index"} if optics else set()))) or "String",
        **dict(zip(TYPES, suggestion.types, strict=True)),
        "instrume_values": _instrume_values(name, suggestion),
        "version_family": _setting("version_family", detector),
        "columns": "\n".join(map(_column, suggestion.columns)),
        "indexes": _indexes(detector, optics),
        "left_out": _left_out(suggestion.left_out),
        "match_detector": _setting("match", detector),
        "match_optics": _setting("match", optics),
        "within": "".join(f'    within = {{"{column}": relative(0.1)}}\n' for column in exposure),
        "relative": ", relative" if exposure else "",
        "cards": _cards(name, own, suggestion),
        "extensions": _extensions(own),
        "setting": _mapping("SETTING", {c.name: c.value for c in own if c.role in ("detector", "optics", "exposure")}),
        "another": _another(own, suggestion.types[0]),
    }


def _column(column: Picked) -> str:
    is_common = column.name in _PLACES
    keywords = ", ".join(f'"{keyword}"' for keyword in column.keywords)
    arguments = [f"({keywords})" if len(column.keywords) > 1 else keywords, column.kind]
    if column.kind == "String" and (column.role in ("detector", "optics") or column.name == "cal_type"):
        arguments.append("fold=True")
    if column.unit:
        arguments.append(f'info={{"unit": "{column.unit}"}}')
    if is_common:
        arguments.append(f"sort_order={_PLACES[column.name]}")
    kind = PYTHON[column.kind] if is_common else f"{PYTHON[column.kind]} | None"
    doc = f"    # {_ascii(column.doc)}\n" if column.doc else ""
    return doc + _listed(f"    {column.name}: Mapped[{kind}] = fits_column(", arguments, ")")


def _listed(begin: str, items: Sequence[str], end: str) -> str:
    """Give a call or a tuple as ruff lays it out."""
    indent = " " * (len(begin) - len(begin.lstrip()))
    text = ", ".join(items)
    if len(begin + text + end) <= _WIDTH:
        return begin + text + end
    if len(f"{indent}    {text}") <= _WIDTH:
        return f"{begin}\n{indent}    {text}\n{indent}{end}"
    return begin + "".join(f"\n{indent}    {item}," for item in items) + f"\n{indent}{end}"


def _setting(name: str, columns: Sequence[str]) -> str:
    """Give a class's line of a tuple of columns; nothing where there are none."""
    return f"{_tuple(f'    {name} = ', columns)}\n" if columns else ""


def _tuple(begin: str, words: Sequence[str]) -> str:
    quoted = [f'"{word}"' for word in words]
    return f"{begin}({quoted[0]},)" if len(quoted) == 1 else _listed(f"{begin}(", quoted, ")")


def _instrume_values(name: str, suggestion: Suggestion) -> str:
    said = suggestion.instrume
    return "" if not said or bare(said) == bare(name) else f"    instrume_values = ({_quoted(said)},)\n"


def _indexes(detector: Sequence[str], optics: Sequence[str]) -> str:
    """Give the class's indexes, one for the rules of each kind; the base brings that of type and time."""
    indexes = [_index(columns) for columns in dict.fromkeys([tuple(detector), tuple(optics)]) if columns]
    if not indexes:
        return ""
    comment = "\n    # For each rule: the columns that it compares, then the time.\n"
    alone = f"    __table_args__ = ({indexes[0].strip()})\n"
    if len(indexes) == 1 and len(alone) <= _WIDTH:
        return comment + alone
    return f"{comment}    __table_args__ = (\n{''.join(indexes)}    )\n"


def _index(columns: Iterable[str]) -> str:
    words = ["None", *(f'"{name}"' for name in ("cal_type", *columns, "mjd_start"))]
    return f"{_listed('        Index(', words, ')')},\n"


def _left_out(keywords: Sequence[str]) -> str:
    if not keywords:
        return ""
    said = f"Left out, as no rule here compares them: {', '.join(keywords)}."
    lines = textwrap.wrap(said, _WIDTH - 6, break_long_words=False, break_on_hyphens=False)
    return "\n" + "".join(f"    # {line}\n" for line in lines)


def _cards(name: str, own: Iterable[Picked], suggestion: Suggestion) -> str:
    of_primary = {
        column.keywords[0]: column.value for column in own if column.role != "none" and ":" not in column.keywords[0]
    }
    return _mapping("CARDS", {"INSTRUME": suggestion.instrume or name.upper(), **of_primary})


def _extensions(own: Iterable[Picked]) -> str:
    """Give the cards of the demo's extensions, by extension; nothing where no column is of one."""
    found: dict[str, dict[str, Any]] = {}
    for column in own:
        extension, _, keyword = column.keywords[0].rpartition(":")
        if column.role != "none" and extension:
            found.setdefault(extension, {})[keyword] = column.value
    inner = "".join(f"    {_quoted(name)}: {_one_line(cards)},\n" for name, cards in found.items())
    return (
        f"EXTENSIONS: dict[str, dict[str, Any]] = {{\n{inner}}}"
        if found
        else ("EXTENSIONS: dict[str, dict[str, Any]] = {}")
    )


def _mapping(name: str, values: dict[str, Any]) -> str:
    inner = "".join(f"    {_quoted(key)}: {_literal(value)},\n" for key, value in values.items())
    return f"{name}: dict[str, Any] = {{\n{inner}}}" if inner else f"{name}: dict[str, Any] = {{}}"


def _one_line(values: dict[str, Any]) -> str:
    return "{" + ", ".join(f"{_quoted(key)}: {_literal(value)}" for key, value in values.items()) + "}"


def _another(own: Iterable[Picked], cal_type: str) -> str:
    """Give a line of the test: a bias of another setting, where the class has one."""
    for column in (column for column in own if column.role == "detector"):
        value = _other(column.value)
        values = f'**{{**SETTING, "{column.name}": {_literal(value)}}}'
        return f'    add_record(cal_type="{cal_type}", mjd_start=60000.4, {values})\n'
    return ""


def _other(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    return "another" if isinstance(value, str) else value + 1


def _literal(value: Any) -> str:
    return _quoted(value) if isinstance(value, str) else repr(value)


def _quoted(text: str) -> str:
    """Give text as a literal of Python, in the quotes that ruff chooses."""
    quote = '"' if text.count('"') <= text.count("'") else "'"
    return quote + text.encode("unicode_escape").decode("ascii").replace(quote, f"\\{quote}") + quote


def _ascii(text: str) -> str:
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())[:100]
