"""What the figures of a study show."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from asyndbt.study import StudyFile, cells_of
from asyndbt.study._execute import execute_cells
from asyndbt.study._figures import draw_figures
from asyndbt.study._frame import curve_of, results_of
from asyndbt.study._summary import summaries


@pytest.fixture
def figures(
    study: Callable[..., StudyFile], pretended: object, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    """The figures of a small study by their captions."""
    file = study(curve_calls=[100], curve_seeds=1, methods=["asyndbt", "cendbt", "random-icl"])
    done = execute_cells(cells_of(file), file.study.dir / "answers")
    part = file.study
    (found,) = summaries(
        results_of(done), methods=part.methods, tasks=part.tasks, seeds=part.seeds, calls=part.calls
    )
    kept: list[Any] = []
    monkeypatch.setattr(
        "matplotlib.figure.Figure.savefig", lambda self, *_, **__: kept.append(self)
    )
    made = draw_figures(found, curve_of(done), Path())
    return {caption: figure for (_, caption), figure in zip(made, kept[::2], strict=True)}


def test_the_course_of_a_task_has_a_panel_for_each_measure(figures: dict[str, Any]) -> None:
    caption = next(each for each in figures if each.startswith("Figure 2."))
    assert "the training loss, which is what the method lowers" in caption
    accuracy, entropy, training = figures[caption].axes
    assert [axes.get_ylabel() for axes in (accuracy, entropy, training)] == [
        "accuracy on validation data, per cent",
        "cross-entropy on validation data, nats",
        "training loss",
    ]
    # One look at validation data: a single point, which only its marker shows.
    line = accuracy.get_lines()[0]
    assert line.get_xdata().tolist() == [2]
    assert line.get_ydata() == pytest.approx([90.5])
    assert line.get_marker() == "o"
    assert entropy.get_lines()[0].get_ydata() == pytest.approx([0.4])
    assert training.get_lines()[0].get_ydata() == pytest.approx([1.0, 0.5])


def test_every_method_has_the_same_seeds_at_a_budget(figures: dict[str, Any]) -> None:
    caption = next(each for each in figures if each.startswith("Accuracy on the test split"))
    (axes,) = figures[caption].axes
    lines = {line.get_label(): line for line in axes.containers}
    values = {name: each.lines[0].get_ydata().tolist() for name, each in lines.items()}
    assert values["random-icl"] == pytest.approx([70.0, 70.5])
    assert values["asyndbt"] == pytest.approx([90.0, 90.5])
