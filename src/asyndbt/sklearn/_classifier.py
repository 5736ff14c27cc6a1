"""The classifier."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from asyndbt._api import tune
from asyndbt.errors import MissingExtraError, ModelError
from asyndbt.lm import LanguageModel
from asyndbt.prompt import TunedPrompt
from asyndbt.run import Predictor

try:
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.utils import check_consistent_length, check_random_state, column_or_1d
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted
except ImportError:
    raise MissingExtraError("scikit-learn", "sklearn") from None

from asyndbt.sklearn._input import default_instruction, fields_of, task_table, texts_of
from asyndbt.sklearn._saved import read_fitted, write_fitted

# No field of an instruction can have these names.
_LABEL, _SITE = "the label", "the site"


class AsynDBTClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Classify texts with a language model, under a prompt that `fit` tunes.

    Parameters
    ----------
    lm : mapping or LanguageModel, optional
        The table ``[lm]`` of a configuration, or a model; the pocket model without.
    task : mapping or str, optional
        The table ``[task]``, or its instruction. Without an instruction the question is what the
        label is; labels without words are their own words.
    calls : int
        Most requests that `fit` sends.
    method, data, federation : mapping, optional
        Further tables of the configuration, such as ``method={"fragment_length": 4}``; rows,
        columns and sites are set by `fit`.
    random_state : int or RandomState
        Seed of every random draw.

    Attributes
    ----------
    classes_ : ndarray
        The labels (U,).
    prompts_ : dict of str to TunedPrompt
        By site.
    n_features_in_ : int
        Number of the task's fields.
    feature_names_in_ : ndarray
        Their names.

    Examples
    --------
    >>> from asyndbt.pocket import dataset
    >>> rows = [r for r in dataset("sentiment-consumer", "train") if r["site"] == "meals"][:60]
    >>> texts, labels = [r["text_a"] for r in rows], [r["label"] for r in rows]
    >>> task = {"instruction": 'How does "{text}" feel?',
    ...         "labels": {"positive": "great", "negative": "terrible"}}
    >>> classifier = AsynDBTClassifier(task=task, calls=100, method={"vocabulary": "pocket"})
    >>> classifier.fit(texts, labels).predict(["the soup was superb"]).tolist()
    ['positive']
    """

    def __init__(
        self,
        lm: Mapping[str, Any] | LanguageModel | None = None,
        task: Mapping[str, Any] | str | None = None,
        calls: int = 1000,
        method: Mapping[str, Any] | None = None,
        data: Mapping[str, Any] | None = None,
        federation: Mapping[str, Any] | None = None,
        random_state: Any = 0,
    ) -> None:
        self.lm = lm
        self.task = task
        self.calls = calls
        self.method = method
        self.data = data
        self.federation = federation
        self.random_state = random_state

    def fit(self, X: Any, y: ArrayLike, groups: ArrayLike | None = None) -> Self:
        """Tune prompts.

        Parameters
        ----------
        X : array-like or data frame
            (n,) texts, or a data frame whose columns include the task's fields, or (n, columns) in
            their order.
        y : array-like
            Labels (n,).
        groups : array-like, optional
            The site of every sample (n,); one site without.

        Raises
        ------
        ValueError
            If X, y or groups cannot be used.
        AsyndbtError
            As `asyndbt.tune` does.
        """
        labels = self._labels(y)
        task = task_table(self.task, self.classes_)
        rows = texts_of(X, fields_of(task), type(self).__name__)
        check_consistent_length(rows, labels)
        fields = list(rows[0])
        task.setdefault("instruction", default_instruction(fields))
        named = {_LABEL: [str(label) for label in labels.tolist()]}
        if groups is not None:
            named[_SITE] = _texts(groups, rows)
        self._tune(task, self._data(rows, named))
        self.n_features_in_, self.feature_names_in_ = len(fields), np.array(fields, dtype=object)
        return self

    def _labels(self, y: Any) -> NDArray[Any]:
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None"
            )
        labels: NDArray[Any] = column_or_1d(y, warn=True)
        check_classification_targets(labels)
        self.classes_ = np.unique(labels)
        if len(self.classes_) < 2:
            raise ValueError("y has one class only, and there is nothing to tell apart")
        return labels

    def _data(
        self, rows: Sequence[Mapping[str, str]], named: Mapping[str, Sequence[str]]
    ) -> dict[str, Any]:
        """Return the table ``[data]``, `named` being the labels and the sites of the rows.

        A third of the smallest class at a site is for demonstrations, or 20 examples.
        """
        given = list(zip(*named.values(), strict=True))
        fewest = min(Counter(given).values())
        return {
            "pool_per_class": min(20, max(2, fewest // 3)),
            **(self.data or {}),
            "train": [
                {**row, **dict(zip(named, of, strict=True))}
                for row, of in zip(rows, given, strict=True)
            ],
            "label_column": _LABEL,
            **({"site_column": _SITE} if _SITE in named else {}),
        }

    def _tune(self, task: Mapping[str, Any], data: Mapping[str, Any]) -> None:
        seed = self.random_state
        if not isinstance(seed, int | np.integer):
            seed = check_random_state(seed).randint(2**31)
        tables = {"lm": self.lm, "method": self.method, "federation": self.federation}
        given = {
            "task": task,
            "data": data,
            "budget": {"calls": self.calls},
            **{name: table for name, table in tables.items() if isinstance(table, Mapping)},
        }
        with TemporaryDirectory() as folder:
            run = {"dir": str(Path(folder) / "run"), "seed": int(seed)}
            result = tune({**given, "run": run}, model=self._own_model)
            self.prompts_ = {site: result.prompt(site) for site in result.sites}
            self._lm_config, self._record = result.config.lm, result.data["model"]

    @property
    def _own_model(self) -> LanguageModel | None:
        return self.lm if isinstance(self.lm, LanguageModel) else None

    def predict_proba(self, X: Any, groups: ArrayLike | None = None) -> NDArray[np.float64]:
        """Return the probability of every label.

        Parameters
        ----------
        X : array-like or data frame
            As for `fit`.
        groups : array-like, optional
            The site of every sample (n,), whose prompt is used. Without, the mean over the prompts
            of all sites, each of which is asked.

        Returns
        -------
        ndarray
            (n, U) in the order of `classes_`.

        Raises
        ------
        ValueError
            If X cannot be used, or a site is unknown.
        ModelError
            If a request fails.
        """
        check_is_fitted(self, "prompts_")
        rows = texts_of(X, self.feature_names_in_.tolist(), type(self).__name__)
        if groups is None:
            every = [self._ask(prompt, rows) for prompt in self.prompts_.values()]
            mean: NDArray[np.float64] = np.mean(every, axis=0)
            return mean
        sites = np.array(_texts(groups, rows))
        if unknown := sorted(set(sites.tolist()) - set(self.prompts_)):
            raise ValueError(f"groups has {unknown}, and the sites are {sorted(self.prompts_)}")
        found = np.empty((len(rows), len(self.classes_)))
        for site in set(sites.tolist()):
            chosen = np.flatnonzero(sites == site)
            found[chosen] = self._ask(self.prompts_[site], [rows[index] for index in chosen])
        return found

    def predict(self, X: Any, groups: ArrayLike | None = None) -> NDArray[Any]:
        """Return the most probable label of every sample (n,); arguments as `predict_proba`."""
        probabilities = self.predict_proba(X, groups)
        labels: NDArray[Any] = self.classes_[probabilities.argmax(axis=1)]
        return labels

    def _ask(self, prompt: TunedPrompt, rows: Sequence[Mapping[str, str]]) -> NDArray[np.float64]:
        predictor = Predictor(prompt, self._lm_config, self._record, self._own_model)
        found = predictor.predict(prompt.render_all(rows))
        if failed := int((~found.answered).sum()):
            raise ModelError(
                f"{failed} of {len(rows)} requests failed: predict these samples again",
                provider=self._lm_config.provider,
            )
        return np.exp(found.log_probabilities)

    def save(self, path: Path | str) -> None:
        """Write the fitted classifier as JSON; a `lm` that is an object is not in it.

        Raises
        ------
        NotFittedError
            If it is not fitted.
        TypeError
            If a parameter is no JSON value.
        """
        check_is_fitted(self, "prompts_")
        write_fitted(self, Path(path))

    @classmethod
    def load(cls, path: Path | str, lm: LanguageModel | None = None) -> Self:
        """Read a classifier that `save` wrote.

        Parameters
        ----------
        path : path
        lm : LanguageModel, optional
            The model, where the classifier had been given an object.

        Raises
        ------
        DataError
            If the file is missing or is no such classifier.
        """
        return read_fitted(cls, Path(path), lm)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        return tags


def _texts(groups: ArrayLike, rows: Sequence[Any]) -> list[str]:
    """Return the sites of samples, one each; raises ValueError."""
    sites = [str(site) for site in column_or_1d(groups).tolist()]
    check_consistent_length(rows, sites)
    return sites
