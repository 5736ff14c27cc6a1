"""Label bias, estimated and divided out."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyndbt.lm import Answer, LabelPrior, Predictions, Usage, read_answers


def answered(*rows: Sequence[float] | None) -> Predictions:
    """Answers with these probabilities of the labels; None where the request failed."""
    answers = [row and Answer(tuple(map(math.log, row)), None, Usage(1)) for row in rows]
    return read_answers(answers, ["yes", "no", "maybe"][: len(rows[0] or "12")], "logprobs")


def probabilities(what: Predictions | LabelPrior) -> list[float] | list[list[float]]:
    found: list[float] = np.exp(what.log_probabilities).round(9).tolist()
    return found


def test_answers_are_divided_by_their_geometric_mean() -> None:
    found = answered((0.9, 0.1), (0.8, 0.2))
    prior = LabelPrior.of(found)
    assert probabilities(prior) == pytest.approx([6 / 7, 1 / 7])
    assert prior.queries == 2
    calibrated = prior.calibrate(found)
    assert probabilities(calibrated) == [[0.6, 0.4], [0.4, 0.6]]
    assert found.labels.tolist() == [0, 0]
    assert calibrated.labels.tolist() == [0, 1]


def test_answers_are_divided_by_those_to_other_queries() -> None:
    prior = LabelPrior.of(answered((0.5, 0.25, 0.25)))
    calibrated = prior.calibrate(answered((0.4, 0.4, 0.2)))
    assert probabilities(calibrated) == [[0.25, 0.5, 0.25]]


def test_what_is_judged_is_the_calibrated_answer() -> None:
    calibrated = LabelPrior.of(answered((0.75, 0.25))).calibrate(answered((0.6, 0.4)))
    assert calibrated.judge([1]).loss.tolist() == pytest.approx([-math.log(2 / 3)])
    assert calibrated.judge([1]).correct.tolist() == [1.0]
    assert calibrated.judge([1], "error").loss.tolist() == pytest.approx([-math.log(0.9)])
    mixed = -(2 / 3 * math.log(0.9) + 1 / 3 * math.log(0.1))
    assert calibrated.judge([1], "expected_error").loss.tolist() == pytest.approx([mixed])


def test_pooled_priors_are_the_prior_of_all_answers() -> None:
    first, second = answered((0.9, 0.1), (0.8, 0.2)), answered((0.3, 0.7))
    pooled = LabelPrior.of(first).pooled(LabelPrior.of(second))
    whole = LabelPrior.of(answered((0.9, 0.1), (0.8, 0.2), (0.3, 0.7)))
    assert pooled.log_probabilities == pytest.approx(whole.log_probabilities)
    assert pooled.queries == 3


def test_a_shrunk_prior_counts_the_other_as_so_many_answers() -> None:
    """A log-odds of log 9 from one answer, and of 0 from three, whatever it came from."""
    own, other = LabelPrior.of(answered((0.9, 0.1))), LabelPrior((math.log(0.5),) * 2, 70)
    odds = 9 ** (1 / 4)
    assert probabilities(own.shrunk(other, 3)) == pytest.approx([odds / (1 + odds), 1 / (1 + odds)])


def test_failed_and_unparsed_answers_count_for_nothing_and_stay_as_they_are() -> None:
    silent = Answer((-math.inf, -math.inf), None, Usage(1))
    spoken = Answer((math.log(0.8), math.log(0.2)), None, Usage(1))
    found = read_answers([None, silent, spoken], ["yes", "no"], "logprobs")
    prior = LabelPrior.of(found)
    assert (prior.queries, probabilities(prior)) == (1, [0.8, 0.2])
    calibrated = prior.calibrate(found)
    assert np.isnan(calibrated.log_probabilities[0]).all()
    assert np.exp(calibrated.log_probabilities[1:]).tolist() == [[0.5, 0.5], [0.5, 0.5]]
    assert calibrated.labels.tolist() == [-1, -1, 0]


def test_without_answers_nothing_is_known_and_nothing_changes() -> None:
    nothing = LabelPrior.of(answered(None, None))
    assert nothing == LabelPrior.uniform(2)
    assert nothing.pooled(nothing) == nothing
    assert nothing.pooled(LabelPrior.of(answered((0.9, 0.1)))).queries == 1


def test_a_label_ruled_out_has_a_finite_loss_after_calibration_too() -> None:
    found = read_answers([Answer((0.0, -math.inf), None, Usage(1))], ["yes", "no"], "logprobs")
    prior = LabelPrior((math.log(1e-9), math.log(1 - 1e-9)))
    assert prior.calibrate(found).judge([1]).loss[0] == pytest.approx(12 * math.log(10))


SCORES = st.integers(2, 5).flatmap(
    lambda labels: st.lists(
        st.lists(st.floats(-8, 0), min_size=labels, max_size=labels), min_size=1, max_size=6
    )
)


def scored(rows: Sequence[Sequence[float]]) -> Predictions:
    labels = [f"label{index}" for index in range(len(rows[0]))]
    return read_answers([Answer(tuple(row), None, Usage(1)) for row in rows], labels, "logprobs")


@given(SCORES)
def test_a_uniform_prior_changes_nothing(rows: list[list[float]]) -> None:
    found = scored(rows)
    calibrated = LabelPrior.uniform(len(rows[0])).calibrate(found)
    np.testing.assert_allclose(calibrated.log_probabilities, found.log_probabilities, atol=1e-12)


@given(SCORES, st.lists(st.floats(-8, 8), min_size=5, max_size=5))
def test_a_bias_of_every_answer_towards_a_label_is_taken_out(
    rows: list[list[float]], bias: list[float]
) -> None:
    plain = scored(rows)
    biased = scored([[s + b for s, b in zip(row, bias, strict=False)] for row in rows])
    np.testing.assert_allclose(
        LabelPrior.of(biased).calibrate(biased).log_probabilities,
        LabelPrior.of(plain).calibrate(plain).log_probabilities,
        atol=1e-9,
    )


@given(SCORES)
def test_json_gives_the_same_prior_back(rows: list[list[float]]) -> None:
    prior = LabelPrior.of(scored(rows))
    assert LabelPrior.from_dict(json.loads(json.dumps(asdict(prior)))) == prior
