"""Selection of the fragment: which fragments the sites compare, and which one wins.

The read-outs of the consensus z and of the sites' mean are compared first, then what the sites
propose; where no more than one does, earlier read-outs of z follow, those that lasted longest
first. Where there are more proposals than places a lot decides, which no site has a hand in: sites
that propose a fragment each, to crowd out the others, get their share of the places and no more.
The list does not depend on the order of the sites, and every fragment in it is the read-out of some
policy.

Two fragments are compared by the median over the sites of the difference of their losses, and the
fragment whose worst comparison is best wins. While fewer than half of the sites lie, every
comparison lies within what honest sites have reported (Theorem 3 of ``docs/theory.md``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
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
    lot : str
        What the order of the proposals is drawn from; the same text gives the same order.

    Attributes
    ----------
    fragments : list of tuple of int
        The fragments compared, once the comparison is closed.
    losses : dict of str to (list of float, int)
        Mean validation losses of the fragments, nats, and number of examples, by site.
    """

    def __init__(self, limit: int, lot: str = "") -> None:
        self._limit, self._lot = limit, lot
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

    def close(
        self, finals: Sequence[IntArray], proposals: Mapping[str, IntArray] | None = None
    ) -> None:
        """Fix the fragments that are compared.

        Parameters
        ----------
        finals : sequence of IntArray
            (M,) final read-outs, which come first.
        proposals : dict of str to IntArray, optional
            (M,) fragment that each site proposes, by site. They come next, in an order drawn by
            lot; where no more than one site does, earlier read-outs of the consensus follow.
        """
        proposals = proposals or {}
        drawn = [proposals[site] for site in sorted(proposals, key=self._drawn_by)]
        latest_first = reversed(self._steps)
        earlier = sorted(latest_first, key=lambda key: -self._steps[key])
        others = _keys(drawn) if len(drawn) > 1 else [*_keys(drawn), *earlier]
        distinct = dict.fromkeys([*_keys(finals), *others])
        self.fragments = list(distinct)[: self._limit]
        self._best = self.fragments[0]

    def _drawn_by(self, site: str) -> str:
        """Return the key that a site's proposal is sorted by, whatever other sites there are."""
        return hashlib.sha256(f"{self._lot}/{site}".encode()).hexdigest()

    def reopen(self) -> None:
        """Discard the comparison, because tuning continues."""
        self.fragments, self.losses, self._best = [], {}, ()

    def table(self, positions: int) -> IntArray:
        """Return the fragments compared as word indices (C, M)."""
        return np.array(self.fragments, dtype=np.int64).reshape(len(self.fragments), positions)

    def record(self, site: str, losses: FloatArray, n: int) -> None:
        """Record a site's mean validation losses (C,), nats, over `n` examples."""
        self.losses[site] = (losses.tolist(), max(n, 0))

    def choose(self, sites: Collection[str]) -> None:
        """Choose the fragment whose worst comparison with another is best, the first on a tie.

        Sites count alike, however many examples they have; those that report none do not count.

        Parameters
        ----------
        sites : collection of str
            Sites that may count.
        """
        losses = [self.losses[site][0] for site in sites if self.losses.get(site, ((), 0))[1]]
        if losses:
            worst = pairwise_medians(np.array(losses)).max(axis=1)
            self._best = self.fragments[int(np.argmin(worst))]

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


def pairwise_medians(losses: FloatArray) -> FloatArray:
    """Compare fragments pair by pair.

        m_ab = median_v (L_va - L_vb),   m_ba = -m_ab

    The median of an even number of sites is the mean of the two in the middle; so with two sites
    it is the mean of both.

    Parameters
    ----------
    losses : FloatArray
        (sites, C) losses L, nats, of one or more sites.

    Returns
    -------
    FloatArray
        (C, C) medians m, nats: positive where the fragment of the row is the worse one.
    """
    differences = losses[:, :, np.newaxis] - losses[:, np.newaxis, :]
    medians: FloatArray = np.median(differences, axis=0)
    return medians


def _keys(fragments: Iterable[IntArray]) -> list[Fragment]:
    return [tuple(fragment.tolist()) for fragment in fragments]
