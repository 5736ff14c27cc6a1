"""The tables [task] and [data]: the question, the examples, and the sites that hold them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import ValidationInfo, field_validator, model_validator

from asyndbt._section import Section, SettingError, key
from asyndbt._spelling import scalar_text
from asyndbt._text import did_you_mean, quoted
from asyndbt.config._base import Name, Source
from asyndbt.config._judge import JudgeConfig
from asyndbt.task import REWARDS

_SOURCE = "path, pocket:TASK/SPLIT, or datasets:NAME"


class TaskConfig(Section):
    """[task]: the question put to the language model."""

    template: str | None = key(
        None,
        "Name of a built-in task, instead of instruction and labels.",
        example="sst2",
        min_length=1,
    )
    instruction: str | None = key(
        None,
        "The question, with the columns of the data in braces.",
        example='Is the sentiment of "{text_a}" positive or negative?',
    )
    fragment_intro: str = key(
        "Note:", "What stands between the question and the tuned fragment.", example="Hint:"
    )
    labels: dict[str, str] | None = key(
        None,
        "The label word that the model answers with, for every label in the data.",
        example={"0": "negative", "1": "positive"},
        kind="table: label in the data = label word",
    )
    reward: str | None = key(
        None,
        "How good an answer in words is, instead of labels: exact, contains, token_f1, regex, "
        "judge, or module:function.",
        example="token_f1",
        kind="reward",
        min_length=1,
    )
    answer: str | None = key(
        None,
        'Column of the expected answer, with a reward; "answer" if left out.',
        example="capital",
        min_length=1,
    )
    pattern: str | None = key(
        None,
        'What reward "regex" compares: what this regular expression finds last, its first group if '
        "it has one.",
        example=r"#### (-?\d+)",
        min_length=1,
    )

    costs: dict[str, dict[str, float]] | None = key(
        None,
        "What a wrong label costs, by the right one; 1 where none is given.",
        example={"1": {"0": 5.0}},
        kind="table: right label = {answered label = cost}",
    )

    judge: JudgeConfig | None = key(
        None, "A language model that judges answers.", example={"scale": 1.0}
    )

    @classmethod
    def derived(cls, given: Mapping[str, Any], info: ValidationInfo) -> Mapping[str, Any]:
        return {} if given.get("reward") is None else {"answer": "answer"}

    @field_validator("costs", mode="before")
    @classmethod
    def _as_texts(cls, costs: Any) -> Any:
        """Write the labels of costs as those of the task."""
        rows = costs.values() if isinstance(costs, Mapping) else ()
        if not rows or not all(isinstance(row, Mapping) for row in rows):
            return costs
        return {
            scalar_text(right) or right: {
                scalar_text(answered) or answered: cost for answered, cost in row.items()
            }
            for right, row in costs.items()
        }

    @field_validator("labels", mode="before")
    @classmethod
    def _as_text(cls, labels: Any) -> Any:
        """Write numbers and booleans among the labels as the loader reads them in data."""
        if not isinstance(labels, Mapping):
            return labels
        texts = [scalar_text(label) or label for label in labels]
        for text in texts:
            if texts.count(text) > 1:
                raise SettingError("", f'has the label "{text}" twice: name each label once')
        return dict(zip(texts, labels.values(), strict=True))

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.template is not None:
            for name in ("instruction", "labels", "reward"):
                if getattr(self, name) is not None:
                    raise SettingError(
                        name, "is set by task.template already: remove one of the two"
                    )
            return self
        if self.instruction is None:
            raise SettingError(
                "instruction",
                'is missing: write the question with its fields, such as "... {text_a} ...", '
                "or name a built-in task by task.template",
            )
        if not re.search(r"\{\w+\}", self.instruction):
            raise SettingError(
                "instruction", "has no field: write the column's name in braces, such as {text_a}"
            )
        if self.reward is None:
            self._check_labels()
        else:
            self._check_reward(self.reward)
        return self

    def _check_reward(self, reward: str) -> None:
        for name in ("labels", "costs"):
            if getattr(self, name) is not None:
                raise SettingError(name, "stands beside task.reward: remove one of the two")
        if reward not in REWARDS and not re.fullmatch(r"[\w.]+:\w+", reward):
            choices = ", ".join(map(quoted, REWARDS))
            raise SettingError(
                "reward",
                f"= {quoted(reward)} is unknown: use {choices}, or a function as module:function"
                f"{did_you_mean(reward, REWARDS, quoted)}",
            )
        for name, owner in (("pattern", "regex"), ("judge", "judge")):
            if reward == owner and getattr(self, name) is None:
                raise SettingError(name, f"is missing: reward {quoted(owner)} needs it")
            if reward != owner and getattr(self, name) is not None:
                raise SettingError(name, f"has no effect with reward {quoted(reward)}: remove it")

    def _check_labels(self) -> None:
        for name in ("answer", "pattern", "judge"):
            if getattr(self, name) is not None:
                raise SettingError(name, "has no effect without task.reward: remove it")
        if self.labels is None or len(self.labels) < 2:
            raise SettingError(
                "labels", 'needs two labels or more, each with its word, such as 0 = "negative"'
            )
        words = list(self.labels.values())
        for word in words:
            if not word.strip():
                raise SettingError("labels", "has an empty label word: give every label a word")
            if words.count(word) > 1:
                raise SettingError("labels", f'uses "{word}" twice: give every label its own word')


class SiteConfig(Section):
    """[data.sites.NAME]: the files of one site."""

    train: Source = key(
        ..., "This site's training examples.", example="north/train.jsonl", kind=_SOURCE
    )
    validation: Source | None = key(
        None,
        "This site's validation examples; taken from train without them.",
        example="north/validation.jsonl",
        kind=_SOURCE,
    )
    test: Source | None = key(
        None, "This site's test examples.", example="north/test.jsonl", kind=_SOURCE
    )


class PartitionConfig(Section):
    """[data.partition]: cut one data set into sites, for experiments."""

    sites: int = key(
        ...,
        "Number of sites to cut the data into; with data.site_column, every site that it names is "
        "cut into its share of them.",
        example=3,
        ge=1,
    )
    kind: Literal["iid", "dirichlet"] = key(
        "iid",
        "How labels spread over the sites: evenly, or unevenly by a Dirichlet draw.",
        example="dirichlet",
    )
    alpha: float = key(
        0.5, 'Concentration, kind "dirichlet": smaller is more uneven.', example=0.1, gt=0
    )
    test: Literal["divided", "shared"] = key(
        "divided",
        "Whether a site is tested on its share of the test examples or on all of them.",
        example="shared",
    )


class DataConfig(Section):
    """[data]: the examples, and how they divide into sites (one site named "local" by default)."""

    train: Source | None = key(
        None, "Training examples of all sites.", example="train.jsonl", kind=_SOURCE
    )
    validation: Source | None = key(
        None,
        "Validation examples, on which read-outs are compared; taken from train without it.",
        example="validation.jsonl",
        kind=_SOURCE,
    )
    test: Source | None = key(
        None, "Test examples, never used while tuning.", example="test.jsonl", kind=_SOURCE
    )
    label_column: str = key(
        "label", "Column that holds the label.", example="sentiment", min_length=1
    )
    columns: dict[str, str] | None = key(
        None,
        "The column of every field of the instruction that has another name in the data.",
        example={"text_a": "sentence"},
        kind="table: field = column",
    )
    max_chars: int = key(
        20_000, "Most characters of one text; a longer one is an error.", example=50_000, ge=1
    )
    site_column: str | None = key(
        None, "Column that holds the site's name: one site per value.", example="site", min_length=1
    )
    pool_per_class: int = key(
        20,
        "Training examples per class and site that demonstrations are chosen from.",
        example=50,
        ge=1,
    )
    train_per_class: int | None = key(
        None,
        "Training queries per class and site (an equal share of what the others leave).",
        example=10,
        ge=1,
    )
    validation_per_class: int | None = key(
        None,
        "Validation queries per class and site (an equal share of what the others leave).",
        example=10,
        ge=1,
    )
    partition: PartitionConfig | None = key(
        None, "Cut the data into sites, for experiments.", example={"sites": 3}
    )
    sites: dict[Name, SiteConfig] | None = key(
        None, "One table of files per site.", example={"north": {"train": "north/train.jsonl"}}
    )

    @model_validator(mode="after")
    def _check(self, info: ValidationInfo) -> Self:
        if (info.context or {}).get("elsewhere"):
            return self
        for way in ("site_column", "partition"):
            if self.sites is not None and getattr(self, way) is not None:
                raise SettingError(
                    way, "and data.sites both form sites: keep one of the two, remove the other"
                )
        if self.site_column and self.partition and self.partition.test == "shared":
            raise SettingError(
                "partition.test",
                '= "shared" is for data whose sites are not named: remove it, or data.site_column',
            )
        if self.sites is not None:
            self._check_site_tables()
        elif self.train is None:
            raise SettingError(
                "train", "is missing: give the training examples, or a table [data.sites.NAME] each"
            )
        return self

    def _check_site_tables(self) -> None:
        if not self.sites:
            raise SettingError("sites", "is empty: write a table [data.sites.NAME] per site")
        for name in ("train", "validation", "test"):
            if getattr(self, name) is not None:
                raise SettingError(
                    name, "stands beside [data.sites]: move it into the sites' tables"
                )
