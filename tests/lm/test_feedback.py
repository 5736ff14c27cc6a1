import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyndbt.errors import ConfigError
from asyndbt.lm import Answer, Feedback, Usage, read_answers

PAID = Usage(1, 1, 1)
YES_NO_MAYBE = ("yes", "no", "maybe")


def scored(*scores: float) -> Answer:
    return Answer(scores, None, PAID)


def said(text: str) -> Answer:
    return Answer(None, text, PAID)


def distribution(
    answer: Answer, labels: Sequence[str], feedback: Feedback, smoothing: float = 0.1
) -> Any:
    """Log-probabilities (U,) of one answer."""
    (row,) = read_answers([answer], labels, feedback, smoothing).log_probabilities
    return row


def test_scores_are_renormalised_over_the_labels() -> None:
    # p = 0.2, 0.1, 0.1 of the vocabulary: 0.5, 0.25, 0.25 of the labels
    answer = scored(math.log(0.2), math.log(0.1), math.log(0.1))
    expected = np.log([0.5, 0.25, 0.25])
    np.testing.assert_allclose(distribution(answer, YES_NO_MAYBE, "logprobs"), expected)


def test_a_sure_answer_costs_nothing_and_a_wrong_one_much() -> None:
    """A second softmax of probabilities would keep two-class losses within [0.31, 1.31]."""
    sure = scored(-1e-9, -20.0)
    found = read_answers([sure, sure], ("yes", "no"), "logprobs")
    np.testing.assert_allclose(found.judge([0, 1]).loss, [0.0, 20.0], atol=1e-6)
    assert found.unparsed == 0


@given(
    st.lists(st.floats(-700, 0), min_size=2, max_size=6),
    st.floats(-1e4, 1e4),
)
def test_distributions_sum_to_one_and_ignore_a_common_shift(scores, shift) -> None:
    labels = [f"label{index}" for index in range(len(scores))]
    result = distribution(scored(*scores), labels, "logprobs")
    moved = distribution(scored(*(score + shift for score in scores)), labels, "logprobs")
    assert np.exp(result).sum() == pytest.approx(1.0)
    np.testing.assert_allclose(moved, result, atol=1e-8)
    assert np.isfinite(result).all()


def test_a_label_ruled_out_has_a_finite_loss() -> None:
    found = read_answers([scored(0.0, -math.inf)], ("yes", "no"), "logprobs")
    assert found.judge([1]).loss[0] == pytest.approx(12 * math.log(10))
    assert found.unparsed == 0


def test_a_parsed_label_gets_one_minus_e_and_the_rest_share_e() -> None:
    result = distribution(said("No!"), YES_NO_MAYBE, "text", smoothing=0.2)
    np.testing.assert_allclose(np.exp(result), [0.1, 0.8, 0.1])


@pytest.mark.parametrize(
    ("answer", "mode"),
    [
        (said("cannot tell"), "text"),
        (said("yes or no"), "text"),
        (scored(-math.inf, -math.inf, -math.inf), "logprobs"),
        (scored(-1.0, math.nan, -2.0), "logprobs"),
    ],
)
def test_an_answer_for_no_label_is_uniform_counted_and_wrong(answer, mode) -> None:
    answers = [answer, answer, answer]
    found = read_answers(answers, YES_NO_MAYBE, mode)
    judged = found.judge([0, 1, 2])
    np.testing.assert_allclose(judged.loss, math.log(3))
    assert judged.correct.tolist() == [0.0, 0.0, 0.0]
    assert (found.unparsed, found.parsed.any(), found.labels.tolist()) == (3, False, [-1] * 3)


def test_batches_by_hand() -> None:
    answers = [said("yes"), None, said("the answer is no"), said("?")]
    found = read_answers(answers, ("yes", "no"), "text", smoothing=0.1)
    judged = found.judge([0, 0, 0, 1])
    expected = [-math.log(0.9), math.nan, -math.log(0.1), math.log(2)]
    np.testing.assert_allclose(judged.loss, expected)
    np.testing.assert_array_equal(judged.correct, [1.0, math.nan, 0.0, 0.0])
    assert (found.answered.tolist(), found.unparsed) == ([True, False, True, True], 1)


def test_every_answer_needs_a_right_label() -> None:
    with pytest.raises(ValueError, match="shorter"):
        read_answers([said("yes"), said("no")], ("yes", "no"), "text").judge([0])


def test_ties_go_to_the_lowest_index() -> None:
    tied = read_answers([scored(-2.0, -1.0, -1.0)], YES_NO_MAYBE, "logprobs")
    assert tied.labels.tolist() == [1]
    assert tied.judge([1]).loss == tied.judge([2]).loss


@pytest.mark.parametrize(
    ("answer", "mode", "mend"),
    [(said("yes"), "logprobs", "feedback = 'text'"), (scored(-1, -1), "text", "'logprobs'")],
)
def test_the_modes_are_never_mixed_silently(answer, mode, mend) -> None:
    with pytest.raises(ConfigError, match=mend):
        read_answers([answer], ("yes", "no"), mode)


@pytest.mark.parametrize("smoothing", [0.0, 0.5, 0.7, 1.0, math.nan])
def test_a_smoothing_that_favours_no_label_is_refused(smoothing) -> None:
    with pytest.raises(ConfigError, match=r"less than 0\.5"):
        distribution(said("yes"), ("yes", "no"), "text", smoothing)


def test_loss_error_is_what_text_feedback_gives_for_the_most_probable_label() -> None:
    words = ("yes", "no")
    answers = [scored(-0.1, -3.0), scored(-3.0, -2.9), None]
    by_score = read_answers(answers, words, "logprobs", 0.2).judge([0, 0, 0], "error").loss
    by_text = read_answers([said("yes"), said("no")], words, "text", 0.2).judge([0, 0]).loss
    assert by_score[:2].tolist() == by_text.tolist()
    assert np.isnan(by_score[2])


def test_loss_error_of_an_answer_without_a_label_is_chance() -> None:
    nothing = scored(*[-math.inf] * 3)
    found = read_answers([nothing], YES_NO_MAYBE, "logprobs")
    assert found.judge([1], "error").loss.tolist() == pytest.approx([math.log(3)])
    assert found.unparsed == 1


def test_votes_are_smoothed_shares() -> None:
    answer = scored(math.log(0.8), math.log(0.2))
    p = np.exp(distribution(answer, ("yes", "no"), "votes", 0.1))
    assert p.tolist() == pytest.approx([0.9 * 0.8 + 0.05, 0.9 * 0.2 + 0.05])
    unanimous = scored(0.0, -math.inf)
    values = read_answers([unanimous], ("yes", "no"), "votes", 0.1).judge([1]).loss
    assert values.tolist() == pytest.approx([-math.log(0.05)])
