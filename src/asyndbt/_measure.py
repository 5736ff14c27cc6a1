"""What scores of answers are called: accuracies and costs of labels, or mean rewards of texts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, get_args

Measure = Literal["accuracy", "mean_reward"]
"""The key of the share in a score of a record."""

ScoreKeys = tuple[Measure, Literal["loss", "mean_cost"]]
"""The keys of the share and of the mean loss."""
PLURALS: Final[Mapping[Measure, str]] = {"accuracy": "accuracies", "mean_reward": "mean rewards"}


def measure_of(scores: Iterable[Mapping[str, Any] | None]) -> Measure:
    """Return what the scores of a record are; accuracies if there are none.

    Examples
    --------
    >>> measure_of([None, {"mean_reward": 0.5, "n": 10}])
    'mean_reward'
    """
    for score in scores:
        for measure in get_args(Measure):
            if measure in (score or {}):
                found: Measure = measure
                return found
    return "accuracy"


def words_of(measure: Measure) -> str:
    """Return a measure in words.

    Examples
    --------
    >>> words_of("mean_reward")
    'mean reward'
    """
    return measure.replace("_", " ")


def share_of(score: Mapping[str, Any]) -> float:
    """Return the accuracy, or the mean reward, in a score of a record."""
    return float(score[measure_of([score])])


def costs_text(scores: Mapping[str, Mapping[str, Any] | None], kinds: Mapping[str, str]) -> str:
    """Return the mean costs in scores by kind of prompt, as a sentence; empty if there are none.

    Examples
    --------
    >>> costs_text({"plain": {"mean_cost": 1.5}, "tuned": None}, {"plain": "plain prompt"})
    'Mean cost of an answer: plain prompt 1.5.'
    """
    told = [
        f"{name} {score['mean_cost']:.3g}"
        for kind, name in kinds.items()
        if (score := scores.get(kind)) and "mean_cost" in score
    ]
    return f"Mean cost of an answer: {', '.join(told)}." if told else ""
