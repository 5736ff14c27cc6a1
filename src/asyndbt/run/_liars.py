"""The liars that a configuration asks for: which sites they are, and what is recorded of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from asyndbt._text import listed
from asyndbt.config import Config
from asyndbt.errors import ConfigError
from asyndbt.federation import Plan, Site
from asyndbt.robustness import ATTACKS, Liar, Ring, with_liars


@dataclass(frozen=True, slots=True)
class SimulatedLiars:
    """The liars of a run.

    Parameters
    ----------
    attack : str
    names : tuple of str
        Of the sites that lie.
    words : tuple of str
        Words that they want; none if the attack is for no words.
    sites : mapping of str to Site
        All sites as they act, and the names that liars have made up.
    """

    attack: str
    names: tuple[str, ...]
    words: tuple[str, ...]
    sites: Mapping[str, Site]

    def record(self) -> dict[str, Any]:
        """Return what ``result.json`` says of them."""
        return {"attack": self.attack, "sites": list(self.names), "words": list(self.words)}

    def warnings(self) -> Iterator[str]:
        """Say that they are simulated."""
        lie = "site lies" if len(self.names) == 1 else "sites lie"
        yield (
            f'SIMULATED LIARS: {len(self.names)} {lie} in this run, by the attack "{self.attack}" '
            f"(federation.liars): {listed(self.names)}. Accuracies of the sites together are of "
            "the honest ones alone"
        )


def liars_of(config: Config, sites: Collection[str]) -> tuple[str, ...]:
    """Return the names of the sites that lie.

    Of a share, they are the first in an order that depends on the run's seed and the names: a
    larger share is the same sites and further ones.

    Raises
    ------
    ConfigError
        If a name is not that of a site, or of these nobody or everybody lies.
    """
    liars, known = config.federation.liars, sorted(sites)
    if liars is None:
        return ()
    if liars.sites is not None:
        for name in liars.sites:
            if name not in sites:
                raise ConfigError(
                    f"federation.liars.sites names {name!r}, which is not one of the sites "
                    f"{listed(known)}: remove it, or write it as the data does"
                )
    order = np.random.default_rng([config.run.seed, 2]).permutation(known).tolist()
    count = int((liars.share or 0.0) * len(known) + 0.5)
    names = tuple(sorted(liars.sites or order[:count]))
    if not 0 < len(names) < len(known):
        who = "all" if names else "none"
        raise ConfigError(
            f"federation.liars: of {len(known)} sites {who} would lie: give another share, or "
            "other sites, so that some lie and some do not"
        )
    return names


def recorded_liars(result: Mapping[str, Any]) -> list[str]:
    """Return the names of the sites that lied, by the content of a ``result.json``."""
    return list((result.get("liars") or {}).get("sites", ()))


def flips_labels(config: Config) -> bool:
    """Whether liars work on false labels."""
    liars = config.federation.liars
    return liars is not None and ATTACKS[liars.attack].flips_labels


def makes_up_names(config: Config) -> bool:
    """Whether liars join under further names, which the run has to admit."""
    liars = config.federation.liars
    return liars is not None and ATTACKS[liars.attack].aliases > 0


def simulate_liars(
    config: Config, plan: Plan, sites: Mapping[str, Site], vocabulary: Sequence[str], steps: int
) -> SimulatedLiars | None:
    """Return the liars of a run, None if all sites are honest.

    Parameters
    ----------
    steps : int
        Local steps that the budget of every site covers.

    Raises
    ------
    ConfigError
        As `liars_of`, and if the words that they want are no fragment.
    """
    liars = config.federation.liars
    if liars is None:
        return None
    names, seed = liars_of(config, sites), config.run.seed
    if liars.words is None:
        wanted = np.random.default_rng([seed, 3]).permutation(len(vocabulary))[: plan.positions]
    else:
        wanted = np.array(_indices(liars.words, vocabulary, plan.positions))
    steps = min(steps // plan.local_steps, plan.iterations)
    ring = Ring(wanted.tolist(), steps, seed, plan.fragment)
    acting = with_liars(sites, names, liars.attack, ring)
    one = acting[names[0]]
    assert isinstance(one, Liar)
    words = tuple(vocabulary[index] for index in one.wanted)
    return SimulatedLiars(liars.attack, names, words, acting)


def _indices(words: Sequence[str], vocabulary: Sequence[str], positions: int) -> list[int]:
    if len(words) != positions:
        raise ConfigError(
            f"federation.liars.words: {len(words)} given for the {positions} positions of the "
            "fragment: give a word for each"
        )
    for word in words:
        if word not in vocabulary:
            raise ConfigError(
                f"federation.liars.words names {word!r}, which is not in the vocabulary "
                "(method.vocabulary): give words that a fragment can have"
            )
    return [vocabulary.index(word) for word in words]
