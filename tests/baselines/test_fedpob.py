"""FedPOB on losses with linear effects: it learns them, together faster than alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from asyndbt.baselines import RandomProposer
from asyndbt.baselines._fedpob import FedPOB, LinearBandit, exchange_if_due
from asyndbt.baselines._search import Pair, Proposer
from asyndbt.errors import ConfigError
from asyndbt.optim import FloatArray, Shape

SHAPE = Shape(4, 40, 3, 8)
SITES = 3
NOISE = 0.25


class LinearSites:
    """Losses by effects of words, which all sites share, and of demonstrations, which none do."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.words = 0.15 * self.rng.normal(size=SHAPE.words)
        self.shown = 0.15 * self.rng.normal(size=(SITES, SHAPE.slots, SHAPE.candidates))

    def loss(self, site: int, pair: Pair) -> float:
        words, shown = pair
        slots = np.arange(SHAPE.slots)
        return float(
            1.0 + self.words[np.unique(words)].sum() + self.shown[site][slots, shown].sum()
        )

    def trial(self, site: int, proposer: Proposer) -> tuple[float, Pair]:
        """Let a proposer try a prompt, and return the loss that was seen."""
        pair = proposer.propose()
        seen = self.loss(site, pair) + NOISE * self.rng.normal()
        proposer.learn(seen)
        return seen, pair

    def best(self, site: int, pairs: list[Pair]) -> float:
        """Least loss among the first five, which are validated."""
        return min(self.loss(site, pair) for pair in pairs[:5])


def bandits(seed: int, **options: Any) -> list[LinearBandit]:
    return [LinearBandit(SHAPE, 100 * seed + site, **options) for site in range(SITES)]


def losses_of_bandits(seed: int, together: bool, **options: Any) -> float:
    problem, sites = LinearSites(seed), bandits(seed, **options)
    for _ in range(60):
        for site, bandit in enumerate(sites):
            problem.trial(site, bandit)
        if together:
            exchange_if_due(sites, 5.0)
    return float(np.mean([problem.best(site, b.ranked()) for site, b in enumerate(sites)]))


def losses_of_random_search(seed: int) -> float:
    problem, found = LinearSites(seed), []
    for site in range(SITES):
        proposer = RandomProposer(SHAPE, 100 * seed + site)
        tried = [problem.trial(site, proposer) for _ in range(60)]
        found.append(problem.best(site, [pair for _, pair in sorted(tried, key=lambda t: t[0])]))
    return float(np.mean(found))


def test_it_beats_random_search_on_linear_effects() -> None:
    for seed in range(3):
        assert losses_of_bandits(seed, together=True) < losses_of_random_search(seed)


def test_sites_learn_more_together_than_alone() -> None:
    together = np.mean([losses_of_bandits(seed, together=True) for seed in range(4)])
    alone = np.mean([losses_of_bandits(seed, together=False) for seed in range(4)])
    assert together < alone


def test_projected_features_still_beat_random_search() -> None:
    found = np.mean([losses_of_bandits(seed, together=True, features=20) for seed in range(4)])
    assert found < np.mean([losses_of_random_search(seed) for seed in range(4)])


@dataclass
class Pooled:
    """Ridge regression on the trials of all sites, with demonstrations and level of each site."""

    trials: list[tuple[int, Pair, float]]

    def effects(self) -> FloatArray:
        """Return the effects of words (N,)."""
        n, local = SHAPE.words, SHAPE.slots * SHAPE.candidates + 1
        rows = np.zeros((len(self.trials), n + SITES * local))
        for row, (site, (words, shown), _) in zip(rows, self.trials, strict=True):
            row[words] = 1.0
            start = n + site * local
            row[start + shown + SHAPE.candidates * np.arange(SHAPE.slots)] = 1.0
            row[start + local - 1] = 1.0
        losses = np.array([loss for _, _, loss in self.trials])
        effects: FloatArray = np.linalg.solve(
            rows.T @ rows + np.eye(rows.shape[1]), rows.T @ losses
        )[:n]
        return effects


def test_what_is_exchanged_makes_every_site_as_wise_as_all_data_would() -> None:
    problem, sites, trials = LinearSites(0), bandits(0), []
    for _ in range(20):
        for site, bandit in enumerate(sites):
            loss, pair = problem.trial(site, bandit)
            trials.append((site, pair, loss))
        exchange_if_due(sites, 0.0)
    effects = Pooled(trials).effects()
    for bandit in sites:
        assert bandit.effects()[: SHAPE.words] == pytest.approx(effects, abs=1e-8)


def test_only_numbers_about_words_are_exchanged() -> None:
    problem, sites = LinearSites(0), bandits(0)
    for site, bandit in enumerate(sites):
        problem.trial(site, bandit)
    sent = sites[0].increment()
    assert sent.dtype == np.float64
    assert sent.shape == (SHAPE.words, SHAPE.words + 1)
    assert not sites[0].increment().any(), "nothing is sent twice"


def test_the_higher_the_threshold_the_rarer_the_exchange() -> None:
    counts = []
    for threshold in (0.0, 5.0, 50.0, np.inf):
        problem, sites = LinearSites(1), bandits(1)
        count = 0
        for _ in range(40):
            for site, bandit in enumerate(sites):
                problem.trial(site, bandit)
            count += exchange_if_due(sites, threshold)
        counts.append(count)
    assert counts[0] == 40
    assert sorted(counts, reverse=True) == counts
    assert counts[-1] == 0


def test_an_unanswered_trial_teaches_nothing() -> None:
    (bandit, *_) = bandits(0)
    pair = bandit.propose()
    bandit.learn(float("inf"))
    assert not bandit.increment().any()
    assert all(np.array_equal(a, b) for a, b in zip(pair, bandit.propose(), strict=True))


def test_a_site_may_have_no_words_or_no_slots() -> None:
    for shape in (Shape(0, 0, 2, 3), Shape(2, 5, 0, 0)):
        sites = [LinearBandit(shape, seed) for seed in (1, 2)]
        for _ in range(5):
            for bandit in sites:
                bandit.propose()
                bandit.learn(1.0)
            exchange_if_due(sites, 0.1)
        assert sites[0].increment().shape == (shape.words, shape.words + 1)


@pytest.mark.parametrize("option", ["arms", "batch", "features", "ridge"])
def test_impossible_options_are_refused(option: str) -> None:
    with pytest.raises(ConfigError, match=f"{option} = 0"):
        FedPOB(**{option: 0})
