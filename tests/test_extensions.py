"""A package with a model, an estimator, an engine and a method, installed and run from TOML."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

MODULE = """
from dataclasses import dataclass

import numpy as np

from asyndbt import LanguageModel
from asyndbt.baselines import FixedPrompt, PerSiteBaseline
from asyndbt.federation.engines import LocalEngine
from asyndbt.lm import Answer, Section, Usage, key
from asyndbt.optim import Estimator, Gradient
from asyndbt.prompt import TunedPrompt


class Echo(LanguageModel):
    provider = "echo"

    class Options(Section):
        tilt: float = key(0.0, "How much it prefers the first label.", example=1.0)

    options: Options

    @property
    def name(self):
        return f"echo/{self.options.tilt}"

    async def score(self, prompts, labels):
        shares = np.full(len(labels), (1 - self.options.tilt) / len(labels))
        shares[0] += self.options.tilt
        logs = tuple(np.log(np.maximum(shares, 1e-9)).tolist())
        return [Answer(logs, None, self.max_usage(prompt)) for prompt in prompts]

    def max_usage(self, prompt):
        return Usage(1, len(prompt.text.split()), 1)


class Still(Estimator):
    name = "still"

    class Options(Estimator.Options):
        calm: int = key(1, "Nothing depends on it.", example=2, ge=1)

    def initial(self, shape):
        return {}

    def update(self, state, evaluations):
        return {}

    def gradient(self, state, p, q):
        return Gradient(np.zeros(p.shape), np.zeros(q.shape))


class Quiet(LocalEngine):
    name = "quiet"


@dataclass(frozen=True)
class FirstExample(PerSiteBaseline):
    number: int = 1
    name = "first-example"
    needs_calls = False

    async def tune_site(self, site):
        return FixedPrompt(TunedPrompt(site.task, (), site.candidates[: self.number])), 0
"""
ENTRY_POINTS = """
[asyndbt.providers]
echo = asyndbt_extra:Echo

[asyndbt.estimators]
still = asyndbt_extra:Still

[asyndbt.engines]
quiet = asyndbt_extra:Quiet

[asyndbt.methods]
first-example = asyndbt_extra:FirstExample
"""
STUDY = """
[study]
methods = ["asyndbt", "first-example"]
tasks = ["pocket:sentiment-consumer"]
seeds = [0]
calls = 200

[base.lm]
provider = "echo"
tilt = 0.5

[base.federation]
engine = "quiet"

[base.data]
pool_per_class = 5
train_per_class = 5
validation_per_class = 2

[base.method]
estimator = "still"
calm = 2
random_icl_draws = 1
iterations = 2

[options.first-example]
number = 2
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the package is installed in, as a wheel of Python files is unpacked."""
    folder = tmp_path_factory.mktemp("site-packages")
    about = folder / "asyndbt_extra-1.0.dist-info"
    about.mkdir()
    (folder / "asyndbt_extra.py").write_text(MODULE)
    (about / "entry_points.txt").write_text(ENTRY_POINTS)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: asyndbt-extra\nVersion: 1.0\n")
    return folder


def test_a_study_runs_what_an_installed_package_brings(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "extra.toml").write_text(STUDY)
    paths = [str(installed), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, "-m", "asyndbt", "study", "extra.toml", "--quiet"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    study = tmp_path / "runs" / "study-extra"
    with (study / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["method"] for row in rows} == {"asyndbt", "first-example"}
    for config in (study / "runs").glob("*/config.toml"):
        text = config.read_text()
        assert 'provider = "echo"' in text
        assert "tilt = 0.5" in text
        assert 'estimator = "still"' in text
        assert "calm = 2" in text
        assert 'engine = "quiet"' in text
    (prompt, *_) = (study / "runs").glob("first-example-*/sites/*/prompt.txt")
    assert prompt.read_text().count("Answer:") == 3
