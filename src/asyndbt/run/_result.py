"""The result of a run: ``result.json`` and each site's own part, written, read and used."""

from __future__ import annotations

import math
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median, median_low
from typing import Any

import numpy as np

from asyndbt._measure import PLURALS, Measure, ScoreKeys
from asyndbt._spelling import composed, is_missing
from asyndbt.config import Config, load_config, toml_keys
from asyndbt.errors import ConfigError, DataError, QueryError, RunDirectoryError
from asyndbt.federation import EvaluateDone
from asyndbt.lm import LanguageModel, Prompt, find_providers
from asyndbt.optim import FloatArray
from asyndbt.prompt import TunedPrompt
from asyndbt.run._directory import RunDirectory, read_record, to_json, write_atomically
from asyndbt.run._inputs import make_task, records
from asyndbt.run._model_handle import ModelHandle, check_record
from asyndbt.run._notebook import result_html
from asyndbt.run._predictor import Predictor
from asyndbt.run._setup import RunSetup
from asyndbt.run._site import RunSite
from asyndbt.run._version import package_version
from asyndbt.scoring import Score, Spent
from asyndbt.task import Example, Reward, Task, read_answer, read_text

SCHEMA_VERSION = 1
"""Of ``result.json``: raised when a key goes or changes its meaning."""
_KINDS = ("plain", "random_icl", "tuned")
DOUBTFUL_SHARE = 0.05
"""Share of requests without a usable answer that is worth a warning."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a method has found, and how the run ended.

    Parameters
    ----------
    evaluations : mapping of str to EvaluateDone or None
        By site; None where nothing was evaluated.
    iterations : int
        Most that a site, or the server, has done.
    fragment : tuple of str
        Words that all sites share, if they do.
    prompts : mapping of str to callable
        By site in this process: writes what was found into the site's folder.
    spent : mapping of str to Spent
        As reported by sites on other machines.
    conduct : mapping of str to (bool, int)
        By site: whether it was gone at the end, and how many of its reports were refused.
    test_examples : mapping of str to int
        Of each site, tested or not.
    """

    evaluations: Mapping[str, EvaluateDone | None]
    stop_reason: str
    iterations: int
    fragment: tuple[str, ...] = ()
    prompts: Mapping[str, Callable[[Path], None]] = field(default_factory=dict)
    spent: Mapping[str, Spent] = field(default_factory=dict)
    conduct: Mapping[str, tuple[bool, int]] = field(default_factory=dict)
    test_examples: Mapping[str, int] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def build_result(config: Config, setup: RunSetup, outcome: Outcome) -> dict[str, Any]:
    """Return the content of ``result.json``; it holds no text of any example.

    Of sites that lie, the metrics of the sites together have no part.
    """
    draws, task = {"random_icl": config.method.random_icl_draws}, make_task(config)
    keys = task.score_keys
    lying = () if setup.liars is None else setup.liars.names
    known = [
        found
        for name, found in outcome.evaluations.items()
        if found is not None and name not in lying
    ]
    scores = {kind: [getattr(each, kind) for each in known] for kind in _KINDS}
    given = [Score(n=count) for name, count in outcome.test_examples.items() if name not in lying]
    if not setup.sites:
        # What a site elsewhere says of its number of examples must not write the headline.
        scores = {kind: cut_claims(each) for kind, each in scores.items()}
        given = cut_claims(given)
    overall = {
        kind: _overall(each, draws.get(kind, 1), shared_copies(config), keys)
        for kind, each in scores.items()
    }
    sites: dict[str, Any] = {}
    private = config.federation.privacy
    for name, found in outcome.evaluations.items():
        test = {
            kind: found and score_interval(getattr(found, kind), draws.get(kind, 1), keys=keys)
            for kind in _KINDS
        }
        validation = {"tuned": found and score_interval(found.validation, keys=keys)}
        gone, refused = outcome.conduct.get(name, (False, 0))
        metrics = {"test": test, "validation": validation}
        sites[name] = {
            "metrics": metrics,
            "test_examples": outcome.test_examples.get(name),
            "gone": gone,
            "refused": refused,
            "kept_own": found and (None if private else found.kept_own),
        }
    ledger, requests = _ledger(setup, outcome.spent)
    return {
        "schema_version": SCHEMA_VERSION,
        "metrics": {"test": overall},
        "test_examples": sum(score.n for score in given),
        "sites": sites,
        "liars": setup.liars and setup.liars.record(),
        "ledger": ledger,
        "model": setup.handle and setup.handle.record(),
        **judge_ledger(setup.judge, setup.sites.values()),
        **({} if setup.hints is None else {"hints": setup.hints.summary()}),
        "seed": config.run.seed,
        **({} if private is None else {"privacy": private.model_dump()}),
        "versions": {
            "asyndbt": package_version(),
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
        "stop_reason": outcome.stop_reason,
        "iterations": outcome.iterations,
        "fragment": list(outcome.fragment),
        "warnings": [
            *setup.warnings,
            *_unanswered(ledger, requests, task.measure),
            *outcome.warnings,
        ],
    }


def site_result(
    fragment: Sequence[str],
    report: EvaluateDone,
    test_examples: int,
    handle: ModelHandle,
    keys: ScoreKeys,
) -> dict[str, Any]:
    """Return what a site on its own machine records of a run's outcome."""
    test = _test_metrics(report, keys)
    return {
        "schema_version": SCHEMA_VERSION,
        "fragment": list(fragment),
        "metrics": {"test": test},
        "test_examples": test_examples,
        "model": handle.record(),
        "sites": {report.site: {"metrics": {"test": test}, "test_examples": test_examples}},
    }


def _test_metrics(report: EvaluateDone, keys: ScoreKeys) -> dict[str, Any]:
    return {kind: score_interval(getattr(report, kind), keys=keys) for kind in _KINDS}


def judge_ledger(handle: ModelHandle | None, sites: Iterable[RunSite]) -> dict[str, Any]:
    """Return the entry of a judge: its model, and what it was asked and cost at sites here."""
    if handle is None:
        return {}
    ledgers = [site.judge.gateway.ledger() for site in sites if site.judge is not None]
    parts = [each.totals() for each in (*ledgers, handle.ledger)]
    total = {name: sum(part[name] for part in parts) for name in parts[0]}
    return {"judge": {"model": handle.record(), "ledger": total}}


def _ledger(setup: RunSetup, elsewhere: Mapping[str, Spent]) -> tuple[dict[str, Any], int]:
    """Sum the ledgers of all sites and of the probe; return the requests separately."""
    spent = dict(elsewhere)
    for name, site in setup.sites.items():
        spent[name] = Spent(**site.gateway.ledger().totals())
    parts = [*spent.values()]
    if setup.handle is not None:
        parts.append(Spent(**setup.handle.ledger.totals()))
    ledger = {field: sum(getattr(s, field) for s in parts) for field in Spent.__slots__}
    return ledger, ledger.pop("requests")


def write_prompt(folder: Path, prompt: TunedPrompt, kept: EvaluateDone | None = None) -> None:
    """Write a tuned prompt into a site's folder: readable as text, and loadable.

    The scores `kept` are written beside it, where only the site may know them.
    """
    demonstrations: list[Mapping[str, Any]] = [
        {**shown.fields, "label": shown.label}
        if isinstance(shown, Example)
        else {"nearest": shown.similarity, "of": len(shown.shelf)}
        for shown in prompt.demonstrations
    ]
    part: dict[str, Any] = {"demonstrations": demonstrations, "fragment": list(prompt.fragment)}
    if prompt.prior is not None:
        part["prior"] = dict(
            zip(prompt.task.labels, np.exp(prompt.prior.log_probabilities).tolist(), strict=True)
        )
    if kept is not None:
        part["metrics"] = {"test": _test_metrics(kept, prompt.task.score_keys)}
    write_atomically(folder / "result.json", to_json(part))
    write_atomically(folder / "prompt.txt", (prompt.outline() + "\n").encode())
    prompt.save(folder / "prompt.json")


def _unanswered(ledger: Mapping[str, float], requests: int, measure: Measure) -> Iterator[str]:
    others = "the figures rest on the others"
    silent, worth = "answers name no label", f"in {PLURALS[measure]} they count as wrong"
    if measure != "accuracy":
        silent, worth = "answers are blank", "their reward is that of an empty text"
    for count, of, what, so in (
        (ledger["failed"], requests - ledger["cached"], "requests failed", others),
        (ledger["refused"], ledger["calls"], "prompts were refused by the provider", others),
        (ledger["unparsed"], requests, silent, worth),
    ):
        if count > DOUBTFUL_SHARE * of:
            yield f"{count:,} of {of:,} {what} ({count / of:.0%}): {so}"


_Z = 1.959964


def _overall(
    scores: Sequence[Score], draws: int, copies: int, keys: ScoreKeys
) -> dict[str, Any] | None:
    """Return what all sites' prompts score together, and the median over the sites beside it."""
    pooled = score_interval(pool_scores(scores), draws, copies, keys)
    if pooled is None:
        return None
    middle = median(score.correct / score.n for score in scores if score.n)
    return {**pooled, "site_median": round(middle, 6)}


def pool_scores(scores: Sequence[Score]) -> Score:
    """Pool the scores of several sites, each example counting once."""
    n = sum(score.n for score in scores)
    if not n:
        return Score()
    return Score(
        math.fsum(score.correct for score in scores),
        n,
        math.fsum(score.loss * score.n for score in scores) / n,
        math.sqrt(math.fsum((score.spread * score.n / n) ** 2 for score in scores)),
    )


def cut_claims(scores: Sequence[Score]) -> list[Score]:
    """Cut the numbers of examples that sites claim at the claim in the middle, the lower of two.

    Examples
    --------
    >>> cut_claims([Score(6, 10), Score(), Score(6, 10), Score(10**9, 10**9)])[-1]
    Score(correct=10.0, n=10, loss=0.0, spread=0.0)
    """
    most = median_low([score.n for score in scores if score.n] or [0])
    return [
        replace(score, correct=score.correct * most / score.n, n=most) if score.n > most else score
        for score in scores
    ]


def shared_copies(config: Config) -> int:
    """Return how many sites are tested on the same examples."""
    partition = config.data.partition
    pooled = config.method.centralised or partition is None or partition.test == "divided"
    return 1 if pooled or partition is None else partition.sites


def score_interval(
    score: Score, draws: int = 1, copies: int = 1, keys: ScoreKeys = ("accuracy", "loss")
) -> dict[str, Any] | None:
    """Return accuracy, 95 % interval, mean loss and n of a score; None without examples.

    `keys` names accuracy and loss in the record, see `Task.score_keys`.

    Wilson's interval for one prompt. For a mean over `draws` random draws, the variance of that
    mean, spread^2 / draws, is added to the sampling variance. Where `copies` sites were tested on
    the same examples, the n answers are about n / copies examples, and the interval is as wide.
    Rewards between 0 and 1 vary less than right and wrong with the same mean: the interval of a
    mean reward is rather too wide.

    Examples
    --------
    >>> score_interval(Score(correct=90, n=100, loss=0.3))
    {'accuracy': 0.9, 'interval': [0.8256, 0.9448], 'loss': 0.3, 'n': 100}
    """
    if not score.n:
        return None
    share, n = score.correct / score.n, score.n / copies
    center = (share + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z * math.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2)) / (1 + _Z**2 / n)
    half = math.hypot(half, _Z * score.spread / math.sqrt(draws)) if draws > 1 else half
    interval = [round(max(0.0, center - half), 4), round(min(1.0, center + half), 4)]
    return {
        keys[0]: round(share, 6),
        "interval": interval,
        keys[1]: round(score.loss, 6),
        "n": score.n,
    }


class Result:
    """What a finished run found; `data` holds the content of ``result.json``.

    Parameters
    ----------
    directory : path
    model : LanguageModel, optional
        The model that the run was given, if it was given one that its configuration does not
        describe; `predict` and `messages` need it then.

    Raises
    ------
    RunDirectoryError
        If there is no run in that directory, or another version wrote its result.
    DataError
        If the run is not finished.
    """

    def __init__(self, directory: Path | str, model: LanguageModel | None = None) -> None:
        self._files, self._model = RunDirectory.open(Path(directory)), model
        if not self._files.result_file.exists():
            raise DataError(
                f"{directory}: the run is not finished; go on with 'asyndbt resume {directory}'"
            )
        self.data = read_record(self._files.result_file)
        if (found := self.data.get("schema_version")) != SCHEMA_VERSION:
            raise RunDirectoryError(
                f"{directory}: another version of asyndbt wrote result.json (schema {found}, this "
                f"is {SCHEMA_VERSION}): use the release that wrote it, or run again elsewhere"
            )

    def __repr__(self) -> str:
        return f"Result({str(self.directory)!r})"

    def _repr_html_(self) -> str:
        """Return what a notebook shows: accuracies, calls and prompts, with their examples."""
        prompts = {site: self.prompt(site) for site in self.sites}
        return result_html(self.directory.name, self.data, prompts)

    @property
    def directory(self) -> Path:
        """The directory of the run."""
        return self._files.path

    @property
    def config(self) -> Config:
        """The configuration of the run."""
        return load_config(self._files.config_file)

    @property
    def fragment(self) -> list[str]:
        """Words of the fragment that all sites share."""
        return list(self.data["fragment"])

    @property
    def sites(self) -> list[str]:
        """Names of the sites that have a tuned prompt."""
        found = self.directory.glob("sites/*/prompt.json")
        return sorted(composed(path.parent.name) for path in found)

    def prompt(self, site: str | None = None) -> TunedPrompt:
        """Return a site's tuned prompt; `site` may be omitted if there is only one.

        Raises
        ------
        ConfigError
            If there is no such site, or it is omitted and there are several.
        """
        return TunedPrompt.load(self._part(site) / "prompt.json")

    def columns(self, site: str | None = None) -> list[str]:
        """Return the columns that `predict` reads, in the order of the fields; raises likewise."""
        renamed = self.config.data.columns or {}
        return [renamed.get(field, field) for field in self.prompt(site).task.fields]

    def _part(self, site: str | None) -> Path:
        names = self.sites
        if site is None and len(names) == 1:
            site = names[0]
        site = site and composed(site)
        if site not in names:
            said = "name a site" if site is None else f"there is no site {site!r}"
            raise ConfigError(f"{said}; the run has: {', '.join(names)}")
        return self.directory / "sites" / site

    def messages(self, prompt: Prompt, labels: Sequence[str]) -> list[dict[str, str]] | None:
        """Return the chat messages that the run's model is sent for a prompt.

        Parameters
        ----------
        prompt : Prompt
        labels : sequence of str
            Label words in class order.

        Returns
        -------
        list of dict or None
            ``role`` and ``content`` of each; None if the model is sent ``prompt.text``.

        Raises
        ------
        ConfigError
            As `predict`.
        """
        record, lm = self.data["model"], self.config.lm
        if self._model is None:
            # Not made: that may need a key, or load weights.
            check_record(record, None)
            kind, options = find_providers()[lm.provider], lm.options
        else:
            model = ModelHandle.of_record(record, lm, self._model).model
            kind, options = model.kind, model.options
        return kind.messages(options, record["facts"], prompt, labels)

    def predict(
        self,
        rows: Iterable[Mapping[str, Any]],
        site: str | None = None,
        *,
        origins: Iterable[str] | None = None,
    ) -> list[dict[str, Any]]:
        """Answer new examples with a site's tuned prompt; paid answers are cached.

        Several threads or processes may do so at once.

        Parameters
        ----------
        rows : iterable of mapping, or data frame
            One text per field of the task, in the columns of the run's data; other keys are kept.
        site : str, optional
            May be omitted if there is only one.
        origins : iterable of str, optional
            What messages call the rows; "row 1", "row 2", ... without.

        Returns
        -------
        list of dict
            The rows with ``prediction`` (a data label as text, ``"1"`` for ``1``; None where the
            answer names none or the request failed) and ``scores`` (label to probability; None
            where the request failed). Of a task with a reward, with ``prediction`` (the answer;
            None where the request failed) and, where a row has the expected answer, ``reward``.

        Raises
        ------
        QueryError
            Before any request: if a row lacks a text, has an empty one, or already has a column
            ``prediction``, ``scores`` or ``reward``, or a prompt does not fit the model.
        DataError
            If a file of the run cannot be used, or the reward of an answer is none.
        ConfigError
            If another model would answer than the one that the prompt was tuned for.
        ModelError
            If no row is answered; RateLimitError where the provider's rate limit is why.
        """
        if isinstance(rows, str | Mapping):
            raise QueryError(f"predict: found {type(rows).__name__}; give a list of rows")
        rows = list(records(rows))
        origins = origins or (f"row {number}" for number in range(1, len(rows) + 1))
        (found,) = self.predict_batches([zip(origins, rows, strict=True)], site)
        return found

    def predict_batches(
        self,
        batches: Iterable[Iterable[tuple[str, Mapping[str, Any]]]],
        site: str | None = None,
    ) -> Iterator[list[dict[str, Any]]]:
        """Answer batches of examples, each as soon as it is there; otherwise as `predict`.

        Parameters
        ----------
        batches : iterable of iterable of (str, mapping)
            Rows, each with what messages call it.

        Yields
        ------
        list of dict
            The rows of a batch, as `predict` returns them.

        Raises
        ------
        AsyndbtError
            As `predict`; ModelError, if no row of any batch is answered, at the end.
        """
        prompt, config = self.prompt(site), self.config
        predictor = Predictor(prompt, config.lm, self.data["model"], self._model)
        asked, answered, reasons = 0, 0, dict[str, None]()
        for named in batches:
            batch = list(named)
            examples = [_example(prompt.task, config, *each) for each in batch]
            outcomes, why = _outcomes(predictor, examples, self._part(site) / "predictions.sqlite")
            asked += len(batch)
            answered += sum(any(value is not None for value in each.values()) for each in outcomes)
            reasons |= dict.fromkeys(why)
            yield [{**row, **each} for (_, row), each in zip(batch, outcomes, strict=True)]
        if asked and not answered:
            raise predictor.unanswered(list(reasons))


@toml_keys()
def _example(task: Task, config: Config, origin: str, row: Mapping[str, Any]) -> Example:
    """Return a row as an example, with the expected answer if a reward can be told."""
    if not isinstance(row, Mapping):
        raise QueryError(f"{origin}: found {type(row).__name__}; give a mapping by column")
    for name in ("prediction", "scores" if task.reward is None else "reward"):
        if name in row:
            raise QueryError(
                f"{origin}: there is a column {name!r} already, which the answer would "
                "overwrite; rename or remove it"
            )
    data, expected = config.data, config.label_column
    columns = data.columns or {}
    try:
        fields = {
            name: read_text(origin, row, columns.get(name, name), data.max_chars)
            for name in task.fields
        }
        if task.reward is None or is_missing(row.get(expected)):
            return Example(fields, "", origin=origin)
        return Example(fields, read_answer(origin, row, expected, data.max_chars), origin=origin)
    except DataError as error:
        raise QueryError(*error.args) from None


def _outcomes(
    predictor: Predictor, examples: Sequence[Example], answers: Path
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return what is added to every row of a batch, and why some rows have no answer."""
    prompt = predictor.prompt
    task, queries = prompt.task, prompt.render_all(example.fields for example in examples)
    if task.reward is None:
        found, reasons = predictor.ask(queries, answers)
        rows = zip(found.labels, found.log_probabilities, strict=True)
        return [_outcome(task.labels, label, logs) for label, logs in rows], reasons
    texts, reasons = predictor.say(queries, answers)
    rewarded = zip(examples, texts, strict=True)
    return [_rewarded(task.reward, example, text) for example, text in rewarded], reasons


def _rewarded(reward: Reward, example: Example, text: str | None) -> dict[str, Any]:
    if not example.label or reward.is_judge:
        return {"prediction": text}
    worth = None if text is None else round(reward(example, text), 6)
    return {"prediction": text, "reward": worth}


def _outcome(labels: Sequence[str], label: int, logs: FloatArray) -> dict[str, Any]:
    if np.isnan(logs).any():
        return {"prediction": None, "scores": None}
    return {
        "prediction": labels[label] if label >= 0 else None,
        "scores": dict(zip(labels, np.exp(logs).round(6).tolist(), strict=True)),
    }
