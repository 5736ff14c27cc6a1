"""The result of a run as an object."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from asyndbt._async import run_sync
from asyndbt.config import Config, LMConfig, load_config, toml_keys
from asyndbt.errors import ConfigError, DataError, ModelError
from asyndbt.lm import (
    AnswerCache,
    Budget,
    Gateway,
    Limits,
    Predictions,
    Prompt,
    check_requests,
)
from asyndbt.optim import FloatArray
from asyndbt.prompt import TunedPrompt
from asyndbt.run._directory import RunDirectory
from asyndbt.run._model_handle import ModelHandle
from asyndbt.task import check_text


class Result:
    """What a finished run found; `data` holds the content of ``result.json``.

    Raises
    ------
    RunDirectoryError
        If there is no run in that directory.
    DataError
        If the run is not finished.
    """

    def __init__(self, directory: Path | str) -> None:
        self._files = RunDirectory.open(Path(directory))
        if not self._files.result_file.exists():
            raise DataError(
                f"{directory}: the run is not finished; go on with 'asyndbt resume {directory}'"
            )
        self.data: dict[str, Any] = json.loads(self._files.result_file.read_text("utf-8"))

    def __repr__(self) -> str:
        return f"Result({str(self.directory)!r})"

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
        return sorted(path.parent.name for path in self.directory.glob("sites/*/prompt.json"))

    def prompt(self, site: str | None = None) -> TunedPrompt:
        """Return a site's tuned prompt; `site` may be omitted if there is only one.

        Raises
        ------
        ConfigError
            If there is no such site, or it is omitted and there are several.
        """
        return TunedPrompt.load(self._part(site) / "prompt.json")

    def _part(self, site: str | None) -> Path:
        names = self.sites
        if site is None and len(names) == 1:
            site = names[0]
        if site not in names:
            said = "name a site" if site is None else f"there is no site {site!r}"
            raise ConfigError(f"{said}; the run has: {', '.join(names)}")
        return self.directory / "sites" / site

    def predict(
        self, rows: Sequence[Mapping[str, Any]], site: str | None = None
    ) -> list[dict[str, Any]]:
        """Classify new examples with a site's tuned prompt; paid answers are cached.

        Parameters
        ----------
        rows : sequence of mapping
            One text per field of the task, in the columns of the run's data; other keys are kept.
        site : str, optional
            May be omitted if there is only one.

        Returns
        -------
        list of dict
            The rows with ``prediction`` (a data label as text, ``"1"`` for ``1``; None where the
            answer names none or the request failed) and ``scores`` (label to probability; None
            where the request failed).

        Raises
        ------
        DataError
            Before any request: if a row lacks a text, has an empty one, or already has a column
            ``prediction`` or ``scores``, or a prompt does not fit the model.
        ModelError
            If no row is answered.
        """
        if isinstance(rows, str | Mapping):
            raise DataError(f"predict: found {type(rows).__name__}; give a list of rows")
        prompt, config = self.prompt(site), self.config
        words, lm = prompt.task.label_words, config.lm
        batch = [_query(prompt, config, number, row) for number, row in enumerate(rows, start=1)]
        handle = ModelHandle.of(lm)
        handle.restore_capabilities(self.data["model"])
        check_requests(handle.model, words, batch)
        with AnswerCache(self._part(site) / "predictions.sqlite") as cache:
            gateway = Gateway(handle.model, cache, Budget(Limits()), handle.policy)
            found = run_sync(_predictions(gateway, batch, words, lm))
            reasons = cache.attempts.reasons() | cache.refused()
        if batch and not found.answered.any():
            why = ", ".join(reasons) or "no reason given"
            raise ModelError(f"no row was answered: {why}", provider=lm.provider)
        return [
            {**row, **_outcome(prompt.task.labels, label, logs)}
            for row, label, logs in zip(rows, found.labels, found.log_probabilities, strict=True)
        ]


async def _predictions(
    gateway: Gateway, batch: Sequence[Prompt], words: Sequence[str], lm: LMConfig
) -> Predictions:
    try:
        return await gateway.predict(batch, words, lm.feedback, lm.smoothing)
    finally:
        await gateway.model.close()


@toml_keys()
def _query(prompt: TunedPrompt, config: Config, number: int, row: Mapping[str, Any]) -> Prompt:
    if not isinstance(row, Mapping):
        raise DataError(f"row {number}: found {type(row).__name__}; give a mapping by column")
    for name in ("prediction", "scores"):
        if name in row:
            raise DataError(
                f"row {number}: there is a column {name!r} already, which the answer would "
                "overwrite; rename or remove it"
            )
    fields = {}
    for field in prompt.task.fields:
        column = (config.data.columns or {}).get(field, field)
        if column not in row:
            raise DataError(
                f"row {number}: no column {column!r}; the task reads "
                f"{', '.join(prompt.task.fields)}"
            )
        where = f"row {number}, column {column!r}"
        fields[field] = check_text(where, row[column], config.data.max_chars)
    return prompt.render(**fields)


def _outcome(labels: Sequence[str], label: int, logs: FloatArray) -> dict[str, Any]:
    if np.isnan(logs).any():
        return {"prediction": None, "scores": None}
    return {
        "prediction": labels[label] if label >= 0 else None,
        "scores": dict(zip(labels, np.exp(logs).round(6).tolist(), strict=True)),
    }
