"""A site's own test examples that its tuned prompt gets wrong, out of paid answers.

For the site's eyes: nothing is asked, nothing is written, and the texts are of the site's data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from asyndbt.errors import ConfigError, RunDirectoryError
from asyndbt.lm import Answer, AnswerCache, Predictions, read_answers, request_key
from asyndbt.prompt import TunedPrompt
from asyndbt.run._directory import RunDirectory, read_record
from asyndbt.run._hints import recorded_inputs
from asyndbt.run._result import Result
from asyndbt.run._site import changed_parts
from asyndbt.task import Example


@dataclass(frozen=True, slots=True)
class WrongAnswer:
    """A test example whose label was not answered.

    Parameters
    ----------
    fields : mapping of str to str
        Its texts.
    expected : str
        Its label in the data.
    answered : str or None
        The label that was answered; None where the answer names none.
    """

    fields: Mapping[str, str]
    expected: str
    answered: str | None


@dataclass(frozen=True, slots=True)
class SiteErrors:
    """What the tuned prompt of a site gets wrong, of so many test examples."""

    tested: int
    wrong: tuple[WrongAnswer, ...]


def wrong_answers(result: Result) -> dict[str, SiteErrors]:
    """Return what is wrong by site, for the sites whose data and answers are here.

    There are none at a coordinator whose sites are elsewhere. A site is left out if its answers do
    not make up the accuracy on record: its test examples were asked with other prompts than the one
    that is kept.

    Raises
    ------
    ConfigError
        If the task has a reward in place of labels.
    RunDirectoryError
        If a site has other data now than in the run.
    AsyndbtError
        If the data or the paid answers cannot be read.
    """
    if result.config.task.reward is not None:
        raise ConfigError(
            "wrong answers are those with another label than the example's, and the task has a "
            "reward in place of labels: asyndbt predict tells the reward of every row"
        )
    if not result.sites:
        return {}
    sites = recorded_inputs(result.config, RunDirectory(result.directory)).sites
    found = {}
    for name in result.sites:
        folder = result.directory / "sites" / name
        if changed := changed_parts(folder, sites[name]):
            raise RunDirectoryError(
                f"site {name!r} has other data now than in this run ({', '.join(changed)}): which "
                "examples were tested can no longer be told"
            )
        errors = _errors(result, name, sites[name].data.test)
        if errors is not None:
            found[name] = errors
    return found


def _errors(result: Result, site: str, test: Sequence[Example]) -> SiteErrors | None:
    prompt = result.prompt(site)
    found = _answers(result, site, prompt, test)
    labels = (*prompt.task.labels, None)
    wrong = tuple(
        WrongAnswer(dict(example.fields), example.label, labels[label])
        for example, label, answered in zip(test, found.labels, found.answered, strict=True)
        if answered and labels[label] != example.label
    )
    tested, recorded = int(found.answered.sum()), _recorded(result, site)
    right = round(recorded["n"] * recorded["accuracy"])
    same = (tested, tested - len(wrong)) == (recorded["n"], right)
    return SiteErrors(tested, wrong) if same else None


def _recorded(result: Result, site: str) -> Mapping[str, Any]:
    """Return the score on record: with ``federation.privacy`` only the site's own part has it."""
    part = result.data["sites"][site]
    if "privacy" in result.data:
        part = read_record(result.directory / "sites" / site / "result.json")
    return part["metrics"]["test"]["tuned"] or {"n": 0, "accuracy": 0.0}


def _answers(
    result: Result, site: str, prompt: TunedPrompt, test: Sequence[Example]
) -> Predictions:
    """Return the answers that the evaluation was given, of those that are still there."""
    lm, words = result.config.lm, prompt.task.label_words
    file = lm.cache or result.directory / "sites" / site / "answers.sqlite"
    model = result.data["model"]["model"]
    asked = prompt.render_all(example.fields for example in test)
    keys = [request_key(model, query, words) for query in asked]
    paid: Mapping[bytes, Answer] = {}
    if Path(file).exists():
        # A payer of its own: the run's attempts are left as they are.
        with AnswerCache(file, uuid4().hex) as cache:
            paid = cache.get_many(keys)
    answers = [paid.get(key) for key in keys]
    known = [answer if answer and answer.refusal is None else None for answer in answers]
    found = read_answers(known, words, lm.feedback, lm.smoothing)
    return found if prompt.prior is None else prompt.prior.calibrate(found)
