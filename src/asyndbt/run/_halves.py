"""The halves of a tuned prompt, each alone: demonstrations without fragment, and the reverse.

Both are asked on the test split after a run, beyond its budget and its ledger. Nothing is decided
by them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from asyndbt._async import run_sync
from asyndbt.lm import AnswerCache, Budget, Gateway, LabelPrior, LanguageModel, Limits
from asyndbt.prompt import TunedPrompt
from asyndbt.run._inputs import load_inputs
from asyndbt.run._liars import recorded_liars
from asyndbt.run._model_handle import ModelHandle
from asyndbt.run._result import Result, pool_scores, score_interval, shared_copies
from asyndbt.scoring import Score, calibration_queries, score_answers

HALVES: Final = ("demonstrations", "fragment")
"""The halves of a prompt, by what is kept."""


def score_halves(result: Result, model: LanguageModel | None = None) -> dict[str, Any]:
    """Score each half of the prompts of a finished run on the test split.

    Parameters
    ----------
    result : Result
        Of a run whose sites have tuned prompts.
    model : LanguageModel, optional
        Replaces the one that the configuration names; it has to be the one tuned for.

    Returns
    -------
    dict
        By half, the scores of the sites together as in ``result.json``; and ``calls``, what was
        charged.

    Raises
    ------
    AsyndbtError
        As a run does.
    """
    config = result.config
    inputs = load_inputs(config)
    handle = ModelHandle.of_record(result.data["model"], config.lm, model)
    budget = Budget(Limits())

    async def scored(site: str, prompt: TunedPrompt) -> Score:
        task, data, lm = prompt.task, inputs.sites[site].data, config.lm
        calibrating = calibration_queries(lm.calibration, task, data)
        queries = [*calibrating, *data.test]
        batch = prompt.render_all(query.fields for query in queries)
        with AnswerCache(":memory:", site) as cache:
            gateway = Gateway(handle.model, cache, budget, handle.policy)
            found = await gateway.predict(batch, task.label_words, lm.feedback, lm.smoothing)
            calls.append(cache.total().calls)
        known, found = found[: len(calibrating)], found[len(calibrating) :]
        if calibrating:
            found = LabelPrior.of(known).calibrate(found)
        return score_answers(found, task, data.test)

    async def all_scored() -> dict[str, list[Score]]:
        try:
            return {
                half: [await scored(site, _half(result.prompt(site), half)) for site in honest]
                for half in HALVES
            }
        finally:
            await handle.model.close()

    liars = recorded_liars(result.data)
    honest = [site for site in result.sites if site not in liars]
    calls: list[int] = []
    scores = run_sync(all_scored())
    found: Mapping[str, Any] = {
        half: score_interval(pool_scores(some), copies=shared_copies(config))
        for half, some in scores.items()
    }
    return {**found, "calls": sum(calls)}


def _half(prompt: TunedPrompt, kept: str) -> TunedPrompt:
    if kept == "demonstrations":
        return replace(prompt, fragment=())
    return replace(prompt, demonstrations=())
