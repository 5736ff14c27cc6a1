"""What follows from a table, on tables small enough to reckon by hand."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from scipy import stats

from asyndbt.study._frame import OVERALL, Row
from asyndbt.study._page import reading
from asyndbt.study._summary import Mean, Summary, summaries
from asyndbt.study._tables import tables_of, to_markdown

ACCURACIES = {
    "asyndbt": {"a": [0.90, 0.92], "b": [0.80, 0.86]},
    "cendbt": {"a": [0.90, 0.92], "b": [0.90, 0.94]},
    "kate": {"a": [0.95, 0.93], "b": [0.60, 0.64]},
    "manual": {"a": [0.50, 0.50], "b": [0.50, 0.50]},
}


def row(method: str, task: str, seed: int, value: float, **more: object) -> Row:
    about = {
        "site": OVERALL, "split": "test", "metric": "accuracy", "calls": 6, "tokens": 60,
        "seconds": 0.5, "budget": 300, "mode": "both",
    }  # fmt: skip
    return Row(method=method, task=task, seed=seed, value=value, **{**about, **more})  # type: ignore[arg-type]


ROWS = [
    row(method, task, seed, value)
    for method, tasks in ACCURACIES.items()
    for task, values in tasks.items()
    for seed, value in enumerate(values)
]


def summary(*more: Row, methods: tuple[str, ...] = tuple(ACCURACIES)) -> Summary:
    return summary_of([*ROWS, *more], methods)


def summary_of(rows: list[Row], methods: Sequence[str] = tuple(ACCURACIES)) -> Summary:
    (found,) = summaries(rows, methods=methods, tasks=["a", "b"], seeds=[0, 1], calls=300)
    return found


def without(method: str, task: str, *seeds: int) -> list[Row]:
    """The rows without those of a method on a task."""
    return [r for r in ROWS if (r.method, r.task) != (method, task) or r.seed not in seeds]


def test_means_and_ranks() -> None:
    found = summary()
    cell = found.cell("asyndbt", "b")
    assert cell is not None
    assert (cell.mean, cell.n) == (pytest.approx(0.83), 2)
    # On a: kate 1, then two that are equal, then manual. On b: cendbt, asyndbt, kate, manual.
    assert found.ranks() == {"asyndbt": 2.25, "cendbt": 1.75, "kate": 2.0, "manual": 4.0}
    assert found.best_baseline() == "kate"


def test_tests_are_paired_by_seed_over_the_means_of_the_tasks() -> None:
    found = summary().comparisons()["cendbt"]
    ours, theirs = [0.90, 0.93], [0.775, 0.785]
    assert found.overall.p == pytest.approx(stats.ttest_rel(ours, theirs).pvalue)
    # On b both seeds differ by the same: that is no test, and the other one is alone.
    p = stats.ttest_rel([0.90, 0.92], [0.95, 0.93]).pvalue
    assert found.corrected_by_task == {"a": pytest.approx(p), "b": None}


def test_a_method_without_a_task_has_no_rank_and_no_mean() -> None:
    found = summary_of(without("kate", "b", 0, 1))
    assert set(found.ranks()) == {"asyndbt", "cendbt", "manual"}
    assert found.overall("kate") is None
    assert found.best_baseline() == "manual"


def test_a_method_without_a_seed_is_compared_with_nothing() -> None:
    found = summary_of(without("kate", "a", 1))
    assert set(found.ranks()) == set(found.comparisons()) | {"manual"}
    assert set(found.ranks()) == {"asyndbt", "cendbt", "manual"}
    assert found.best_baseline() == "manual"
    table3, *_ = tables_of(found, [])
    rows = {cells[0].text: cells[1:] for cells in table3.rows}
    texts = [(cell.text, cell.mark) for cell in rows["kate"]]
    assert texts[0] == ("95.0 (n = 1)", "")
    assert texts[2:] == [("77.5 (n = 1)", ""), ("–", "")]
    assert rows["asyndbt"][0].mark == "best"
    assert "kate lacks results of some seeds or tasks, and so rank and comparison." in reading(
        found
    )


def test_a_budget_of_fewer_seeds_has_them_for_every_method() -> None:
    more = [row("halving", t, s, 0.6) for t in "ab" for s in (0, 1)]
    more += [row("halving", t, 0, 0.5, budget=100) for t in "ab"]
    found = summary(*more, methods=(*ACCURACIES, "halving"))
    assert found.seeds_of(100) == (0,)
    assert found.overall("kate", 100) == Mean(pytest.approx(0.775), 1)
    table = next(t for t in tables_of(found, []) if t.name == "budgets")
    rows = {cells[0].text: [cell.text for cell in cells[1:]] for cells in table.rows}
    assert rows["kate"] == ["77.5", "78.0 ± 0.7"]
    assert rows["asyndbt"][0] == "–"
    assert "1 at 100, 2 at 300" in table.note


def test_the_paper_s_table_marks_the_best_and_the_second() -> None:
    (table3, *_) = tables_of(summary(), [])
    lines = to_markdown(table3).splitlines()
    assert (
        lines[4] == "| asyndbt | <u>91.0 ± 1.4</u> | <u>83.0 ± 4.2</u> | <u>87.0 ± 2.8</u> | 2.25 |"
    )
    assert "| cendbt | <u>91.0 ± 1.4</u> | **92.0 ± 2.8** | **91.5 ± 2.1** | **1.75** |" in lines
    assert "| kate | **94.0 ± 1.4** | 62.0 ± 2.8 | 78.0 ± 0.7 | <u>2.00</u> |" in lines


def test_two_that_are_equal_share_the_mark() -> None:
    (table3, *_) = tables_of(summary(methods=("asyndbt", "cendbt", "manual")), [])
    rows = {cells[0].text: cells for cells in table3.rows}
    assert rows["asyndbt"][1].mark == rows["cendbt"][1].mark == "best"
    assert rows["manual"][1].mark == ""


def test_the_ablation() -> None:
    cells = [(task, seed) for task in "ab" for seed in (0, 1)]
    more = [row("asyndbt", *cell, 0.7, mode="demonstrations") for cell in cells]
    more += [row("asyndbt", *cell, 0.95, mode="fragment") for cell in cells]
    more += [row("asyndbt", *cell, 0.5, metric="plain_accuracy") for cell in cells]
    table = next(t for t in tables_of(summary(*more), ["asyndbt"]) if t.name == "table4-asyndbt")
    assert [cell.text for cell in table.rows[0]] == [
        "a",
        "91.0 ± 1.4",
        "70.0 ± 0.0",
        "95.0 ± 0.0",
        "50.0 ± 0.0",
    ]
    assert [cell.mark for cell in table.rows[0]] == ["", "second", "", "best", ""]


def test_the_reading_names_where_a_baseline_wins() -> None:
    text = reading(summary())
    assert "A baseline wins against asyndbt on 1 task: a (kate, by 3.0 points)." in text
    assert "the order is cendbt (1.75), then kate (2.00), then asyndbt (2.25)." in text
    assert "Ahead of one of ours by rank: kate." in text


def test_the_reading_names_where_none_does() -> None:
    text = reading(summary(methods=("asyndbt", "cendbt", "manual")))
    assert "No baseline is ahead of asyndbt on any task." in text
    assert "wins" not in text


def test_the_reading_says_nothing_of_a_task_without_a_result() -> None:
    methods = ("asyndbt", "cendbt", "manual")
    text = reading(summary_of(without("asyndbt", "b", 0, 1), methods))
    assert "asyndbt lacks results on b, where nothing is said of it." in text
    assert "No baseline is ahead of asyndbt on any other task." in text
    assert "No baseline is ahead of cendbt on any task." in text
    text = reading(summary_of([r for r in ROWS if r.method != "asyndbt"], methods))
    assert "asyndbt lacks results on a, b" in text
    assert "ahead of asyndbt" not in text


def test_the_reading_goes_through_the_budgets() -> None:
    more = [
        row(m, t, 0, v, budget=100) for m, v in (("asyndbt", 0.6), ("halving", 0.7)) for t in "ab"
    ]
    more += [row("halving", t, s, 0.6) for t in "ab" for s in (0, 1)]
    text = reading(summary(*more, methods=(*ACCURACIES, "halving")))
    # kate has no calls to spend: what it has at the seed of the small budget stands there too.
    assert "A baseline has the best mean accuracy at 100 calls (kate, by 17.5 points)." in text


def test_training_time() -> None:
    more = [
        row(method, task, 0, value, split="train", metric="seconds")
        for method, value in (("asyndbt", 30.0), ("cendbt", 60.0))
        for task in "ab"
    ]
    assert "Tuning takes asyndbt 50 % less time than cendbt (Figure 1)." in reading(summary(*more))
    table = next(t for t in tables_of(summary(*more), []) if t.name == "time")
    assert [cell.text for cell in table.rows[1]] == ["b", "30", "60", "50 %"]


def test_points_of_the_grid_are_kept_apart() -> None:
    other = [row("asyndbt", "a", 0, 0.1, point=(("method.draws", "3"),))]
    found = list(summaries([*ROWS, *other], methods=["asyndbt"], tasks=["a"], seeds=[0], calls=300))
    cells = [each.cell("asyndbt", "a") for each in found]
    assert [cell.mean for cell in cells if cell] == [pytest.approx(0.9), 0.1]
