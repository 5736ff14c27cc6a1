"""A plain loop of the method on a TabularProblem: no engine, no coordinator, no clock."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest

from asyndbt.optim import (
    FloatArray,
    Gradient,
    ServerState,
    Settings,
    add_planes,
    initial_optimizer_state,
    lower_server_step,
    lower_worker_step,
    make_estimator,
    pull_on_workers,
    read_out,
    sample_rows,
    server_step,
    uniform_rows,
    worker_step,
)
from asyndbt.testing import TabularProblem


@dataclass
class Outcome:
    state: ServerState
    q_all: list[FloatArray]
    excess: float  # of the read-out, as a share of the loss range
    largest_theta: float
    planes_added: int


def one_hot(choice, columns):
    return np.eye(columns)[choice].reshape(len(choice), columns)


class Loop:
    """W workers and a server; `quorum` of them report a step, with what they were last sent."""

    def __init__(self, problem: TabularProblem, settings: Settings, *, exact: bool, seed: int):
        self.problem, self.settings, self.exact = problem, settings, exact
        self.rng = np.random.default_rng(seed)
        shape, workers = problem.shape, problem.workers
        self.state = ServerState.initial(workers, shape.positions, shape.words)
        self.p_all = [uniform_rows(shape.positions, shape.words) for _ in range(workers)]
        self.q_all = [uniform_rows(shape.slots, shape.candidates) for _ in range(workers)]
        self.estimator = make_estimator(settings)
        self.memories = [self.estimator.initial(shape) for _ in range(workers)]
        start = initial_optimizer_state(self.p_all[0], self.q_all[0], settings)
        self.optimizers = [start] * workers
        self.sent = [(self.state.z, np.zeros(self.state.z.shape)) for _ in range(workers)]

    def run(self, steps: int, quorum: int | None = None) -> Outcome:
        largest, added = 0.0, 0
        quorum = quorum or self.problem.workers
        for step in range(1, steps + 1):
            active = self.rng.choice(self.problem.workers, quorum, replace=False)
            for worker in active:
                self.work(worker)
            reports = np.array([self.p_all[worker] for worker in active])
            self.state = server_step(self.state, active, reports, self.settings)
            every = self.settings.refresh_every
            if every and step % every == 0 and step <= self.settings.refresh_until:
                added += self.refresh()
            pulls = pull_on_workers(self.state.planes, active) + self.state.theta[active]
            for worker, pull in zip(active, pulls, strict=True):
                self.sent[worker] = (self.state.z, pull)
            largest = max(largest, float(np.abs(self.state.theta).max(initial=0.0)))
        return Outcome(self.state, self.q_all, self.excess(), largest, added)

    def work(self, worker: int) -> None:
        z, pull = self.sent[worker]
        p, q = self.p_all[worker], self.q_all[worker]
        self.p_all[worker], self.q_all[worker], self.optimizers[worker] = worker_step(
            p, q, self.gradient(worker, p, q), pull, z, self.settings, self.optimizers[worker]
        )

    def gradient(self, worker: int, p: FloatArray, q: FloatArray) -> Gradient:
        if self.exact:
            return self.problem.exact_gradient(worker, p, q)
        count = min(self.settings.batch_size, self.problem.queries)
        evaluations = self.problem.sample_losses(
            worker,
            sample_rows(p, self.settings.draws, self.rng),
            sample_rows(q, self.settings.draws, self.rng),
            self.rng.choice(self.problem.queries, count, replace=False),
            self.rng,
        )
        self.memories[worker] = self.estimator.update(self.memories[worker], evaluations)
        return self.estimator.gradient(self.memories[worker], p, q)

    def refresh(self) -> int:
        """Add planes around the lower level's estimate at the demonstrations read out."""
        held = [one_hot(read_out(q), q.shape[1]) for q in self.q_all]
        z, phi, rho = self.state.z, self.state.p_all.copy(), np.zeros(self.state.p_all.shape)
        for _ in range(self.settings.lower_rounds):
            for worker, q in enumerate(held):
                slope = self.problem.exact_gradient(worker, phi[worker], q).p
                phi[worker] = lower_worker_step(phi[worker], slope, rho[worker], z, self.settings)
            z, rho = lower_server_step(z, phi, rho, self.settings)
        before = self.state.planes
        planes = add_planes(
            before, self.state.p_all, self.state.z, phi, z, self.settings.plane_tolerance
        )
        self.state = replace(self.state, planes=planes)
        return len(planes) - len(before)

    def excess(self) -> float:
        fragment = one_hot(read_out(self.state.z), self.problem.shape.words)
        total = sum(
            self.problem.expected_loss(worker, fragment, one_hot(read_out(q), q.shape[1]))
            for worker, q in enumerate(self.q_all)
        )
        return (total - self.problem.optimum().loss) / self.problem.loss_range()


@pytest.fixture
def tune() -> Callable[..., Outcome]:
    def tune(problem, settings, steps, *, exact=True, quorum=None, seed=0):
        return Loop(problem, settings, exact=exact, seed=seed).run(steps, quorum)

    return tune
