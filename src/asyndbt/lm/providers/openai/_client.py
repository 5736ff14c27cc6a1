"""HTTP requests to an endpoint, with errors that hold no secret."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from functools import cached_property
from types import ModuleType
from typing import Any, Final
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from asyndbt.errors import MissingExtraError, ModelError, TransientError
from asyndbt.lm.providers.openai._errors import PROVIDER, error_of_failure, error_of_status
from asyndbt.lm.providers.openai._event_streams import CutStreamError
from asyndbt.lm.providers.openai._key import ApiKey
from asyndbt.lm.providers.openai._replies import Completion, FailedReplyError, read_reply

OFFICIAL: Final = "https://api.openai.com/v1"
_CONNECT: Final = 10.0
"""Most seconds for connecting."""
_SHAPES: Final = {
    json.JSONDecodeError: "not JSON",
    CutStreamError: "an event stream that was cut off",
}


class Client:
    """Sends requests to an endpoint, with one client per event loop.

    `base_url` is by default that of OpenAI, `path` is below it, `timeout` in seconds per request.
    The package openai is needed for requests only.
    """

    def __init__(self, base_url: str | None, path: str, key: ApiKey, timeout: float) -> None:
        self._base_url, self._path = base_url or OFFICIAL, path
        self._key = key
        self._timeout = timeout
        self._clients: WeakKeyDictionary[asyncio.AbstractEventLoop, Any] = WeakKeyDictionary()

    @property
    def host(self) -> str:
        parts = urlsplit(self._base_url)
        return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)

    @property
    def address(self) -> str:
        """Address of the endpoint without credentials and query."""
        parts = urlsplit(self._base_url)
        return f"{parts.scheme}://{self.host}{parts.path.rstrip('/')}"

    def check(self) -> None:
        """Raise MissingExtraError if the package openai is not installed."""
        _ = self._openai

    @cached_property
    def _openai(self) -> ModuleType:
        try:
            import openai
        except ImportError:
            raise MissingExtraError("openai", "openai") from None
        return openai

    async def post(self, body: Mapping[str, Any]) -> Completion:
        """Send one request.

        Raises RejectedError if the endpoint does not accept it in this form, RateLimitError or
        TransientError if it may be sent again, ModelError if no request can succeed.
        """
        try:
            async with asyncio.timeout(self._timeout):
                # `completions.create` would spend half of its time on checking the body.
                text = await self._client().post(self._path, cast_to=str, body=dict(body))
        except (self._openai.APIError, TimeoutError) as error:
            fault = self._fault(error)
        else:
            return self._read(text)
        # Not raised in the handler: the context would hold the request, which has the key.
        raise fault

    async def close(self) -> None:
        client = self._clients.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.close()

    def _client(self) -> Any:
        loop = asyncio.get_running_loop()
        if loop not in self._clients:
            # Its defaults allow 1000 connections at once.
            self._clients[loop] = self._openai.AsyncOpenAI(
                base_url=self._base_url,
                api_key=self._key.reveal(),
                max_retries=0,
                timeout=self._openai.Timeout(self._timeout, connect=min(self._timeout, _CONNECT)),
            )
        return self._clients[loop]

    def _fault(self, error: Exception) -> ModelError:
        if isinstance(error, self._openai.APIStatusError):
            headers = error.response.headers
            return error_of_status(error.status_code, error.body, headers, self.address, self._key)
        return error_of_failure(error, self.address, self._key)

    def _read(self, text: str) -> Completion:
        fault: ModelError
        try:
            reply = read_reply(text)
        except FailedReplyError as failed:
            fault = error_of_status(200, failed.body, {}, self.address, self._key)
        except ValueError as error:
            shape = next(
                (shape for kind, shape in _SHAPES.items() if isinstance(error, kind)),
                "JSON of another shape",
            )
            # The error's own text may repeat the prompt.
            message = f"not a completion: {len(text)} characters, {shape}; check lm.base_url"
            fault = _lost("broken reply", message)
        else:
            if reply.choices:
                return reply
            fault = _lost("no choices", "a reply without an answer")
        raise fault


def _lost(kind: str, message: str) -> ModelError:
    return TransientError(message, provider=PROVIDER, status=200, kind=kind, charged=True)
