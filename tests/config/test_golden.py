"""Resolved configurations as bytes: what is on disk today must be written and read tomorrow."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from asyndbt.config import Config
from asyndbt.federation import Plan

GOLDEN = Path(__file__).parent / "golden"
CONFIGS: dict[str, dict[str, Any]] = {
    "default": {
        "task": {"template": "sst2"},
        "data": {"train": "train.jsonl"},
        "budget": {"calls": 100},
    },
    "paper": {
        "task": {"template": "sst2"},
        "data": {"train": "train.jsonl"},
        "method": {"preset": "paper"},
    },
    "every-table": {
        "task": {
            "instruction": 'Is "{text}" good or bad?',
            "fragment_intro": "Hint:",
            "labels": {0: "bad", 1: "good"},
        },
        "data": {
            "columns": {"text": "sentence"},
            "pool_per_class": 8,
            "sites": {
                "north": {"train": "n.csv", "test": "pocket:sentiment-consumer/test"},
                "south plant": {"train": "s.csv", "validation": "datasets:glue/sst2:validation"},
            },
        },
        "lm": {
            "provider": "openai",
            "model": "gpt-4o-mini",
            "feedback": "votes",
            "extra_body": {"enable_thinking": False},
            "cache": "answers.sqlite",
        },
        "method": {
            "preset": "paper",
            "estimator": "regression",
            "demonstrations_total": 4,
            "vocabulary": "words.txt",
            "ridge": 2.5,
            "step": "exponentiated",
        },
        "federation": {
            "engine": "virtual",
            "quorum": 0.5,
            "delays": {"kind": "pareto", "slow": {"north": 10.0}, "dead": {"south plant": 60}},
        },
        "budget": {"calls": 5_000, "money": 2, "per_site": {"tokens": 100_000}},
        "run": {"seed": 3},
    },
    "flower": {
        "task": {"template": "sst2"},
        "method": {"mode": "demonstrations", "probability_floor": 1e-3},
        "federation": {"engine": "flower", "sites": ["north", "south"], "lease": 60},
        "budget": {"calls": 100},
    },
}
DIGESTS: dict[str, tuple[str, str]] = {
    "default": ("6f7a521d0cd7fb4e", "4f3ff86e1a72d6f2"),
    "paper": ("e41b5521092dc891", "faf3806d873c494d"),
    "every-table": ("d438c6ec2b79fae8", "cbf512686351311a"),
    "flower": ("2c8607091e402cbe", "9db090eaa05240b3"),
}
"""Fingerprint of the configuration, agreement of a plan with its settings."""


def resolved(name: str) -> Config:
    return Config.from_dict(CONFIGS[name], base="/somewhere", name=name)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_resolved_configuration_is_written_as_it_always_was(name: str) -> None:
    written = (GOLDEN / f"{name}.toml").read_text(encoding="utf-8")
    assert resolved(name).to_toml() == written
    again = Config.from_dict(tomllib.loads(written), base="/elsewhere", name="other")
    assert again.to_toml() == written
    assert again.fingerprint() == resolved(name).fingerprint()


@pytest.mark.parametrize("name", CONFIGS)
def test_run_directories_of_earlier_versions_can_be_resumed(name: str) -> None:
    config = resolved(name)
    plan = Plan(sites=("a",), positions=2, words=3, settings=config.method.settings())
    assert (config.fingerprint()[:16], plan.agreement) == DIGESTS[name]
