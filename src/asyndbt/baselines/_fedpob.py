"""FedPOB: linear upper confidence bounds over prompts, with what is known of words shared.

Source: Lu et al., "FedPOB: sample-efficient federated prompt optimization via bandits", 2025, arXiv
2509.24701.

Steps: every site has a set of random prompts and a linear model of their losses. In a round each
site tries the prompt of the best confidence bound, ``x.theta - nu (x V^-1 x)^(1/2)`` for losses, on
one minibatch. As soon as ``(rounds since the last exchange) log(det V / det V_last) > threshold``
at one site, all send what V and b have gained since, and receive the sum over the others. At the
end every site validates the prompts that its model finds best, and the least validation loss wins.

Departures: features are the words in the fragment and the demonstrations in their slots, instead of
an embedding of the prompt; blocks larger than `features` are projected at random. Demonstrations
are a site's own, so are the model's level and their effects: they are integrated out before V and b
are shared (the Schur complement, as in the hybrid model of Li et al., WWW 2010), so that the sum is
the exact ridge regression with common effects of words. The prompts to choose from are random ones
of the space that all searches have, each site's own, instead of a language model's rewriting of an
instruction; validation decides among the last few.

A call is spent on: one prompt for one training query; validation.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from asyndbt.baselines._base import Baseline, BaselineSite, TuningOutcome
from asyndbt.baselines._search import Pair, RandomProposer, SiteSearch
from asyndbt.errors import ConfigError
from asyndbt.optim import FloatArray, IntArray, Shape


@dataclass(frozen=True, slots=True)
class FedPOB(Baseline):
    """Federated linear bandits.

    Parameters
    ----------
    arms : int
        Prompts that a site chooses from.
    batch : int
        Training queries per trial.
    exploration : float
        nu, weight of the width of a confidence interval, nats.
    ridge : float
        Penalty of the linear model.
    threshold : float
        What the growth of V, times the rounds it took, exceeds for an exchange.
    features : int
        Most dimensions of words, and of demonstrations.
    """

    arms: int = 1_000
    batch: int = 10
    exploration: float = 0.3
    ridge: float = 1.0
    threshold: float = 5.0
    features: int = 256
    name: ClassVar[str] = "fedpob"
    modes: ClassVar[tuple[str, ...]] = ("both", "demonstrations", "fragment")
    tunes_fragment: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for option, least in (("arms", 1), ("batch", 1), ("features", 1)):
            if getattr(self, option) < least:
                raise ConfigError(f"{option} = {getattr(self, option)}: give {least} or more")
        if self.ridge <= 0:
            raise ConfigError(f"ridge = {self.ridge}: give more than 0")

    async def tune(self, sites: Mapping[str, BaselineSite]) -> TuningOutcome:
        """Search in rounds, exchanging what is known of words."""
        bandits = {name: self._bandit(site) for name, site in sites.items()}
        searches = {
            name: SiteSearch(site, bandits[name], self.batch) for name, site in sites.items()
        }
        while any(await asyncio.gather(*(search.advance() for search in searches.values()))):
            exchange_if_due(list(bandits.values()), self.threshold)
            await asyncio.sleep(0)  # federations of one site each take turns
        ends = await asyncio.gather(
            *(search.finish(bandits[name].ranked()) for name, search in searches.items())
        )
        predictors = dict(zip(sites, (predictor for predictor, _ in ends), strict=True))
        return TuningOutcome(predictors, max(count for _, count in ends))

    def _bandit(self, site: BaselineSite) -> LinearBandit:
        return LinearBandit(
            site.prompts.shape,
            site.integer("proposals"),
            common_seed=site.seed,
            arms=self.arms,
            exploration=self.exploration,
            ridge=self.ridge,
            features=self.features,
        )


class LinearBandit:
    """A site's linear model of losses, and its choice among random prompts.

    Parameters
    ----------
    shape : Shape
    seed : int
        Of the prompts.
    common_seed : int
        Of the projection of words, the same at all sites.
    arms, exploration, ridge, features
        See `FedPOB`.
    """

    def __init__(
        self,
        shape: Shape,
        seed: int,
        *,
        common_seed: int = 0,
        arms: int = 1_000,
        exploration: float = 0.3,
        ridge: float = 1.0,
        features: int = 256,
    ) -> None:
        self._exploration = exploration
        words, shown = _distinct_prompts(shape, seed, arms)
        self._prompts = list(zip(words, shown, strict=True))
        of_words = _reduced(_presence(words, shape.words), features, common_seed)
        slots = shown + shape.candidates * np.arange(shape.slots)
        local = _reduced(_presence(slots, shape.slots * shape.candidates), features, seed)
        self._features = np.concatenate([of_words, local, np.ones((len(words), 1))], axis=1)
        self._dimension = d = of_words.shape[1]
        size = self._features.shape[1]
        self._penalty = ridge * np.eye(size)
        self._own: FloatArray = np.zeros((size, size + 1))
        self._sent: FloatArray = np.zeros((d, d + 1))
        self._others: FloatArray = np.zeros((d, d + 1))
        self._arm = 0
        self._rounds, self._before = 0, self._volume()

    def propose(self) -> Pair:
        """Return the prompt whose lower confidence bound of the loss is least."""
        precision, weighted = self._model()
        covariance = np.linalg.inv(precision)
        means = self._features @ (covariance @ weighted)
        variances = ((self._features @ covariance) * self._features).sum(axis=1)
        widths = np.sqrt(np.maximum(variances, 0.0))
        self._arm = int(np.argmin(means - self._exploration * widths))
        return self._prompts[self._arm]

    def learn(self, loss: float) -> None:
        """Add the last prompt's loss to V and b, unless it is infinite."""
        self._rounds += 1
        if np.isfinite(loss):
            x = self._features[self._arm]
            self._own += np.outer(x, np.append(x, loss))

    def ranked(self) -> list[Pair]:
        """Return all prompts, those of the least mean loss first."""
        means = self._features @ self.effects()
        return [self._prompts[arm] for arm in np.argsort(means, kind="stable")]

    def growth(self) -> float:
        """Return rounds times the growth of log det V since the last exchange."""
        return self._rounds * (self._volume() - self._before)

    def increment(self) -> FloatArray:
        """Return (d, d + 1), what V and b (last column) of words have gained since last asked."""
        known = self._known_of_words()
        gained, self._sent = known - self._sent, known
        return gained

    def receive(self, others: FloatArray) -> None:
        """Add what the other sites have sent, (d, d + 1)."""
        self._others += others
        self._rounds, self._before = 0, self._volume()

    def effects(self) -> FloatArray:
        """Return the mean effects of all features: words, demonstrations, level."""
        precision, weighted = self._model()
        return np.asarray(np.linalg.solve(precision, weighted), dtype=np.float64)

    def _model(self) -> tuple[FloatArray, FloatArray]:
        """Return V and b of all features, with what others have sent."""
        d, total = self._dimension, self._own.copy()
        total[:, :-1] += self._penalty
        total[:d, :d] += self._others[:, :-1]
        total[:d, -1] += self._others[:, -1]
        return total[:, :-1], total[:, -1]

    def _known_of_words(self) -> FloatArray:
        """Return (d, d + 1), own V and b of words with the local effects integrated out."""
        d, own = self._dimension, self._own
        local = own[d:, d:-1] + self._penalty[d:, d:]
        crossed = own[:d, d:-1] @ np.linalg.solve(local, np.delete(own[d:], np.s_[d:-1], axis=1))
        known: FloatArray = np.delete(own[:d], np.s_[d:-1], axis=1) - crossed
        return known

    def _volume(self) -> float:
        """Return log det V, of words, with what others have sent."""
        d = self._dimension
        precision = self._penalty[:d, :d] + self._others[:, :-1] + self._known_of_words()[:, :-1]
        return float(np.linalg.slogdet(precision)[1])


def exchange_if_due(bandits: Sequence[LinearBandit], threshold: float) -> bool:
    """Let sites exchange what they know of words if one of them has learnt enough; return whether.

    What passes between the sites are (d, d + 1) numbers of each: of their demonstrations, prompts
    and losses nothing else.
    """
    if all(bandit.growth() <= threshold for bandit in bandits):
        return False
    increments = [bandit.increment() for bandit in bandits]
    total = np.sum(increments, axis=0)
    for bandit, own in zip(bandits, increments, strict=True):
        bandit.receive(total - own)
    return True


def _distinct_prompts(shape: Shape, seed: int, count: int) -> tuple[IntArray, IntArray]:
    """Return the words (K, M) and demonstrations (K, U) of at most `count` random prompts."""
    proposer = RandomProposer(shape, seed)
    drawn = np.array([np.concatenate(proposer.propose()) for _ in range(count)], dtype=np.int64)
    _, first = np.unique(drawn, axis=0, return_index=True)
    words, shown = np.split(drawn[np.sort(first)], [shape.positions], axis=1)
    return words, shown


def _presence(indices: IntArray, size: int) -> FloatArray:
    """Return (K, size), 1 where an index occurs in a row of `indices`."""
    present = np.zeros((len(indices), size))
    present[np.arange(len(indices))[:, None], indices] = 1.0
    return present


def _reduced(features: FloatArray, most: int, seed: int) -> FloatArray:
    """Return `features`, projected at random on `most` dimensions if there are more."""
    size = features.shape[1]
    if size <= most:
        return features
    directions = np.random.default_rng([seed, 103]).standard_normal((size, most))
    projected: FloatArray = features @ directions / np.sqrt(most)
    return projected
