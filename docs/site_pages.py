"""Pages of the site that stand elsewhere in the checkout, and the order of all pages.

The pages of docs/ link to files of the checkout as they do in a repository. On the site each such file, or folder, is a
page of its own. The order of the pages is that of docs/index.md: each of its headings is a part of the menu.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from sphinx.application import Sphinx

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
#: Where pages are made, within docs/.
MADE = "_generated"

#: Pages that are made from the code, by the part of the menu at whose end they stand.
MADE_FROM_CODE = {"Errors, command line and API": [f"/{MADE}/commands", f"/{MADE}/api"]}

_LINK = re.compile(r"(?<=\]\()(?![a-z]+:)([^)\s#]+)")
_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
#: Files that are pages as they are.
_PAGES = (".md", ".ipynb")
_LANGUAGES = {".py": "python", ".toml": "toml", ".yml": "yaml", ".yaml": "yaml", ".sh": "sh"}


def write(folder: Path) -> None:
    """Write a page for each file and folder of the checkout that a page links to."""
    shutil.rmtree(folder, ignore_errors=True)
    waiting = [path for path in DOCS.rglob("*.md") if MADE not in path.parts]
    known: set[Path] = set()
    while waiting:
        place = waiting.pop()
        for found in _outside(place.read_text("utf-8"), place):
            if found not in known:
                known.add(found)
                if made := _write_page(found, folder):
                    waiting.append(made)


def resolve_links(_: Sphinx, docname: str, content: list[str]) -> None:
    """Let links that leave docs/ lead to the made pages; add the menu to the index."""
    if docname.startswith(MADE):
        return
    content[0] = _resolved(content[0], DOCS / f"{docname}.md")
    if docname == "index":
        content[0] += "".join(_menu(content[0]))


def _write_page(path: Path, folder: Path) -> Path | None:
    """Write the page of a file or folder; gives the file whose links are to be followed, if it has any."""
    target = folder / _page_name(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    has_links = path.suffix in _PAGES
    text = _resolved(path.read_text("utf-8"), path) if has_links else _listing(path)
    target.write_text(text if path.suffix == ".ipynb" else f"---\norphan: true\n---\n{text}", "utf-8")
    return path if has_links else None


def _listing(path: Path) -> str:
    """Show a file, or all files of a folder."""
    parts = [f"# `{path.relative_to(ROOT).as_posix()}`"]
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file() and file.suffix in {*_LANGUAGES, ".md", ".txt"} and "__pycache__" not in file.parts:
            if path.is_dir():
                parts.append(f"## `{file.relative_to(path).as_posix()}`")
            parts.append(f"````{_LANGUAGES.get(file.suffix, 'text')}\n{file.read_text('utf-8')}````")
    return "\n\n".join(parts) + "\n"


def _page_name(path: Path) -> str:
    name = path.relative_to(ROOT).as_posix()
    return name if path.suffix in _PAGES else f"{name}.md"


def _outside(text: str, place: Path) -> Iterator[Path]:
    """Give what a page links to that stands in the checkout, but not in docs/."""
    for target in _LINK.findall(_FENCED.sub("", text)):
        found = Path(os.path.normpath(place.parent / target))
        if found.exists() and found.is_relative_to(ROOT) and not found.is_relative_to(DOCS):
            yield found


def _resolved(text: str, place: Path) -> str:
    """Give a page's text with links that hold wherever it stands on the site."""

    def absolute(link: re.Match[str]) -> str:
        found = Path(os.path.normpath(place.parent / link[1]))
        if not (found.exists() and found.is_relative_to(ROOT)):
            return link[1]
        if found.is_relative_to(DOCS):
            return f"/{found.relative_to(DOCS).as_posix()}"
        return f"/{MADE}/{_page_name(found)}"

    return _LINK.sub(absolute, text)


def _menu(index: str) -> Iterator[str]:
    """Give a toctree for each heading of the index, with the pages that stand below it."""
    parts = re.split(r"^## (.+)$", index, flags=re.MULTILINE)
    for heading, text in zip(parts[1::2], parts[2::2], strict=True):
        linked = dict.fromkeys(link.rpartition(".")[0] for link in _LINK.findall(text))
        pages = [*linked, *MADE_FROM_CODE.get(heading, [])]
        yield "\n".join(["", "```{toctree}", ":hidden:", f":caption: {heading}", "", *pages, "```", ""])
