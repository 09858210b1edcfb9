"""The notebook among the examples runs, in a real kernel, and what stands in it is what it gives."""

from __future__ import annotations

import importlib.util
import re
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"

pytestmark = pytest.mark.skipif(not entry_points(group="koa_middleware", name="kpf"), reason="the notebook is of KPF")


#: What a download does, in a cell.
BAR = """
from koa_middleware.fetch.progress import shown_progress

with shown_progress(1000, None, bar=True) as advance:
    advance(1000)
"""


def making() -> Any:
    """The script that stores the notebook's outputs, as a module."""
    spec = importlib.util.spec_from_file_location("make_night", EXAMPLES / "make_night.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("notebook")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "MPLCONFIGDIR"):
            patch.setenv(name, str(folder / name))
        patch.setenv("KOA_OFFLINE", "1")
        (folder / "work").mkdir()
        script = making()
        notebook = script.nbformat.read(script.NOTEBOOK, as_version=4)
        notebook.cells.append(script.nbformat.v4.new_code_cell(BAR))
        patch.setattr(script, "NOTEBOOK", folder / "with_a_bar.ipynb")
        script.nbformat.write(notebook, script.NOTEBOOK)
        return script.executed(folder / "work")


@pytest.fixture(scope="module")
def bar(ran: Any) -> Any:
    """The cell with a bar, which is taken away from the notebook."""
    return ran.cells.pop()


def outputs(notebook: Any) -> list[Any]:
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


def forms(notebook: Any) -> list[Any]:
    """For each cell, what it is and the kinds of its outputs."""
    return [(cell.source, [(each.output_type, sorted(each.get("data", {}))) for each in cell.get("outputs", [])])
            for cell in notebook.cells]  # fmt: skip


def test_a_download_shows_a_bar_in_a_kernel_and_no_warning_whether_or_not_there_are_widgets(bar: Any) -> None:
    shown = str(bar.outputs)
    assert "1.00k/1.00k" in shown or "application/vnd.jupyter.widget-view+json" in shown
    assert "Warning" not in shown


@pytest.mark.usefixtures("bar")
def test_the_notebook_runs_without_an_error_or_a_warning(ran: Any) -> None:
    assert len(outputs(ran)) > 10
    assert [each for each in outputs(ran) if each.output_type == "error" or each.get("name") == "stderr"] == []


@pytest.mark.usefixtures("bar")
def test_its_stored_outputs_are_of_the_same_cells_and_hold_no_path_of_a_machine(ran: Any) -> None:
    stored = making().nbformat.read(EXAMPLES / "night.ipynb", as_version=4)
    assert forms(stored) == forms(ran), "Run `python examples/make_night.py`."
    paths = re.findall(r"[\"'>(](?:/\w|[A-Z]:\\\\)[^\"'<)]*", str(outputs(stored)))
    assert paths
    assert [path for path in paths if not path[1:].startswith("/home/observer/night/")] == []


@pytest.mark.usefixtures("bar")
def test_it_shows_the_pair_with_its_weight_and_the_reasons(ran: Any) -> None:
    told = " ".join(str(output.get("data", {}).get("text/html", output.get("text", ""))) for output in outputs(ran))
    assert "weight of the later solution: 0.207" in told
    assert "is fast, the frame" in told
    assert "is flagged" in told or "BAD" in told
