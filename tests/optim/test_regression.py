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
WIDE = Shape(4, 5, 2, 5)  # hardly any prompt is drawn twice


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


def first_answers(batches):
    """Every prompt, query by query: the first answer alone, in plain Python."""
    known = set()
    for batch in batches:
        losses = batch.losses.copy()
        for row, prompt in enumerate(np.hstack([batch.words, batch.demonstrations]).tolist()):
            for column, query in enumerate(batch.queries.tolist()):
                pair = (*prompt, query)
                if pair in known:
                    losses[row, column] = np.nan
                elif np.isfinite(losses[row, column]):
                    known.add(pair)
        yield Evaluations(batch.words, batch.demonstrations, batch.queries, losses)


def at_once(batches, queries):
    """Return several batches as one, on all queries."""
    losses = [np.full((len(batch.words), queries), np.nan) for batch in batches]
    for wide, batch in zip(losses, batches, strict=True):
        wide[:, batch.queries] = batch.losses
    return Evaluations(
        np.concatenate([batch.words for batch in batches]),
        np.concatenate([batch.demonstrations for batch in batches]),
        np.arange(queries),
        np.concatenate(losses),
    )


def assert_same_fit(state, other, tolerance):
    for name in ("weights", "level", "factor", "words", "demonstrations"):
        np.testing.assert_allclose(state[name], other[name], rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("shared_words", [0.0, 1.0])
def test_converges_to_the_exact_gradient_also_with_interactions(shared_words):
    # Under independent rows the best additive fit has the main effects as its coefficients.
    problem = TabularProblem(WIDE, interaction=0.5)
    rng = np.random.default_rng(3)
    p, q = project_rows(0.3 * rng.random((4, 5))), project_rows(0.3 * rng.random((2, 5)))
    estimator = make_estimator(preset("plain", shared_words=shared_words, window=2_000))
    exact = problem.exact_gradient(0, p, q)
    errors = []
    for draws in (50, 2_000):
        gradient = estimator.gradient(learnt(estimator, WIDE, evaluate(problem, p, q, draws)), p, q)
        difference = np.concatenate(
            [
                (gradient.p - exact.p + (p * exact.p).sum(axis=1, keepdims=True))[p > 0],
                (gradient.q - exact.q + (q * exact.q).sum(axis=1, keepdims=True))[q > 0],
            ]
        )
        errors.append(np.abs(difference).max())
    assert errors[1] < 0.1  # effects have a standard deviation of 1
    assert errors[1] < errors[0]


@pytest.mark.parametrize("discount", [0.7, 1.0])
def test_dual_solution_is_the_ridge_regression_that_the_model_states(discount):
    problem = TabularProblem(SHAPE, interaction=0.5)
    settings = preset("plain", ridge=3.0, discount=discount, shared_words=0.5)
    estimator = make_estimator(settings)
    p, q = uniform_rows(2, 4), uniform_rows(1, 3)
    batches = [evaluate(problem, p, q, 6, seed, queries=3) for seed in range(4)]
    batches[1].losses[2, 1] = np.nan
    gradient = estimator.gradient(learnt(estimator, SHAPE, *batches), p, q)

    rows, targets, trust = [], [], []
    for age, batch in zip((3, 2, 1, 0), first_answers(batches), strict=True):
        for words, demos, losses in zip(
            batch.words, batch.demonstrations, batch.losses, strict=True
        ):
            answered = np.isfinite(losses)
            if not answered.any():
                continue
            offsets = np.zeros(4)
            offsets[batch.queries[answered]] = np.sqrt(1e3) / answered.sum()
            own = np.concatenate([np.eye(4)[word] for word in words])
            common = np.sqrt(0.5) * (np.bincount(words, minlength=4) > 0)
            rows.append(np.concatenate([own, common, np.eye(3)[demos[0]], offsets]))
            targets.append(losses[answered].mean())
            trust.append(answered.sum() * discount**age)
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


@pytest.mark.parametrize("pairs", [0.0, 0.5])
def test_many_small_updates_give_what_one_fit_of_everything_gives(pairs):
    problem = TabularProblem(WIDE, queries=8)
    p, q = uniform_rows(4, 5), uniform_rows(2, 5)
    batches = [evaluate(problem, p, q, 1 + seed % 5, seed, queries=3) for seed in range(80)]
    batches[7].losses[1, 2] = np.nan
    estimator = make_estimator(preset("plain", ridge=0.1, pairs=pairs))
    state = learnt(estimator, WIDE, *batches)
    assert len(state["words"]) > 200
    assert_same_fit(state, learnt(estimator, WIDE, at_once(batches, 8)), 1e-8)


def test_beyond_the_window_the_oldest_quarter_is_forgotten():
    problem = TabularProblem(WIDE)
    p, q = uniform_rows(4, 5), uniform_rows(2, 5)
    batches = [evaluate(problem, p, q, 5, seed, queries=2) for seed in range(30)]
    estimator = make_estimator(preset("plain", window=40))
    state, counts = estimator.initial(WIDE), []
    for batch in batches:
        state = estimator.update(state, batch)
        counts.append(len(state["words"]))
    assert counts == [*range(5, 41, 5), *[30, 35, 40] * 7, 30]
    recent = learnt(estimator, WIDE, at_once(batches[-6:], 4))
    assert_same_fit(state, recent, 1e-8)
    np.testing.assert_allclose(
        estimator.gradient(state, p, q).p, estimator.gradient(recent, p, q).p, atol=1e-8
    )


@pytest.mark.parametrize(("window", "kept"), [(1, 1), (4, 4), (6, 5), (20, 15)])
def test_what_has_just_been_drawn_is_the_last_to_be_forgotten(window, kept):
    problem = TabularProblem(WIDE)
    p, q = uniform_rows(4, 5), uniform_rows(2, 5)
    batches = [evaluate(problem, p, q, 5, seed) for seed in range(5)]
    state = learnt(make_estimator(preset("plain", window=window)), WIDE, *batches)
    latest = np.concatenate([batch.words for batch in batches])[-kept:]
    np.testing.assert_array_equal(state["words"], latest)


def test_an_answer_that_is_known_already_adds_no_certainty():
    problem = TabularProblem(SHAPE)
    estimator = make_estimator(preset("plain"))
    p, q = uniform_rows(2, 4), uniform_rows(1, 3)
    batch = next(first_answers([evaluate(problem, p, q, 6, queries=3)]))
    twice = Evaluations(
        *(np.repeat(part, 2, axis=0) for part in (batch.words, batch.demonstrations)),
        batch.queries,
        np.repeat(batch.losses, 2, axis=0),
    )
    once = learnt(estimator, SHAPE, batch)
    for batches in ([batch] * 4, [twice], [batch, twice]):
        state = learnt(estimator, SHAPE, *batches)
        assert_same_fit(state, once, 0.0)
        for own, other in zip(
            *(estimator.draw(s, p, q, 50, np.random.default_rng(0)) for s in (state, once)),
            strict=True,
        ):
            np.testing.assert_array_equal(own, other)


def test_a_known_prompt_counts_on_a_new_query_and_after_a_failure():
    words, demonstrations = np.array([[0, 1], [2, 3]]), np.array([[0], [1]])
    estimator = make_estimator(preset("plain"))
    state = learnt(
        estimator,
        SHAPE,
        Evaluations(words, demonstrations, np.arange(2), np.array([[1.0, np.nan], [2.0, 3.0]])),
        Evaluations(words, demonstrations, np.arange(3), np.full((2, 3), 5.0)),
    )
    np.testing.assert_array_equal(
        state["losses"],
        [[1.0, np.nan, np.nan], [2.0, 3.0, np.nan], [np.nan, 5.0, 5.0], [np.nan, np.nan, 5.0]],
    )


def test_a_ridge_of_almost_nothing_is_no_failure():
    problem = TabularProblem(SHAPE)
    p, q = uniform_rows(2, 4), uniform_rows(1, 3)
    batches = [evaluate(problem, p, q, 5, seed, queries=1) for seed in range(60)]
    state = learnt(make_estimator(preset("plain", ridge=1e-300)), SHAPE, *batches)
    assert np.isfinite(state["weights"]).all()


def test_failures_and_zeros_stay_finite():
    problem = TabularProblem(WIDE)
    estimator = make_estimator(preset("plain"))
    p, q = np.eye(5)[:4], np.eye(5)[:2]
    good, other = (
        evaluate(problem, uniform_rows(4, 5), uniform_rows(2, 5), 3, seed) for seed in (0, 1)
    )
    failed = Evaluations(
        good.words, good.demonstrations, good.queries, np.full(good.losses.shape, np.nan)
    )
    mixed = Evaluations(other.words, other.demonstrations, other.queries, other.losses.copy())
    mixed.losses[1] = np.nan
    mixed.losses[0, 2] = np.nan
    for batches in ([], [failed], [good, failed, mixed]):
        state = learnt(estimator, WIDE, *batches)
        gradient = estimator.gradient(state, p, q)
        assert np.isfinite(gradient.p).all()
        assert np.isfinite(gradient.q).all()
    assert len(state["words"]) == 5
    assert not estimator.gradient(learnt(estimator, WIDE, failed), p, q).p.any()


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
    problem = TabularProblem(WIDE)
    estimator = make_estimator(preset("plain"))
    p, q = uniform_rows(4, 5), uniform_rows(2, 5)
    batches = [
        evaluate(problem, p, q, draws, seed=draws, queries=queries)
        for draws, queries in ((3, 2), (4, 4), (2, 1))
    ]
    state = learnt(estimator, WIDE, *batches)
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


def _primal(batches, ridge, pairs, p):
    """Posterior of the candidates' effects by ridge regression on the features themselves."""
    rows, targets, trust = [], [], []
    for batch in first_answers(batches):
        for words, demos, losses in zip(
            batch.words, batch.demonstrations, batch.losses, strict=True
        ):
            answered = np.isfinite(losses)
            if not answered.any():
                continue
            offsets = np.zeros(4)
            offsets[batch.queries[answered]] = np.sqrt(1e3) / answered.sum()
            of_words = np.concatenate(
                [*(np.eye(4)[word] for word in words), np.bincount(words, minlength=4) > 0]
            )
            shown = np.eye(3)[demos[0]]
            products = np.sqrt(pairs) * np.outer(shown, of_words).ravel()
            rows.append(np.concatenate([shown, of_words, products, offsets]))
            targets.append(losses[answered].mean())
            trust.append(answered.sum())
    X, y, w = np.array(rows), np.array(targets), np.array(trust)
    precision = X.T @ (w[:, None] * X) / ridge + np.eye(X.shape[1])
    covariance = np.linalg.inv(precision)
    mean = covariance @ X.T @ (w * (y - y.mean())) / ridge
    kernel = X @ X.T + np.diag(ridge / w)
    unit = (y - y.mean()) @ np.linalg.solve(kernel, y - y.mean()) / len(y)
    # A candidate's effect when words are drawn from p: its own, and those of its pairs.
    present = 1 - np.prod(1 - p, axis=0)
    chances = np.concatenate([p.ravel(), present])
    effects = np.hstack([np.eye(3), np.zeros((3, 12)), np.zeros((3, 36)), np.zeros((3, 4))])
    for candidate in range(3):
        start = 15 + 12 * candidate
        effects[candidate, start : start + 12] = np.sqrt(pairs) * chances
    return effects @ mean, unit * effects @ covariance @ effects.T


@pytest.mark.parametrize("pairs", [0.0, 0.7])
def test_candidates_are_drawn_as_often_as_the_posterior_holds_them_for_the_best(pairs):
    problem = TabularProblem(SHAPE, interaction=0.5)
    rng = np.random.default_rng(1)
    p, q = project_rows(0.5 * rng.random((2, 4))), uniform_rows(1, 3)
    batches = [evaluate(problem, p, q, 3, seed, queries=3) for seed in range(3)]
    estimator = make_estimator(preset("plain", ridge=3.0, pairs=pairs))
    state = learnt(estimator, SHAPE, *batches)

    count = 40_000
    words, drawn = estimator.draw(state, p, q, count, rng)
    mean, covariance = _primal(batches, 3.0, pairs, p)
    sampled = rng.multivariate_normal(mean, covariance, size=count).argmin(axis=1)
    shares = [np.bincount(chosen, minlength=3) / count for chosen in (drawn[:, 0], sampled)]
    np.testing.assert_allclose(*shares, atol=0.015)
    assert (shares[0] > 0.02).all()
    np.testing.assert_allclose(np.bincount(words[:, 0], minlength=4) / count, p[0], atol=0.015)

    effects = estimator.gradient(state, p, q).q[0]
    np.testing.assert_allclose(effects, mean - q[0] @ mean, atol=1e-6)


def test_before_any_answer_candidates_are_drawn_from_their_policy():
    estimator = make_estimator(preset("plain"))
    q = np.array([[0.0, 1.0, 0.0]])
    _, drawn = estimator.draw(
        estimator.initial(SHAPE), uniform_rows(2, 4), q, 20, np.random.default_rng(0)
    )
    assert (drawn == 1).all()


def test_a_candidate_that_is_surely_worse_is_no_longer_tried():
    rng = np.random.default_rng(0)
    shape = Shape(0, 0, 1, 6)
    estimator = make_estimator(preset("plain"))
    p, q = np.empty((0, 0)), uniform_rows(1, 6)
    state, shares = estimator.initial(shape), []
    for step in range(60):
        words, drawn = estimator.draw(state, p, q, 5, rng)
        losses = (drawn != 2) + 0.5 * rng.standard_normal((5, 4))
        queries = 4 * step + np.arange(4)
        state = estimator.update(state, Evaluations(words, drawn, queries, losses))
        shares.append((drawn == 2).mean())
    assert np.mean(shares[:3]) < 0.6
    assert np.mean(shares[-20:]) > 0.9
    assert np.bincount(state["demonstrations"][:, 0], minlength=6).min() > 0


@pytest.mark.parametrize("pairs", [0.0, 1.0])
def test_with_pairs_the_gradient_in_p_depends_on_the_demonstrations_held(pairs):
    """Word 0 is right beside candidate 0, word 1 beside candidate 1."""
    rng = np.random.default_rng(0)
    shape = Shape(1, 4, 1, 2)
    estimator = make_estimator(preset("plain", pairs=pairs))
    words = rng.integers(4, size=(200, 1))
    demonstrations = rng.integers(2, size=(200, 1))
    losses = (words != demonstrations).astype(float) + 0.1 * rng.standard_normal((200, 1))
    drawn = Evaluations(words, demonstrations, np.arange(1), losses)
    state, p = learnt(estimator, shape, drawn), uniform_rows(1, 4)
    slopes = [estimator.gradient(state, p, held[None]).p[0] for held in np.eye(2)]
    if pairs:
        assert [int(slope.argmin()) for slope in slopes] == [0, 1]
    else:
        np.testing.assert_array_equal(*slopes)
