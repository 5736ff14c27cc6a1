"""Selection of the fragment: which read-outs are compared on validation data, and which one wins.

The read-outs of the consensus z and of the sites' mean are compared first, then earlier read-outs
of the consensus, those that lasted longest first, then those of single sites, most frequent first.
So the list does not depend on the order of the sites, and every fragment in it is the read-out of
some policy.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from asyndbt.optim import FloatArray, IntArray

Fragment = tuple[int, ...]
_KEPT = 64


class FragmentSelection:
    """Comparison of fragments by the sites' validation losses.

    Parameters
    ----------
    limit : int
        C, most fragments compared.

    Attributes
    ----------
    fragments : list of tuple of int
        The fragments compared, once the comparison is closed.
    losses : dict of str to (list of float, int)
        Mean validation losses of the fragments, nats, and number of examples, by site.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._steps: dict[Fragment, int] = {}
        self.fragments: list[Fragment] = []
        self.losses: dict[str, tuple[list[float], int]] = {}
        self._best: Fragment = ()

    def note(self, fragment: IntArray) -> None:
        """Count a server step at which the consensus reads out as this fragment (M,)."""
        (key,) = _keys([fragment])
        self._steps[key] = self._steps.pop(key, 0) + 1
        if len(self._steps) > _KEPT:
            del self._steps[next(iter(self._steps))]

    def close(self, finals: Sequence[IntArray], sites: Sequence[IntArray] = ()) -> None:
        """Fix the fragments that are compared.

        Parameters
        ----------
        finals : sequence of IntArray
            (M,) final read-outs, which come first.
        sites : sequence of IntArray
            (M,) read-outs of the sites, which come last.
        """
        latest_first = reversed(self._steps)
        earlier = sorted(latest_first, key=lambda key: -self._steps[key])
        of_sites = [key for key, _ in Counter(sorted(_keys(sites))).most_common()]
        distinct = dict.fromkeys([*_keys(finals), *earlier, *of_sites])
        self.fragments = list(distinct)[: self._limit]
        self._best = self.fragments[0]

    def reopen(self) -> None:
        """Discard the comparison, because tuning continues."""
        self.fragments, self.losses, self._best = [], {}, ()

    def table(self, positions: int) -> IntArray:
        """Return the fragments compared as word indices (C, M)."""
        return np.array(self.fragments, dtype=np.int64).reshape(len(self.fragments), positions)

    def record(self, site: str, losses: FloatArray, n: int) -> None:
        """Record a site's mean validation losses (C,), nats, over `n` examples."""
        self.losses[site] = (losses.tolist(), max(n, 0))

    def choose(self, order: Sequence[str]) -> None:
        """Choose the fragment of least loss over all sites' examples, the first on a tie.

        A site contributes n times its losses in excess of the least of them.  Both factors are
        clipped to their lower medians over the sites, so that no site, honest or not, weighs more
        than a typical one; of two sites, neither weighs more than the other.

        Parameters
        ----------
        order : sequence of str
            Sites that count.
        """
        answered = [self.losses[site] for site in order if self.losses.get(site, ((), 0))[1]]
        if not answered:
            return
        counts = np.array([n for _, n in answered], dtype=np.float64)
        losses = np.array([losses for losses, _ in answered])
        excess = losses - losses.min(axis=1, keepdims=True)
        clipped = np.minimum(excess, _lower_median(excess.max(axis=1)))
        total = np.minimum(counts, _lower_median(counts)) @ clipped
        self._best = self.fragments[int(np.argmin(total))]

    def best(self) -> IntArray:
        """Return the chosen fragment (M,)."""
        return np.array(self._best, dtype=np.int64)

    def state(self) -> dict[str, Any]:
        """Return everything as JSON."""
        return {
            "stood": [[list(key), steps] for key, steps in self._steps.items()],
            "final": [list(key) for key in self.fragments],
            "losses": {site: [losses, n] for site, (losses, n) in self.losses.items()},
            "best": list(self._best),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned."""
        self._steps = {tuple(key): steps for key, steps in state["stood"]}
        self.fragments = [tuple(key) for key in state["final"]]
        self.losses = {site: (losses, n) for site, (losses, n) in state["losses"].items()}
        self._best = tuple(state["best"])


def _keys(fragments: Iterable[IntArray]) -> list[Fragment]:
    return [tuple(fragment.tolist()) for fragment in fragments]


def _lower_median(values: FloatArray) -> float:
    return float(np.sort(values)[(values.size - 1) // 2])
