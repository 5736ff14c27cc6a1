"""`PromptServer`: a query in, its label or answer out, under the tuned prompt of a site."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Annotated, Any, Final

from pydantic import BaseModel, Field

from asyndbt._chat_server import (
    ChatError,
    ChatMessage,
    ChatServer,
    check_model,
    completion,
    parse_body,
)
from asyndbt._text import listed
from asyndbt.errors import AsyndbtError, ModelError, QueryError, RateLimitError
from asyndbt.run import Result

_STATUSES: Final = (
    (QueryError, HTTPStatus.BAD_REQUEST),
    (RateLimitError, HTTPStatus.TOO_MANY_REQUESTS),
    (ModelError, HTTPStatus.BAD_GATEWAY),
    (AsyndbtError, HTTPStatus.INTERNAL_SERVER_ERROR),
)
"""The status of an error: of the first class that it is of."""


class _Query(BaseModel):
    """The fields of a request that are read; others are ignored."""

    model: str
    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    n: Annotated[int, Field(ge=1, le=1)] | None = None
    stream: bool | None = None


class PromptServer(ChatServer):
    """The tuned prompts of a run as an endpoint: the model of a request is a site.

    A request has one message, the user's: the text of the query, or a JSON object of texts by
    column where the instruction has several fields. The content of the answer is the label, or
    the answer in words where the task has a reward. Every request is answered by the run's own
    language model; what was answered once is kept with the run.

    Parameters
    ----------
    result : Result
    host, port, verbose
        As for `ChatServer`.

    Raises
    ------
    OSError
        If the address cannot be bound.
    MissingExtraError
        If a prompt finds demonstrations for queries, and the package for it is not installed.
    """

    def __init__(
        self, result: Result, host: str = "127.0.0.1", port: int = 0, *, verbose: bool = False
    ) -> None:
        self._result = result
        self._columns = {site: result.columns(site) for site in result.sites}
        for site in result.sites:
            result.prompt(site).prepare()
        super().__init__(host, port, verbose=verbose)

    @property
    def models(self) -> list[str]:
        """The sites."""
        return list(self._columns)

    def complete(self, body: bytes) -> dict[str, Any] | list[dict[str, Any]]:
        """Return the label of a query as a completion, or as a stream of one chunk.

        Raises
        ------
        ChatError
            If the request is invalid, or there is no label.
        """
        query = parse_body(_Query, body)
        check_model(query.model, self.models)
        label = self._label(query.model, self._row(query))
        message = {"role": "assistant", "content": label}
        choice = {"index": 0, "finish_reason": "stop", "logprobs": None}
        if not query.stream:
            return completion(query.model, [{**choice, "message": {**message, "refusal": None}}])
        chunk = completion(query.model, [{**choice, "delta": message}])
        return [{**chunk, "object": "chat.completion.chunk"}]

    def _row(self, query: _Query) -> dict[str, Any]:
        """Return the row that a request asks about."""
        if [message.role for message in query.messages] != ["user"]:
            raise _refused(
                "messages: give one message, the user's, with the text to label: the prompt "
                "around it is the tuned one"
            )
        text, columns = query.messages[0].text, self._columns[query.model]
        if len(columns) == 1:
            return {columns[0]: text}
        try:
            row = json.loads(text)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict) or set(row) != set(columns):
            raise _refused(f"messages: give a JSON object with the texts of {listed(columns)}")
        return row

    def _label(self, site: str, row: dict[str, Any]) -> str:
        try:
            (found,) = self._result.predict([row], site, origins=["messages"])
        except AsyndbtError as error:
            status = next(status for kind, status in _STATUSES if isinstance(error, kind))
            param = "messages" if isinstance(error, QueryError) else None
            raise ChatError(status, str(error), param=param) from error
        if found["prediction"] is None:
            raise ChatError(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                "the model's answer names no label",
                code="no_label",
            )
        return str(found["prediction"])


def _refused(message: str) -> ChatError:
    return ChatError(HTTPStatus.BAD_REQUEST, message, param="messages")
