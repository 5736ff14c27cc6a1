"""One site's policies and their steps: draws, an estimate of the gradient, an update.

All draws follow from the seed, the site's name and the number of steps taken, so that a restored
learner continues bit for bit.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asyndbt.errors import BudgetError
from asyndbt.federation._plan import Plan
from asyndbt.federation._shares import DrawShares
from asyndbt.optim import (
    NO_WORD,
    Effects,
    Evaluations,
    FloatArray,
    Gradient,
    IntArray,
    initial_optimizer_state,
    lower_worker_step,
    make_estimator,
    step_start,
    uniform_rows,
    worker_step,
)
from asyndbt.scoring import Objective

_LEAST = 1e-300


class Learner:
    """One site's fragment policy p and demonstration policy q, and what updates them.

    In a federation it also learns a fragment policy of its own that never sees the consensus, from
    the same answers and from draws of its own, so that what a site proposes at the end is free of
    what other sites say.

    Parameters
    ----------
    site : str
    plan : Plan
    objective : Objective
    seed : int
    """

    def __init__(self, site: str, plan: Plan, objective: Objective, seed: int) -> None:
        self._plan, self._objective = plan, objective
        self._entropy = [seed, zlib.crc32(site.encode())]
        self._estimator = make_estimator(plan.settings)
        shape = objective.shape
        self.p = uniform_rows(shape.positions, shape.words)
        self.q = uniform_rows(shape.slots, shape.candidates)
        self.own = self.p
        self._shares = DrawShares(plan.settings.draws, plan.settings.own_draws)
        self.steps = 0
        self._memory: Mapping[str, NDArray[Any]] = self._estimator.initial(shape)
        self._optimizer = initial_optimizer_state(self.p, self.q, plan.settings)

    @property
    def affords_step(self) -> bool:
        """Whether the budget for tuning covers another step."""
        settings = self._plan.settings
        return self._objective.affords_step(settings.draws, settings.batch_size)

    @property
    def effects(self) -> Effects:
        """What the site's own answers say of words, if sites exchange that."""
        if not self._plan.effects:
            return Effects.none()
        return self._estimator.word_effects(self._memory)

    async def step(
        self,
        z: FloatArray,
        pull: FloatArray,
        *,
        first: bool = True,
        others: Effects | None = None,
    ) -> list[float]:
        """Draw, ask, estimate and step; return the losses of the requests that were answered.

        Parameters
        ----------
        z, pull : FloatArray
            (M, N) consensus, and the slope of multipliers and planes at this site.
        first : bool
            Whether it is the first step after a message of the server, which starts from the mix of
            p and z; the others go on from p. Words are drawn and the gradient is taken there.
        others : Effects or None
            What the answers of other sites say of words: the prior of the gradient in p, and in
            nothing else.

        Raises
        ------
        BudgetError
            If the budget ends before all draws are evaluated.
        """
        settings, consensus = self._plan.settings, self._plan.consensus and self._plan.positions > 0
        start = step_start(self.p, z, settings) if consensus and first else self.p
        empty = self._shares.empty if self._tries_empty else 0
        apart = self._shares.own(settings.draws - empty) if self._learns_apart else 0
        evaluations = await self._evaluations(self._memory, start, self.q, "draws", apart, empty)
        self._memory = self._estimator.update(self._memory, evaluations)
        self._shares.note(evaluations.losses, apart, empty)
        gradient = self._estimator.gradient(self._memory, start, self.q)
        if others is not None:
            informed = self._estimator.informed(self._memory, others)
            gradient = Gradient(self._estimator.gradient(informed, start, self.q).p, gradient.q)
        self.p, self.q, self._optimizer = worker_step(
            self.p,
            self.q,
            gradient,
            pull if consensus else None,
            z if consensus else None,
            settings,
            self._optimizer,
            start,
        )
        if self._learns_apart:
            slopes = self._estimator.gradient(self._memory, self.own, self.q)
            self.own, _, _ = worker_step(self.own, self.q, slopes, None, None, settings, {})
        else:
            self.own = self.p
        self.steps += 1
        answered: list[float] = evaluations.losses[np.isfinite(evaluations.losses)].tolist()
        return answered

    @property
    def _learns_apart(self) -> bool:
        """Whether `own` is a policy of its own: it costs draws, and gradients off the draws."""
        settings = self._plan.settings
        return (
            self._plan.consensus
            and self._plan.positions > 0
            and settings.own_draws > 0
            and settings.step != "adam"
            and not self._estimator.needs_fresh_draws
        )

    @property
    def _tries_empty(self) -> bool:
        """Whether some draws have no fragment: an estimator has to tell them from others."""
        settings = self._plan.settings
        needed = self._plan.positions > 0 and not self._estimator.needs_fresh_draws
        return needed and settings.empty_fragment

    @property
    def proposal(self) -> IntArray:
        """The fragment (M,) that the site proposes: its own read-out, or none if that is better."""
        own = self._plan.fragment(self.own)
        if not self._tries_empty:
            return own
        empty = np.full_like(own, NO_WORD)
        shown = Plan.demonstrations(self.q)
        expected = self.expected_losses([(own, shown), (empty, shown)])
        return own if expected is None or expected[0] <= expected[1] else empty

    def expected_losses(self, prompts: Sequence[tuple[IntArray, IntArray]]) -> FloatArray | None:
        """Return the losses (C,) to expect of prompts, (M,) and (U,), after all answers so far."""
        words, demonstrations = (np.array(part) for part in zip(*prompts, strict=True))
        return self._estimator.predict(self._memory, words, demonstrations)

    def likeliest_demonstrations(self, words: IntArray, count: int) -> list[IntArray]:
        """Return up to `count` candidates of the slots (U,), best first, beside these words (M,).

        What a slot's candidate does is taken as the same whatever the other slots have.
        """
        if self._estimator.needs_fresh_draws:
            effects = -np.log(np.maximum(self.q, _LEAST))
        else:
            entries = np.eye(self._plan.words + 1, self._plan.words)  # the last row: `NO_WORD`
            held = entries[words] if self._plan.positions else self.p
            effects = self._estimator.gradient(self._memory, held, self.q).q
        best: list[tuple[float, list[int]]] = [(0.0, [])]
        for row in effects:
            order = np.argsort(row, kind="stable")[:count].tolist()
            longer = [(sum_ + row[k], [*chosen, k]) for sum_, chosen in best for k in order]
            best = sorted(longer, key=lambda option: option[0])[:count]
        return [np.array(chosen, dtype=np.int64) for _, chosen in best]

    async def lower_step(
        self, point: FloatArray, z: FloatArray, rho: FloatArray, number: int
    ) -> FloatArray:
        """Return a step from `point` in the lower level, q held at its read-out (method section 4).

        The learner itself is unchanged.

        Parameters
        ----------
        point, z, rho : FloatArray
            (M, N) this site's lower-level policy, the consensus and the multiplier.
        number : int
            Of the round; it seeds the draws, if the estimator needs fresh ones.
        """
        held = np.eye(self.q.shape[1])[Plan.demonstrations(self.q)] if len(self.q) else self.q
        settings, memory = self._plan.settings, self._memory
        if self._estimator.needs_fresh_draws:
            memory = self._estimator.initial(self._objective.shape)
            if self.affords_step:
                with suppress(BudgetError):
                    drawn = await self._evaluations(memory, point, held, f"lower {number}")
                    memory = self._estimator.update(memory, drawn)
        gradient = self._estimator.gradient(memory, point, held)
        return lower_worker_step(point, gradient.p, rho, z, settings)

    def rng(self, purpose: str, number: int | None = None) -> np.random.Generator:
        """Return a generator for a purpose and a number (by default that of the step)."""
        count = self.steps if number is None else number
        return np.random.default_rng([*self._entropy, zlib.crc32(purpose.encode()), count])

    # ------------------------------------------------------------------ draws
    async def _evaluations(
        self,
        memory: Mapping[str, NDArray[Any]],
        p: FloatArray,
        q: FloatArray,
        purpose: str,
        apart: int = 0,
        empty: int = 0,
    ) -> Evaluations:
        """Draw and ask: words are drawn from p, then from `own`, and the last draws have none."""
        settings, rng = self._plan.settings, self.rng(purpose)
        drawn = [self._estimator.draw(memory, p, q, settings.draws - apart - empty, rng)]
        if apart:
            drawn.append(self._estimator.draw(memory, self.own, q, apart, rng))
        if empty:
            words, demonstrations = self._estimator.draw(memory, p, q, empty, rng)
            drawn.append((np.full_like(words, NO_WORD), demonstrations))
        words, demonstrations = (np.concatenate(parts) for parts in zip(*drawn, strict=True))
        queries = self._minibatch()
        losses = await self._objective.losses(words, demonstrations, queries)
        return Evaluations(words, demonstrations, queries, losses)

    def _minibatch(self) -> IntArray:
        """Return (B,) next queries of endless shuffled passes over the training data."""
        size, count = self._plan.settings.batch_size, self._objective.counts[0]
        positions = np.arange(self.steps * size, (self.steps + 1) * size)
        orders = {
            epoch: np.random.default_rng([*self._entropy, 7, epoch]).permutation(count)
            for epoch in np.unique(positions // count)
        }
        return np.array([orders[k // count][k % count] for k in positions], dtype=np.int64)

    # ------------------------------------------------------------------ checkpoints
    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return everything but the count of steps, by name."""
        arrays: dict[str, NDArray[Any]] = {
            "p": self.p,
            "q": self.q,
            "own": self.own,
            "shares": self._shares.sums,
        }
        arrays |= {f"memory.{name}": array for name, array in self._memory.items()}
        arrays |= {f"optimizer.{name}": array for name, array in self._optimizer.items()}
        return arrays

    def restore(self, steps: int, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Restore a count of steps and what `arrays` returned; other names are ignored."""
        self.steps = steps
        self.p, self.q, self.own = arrays["p"], arrays["q"], arrays["own"]
        self._shares.sums = arrays["shares"]
        self._memory = _with_prefix(arrays, "memory.")
        self._optimizer = _with_prefix(arrays, "optimizer.")


def _with_prefix(arrays: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    return {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }
