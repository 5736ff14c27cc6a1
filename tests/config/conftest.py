"""A configuration that is valid, to be changed by one thing at a time."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from asyndbt.config import Config
from asyndbt.errors import ConfigError

MINIMAL: dict[str, Any] = {
    "task": {"template": "sst2"},
    "data": {"train": "train.jsonl"},
    "budget": {"calls": 100},
}


@pytest.fixture
def minimal() -> dict[str, Any]:
    return deepcopy(MINIMAL)


@pytest.fixture
def complaint(minimal: dict[str, Any]) -> Callable[..., str]:
    """Return the message about the minimal configuration with some keys changed."""

    def say(changes: dict[str, Any]) -> str:
        for full, value in changes.items():
            *path, last = full.split(".")
            table = minimal
            for part in path:
                table = table.setdefault(part, {})
            table[last] = value
            if value is None:
                del table[last]
        with pytest.raises(ConfigError) as caught:
            Config.from_dict(minimal, source="a.toml")
        return str(caught.value)

    return say
