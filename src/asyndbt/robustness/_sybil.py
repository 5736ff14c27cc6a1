"""One site under several names."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from asyndbt.federation import Assignment, Join, Report, Site


class Alias:
    """A site under a made-up name, with the work, budget and lies of the site behind it.

    Parameters
    ----------
    site : Site
        Honest or not.
    name : str
    """

    def __init__(self, site: Site, name: str) -> None:
        self._site, self._name = site, name

    def join(self) -> Join:
        """Offer the site to the coordinator, under the name."""
        return replace(self._site.join(), site=self._name)

    async def handle(self, assignment: Assignment) -> Report:
        """Have the site do the work, and report it under the name."""
        own = replace(assignment, site=self._site.join().site)
        return replace(await self._site.handle(own), site=self._name)


def with_sybils(
    sites: Mapping[str, Site], liars: Collection[str], names: int = 2
) -> dict[str, Site]:
    """Return sites of which some join under further names too: the Sybil attack.

    They know what the sites behind them know, and send what these send, so that a lie counts
    several times, in the consensus and in the vote. A run refuses names that it does not expect,
    unless its plan is `open`. Source: Douceur, IPTPS 2002; in federated learning, Fung et al., RAID
    2020.

    Parameters
    ----------
    sites : mapping of str to Site
        All sites of a run, liars among them.
    liars : collection of str
    names : int
        Further names of each liar.
    """
    aliases = {
        f"{name}-alias-{number}": Alias(sites[name], f"{name}-alias-{number}")
        for name in liars
        for number in range(1, names + 1)
    }
    return {**sites, **aliases}
