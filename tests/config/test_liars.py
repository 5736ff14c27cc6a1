"""The table [federation.liars]."""

from __future__ import annotations

from typing import Any

import pytest

from asyndbt.config import Config
from asyndbt.errors import ConfigError
from asyndbt.robustness import ATTACKS


def config(minimal: dict[str, Any], **liars: Any) -> Config:
    federation = {"engine": "virtual"} | ({"liars": liars} if liars else {})
    return Config.from_dict({**minimal, "federation": federation})


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_share_of_nobody_is_the_run_without_liars(minimal: dict[str, Any], attack: str) -> None:
    nobody = config(minimal, attack=attack, share=0.0, words=["a"])
    assert nobody.federation.liars is None
    assert nobody.to_toml() == config(minimal).to_toml()
    assert nobody.fingerprint() == config(minimal).fingerprint()


def test_who_lies_and_how_makes_it_another_run(minimal: dict[str, Any]) -> None:
    runs = [
        config(minimal),
        config(minimal, attack="collude", share=0.3),
        config(minimal, attack="collude", share=0.4),
        config(minimal, attack="vote", share=0.3),
        config(minimal, attack="collude", sites=["north"]),
        config(minimal, attack="collude", share=0.3, words=["a", "b"]),
    ]
    assert len({run.fingerprint() for run in runs}) == len(runs)


def test_rows_without_labels_cannot_have_false_ones(minimal: dict[str, Any]) -> None:
    rewarded = {
        **minimal,
        "task": {"instruction": "Say {text}.", "reward": "exact"},
        "lm": {"provider": "openai", "model": "m"},
    }
    assert config(rewarded, attack="collude", share=0.3).federation.liars is not None
    with pytest.raises(ConfigError, match=r'liars.attack = "label-flip" gives rows false labels'):
        config(rewarded, attack="label-flip", share=0.3)
