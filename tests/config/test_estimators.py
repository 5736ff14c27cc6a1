"""Estimators of installed packages: found by name, with keys of their own in [method]."""

from __future__ import annotations

import asyncio
import importlib
import pickle
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from asyndbt.config import Config, MethodConfig, load_config
from asyndbt.errors import ConfigError
from asyndbt.federation import Plan
from asyndbt.federation._learner import Learner
from asyndbt.optim import Shape, make_estimator, preset
from asyndbt.optim.estimators._base import find_estimators, option_owners
from asyndbt.pocket import TASKS
from asyndbt.run import run_config
from asyndbt.testing import TabularObjective, TabularProblem

MODULE = """
import numpy as np
from asyndbt._section import key
from asyndbt.optim import Estimator, Gradient

MADE, UPDATES = [], []


class Momentum(Estimator):
    name = "momentum"
    needs_fresh_draws = {fresh}

    class Options(Estimator.Options):
        friction: float = key(0.5, "Share of a slope that is lost.", example=0.1, ge=0, le=1)

    options: Options

    def initial(self, shape):
        MADE.append(self.options.friction)
        return {{}}

    def update(self, state, evaluations):
        UPDATES.append(evaluations.losses.size)
        return {{}}

    def gradient(self, state, p, q):
        return Gradient(np.zeros(p.shape), np.zeros(q.shape))
"""
CONFIG = f"""
[task]
instruction = '{TASKS["sentiment-consumer"].instruction}'
labels = {{ {", ".join(f'"{k}" = "{v}"' for k, v in TASKS["sentiment-consumer"].labels.items())} }}

[data]
train = "pocket:sentiment-consumer/train"
pool_per_class = 2
train_per_class = 2
validation_per_class = 2
partition.sites = 2

[method]
estimator = "momentum"
friction = 0.25
draws = 2
batch_size = 2
vocabulary = "pocket"
fragment_length = 1
refresh_every = 1
plane_tolerance = 0.0
iterations = 2
"""

Install = Callable[..., ModuleType]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Write an installed distribution with an estimator, and return its module."""

    def write(entry: str = "momentum = fake_momentum:Momentum", *, fresh: bool = False) -> Any:
        (tmp_path / "fake_momentum.py").write_text(MODULE.format(fresh=fresh))
        info = tmp_path / "fake_momentum-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fake-momentum\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[asyndbt.estimators]\n{entry}\n")
        monkeypatch.syspath_prepend(tmp_path)
        return importlib.import_module("fake_momentum")

    find_estimators.cache_clear()
    option_owners.cache_clear()
    yield write
    sys.modules.pop("fake_momentum", None)
    find_estimators.cache_clear()
    option_owners.cache_clear()


def test_an_installed_estimator_is_chosen_in_the_file_and_used_in_a_run(
    install: Install, tmp_path: Path
) -> None:
    module = install()
    file = tmp_path / "momentum.toml"
    file.write_text(CONFIG)
    config = load_config(file)
    assert config.method.given >= {"estimator", "friction"}
    result = run_config(config)
    assert set(module.MADE) == {0.25}
    assert module.UPDATES
    assert set(module.UPDATES) == {4}
    written = tomllib.loads((result.directory / "config.toml").read_text())["method"]
    assert written["friction"] == 0.25
    assert not {"ridge", "window"} & set(written)
    assert load_config(result.directory / "config.toml") == config
    assert pickle.loads(pickle.dumps(config)) == config


def test_its_option_has_a_default_bounds_and_no_effect_with_another_estimator(
    install: Install, minimal: dict[str, Any]
) -> None:
    install()
    method = MethodConfig(estimator="momentum")
    assert method.settings().model_dump()["friction"] == 0.5
    assert make_estimator(method.settings()).options.friction == 0.5
    for changes, said in (
        ({"friction": 1.5, "estimator": "momentum"}, "method.friction = 1.5: use 1 or less"),
        ({"friction": 0.1}, 'method.friction has no effect with estimator "regression": remove it'),
        ({"fricton": 0.1}, "method.fricton is not a known key: did you mean method.friction?"),
        (
            {"estimator": "momentun"},
            'method.estimator = "momentun": use "regression" or "reinforce" or "momentum"; '
            'did you mean "momentum"?',
        ),
    ):
        with pytest.raises(ConfigError) as caught:
            Config.from_dict(minimal | {"method": changes})
        assert str(caught.value) == said


@pytest.mark.parametrize("fresh", [False, True])
def test_only_an_estimator_that_needs_fresh_draws_draws_in_the_lower_level(
    install: Install, fresh: bool
) -> None:
    module = install(fresh=fresh)
    problem = TabularProblem(Shape(2, 4, 1, 3), workers=1, queries=4, seed=2)
    settings = preset("plain", estimator="momentum", draws=3, batch_size=2)
    plan = Plan(sites=("north",), positions=2, words=4, settings=settings)
    objective = TabularObjective(problem, 0)
    learner = Learner("north", plan, objective, 0)
    point = np.full((2, 4), 0.25)
    asyncio.run(learner.lower_step(point, point, np.zeros((2, 4)), 1))
    assert objective.spent().calls == (6 if fresh else 0)
    assert [6] * fresh == module.UPDATES


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("momentum = fake_momentum:Missing", r"cannot be loaded: .*'Missing'"),
        ("momentum = no_such_module:Momentum", r"cannot be loaded: .*'no_such_module'"),
        ("momentum = fake_momentum:MADE", "is not a subclass of Estimator"),
        ("momentum = asyndbt.optim:Estimator", "lacks gradient, initial, update"),
        ("reinforce = fake_momentum:Momentum", "has name = 'momentum': give both the same name"),
        ("reinforce = asyndbt.optim:Reinforce", "takes a name that is in use"),
    ],
)
def test_a_broken_entry_point_is_reported_by_name(
    install: Install, minimal: dict[str, Any], entry: str, said: str
) -> None:
    install(entry)
    name, _, value = entry.partition(" = ")
    with pytest.raises(ConfigError, match=said) as caught:
        Config.from_dict(minimal)
    assert f"entry point '{name}' of asyndbt.estimators ({value})" in str(caught.value)


@pytest.mark.parametrize("taken", ["draws", "ridge", "mode"])
def test_an_option_with_the_name_of_another_key_is_reported(
    install: Install, minimal: dict[str, Any], taken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "MODULE", MODULE.replace("friction: ", f"{taken}: "))
    install()
    with pytest.raises(ConfigError, match=f'option "{taken}" of estimator "momentum"'):
        Config.from_dict(minimal)
