"""The notebook of the documentation, run as a reader runs it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

NOTEBOOK = Path(__file__).parents[1] / "docs" / "first-steps.ipynb"


def test_every_cell_runs_and_shows_what_the_text_promises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    import nbformat

    monkeypatch.setenv("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = nbclient.NotebookClient(notebook, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    shown = [_shown(cell) for cell in notebook.cells if cell.cell_type == "code"]
    rows, result, prompt, predictions, cost = shown
    assert "movies" in rows
    assert "95 %" in result
    assert prompt.count("Question:") == 3
    assert predictions.count("positive") + predictions.count("negative") >= 2
    assert (spent := re.search(r"calls +(\d+)", cost))
    assert int(spent[1]) <= 3 * 700


def test_it_is_kept_without_what_a_run_has_shown() -> None:
    nbformat = pytest.importorskip("nbformat")
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    assert [cell.outputs for cell in cells if cell.cell_type == "code" and cell.outputs] == []


def _shown(cell: Any) -> str:
    data = [output.get("data", {"text/plain": output.get("text", "")}) for output in cell.outputs]
    return "\n".join(each.get("text/html", each.get("text/plain", "")) for each in data)
