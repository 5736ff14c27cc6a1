"""Small tabulated examples with known answers."""

from __future__ import annotations

import pandas as pd
import pytest
from scipy import stats

from asyndbt.study._summary import average_ranks, holm, mean_of, paired


def test_ties_share_the_mean_of_their_ranks() -> None:
    values = pd.DataFrame({"x": {"a": 3.0, "b": 1.0, "c": 3.0, "d": 3.0}})
    assert average_ranks(values).to_dict() == {"a": 2, "b": 4, "c": 2, "d": 2}


def test_means_that_differ_in_the_last_digit_are_ties() -> None:
    values = pd.DataFrame({"x": {"a": 0.1 + 0.2, "b": 0.3}})
    assert average_ranks(values).to_dict() == {"a": 1.5, "b": 1.5}


def test_average_ranks_of_the_papers_table() -> None:
    """Accuracies of the paper's Table 3, and the ranks it prints.

    For AsynDBT it prints 2.67; from its own accuracies follow the ranks 2, 2, 4, 2, 4 and 3.
    """
    table = {
        "RoBERTa": (52.80, 68.70, 85.10, 65.00, 55.90, 51.60),
        "manual": (58.00, 83.00, 93.50, 77.00, 81.00, 84.00),
        "CoT": (78.50, 84.50, 90.50, 76.00, 73.50, 79.00),
        "random": (69.70, 71.00, 72.80, 78.50, 82.30, 87.80),
        "KATE": (68.10, 70.90, 69.50, 77.90, 79.00, 87.40),
        "BDPL": (67.20, 86.70, 94.30, 80.40, 83.20, 85.80),
        "AdaICL": (78.43, 84.95, 91.53, 81.29, 81.85, 87.58),
        "cenDBT": (87.21, 84.92, 94.40, 83.51, 83.31, 88.52),
        "AsynDBT": (85.05, 85.07, 92.98, 82.93, 81.95, 87.79),
    }
    found = average_ranks(pd.DataFrame.from_dict(table, orient="index")).round(2)
    assert found["cenDBT"] == 1.5
    assert found["RoBERTa"] == 8.67
    assert found["AsynDBT"] == 2.83
    assert found["BDPL"] == 3.67


def test_a_name_that_is_missing_somewhere_has_no_rank() -> None:
    values = pd.DataFrame({"x": {"a": 1.0, "b": 2.0}, "y": {"a": 1.0}})
    assert average_ranks(values).to_dict() == {"a": 1.0}
    assert average_ranks(pd.DataFrame()).to_dict() == {}


def test_holm() -> None:
    """Four p-values: 0.005 x 4, then 0.01 x 3, then 0.03 x 2, then the one before it."""
    found = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005})
    assert found == pytest.approx({"d": 0.02, "a": 0.03, "c": 0.06, "b": 0.06})


def test_holm_leaves_out_what_is_no_test_and_ends_at_one() -> None:
    assert holm({"a": 0.9, "b": None, "c": 0.8}) == {"a": 1.0, "b": None, "c": 1.0}


def test_the_paired_test_is_students() -> None:
    ours, theirs = [0.91, 0.88, 0.95, 0.90], [0.85, 0.87, 0.90, 0.84]
    found = paired(ours, theirs)
    assert found.p == pytest.approx(stats.ttest_rel(ours, theirs).pvalue)
    assert found.difference.mean == pytest.approx(0.045)


@pytest.mark.parametrize(
    ("ours", "gap"), [([1.0, 2.0], 0.0), ([2.0, 3.0], 1.0), ([1.1, 2.1], 0.1), ([1.5], 0.5)]
)
def test_differences_that_do_not_vary_have_no_p_and_no_interval(
    ours: list[float], gap: float
) -> None:
    found = paired(ours, [1.0, 2.0][: len(ours)])
    assert found.difference.mean == pytest.approx(gap)
    assert (found.p, found.difference.low, found.difference.high) == (None, None, None)


def test_an_interval_is_students() -> None:
    values = [0.7, 0.8, 0.75, 0.85, 0.8]
    found = mean_of(values)
    low, high = stats.t.interval(0.95, 4, loc=found.mean, scale=stats.sem(values))
    assert (found.low, found.high) == pytest.approx((low, high))
    assert mean_of([0.7]).low is None
