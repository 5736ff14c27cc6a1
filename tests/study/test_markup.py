"""Best is bold and second underlined, in Markdown and in LaTeX."""

from __future__ import annotations

import pytest

from asyndbt.study._tables import TextCell, TextTable, marks, to_latex, to_markdown

TABLE = TextTable(
    "scores",
    "Scores, 5 % off",
    ["method", "task_a"],
    [
        [TextCell("one"), TextCell("91.0 ± 0.5", "best")],
        [TextCell("two"), TextCell("90.0 ± 0.1", "second")],
        [TextCell("three"), TextCell("–")],
    ],
    "Mean ± deviation.",
)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.0, 3.0, 2.0], ["", "best", "second"]),
        ([3.0, 3.0, 2.0], ["best", "best", ""]),
        ([3.0, 2.0, 2.0], ["best", "second", "second"]),
        ([None, 2.0, None], ["", "best", ""]),
        ([0.3, 0.1 + 0.2, 0.2], ["best", "best", ""]),
        ([], []),
    ],
)
def test_marks(values: list[float | None], expected: list[str]) -> None:
    assert marks(values) == expected


def test_the_least_may_be_the_best() -> None:
    assert marks([1.5, 3.0, 2.0], least=True) == ["best", "", "second"]


def test_markdown() -> None:
    assert to_markdown(TABLE).splitlines() == [
        "**Scores, 5 % off**",
        "",
        "| method | task_a |",
        "| --- | --- |",
        "| one | **91.0 ± 0.5** |",
        "| two | <u>90.0 ± 0.1</u> |",
        "| three | – |",
        "",
        "Mean ± deviation.",
    ]


def test_latex() -> None:
    text = to_latex(TABLE)
    assert r"\caption{Scores, 5 \% off. Mean $\pm$ deviation.}" in text
    assert r"one & \textbf{91.0 $\pm$ 0.5} \\" in text
    assert r"two & \underline{90.0 $\pm$ 0.1} \\" in text
    assert r"three & -- \\" in text
    assert r"task\_a" in text
    assert r"\begin{tabular}{lr}" in text
