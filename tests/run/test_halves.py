"""The halves of a tuned prompt, asked alone after the run."""

from __future__ import annotations

from typing import Any

import pytest

from asyndbt.run import run_config, score_halves


@pytest.mark.parametrize("centralised", [False, True])
def test_each_half_is_asked_alone_on_the_test_split(
    small: Any, asked: Any, centralised: bool
) -> None:
    method = {"iterations": 4, "centralised": centralised}
    result = run_config(small.config(method=method, budget={"per_site": {"calls": 500}}))
    before = (result.directory / "result.json").read_bytes()
    asked.prompts.clear()
    found = score_halves(result)
    texts, count = [text for _, _, text in asked.prompts], len(small.rows("test"))
    assert found["calls"] == len(texts) == 2 * count
    assert found["demonstrations"]["n"] == found["fragment"]["n"] == count
    words = " ".join(result.fragment)
    for text in texts[:count]:
        assert text.count("Question:") == 3, "two demonstrations and the query"
        assert "Note:" not in text
    for text in texts[count:]:
        assert text.count("Question:") == 1
        assert f"Note: {words}" in text
    assert (result.directory / "result.json").read_bytes() == before, "the run is left alone"


@pytest.mark.parametrize("calibration", ["none", "batch"])
def test_a_half_scores_as_a_run_that_found_it_alone(small: Any, calibration: str) -> None:
    still = {"iterations": 1, "eta_p": 0.0, "eta_q": 0.0, "psi": 0.0, "mode": "fragment"}
    alone = run_config(small.config(method=still, lm={"calibration": calibration}))
    found = score_halves(alone)
    for half, kind in (("fragment", "tuned"), ("demonstrations", "plain")):
        scored = alone.data["metrics"]["test"][kind]
        # What a site reports has two decimals, what is asked here leaves no site.
        assert found[half]["loss"] == pytest.approx(scored["loss"], abs=0.006)
        of_a_run = {"loss", "site_median"}
        kept = {name: value for name, value in scored.items() if name not in of_a_run}
        assert {name: found[half][name] for name in found[half] if name != "loss"} == kept
