"""Which fragments are compared on validation data at the end, and which one wins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from asyndbt.optim import FloatArray, IntArray

__all__ = ["Candidates"]

_KEPT = 64


class Candidates:
    """Read-outs of the consensus, newest first, and the sites' losses on them.

    Parameters
    ----------
    limit : int
        C, fragments compared.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._seen: dict[tuple[int, ...], None] = {}
        self.final: list[tuple[int, ...]] = []
        self.losses: dict[str, tuple[list[float], int]] = {}
        self._best: tuple[int, ...] = ()

    def note(self, fragment: IntArray) -> None:
        """Remember a read-out of the consensus on the way."""
        key = tuple(int(index) for index in fragment)
        self._seen.pop(key, None)
        self._seen[key] = None
        if len(self._seen) > _KEPT:
            del self._seen[next(iter(self._seen))]

    def close(self, finals: Sequence[IntArray]) -> None:
        """Fix the comparison: the final read-outs first, then the latest ones on the way."""
        keys = [tuple(int(index) for index in fragment) for fragment in finals]
        self.final = list(dict.fromkeys([*keys, *reversed(self._seen)]))[: self._limit]
        self._best = self.final[0]

    def table(self, positions: int) -> IntArray:
        """Return the candidates as an array (C, M)."""
        return np.array(self.final, dtype=np.int64).reshape(len(self.final), positions)

    def record(self, site: str, losses: FloatArray, n: int) -> None:
        """Note a site's mean validation losses (C,) over `n` examples."""
        self.losses[site] = (losses.tolist(), max(n, 0))

    def choose(self, order: Sequence[str]) -> None:
        """Take the candidate with the least loss over all sites' examples; the first on a tie.

        What a site adds is n times its losses above the least of them. Both factors are cut to
        their medians over sites, so that no site, lying or not, weighs more than a usual one.
        """
        answered = [self.losses[site] for site in order if self.losses.get(site, ((), 0))[1]]
        if not answered:
            return
        counts = np.array([n for _, n in answered], dtype=np.float64)
        losses = np.array([losses for losses, _ in answered])
        excess = losses - losses.min(axis=1, keepdims=True)
        cut = np.minimum(excess, np.median(excess.max(axis=1)))
        total = np.minimum(counts, np.median(counts)) @ cut
        self._best = self.final[int(np.argmin(total))]

    def best(self) -> IntArray:
        """Return the chosen fragment (M,)."""
        return np.array(self._best, dtype=np.int64)

    def state(self) -> dict[str, Any]:
        """Everything, as JSON."""
        return {
            "seen": [list(key) for key in self._seen],
            "final": [list(key) for key in self.final],
            "losses": {site: [losses, n] for site, (losses, n) in self.losses.items()},
            "best": list(self._best),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what `state` wrote."""
        self._seen = dict.fromkeys(tuple(key) for key in state["seen"])
        self.final = [tuple(key) for key in state["final"]]
        self.losses = {site: (losses, n) for site, (losses, n) in state["losses"].items()}
        self._best = tuple(state["best"])
