"""A coverage as HTML, for notebooks: in itself, and readable on light and on dark ground."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from ...display import printable
from .bands import Band, bands_of
from .moments import Span, iso_of

if TYPE_CHECKING:
    from .report import Coverage

#: Colours are those of the page, thinned out, so that they suit its ground.
_STYLE = """
.koa-coverage { color: inherit; background: transparent; font-size: 0.95em; line-height: 1.4; max-width: 100%; }
.koa-coverage table { border-collapse: collapse; width: 100%; color: inherit; background: transparent; }
.koa-coverage td { padding: 0.2em 0.7em; text-align: left; vertical-align: top; color: inherit;
  background: transparent; border-bottom: 1px solid rgba(128, 128, 128, 0.35); }
.koa-coverage td.koa-bar { width: 55%; min-width: 12em; }
.koa-coverage .koa-line { position: relative; height: 1.1em; background: rgba(0, 114, 178, 0.25); }
.koa-coverage .koa-line i { position: absolute; top: 0; bottom: 0; min-width: 1px; }
.koa-coverage .koa-gap { border: 1px solid rgba(213, 94, 0, 0.9); box-sizing: border-box;
  background: repeating-linear-gradient(45deg, rgba(213, 94, 0, 0.7) 0 2px, rgba(128, 128, 128, 0.15) 2px 6px); }
.koa-coverage summary { cursor: pointer; }
"""


def as_html(coverage: Coverage) -> str:
    """Give a coverage as a fragment of HTML; all that comes from records is escaped."""
    if coverage.whole is None:
        return f"<p>{_text(f'{coverage.instrument}: there are no calibrations')}</p>"
    whole = coverage.whole
    head = f"{coverage.instrument}: {coverage.start} to {coverage.end} UTC; hatched where nothing fits"
    rows = "".join(_row(band, whole) for band in bands_of(coverage))
    return (
        f'<div class="koa-coverage"><style>{_STYLE}</style><p><strong>{_text(head)}</strong></p>'
        f"<table><tbody>{rows}</tbody></table></div>"
    )


def _row(band: Band, whole: Span) -> str:
    note = f"<br>{_text(band.note)}" if band.note else ""
    cells = f"<td>{_text(band.cal_type)} {_text(band.label)}{note}</td>"
    cells += f'<td class="koa-bar"><div class="koa-line">{"".join(_gap(each, whole) for each in band.gaps)}</div>'
    cells += f"{_listed(band)}</td><td>{_text(band.in_words())} in range</td>"
    return f"<tr>{cells}</tr>"


def _gap(gap: Span, whole: Span) -> str:
    length = max(whole.end - whole.start, 1)
    left, width = (100 * part / length for part in (gap.start - whole.start, gap.end - gap.start))
    said = f"{iso_of(gap.start)} to {iso_of(gap.end)}"
    return f'<i class="koa-gap" title="{said}" style="left:{left:.3f}%;width:{width:.3f}%"></i>'


def _listed(band: Band) -> str:
    if not band.gaps:
        return ""
    items = "<br>".join(f"{iso_of(gap.start)} to {iso_of(gap.end)}" for gap in band.gaps)
    number = f"{len(band.gaps)} {'gap' if len(band.gaps) == 1 else 'gaps'}"
    return f"<details><summary>{number}</summary>{items}</details>"


def _text(value: object) -> str:
    return escape(printable(str(value)))
