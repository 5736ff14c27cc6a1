"""BDPL, FedOne and federated averaging learn a word that is known to be the best."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from asyndbt.baselines import run_method
from asyndbt.lm import Prompt
from asyndbt.pocket import TASKS
from asyndbt.run import read_curve
from asyndbt.testing import ScriptedLanguageModel

WORDS = {"1": "great", "0": "terrible"}


def helpful(tiny: Any, wanted: dict[str, str]) -> ScriptedLanguageModel:
    """A model that is right where its site's word is in the note, and undecided elsewhere."""
    labels = dict(TASKS["sentiment-consumer"].labels)
    known = [row for part in tiny.files for row in tiny.rows(part)]

    def script(prompt: Prompt, words: Sequence[str]) -> list[float]:
        (row,) = {(r["site"], r["label"]) for r in known if f'"{r["text_a"]}"' in prompt.query}
        right = words.index(labels[row[1]])
        hits = prompt.query.split("Note:")[-1].count(wanted[row[0]])
        margin = 1.5 * hits
        return [-0.1 if u == right else -0.1 - margin for u in range(len(words))]

    return ScriptedLanguageModel(script)


SETTINGS = {
    "method.draws": 8,
    "method.batch_size": 2,
    "method.iterations": None,
    "budget.per_site": {"calls": 600},
}


@pytest.mark.parametrize("name", ["bdpl", "fedone", "fedavg-bdpl"])
def test_the_best_word_is_learned_and_no_demonstration_shown(tiny: Any, name: str) -> None:
    model = helpful(tiny, dict.fromkeys(tiny.sites, "green"))
    result = run_method(name, tiny.config(**SETTINGS), model=model)
    for site in tiny.sites:
        prompt = result.prompt(site)
        assert prompt.fragment == ("green", "green")
        assert prompt.demonstrations == ()
    test = result.data["metrics"]["test"]
    assert test["tuned"]["accuracy"] == 1.0
    assert test["random_icl"]["n"] == 2 * tiny.test, "the references are everybody's"


def test_bdpl_learns_at_each_site_alone_and_the_federated_forms_agree(tiny: Any) -> None:
    wanted = {"meals": "green", "movies": "claim"}
    alone = run_method("bdpl", tiny.config("alone", **SETTINGS), model=helpful(tiny, wanted))
    assert {site: set(alone.prompt(site).fragment) for site in tiny.sites} == {
        "meals": {"green"},
        "movies": {"claim"},
    }
    assert alone.fragment == []
    for name in ("fedone", "fedavg-bdpl"):
        shared = run_method(name, tiny.config(name, **SETTINGS), model=helpful(tiny, wanted))
        assert {shared.prompt(site).fragment for site in tiny.sites} == {tuple(shared.fragment)}


@pytest.mark.parametrize("name", ["bdpl", "fedone", "fedavg-bdpl"])
def test_policy_gradients_stop_early_as_asyndbt_does(
    tiny: Any, scripted: ScriptedLanguageModel, name: str
) -> None:
    still = {"method.eta_p": 0.0, "method.estimator": "reinforce", "method.validations": 6}
    long = {**SETTINGS, **still}
    early = run_method(name, tiny.config("early", **long, **{"method.patience": 1}), model=scripted)
    whole = run_method(name, tiny.config("whole", **long), model=scripted)
    assert early.data["iterations"] < 0.8 * whole.data["iterations"]
    assert early.data["ledger"]["calls"] < whole.data["ledger"]["calls"]


def active_by_round(directory: Any) -> dict[int, list[str]]:
    rounds: dict[int, list[str]] = {}
    for point in read_curve(directory):
        if point["train_loss"] is not None:
            rounds.setdefault(point["iteration"], []).append(point["site"])
    return rounds


def test_fedone_has_one_active_site_a_round_and_draws_them_alike(tiny: Any) -> None:
    model = helpful(tiny, dict.fromkeys(tiny.sites, "green"))
    result = run_method("fedone", tiny.config(**SETTINGS), model=model)
    rounds = active_by_round(result.directory)
    assert {len(names) for names in rounds.values()} == {1}
    counts = Counter(name for names in rounds.values() for name in names)
    assert set(counts) == set(tiny.sites)


def test_federated_averaging_has_all_sites_in_every_round(tiny: Any) -> None:
    model = helpful(tiny, dict.fromkeys(tiny.sites, "green"))
    options = {"local_steps": 2}
    result = run_method("fedavg-bdpl", tiny.config(**SETTINGS), model=model, options=options)
    rounds = active_by_round(result.directory)
    assert {tuple(names) for names in rounds.values()} == {tiny.sites}
    assert result.data["iterations"] == len(rounds)


def test_a_configuration_whose_sites_exchange_effects_does_for_policy_gradients_too(
    tiny: Any, scripted: ScriptedLanguageModel
) -> None:
    changes = {"method.exchange": "effects"}
    told = run_method("fedone", tiny.config("effects", **changes), model=scripted)
    assert told.data == run_method("fedone", tiny.config("policies"), model=scripted).data
