"""Local privacy: what is sent keeps the guarantee, and nothing else depends on the data."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Callable
from random import Random, SystemRandom
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyndbt.federation import Plan, Privacy, Worker
from asyndbt.federation._discrete_gaussian import discrete_gaussian
from asyndbt.federation._messages import (
    Assignment,
    Confirm,
    ConfirmDone,
    Evaluate,
    EvaluateDone,
    Join,
    LowerDone,
    LowerRound,
    Report,
    Step,
    StepDone,
)
from asyndbt.federation._private_reports import PrivateReports
from asyndbt.federation._refusals import check_report
from asyndbt.optim import on_simplex, preset, uniform_rows
from asyndbt.scoring import Score, Spent
from asyndbt.testing import TabularObjective, TabularProblem

M, N = 2, 5
LOUD = Privacy(1.0, 1e-5, 1.0, 3, noise=12.0)
QUIET = Privacy(1e6, 1e-5, 1.0, 3, noise=1e-6)


def plan(privacy: Privacy | None = LOUD, **changes: Any) -> Plan:
    return Plan(
        **{"sites": ("a", "b", "c"), "positions": M, "words": N, "privacy": privacy} | changes
    )


def seeded(number: int) -> Random:
    return Random(f"seed/{number}")


def private(privacy: Privacy = LOUD, source: Callable[[int], Random] = seeded) -> PrivateReports:
    return PrivateReports(privacy, plan(privacy), source)


def work(kind: type[Assignment], number: int = 1) -> Any:
    address: dict[str, Any] = {"site": "a", "id": number, "iteration": 0}
    z = uniform_rows(M, N)
    match kind.__name__:
        case "Step":
            return Step(z=z, pull=np.zeros((M, N)), local_steps=1, **address)
        case "LowerRound":
            return LowerRound(point=z, z=z, rho=np.zeros((M, N)), **address)
        case "Confirm":
            return Confirm(candidates=np.array([[0, 1], [2, 3], [3, 4]]), **address)
    return Evaluate(fragment=np.array([0, 1]), **address)


def raw(kind: type[Assignment], data: int, number: int = 1) -> Any:
    """What a site would report without privacy, as different as can be for different data."""
    rng = np.random.default_rng(data)
    score = Score(float(data % 5), 5, float(rng.uniform(0, 2)), float(rng.uniform()))
    spent = Spent(*rng.integers(1, 100, 9).tolist(), money=float(rng.uniform()))
    address: dict[str, Any] = {"site": "a", "id": number, "spent": spent}
    p = rng.dirichlet(np.full(N, 0.1), size=M)
    match kind.__name__:
        case "Step":
            return StepDone(
                p=p,
                proposal=rng.permutation(N)[:M],
                loss=score.loss,
                answered=int(rng.integers(9)),
                entropy_q=1.0,
                entropy_q_max=2.0,
                exhausted=bool(data % 2),
                validation=score,
                effects=rng.normal(size=N),
                precisions=rng.uniform(size=N),
                **address,
            )
        case "LowerRound":
            return LowerDone(p=p, **address)
        case "Confirm":
            return ConfirmDone(losses=rng.uniform(0, 2, 3), n=int(rng.integers(9)), **address)
    return EvaluateDone(
        plain=score, random_icl=score, tuned=score, validation=score, kept_own=True, **address
    )


# ------------------------------------------------------------------ the guarantee
@settings(deadline=None, max_examples=20)
@given(
    epsilon=st.floats(0.1, 50.0),
    delta=st.floats(1e-12, 1e-2),
    steps=st.integers(1, 100),
    clip=st.floats(0.01, 10.0),
)
def test_all_noisy_reports_together_cost_no_more_than_promised(
    epsilon: float, delta: float, steps: int, clip: float
) -> None:
    """By the accountant's own measure of a Gaussian mechanism, and hardly less than promised."""
    from dp_accounting import GaussianDpEvent
    from dp_accounting.rdp import RdpAccountant

    kept = Privacy.calibrated(epsilon, delta, clip, steps)
    most = _most_noisy_reports(kept)
    assert most == steps + 1
    accountant = RdpAccountant().compose(GaussianDpEvent(kept.noise), most)
    assert 0.95 * epsilon <= accountant.get_epsilon(delta) <= epsilon * (1 + 1e-9)


class Bare(PrivateReports):
    """Counts, and keeps what noise would be added to, without the time that noise takes."""

    def __init__(self, privacy: Privacy) -> None:
        super().__init__(privacy, plan(privacy), seeded)
        self.points: list[Any] = []

    def _noised(self, point: Any) -> Any:
        self.spent += 1
        self.points.append(point)
        return point


def _most_noisy_reports(privacy: Privacy) -> int:
    """Ask for votes until the site sends no data; no report costs more than one."""
    reports = Bare(privacy)
    for number in range(1, 2 * privacy.steps + 10):
        reports.of(work(Confirm, number), raw(Confirm, number, number))
    return len(reports.points)


@pytest.mark.parametrize("kind", [Step, Confirm])
def test_the_points_under_noise_lie_in_a_ball_of_the_diameter_that_counts(
    kind: type[Assignment],
) -> None:
    points = []
    for data in range(50):
        reports = Bare(LOUD)
        reports.of(work(kind), raw(kind, data))
        points += reports.points
    assert len(points) == 50
    assert max(np.linalg.norm(point) for point in points) <= 1 + 1e-12


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_noise_hides_that_a_step_or_a_vote_is_no_number(value: float) -> None:
    """An adversary who can bring about one where the data are so, and not otherwise, sees none."""
    step, vote = raw(Step, 1), raw(Confirm, 1)
    z = uniform_rows(M, N)
    sent: list[Any] = [
        private().of(work(Step), dataclasses.replace(step, p=p))
        for p in (z, np.where(np.arange(N) == 2, value, z))
    ]
    assert np.array_equal(sent[0].p, sent[1].p)
    votes: list[Any] = [
        private().of(work(Confirm), dataclasses.replace(vote, losses=losses))
        for losses in (np.ones(3), np.array([1.0, value, 1.0]))
    ]
    assert np.array_equal(votes[0].losses, votes[1].losses)


def test_noise_is_so_many_diameters_wide() -> None:
    drawn = private()._noised(np.zeros(3_000))
    assert np.std(drawn) == pytest.approx(2 * LOUD.noise, rel=0.06)


@pytest.mark.parametrize(
    "order", [[Step] * 6, [Confirm] * 6, [Step, Confirm] * 3, [Confirm] * 2 + [Step] * 4]
)
def test_a_site_sends_no_data_once_its_reports_are_spent(order: list[type[Assignment]]) -> None:
    """Neither steps nor votes, in whatever order it is asked; the vote is not spent on steps."""
    one, other = private(), private()
    for number, kind in enumerate([*order, Confirm], start=1):
        for reports, data in ((one, 1), (other, 2)):
            reports.of(work(kind, number), raw(kind, data, number))
    assert one.spent == other.spent == LOUD.steps + 1
    for kind in (Step, Confirm):
        _same(one.of(work(kind), raw(kind, 1)), other.of(work(kind), raw(kind, 2)))
    assert one.spent == LOUD.steps + 1


# ------------------------------------------------------------------ the fields
NOISY = {"StepDone.p", "ConfirmDone.losses"}
FOLLOWS = {"StepDone.proposal"}
"""From what is noisy, and from nothing else."""
CONSTANT = {
    *(
        f"{kind}.{name}"
        for kind in ("StepDone", "LowerDone", "ConfirmDone", "EvaluateDone")
        for name in ("site", "id", "spent")
    ),
    "LowerDone.p",
    *(f"StepDone.{name}" for name in ("loss", "answered", "entropy_q", "entropy_q_max")),
    *(f"StepDone.{name}" for name in ("exhausted", "validation", "effects", "precisions")),
    "ConfirmDone.n",
    *(f"EvaluateDone.{name}" for name in ("plain", "random_icl", "tuned", "validation")),
    "EvaluateDone.kept_own",
    *(f"Join.{name}" for name in ("site", "positions", "words", "agreement")),
    *(f"Join.{name}" for name in ("train", "validation", "test")),
}
"""Follow from the plan, the work and the number of noisy reports."""
OUT = {Step: StepDone, LowerRound: LowerDone, Confirm: ConfirmDone, Evaluate: EvaluateDone}


def test_every_field_that_leaves_a_site_is_classified() -> None:
    """A new field fails here until it is said how it is kept private."""
    kinds = (Join, *OUT.values())
    declared = {f"{kind.__name__}.{f.name}" for kind in kinds for f in dataclasses.fields(kind)}
    assert {kind.__name__ for kind in Report.__subclasses__()} == {k.__name__ for k in OUT.values()}
    assert declared == NOISY | FOLLOWS | CONSTANT


@pytest.mark.parametrize("kind", OUT)
def test_no_field_but_the_noisy_ones_depends_on_the_data(kind: type[Assignment]) -> None:
    sent = [private().of(work(kind), raw(kind, data)) for data in range(8)]
    for report in sent[1:]:
        _same(sent[0], report, but=NOISY | FOLLOWS)
    for report in sent:
        check_report(plan(), _member(), work(kind), report)


def test_what_follows_from_noise_follows_from_it_alone() -> None:
    sent: Any = private().of(work(Step), raw(Step, 3))
    assert np.array_equal(sent.proposal, plan().fragment(sent.p))


def _same(one: Any, other: Any, but: set[str] | None = None) -> None:
    for field in dataclasses.fields(one):
        if f"{type(one).__name__}.{field.name}" not in (but or ()):
            a, b = getattr(one, field.name), getattr(other, field.name)
            assert np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b, field.name


def _member() -> Any:
    from asyndbt.federation._membership import Member

    return Member("a", 0, joined=True)


# ------------------------------------------------------------------ what is sent
def test_without_noise_the_clipped_step_and_the_order_of_the_fragments_arrive() -> None:
    reports, report = private(QUIET), raw(Step, 1)
    sent: Any = reports.of(work(Step), report)
    step, whole = sent.p - uniform_rows(M, N), report.p - uniform_rows(M, N)
    assert np.linalg.norm(step) <= 1.0 + 1e-4
    assert np.allclose(step, whole / max(1.0, np.linalg.norm(whole)), atol=1e-3)
    votes = raw(Confirm, 1)
    told: Any = reports.of(work(Confirm), votes)
    assert np.array_equal(np.argsort(told.losses), np.argsort(votes.losses))


def test_policies_under_any_noise_are_policies() -> None:
    for noise in (1e-3, 0.1, 3.0, 1e3):
        reports = private(dataclasses.replace(LOUD, noise=noise))
        assert on_simplex(reports.of(work(Step), raw(Step, 1)).p, 1e-9)  # type: ignore[attr-defined]


def test_fewer_sites_take_smaller_steps_under_the_same_noise() -> None:
    """Noise that is not averaged out would take z anywhere."""

    def moved(sites: int) -> float:
        many = plan(sites=tuple(map(str, range(sites))))
        sent: Any = PrivateReports(LOUD, many, seeded).of(work(Step), raw(Step, 1))
        return float(np.linalg.norm(sent.p - uniform_rows(M, N)))

    assert moved(2) < moved(100) < moved(10_000)


def test_more_noise_hides_more_sites_and_no_noise_hides_none() -> None:
    useful = [
        Privacy.calibrated(epsilon, 1e-5, 1.0, 4).useful_sites(6, 100) for epsilon in (1, 4, 8, 1e6)
    ]
    assert sorted(useful, reverse=True) == useful
    assert useful[-1] == 1
    assert plan().hides_consensus
    assert not plan(QUIET).hides_consensus
    assert not plan(None).hides_consensus
    assert not plan(positions=0, words=0).hides_consensus


def test_noise_is_of_the_systems_randomness_unless_it_is_asked_for() -> None:
    problem = TabularProblem(_shape(), workers=1, seed=1)

    def worker(*noise: Any) -> Any:
        own = Worker("a", plan(), TabularObjective(problem, 0, 100), 7, *noise)
        assert own.private is not None
        return own.private

    assert isinstance(worker()._source(0), SystemRandom)
    assert not np.array_equal(*(worker()._noised(np.zeros(9)) for _ in range(2)))
    assert np.array_equal(*(worker(seeded)._noised(np.zeros(9)) for _ in range(2)))


def _shape() -> Any:
    from asyndbt.optim import Shape

    return Shape(M, N, 2, 3)


# ------------------------------------------------------------------ whole runs
def test_a_run_tells_nothing_but_noise(run_tabular: Any) -> None:
    """Its events and its state at the coordinator have no loss, no entropy and no count."""
    done = run_tabular(
        settings=preset("plain", refresh_every=0), privacy=LOUD, iterations=3, local_steps=4
    )
    steps = [notice for notice in done.notices if notice["kind"] == "step"]
    assert len(steps) == 3
    for step in steps:
        assert (step["loss"], step["entropy_q"], step["validation"]) == ({}, {}, {})
        assert set(step["calls"].values()) == {0}
    for worker in done.sites.values():
        assert worker.private.spent == LOUD.steps + 1
        assert worker.learner.steps == 12
        assert worker.evaluation.tuned.n
    for report in done.coordinator.evaluations.values():
        assert report.tuned == Score()


def test_a_state_never_gives_back_what_was_spent() -> None:
    problem = TabularProblem(_shape(), workers=1, seed=1)
    worker = Worker("a", plan(), TabularObjective(problem, 0, 100), 7)
    assert worker.private is not None
    before = worker.state()
    worker.private.spent = 2
    worker.restore(before)
    assert worker.private.spent == 2


# ------------------------------------------------------------------ the noise
def test_the_discrete_gaussian_has_its_probabilities() -> None:
    sigma, count, rng = 3, 20_000, Random(5)
    found = Counter(discrete_gaussian(sigma, rng) for _ in range(count))
    weights = {x: math.exp(-(x**2) / (2 * sigma**2)) for x in range(-40, 41)}
    total = sum(weights.values())
    for x in range(-8, 9):
        share = weights[x] / total
        error = math.sqrt(share * (1 - share) / count)
        assert abs(found[x] / count - share) < 4.5 * error, x


def test_the_discrete_gaussian_is_as_wide_as_asked_for() -> None:
    rng = Random(6)
    drawn = [discrete_gaussian(10**7, rng) for _ in range(2_000)]
    assert np.std(drawn) == pytest.approx(1e7, rel=0.08)
    assert abs(np.mean(drawn)) < 1e6
