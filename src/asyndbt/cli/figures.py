"""How figures are written on the screen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["Latest", "clock_text", "percent", "score_text"]


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


class Latest:
    """The latest figures of every site: at one step, only the active ones have new ones.

    Examples
    --------
    >>> latest = Latest()
    >>> latest.take({"loss": {"a": 0.5}, "validation": {"a": {"accuracy": 1.0, "n": 10}}})
    >>> latest.take({"loss": {"b": 1.0}, "validation": {"b": {"accuracy": 0.5, "n": 30}}})
    >>> latest.mean_loss(), latest.validation_accuracy()
    ('0.750', '62.5 %')
    """

    def __init__(self) -> None:
        self.sites: dict[str, dict[str, Any]] = {}

    def take(self, step: Mapping[str, Any]) -> None:
        """Take in the data of a step."""
        for name in ("staleness", "loss", "validation", "entropy_q", "calls"):
            for site, value in step.get(name, {}).items():
                self.sites.setdefault(site, {})[name] = value

    def mean_loss(self) -> str:
        """Return the mean of the sites' losses."""
        losses = self._all("loss")
        return f"{sum(losses) / len(losses):.3f}" if losses else "-"

    def validation_accuracy(self) -> str:
        """Return the accuracy over the validation examples of all sites."""
        looks = self._all("validation")
        count = sum(look["n"] for look in looks)
        right = sum(look["accuracy"] * look["n"] for look in looks)
        return percent(right / count) if count else "-"

    def mean_entropy(self) -> str:
        """Return the mean of the entropies of the sites' demonstration policies, nats."""
        entropies = self._all("entropy_q")
        return f"{sum(entropies) / len(entropies):.2f}" if entropies else "-"

    def most_stale(self) -> str:
        """Return how many steps the site that lags most is behind, and its name."""
        behind = {name: site.get("staleness") or 0 for name, site in self.sites.items()}
        slowest = max(behind, key=lambda name: behind[name], default="")
        return f"{behind[slowest]} ({slowest})" if slowest and behind[slowest] else "0"

    def _all(self, name: str) -> list[Any]:
        found = (site.get(name) for site in self.sites.values())
        return [value for value in found if value is not None]
