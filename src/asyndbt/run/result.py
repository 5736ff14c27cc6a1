"""The outcome of a run, as an object."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from asyndbt.config import Config, load_config
from asyndbt.errors import ConfigError, DataError
from asyndbt.lm import AnswerCache, Budget, Gateway, Limits, label_distribution, make_model
from asyndbt.prompt import TunedPrompt
from asyndbt.run.directory import RunDirectory

__all__ = ["Result"]


class Result:
    """What a run found.

    Parameters
    ----------
    directory : Path
        The directory of a finished run.

    Attributes
    ----------
    data : dict
        The content of ``result.json``.

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

    @property
    def directory(self) -> Path:
        """Where the run is recorded."""
        return self._files.path

    @property
    def config(self) -> Config:
        """The configuration that the run had."""
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
        """Return a site's tuned prompt.

        Parameters
        ----------
        site : str, optional
            May be left out if there is one site only.

        Raises
        ------
        ConfigError
            If there is no such site, or it is left out and there are several.
        """
        names = self.sites
        if site is None and len(names) == 1:
            site = names[0]
        if site not in names:
            said = "name a site" if site is None else f"there is no site {site!r}"
            raise ConfigError(f"{said}; the run has: {', '.join(names)}")
        return TunedPrompt.load(self.directory / "sites" / site / "prompt.json")

    def predict(
        self, rows: Sequence[Mapping[str, str]], site: str | None = None
    ) -> list[dict[str, Any]]:
        """Answer new examples with a site's tuned prompt; answers paid for once are kept.

        Parameters
        ----------
        rows : sequence of mapping
            One text per field of the task; other keys are carried along.
        site : str, optional

        Returns
        -------
        list of dict
            The rows with ``prediction`` (a data label, or None if the request failed) and
            ``scores`` (label to probability).

        Raises
        ------
        DataError
            If a row lacks a field.
        """
        prompt, config = self.prompt(site), self.config
        task = prompt.task
        batch = []
        for number, row in enumerate(rows, start=1):
            missing = [field for field in task.fields if field not in row]
            if missing:
                raise DataError(
                    f"row {number}: no field {missing[0]!r}; the task reads "
                    f"{', '.join(task.fields)}"
                )
            batch.append(prompt.render(**{field: str(row[field]) for field in task.fields}))
        model = make_model(config.lm.provider, feedback=config.lm.feedback)
        with AnswerCache(self.directory / "predictions.sqlite") as cache:
            gateway = Gateway(model, cache, Budget(Limits()))
            answers = asyncio.run(gateway.ask(batch, task.label_words))
        predicted = []
        for row, answer in zip(rows, answers, strict=True):
            outcome: dict[str, Any] = {**row, "prediction": None, "scores": None}
            if answer is not None:
                logs = label_distribution(
                    answer, task.label_words, config.lm.feedback, config.lm.smoothing
                )
                outcome["prediction"] = task.labels[int(np.argmax(logs))]
                shares = np.exp(logs).round(6).tolist()
                outcome["scores"] = dict(zip(task.labels, shares, strict=True))
            predicted.append(outcome)
        return predicted
