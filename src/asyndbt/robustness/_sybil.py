"""One site under several names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from asyndbt.federation import Assignment, Join, Report, Site
from asyndbt.robustness._collusion import Collude
from asyndbt.scoring import Spent


class Sybil(Collude):
    """Colludes, and joins under further names too, so that its lie counts several times.

    In the consensus as in the vote. A run refuses names that it does not expect, unless its plan is
    `open`. Source: Douceur, IPTPS 2002; in federated learning, Fung et al., RAID 2020.
    """

    name = "sybil"
    aliases = 2


class Alias:
    """A site under a made-up name, with the work and the lies of the site behind it.

    What that site spends it reports under its own name alone.

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
        return replace(await self._site.handle(own), site=self._name, spent=Spent())


def with_aliases(sites: Mapping[str, Site], aliases: int) -> dict[str, Site]:
    """Return so many further names for each of some sites."""
    return {
        alias: Alias(site, alias)
        for name, site in sites.items()
        for alias in (f"{name}-alias-{number}" for number in range(1, aliases + 1))
    }
