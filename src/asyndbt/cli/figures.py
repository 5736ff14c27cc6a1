"""How figures are written on the screen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["clock_text", "mean_loss", "percent", "score_text", "validation_accuracy"]


def percent(share: float) -> str:
    """Write a share.

    Examples
    --------
    >>> percent(0.8749)
    '87.5 %'
    """
    return f"{100 * share:.1f} %"


def score_text(score: Mapping[str, Any] | None) -> str:
    """Write an accuracy with its 95 % interval.

    Examples
    --------
    >>> score_text({"accuracy": 0.875, "interval": [0.8, 0.92], "n": 120})
    '87.5 % [80.0, 92.0]'
    """
    if not score:
        return "-"
    low, high = score["interval"]
    return f"{percent(score['accuracy'])} [{100 * low:.1f}, {100 * high:.1f}]"


def clock_text(seconds: float) -> str:
    """Write a length of time.

    Examples
    --------
    >>> clock_text(59), clock_text(125), clock_text(7384)
    ('59 s', '2 min 05 s', '2 h 03 min')
    """
    whole = max(0, round(seconds))
    minutes, rest = divmod(whole, 60)
    if not minutes:
        return f"{rest} s"
    hours, minutes_rest = divmod(minutes, 60)
    return f"{hours} h {minutes_rest:02} min" if hours else f"{minutes} min {rest:02} s"


def mean_loss(step: Mapping[str, Any]) -> str:
    """Write the mean of the sites' losses of a step.

    Examples
    --------
    >>> mean_loss({"loss": {"a": 0.5, "b": 1.0}}), mean_loss({"loss": {}})
    ('0.750', '-')
    """
    losses = [value for value in step["loss"].values() if value is not None]
    return f"{sum(losses) / len(losses):.3f}" if losses else "-"


def validation_accuracy(step: Mapping[str, Any]) -> str:
    """Write the accuracy over the validation examples of all sites.

    Examples
    --------
    >>> validation_accuracy(
    ...     {"validation": {"a": {"accuracy": 1.0, "n": 10}, "b": {"accuracy": 0.5, "n": 30}}}
    ... )
    '62.5 %'
    """
    sites = step["validation"].values()
    count = sum(site["n"] for site in sites)
    return percent(sum(site["accuracy"] * site["n"] for site in sites) / count) if count else "-"
