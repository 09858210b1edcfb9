"""How a page is made: templates that escape all values, links that hold wherever the server is mounted."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from ...choosing.wording import offset
from ...disk.room import in_words
from ...display import printable

STATIC = Path(__file__).parents[1] / "static"

#: Where a browser may break a word; and characters of a word that it may break wherever it is.
_BREAKABLE, _LONGEST = re.compile(r"[^\w.,:;'\"()]"), 80

#: Longest spans of an age that are said in a unit, in s, with the unit's length and name.
_AGES = (
    (90, 1, "s"),
    (5400, 60, "min"),
    (172_800, 3600, "h"),
    (63_072_000, 86_400, "d"),
    (float("inf"), 31_557_600, "years"),
)


def page(request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """Give a page.

    Parameters
    ----------
    request : Request
    template : str
        Name of its file.
    status : int
    **values
        Plain data for it.
    """
    root = root_of(request)
    context = {"root": root, "sheet": f"{root}static/pages.css?v={_digest('pages.css')}", **values}
    text = _environment().get_template(template).render(context)
    return HTMLResponse(text, status, {"Cache-Control": "no-cache", "Vary": "Accept"})


def root_of(request: Request) -> str:
    """Give what leads from a page to the server's root, by the page's own depth.

    A proxy may have cut off the path below which the server is mounted, so that nothing here knows it.
    """
    path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    return "../" * (path.count("/") - 1) or "./"


def age_of(time: str) -> str:
    """Say how long ago a time, ISO text in UTC, was; or how far ahead it is."""
    passed = (datetime.now(UTC) - datetime.fromisoformat(time).replace(tzinfo=UTC)).total_seconds()
    length, unit = next((length, unit) for most, length, unit in _AGES if abs(passed) < most)
    said = f"{abs(passed) / length:.{1 if unit == 'years' else 0}f} {unit}"
    return f"{said} ago" if passed >= 0 else f"in {said}"


def query(**values: Any) -> str:
    """Give a query of an address; what is None or empty is left out, of a list each."""
    given = {name: value for name, value in values.items() if value not in (None, "", [])}
    return urlencode(given, doseq=True)


@cache
def _digest(name: str) -> str:
    return hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader(__package__.rpartition(".")[0]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    filters: dict[str, Callable[[Any], Any]] = {
        "age": age_of,
        "clock": _clock,
        "is_time": _is_time,
        "exactly": lambda text: Markup(escape(text)),  # noqa: S704 - which is escaped
        "number": _number,
        "offset": offset,
        "prose": _prose,
        "part": lambda text: quote(text, safe=""),
        "query": _query_of,
        "size": in_words,
        "value": _value,
    }
    made.filters |= filters
    return made


def _query_of(values: Mapping[str, Any]) -> str:
    return query(**values)


def _number(value: int) -> Markup:
    """Give a number of things in groups of three digits, which no line breaks."""
    return escape(f"{value:,}").replace(",", "\N{NARROW NO-BREAK SPACE}")


def _shown(value: Any) -> Any:
    """Write out what is not seen, such as what turns a line around."""
    return printable(value) if type(value) is str else value


def _prose(text: str) -> Markup:
    """Give text that is broken at blanks alone, so that names in it stay whole; what no line holds is broken."""
    words = ((word, escape(word)) for word in printable(text).split(" "))
    return Markup(" ").join(
        Markup('<span class="word">{}</span>').format(safe)
        if _BREAKABLE.search(word) and len(word) <= _LONGEST
        else safe
        for word, safe in words
    )


def _is_time(value: Any) -> bool:
    """Whether this is a time; a damaged row has anything."""
    try:
        datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return False
    return True


def _clock(time: str) -> str:
    """Give a time to the second, as one reads it."""
    return time[:19].replace("T", " ")


def _value(value: Any) -> str:
    """Give a value of a column as one reads it."""
    if value is None:
        return "\N{EM DASH}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
