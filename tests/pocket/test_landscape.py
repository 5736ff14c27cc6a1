"""The shape of the tuning landscape, on a sample: wide bounds around the figures in the docs."""

from statistics import fmean

import pytest
from training.pocket.landscape import COLUMNS, landscape

from asyndbt.pocket import TASKS

SEARCHED = ("telecom-relation", "entailment")


@pytest.fixture(scope="module")
def table() -> dict[str, dict[str, float]]:
    return {
        name: landscape(name, rows=4, draws=2, best_of=4 if name in SEARCHED else 0)
        for name in TASKS
    }


@pytest.fixture(scope="module")
def mean(table: dict[str, dict[str, float]]) -> dict[str, float]:
    return {key: fmean(row[key] for row in table.values() if key in row) for key in COLUMNS}


def test_the_plain_prompt_is_better_than_chance_and_far_from_perfect(
    mean: dict[str, float],
) -> None:
    assert 50 < mean["plain"] < 70


def test_random_demonstrations_help_and_differ(mean: dict[str, float]) -> None:
    assert mean["plain"] < mean["demos 1"] < 82
    assert mean["sd"] > 4
    assert mean["demos 1"] < mean["demos 4"]


def test_labels_of_demonstrations_matter(mean: dict[str, float]) -> None:
    assert mean["wrong 1"] < mean["demos 1"] - 20
    assert mean["wrong 4"] < mean["demos 4"] - 40
    assert mean["arbitrary 4"] > 75


def test_fragments_inform_and_mislead(mean: dict[str, float]) -> None:
    assert mean["informative"] > 88
    assert mean["misleading"] < mean["plain"]
    assert abs(mean["fragment"] - mean["plain"]) < 10


@pytest.mark.parametrize("name", SEARCHED)
def test_a_hard_task_needs_fragment_and_demonstrations(
    name: str, table: dict[str, dict[str, float]]
) -> None:
    figures = table[name]
    one_kind = max(figures["best known demos"], figures["best known fragment"])
    assert figures["best known both"] > one_kind + 2
    assert figures["best known both"] > figures["random both"] + 10
