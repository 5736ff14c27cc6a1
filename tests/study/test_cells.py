"""From a study to its runs: which ones, and with which settings and budgets."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from asyndbt.pocket import TASKS as POCKET_TASKS
from asyndbt.pocket._datasets import SIZES
from asyndbt.study import Cell, StudyFile, cells_of
from asyndbt.study._cells import _sizes

Make = Callable[..., StudyFile]


def test_every_method_on_every_task_with_every_seed(study: Make) -> None:
    cells = cells_of(study())
    assert Counter((c.method, c.task) for c in cells) == dict.fromkeys(
        ((m, t) for m in study().study.methods for t in study().study.tasks), 2
    )
    assert {c.config.run.seed for c in cells} == {0, 1}
    assert len({c.directory for c in cells}) == len(cells)


def test_a_run_on_other_rows_of_the_same_file_is_another_run(study: Make, tmp_path: Path) -> None:
    def directories(label: str) -> list[Path]:
        rows = [{"text": f"text {i}", "label": label if i == 7 else str(i % 2)} for i in range(60)]
        (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
        _sizes.cache_clear()
        task = {"task": {"instruction": "{text}?", "labels": {"0": "no", "1": "yes"}}}
        data = {"data": {"train": str(tmp_path / "rows.jsonl")}}
        file = study(tasks=["own"], seeds=[0], tables={"tasks": {"own": task | data}})
        return [cell.directory for cell in cells_of(file)]

    first, edited = directories("1"), directories("0")
    assert not set(first) & set(edited)
    assert directories("1") == first


def test_budgets_are_equal_and_the_evaluation_is_paid_besides(study: Make) -> None:
    for cell in cells_of(study(tables={"base": {"method": {"random_icl_draws": 3}}})):
        assert cell.config.budget.calls == 3 * 300 + (2 + 3) * SIZES["test"]
        assert cell.config.budget.per_site.calls is None


def test_calibrating_every_kind_of_prompt_belongs_to_the_evaluation(study: Make) -> None:
    tables = {"base": {"lm": {"calibration": "batch"}, "method": {"random_icl_draws": 3}}}
    budgets = {(cell.method, cell.config.budget.calls) for cell in cells_of(study(tables=tables))}
    assert budgets == {
        ("asyndbt", 3 * 300 + 5 * (SIZES["test"] + 3 * 16)),
        ("random-icl", 3 * 300 + 5 * (SIZES["test"] + 3 * 16)),
        ("cendbt", 3 * 300 + 5 * (SIZES["test"] + 16)),
    }


def test_a_test_split_that_sites_share_is_paid_once_where_the_data_are_pooled(study: Make) -> None:
    shared = {"data": {"partition": {"sites": 3, "test": "shared"}, "site_column": None}}
    tables = {"tasks": dict.fromkeys(study().study.tasks, shared)}
    cells = cells_of(study(tables=tables))
    budgets = {(cell.method, cell.config.budget.calls) for cell in cells}
    assert budgets == {
        ("asyndbt", 3 * 300 + 3 * 3 * SIZES["test"]),
        ("random-icl", 3 * 300 + 3 * 3 * SIZES["test"]),
        ("cendbt", 3 * 300 + 3 * SIZES["test"]),
    }


def test_further_budgets_are_for_methods_that_spend_calls(study: Make) -> None:
    cells = cells_of(study(curve_calls=[100, 200, 300], curve_seeds=1))
    more = Counter((c.method, c.calls, c.seed) for c in cells if c.calls != 300)
    assert set(more) == {(m, calls, 0) for m in ("asyndbt", "cendbt") for calls in (100, 200)}
    assert [c.calls for c in cells] == sorted((c.calls for c in cells), key=lambda n: n != 300)


def test_the_ablation_leaves_out_settings_of_what_is_not_tuned(study: Make) -> None:
    base = {"method": {"fragment_length": 4, "demonstrations_per_class": 1, "random_icl_draws": 2}}
    cells = cells_of(study(ablation=["asyndbt"], tables={"base": base}))
    some = {c.mode: c.config for c in cells if (c.method, c.seed) == ("asyndbt", 0)}
    assert set(some) == {"both", "demonstrations", "fragment"}
    test = SIZES["test"]
    assert some["both"].method.fragment_length == 4
    assert some["demonstrations"].budget.calls == 3 * 300 + 4 * test
    assert some["fragment"].budget.calls == 3 * 300 + 2 * test
    assert {c.mode for c in cells if c.method != "asyndbt"} == {"both"}


def test_an_ablation_of_what_is_run_anyway_is_run_once(study: Make) -> None:
    base = {"method": {"mode": "fragment"}}
    cells = cells_of(study(methods=["asyndbt"], ablation=["asyndbt"], tables={"base": base}))
    assert Counter(c.mode for c in cells) == {"fragment": 4, "demonstrations": 4}
    assert len({c.directory for c in cells}) == len(cells)


def test_the_grid_sets_any_key(study: Make) -> None:
    grid = {"federation": {"quorum": ["majority", "all"]}, "method.draws": [3, 4]}
    cells = cells_of(study(tables={"grid": grid}))
    points = Counter(c.point for c in cells)
    assert len(points) == 4
    assert len(set(points.values())) == 1
    for cell in cells:
        quorum, draws = dict(cell.point)["federation.quorum"], dict(cell.point)["method.draws"]
        assert (cell.config.federation.quorum, cell.config.method.draws) == (quorum, draws)


def test_tables_of_methods_and_tasks_go_before_the_base(study: Make) -> None:
    name = "paraphrase"
    known, source = POCKET_TASKS[name], f"pocket:{name}"
    mine = {
        "task": {"instruction": known.instruction, "labels": dict(known.labels)},
        "data": {"train": f"{source}/train", "test": f"{source}/test", "pool_per_class": 5},
        "method": {"vocabulary": "pocket"},
    }
    file = study(
        tasks=["mine"],
        tables={
            "tasks": {"mine": mine},
            "base": {"data": {"pool_per_class": 4}, "method": {"draws": 6}},
            "overrides": {"cendbt": {"method": {"draws": 7}}},
        },
    )
    found = {cell.method: cell.config for cell in cells_of(file)}
    assert {config.data.pool_per_class for config in found.values()} == {5}
    assert (found["asyndbt"].method.draws, found["cendbt"].method.draws) == (6, 7)


def test_rows_of_demo_tasks_follow_a_seed(study: Make) -> None:
    sources = {cell.config.data.test for cell in cells_of(study(pocket_rows=7))}
    assert sources
    assert all(source.endswith("/test@7") for source in sources)


def test_another_setting_is_another_directory(study: Make) -> None:
    def directories(**more: object) -> set[str]:
        cells: list[Cell] = cells_of(study(tables={"base": {"method": more}}))
        return {cell.directory.name for cell in cells}

    assert directories(draws=4) == directories(draws=4)
    assert not directories(draws=4) & directories(draws=5)
