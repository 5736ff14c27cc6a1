"""Chat completions of the pocket model: requests and responses as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from random import Random
from typing import Annotated, Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from asyndbt._chat_server import ChatError, ChatMessage, check_model, completion, parse_body

MODEL_NAME: Final = "pocket"
_Row = NDArray[np.float64]


class ChatRequest(BaseModel):
    """The fields of a request that are read; others are ignored.

    `max_tokens` and `max_completion_tokens` have no effect: an answer is one word.
    """

    model_config = ConfigDict(strict=True)

    model: str
    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    n: Annotated[int, Field(ge=1, le=128)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    seed: int | None = None
    stream: bool | None = None

    @property
    def text(self) -> str:
        """The messages as the text that the model reads, one demonstration per line.

        Raises
        ------
        ChatError
            If they are not demonstrations (turns of user and assistant) and a query.
        """
        turns = [turn for turn in self.messages if turn.role in ("user", "assistant")]
        users, assistants = turns[::2], turns[1::2]
        alternate = all(turn.role == "user" for turn in users) and all(
            turn.role == "assistant" for turn in assistants
        )
        if not alternate or len(users) != len(assistants) + 1:
            raise ChatError(
                HTTPStatus.BAD_REQUEST,
                "messages: give turns of user and assistant in alternation, the user's the first "
                "and the last",
                param="messages",
            )
        query = users[-1].text
        if not query.rpartition("\n")[2].strip():
            raise ChatError(
                HTTPStatus.BAD_REQUEST,
                "messages: the last line of the last message is empty: put the query there",
                param="messages",
            )
        shots = zip(users[:-1], assistants, strict=True)
        return "".join(f"{user.text} {assistant.text}\n" for user, assistant in shots) + query


def parse_request(body: bytes) -> ChatRequest:
    """Parse and check the body of a request.

    Raises
    ------
    ChatError
        If it is not JSON, or a field is missing, out of range or not supported.
    """
    request = parse_body(ChatRequest, body)
    check_model(request.model, (MODEL_NAME,))
    if request.stream:
        raise ChatError(
            HTTPStatus.BAD_REQUEST, "stream: is not supported; leave it out", param="stream"
        )
    if request.top_logprobs is not None and not request.logprobs:
        raise ChatError(
            HTTPStatus.BAD_REQUEST,
            "top_logprobs: needs logprobs = true",
            param="top_logprobs",
        )
    return request


def completion_of(
    request: ChatRequest, words: Sequence[str], scores: _Row, prompt_tokens: int
) -> dict[str, Any]:
    """Return the response to a request.

    Parameters
    ----------
    request : ChatRequest
    words : sequence of str
        Possible answers.
    scores : array [words]
        Natural logarithms of their probabilities.
    prompt_tokens : int
        Tokens of the prompt, for the usage.
    """
    temperature = 1.0 if request.temperature is None else request.temperature
    number = request.n or 1
    choices = []
    for index in range(number):
        column = _pick(scores, temperature, request.seed, index)
        choices.append(
            {
                "index": index,
                "message": {"role": "assistant", "content": words[column], "refusal": None},
                "logprobs": _logprobs(request, words, scores, column),
                "finish_reason": "stop",
            }
        )
    usage = {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": number,
        "total_tokens": prompt_tokens + number,
    }
    return {**completion(MODEL_NAME, choices), "usage": usage}


def _pick(scores: _Row, temperature: float, seed: int | None, index: int) -> int:
    """Draw one column, determined by a seed and the index of the choice."""
    if temperature == 0:
        return int(scores.argmax())
    with np.errstate(over="ignore"):
        weights = np.exp((scores - scores.max()) / temperature).cumsum()
    generator = Random() if seed is None else Random(f"{seed} {index}")
    return int(np.searchsorted(weights, generator.random() * weights[-1], side="right"))


def _logprobs(
    request: ChatRequest, words: Sequence[str], scores: _Row, column: int
) -> dict[str, Any] | None:
    if not request.logprobs:
        return None
    best = np.argsort(-scores, kind="stable")[: request.top_logprobs or 0]
    top = [_entry(words[other], scores[other]) for other in best]
    return {"content": [{**_entry(words[column], scores[column]), "top_logprobs": top}]}


def _entry(word: str, score: float) -> dict[str, Any]:
    return {"token": word, "logprob": float(score), "bytes": list(word.encode())}
