from __future__ import annotations

import math

import pytest

from asyndbt.run._result import cut_claims, pool_scores, score_interval
from asyndbt.scoring import Score


@pytest.mark.parametrize(
    ("correct", "n", "interval"),
    [
        # Newcombe, Statistics in Medicine 17 (1998), table I, method 3 (score, no correction).
        (81, 263, (0.2553, 0.3662)),
        (15, 148, (0.0624, 0.1605)),
        (0, 20, (0.0, 0.1611)),
        (1, 29, (0.0061, 0.1718)),
        (20, 20, (0.8389, 1.0)),
    ],
)
def test_the_interval_is_wilsons(correct: int, n: int, interval: tuple[float, float]) -> None:
    told = score_interval(Score(correct=correct, n=n))
    assert told is not None
    assert told["interval"] == pytest.approx(interval, abs=1e-4)
    assert told["accuracy"] == pytest.approx(correct / n, abs=1e-6)
    assert told["n"] == n


def test_without_examples_there_is_no_accuracy() -> None:
    assert score_interval(Score()) is None
    assert score_interval(pool_scores([Score(), Score()])) is None


def test_a_mean_over_draws_is_less_certain_the_more_the_draws_differ() -> None:
    def width(spread: float, draws: int) -> float:
        told = score_interval(Score(correct=70, n=100, spread=spread), draws)
        assert told is not None
        low, high = told["interval"]
        return high - low

    assert width(0.0, 5) == pytest.approx(width(0.0, 1))
    assert width(0.05, 5) < width(0.1, 5)
    assert width(0.1, 20) < width(0.1, 5)
    expected = math.hypot(width(0.0, 5), 2 * 1.959964 * 0.1 / math.sqrt(5))
    assert width(0.1, 5) == pytest.approx(expected, abs=2e-4)


def test_three_sites_tested_on_the_same_rows_know_no_more_than_one() -> None:
    one, three = Score(correct=150, n=200, loss=0.5), Score(correct=450, n=600, loss=0.5)
    alone, together = score_interval(one), score_interval(three, copies=3)
    assert alone is not None
    assert together == {**alone, "n": 600}


def test_pooling_counts_every_example_once() -> None:
    pooled = pool_scores([Score(9, 10, 0.2), Score(10, 30, 1.0), Score()])
    assert (pooled.correct, pooled.n) == (19, 40)
    assert pooled.loss == pytest.approx((10 * 0.2 + 30 * 1.0) / 40)


def test_an_inflated_count_does_not_write_the_headline() -> None:
    honest = [Score(6, 10, 0.5)] * 9
    for right, expected in ((2.0**53, 0.64), (0.0, 0.54)):
        pooled = pool_scores(cut_claims([*honest, Score(right, 2**53, 0.0)]))
        assert pooled.correct / pooled.n == pytest.approx(expected)
        assert pooled.n == 100


def test_pooled_draws_spread_as_independent_ones_do() -> None:
    pooled = pool_scores([Score(5, 10, 0.0, 0.3), Score(5, 10, 0.0, 0.4)])
    assert pooled.spread == pytest.approx(0.25)
