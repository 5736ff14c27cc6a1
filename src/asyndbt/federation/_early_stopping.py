"""Early stopping: tuning ends where the sites' validation scores have stopped falling.

Sites look at their validation data at different times, so each is compared with itself: a look
whose mean loss is not below the least one so far of the same site is one without improvement.  No
single site among three or more can decide alone, whatever it reports.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from asyndbt.scoring import Score


class EarlyStopping:
    """Counts looks without improvement, by site.

    Parameters
    ----------
    patience : int or None
        Such looks in a row after which a site has stopped improving; None for never.

    Examples
    --------
    >>> stopping = EarlyStopping(2)
    >>> for loss in (0.7, 0.5, 0.6, 0.5):
    ...     stopping.note("north", Score(n=10, loss=loss))
    >>> stopping.due(["north"]), stopping.due(["north", "south"])
    (True, False)
    """

    def __init__(self, patience: int | None) -> None:
        self._patience = patience
        self._least: dict[str, float] = {}
        self._since: dict[str, int] = {}

    def note(self, site: str, look: Score) -> None:
        """Take a site's validation score; one over no examples is no look."""
        if self._patience is None or not look.n:
            return
        if look.loss < self._least.get(site, float("inf")):
            self._least[site], self._since[site] = look.loss, 0
        else:
            self._since[site] += 1

    def due(self, sites: Iterable[str]) -> bool:
        """Whether more than half of these sites have stopped improving."""
        if self._patience is None:
            return False
        still = [self._since.get(site, 0) >= self._patience for site in sites]
        return 2 * sum(still) > len(still)

    def state(self) -> dict[str, Any]:
        """Return the counts, as JSON."""
        return {site: [self._least[site], since] for site, since in self._since.items()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` returned."""
        self._least = {site: float(least) for site, (least, _) in state.items()}
        self._since = {site: int(since) for site, (_, since) in state.items()}
