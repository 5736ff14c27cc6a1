"""A step's draws go to the policy whose draws have cost less."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from asyndbt.federation._shares import DrawShares
from asyndbt.optim import FloatArray


def step(rng: np.random.Generator, own: int, better: float, draws: int = 5) -> FloatArray:
    """Losses of four queries, of which the own draws' are lower by `better` nats."""
    losses = rng.normal(1.0, 0.5, size=(draws, 1)) + rng.normal(0.0, 1.0, size=(1, 4))
    losses[draws - own :] -= better
    return losses


def after(better: float, steps: int, seed: int = 0, shares: DrawShares | None = None) -> DrawShares:
    rng, shares = np.random.default_rng(seed), shares or DrawShares(5, 1)
    for _ in range(steps):
        shares.note(step(rng, shares.own(5), better), shares.own(5), 0)
    return shares


def test_nothing_known_shares_evenly() -> None:
    assert DrawShares(5, 1).own(5) in (2, 3)
    assert DrawShares(8, 1).own(8) == 4
    assert DrawShares(2, 1).own(2) == 1


def test_the_better_policy_gets_all_but_the_least() -> None:
    assert after(1.0, 40).own(5) == 4
    assert after(-1.0, 40).own(5) == 1


def test_equal_policies_are_both_asked() -> None:
    """Over seeds: certainty does not come from chance."""
    counts = [after(0.0, 60, seed).own(5) for seed in range(40)]
    assert 2.0 < np.mean(counts) < 3.0


def test_what_was_true_at_the_start_is_forgotten() -> None:
    """As where sites are honest for a while, and lie from then on."""
    assert after(1.0, 80, seed=1, shares=after(-1.0, 80)).own(5) == 4


def test_answers_that_are_missing_say_nothing() -> None:
    shares = after(0.5, 10)
    before = shares.own(5)
    shares.note(np.full((5, 4), np.nan), shares.own(5), 1)
    assert shares.own(5) == before
    half = step(np.random.default_rng(3), 2, 0.0)
    half[0, :3] = np.nan
    shares.note(half, 2, 0)
    assert np.isfinite(shares.sums).all()


@given(
    draws=st.integers(2, 12),
    least=st.integers(1, 12),
    losses=st.lists(st.floats(0.0, 30.0), min_size=12, max_size=12),
    steps=st.integers(0, 30),
)
def test_both_policies_always_have_the_least(
    draws: int, least: int, losses: list[float], steps: int
) -> None:
    shares = DrawShares(draws, least)
    for _ in range(steps):
        empty = shares.empty
        shares.note(np.array(losses)[:draws, None], shares.own(draws - empty), empty)
        assert 0 <= empty <= draws // 2
    for left in (draws, draws - shares.empty):
        assert min(least, left // 2) <= shares.own(left) <= left - min(least, left // 2)


def test_prompts_without_a_fragment_are_asked_until_they_are_surely_worse() -> None:
    """One of five at first, none where words help, half where they do harm."""
    assert DrawShares(5, 1).empty == 1

    def empty_after(better: float) -> int:
        rng, shares = np.random.default_rng(0), DrawShares(5, 1)
        for _ in range(25):
            count = shares.empty
            shares.note(step(rng, count, better), shares.own(5 - count), count)
        return shares.empty

    assert empty_after(-1.0) == 0
    assert empty_after(1.0) == 2


def test_prompts_without_a_fragment_get_another_chance() -> None:
    shares = DrawShares(5, 1)
    for _ in range(10):
        shares.note(step(np.random.default_rng(0), 1, -2.0), 2, 1)
    assert shares.empty == 0
    for _ in range(200):
        shares.note(step(np.random.default_rng(0), 0, 0.0), 2, 0)
    assert shares.empty == 1
