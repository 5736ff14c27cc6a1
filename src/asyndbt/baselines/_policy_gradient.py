"""Rounds of BDPL at several sites, shared by BDPL, FedOne and federated averaging.

BDPL: Diao et al., "Black-box prompt learning for pre-trained language models", TMLR 2023, arXiv
2201.08531: a categorical distribution of words at every position of the fragment, moved by a policy
gradient with a variance-reduced estimator (`asyndbt.optim` has it as ``reinforce``). No
demonstrations are shown.

In a round the active sites start from the server's policy, take local steps, and send their policy
back; the server takes the mean. With one site this is BDPL. At the end the read-outs of the last
policy and of earlier ones are compared on the sites' validation data, as in AsynDBT.

Departures: a round's mean needs no projection, since the simplex is convex. Adam's moments stay at
their site from round to round. BDPL takes the loss of a softmax of probabilities; here it is
``method.loss``, as for all methods. A configuration whose estimator is ``reinforce`` (preset
"paper") gives the step sizes; otherwise `STEP` does: a probability moves about 1e-2 a step instead
of 1e-4, so that it converges within a few thousand calls. On demo tasks with rows of another
generator seed, also used to choose this project's own settings, BDPL and FedOne did no better with
3e-2 or 1e-1.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from asyndbt.baselines._base import BaselineSite, TuningOutcome
from asyndbt.baselines._predictors import FixedPrompt
from asyndbt.federation import (
    Confirm,
    ConfirmDone,
    EarlyStopping,
    FragmentSelection,
    Plan,
    Step,
    StepDone,
    Worker,
)
from asyndbt.optim import FloatArray, IntArray, Reinforce, uniform_rows

STEP: Mapping[str, Any] = {
    "estimator": Reinforce.name,
    "exchange": "policies",
    "step": "adam",
    "eta_p": 0.01,
}
"""Settings for configurations with another estimator."""

_IDLE = 100
"""Rounds in a row without a new request, after which the policy counts as converged."""

Active = Callable[[int, Sequence[str]], Sequence[str]]
"""Chooses the sites of a round, by its number and the sites that can pay for a step."""


async def learn_fragment(
    sites: Mapping[str, BaselineSite], active: Active, local_steps: int = 1
) -> tuple[IntArray, int]:
    """Tune a fragment for these sites with their whole budgets for tuning.

    `active` chooses one or more sites in a round, which take `local_steps` steps each. Returns the
    fragment's (M,) indices into the vocabulary and the number of rounds.
    """
    plan = _plan(sites, local_steps)
    workers = {
        name: Worker(name, plan, site.objective.without_demonstrations(), site.seed)
        for name, site in sites.items()
    }
    candidates = FragmentSelection(max(1, plan.confirm_candidates))
    stopping = EarlyStopping(plan.patience)
    z, rounds, idle = uniform_rows(plan.positions, plan.words), 0, 0
    while idle < _IDLE and (able := [name for name, w in workers.items() if _able(w)]):
        rounds += 1
        before = _calls(workers)
        names = active(rounds, able)
        reports = await asyncio.gather(*(_step(workers[name], z, rounds) for name in names))
        z = np.mean([report.p for report in reports], axis=0)
        candidates.note(plan.fragment(z))
        for name, report in zip(names, reports, strict=True):
            loss = report.loss if report.answered else None
            sites[name].note(rounds, loss, report.validation)
            stopping.note(name, report.validation)
        if stopping.due(able):
            break
        idle = idle + 1 if _calls(workers) == before else 0
        await asyncio.sleep(0)  # federations of one site each take turns
    candidates.close([plan.fragment(z)])
    await asyncio.gather(*(_confirm(worker, candidates, rounds + 1) for worker in workers.values()))
    candidates.choose(list(workers))
    return candidates.best(), rounds


async def shared_fragment(
    sites: Mapping[str, BaselineSite], active: Active, local_steps: int = 1
) -> TuningOutcome:
    """Tune one fragment for all sites; see `learn_fragment`."""
    fragment, rounds = await learn_fragment(sites, active, local_steps)
    predictors = {
        name: FixedPrompt.of_words(site.prompts, fragment) for name, site in sites.items()
    }
    words = next(iter(sites.values())).prompts.fragment(fragment)
    return TuningOutcome(predictors, rounds, words)


def _plan(sites: Mapping[str, BaselineSite], local_steps: int) -> Plan:
    """Return AsynDBT's plan for these sites without consensus, and with BDPL's estimator."""
    first = next(iter(sites.values()))
    plan, settings = first.plan, first.plan.settings
    if settings.estimator != Reinforce.name:
        settings = settings.replace(**STEP)
    step = settings.draws * (first.objective.content_free + settings.batch_size)
    steps = min(site.allowance for site in sites.values()) // step
    looks = min(site.objective.validations_left for site in sites.values())
    return replace(
        plan,
        sites=tuple(sites),
        settings=settings.replace(distinct_words=False),
        consensus=False,
        local_steps=local_steps,
        confirm_candidates=looks - plan.validations,
        validate_every=max(1, steps // (plan.validations + 1)),
    )


def _able(worker: Worker) -> bool:
    """Whether a site can pay for another step, and the plan allows it."""
    most = worker.plan.iterations * worker.plan.local_steps
    return worker.learner.affords_step and worker.learner.steps < most


def _calls(workers: Mapping[str, Worker]) -> int:
    return sum(worker.objective.spent().calls for worker in workers.values())


async def _step(worker: Worker, z: FloatArray, number: int) -> StepDone:
    """Start a site from the server's policy."""
    worker.learner.p = z.copy()
    pull, local_steps = np.zeros_like(z), worker.plan.local_steps
    step = Step(
        site=worker.site, id=number, iteration=number, z=z, pull=pull, local_steps=local_steps
    )
    report = await worker.handle(step)
    assert isinstance(report, StepDone)
    return report


async def _confirm(worker: Worker, candidates: FragmentSelection, number: int) -> None:
    table = candidates.table(worker.plan.positions)
    report = await worker.handle(
        Confirm(site=worker.site, id=number, iteration=number, candidates=table)
    )
    assert isinstance(report, ConfirmDone)
    candidates.record(worker.site, report.losses, report.n)
