"""The selection of the fragment on validation data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.federation.conftest import answer, plan, started

from asyndbt.federation import restore, snapshot
from asyndbt.federation._messages import BOUND
from asyndbt.federation._selection import FragmentSelection, pairwise_medians

SITES = ("a", "b", "c")
LIE = st.one_of(st.sampled_from([0.0, float(BOUND)]), st.floats(0, BOUND), st.floats(0, 3))


def word(index: int) -> Any:
    return np.array([index])


def closed(count: int = 3) -> FragmentSelection:
    compared = FragmentSelection(count)
    compared.close([word(index) for index in range(count)])
    return compared


def chosen(losses: Mapping[str, tuple[Sequence[float], int]]) -> int:
    compared = closed(len(next(iter(losses.values()))[0]))
    for site, (values, n) in losses.items():
        compared.record(site, np.array(values), n)
    compared.choose(sorted(losses))
    return int(compared.best()[0])


def winner(table: Any) -> int:
    return chosen({f"site-{v}": (row, 12) for v, row in enumerate(table)})


# ------------------------------------------------------------------ what is compared
def compared(limit: int, finals: Sequence[int], proposals: Sequence[int], lot: str) -> list[int]:
    """Return the words compared where site v proposes `proposals[v]`."""
    selection = FragmentSelection(limit, lot)
    for index in (105, 106, 107, 106, 108):
        selection.note(word(index))
    own = {f"site-{v}": word(index) for v, index in enumerate(proposals)}
    selection.close([word(index) for index in finals], own)
    return [index for (index,) in selection.fragments]


def test_final_read_outs_come_first_then_proposals_or_what_stood_longest() -> None:
    words = compared(9, [109, 109, 107], [3, 2, 1, 2, 106], "lot")
    assert words[:2] == [109, 107]
    assert set(words[2:]) == {1, 2, 3, 106}
    assert compared(9, [109, 109, 107], [], "lot") == [109, 107, 106, 108, 105]


@pytest.mark.parametrize("limit", [1, 2, 3, 4])
def test_proposals_have_the_places_that_the_final_read_outs_leave(limit: int) -> None:
    words = compared(limit, [0, 1], [4, 5, 6, 7], "lot")
    assert words[:2] == [0, 1][:limit]
    assert len(words) == limit
    assert set(words[2:]) <= {4, 5, 6, 7}


@given(st.permutations(range(6)))
def test_the_order_of_the_sites_does_not_change_what_is_compared(order: list[int]) -> None:
    own = [("u", 4), ("v", 4), ("w", 5), ("x", 6), ("y", 6), ("z", 7)]
    lists = []
    for sites in (own, [own[index] for index in order]):
        selection = FragmentSelection(4)
        selection.close([word(0)], {site: word(index) for site, index in sites})
        lists.append(selection.fragments)
    assert lists[0] == lists[1]


@pytest.mark.parametrize("same", [False, True])
def test_liars_get_their_share_of_the_places_and_no_more(same: bool) -> None:
    """Four of ten sites propose fragments of their own, or one together; four places are drawn."""
    liars = [50] * 4 if same else [50, 51, 52, 53]
    taken = []
    for number in range(400):
        drawn = compared(6, [100, 101], [1, 2, 3, 4, 5, 6, *liars], f"lot {number}")[2:]
        assert len(drawn) == 4
        taken.append(sum(index >= 50 for index in drawn))
    if same:
        assert max(taken) == 1
    else:
        assert np.mean(taken) == pytest.approx(4 * 4 / 10, abs=0.2)


@given(st.lists(st.integers(0, 9), min_size=8, max_size=8), st.sets(st.integers(4, 7)))
def test_what_a_site_proposes_and_whether_it_is_there_moves_no_other(
    lies: list[int], banned: set[int]
) -> None:
    """Whoever is drawn before another stays so, whatever the other four do."""
    honest = {f"site-{v}": word(20 + v) for v in range(4)}
    lying = {f"site-{v}": word(lies[v]) for v in range(4, 8) if v not in banned}
    orders = []
    for proposals in (honest, honest | lying):
        selection = FragmentSelection(100, "lot")
        selection.close([word(99)], proposals)
        orders.append([index for (index,) in selection.fragments if 20 <= index < 24])
    assert orders[0] == orders[1]


def test_a_run_that_goes_on_from_a_checkpoint_compares_the_same() -> None:
    tables = {}
    for seed in (0, 0, 1, 2, 3):
        agreed = plan(quorum=3, confirm_candidates=3, seed=seed)
        coordinator = started(agreed)
        for work in coordinator.assignments(0.0):
            coordinator, _ = restore(agreed, snapshot(coordinator))
            coordinator.receive(answer(work, exhausted=True), 1.0)
        assert coordinator.phase == "confirming"
        fragments = coordinator.selection.fragments
        assert tables.setdefault(seed, fragments) == fragments
    assert len({tuple(fragments) for fragments in tables.values()}) > 1, "the seed draws"


# ------------------------------------------------------------------ which one wins
def test_of_one_or_two_sites_the_least_mean_loss_wins_and_the_first_on_a_tie() -> None:
    assert chosen({"a": ([0.5, 0.4, 0.7], 40)}) == 1
    assert chosen({"a": ([0.5, 0.4, 0.7], 40), "b": ([0.3, 0.35, 0.2], 40)}) == 1
    assert chosen({"a": ([0.5, 0.25], 40), "b": ([0.25, 0.5], 40)}) == 0


def test_a_site_counts_once_however_many_examples_it_has() -> None:
    assert chosen({"a": ([0.5, 0.1], 10**6), "b": ([0.3, 0.4], 4), "c": ([0.3, 0.4], 4)}) == 0


def test_without_an_answer_the_consensus_stands() -> None:
    selection = closed()
    selection.choose(SITES)
    assert selection.best().tolist() == [0]
    assert chosen({"a": ([0.0, 0.0, 0.0], 0)}) == 0
    assert chosen({"a": ([9.0, 1.0, 5.0], 0), "b": ([0.2, 0.3, 0.1], 9)}) == 2


def test_only_the_sites_named_count() -> None:
    selection = closed(2)
    for site, losses in (("a", [0.1, 0.2]), ("b", [0.2, 0.1]), ("c", [0.2, 0.1])):
        selection.record(site, np.array(losses), 9)
    selection.choose(["a"])
    assert selection.best().tolist() == [0]


def test_how_hard_a_sites_examples_are_does_not_give_it_weight() -> None:
    assert chosen({"a": ([5.0, 5.1], 40), "b": ([0.3, 0.1], 40), "c": ([0.3, 0.1], 40)}) == 1


def test_a_circle_of_preferences_ends_at_the_smallest_defeat() -> None:
    """0 beats 1, 1 beats 2, 2 beats 0; and 1 beats 2 by least."""
    table = np.array([[0.0, 0.5, 0.6], [0.5, 0.9, 0.0], [0.7, 0.0, 0.5]])
    medians = pairwise_medians(table)
    assert medians[[0, 1, 2], [1, 2, 0]] == pytest.approx([-0.4, -0.1, -0.2])
    assert winner(table) == 2


@pytest.mark.parametrize("sites", [3, 4, 10])
@pytest.mark.parametrize("spread", [0.1, 0.3])
def test_honest_sites_lose_little_against_the_least_mean_loss(sites: int, spread: float) -> None:
    """A tenth of what choosing at random costs, at most."""
    rng = np.random.default_rng(sites)
    regrets, random = [], []
    for _ in range(300):
        table = 1 + rng.normal(0, 0.2, 4) + rng.normal(0, spread, (sites, 4))
        mean = (table - table.min()).mean(axis=0)
        regrets.append(mean[winner(table - table.min())] - mean.min())
        random.append(mean.mean() - mean.min())
    assert np.mean(regrets) < 0.1 * np.mean(random)


# ------------------------------------------------------------------ liars
@pytest.mark.parametrize("liars", [1, 2, 3, 4])
def test_liars_below_one_half_never_bring_up_what_honest_sites_find_worst(liars: int) -> None:
    """They send 0 for the worst of four fragments and 2^52 for the rest; ten sites in all."""
    rng = np.random.default_rng(liars)
    for _ in range(100):
        worst = int(rng.integers(4))
        honest = 0.5 + rng.uniform(0.0, 0.3, (10 - liars, 4))
        honest[:, worst] += 0.9
        lies = np.full((liars, 4), 2.0**52)
        lies[:, worst] = 0.0
        assert winner(np.concatenate([lies, honest])) != worst


@given(st.lists(LIE, min_size=3, max_size=3), st.integers(0, BOUND), st.integers(0, 2))
def test_one_liar_of_three_cannot_bring_up_what_the_others_find_worst(
    lie: list[float], n: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    honest = {site: ([0.2, *rng.uniform(0.2, 0.4, 1), 1.5], 40) for site in ("a", "b")}
    assert chosen({**honest, "c": (lie, n)}) != 2


@given(st.data())
def test_what_all_honest_sites_find_best_wins(data: st.DataObject) -> None:
    """By however little, and whatever else they disagree about."""
    sites = data.draw(st.integers(3, 9))
    liars = data.draw(st.integers(0, (sites - 1) // 2))
    rng = np.random.default_rng(data.draw(st.integers(0, 10_000)))
    honest = rng.uniform(0.5, 3.0, (sites - liars, 4))
    best = data.draw(st.integers(0, 3))
    honest[:, best] = honest.min(axis=1) - 1e-3
    lies = data.draw(
        st.lists(st.lists(LIE, min_size=4, max_size=4), min_size=liars, max_size=liars)
    )
    assert winner([*honest.tolist(), *lies]) == best


@given(st.data())
def test_theorem_three(data: st.DataObject) -> None:
    """The bounds of docs/theory.md, which name honest sites' losses alone, against any lies."""
    sites = data.draw(st.integers(1, 9), label="sites")
    liars = data.draw(st.integers(0, (sites - 1) // 2), label="liars")
    count = data.draw(st.integers(2, 5), label="fragments")
    loss = st.one_of(st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.floats(0, 30))
    row = st.lists(loss, min_size=count, max_size=count)
    honest = np.array(data.draw(st.lists(row, min_size=sites - liars, max_size=sites - liars)))
    lie = st.lists(LIE, min_size=count, max_size=count)
    lies = data.draw(st.lists(lie, min_size=liars, max_size=liars))
    table = data.draw(st.permutations([*honest.tolist(), *lies]))

    medians, best = pairwise_medians(np.array(table)), winner(table)
    assert np.array_equal(medians, -medians.T)
    spare = (sites + 1) // 2 - 1 - liars
    differences = np.sort(honest[:, :, np.newaxis] - honest[:, np.newaxis, :], axis=0)
    least, most = differences[spare], differences[-1 - spare]
    assert (least <= medians).all()
    assert (medians <= most).all()

    bound = most.max(axis=1).min()
    spread = (differences[-1] - differences[0]).max()
    assert bound <= spread + 1e-9
    for other in range(count):
        losing = honest[:, best] - honest[:, other]
        assert (losing <= bound).sum() >= spare + 1
        assert losing.max() <= bound + spread + 1e-9


@pytest.mark.parametrize(("sites", "liars"), [(3, 1), (5, 1), (5, 2), (9, 3)])
def test_the_bound_on_a_comparison_is_reached(sites: int, liars: int) -> None:
    """Of an odd number of sites, so it cannot be made narrower."""
    honest = np.array([[0.1 * v, 0.0] for v in range(sites - liars)])
    spare = (sites + 1) // 2 - 1 - liars
    for lie, index in ((float(BOUND), -1 - spare), (0.0, spare)):
        table = np.concatenate([honest, [[lie, BOUND - lie]] * liars])
        assert pairwise_medians(table)[0, 1] == honest[index, 0]


@pytest.mark.parametrize("sites", [2, 4, 10])
def test_half_of_the_sites_can_have_what_they_want(sites: int) -> None:
    """The theorem ends where it says."""
    honest, lies = [[0.1, 0.2, 9.0]] * (sites // 2), [[BOUND, BOUND, 0.0]] * (sites // 2)
    assert winner([*honest, *lies]) == 2


# ------------------------------------------------------------------ checkpoints
@pytest.mark.parametrize("stage", ["open", "closed", "chosen"])
def test_state_comes_back(stage: str) -> None:
    compared = FragmentSelection(2)
    compared.note(np.array([3, 1]))
    if stage != "open":
        compared.close([np.array([0, 1])])
    if stage == "chosen":
        compared.record("a", np.array([0.5, 0.2]), 4)
        compared.choose(SITES)
    restored = FragmentSelection(2)
    restored.restore(compared.state())
    assert restored.state() == compared.state()


def test_the_lot_is_the_same_wherever_the_sites_are() -> None:
    """On a tie the first fragment wins: one run has one result, on one machine or on several."""
    here = plan(seed=3)
    assert plan(seed=3, shared="digest of what sites have copies of").lot == here.lot
    assert plan(seed=4).lot != here.lot
