"""Beliefs about words' effects: those of one worker, and what many make of them together."""

import numpy as np
import pytest

from asyndbt.optim import (
    Effects,
    Evaluations,
    Shape,
    make_estimator,
    pooled_effects,
    preset,
    uniform_rows,
)

SHAPE = Shape(2, 6, 1, 3)
ESTIMATOR = make_estimator(
    preset("plain", ridge=1.0, shared_words=0.5, positional_words=0.2, window=1_000)
)
PRIOR = 2.0


def batch(seed: int, draws: int = 12) -> Evaluations:
    rng = np.random.default_rng(seed)
    words = rng.integers(SHAPE.words, size=(draws, SHAPE.positions))
    shown = rng.integers(SHAPE.candidates, size=(draws, SHAPE.slots))
    return Evaluations(words, shown, np.arange(3), rng.normal(size=(draws, 3)))


def learnt(*batches: Evaluations):
    state = ESTIMATOR.initial(SHAPE)
    for each in batches:
        state = ESTIMATOR.update(state, each)
    return state


def primal(evaluations: Evaluations, prior_mean, prior_precision):
    """Posterior of r, e, d and the queries' level in the primal form: mean, covariance."""
    n, m, u, v = SHAPE.words, SHAPE.positions, SHAPE.slots, SHAPE.candidates
    rows = []
    for words, shown in zip(evaluations.words, evaluations.demonstrations, strict=True):
        row = np.zeros(n + m * n + u * v + 3)
        row[words] = 1.0
        row[n + n * np.arange(m) + words] = 1.0
        row[n + m * n + v * np.arange(u) + shown] = 1.0
        row[-3:] = 1 / 3
        rows.append(row)
    rows = np.array(rows)
    losses = evaluations.losses.mean(axis=1)
    precision = np.concatenate(
        [prior_precision, np.full(m * n, 1 / 0.2), np.ones(u * v), np.full(3, 1e-3)]
    )
    covariance = np.linalg.inv(3.0 * rows.T @ rows + np.diag(precision))
    weighted = 3.0 * rows.T @ (losses - losses.mean())
    weighted[:n] += prior_precision * prior_mean
    return covariance @ weighted, covariance


def distinct(seed: int) -> Evaluations:
    """Draws none of which is asked twice."""
    drawn = batch(seed, draws=60)
    prompts = np.hstack([drawn.words, drawn.demonstrations])
    first = np.sort(np.unique(prompts, axis=0, return_index=True)[1])[:20]
    return Evaluations(
        drawn.words[first], drawn.demonstrations[first], drawn.queries, drawn.losses[first]
    )


def test_beliefs_are_the_marginals_of_the_primal_posterior() -> None:
    evaluations = distinct(0)
    effects = ESTIMATOR.word_effects(learnt(evaluations))
    mean, covariance = primal(evaluations, np.zeros(6), np.full(6, PRIOR))
    assert effects.mean == pytest.approx(mean[:6], abs=1e-8)
    assert 1 / effects.precision == pytest.approx(np.diag(covariance)[:6], abs=1e-8)


def test_before_any_answer_beliefs_are_the_prior() -> None:
    effects = ESTIMATOR.word_effects(learnt())
    assert not effects.mean.any()
    assert effects.precision == pytest.approx(np.full(6, PRIOR))


@pytest.mark.parametrize("evaluated", [True, False])
def test_the_informed_gradient_is_that_of_the_primal_form_with_this_prior(evaluated: bool) -> None:
    rng = np.random.default_rng(4)
    others = Effects(rng.normal(size=6), np.array([2.0, 2.5, 3.0, 7.0, 20.0, 50.0]))
    evaluations = distinct(1)
    state = learnt(evaluations) if evaluated else learnt()
    p, q = rng.dirichlet(np.ones(6), size=2), uniform_rows(1, 3)
    found = ESTIMATOR.gradient(ESTIMATOR.informed(state, others), p, q)
    mean = np.concatenate([others.mean, np.zeros(15)])
    # With precision 2 a word is as free as under the prior of mean 0 that it had.
    mean[0] = 0.0
    if evaluated:
        others_at_home = np.where(others.precision > PRIOR, others.mean, 0.0)
        mean, _ = primal(evaluations, others_at_home, others.precision)
    effects = mean[6:18].reshape(2, 6) + mean[:6] * (1 - p[::-1])
    assert found.p == pytest.approx(effects - (p * effects).sum(axis=1, keepdims=True), abs=1e-8)
    shown = mean[18:21][None]
    assert found.q == pytest.approx(shown - shown.mean(), abs=1e-8)


def test_others_who_know_nothing_change_nothing() -> None:
    state = learnt(batch(0))
    others = Effects(np.zeros(6), np.full(6, PRIOR))
    p, q = uniform_rows(2, 6), uniform_rows(1, 3)
    plain = ESTIMATOR.gradient(state, p, q)
    informed = ESTIMATOR.gradient(ESTIMATOR.informed(state, others), p, q)
    assert informed.p == pytest.approx(plain.p)
    assert informed.q == pytest.approx(plain.q)


def beliefs(*pairs: tuple[float, float]) -> list[Effects]:
    return [Effects(np.array([mean]), np.array([precision])) for mean, precision in pairs]


def test_equal_experts_are_multiplied_and_the_prior_counts_once() -> None:
    reported = beliefs((0.5, 6.0), (0.5, 6.0), (0.5, 6.0))
    all_three = pooled_effects(reported, None, PRIOR)
    assert all_three.precision == pytest.approx([2 + 3 * 4])
    assert all_three.mean == pytest.approx([3 * 6 * 0.5 / 14])


def test_what_a_worker_is_told_does_not_hold_its_own_answers() -> None:
    reported = beliefs((0.3, 6.0), (0.3, 6.0), (0.3, 6.0))
    told = pooled_effects(reported, 1, PRIOR)
    assert told.precision == pytest.approx([2 + 2 * 4])
    alone = pooled_effects(reported[:1], 0, PRIOR)
    assert alone.precision == pytest.approx([PRIOR])
    assert alone.mean == pytest.approx([0.0])


def test_one_worker_of_three_cannot_outweigh_the_others_however_sure_it_is() -> None:
    honest = [(0.1, 6.0), (0.2, 10.0)]
    modest = pooled_effects(beliefs(*honest, (-0.2, 10.0)), 0, PRIOR)
    for mean, precision in ((-0.2, 1e9), (-1e9, 10.0), (-1e9, 1e9), (-1e15, 2**53)):
        told = pooled_effects(beliefs(*honest, (mean, precision)), 0, PRIOR)
        assert told.precision == pytest.approx(modest.precision)
        assert abs(told.mean[0] - modest.mean[0]) <= 0.2


def test_a_worker_that_claims_less_than_the_prior_takes_nothing_away() -> None:
    told = pooled_effects(beliefs((0.1, 6.0), (0.1, 6.0), (0.4, -50.0)), 0, PRIOR)
    assert told.precision == pytest.approx([2 + 4])
    assert told.mean == pytest.approx([0.1])
