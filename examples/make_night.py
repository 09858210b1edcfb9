"""Run night.ipynb anew and store what its cells give: ``python3 make_night.py``, with the group ``test`` installed."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).with_name("night.ipynb")
#: The folder in which the stored outputs say that it ran.
HOME = "/home/observer"


def executed(folder: Path) -> Any:
    """Give the notebook as a new kernel ran it in a folder, with paths in `HOME`, whatever the machine."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=120, record_timing=False, resources={"metadata": {"path": str(folder)}}).execute()
    notebook.metadata.pop("language_info", None)  # the version of this Python
    return nbformat.reads(nbformat.writes(notebook).replace(str(folder.resolve()), HOME), as_version=4)


def main() -> None:
    """Store the notebook with its outputs."""
    with TemporaryDirectory() as folder:
        os.environ["IPYTHONDIR"] = f"{folder}/ipython"
        work = Path(folder, "work")
        work.mkdir()
        nbformat.write(executed(work), NOTEBOOK)


if __name__ == "__main__":
    main()
