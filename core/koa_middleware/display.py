"""Records and results as tables: for the terminal, and for notebooks."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import fields
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from .importing import importing

if TYPE_CHECKING:
    from astropy.table import MaskedColumn, Table
    from sqlalchemy import Column

    from .instrument.orm import ORMCalibration

#: A column of longer text than this, in characters, is never narrower: such a table is stacked.
_READABLE = 24

#: Blanks between columns.
_GAP = 3

_LINE = "\n"

#: Notebooks would put text to the right.
_STYLE = """
.koa-table { overflow-x: auto; }
.koa-table th, .koa-table td { text-align: left !important; vertical-align: top; }
.koa-table .koa-word { white-space: nowrap; }
"""

#: Of a list in a notebook, so many are named.
_NAMED = 10

#: In a text of one line, so many, each of so many characters.
_SHOWN, _LONGEST = 3, 100

#: Characters of a headline in a repr.
_HEADLINE = 300


def printable(text: str) -> str:
    """Give text in which what is not seen is written out, such as what clears a terminal or turns a line around."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def render(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str = "", width: int | None = None
) -> str:
    """Give a table as text, no wider than `width` characters where that is given; without columns its title alone.

    It is broken at blanks only, so that names, ids and paths stay whole. Where there is no room for the columns, the
    cells of a row stand one below the other; of a name and its value, only those that are too long.

    Written here, since ``koa-cal list`` would spend a tenth of its time on importing and calling a library for it.
    """
    above = _wrapped(list(map(printable, title.splitlines())), width)
    if not columns:
        return "\n".join(above)
    lines = [[list(map(printable, str(cell).split("\n"))) for cell in row] for row in (columns, *rows)]
    widths = [max(map(len, cells)) for cells in _by_column(lines)]
    if width is not None and _breadth(widths) > width:
        words = [max(len(word) for line in cells for word in line.split() or [""]) for cells in _by_column(lines)]
        least = [max(word, min(natural, _READABLE)) for word, natural in zip(words, widths, strict=True)]
        if _breadth(least) > width:
            below = _paired if len(columns) == 2 and widths[0] <= _READABLE else _stacked
            return "\n".join([*above, *below(lines, width)])
        widths = _shared(widths, least, width)
        lines = [[_wrapped(cell, room) for cell, room in zip(row, widths, strict=True)] for row in lines]
    head, *body = [line for row in lines for line in _aligned(row, widths)]
    return "\n".join([*above, head, "─" * _breadth(widths), *body])


def html_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str = "") -> str:
    """Give a table as a fragment of HTML, for notebooks; all text is escaped, and no name or id is broken."""

    def line(cells: Sequence[object], tag: str) -> str:
        inside = "".join(f"<{tag}>{'<br>'.join(map(html_text, str(cell).split(_LINE)))}</{tag}>" for cell in cells)
        return f"<tr>{inside}</tr>"

    body = "".join(line(row, "td") for row in rows)
    above = "".join(f"<p><strong>{html_text(each)}</strong></p>" for each in title.splitlines())
    head = f"<thead>{line(columns, 'th')}</thead>" if any(columns) else ""
    table = f"<table>{head}<tbody>{body}</tbody></table>" if head or body else ""
    return f'<div class="koa-table"><style>{_STYLE}</style>{above}{table}</div>'


def html_text(text: str) -> str:
    """Give text as HTML, escaped, whose words are not broken at their hyphens."""
    from html import escape

    words = ((word, escape(printable(word))) for word in text.split(" "))
    return " ".join(f'<span class="koa-word">{safe}</span>' if "-" in word else safe for word, safe in words)


class Report:
    """A dataclass that a notebook shows as a table: what is counted or named, a row each; empty ones are left out."""

    def _repr_html_(self) -> str:
        shown = ((name.replace("_", " "), *_counted(value)) for name, value in self._told().items())
        rows = [row for row in shown if any(row[1:])]
        return html_table(("", "number", "which"), rows, title=_words_of(type(self).__name__))

    def __repr__(self) -> str:
        from reprlib import Repr

        short = Repr()
        short.maxdict = short.maxlist = _SHOWN
        short.maxstring = short.maxother = _LONGEST
        shown = ", ".join(f"{name}={short.repr(value)}" for name, value in Report._told(self).items())
        return f"{type(self).__name__}({shown})"

    def _told(self) -> Mapping[str, Any]:
        """Give what is shown, by name."""
        names = (field.name for field in fields(self) if field.repr)  # type: ignore[arg-type]
        return {name: getattr(self, name) for name in names}


def in_brackets(shown: object, said: str) -> str:
    """Give the repr of what has a headline, in one line however much is in it."""
    line = printable(said)
    short = line if len(line) <= _HEADLINE else f"{line[:_HEADLINE]}..."
    return f"<{type(shown).__name__}: {short}>"


def _words_of(name: str) -> str:
    """Give the name of a class as words: ``SyncResult`` is `Sync result`."""
    return "".join(f" {one.lower()}" if one.isupper() else one for one in name).strip().capitalize()


def _counted(value: object) -> tuple[str, str]:
    """Give how many there are, and which: the first ones, each of a mapping with what is said of it."""
    if isinstance(value, bool):
        return "", "yes" if value else ""
    if isinstance(value, int):
        return f"{value:,}", ""
    if isinstance(value, Mapping):
        return _listed([f"{name}: {said}" for name, said in value.items()])
    if isinstance(value, list | tuple | Set):
        return _listed([str(getattr(each, "filename", each)) for each in value])
    return "", "" if value is None else str(value)


def _listed(names: Sequence[str]) -> tuple[str, str]:
    more = len(names) - _NAMED
    named = [*names[:_NAMED], *([f"and {more:,} more"] if more > 0 else [])]
    return (f"{len(names):,}" if names else ""), ", ".join(named)


def _by_column(rows: Sequence[Sequence[Sequence[str]]]) -> Iterator[list[str]]:
    """Give all lines that stand in each column."""
    for cells in zip(*rows, strict=True):
        yield [line for cell in cells for line in cell]


def _breadth(widths: Sequence[int]) -> int:
    return sum(widths) + _GAP * len(widths) + 1


def _shared(widths: Sequence[int], least: Sequence[int], width: int) -> list[int]:
    """Share a width: each column gets the least that it needs; the rest goes first to those that want little more."""
    shared, room = list(least), width - _breadth(least)
    wanting = sorted(range(len(widths)), key=lambda i: widths[i] - least[i])
    for number, i in enumerate(wanting):
        more = min(widths[i] - least[i], room // (len(wanting) - number))
        shared[i] += more
        room -= more
    return shared


def _wrapped(lines: Sequence[str], width: int | None) -> list[str]:
    """Break lines at blanks where they are too long; a word, such as a name or a path, is never broken."""
    if width is None or all(len(line) <= width for line in lines):
        return list(lines)
    return [
        part
        for line in lines
        for part in textwrap.wrap(line, width, break_long_words=False, break_on_hyphens=False) or [""]
    ]


def _stacked(rows: Sequence[Sequence[Sequence[str]]], width: int) -> Iterator[str]:
    """Give the lines of a table that is too wide for columns: each row's cells below its first, with their names."""
    head, *body = rows
    yield "─" * width
    names = [" ".join(name) for name in head[1:]]
    indent = max(map(len, names), default=0) + 4 + _GAP
    for first, *others in body:
        yield from (_indented(line, 2, width) for line in _wrapped(first, width - 2))
        for name, cell in zip(names, others, strict=True):
            parts = _wrapped(cell, width - indent) if any(cell) else []
            if all(len(part) <= width - indent for part in parts):
                labels = [name, *[""] * len(parts)][: len(parts)]
                yield from (f"    {label}".ljust(indent) + part for label, part in zip(labels, parts, strict=True))
                continue
            yield f"    {name}"
            yield from (_indented(part, 6, width) for part in _wrapped(cell, width - 6))


def _paired(rows: Sequence[Sequence[Sequence[str]]], width: int) -> Iterator[str]:
    """Give the lines of a table of names and values; a value that has no room beside its name stands below it."""
    indent = 2 + max(len(line) for name, _ in rows for line in name) + _GAP
    for number, (name, value) in enumerate(rows):
        beside = _wrapped(value, width - indent)
        if all(len(part) <= width - indent for part in beside):
            yield from _aligned((name, beside), (indent - 2 - _GAP, 0))
        else:
            yield from (f"  {line}" for line in name)
            yield from (_indented(part, 6, width) for part in _wrapped(value, width - 6))
        if number == 0:
            yield "─" * width


def _indented(line: str, indent: int, width: int) -> str:
    """Give a line as far to the right as there is room for it."""
    return " " * max(0, min(indent, width - len(line))) + line


def _aligned(row: Sequence[Sequence[str]], widths: Sequence[int]) -> Iterator[str]:
    """Give the lines of a row whose cells may have several."""
    for parts in zip_longest(*row, fillvalue=""):
        line = (" " * _GAP).join(part.ljust(width) for part, width in zip(parts, widths, strict=True))
        yield f"  {line}".rstrip()


#: Of the columns of all instruments, those that people look at first, and those of the files, which stand last.
_FIRST = ("filename", "cal_type", "datetime_obs", "quality")
_LAST = ("mjd_start", "master_cal", "cal_version", "origin", "last_updated", "file_size", "id", "checksum")


def in_reading_order(names: Sequence[str]) -> list[str]:
    """Give columns in the order in which people look at them: the instrument's own in the middle, ids last."""
    own = [name for name in names if name not in (*_FIRST, *_LAST)]
    return [*_FIRST, *own, *_LAST]


def astropy_table(orm_class: type[ORMCalibration], records: Sequence[ORMCalibration], *, times: bool = False) -> Table:
    """Give records as an `astropy.table.Table`: one row each, units on the columns, nulls masked.

    With `times`, `datetime_obs` and `mjd_start` are `astropy.time.Time`.
    """
    with importing:
        from astropy.table import Table
        from astropy.time import Time

    known = orm_class.table().c
    table = Table([_astropy_column(known[name], records) for name in in_reading_order(orm_class.column_names())])
    if times:
        table["datetime_obs"] = Time(table["datetime_obs"].tolist(), format="isot", scale="utc")
        table["mjd_start"] = Time(table["mjd_start"].tolist(), format="mjd", scale="utc")
    return table


def _astropy_column(column: Column[Any], records: Sequence[ORMCalibration]) -> MaskedColumn:
    import numpy as np
    from astropy.table import MaskedColumn

    values = [record[column.key] for record in records]
    mask = [value is None for value in values]
    kind = column.type.python_type
    filled = np.array([kind() if value is None else value for value in values], dtype=kind)
    unit = column.info.get("unit")
    return MaskedColumn(filled, name=column.key, mask=mask if any(mask) else None, unit=unit)


def table_of_rows(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Table:
    """Give rows as an `astropy.table.Table`: one column each, nulls masked."""
    with importing:
        import numpy as np
        from astropy.table import MaskedColumn, Table

    made = []
    for place, name in enumerate(columns):
        values = [row[place] for row in rows]
        known = [value for value in values if value is not None]
        kind: type = type(known[0]) if known else str
        filled: Any = np.array([kind() if value is None else value for value in values], dtype=kind)
        made.append(MaskedColumn(filled, name=name, mask=[value is None for value in values]))
    return Table(made)
