"""What reads bytes from outside, and whole inputs for it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import struct
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from asyndbt.config import Config, load_config
from asyndbt.errors import AsyndbtError
from asyndbt.federation import StepDone, decode, encode, unpack_state
from asyndbt.federation._codec import _MAGIC
from asyndbt.federation._messages import Evaluate
from asyndbt.federation._state import pack_state
from asyndbt.federation.engines._envelope import (
    pack_reply,
    pack_request,
    unpack_reply,
    unpack_request,
)
from asyndbt.lm import Prompt, read_answers
from asyndbt.lm.providers.openai import OpenAILanguageModel
from asyndbt.lm.providers.openai._errors import error_of_status
from asyndbt.lm.providers.openai._key import ApiKey
from asyndbt.scoring import Score, Spent
from asyndbt.task import Task, load_examples

TASK = Task('Is "{text_a}" good?', ("0", "1"), ("terrible", "great"))
LABELS = ["terrible", "great"]


class Targets:
    """What is fed, by name; `folder` is for the files among it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._loop = asyncio.new_event_loop()
        self._model = OpenAILanguageModel(model="m", base_url="http://127.0.0.1:1/v1")
        self.all: Mapping[str, Callable[[bytes], None]] = {
            "config": self._config,
            "csv": self._csv,
            "jsonl": self._jsonl,
            "message": self._message,
            "checkpoint": self._checkpoint,
            "reply": self._reply,
        }

    def close(self) -> None:
        """Close the loop."""
        self._loop.close()

    def feed(self, name: str, data: bytes) -> None:
        """Feed bytes to a target; errors of this package are what may come out."""
        with suppress(AsyndbtError):
            self.all[name](data)

    def _file(self, name: str, data: bytes) -> Path:
        path = self._folder / name
        path.write_bytes(data)
        return path

    def _config(self, data: bytes) -> None:
        config = load_config(self._file("run.toml", data))
        again = Config.from_dict(config.to_dict())
        assert again.fingerprint() == config.fingerprint()

    def _csv(self, data: bytes) -> None:
        self._examples("rows.csv", data)

    def _jsonl(self, data: bytes) -> None:
        self._examples("rows.jsonl", data)

    def _examples(self, name: str, data: bytes) -> None:
        self._file(name, data)
        load_examples(name, TASK, site_column="site", max_chars=500, base=self._folder)

    def _message(self, data: bytes) -> None:
        data = framed(data)
        for unwrap in (unpack_reply, lambda frame: unpack_request(frame)[1]):
            with suppress(AsyndbtError):
                decode(unwrap(data))
        message = decode(data)
        assert encode(decode(encode(message))) == encode(message)

    def _checkpoint(self, data: bytes) -> None:
        data = framed(data)
        with suppress(AsyndbtError):
            unpack_state(data + hashlib.blake2b(data, digest_size=16).digest())
        unpack_state(data)

    def _reply(self, data: bytes) -> None:
        """Bytes of a reply; after a first byte that is no ASCII, the body of an error."""
        if data[:1] > b"\x7f":
            status, text = 300 + data[0], data[1:].decode("utf-8", "replace")
            body: Any = text
            with suppress(ValueError, RecursionError):
                body = json.loads(text)
            raise error_of_status(status, body, {"retry-after": text[:40]}, "here", ApiKey())
        self._loop.run_until_complete(self._answer(data.decode("utf-8", "replace")))

    async def _answer(self, text: str) -> None:
        client: Any = self._model._client
        client._clients[asyncio.get_running_loop()] = _Sender(text)
        answers = await self._model.score([Prompt((), "Is it good?")], LABELS)
        read_answers(answers, LABELS, "logprobs")


def framed(data: bytes) -> bytes:
    """Return the record of a header, a blank line and a body; other bytes as they are.

    In a record the length of the header stands before it, and hardly any change keeps to that.
    """
    if not data.startswith(b"{"):
        return data
    header, _, body = data.partition(b"\n\n")
    return b"".join([_MAGIC, struct.pack("<I", len(header)), header, body])


def unframed(record: bytes) -> bytes:
    """Inverse of `framed`."""
    (length,) = struct.unpack_from("<I", record, 4)
    return record[8 : 8 + length] + b"\n\n" + record[8 + length :]


class _Sender:
    """In place of the client of the endpoint: it has this reply for everything."""

    def __init__(self, text: str) -> None:
        self._text = text

    async def post(self, path: str, **_: Any) -> str:
        """Return the reply."""
        return self._text


# ------------------------------------------------------------------ seeds
CONFIG = """
[task]
instruction = 'Is "{text_a}" good?'
labels = { 0 = "terrible", 1 = "great" }
[data]
train = "train.jsonl"
validation = "validation.jsonl"
test = "test.jsonl"
site_column = "site"
[method]
eta_p = 1.0
mode = "both"
vocabulary = "pocket"
fragment_length = 3
[federation]
engine = "virtual"
quorum = 2
delays = { kind = "lognormal", slow = { north = 3.0 }, dead = { north = 4.5 } }
[budget]
calls = 1000
per_site = { tokens = 500 }
[lm]
provider = "openai"
model = "m"
base_url = "http://127.0.0.1:1/v1"
feedback = "votes"
[run]
seed = 3
"""
CSV = 'sep=;\ntext_a;label;site\n"say ""yes""\nor no";1;north\nI am angry;0;"söuth"\n'
JSONL = """{"text_a": "I am happy", "label": 1, "site": "north"}
{"text_a": "I am \\ud83d\\ude00", "label": "0", "site": "south", "more": [1, {"a": null}]}
"""


def seeds() -> dict[str, list[bytes]]:
    """Return whole inputs by target."""
    scored = {"token": " great", "logprob": -0.1, "bytes": [32, 103]}
    other = {"token": " terrible", "logprob": -2.3, "bytes": None}
    position = {**scored, "top_logprobs": [scored, other]}
    choice = {
        "message": {"content": "<think>it is</think> great", "reasoning": None},
        "logprobs": {"content": [position]},
        "finish_reason": "stop",
    }
    usage = {"prompt_tokens": 10, "completion_tokens": "1", "total_tokens": 11}
    text = {"text": " great", "logprobs": {"tokens": [" great"], "token_logprobs": [-0.1]}}
    delta = {"choices": [{"index": 0, "delta": {"content": "great"}}]}
    work = Evaluate(site="north", id=4, iteration=2, fragment=np.array([1, 2]))
    report = StepDone(
        site="north",
        id=3,
        spent=Spent(1, 2, money=0.5),
        p=np.full((2, 3), 1 / 3),
        proposal=np.array([0, 1]),
        loss=0.5,
        answered=6,
        entropy_q=0.1,
        entropy_q_max=0.2,
        exhausted=False,
        validation=Score(3.0, 4, 0.5),
    )
    state = pack_state({"phase": "tuning", "more": {"events": 3}}, {"server/z": np.eye(2)})
    replies: list[dict[str, Any]] = [
        {"model": "m", "choices": [choice], "usage": usage},
        {"choices": [{**text, "top_logprobs": [{" great": -0.1}]}], "usage": None},
        {"error": {"message": "try again in 20s", "type": "rate", "code": 429}},
    ]
    stream = f"data: {json.dumps(delta)}\n\ndata: [DONE]\n\n"
    bodies = [json.dumps(reply).encode() for reply in replies]
    messages = [encode(report), encode(work)]
    frames = [pack_reply(messages[0]), pack_request("0123456789abcdef", messages[1])]
    return {
        "config": [CONFIG.encode()],
        "csv": [CSV.encode(), CSV.replace(";", ",").removeprefix("sep=,\n").encode()],
        "jsonl": [JSONL.encode()],
        "message": [*messages, *frames, *map(unframed, messages + frames)],
        "checkpoint": [state, state[:-16], unframed(state[:-16])],
        "reply": [*bodies, stream.encode(), b"\x81" + bodies[2]],
    }
