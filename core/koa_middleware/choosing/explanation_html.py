"""An explanation as HTML, for notebooks: in itself, and readable on light and on dark ground."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

from ..display import html_text, printable
from .wording import in_numbers

if TYPE_CHECKING:
    from .explanation import Candidate, Explanation, StepExplanation

#: Colours are those of the page, thinned out, so that they suit its ground.
_STYLE = """
.koa-explanation { color: inherit; background: transparent; font-size: 0.95em; line-height: 1.4; max-width: 100%; }
.koa-explanation p { margin: 0.2em 0; overflow-wrap: anywhere; }
.koa-explanation summary { cursor: pointer; overflow-wrap: anywhere; }
.koa-explanation .koa-scroll { overflow-x: auto; }
.koa-explanation table { border-collapse: collapse; margin: 0.4em 0; color: inherit; background: transparent; }
.koa-explanation th, .koa-explanation td { padding: 0.2em 0.7em; text-align: left !important; vertical-align: top;
  color: inherit; background: transparent; border-bottom: 1px solid rgba(128, 128, 128, 0.35); }
.koa-explanation th { font-weight: 600; border-bottom: 2px solid rgba(128, 128, 128, 0.7); white-space: nowrap; }
.koa-explanation td.koa-name { white-space: nowrap; font-family: monospace; }
.koa-explanation td.koa-reason { min-width: 14em; }
.koa-explanation .koa-word { white-space: nowrap; }
.koa-explanation tr.koa-chosen td { background: rgba(46, 160, 67, 0.18); font-weight: 600; }
@media (max-width: 700px) {
  .koa-explanation thead { display: none; }
  .koa-explanation tr, .koa-explanation td { display: block; border-bottom: none; }
  .koa-explanation tr { border-bottom: 1px solid rgba(128, 128, 128, 0.35); padding: 0.2em 0; }
  .koa-explanation td { padding: 0.05em 0.5em; }
  .koa-explanation td.koa-name ~ td { padding-left: 2em; }
  .koa-explanation p .koa-word, .koa-explanation td.koa-name { white-space: normal; }
}
"""


def as_html(explanation: Explanation) -> str:
    """Give an explanation as a fragment of HTML; all that comes from records and frames is escaped."""
    parts = [
        f'<div class="koa-explanation"><style>{_STYLE}</style>',
        f"<p><strong>{html_text(explanation.headline())}</strong></p>",
        *(f"<p>{html_text(fact)}</p>" for fact in explanation.facts()),
        *map(_step, explanation.steps),
        _table(explanation.candidates),
        "</div>",
    ]
    return "\n".join(parts)


def _step(step: StepExplanation) -> str:
    said, counts = f"step {step.number}: {step.reason}", in_numbers(step.counts)
    more = "" if counts in said else f"<p>{html_text(counts)}</p>"
    return f"<details><summary>{html_text(said)}</summary>{more}{_table(step.candidates)}</details>"


def _table(candidates: Sequence[Candidate]) -> str:
    if not candidates:
        return ""
    head = _row("th", [("", name) for name in ("calibration", "rule", "reason")])
    rows = [
        _row(
            "td",
            [("koa-name", each.record.filename), ("", each.rule), ("koa-reason", each.reason)],
            "koa-chosen" if each.is_chosen else "",
        )
        for each in candidates
    ]
    return f'<div class="koa-scroll"><table><thead>{head}</thead><tbody>{"".join(rows)}</tbody></table></div>'


def _row(tag: str, cells: Iterable[tuple[str, str]], kind: str = "") -> str:
    inner = "".join(f"<{tag}{_class(name)}>{_text(cell)}</{tag}>" for name, cell in cells)
    return f"<tr{_class(kind)}>{inner}</tr>"


def _class(name: str) -> str:
    return f' class="{name}"' if name else ""


def _text(value: object) -> str:
    return escape(printable(str(value)))
