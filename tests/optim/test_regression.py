import numpy as np
import pytest

from asyndbt.optim import (
    Evaluations,
    Shape,
    make_estimator,
    preset,
    project_rows,
    sample_rows,
    uniform_rows,
)
from asyndbt.testing import TabularProblem

SHAPE = Shape(2, 4, 1, 3)


def evaluate(problem, p, q, draws, seed=0, queries=4):
    rng = np.random.default_rng(seed)
    chosen = rng.choice(problem.queries, queries, replace=False)
    return problem.sample_losses(
        0, sample_rows(p, draws, rng), sample_rows(q, draws, rng), chosen, rng
    )


def learnt(estimator, shape, *evaluations):
    state = estimator.initial(shape)
    for batch in evaluations:
        state = estimator.update(state, batch)
    return state


@pytest.mark.parametrize("shared_words", [0.0, 1.0])
def test_converges_to_the_exact_gradient_also_with_interactions(shared_words):
    # Under independent rows the best additive fit has the main effects as its coefficients.
    problem = TabularProblem(SHAPE, interaction=0.5)
    rng = np.random.default_rng(3)
    p, q = project_rows(0.3 * rng.random((2, 4))), project_rows(0.3 * rng.random((1, 3)))
    estimator = make_estimator(
        preset("plain", discount=1.0, shared_words=shared_words, window=2_000)
    )
    exact = problem.exact_gradient(0, p, q)
    errors = []
    for draws in (50, 2_000):
        gradient = estimator.gradient(
            learnt(estimator, SHAPE, evaluate(problem, p, q, draws)), p, q
        )
        difference = np.concatenate(
            [
                (gradient.p - exact.p + (p * exact.p).sum(axis=1, keepdims=True))[p > 0],
                (gradient.q - exact.q + (q * exact.q).sum(axis=1, keepdims=True))[q > 0],
            ]
        )
        errors.append(np.abs(difference).max())
    assert errors[1] < 0.1  # effects have a standard deviation of 1
    assert errors[1] < errors[0]


def test_dual_solution_is_the_ridge_regression_that_the_model_states():
    problem = TabularProblem(SHAPE, interaction=0.5)
    settings = preset("plain", ridge=3.0, discount=0.7, shared_words=0.5)
    estimator = make_estimator(settings)
    p, q = uniform_rows(2, 4), uniform_rows(1, 3)
    batches = [evaluate(problem, p, q, 6, seed, queries=3) for seed in range(4)]
    batches[1].losses[2, 1] = np.nan
    gradient = estimator.gradient(learnt(estimator, SHAPE, *batches), p, q)

    rows, targets, trust = [], [], []
    for age, batch in zip((3, 2, 1, 0), batches, strict=True):
        for words, demos, losses in zip(
            batch.words, batch.demonstrations, batch.losses, strict=True
        ):
            answered = np.isfinite(losses)
            offsets = np.zeros(4)
            offsets[batch.queries[answered]] = np.sqrt(1e3) / answered.sum()
            own = np.concatenate([np.eye(4)[word] for word in words])
            common = np.sqrt(0.5) * (np.bincount(words, minlength=4) > 0)
            rows.append(np.concatenate([own, common, np.eye(3)[demos[0]], offsets]))
            targets.append(losses[answered].mean())
            trust.append(answered.sum() * 0.7**age)
    X, y, w = np.array(rows), np.array(targets), np.array(trust)
    normal = X.T @ (w[:, None] * X) + 3.0 * np.eye(X.shape[1])
    coefficients = np.linalg.solve(normal, X.T @ (w * (y - y.mean())))
    absent_elsewhere = 1 - 1 / 4
    effects = coefficients[:8].reshape(2, 4)
    effects = effects + np.sqrt(0.5) * coefficients[8:12] * absent_elsewhere
    np.testing.assert_allclose(
        gradient.p, effects - effects.mean(axis=1, keepdims=True), rtol=1e-6, atol=1e-9
    )
    demos = coefficients[12:15]
    np.testing.assert_allclose(gradient.q[0], demos - demos.mean(), rtol=1e-6, atol=1e-9)


def test_a_hard_query_teaches_nothing_about_words():
    problem = TabularProblem(SHAPE)
    estimator = make_estimator(preset("plain"))
    p, q = uniform_rows(2, 4), uniform_rows(1, 3)
    batches = [evaluate(problem, p, q, 5, seed, queries=2) for seed in range(3)]
    harder = [
        Evaluations(
            b.words, b.demonstrations, b.queries, b.losses + np.array([0, 5, -3, 8])[b.queries]
        )
        for b in batches
    ]
    before, after = (
        estimator.gradient(learnt(estimator, SHAPE, *data), p, q) for data in (batches, harder)
    )
    np.testing.assert_allclose(before.p, after.p, atol=0.02)


def test_update_leaves_the_old_state_as_it_was():
    problem = TabularProblem(SHAPE)
    estimator = make_estimator(preset("plain"))
    p, q = uniform_rows(2, 4), uniform_rows(1, 3)
    state = learnt(estimator, SHAPE, evaluate(problem, p, q, 5))
    kept = {name: array.copy() for name, array in state.items()}
    estimator.update(state, evaluate(problem, p, q, 5, seed=1))
    for name, array in kept.items():
        np.testing.assert_array_equal(state[name], array)


def test_forgets_what_lies_beyond_the_window():
    problem = TabularProblem(SHAPE)
    p, q = uniform_rows(2, 4), uniform_rows(1, 3)
    batches = [evaluate(problem, p, q, 5, seed) for seed in range(4)]
    estimator = make_estimator(preset("plain", window=10))
    state = learnt(estimator, SHAPE, *batches)
    assert len(state["words"]) == 10
    recent = learnt(estimator, SHAPE, *batches[2:])
    np.testing.assert_allclose(
        estimator.gradient(state, p, q).p, estimator.gradient(recent, p, q).p
    )


def test_failures_and_zeros_stay_finite():
    problem = TabularProblem(SHAPE)
    estimator = make_estimator(preset("plain"))
    p, q = np.eye(4)[:2], np.eye(3)[:1]
    good = evaluate(problem, p, q, 3)
    failed = Evaluations(
        good.words, good.demonstrations, good.queries, np.full(good.losses.shape, np.nan)
    )
    mixed = Evaluations(good.words, good.demonstrations, good.queries, good.losses.copy())
    mixed.losses[1] = np.nan
    mixed.losses[0, 2] = np.nan
    for batches in ([], [failed], [good, failed, mixed]):
        state = learnt(estimator, SHAPE, *batches)
        gradient = estimator.gradient(state, p, q)
        assert np.isfinite(gradient.p).all()
        assert np.isfinite(gradient.q).all()
    assert len(state["words"]) == 5
    assert not estimator.gradient(learnt(estimator, SHAPE, failed), p, q).p.any()


@pytest.mark.parametrize("shape", [Shape(0, 4, 1, 3), Shape(2, 4, 0, 0), Shape(0, 0, 0, 0)])
def test_policies_may_be_missing(shape):
    rng = np.random.default_rng(0)
    p, q = uniform_rows(shape.positions, shape.words), uniform_rows(shape.slots, shape.candidates)
    estimator = make_estimator(preset("plain"))
    words, demonstrations = sample_rows(p, 6, rng), sample_rows(q, 6, rng)
    evaluations = Evaluations(words, demonstrations, np.arange(2), rng.normal(size=(6, 2)))
    state = learnt(estimator, shape, evaluations, evaluations)
    gradient = estimator.gradient(state, p, q)
    assert gradient.p.shape == p.shape
    assert gradient.q.shape == q.shape
    assert estimator.predict(state, words, demonstrations).shape == (6,)


def test_batches_may_differ_in_size():
    problem = TabularProblem(SHAPE)
    estimator = make_estimator(preset("plain"))
    p, q = uniform_rows(2, 4), uniform_rows(1, 3)
    batches = [
        evaluate(problem, p, q, draws, queries=queries)
        for draws, queries in ((3, 2), (4, 4), (2, 1))
    ]
    state = learnt(estimator, SHAPE, *batches)
    assert state["losses"].shape == (9, 4)
    assert np.isfinite(estimator.gradient(state, p, q).p).all()


def test_predicts_losses_of_combinations_it_has_not_seen():
    problem = TabularProblem(SHAPE, interaction=0.0)
    p, q = uniform_rows(2, 4), uniform_rows(1, 3)
    estimator = make_estimator(preset("plain", ridge=0.5))
    state = learnt(estimator, SHAPE, evaluate(problem, p, q, 300))
    words = np.array([[0, 1], [3, 3], [2, 0]])
    demonstrations = np.array([[0], [2], [1]])
    truth = problem.tables[0].mean(axis=-1)[words[:, 0], words[:, 1], demonstrations[:, 0]]
    np.testing.assert_allclose(estimator.predict(state, words, demonstrations), truth, atol=0.2)


def test_a_word_that_another_position_has_is_no_longer_worth_choosing():
    """The loss falls by one if word 0 occurs at all, however often: once it is chosen, no more."""
    rng = np.random.default_rng(0)
    shape = Shape(2, 5, 0, 0)
    estimator = make_estimator(preset("plain", ridge=0.1, shared_words=10.0))
    words = sample_rows(uniform_rows(2, 5), 300, rng)
    losses = -(words == 0).any(axis=1).astype(float)[:, None]
    drawn = Evaluations(words, np.empty((300, 0), dtype=np.int64), np.arange(1), losses)
    state = learnt(estimator, shape, drawn)
    undecided = estimator.gradient(state, uniform_rows(2, 5), np.empty((0, 0))).p
    assert (undecided.argmin(axis=1) == 0).all()
    decided = estimator.gradient(
        state, np.array([[1.0, 0, 0, 0, 0], [0.2] * 5]), np.empty((0, 0))
    ).p
    assert abs(decided[1, 0] - decided[1, 1:].mean()) < 0.3 * abs(undecided[1, 0])
