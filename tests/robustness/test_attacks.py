"""Small runs with liars among the sites: they end, and honest sites keep what is their own."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest

from asyndbt.federation import (
    LARGEST_LOSS,
    Coordinator,
    Delays,
    Plan,
    Report,
    Site,
    Step,
    StepDone,
    VirtualEngine,
    Worker,
)
from asyndbt.optim import Shape, on_simplex, preset, read_out
from asyndbt.robustness import ATTACKS, Ring, flip_labels, with_liars
from asyndbt.task import Example, SiteData
from asyndbt.testing import TabularObjective, TabularProblem

SHAPE = Shape(2, 5, 2, 3)
SITES = tuple(f"site-{v}" for v in range(5))
STEPS, DRAWS, BATCH = 8, 5, 4


class Rows(TabularObjective):
    """Compares prompts on as many rows as it has, so that a site can tell what is surely better."""

    @property
    def comparable(self) -> int:
        return sum(self.counts[:2])


class Tap:
    """Keeps the reports of a site."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self.reports: list[Report] = []
        self.join = site.join

    async def handle(self, work: Any) -> Report:
        self.reports.append(await self._site.handle(work))
        return self.reports[-1]


@dataclass
class Run:
    coordinator: Coordinator
    workers: dict[str, Worker]
    taps: dict[str, Tap]
    honest: list[str]
    words: list[int]
    notices: list[dict[str, Any]]

    def validation_loss(self, name: str, words: Any, shown: Any) -> float:
        return self.workers[name].objective._exact(words, shown)  # type: ignore[attr-defined]

    def final_loss(self, name: str) -> float:
        worker = self.workers[name]
        words = worker.fragment(self.coordinator.fragment)
        return self.validation_loss(name, words, worker.demonstrations)

    def loss_of_own_proposal(self, name: str) -> float:
        learner = self.workers[name].learner
        own = self.workers[name].plan.fragment(learner.own)
        (shown,) = learner.likeliest_demonstrations(own, 1)
        return self.validation_loss(name, own, shown)


def fresh_run(attack: str, liars: int = 2, seed: int = 0, *, admit: bool = True) -> Run:
    problem = TabularProblem(SHAPE, workers=len(SITES), queries=BATCH, seed=seed)
    plan = Plan(
        sites=SITES,
        positions=SHAPE.positions,
        words=SHAPE.words,
        settings=preset("default", draws=DRAWS, batch_size=BATCH, refresh_every=5),
        quorum=3,
        lease=1e9,
        seed=seed,
        open=admit and ATTACKS[attack].aliases > 0,
    )
    workers = {
        name: Worker(name, plan, Rows(problem, v, STEPS * DRAWS * BATCH), seed)
        for v, name in enumerate(SITES)
    }
    words = worst_words(problem)
    ring = Ring(words, steps=STEPS, seed=seed)
    sites = with_liars(workers, SITES[:liars], attack, ring)
    taps = {name: Tap(site) for name, site in sites.items()}
    coordinator = Coordinator(plan)
    notices: list[dict[str, Any]] = []

    def changed(now: float) -> None:
        notices.extend(coordinator.notices())

    asyncio.run(VirtualEngine(coordinator, taps, Delays(), seed=seed).run(changed))
    return Run(coordinator, workers, taps, list(SITES[liars:]), words, notices)


run = cache(fresh_run)


def worst_words(problem: TabularProblem) -> list[int]:
    """The pair of distinct words with the largest loss in total."""
    tables = problem.tables.mean(axis=-1).min(axis=(-2, -1)).sum(axis=0)
    np.fill_diagonal(tables, -np.inf)
    return [int(index) for index in np.unravel_index(np.argmax(tables), tables.shape)]


@pytest.mark.parametrize(
    ("attack", "liars"), [*((attack, 2) for attack in ATTACKS), ("alie", 1), ("ipm", 1)]
)
def test_a_run_with_liars_ends_and_nothing_that_they_send_is_refused(
    attack: str, liars: int
) -> None:
    done = run(attack, liars)
    assert done.coordinator.phase == "done"
    assert not {"refused", "banned", "gone"} & {notice["kind"] for notice in done.notices}
    assert set(done.coordinator.evaluations) == set(done.taps)


@pytest.mark.parametrize("attack", ATTACKS)
def test_the_same_seed_gives_the_same_run(attack: str) -> None:
    first, second = run(attack), fresh_run(attack)
    assert first.coordinator.evaluations == second.coordinator.evaluations
    assert np.array_equal(first.coordinator.server.z, second.coordinator.server.z)


@pytest.mark.parametrize(
    "attack", ["collude", "collude-random", "alternate", "sleeper", "creep", "sybil"]
)
@pytest.mark.parametrize("seed", [0, 1])
def test_no_honest_site_ends_with_less_than_its_own_proposal(attack: str, seed: int) -> None:
    """Its comparison at the end is exact here, so there is no standard error to allow for."""
    done = run(attack, seed=seed)
    for name in done.honest:
        assert done.final_loss(name) <= done.loss_of_own_proposal(name) + 1e-9


def test_colluding_liars_draw_the_consensus_to_their_words_and_do_not_win_the_comparison() -> None:
    lied, voted = run("collude"), run("vote")
    drawn, honest = (done.coordinator.server.z[[0, 1], done.words] for done in (lied, voted))
    assert (drawn > honest).all()
    assert lied.words in [list(words) for words in lied.coordinator.selection.fragments]
    assert lied.coordinator.fragment.tolist() != lied.words


# ------------------------------------------------------------------ what liars send
def reports(done: Run, kind: type[Any]) -> list[Any]:
    liars = [name for name in SITES if name not in done.honest]
    return [r for name in liars for r in done.taps[name].reports if isinstance(r, kind)]


@pytest.mark.parametrize("attack", ATTACKS)
def test_policies_are_on_the_simplex(attack: str) -> None:
    assert all(on_simplex(report.p) for report in reports(run(attack), StepDone))


@pytest.mark.parametrize(
    ("attack", "least", "most"),
    [("collude", 1.0, 1.0), ("alternate", 0.4, 0.6), ("sleeper", 0.3, 0.5), ("creep", 0.0, 0.3)],
)
def test_colluders_say_the_same_words_at_the_times_of_their_attack(
    attack: str, least: float, most: float
) -> None:
    """Who creeps goes as far as an honest site: now and then to the end."""
    done = run(attack)
    said = reports(done, StepDone)
    shares = [report.p[[0, 1], done.words].min() == 1.0 for report in said]
    assert least <= np.mean(shares) <= most
    assert all(report.proposal.tolist() == done.words for report in said)


def test_liars_in_step_with_honest_sites_go_no_farther_from_the_consensus() -> None:
    words = [0, 1]
    z, honest = np.full((2, 4), 0.25), np.array([[0.35, 0.15, 0.25, 0.25], [0.1, 0.9, 0.0, 0.0]])
    creeper = ATTACKS["creep"](Silent(), Ring(words))
    moved = creeper.policy(step(z), honest)
    assert np.abs(moved - z).sum(axis=1) == pytest.approx(np.abs(honest - z).sum(axis=1))
    assert on_simplex(moved)
    assert (moved[[0, 1], words] > z[[0, 1], words]).all()


@pytest.mark.parametrize("attack", ["free-rider", "gauss"])
def test_what_is_proposed_is_read_out_as_the_plan_has_it(attack: str) -> None:
    p = np.array([[0.9, 0.1], [0.8, 0.2]])
    ring = Ring([0, 1], read_out=read_out)
    assert ATTACKS[attack](Silent(), ring).proposal(p, np.array([1, 1])).tolist() == [0, 0]


def test_opposed_policies_are_on_the_other_side_of_the_consensus() -> None:
    z, honest = np.full((1, 4), 0.25), np.array([[0.4, 0.3, 0.2, 0.1]])
    for attack in ("ipm", "sign-flip"):
        ring = Ring([0])
        ring.policies["a"] = honest
        lie = ATTACKS[attack](Silent(), ring).policy(step(z), honest)
        assert ((lie - z) * (honest - z)).sum() < 0


@pytest.mark.parametrize(
    ("attack", "favoured"),
    [("collude", 1), ("vote", 2), ("gauss", 2), ("free-rider", None), ("stale", None)],
)
def test_votes_are_for_the_words_wanted_else_for_what_is_worst(
    attack: str, favoured: int | None
) -> None:
    candidates = np.array([[2, 3], [0, 2], [3, 2], [1, 3]])
    honest = np.array([0.1, 0.2, 0.9, 0.15])
    said = ATTACKS[attack](Silent(), Ring([0, 1])).losses(candidates, honest)
    if favoured is None:
        assert np.array_equal(said, honest)
    else:
        assert said.tolist() == [0.0 if c == favoured else LARGEST_LOSS for c in range(4)]


class Silent:
    """A site of two positions and four words that is never asked."""

    def join(self) -> Any:
        return Worker(
            "a", Plan(sites=("a",), positions=2, words=4), Rows(TabularProblem(SHAPE), 0), 0
        ).join()

    async def handle(self, assignment: Any) -> Report:
        raise AssertionError


def step(z: Any) -> Step:
    return Step(site="a", id=1, iteration=0, z=z, pull=np.zeros_like(z), local_steps=1)


# ------------------------------------------------------------------ names and labels
def test_made_up_names_are_refused_and_the_run_goes_on() -> None:
    done = fresh_run("sybil", 1, admit=False)
    assert done.coordinator.phase == "done"
    assert set(done.coordinator.evaluations) == set(SITES)
    refused = [notice["site"] for notice in done.notices if notice["kind"] == "refused"]
    assert refused == ["site-0-alias-1", "site-0-alias-2"]


def test_made_up_names_count_in_an_open_run_and_spend_nothing_of_their_own() -> None:
    done = run("sybil", 1)
    assert len(done.coordinator.evaluations) == len(SITES) + 2
    certain = np.eye(SHAPE.words)[done.words]
    said = [np.array_equal(p, certain) for p in done.coordinator.server.p_all]
    assert sum(said) == 3
    spent = {member.name: member.spent.calls for member in done.coordinator.roster}
    assert [spent[f"site-0-alias-{number}"] for number in (1, 2)] == [0, 0]
    assert spent["site-0"] > 0


def test_flipped_labels_are_those_that_a_site_tunes_by() -> None:
    pool, train, validation, test = (
        tuple(Example({"text_a": f"{part} {label}"}, label) for label in "xyz")
        for part in ("pool", "train", "validation", "test")
    )
    site = SiteData("a", pool, train, validation, test)
    flipped = flip_labels(site, ["x", "y", "z"])
    for part in (flipped.pool, flipped.train, flipped.validation):
        assert [example.label for example in part] == [*"yzx"]
    assert flipped.test == site.test
    assert flipped.pool[0].fields == pool[0].fields
    assert site.pool == pool, "the site given stays as it is"
