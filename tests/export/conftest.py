"""Two small runs, one whose model reads text and one that is sent messages, and what was sent."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from asyndbt import tune
from asyndbt.lm import Answer, LanguageModel, Prompt
from asyndbt.lm.providers._pocket import PocketLanguageModel
from asyndbt.pocket import TASKS, PocketServer, dataset
from asyndbt.run import Result

TASK = TASKS["sentiment-consumer"]
SITE = "meals"


@dataclass
class Scored:
    """A run, its test rows, and everything that its model was sent, as text or as messages."""

    result: Result
    test: list[dict[str, str]]
    sent: list[Any]


def tuned(
    folder: Path,
    lm: dict[str, Any],
    sites: Sequence[str] = (SITE,),
    model: LanguageModel | None = None,
) -> Scored:
    def rows(split: str, count: int) -> list[dict[str, str]]:
        kept = (
            islice((r for r in dataset(TASK.name, split) if (r["site"], r["label"]) == key), count)
            for key in ((site, label) for site in sites for label in TASK.labels)
        )
        return [dict(row) for part in kept for row in part]

    test = rows("test", 3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        result = tune(
            task={"instruction": TASK.instruction, "labels": dict(TASK.labels)},
            data={
                "train": rows("train", 7),
                "test": test,
                "site_column": "site",
                "pool_per_class": 4,
            },
            method={
                "vocabulary": "pocket",
                "fragment_length": 3,
                "draws": 3,
                "batch_size": 2,
                "random_icl_draws": 1,
                "confirm_candidates": 2,
                "iterations": 1,
            },
            budget={"calls": 400, "test_share": 1.0},
            lm=lm,
            model=model,
            run={"dir": str(folder / "run")},
        )
    return Scored(result, test, [])


@pytest.fixture(scope="session")
def by_text(tmp_path_factory: pytest.TempPathFactory) -> Scored:
    sent: list[str] = []
    score = PocketLanguageModel.score

    async def listening(
        model: PocketLanguageModel, prompts: Sequence[Prompt], labels: Sequence[str]
    ) -> list[Answer | None]:
        sent.extend(prompt.text for prompt in prompts)
        return await score(model, prompts, labels)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PocketLanguageModel, "score", listening)
        scored = tuned(tmp_path_factory.mktemp("text"), {"provider": "pocket"})
    scored.sent = sent
    return scored


@pytest.fixture(scope="session")
def endpoint() -> Iterator[tuple[PocketServer, list[Any]]]:
    """The pocket model's server, and the messages that it was sent."""
    sent: list[Any] = []

    class ListeningServer(PocketServer):
        def complete(self, body: bytes) -> dict[str, Any]:
            sent.append(json.loads(body)["messages"])
            return super().complete(body)

    with ListeningServer() as server:
        yield server, sent


@pytest.fixture(scope="session")
def by_chat(
    tmp_path_factory: pytest.TempPathFactory, endpoint: tuple[PocketServer, list[Any]]
) -> Scored:
    pytest.importorskip("openai")
    server, sent = endpoint
    lm = {
        "provider": "openai",
        "base_url": server.url,
        "model": "pocket",
        "feedback": "text",
        "system": "Answer with {labels}, {as} I say.",
    }
    scored = tuned(tmp_path_factory.mktemp("chat"), lm)
    scored.sent = sent
    return scored


@pytest.fixture(scope="session")
def two_sites(tmp_path_factory: pytest.TempPathFactory) -> Result:
    return tuned(tmp_path_factory.mktemp("two"), {"provider": "pocket"}, ("meals", "movies")).result
