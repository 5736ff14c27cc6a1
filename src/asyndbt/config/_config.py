"""The configuration, read from TOML and validated once, and the tables [budget] and [run]."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from pydantic import Field, ValidationError, ValidationInfo, model_validator

from asyndbt._section import Section, SettingError, key
from asyndbt._text import did_you_mean, quoted
from asyndbt.config._base import Directory, LimitsConfig, resolved
from asyndbt.config._data import DataConfig, TaskConfig
from asyndbt.config._explain import explain_errors
from asyndbt.config._federation import FederationConfig
from asyndbt.config._lm import LMConfig
from asyndbt.config._method import MethodConfig
from asyndbt.config._toml import format_table, read_toml
from asyndbt.errors import ConfigError
from asyndbt.robustness import ATTACKS

_OF_A_SITE = ("data", "lm")
"""Tables that are in each site's own file with engine "flower"."""
_OF_LABELS = (("data", "label_column"), ("lm", "smoothing"), ("method", "loss"))
"""Keys that only tasks with labels read."""


class BudgetConfig(LimitsConfig):
    """[budget]: totals of the whole run over all sites, everything included."""

    test_share: float = key(
        0.5,
        "Largest share of a budget for the test examples; if it does not cover all, the first "
        "ones are tested.",
        example=1.0,
        gt=0,
        le=1,
    )
    per_site: LimitsConfig = key(
        LimitsConfig(), "The same keys as caps of each site.", example={"calls": 2000}
    )


class RunConfig(Section):
    """[run]: the seed, and the directory of the record."""

    seed: int = key(0, "Seed of every random draw.", example=1, ge=0)
    dir: Directory = key(
        Path("runs/NAME-seedSEED"),
        "Directory of the run's record, relative to this file.",
        example="runs/first",
        kind="path",
    )

    @classmethod
    def derived(cls, given: Mapping[str, Any], info: ValidationInfo) -> Mapping[str, Any]:
        context = info.context or {}
        runs = resolved(context.get("runs", "runs"), info)
        return {"dir": runs / f"{context.get('name', 'run')}-seed{given.get('seed', 0)}"}


class Config(Section):
    """The configuration of a run; made by `load_config` or `Config.from_dict`.

    Paths are absolute and presets resolved, so equal configurations describe the same run.

    Examples
    --------
    >>> config = Config.from_dict({
    ...     "task": {"template": "sst2"},
    ...     "data": {"train": "train.jsonl"},
    ...     "method": {"iterations": 10},
    ... })
    >>> config.method.iterations, config.federation.quorum
    (10, 'majority')
    """

    task: TaskConfig = Field(description="What is asked.")
    data: DataConfig = Field(description="The examples, and how they divide into sites.")
    lm: LMConfig = Field(description="The language model.")
    method: MethodConfig = Field(description="How the prompt is tuned.")
    federation: FederationConfig = Field(description="How sites wait for one another.")
    budget: BudgetConfig = Field(description="What the run may cost.")
    run: RunConfig = Field(description="Seed and record.")

    @classmethod
    def from_dict(
        cls,
        data: Mapping[str, Any],
        *,
        base: Path | str = ".",
        name: str = "run",
        source: str | None = None,
    ) -> Self:
        """Validate a configuration given as nested mappings.

        Parameters
        ----------
        data : mapping
            Tables by name, as in the file.
        base : path
            Directory that relative paths start from.
        name : str
            Name of the run in the default of ``run.dir``.
        source : str, optional
            The file, named in messages.

        Raises
        ------
        ConfigError
            If a key is unknown, missing or wrong, with one line per problem.
        """
        return cls._checked(data, {"base": Path(base), "name": name}, source)

    def override(self, changes: Mapping[str, Any]) -> Self:
        """Return this configuration with some keys changed, validated again.

        Defaults that depend on a changed key change with it; relative paths among the changes
        start from the working directory.

        Parameters
        ----------
        changes : mapping
            New values by full key, such as ``{"run.seed": 1}``; None removes a key.

        Examples
        --------
        >>> config = Config.from_dict({
        ...     "task": {"template": "sst2"},
        ...     "data": {"train": "train.jsonl"},
        ...     "budget": {"calls": 100},
        ... })
        >>> config.override({"method.preset": "paper"}).method.fragment_length
        75
        """
        given = self.model_dump(mode="json", exclude_unset=True)
        for full, value in changes.items():
            *path, last = full.split(".")
            table = given
            for part in path:
                table = table.setdefault(part, {})
            table[last] = str(value) if isinstance(value, Path) else value
            if value is None:
                del table[last]
        name = self.run.dir.name.removesuffix(f"-seed{self.run.seed}")
        context: dict[str, Any] = {"name": name, "runs": self.run.dir.parent}
        if self.federation.flower is not None:
            context["home"] = self.federation.flower.home
        return self._checked(given, context, None)

    def to_dict(self) -> dict[str, Any]:
        """Return the resolved configuration without keys that are unset or have no effect."""
        values = self.model_dump(mode="json", exclude_none=True)
        for name in self.method.idle():
            values["method"].pop(name, None)
        for table, name in self._unread:
            values[table].pop(name, None)
        if self.federation.engine == "flower":
            values = {table: keys for table, keys in values.items() if table not in _OF_A_SITE}
        return values

    def to_toml(self) -> str:
        """Return `to_dict` as TOML, which reads back to an equal configuration from anywhere."""
        return format_table(self.to_dict())

    def dump(self, path: Path) -> None:
        """Write `to_toml` to a file."""
        path.write_text(self.to_toml(), encoding="utf-8", newline="\n")

    @property
    def label_column(self) -> str:
        """Column of what is expected of an answer: the label, or with a reward the answer."""
        return self.task.answer or self.data.label_column

    def fingerprint(self) -> str:
        """Return a SHA-256 of everything except ``run.dir`` and the budget, for checkpoints.

        Files count by their paths, not their contents.
        """
        values = self.to_dict()
        del values["run"]["dir"], values["budget"]
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()

    @classmethod
    def _checked(cls, data: Mapping[str, Any], context: dict[str, Any], source: str | None) -> Self:
        tables = {**{table: {} for table in cls.model_fields}, **_plain(data)}
        federation = tables["federation"]
        if isinstance(federation, dict) and federation.get("engine") == "flower":
            context = {**context, "elsewhere": True}
        task = tables["task"]
        if isinstance(task, dict) and task.get("reward") is not None:
            context = {**context, "reward": task["reward"]}
        try:
            return cls.model_validate(tables, context=context)
        except ValidationError as error:
            raise ConfigError(explain_errors(error, cls, source)) from None

    @model_validator(mode="after")
    def _check(self) -> Self:
        for check in (
            self._endless,
            self._unknown_sites,
            self._idle,
            self._uncalibrated,
            self._misplaced,
            self._truthful,
            self._not_private,
        ):
            for problem in check():
                raise problem
        return self

    def _endless(self) -> Iterator[SettingError]:
        limits = (self.budget, self.budget.per_site)
        free = not self.lm.is_remote and self.federation.engine != "flower"
        if self.method.iterations is None and not any(
            (cap.calls or cap.tokens or (cap.money and not free)) for cap in limits
        ):
            yield SettingError(
                "budget",
                "has no limit that ends this run: set budget.calls, budget.tokens, budget.money "
                + ("(a model on this machine costs none) " if free else "")
                + "or method.iterations",
            )

    def _idle(self) -> Iterator[SettingError]:
        for name, reason in self.method.idle().items():
            if name in self.method.given:
                yield SettingError(f"method.{name}", f"has no effect with {reason}: remove it")
        if self.task.costs is not None and self.method.loss == "cross_entropy":
            yield SettingError(
                "method.loss", '= "cross_entropy" knows no costs (task.costs): set "error"'
            )
        for table, name in self._unread:
            if name in getattr(self, table).given:
                yield SettingError(
                    f"{table}.{name}",
                    "is about labels and has no effect with task.reward: remove it",
                )

    def _uncalibrated(self) -> Iterator[SettingError]:
        if self.method.neighbours and self.lm.calibration == "contextual":
            yield SettingError(
                "method.neighbours",
                'is about texts, and the queries of lm.calibration = "contextual" have none that '
                'anything is near to: set "batch"',
            )

    @property
    def _unread(self) -> Sequence[tuple[str, str]]:
        """Tables and keys that nothing reads, since the task has no labels."""
        return () if self.task.reward is None else _OF_LABELS

    def _misplaced(self) -> Iterator[SettingError]:
        if self.federation.engine != "flower":
            return
        for table in _OF_A_SITE:
            if getattr(self, table).given:
                yield SettingError(
                    table, 'is each site\'s own with engine "flower": move it into the site.toml'
                )
        if self.method.vocabulary == "pmi" and self.method.mode != "demonstrations":
            yield SettingError(
                "method.vocabulary",
                '= "pmi" needs the texts of all sites in one place: use "builtin" with engine '
                '"flower", or a file that every site has a copy of',
            )
        if self.method.vocabulary == "propose" and self.method.mode != "demonstrations":
            yield SettingError(
                "method.vocabulary",
                '= "propose" needs the models of all sites in one place: with engine "flower" each '
                "site writes its hints with asyndbt propose site.toml --output hints.txt, asyndbt "
                "propose --pool makes one file of them, and that is the vocabulary",
            )
        if self.method.centralised:
            yield SettingError(
                "method.centralised",
                'pools the data of all sites, which engine "flower" keeps apart: remove one',
            )

    def _truthful(self) -> Iterator[SettingError]:
        """Find settings with which no site can lie: nothing that it reports is used."""
        if self.federation.liars is None:
            return
        if self.method.centralised:
            yield SettingError(
                "federation.liars",
                "needs sites, and method.centralised pools their data: remove one",
            )
        if self.method.mode == "demonstrations":
            yield SettingError(
                "federation.liars",
                'lie about the fragment, and method.mode = "demonstrations" has none: remove one',
            )
        if self.task.reward is not None and ATTACKS[self.federation.liars.attack].flips_labels:
            yield SettingError(
                "federation.liars.attack",
                f"= {quoted(self.federation.liars.attack)} gives rows false labels, and a task "
                "with task.reward has none: use another attack",
            )

    def _not_private(self) -> Iterator[SettingError]:
        if self.federation.privacy is None:
            return
        method = self.method
        if method.iterations is None:
            yield SettingError(
                "method.iterations",
                "is missing: with federation.privacy the number of reports is settled before the "
                "run; give a few, such as 4, and method.local_steps to spend the budget between "
                "them",
            )
        if method.centralised:
            yield SettingError(
                "method.centralised",
                "pools the data of all sites, which federation.privacy keeps from others: remove "
                "one",
            )
        if method.exchange != "policies":
            yield SettingError(
                "method.exchange", '= "effects" is not made private: leave "policies"'
            )
        if method.vocabulary == "pmi":
            yield SettingError(
                "method.vocabulary",
                '= "pmi" tells n-grams of the sites\' texts, which federation.privacy keeps from '
                'others: use "builtin" or a file',
            )
        if method.vocabulary == "propose":
            yield SettingError(
                "method.vocabulary",
                '= "propose" has hints that answer to the sites\' texts, without noise, while '
                'federation.privacy keeps these from others: use "builtin" or a file',
            )
        if method.patience is not None:
            yield SettingError(
                "method.patience",
                "needs validation scores, which federation.privacy keeps at the sites: remove one",
            )

    def _unknown_sites(self) -> Iterator[SettingError]:
        if self.data.sites is None or self.federation.delays is None:
            return
        known = list(self.data.sites)
        for name in ("slow", "dead", "rejoin"):
            for site in getattr(self.federation.delays, name):
                if site not in known:
                    hint = did_you_mean(site, known, quoted) or f": {', '.join(known)}"
                    key = f"federation.delays.{name}"
                    yield SettingError(key, f'names "{site}", which is not one of the sites{hint}')


def _plain(data: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _plain(value) if isinstance(value, Mapping) else value for name, value in data.items()
    }


def load_config(path: Path | str) -> Config:
    """Read a TOML file; relative paths in it start from its directory.

    Raises
    ------
    ConfigError
        If the file cannot be read, is not TOML, or has a wrong setting.
    """
    path = Path(path)
    data = read_toml(path, f"asyndbt init {path} writes one")
    return Config.from_dict(data, base=path.parent, name=path.stem, source=str(path))
