"""The worker: one site's policies, its estimator, and the work that it is asked to do.

Its fragment policy p goes to the coordinator; its demonstration policy q, its draws and its data
stay here. A worker is told what to do by messages and answers by messages; who carries them is an
engine's business. After each piece of work its state holds the answer too, so that the same piece
asked again (after a crash on either side) is answered again and not done again.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asyndbt.errors import BudgetError
from asyndbt.federation.codec import pack, unpack
from asyndbt.federation.messages import (
    Assignment,
    Confirm,
    ConfirmDone,
    Evaluate,
    EvaluateDone,
    Join,
    LowerDone,
    LowerRound,
    Report,
    Score,
    Step,
    StepDone,
    decode,
    encode,
)
from asyndbt.federation.objective import Objective
from asyndbt.federation.plan import Plan
from asyndbt.optim import (
    Evaluations,
    FloatArray,
    IntArray,
    initial_optimizer_state,
    lower_worker_step,
    make_estimator,
    read_out,
    row_entropies,
    sample_rows,
    uniform_rows,
    worker_step,
)

__all__ = ["Worker"]


class Worker:
    """One site's part of the method.

    Parameters
    ----------
    site : str
    plan : Plan
    objective : Objective
    seed : int
        All of the worker's draws follow from the seed, the site's name and its step count.
    """

    def __init__(self, site: str, plan: Plan, objective: Objective, seed: int) -> None:
        self.site, self.plan, self.objective = site, plan, objective
        self._entropy = [seed, zlib.crc32(site.encode())]
        self._estimator = make_estimator(plan.settings)
        shape = objective.shape
        self.p = uniform_rows(shape.positions, shape.words)
        self.q = uniform_rows(shape.slots, shape.candidates)
        self._memory: Mapping[str, NDArray[Any]] = self._estimator.initial(shape)
        self._optimizer = initial_optimizer_state(self.p, self.q, plan.settings)
        self._steps = 0
        self._settled: IntArray | None = None
        self._answered: Report | None = None

    def join(self) -> Join:
        """Offer the site to the coordinator."""
        train, validation, test = self.objective.counts
        return Join(
            site=self.site,
            positions=self.plan.positions,
            words=self.plan.words,
            agreement=self.plan.agreement,
            train=train,
            validation=validation,
            test=test,
        )

    async def handle(self, assignment: Assignment) -> Report:
        """Do a piece of work, or repeat the answer if it was done before."""
        if self._answered is None or self._answered.id != assignment.id:
            match assignment:
                case Step():
                    self._answered = await self._step(assignment)
                case LowerRound():
                    self._answered = await self._lower(assignment)
                case Confirm():
                    self._answered = await self._confirm(assignment)
                case Evaluate():
                    self._answered = await self._evaluate(assignment)
                case _:
                    raise TypeError(f"no worker does {type(assignment).__name__}")
        return self._answered

    @property
    def steps(self) -> int:
        """Local steps taken so far."""
        return self._steps

    @property
    def affords_step(self) -> bool:
        """Whether the budget for tuning covers another local step."""
        settings = self.plan.settings
        return self.objective.affords_step(settings.draws * settings.batch_size)

    @property
    def demonstrations(self) -> IntArray:
        """Candidate chosen in every slot (U,): settled on validation data, else q's read-out."""
        return read_out(self.q) if self._settled is None else self._settled

    # ------------------------------------------------------------------ work
    async def _step(self, work: Step) -> StepDone:
        before = self._steps
        answered: list[float] = []
        exhausted = False
        for _ in range(work.local_steps):
            exhausted = exhausted or not self.affords_step
            if exhausted:
                break
            try:
                answered += await self._local_step(work)
            except BudgetError:
                exhausted = True
        validation = Score()
        if self._validation_due(before):
            validation = await self.objective.validate(
                self.plan.fragment(work.z if self.plan.consensus else self.p), read_out(self.q)
            )
        entropies = row_entropies(self.q)
        return StepDone(
            site=self.site,
            id=work.id,
            spent=self.objective.spent(),
            p=self.p,
            loss=float(np.mean(answered)) if answered else 0.0,
            answered=len(answered),
            entropy_q=float(entropies.mean()) if entropies.size else 0.0,
            entropy_q_max=float(entropies.max(initial=0.0)),
            exhausted=exhausted or not self.affords_step,
            validation=validation,
        )

    async def _local_step(self, work: Step) -> list[float]:
        """Draw, ask, estimate, move; the losses of the requests that were answered."""
        evaluations = await self._evaluations(self.p, self.q, "draws")
        self._memory = self._estimator.update(self._memory, evaluations)
        gradient = self._estimator.gradient(self._memory, self.p, self.q)
        consensus = self.plan.consensus and self.plan.positions > 0
        self.p, self.q, self._optimizer = worker_step(
            self.p,
            self.q,
            gradient,
            work.pull if consensus else None,
            work.z if consensus else None,
            self.plan.settings,
            self._optimizer,
        )
        self._steps += 1
        answered: list[float] = evaluations.losses[np.isfinite(evaluations.losses)].tolist()
        return answered

    async def _lower(self, work: LowerRound) -> LowerDone:
        """One lower-level round: q held at its read-out (method section 4)."""
        held = np.eye(self.q.shape[1])[read_out(self.q)] if len(self.q) else self.q
        settings, memory = self.plan.settings, self._memory
        if settings.estimator == "reinforce":
            # Its draws must come from this very point: without new ones there is no estimate.
            memory = self._estimator.initial(self.objective.shape)
            if self.affords_step:
                with suppress(BudgetError):
                    drawn = await self._evaluations(work.point, held, f"lower {work.id}")
                    memory = self._estimator.update(memory, drawn)
        gradient = self._estimator.gradient(memory, work.point, held)
        p = lower_worker_step(work.point, gradient.p, work.rho, work.z, self.plan.settings)
        return LowerDone(site=self.site, id=work.id, spent=self.objective.spent(), p=p)

    async def _confirm(self, work: Confirm) -> ConfirmDone:
        chosen = read_out(self.q)
        scores = [await self.objective.validate(words, chosen) for words in work.candidates]
        return ConfirmDone(
            site=self.site,
            id=work.id,
            spent=self.objective.spent(),
            losses=np.array([score.loss for score in scores], dtype=np.float64),
            n=min(score.n for score in scores),
        )

    async def _evaluate(self, work: Evaluate) -> EvaluateDone:
        """Settle the demonstrations on validation data, then look at the test split once."""
        options = self._demonstration_options()
        scores = [await self.objective.validate(work.fragment, option) for option in options]
        best = min(range(len(options)), key=lambda k: (not scores[k].n, scores[k].loss, k))
        self._settled = options[best]
        result = await self.objective.test(work.fragment, self._settled, self._rng("test", 0))
        return EvaluateDone(
            site=self.site,
            id=work.id,
            spent=self.objective.spent(),
            plain=result.plain,
            random_icl=result.random_icl,
            tuned=result.tuned,
            validation=scores[best],
        )

    # ------------------------------------------------------------------ helpers
    async def _evaluations(self, p: FloatArray, q: FloatArray, purpose: str) -> Evaluations:
        settings, rng = self.plan.settings, self._rng(purpose)
        words = sample_rows(p, settings.draws, rng)
        demonstrations = sample_rows(q, settings.draws, rng)
        queries = self._minibatch()
        losses = await self.objective.losses(words, demonstrations, queries)
        return Evaluations(words, demonstrations, queries, losses)

    def _minibatch(self) -> IntArray:
        """Next queries of an endless shuffled pass over the training data."""
        size, count = self.plan.settings.batch_size, self.objective.counts[0]
        positions = np.arange(self._steps * size, (self._steps + 1) * size)
        orders = {
            epoch: np.random.default_rng([*self._entropy, 7, epoch]).permutation(count)
            for epoch in np.unique(positions // count)
        }
        return np.array([orders[k // count][k % count] for k in positions], dtype=np.int64)

    def _rng(self, purpose: str, number: int | None = None) -> np.random.Generator:
        """Draws of their own for a purpose and a number, which is that of the step if left out."""
        count = self._steps if number is None else number
        return np.random.default_rng([*self._entropy, zlib.crc32(purpose.encode()), count])

    def _validation_due(self, before: int) -> bool:
        """Whether a look falls due in the steps since `before`; those of the end stay paid for."""
        every = self.plan.validate_every
        return bool(every) and before // every < min(self._steps // every, self.plan.looks)

    def _demonstration_options(self) -> list[IntArray]:
        """The read-out of q, and that with its least certain slots at their second choice."""
        best = read_out(self.q)
        options = [best]
        if not len(self.q):
            return options
        order = np.argsort(-self.q, axis=1, kind="stable")
        margin = np.take_along_axis(self.q, order[:, :2], axis=1) @ np.array([1.0, -1.0])
        for slot in np.argsort(margin, kind="stable")[: self.plan.confirm_candidates - 1]:
            option = best.copy()
            option[slot] = order[slot, 1]
            options.append(option)
        return options

    # ------------------------------------------------------------------ checkpoints
    def state(self) -> bytes:
        """Everything needed to go on exactly here."""
        arrays: dict[str, NDArray[Any]] = {"p": self.p, "q": self.q}
        arrays |= {f"memory.{name}": array for name, array in self._memory.items()}
        arrays |= {f"optimizer.{name}": array for name, array in self._optimizer.items()}
        if self._answered is not None:
            arrays["answered"] = np.frombuffer(encode(self._answered), dtype=np.int8)
        if self._settled is not None:
            arrays["settled"] = self._settled
        return pack({"steps": self._steps, "objective": self.objective.state()}, arrays)

    def restore(self, data: bytes) -> None:
        """Take over what `state` wrote."""
        fields, arrays = unpack(data)
        self._steps = fields["steps"]
        self.objective.restore(fields["objective"])
        self.p, self.q = arrays["p"], arrays["q"]
        self._memory = _with_prefix(arrays, "memory.")
        self._optimizer = _with_prefix(arrays, "optimizer.")
        self._settled = arrays.get("settled")
        if "answered" in arrays:
            answered = decode(arrays["answered"].tobytes())
            assert isinstance(answered, Report)
            self._answered = answered

    def reopen(self) -> None:
        """Get ready to tune further after an end that was not the last."""
        self._settled = None
        self.objective.reopen()


def _with_prefix(arrays: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    return {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }
