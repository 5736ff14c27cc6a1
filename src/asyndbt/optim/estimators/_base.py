"""The interface of gradient estimators, and the look-up of estimators by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cache
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from asyndbt._plugins import find_plugins
from asyndbt._section import Section
from asyndbt.errors import ConfigError
from asyndbt.optim._simplex import sample_rows
from asyndbt.optim._types import Arrays, Effects, Evaluations, FloatArray, Gradient, IntArray, Shape

EstimatorState = dict[str, NDArray[np.generic]]
"""Arrays only, for checkpoints."""


class Estimator(ABC):
    """Estimate the gradients of the expected loss over p and q from evaluated prompts.

    For independent categorical rows the exact gradient is the main effect
    ``d/dp_ij E[L] = E[L | J_i = j]``; estimates hold up to one constant per row, which does not
    matter on the simplex.

    An estimator holds only `options`, an instance of its `Options`. What it learns is in a state
    that is passed in and never changed.

    A new estimator is a subclass in a module of this sub-package, or in an installed package that
    declares it in the entry-point group ``asyndbt.estimators``.
    """

    name: ClassVar[str]
    """Its value of ``method.estimator``."""

    needs_fresh_draws: ClassVar[bool] = False
    """Whether an estimate at p and q needs evaluations drawn from the same p and q."""

    always_applies: ClassVar[bool] = False
    """Whether the options matter in every run, because baselines use this estimator as well."""

    class Options(Section):
        """Keys of [method] that only this estimator reads; none unless a subclass has its own."""

    def __init__(self, options: Section) -> None:
        self.options = options

    @abstractmethod
    def initial(self, shape: Shape) -> EstimatorState:
        """Return the state before any evaluation."""

    @abstractmethod
    def update(self, state: Arrays, evaluations: Evaluations) -> EstimatorState:
        """Return a new state that includes `evaluations`; failed requests are NaN losses."""

    def draw(
        self, state: Arrays, p: FloatArray, q: FloatArray, count: int, rng: np.random.Generator
    ) -> tuple[IntArray, IntArray]:
        """Return the prompts to evaluate next: words (count, M) and candidates (count, U).

        They are drawn from p and q, unless an estimator knows better where evaluations pay.
        """
        return sample_rows(p, count, rng), sample_rows(q, count, rng)

    @abstractmethod
    def gradient(self, state: Arrays, p: FloatArray, q: FloatArray) -> Gradient:
        """Return finite gradients at p and q, zero before any evaluation."""

    def predict(
        self, state: Arrays, words: IntArray, demonstrations: IntArray
    ) -> FloatArray | None:
        """Return the (C,) losses to expect of C prompts, words (C, M) and candidates (C, U).

        None if the state does not tell, as by default.
        """
        return None

    @property
    def word_prior(self) -> float:
        """Prior precision of the effect of a word wherever it stands; 0 if there is none."""
        return 0.0

    def word_effects(self, state: Arrays) -> Effects:
        """Return what the evaluations say of words, if `word_prior` is more than 0."""
        raise NotImplementedError

    def informed(self, state: Arrays, others: Effects) -> EstimatorState:
        """Return a state for `gradient` alone, in which `others` is the prior of words' effects."""
        raise NotImplementedError


@cache
def find_estimators() -> Mapping[str, type[Estimator]]:
    """Return the estimators of this package and of installed packages by name."""
    return find_plugins("asyndbt.estimators", "asyndbt.optim.estimators", Estimator, "name")


@cache
def option_owners(taken: frozenset[str]) -> Mapping[str, type[Estimator]]:
    """Return the names of all estimators' options, each with the estimator that reads it.

    Raises
    ------
    ConfigError
        If two options have the same name, or one has a name that is `taken`.
    """
    owners: dict[str, type[Estimator]] = {}
    for name, estimator in find_estimators().items():
        for option in estimator.Options.all_keys():
            if option in taken or option in owners:
                raise ConfigError(
                    f'option "{option}" of estimator "{name}" has a name that is in use: the '
                    "package that it comes from has to rename it"
                )
            owners[option] = estimator
    return owners
