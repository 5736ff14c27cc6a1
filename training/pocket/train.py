"""Train the pocket model and export its weights: one seeded command, unattended.

From the root of the repository, with torch 2.13 and NumPy installed:

    PYTHONPATH=src python -m training.pocket.train

It takes half an hour on two CPU cores and overwrites ``src/asyndbt/pocket/weights.npz`` (also at
every probe, so that the file can be used early).  The training goes through three phases; a phase
ends when its probes reach the gate, or at its cap.  Everything is counted in steps: the result
depends on the seed and the number of workers alone, unless the safety limit ``--max-minutes`` cuts
the run.  Workers are single-threaded processes that average their gradients.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path
from random import Random
from typing import Final

import torch
import torch.distributed as dist
from torch import nn
from torch.multiprocessing.spawn import spawn

from asyndbt.pocket import vocabulary

from .episodes import Episode, make_episode
from .export import export
from .losses import Batch, ReadOuts, Weights, collate, losses
from .network import PocketNetwork, Shape
from .phases import PHASES, Phase
from .probes import PROBES, draw_probe, run_probe

WEIGHTS_FILE: Final = Path(__file__).parents[2] / "src/asyndbt/pocket/weights.npz"
STEPS: Final = 9000
TOKENS: Final = 2048
"""Tokens per worker and step, padding included."""
POOL: Final = 2
"""Episodes are cut from a sorted pool of so many batches, which leaves little padding."""
MIN_ROWS: Final = 4
PROBE_EVERY: Final = 250
WARM_UP: Final = 100
DECAY_SHARE: Final = 0.4
MATRIX_RATE: Final = 0.006
OTHER_RATE: Final = 0.004
COPIER_HEAD: Final = (2, 0)


def draw_batch(rng: Random, phase: Phase) -> Batch:
    """Episodes of one recipe and similar length, about `TOKENS` tokens with the padding."""
    recipes = [recipe for _, recipe in phase.mixture]
    recipe = rng.choices(recipes, [share for share, _ in phase.mixture])[0]
    shots = rng.choice(recipe.shots)
    pool: list[Episode] = []
    while sum(len(episode.ids) for episode in pool) < POOL * TOKENS:
        pool.append(make_episode(rng, recipe, shots))
    pool.sort(key=lambda episode: len(episode.ids))
    end = rng.randrange(1, len(pool) + 1)
    rows = max(MIN_ROWS, TOKENS // len(pool[end - 1].ids))
    start = max(0, end - rows)
    return collate(pool[start : start + rows])


def rate_scale(step: int, steps: int) -> float:
    """Warm-up, then flat, then a linear decay over the last part of the run."""
    decay = (steps - step) / (DECAY_SHARE * steps)
    return min(1.0, (step + 1) / WARM_UP) * min(1.0, max(0.02, decay))


def make_optimizers(network: PocketNetwork, read_outs: ReadOuts) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the blocks, AdamW for everything else."""
    matrices = [
        value
        for name, value in network.blocks.named_parameters()
        if value.ndim == 2 and "convolution" not in name
    ]
    taken = {id(value) for value in matrices}
    others = [value for value in network.parameters() if id(value) not in taken]
    return [
        torch.optim.Muon(matrices, lr=MATRIX_RATE, momentum=0.95, weight_decay=0.01),
        torch.optim.AdamW(
            [*others, *read_outs.parameters()], lr=OTHER_RATE, betas=(0.9, 0.98), weight_decay=0.0
        ),
    ]


def average_gradients(parameters: list[nn.Parameter]) -> None:
    """Average the gradients of all workers with one flat reduction."""
    flat = torch.cat(
        [(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in parameters]
    )
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    start = 0
    for parameter in parameters:
        parameter.grad = flat[start : start + parameter.numel()].view_as(parameter)
        start += parameter.numel()


class Trainer:
    """One worker of the training; worker 0 reports and exports."""

    def __init__(self, rank: int, args: argparse.Namespace) -> None:
        self.rank, self.args = rank, args
        torch.manual_seed(args.seed)
        self.network = PocketNetwork(Shape(len(vocabulary())))
        self.network.start_copier(*COPIER_HEAD)
        self.read_outs = ReadOuts(self.network.shape.width)
        torch.manual_seed(1000 * args.seed + rank + 1)
        self.rng = Random(f"episodes {args.seed} {rank}")
        self.parameters = [*self.network.parameters(), *self.read_outs.parameters()]
        self.optimizers = make_optimizers(self.network, self.read_outs)
        self.base_rates = [optimizer.param_groups[0]["lr"] for optimizer in self.optimizers]
        self.probes = {name: draw_probe(name) for name in PROBES}
        self.means: dict[str, float] = {}
        self.tokens = 0
        self.started = time.monotonic()

    def run(self) -> None:
        """All phases; stops early when the launcher is gone or the time limit is reached."""
        launcher, phase, phase_start = os.getppid(), 0, 0
        for step in range(self.args.steps):
            if os.getppid() != launcher:
                return
            self.step(step, PHASES[phase])
            if (step + 1) % PROBE_EVERY:
                continue
            probes = self.run_probes()
            self.report(step + 1, PHASES[phase].name, probes)
            reached = all(probes[name] >= value for name, value in PHASES[phase].gate.items())
            over = reached or step + 1 - phase_start >= PHASES[phase].cap
            if over and phase + 1 < len(PHASES):
                phase, phase_start = phase + 1, step + 1
            if self.out_of_time():
                break

    def step(self, step: int, phase: Phase) -> None:
        """One update of the weights."""
        for optimizer, rate in zip(self.optimizers, self.base_rates, strict=True):
            optimizer.param_groups[0]["lr"] = rate * rate_scale(step, self.args.steps)
        batch = draw_batch(self.rng, phase)
        terms, right = losses(self.network, self.read_outs, batch, Weights())
        torch.stack(list(terms.values())).sum().backward()  # type: ignore[no-untyped-call]
        average_gradients(self.parameters)
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.tokens += batch.ids.numel() * self.args.workers
        values = {name: term.item() for name, term in terms.items()}
        if right == right:
            values["right"] = right
        for name, value in values.items():
            self.means[name] = 0.98 * self.means.get(name, value) + 0.02 * value

    def run_probes(self) -> dict[str, float]:
        """Each worker answers a share of the probes; all get all results, so gates agree."""
        results = torch.zeros(len(self.probes))
        for index, questions in enumerate(self.probes.values()):
            if index % self.args.workers == self.rank:
                results[index] = run_probe(self.network, questions)
        dist.all_reduce(results)
        return dict(zip(self.probes, results.tolist(), strict=True))

    def report(self, step: int, phase: str, probes: dict[str, float]) -> None:
        """Print the state of the run and export the weights (worker 0 only)."""
        if self.rank:
            return
        seconds = time.monotonic() - self.started
        head = f"{seconds:5.0f}s step {step} {phase} {self.tokens / 1e6:.1f}M tokens"
        means = " ".join(f"{name} {value:.3f}" for name, value in self.means.items())
        shares = " ".join(f"{name} {100 * value:.0f}" for name, value in probes.items())
        print(f"{head} | {shares} | {means}", flush=True)
        export(self.network, self.args.out)

    def out_of_time(self) -> bool:
        """Whether any worker has reached the safety limit."""
        late = torch.tensor(float(time.monotonic() - self.started > 60 * self.args.max_minutes))
        dist.all_reduce(late)
        if late.item() and self.rank == 0:
            print("time limit: the run is cut and will not repeat exactly", flush=True)
        return bool(late.item())


def worker(rank: int, args: argparse.Namespace, rendezvous: str) -> None:
    """Entry of a worker process."""
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=args.workers
    )
    Trainer(rank, args).run()
    dist.destroy_process_group()


def main() -> None:
    """Read the command line, start the workers and wait for them."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--max-minutes", type=float, default=90)
    parser.add_argument("--out", type=Path, default=WEIGHTS_FILE)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        spawn(worker, (args, str(Path(folder) / "rendezvous")), nprocs=args.workers)


if __name__ == "__main__":
    main()
