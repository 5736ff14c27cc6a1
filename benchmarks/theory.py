"""Check both theorems of the method on black boxes whose every expectation is a finite sum.

Theorem 1: the optimal value of the planes' problem never falls as planes are added and stays below
the optimum under the constraint itself (solved by scipy). Theorem 2: with exact gradients and the
scheduled regularisation, the squared stationarity gap falls at least as fast as T^(-1/2), that is,
O(1 / e^2) iterations to a gap of e; with all workers in step and with two of three, stale.

    python benchmarks/theory.py [--iterations 10000] [--problems 4]

writes benchmarks/results/theory.json and theory.svg.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import linprog

from asyndbt.optim import (
    FloatArray,
    IntArray,
    Planes,
    ServerState,
    Settings,
    Shape,
    add_planes,
    lower_server_step,
    lower_worker_step,
    preset,
    project_rows,
    pull_on_workers,
    read_out,
    server_step,
    stationarity_gap,
    uniform_rows,
    worker_step,
)
from asyndbt.testing import TabularProblem

RESULTS = Path(__file__).parent / "results"
SHAPE, WORKERS = Shape(2, 4, 1, 3), 3

# The setting of Theorem 2: plain projected steps, weights c_t that fall as t^(-1/4) without a
# floor, planes until T1 = 500, no robust term (not differentiable), a bound on theta never reached.
SCHEDULED = preset(
    "plain",
    step="projection",
    eta_p=0.1,
    eta_q=0.1,
    eta_z=0.1,
    eta_lambda=0.5,
    eta_theta=0.5,
    psi=0.0,
    regularisation="scheduled",
    c1_min=0.0,
    c2_min=0.0,
    theta_clip=5.0,
    refresh_every=50,
    refresh_until=500,
    lower_rounds=10,
    plane_tolerance=0.5,
)


@dataclass(frozen=True)
class Run:
    """A line of the figure: settings, and how many of the workers report a step."""

    label: str
    settings: Settings
    quorum: int
    colour: str


RUNS = (
    Run("scheduled, all workers", SCHEDULED, 3, "#1b6ca8"),
    Run("scheduled, 2 of 3, stale", SCHEDULED, 2, "#d1731f"),
    Run("scheduled, robust term 0.05", SCHEDULED.replace(psi=0.05), 3, "#7a7a7a"),
    Run(
        "constant weights 0.01",
        SCHEDULED.replace(regularisation="constant", c1_min=0.01, c2_min=0.01),
        3,
        "#3a8f5c",
    ),
)


class ExactLoop:
    """The method with exact gradients; silent workers keep what they were last sent."""

    def __init__(self, problem: TabularProblem, run: Run, seed: int) -> None:
        self.problem, self.settings, self.quorum = problem, run.settings, run.quorum
        self.rng = np.random.default_rng(seed)
        shape, workers = problem.shape, problem.workers
        self.state = ServerState.initial(workers, shape.positions, shape.words)
        self.p_all = [uniform_rows(shape.positions, shape.words) for _ in range(workers)]
        self.q_all = [uniform_rows(shape.slots, shape.candidates) for _ in range(workers)]
        self.sent = [(self.state.z, np.zeros(self.state.z.shape)) for _ in range(workers)]

    def step(self) -> None:
        """Let `quorum` workers step on what they hold, then the server."""
        active = self.rng.choice(self.problem.workers, self.quorum, replace=False)
        for worker in active:
            z, pull = self.sent[worker]
            p, q = self.p_all[worker], self.q_all[worker]
            slope = self.problem.exact_gradient(worker, p, q)
            stepped = worker_step(p, q, slope, pull, z, self.settings, {})
            self.p_all[worker], self.q_all[worker], _ = stepped
        reports = np.array([self.p_all[worker] for worker in active])
        self.state = server_step(self.state, active, reports, self.settings)
        turn = self.state.iteration
        if turn % self.settings.refresh_every == 0 and turn <= self.settings.refresh_until:
            self.refresh()
        self.send(active)

    def send(self, active: IntArray) -> None:
        """Give the active workers the new z and their pulls; the others keep the old ones."""
        pulls = pull_on_workers(self.state.planes, active) + self.state.theta[active]
        for worker, pull in zip(active, pulls, strict=True):
            self.sent[worker] = (self.state.z, pull)

    def refresh(self) -> None:
        """Estimate the lower level at the demonstrations read out, and add planes."""
        held = [np.eye(self.problem.shape.candidates)[read_out(q)] for q in self.q_all]
        z, phi, rho = self.state.z, self.state.p_all.copy(), np.zeros(self.state.p_all.shape)
        for _ in range(self.settings.lower_rounds):
            for worker, q in enumerate(held):
                slope = self.problem.exact_gradient(worker, phi[worker], q).p
                phi[worker] = lower_worker_step(phi[worker], slope, rho[worker], z, self.settings)
            z, rho = lower_server_step(z, phi, rho, self.settings)
        planes = add_planes(
            self.state.planes,
            self.state.p_all,
            self.state.z,
            phi,
            z,
            self.settings.plane_tolerance,
        )
        self.state = replace(self.state, planes=planes)

    def gap(self) -> float:
        """Return the squared stationarity gap of the unregularised problem."""
        slopes = [
            self.problem.exact_gradient(worker, p, q)
            for worker, (p, q) in enumerate(zip(self.p_all, self.q_all, strict=True))
        ]
        return stationarity_gap(self.state, self.q_all, slopes, self.settings)


def gaps(run: Run, problem: TabularProblem, marks: IntArray, seed: int) -> list[float]:
    """Return the smallest squared stationarity gap met up to each of the marks."""
    loop, smallest, met = ExactLoop(problem, run, seed), np.inf, []
    for turn in range(1, int(marks[-1]) + 1):
        loop.step()
        if turn in marks:
            smallest = min(smallest, loop.gap())
            met.append(float(smallest))
    return met


def slope_of(marks: IntArray, curve: list[float]) -> float:
    """Return the slope of log gap against log T over the last decade."""
    late = marks >= marks[-1] / 10
    heights = np.log(np.maximum(np.array(curve)[late], 1e-300))
    return float(np.polyfit(np.log(marks[late]), heights, 1)[0])


def second_theorem(iterations: int, problems: int) -> dict[str, Any]:
    marks = np.unique(np.geomspace(1, iterations, 80).astype(np.int64))
    lines = []
    for run in RUNS:
        curves = [
            gaps(run, TabularProblem(SHAPE, workers=WORKERS, seed=seed), marks, seed)
            for seed in range(problems)
        ]
        slopes = [slope_of(marks, curve) for curve in curves]
        lines.append({"label": run.label, "curves": curves, "slopes": slopes})
        print(
            f"{run.label:30s} slopes {[round(slope, 2) for slope in slopes]}"
            f"  last gaps {[f'{curve[-1]:.1e}' for curve in curves]}"
        )
    return {"iterations": marks.tolist(), "lines": lines}


def optimum(cost: FloatArray, planes: Planes) -> float:
    """Return ``min cost.x`` over the simplexes subject to the planes."""
    rows = np.zeros((len(planes), WORKERS + 1, SHAPE.positions, SHAPE.words))
    for plane, position in enumerate(planes.position):
        rows[plane, :-1, position] = planes.a[plane]
        rows[plane, -1, position] = planes.b[plane]
    bounds = -(planes.c + planes.shares.sum(axis=1))
    return _solve(cost, rows.reshape(len(planes), cost.size), bounds)


def true_optimum(cost: FloatArray, phi: FloatArray, eps: float) -> float:
    """Return ``min cost.x`` subject to ``h_i(x) <= eps``, |x - phi| as extra variables."""
    eye = np.eye(cost.size)
    budgets = np.zeros((SHAPE.positions, WORKERS + 1, SHAPE.positions, SHAPE.words))
    for position in range(SHAPE.positions):
        budgets[position, :, position] = 1.0
    sums = budgets.reshape(SHAPE.positions, cost.size)
    rows = np.block([[eye, -eye], [-eye, -eye], [np.zeros_like(sums), sums]])
    bounds = np.concatenate([phi, -phi, np.full(SHAPE.positions, eps)])
    return _solve(np.concatenate([cost, np.zeros(cost.size)]), rows, bounds)


def _solve(cost: FloatArray, rows: FloatArray, bounds: FloatArray) -> float:
    size = (WORKERS + 1) * SHAPE.positions * SHAPE.words
    sums = np.kron(np.eye(size // SHAPE.words), np.ones(SHAPE.words))
    sums = np.hstack([sums, np.zeros((len(sums), cost.size - size))])
    return float(linprog(cost, A_ub=rows, b_ub=bounds, A_eq=sums, b_eq=np.ones(len(sums))).fun)


def random_point(rng: np.random.Generator) -> FloatArray:
    """Return (W + 1, M, N): random policies and, last, a consensus."""
    rows = (WORKERS + 1) * SHAPE.positions
    return project_rows(1.5 * rng.random((rows, SHAPE.words))).reshape(
        -1, SHAPE.positions, SHAPE.words
    )


def first_theorem(problems: int, rounds: int = 40, eps: float = 0.5) -> dict[str, Any]:
    """Cut off random points and solve the planes' problem after every round."""
    lines = []
    for seed in range(problems):
        rng = np.random.default_rng(seed)
        cost, phi = rng.normal(size=random_point(rng).size), random_point(rng)
        planes = Planes.empty(SHAPE.positions, SHAPE.words, WORKERS)
        values = [optimum(cost, planes)]
        for _ in range(rounds):
            x0 = random_point(rng)
            planes = add_planes(planes, x0[:-1], x0[-1], phi[:-1], phi[-1], eps)
            values.append(optimum(cost, planes))
        bound = true_optimum(cost, phi.ravel(), eps)
        print(
            f"Theorem 1, problem {seed}: smallest rise {np.diff(values).min():.1e},"
            f" from {values[0]:.3f} to {values[-1]:.3f}, bound {bound:.3f}"
        )
        lines.append({"values": values, "bound": bound})
    return {"rounds": rounds, "lines": lines}


def draw(record: dict[str, Any], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams.update({"svg.hashsalt": "asyndbt", "font.size": 9})
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for line in record["theorem_1"]["lines"]:
        heights = np.array(line["values"]) - line["values"][0]
        heights /= line["bound"] - line["values"][0]
        left.step(range(len(heights)), heights, where="post", color="#1b6ca8", alpha=0.7)
    left.set_xlabel("rounds of cuts")
    left.axhline(1.0, color="black", ls=":")
    left.set_ylabel("from no planes (0) to the true optimum (1)")
    left.set_title("Theorem 1: the planes' optimum never falls")

    marks = np.array(record["theorem_2"]["iterations"])
    for run, line in zip(RUNS, record["theorem_2"]["lines"], strict=True):
        for index, curve in enumerate(line["curves"]):
            slope = round(float(np.median(line["slopes"])), 2) + 0.0
            label = f"{run.label} (slope {slope})" if not index else None
            right.loglog(marks, np.maximum(curve, 1e-30), color=run.colour, lw=1, label=label)
    right.loglog(marks, 3 * marks**-0.5, color="black", ls=":", label="T^(-1/2)")
    right.set_ylim(1e-8, 1e2)  # constant weights may hit a solution exactly, and leave the picture
    right.set_xlabel("server iterations T")
    right.set_ylabel("smallest squared stationarity gap")
    right.set_title("Theorem 2: the gap against T")
    right.legend(fontsize=7, frameon=False, loc="lower left")
    for axis in (left, right):
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--iterations", type=int, default=10_000)
    parser.add_argument("--problems", type=int, default=4)
    given = parser.parse_args()
    record = {
        "theorem_1": first_theorem(given.problems),
        "theorem_2": second_theorem(given.iterations, given.problems),
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "theory.json").write_text(json.dumps(record, indent=1) + "\n")
    draw(record, RESULTS / "theory.svg")


if __name__ == "__main__":
    main()
