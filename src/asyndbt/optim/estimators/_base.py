"""What an estimator of gradients is, and where estimators are found."""

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
from asyndbt.optim._types import Evaluations, FloatArray, Gradient, Shape

EstimatorState = dict[str, NDArray[np.generic]]
"""Arrays only, so that it goes into a checkpoint as it is."""


class Estimator(ABC):
    """Estimate the gradients of the expected loss over p and q from evaluated prompts.

    For independent categorical rows the exact gradient is the main effect
    ``d/dp_ij E[L] = E[L | J_i = j]``; a constant added to a row does not matter on the simplex, so
    an estimate is meant up to one constant per row.

    An estimator holds options only. All that it learns is in a state that is passed in and never
    changed: the same state and evaluations always give the same result.

    A new estimator is a subclass in a module of this sub-package, or of an installed package that
    names it in the entry-point group ``asyndbt.estimators``.

    Parameters
    ----------
    options : Section
        An instance of the class's own `Options`.
    """

    name: ClassVar[str]
    """What ``method.estimator`` calls it."""

    needs_fresh_draws: ClassVar[bool] = False
    """Whether an estimate at p and q takes evaluations drawn from that very p and q."""

    always_applies: ClassVar[bool] = False
    """Whether the options count in every run, because baselines use this estimator, too."""

    class Options(Section):
        """Keys of [method] that only this estimator reads; none unless a subclass has its own."""

    def __init__(self, options: Section) -> None:
        self.options = options

    @abstractmethod
    def initial(self, shape: Shape) -> EstimatorState:
        """Return the state before any evaluation."""

    @abstractmethod
    def update(
        self, state: Mapping[str, NDArray[np.generic]], evaluations: Evaluations
    ) -> EstimatorState:
        """Return a new state that includes `evaluations`; failed requests are NaN losses."""

    @abstractmethod
    def gradient(
        self, state: Mapping[str, NDArray[np.generic]], p: FloatArray, q: FloatArray
    ) -> Gradient:
        """Return finite gradients at p and q, zero where nothing has been learnt."""


@cache
def find_estimators() -> Mapping[str, type[Estimator]]:
    """Return the estimators of this package and of installed ones by name.

    Raises
    ------
    ConfigError
        If an installed one cannot be loaded, or has a name that is in use.
    """
    return find_plugins(
        "asyndbt.estimators",
        "asyndbt.optim.estimators",
        Estimator,
        "name",
    )


@cache
def option_owners(taken: frozenset[str]) -> Mapping[str, type[Estimator]]:
    """Return the options of all estimators, each with the estimator that reads it.

    Parameters
    ----------
    taken : frozenset of str
        Keys of the table that the options are part of.

    Raises
    ------
    ConfigError
        If an option has the name of another key.
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
