"""The pocket model as an OpenAI-compatible HTTP server, to try clients without a key."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from http import HTTPStatus
from queue import SimpleQueue
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from asyndbt._chat_server import ChatError, ChatServer
from asyndbt.pocket._chat import MODEL_NAME, completion_of, parse_request
from asyndbt.pocket._model import PocketModel


class PocketServer(ChatServer):
    """The pocket model as an OpenAI-compatible endpoint.

    Parameters
    ----------
    host : str
    port : int
        0 chooses a free one.
    verbose : bool
        Whether to write a line per request to stderr: method, path, status, time; never texts.

    Attributes
    ----------
    requests : int
        Chat requests received, refused ones included.

    Raises
    ------
    OSError
        If the address cannot be bound.

    Examples
    --------
    >>> import json
    >>> from urllib.request import urlopen
    >>> with PocketServer() as server, urlopen(f"{server.url}/models") as reply:
    ...     json.load(reply)["data"][0]["id"]
    'pocket'
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0, *, verbose: bool = False) -> None:
        self.requests = 0
        self.model = PocketModel.load()
        self.batches = _Batches(self.model)
        super().__init__(host, port, verbose=verbose)

    @property
    def models(self) -> tuple[str]:
        """The pocket model alone."""
        return (MODEL_NAME,)

    def __enter__(self) -> Self:
        self.batches.start()
        return super().__enter__()

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        self.batches.stop()

    def complete(self, body: bytes) -> dict[str, Any]:
        """Return the response to the body of a chat request.

        Raises
        ------
        ChatError
            If the request is invalid, or the prompt is longer than the context.
        """
        with self._guard:
            self.requests += 1
        request = parse_request(body)
        text = request.text
        tokens = self.model.count_tokens(text)
        if tokens > self.model.context:
            raise ChatError(
                HTTPStatus.BAD_REQUEST,
                f"the prompt has {tokens} tokens and the pocket model reads at most "
                f"{self.model.context}; use fewer demonstrations or shorter texts",
                param="messages",
                code="context_length_exceeded",
            )
        return completion_of(request, self.model.words, self.batches.ask(text), tokens)


class _Batches(threading.Thread):
    """Batches all prompts that wait at the same moment.

    The model is faster on many prompts at once, and an answer does not depend on the others.
    """

    def __init__(self, model: PocketModel) -> None:
        super().__init__()
        self._model = model
        self._waiting: SimpleQueue[tuple[str, Future[NDArray[np.float64]]] | None] = SimpleQueue()

    def ask(self, text: str) -> NDArray[np.float64]:
        """Log-probabilities [words] of the next word of a prompt."""
        answer: Future[NDArray[np.float64]] = Future()
        self._waiting.put((text, answer))
        return answer.result()

    def stop(self) -> None:
        """End the thread; no prompt may be waiting."""
        self._waiting.put(None)
        self.join()

    def run(self) -> None:
        """Answer until `stop`."""
        while batch := self._gather():
            texts, answers = zip(*batch, strict=True)
            try:
                rows = self._model.next_word_log_probabilities(texts)
            except Exception as error:
                for answer in answers:
                    answer.set_exception(error)
            else:
                for answer, row in zip(answers, rows, strict=True):
                    answer.set_result(row)

    def _gather(self) -> list[tuple[str, Future[NDArray[np.float64]]]]:
        """Wait for a prompt, and return all that wait by then; an empty list is the end."""
        taken = [self._waiting.get()]
        while not self._waiting.empty():
            taken.append(self._waiting.get())
        return [asked for asked in taken if asked is not None]
