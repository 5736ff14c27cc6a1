"""Tests on machines that may be small or busy.

One BLAS thread: the matrices of tests are small, and waiting threads cost the most. For Hypothesis
a slow example is no failure. The pocket model computes its answer to a prompt once per process:
that it is a function of the prompt alone is shown in tests/pocket, which asks the model itself.
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from asyndbt.lm.providers import _pocket
from asyndbt.pocket import PocketModel

for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

settings.register_profile(
    "busy", deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("busy")


class RememberingModel:
    """The pocket model, which computes no answer twice."""

    def __init__(self, model: PocketModel) -> None:
        self._model = model
        self._rows: dict[bytes, Any] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def label_log_probabilities(self, prompts: Sequence[str], labels: Sequence[str]) -> Any:
        compute = partial(self._model.label_log_probabilities, labels=labels)
        return np.array(self._remembered("\0".join(labels), prompts, compute))

    def complete(self, prompts: Sequence[str]) -> list[str]:
        return self._remembered("", prompts, self._model.complete)

    def _remembered(
        self, kind: str, prompts: Sequence[str], compute: Callable[[list[str]], Any]
    ) -> list[Any]:
        keys = [hashlib.blake2b(f"{kind}\0\0{prompt}".encode()).digest() for prompt in prompts]
        new = {k: prompt for k, prompt in zip(keys, prompts, strict=True) if k not in self._rows}
        if new or not prompts:  # an unusable label is told without a prompt
            self._rows.update(zip(new, compute(list(new.values())), strict=True))
        return [self._rows[key] for key in keys]


@pytest.fixture(scope="session", autouse=True)
def remembering() -> Iterator[None]:
    """The provider "pocket" with a model that remembers."""
    model = RememberingModel(PocketModel.load())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_pocket, "PocketModel", SimpleNamespace(load=lambda: model))
        yield
