"""Accuracies with intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from asyndbt.federation import Score

__all__ = ["accuracy", "pool"]

_Z = 1.959964


def pool(scores: Sequence[Score]) -> Score:
    """Pool the scores of several sites, each example counting once."""
    n = sum(score.n for score in scores)
    if not n:
        return Score()
    return Score(
        math.fsum(score.correct for score in scores),
        n,
        math.fsum(score.loss * score.n for score in scores) / n,
        math.sqrt(math.fsum((score.spread * score.n / n) ** 2 for score in scores)),
    )


def accuracy(score: Score, draws: int = 1) -> dict[str, Any] | None:
    """Return accuracy, 95 % interval and n of a score; None without examples.

    Wilson's interval for one prompt. For a mean over random draws the variance of that mean over
    draws, spread^2 / draws, is added to the sampling variance.

    Parameters
    ----------
    score : Score
    draws : int
        Random draws that the score averages over.

    Examples
    --------
    >>> accuracy(Score(correct=90, n=100, loss=0.3))
    {'accuracy': 0.9, 'interval': [0.8256, 0.9448], 'loss': 0.3, 'n': 100}
    """
    if not score.n:
        return None
    share, n = score.correct / score.n, score.n
    center = (share + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z * math.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2)) / (1 + _Z**2 / n)
    half = math.hypot(half, _Z * score.spread / math.sqrt(draws)) if draws > 1 else half
    interval = [round(max(0.0, center - half), 4), round(min(1.0, center + half), 4)]
    return {
        "accuracy": round(share, 6),
        "interval": interval,
        "loss": round(score.loss, 6),
        "n": n,
    }
