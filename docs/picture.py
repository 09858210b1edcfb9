"""The README's picture: what ``koa-cal explain`` says in a terminal, as an SVG for light and dark pages."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from html import escape
from pathlib import Path

PLACE = Path(__file__).resolve().parent / "images" / "explain.svg"

COLUMNS = 100
#: Pixels.
FONT, WIDE, HIGH, MARGIN = 14, 8.43, 20, 18

COMMAND = ("koa-cal", "explain", "demo/night/HB.20260212.43200.00.fits", "--type", "dark")

STYLE = """
  rect { fill: #ffffff; stroke: #d0d7de }
  text { fill: #1f2328; font: 14px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; white-space: pre }
  .typed { fill: #57606a } .chosen { fill: #116329; font-weight: bold }
  @media (prefers-color-scheme: dark) {
    rect { fill: #0d1117; stroke: #3d444d }
    text { fill: #e6edf3 } .typed { fill: #9198a1 } .chosen { fill: #56d364 }
  }
"""


def draw() -> str:
    """Give the picture, of a night that is made for it."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("KOA_")}
        environment |= {"COLUMNS": str(COLUMNS), "KOA_CALIBRATION_CACHE": str(Path(folder, "demo", "cache"))}
        typed_in_terminal(("koa-cal", "demo", "-i", "hispec", "--dir", "demo"), folder, environment)
        said = typed_in_terminal(COMMAND, folder, environment)
    return svg([f"$ {' '.join(COMMAND)}", *said.splitlines()])


def typed_in_terminal(command: tuple[str, ...], folder: str, environment: dict[str, str]) -> str:
    """Run a command in a terminal of `COLUMNS` characters; gives its output."""
    import pty

    ours, terminal = pty.openpty()
    started = [sys.executable, "-m", "koa_middleware.cli", *command[1:]]
    process = subprocess.Popen(started, stdout=terminal, cwd=folder, env=environment)  # noqa: S603
    os.close(terminal)
    said = b""
    while piece := _piece(ours):
        said += piece
    os.close(ours)
    if process.wait():
        raise RuntimeError(f"{' '.join(command)} ended with exit code {process.returncode}.")
    return said.decode("utf-8")


def _piece(terminal: int) -> bytes:
    """Give what a terminal shows next; nothing when its program has ended, which Linux tells by an error."""
    try:
        return os.read(terminal, 1 << 16)
    except OSError:
        return b""


def svg(lines: list[str]) -> str:
    """Draw lines of text."""
    width, height = round(COLUMNS * WIDE + 2 * MARGIN), len(lines) * HIGH + 2 * MARGIN
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
    drawn = [_line(line, MARGIN + FONT + row * HIGH) for row, line in enumerate(lines)]
    frame = f'<rect x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="8"/>'
    return "\n".join([head, f"<style>{STYLE}</style>", frame, *filter(None, drawn), "</svg>"]) + "\n"


def _line(line: str, down: int) -> str:
    if not line.strip():
        return ""
    kind = "typed" if line.startswith("$ ") else "chosen" if " chosen  " in line else ""
    marked = f' class="{kind}"' if kind else ""
    length = f'textLength="{len(line) * WIDE:.0f}" lengthAdjust="spacingAndGlyphs"'
    return f'<text x="{MARGIN}" y="{down}" {length} xml:space="preserve"{marked}>{escape(line)}</text>'
