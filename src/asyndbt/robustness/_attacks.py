"""The attacks by name."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Final

from asyndbt.federation import Site
from asyndbt.robustness._collusion import Alternate, Collude, ColludeRandom, Creep, Sleeper
from asyndbt.robustness._labels import LabelFlip
from asyndbt.robustness._liar import Liar, Ring, Voter
from asyndbt.robustness._poisoning import (
    Alie,
    FreeRider,
    Gauss,
    Ipm,
    SignFlip,
    Stale,
)
from asyndbt.robustness._sybil import Sybil, with_aliases

ATTACKS: Final[Mapping[str, type[Liar]]] = MappingProxyType(
    {
        attack.name: attack
        for attack in (
            Collude,
            ColludeRandom,
            Alternate,
            Sleeper,
            Creep,
            Sybil,
            Gauss,
            Alie,
            Ipm,
            SignFlip,
            Stale,
            FreeRider,
            Voter,
            LabelFlip,
        )
    }
)
"""Kinds of liars by the name of their attack."""


def with_liars(
    sites: Mapping[str, Site], liars: Collection[str], attack: str, ring: Ring
) -> dict[str, Site]:
    """Return sites of which some lie, and the names that these have made up.

    Parameters
    ----------
    sites : mapping of str to Site
        All sites of a run, honest.
    liars : collection of str
        Names of those that lie.
    attack : str
        A key of `ATTACKS`.
    ring : Ring
        What the liars have in common; a new one for every run.
    """
    kind = ATTACKS[attack]
    lying = {name: kind(sites[name], ring) for name in liars}
    return {**sites, **lying, **with_aliases(lying, kind.aliases)}
