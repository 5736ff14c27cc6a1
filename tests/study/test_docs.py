"""docs/studies.md says what the models say; run this file to write its reference anew."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pandas as pd

from asyndbt.config._schema import reference_markdown
from asyndbt.study import StudyFile
from asyndbt.study._summary import average_ranks

DOCS = Path(__file__).parents[2] / "docs" / "studies.md"
MARK = "<!-- generated from the models: python tests/study/test_docs.py -->\n\n"
END = "\n<!-- end -->"


def test_the_reference_in_the_docs_is_that_of_the_models() -> None:
    _, _, written = DOCS.read_text(encoding="utf-8").partition(MARK)
    assert written.startswith(reference_markdown(StudyFile) + END), (
        "run: python tests/study/test_docs.py"
    )


def test_the_example_of_the_docs_is_valid() -> None:
    example = re.search(r"```toml\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    assert example is not None
    assert StudyFile.from_dict(tomllib.loads(example[1])).study.calls == 2000


PRINTED = {
    "encoder-mlp": (52.80, 68.70, 85.10, 65.00, 55.90, 51.60, 8.67),
    "manual": (58.00, 83.00, 93.50, 77.00, 81.00, 84.00, 6.17),
    "zero-shot-cot": (78.50, 84.50, 90.50, 76.00, 73.50, 79.00, 6.50),
    "random-icl": (69.70, 71.00, 72.80, 78.50, 82.30, 87.80, 5.17),
    "kate": (68.10, 70.90, 69.50, 77.90, 79.00, 87.40, 6.83),
    "bdpl": (67.20, 86.70, 94.30, 80.40, 83.20, 85.80, 3.67),
    "adaicl": (78.43, 84.95, 91.53, 81.29, 81.85, 87.58, 3.83),
    "cendbt": (87.21, 84.92, 94.40, 83.51, 83.31, 88.52, 1.50),
    "asyndbt": (85.05, 85.07, 92.98, 82.93, 81.95, 87.79, 2.67),
}
"""Table 3 of the paper: accuracies on 5G, CoLA, SST-2, MRPC, QQP and QNLI, and the average rank."""


def test_what_the_docs_say_of_the_printed_means() -> None:
    def off(method: str, unit: float) -> list[float]:
        # Printed with two digits: a multiple of the unit is within half a digit.
        return [v for v in PRINTED[method][:6] if abs(v - unit * round(v / unit)) > 0.00501]

    counts = {method: len(off(method, 0.1)) for method in PRINTED}
    assert counts == {**dict.fromkeys(PRINTED, 0), "adaicl": 6, "cendbt": 5, "asyndbt": 6}
    assert len(off("asyndbt", 1 / 30)) == 4
    docs = DOCS.read_text(encoding="utf-8")
    for method in ("adaicl", "cendbt", "asyndbt"):
        told = ", ".join(f"{value:.2f}" for value in off(method, 0.1))
        assert told in docs.replace("\n  ", " ")


def test_what_the_docs_say_of_the_printed_ranks() -> None:
    def ranks(table: dict[str, tuple[float, ...]]) -> dict[str, float]:
        values = pd.DataFrame.from_dict(table, orient="index").drop(columns=6)
        return {str(name): round(rank, 2) for name, rank in average_ranks(values).items()}

    printed = {method: row[6] for method, row in PRINTED.items()}
    found = ranks(PRINTED)
    assert {method: rank for method, rank in found.items() if rank != printed[method]} == {
        "zero-shot-cot": 6.33,
        "random-icl": 5.0,
        "adaicl": 4.0,
        "asyndbt": 2.83,
    }
    swapped = PRINTED | {
        "adaicl": (78.51, *PRINTED["adaicl"][1:]),
        "asyndbt": (*PRINTED["asyndbt"][:5], 87.81, 2.67),
    }
    assert ranks(swapped) == printed


if __name__ == "__main__":
    head, mark, rest = DOCS.read_text(encoding="utf-8").partition(MARK)
    _, end, tail = rest.partition(END)
    text = head + mark + reference_markdown(StudyFile) + end + tail
    DOCS.write_text(text, encoding="utf-8", newline="\n")
