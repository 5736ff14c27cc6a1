"""Costs of wrong labels: what an answer costs, and which tables are none."""

from __future__ import annotations

import numpy as np
import pytest

from asyndbt.config import Config
from asyndbt.errors import ConfigError
from asyndbt.lm import Answer, Usage, read_answers
from asyndbt.run import make_task
from asyndbt.task import Task

WORDS = ("no", "yes")
COSTS = ((0.0, 1.0), (5.0, 0.0))


def config(costs: object, **method: object) -> Config:
    task = {"instruction": "{text}?", "labels": {0: "no", 1: "yes"}, "costs": costs}
    tables = {"task": task, "data": {"train": "t"}, "method": method, "budget": {"calls": 9}}
    return Config.from_dict(tables)


def test_a_text_costs_what_its_label_costs_and_no_label_the_most() -> None:
    said = [Answer(None, text, Usage(calls=1)) for text in ("yes", "no", "no", "perhaps")]
    judged = read_answers([*said, None], WORDS, "text").judge([1, 1, 0, 1, 0], "error", COSTS)
    assert judged.loss.tolist()[:4] == [0.0, 5.0, 0.0, 5.0]
    assert np.isnan(judged.loss[4])
    assert judged.correct.tolist()[:4] == [1.0, 0.0, 1.0, 0.0]


def test_probabilities_cost_their_expectation() -> None:
    scored = [Answer((np.log(0.6), np.log(0.4)), None, Usage(calls=1))] * 2
    found = read_answers(scored, WORDS, "logprobs")
    assert found.judge([1, 0], "expected_error", COSTS).loss == pytest.approx([3.0, 0.4])
    assert found.judge([1, 0], "error", COSTS).loss.tolist() == [5.0, 0.0]
    with pytest.raises(ConfigError, match="knows no costs"):
        found.judge([1, 0], "cross_entropy", COSTS)


def test_equal_costs_are_right_and_wrong() -> None:
    said = [Answer(None, text, Usage(calls=1)) for text in ("yes", "no")]
    judged = read_answers(said, WORDS, "text").judge([1, 1], "error", ((0, 1), (1, 0)))
    assert (1 - judged.loss).tolist() == judged.correct.tolist()


def test_what_is_not_given_costs_one() -> None:
    assert make_task(config({1: {0: 5}})).costs == COSTS
    assert Config.from_dict(config({1: {0: 5}}).to_dict()).task.costs == {"1": {"0": 5.0}}


def test_costs_are_kept_with_the_task() -> None:
    task = Task("{text}?", ("0", "1"), WORDS, costs=COSTS)
    assert Task.from_dict(task.to_dict()) == task
    assert "costs" not in Task("{text}?", ("0", "1"), WORDS).to_dict()


@pytest.mark.parametrize(
    ("costs", "message"),
    [
        ({"1": {"2": 5}}, r"task.costs names '2', which is not one of the labels '0', '1'"),
        ({"1": {"1": 5}}, "answering '1' where it is right costs nothing"),
        ({"1": {"0": 100}}, "a number from 0 to 20"),
        ({"1": {"0": -1}}, "a number from 0 to 20"),
    ],
)
def test_a_table_that_is_none(costs: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_task(config(costs))


def test_cross_entropy_knows_no_costs() -> None:
    with pytest.raises(ConfigError, match=r'method.loss = "cross_entropy" knows no costs'):
        config({"1": {"0": 5}}, loss="cross_entropy")
