"""Which fragments are compared on validation data at the end, and which one wins.

Compared are the read-outs of the consensus z and of the sites' mean, then those at which the
consensus stood on the way, longest first, then those of single sites, most frequent first. So the
list does not depend on the order of the sites, and each is a fragment that somebody stood for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from asyndbt.optim import FloatArray, IntArray

_KEPT = 64


class FragmentSelection:
    """Read-outs of the consensus with the server steps each stood, and the sites' losses on them.

    Parameters
    ----------
    limit : int
        C, fragments compared.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._stood: dict[tuple[int, ...], int] = {}
        self.final: list[tuple[int, ...]] = []
        self.losses: dict[str, tuple[list[float], int]] = {}
        self._best: tuple[int, ...] = ()

    def note(self, fragment: IntArray) -> None:
        """Count a read-out of the consensus on the way."""
        (key,) = _keys([fragment])
        self._stood[key] = self._stood.pop(key, 0) + 1
        if len(self._stood) > _KEPT:
            del self._stood[next(iter(self._stood))]

    def close(self, finals: Sequence[IntArray], sites: Sequence[IntArray] = ()) -> None:
        """Fix the comparison.

        Parameters
        ----------
        finals : sequence of IntArray
            Read-outs that come first, as they stand.
        sites : sequence of IntArray
            Read-outs of the sites, which come last.
        """
        latest_first = reversed(self._stood)
        on_the_way = sorted(latest_first, key=lambda key: -self._stood[key])
        of_sites = [key for key, _ in Counter(sorted(_keys(sites))).most_common()]
        self.final = list(dict.fromkeys([*_keys(finals), *on_the_way, *of_sites]))[: self._limit]
        self._best = self.final[0]

    def reopen(self) -> None:
        """Give the comparison up: there will be another."""
        self.final, self.losses, self._best = [], {}, ()

    def table(self, positions: int) -> IntArray:
        """Return the candidates as an array (C, M)."""
        return np.array(self.final, dtype=np.int64).reshape(len(self.final), positions)

    def record(self, site: str, losses: FloatArray, n: int) -> None:
        """Note a site's mean validation losses (C,) over `n` examples."""
        self.losses[site] = (losses.tolist(), max(n, 0))

    def choose(self, order: Sequence[str]) -> None:
        """Take the candidate with the least loss over all sites' examples; the first on a tie.

        What a site adds is n times its losses above the least of them. Both factors are cut to
        their (lower) medians over sites, so that no site, lying or not, weighs more than a usual
        one; of two sites neither weighs more than the other.
        """
        answered = [self.losses[site] for site in order if self.losses.get(site, ((), 0))[1]]
        if not answered:
            return
        counts = np.array([n for _, n in answered], dtype=np.float64)
        losses = np.array([losses for losses, _ in answered])
        excess = losses - losses.min(axis=1, keepdims=True)
        cut = np.minimum(excess, _lower_median(excess.max(axis=1)))
        total = np.minimum(counts, _lower_median(counts)) @ cut
        self._best = self.final[int(np.argmin(total))]

    def best(self) -> IntArray:
        """Return the chosen fragment (M,)."""
        return np.array(self._best, dtype=np.int64)

    def state(self) -> dict[str, Any]:
        """Everything, as JSON."""
        return {
            "stood": [[list(key), steps] for key, steps in self._stood.items()],
            "final": [list(key) for key in self.final],
            "losses": {site: [losses, n] for site, (losses, n) in self.losses.items()},
            "best": list(self._best),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what `state` wrote."""
        self._stood = {tuple(key): steps for key, steps in state["stood"]}
        self.final = [tuple(key) for key in state["final"]]
        self.losses = {site: (losses, n) for site, (losses, n) in state["losses"].items()}
        self._best = tuple(state["best"])


def _keys(fragments: Iterable[IntArray]) -> list[tuple[int, ...]]:
    return [tuple(fragment.tolist()) for fragment in fragments]


def _lower_median(values: FloatArray) -> float:
    return float(np.sort(values)[(values.size - 1) // 2])
