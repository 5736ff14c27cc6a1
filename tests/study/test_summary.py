"""What follows from a table, on tables small enough to reckon by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from scipy import stats

from asyndbt.study import load_study
from asyndbt.study._frame import OVERALL
from asyndbt.study._summary import Mean, Summary, mean_of, means, summaries
from asyndbt.study._tables import tables_of, to_latex, to_markdown

ROOT = Path(__file__).parents[2]

ACCURACIES = {
    "asyndbt": {"a": [0.90, 0.92], "b": [0.80, 0.86]},
    "cendbt": {"a": [0.90, 0.92], "b": [0.90, 0.94]},
    "kate": {"a": [0.95, 0.93], "b": [0.60, 0.64]},
    "manual": {"a": [0.50, 0.50], "b": [0.50, 0.50]},
}


Row = dict[str, Any]


def row(method: str, task: str, seed: int, value: float, **more: Any) -> Row:
    about = {
        "site": OVERALL, "split": "test", "metric": "accuracy", "calls": 6, "tokens": 60,
        "seconds": 0.5, "budget": 300, "mode": "both",
    }  # fmt: skip
    return {"method": method, "task": task, "seed": seed, "value": value, **about, **more}


ROWS = [
    row(method, task, seed, value)
    for method, tasks in ACCURACIES.items()
    for task, values in tasks.items()
    for seed, value in enumerate(values)
]


def summary(*more: Row, methods: tuple[str, ...] = tuple(ACCURACIES)) -> Summary:
    return summary_of([*ROWS, *more], methods)


def summary_of(rows: list[Row], methods: Sequence[str] = tuple(ACCURACIES)) -> Summary:
    frame = pd.DataFrame(rows)
    (found,) = summaries(frame, methods=methods, tasks=["a", "b"], seeds=[0, 1], calls=300)
    return found


def table(found: Summary, name: str) -> list[list[str]]:
    """The texts of a table, without its head."""
    (only,) = (each for each in tables_of(found, []) if each.name == name)
    return [[cell.text for cell in cells] for cells in only.rows]


def without(method: str, task: str, *seeds: int) -> list[Row]:
    """The rows without those of a method on a task."""
    dropped = [(method, task, seed) for seed in seeds]
    return [r for r in ROWS if (r["method"], r["task"], r["seed"]) not in dropped]


def test_means_and_ranks() -> None:
    found = summary()
    cell = means(found.values())["asyndbt", "b"]
    assert (cell.mean, cell.n) == (pytest.approx(0.83), 2)
    # On a: kate 1, then two that are equal, then manual. On b: cendbt, asyndbt, kate, manual.
    assert found.ranks().to_dict() == {"asyndbt": 2.25, "cendbt": 1.75, "kate": 2.0, "manual": 4.0}
    assert found.best_baseline() == "kate"


def test_tests_are_paired_by_seed_over_the_means_of_the_tasks() -> None:
    found = summary().comparisons("kate")["cendbt"]
    ours, theirs = [0.90, 0.93], [0.775, 0.785]
    assert found.overall.p == pytest.approx(stats.ttest_rel(ours, theirs).pvalue)
    # On b both seeds differ by the same: that is no test, and the other one is alone.
    p = stats.ttest_rel([0.90, 0.92], [0.95, 0.93]).pvalue
    assert found.corrected_by_task == {"a": pytest.approx(p), "b": None}


def test_a_method_without_a_task_has_no_rank_and_no_mean() -> None:
    found = summary_of(without("kate", "b", 0, 1))
    assert set(found.ranks().index) == {"asyndbt", "cendbt", "manual"}
    assert found.over_tasks()["kate"].isna().all()
    assert found.best_baseline() == "manual"


def test_a_method_without_a_seed_is_compared_with_nothing() -> None:
    found = summary_of(without("kate", "a", 1))
    assert set(found.ranks().index) == set(found.comparisons("manual")) | {"manual"}
    assert set(found.ranks().index) == {"asyndbt", "cendbt", "manual"}
    assert found.best_baseline() == "manual"
    table3, *_ = tables_of(found, [])
    rows = {cells[0].text: cells[1:] for cells in table3.rows}
    texts = [(cell.text, cell.mark) for cell in rows["kate"]]
    assert texts[0] == ("95.0 (n = 1)", "")
    assert texts[2:] == [("77.5 (n = 1)", ""), ("–", "")]
    assert rows["asyndbt"][0].mark == "best"
    assert ["kate", "0 / 0 / 1 (n = 1)"] not in table(found, "wins")
    assert ["kate", "1 / 0 / 0 (n = 1)", "1 / 0 / 0 (n = 1)"] in table(found, "wins")


def test_a_budget_of_fewer_seeds_has_them_for_every_method() -> None:
    more = [row("halving", t, s, 0.6) for t in "ab" for s in (0, 1)]
    more += [row("halving", t, 0, 0.5, budget=100) for t in "ab"]
    found = summary(*more, methods=(*ACCURACIES, "halving"))
    assert found.seeds_of(100) == [0]
    assert means(found.over_tasks(100))["kate"] == Mean(pytest.approx(0.775), 1)
    (budgets,) = (each for each in tables_of(found, []) if each.name == "budgets")
    rows = {name: rest for name, *rest in table(found, "budgets")}
    assert rows["kate"] == ["77.5", "78.0 ± 0.7"]
    assert rows["asyndbt"][0] == "–"
    assert "1 at 100, 2 at 300" in budgets.note


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
    table4 = next(t for t in tables_of(summary(*more), ["asyndbt"]) if t.name == "table4-asyndbt")
    assert [cell.text for cell in table4.rows[0]] == [
        "a",
        "91.0 ± 1.4",
        "70.0 ± 0.0",
        "95.0 ± 0.0",
        "50.0 ± 0.0",
    ]
    assert [cell.mark for cell in table4.rows[0]] == ["", "second", "", "best", ""]


def test_the_wins_count_tasks_by_their_means() -> None:
    # On a both are behind kate, on b both are ahead of it; manual is behind everywhere.
    assert table(summary(), "wins") == [
        ["kate", "1 / 0 / 1", "1 / 0 / 1"],
        ["manual", "2 / 0 / 0", "2 / 0 / 0"],
    ]
    level = [{**r, "method": "tpe"} for r in ROWS if r["method"] == "asyndbt"]
    found = summary(*level, methods=(*ACCURACIES, "tpe"))
    assert table(found, "wins")[2] == ["tpe", "0 / 2 / 0", "1 / 1 / 0"]


def test_every_place_where_a_baseline_is_ahead_is_a_row_with_its_interval() -> None:
    gap = mean_of([0.95 - 0.90, 0.93 - 0.92])
    assert gap.low is not None
    assert gap.high is not None
    lead = f"+3.0 [{100 * gap.low:+.1f}, {100 * gap.high:+.1f}]"
    assert table(summary(), "losses") == [
        ["asyndbt", "a", "kate", lead, "2"],
        ["cendbt", "a", "kate", lead, "2"],
    ]


def test_where_no_baseline_is_ahead_a_row_says_so() -> None:
    found = summary(methods=("asyndbt", "cendbt", "manual"))
    assert table(found, "losses") == [
        ["asyndbt", "nowhere", "–", "–", "–"],
        ["cendbt", "nowhere", "–", "–", "–"],
    ]


def test_a_place_without_results_is_a_row_of_its_own() -> None:
    methods = ("asyndbt", "cendbt", "manual")
    assert table(summary_of(without("asyndbt", "b", 1), methods), "losses") == [
        ["asyndbt", "b", "–", "–", "1 of 2"],
        ["asyndbt", "mean over tasks, 300 calls", "–", "–", "1 of 2"],
        ["cendbt", "nowhere", "–", "–", "–"],
    ]
    found = table(summary_of([r for r in ROWS if r["method"] != "asyndbt"], methods), "losses")
    assert [row[1:] for row in found if row[0] == "asyndbt"] == [
        ["a", "–", "–", "0 of 2"],
        ["b", "–", "–", "0 of 2"],
        ["mean over tasks, 300 calls", "–", "–", "0 of 2"],
    ]


def test_a_budget_at_which_a_baseline_is_ahead_is_a_row() -> None:
    more = [
        row(m, t, 0, v, budget=100) for m, v in (("asyndbt", 0.6), ("halving", 0.7)) for t in "ab"
    ]
    more += [row("halving", t, s, 0.6) for t in "ab" for s in (0, 1)]
    found = table(summary(*more, methods=(*ACCURACIES, "halving")), "losses")
    at = "mean over tasks, 100 calls"
    # kate has no calls to spend: what it has at the seed of the small budget stands there too.
    assert [row for row in found if row[1] == at] == [
        ["asyndbt", at, "kate", "+17.5", "1"],
        ["asyndbt", at, "halving", "+10.0", "1"],
        ["cendbt", at, "–", "–", "0 of 1"],
    ]


def test_what_it_costs_that_data_stay_at_their_sites_is_a_table() -> None:
    (cells,) = table(summary(), "pooled")
    p = stats.ttest_rel([0.85, 0.89], [0.90, 0.93]).pvalue
    assert cells[0] == "asyndbt"
    assert cells[1].startswith("-4.5 [")
    assert cells[2:] == [f"{p:.3f}", f"{p:.3f}", "+0.0", "-9.0"]


def test_training_time() -> None:
    more = [
        row(method, task, 0, value, split="train", metric="seconds")
        for method, value in (("asyndbt", 30.0), ("cendbt", 60.0))
        for task in "ab"
    ]
    assert table(summary(*more), "time") == [["a", "30", "60", "50 %"], ["b", "30", "60", "50 %"]]
    assert "time" not in {each.name for each in tables_of(summary(*more[:2]), [])}


def test_points_of_the_grid_are_kept_apart() -> None:
    rows = [{**r, "method.draws": "4"} for r in ROWS]
    rows.append(row("asyndbt", "a", 0, 0.1, **{"method.draws": "3"}))
    found = list(
        summaries(pd.DataFrame(rows), methods=["asyndbt"], tasks=["a"], seeds=[0], calls=300)
    )
    assert [each.point for each in found] == [(("method.draws", "4"),), (("method.draws", "3"),)]
    assert [means(each.values())["asyndbt", "a"].mean for each in found] == [0.9, 0.1]


def test_a_method_that_pools_the_sites_has_the_results_of_all_of_them() -> None:
    """Its one site is named like all of them together: the row is there twice."""
    assert means(summary(*ROWS).values()) == means(summary().values())


def test_the_published_tables_follow_from_the_published_results() -> None:
    study = load_study(ROOT / "studies" / "pocket.toml").study
    (found,) = summaries(
        pd.read_parquet(ROOT / "docs" / "results" / "pocket" / "results.parquet"),
        methods=study.methods,
        tasks=study.tasks,
        seeds=study.seeds,
        calls=study.calls,
    )
    tables = {each.name: each for each in tables_of(found, study.ablation)}
    published = ROOT / "docs" / "results" / "pocket" / "tables"
    names = {file.stem for file in published.iterdir()}
    assert names <= set(tables)
    for name in names:
        assert (published / f"{name}.md").read_text("utf-8") == to_markdown(tables[name])
        assert (published / f"{name}.tex").read_text("utf-8") == to_latex(tables[name])
