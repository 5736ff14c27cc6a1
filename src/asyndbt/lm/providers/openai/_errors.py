"""From failed requests to typed errors: what may be sent again, what was charged, the remedy."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from asyndbt.errors import ExampleError, ModelError, RateLimitError, TransientError
from asyndbt.lm.providers.openai._key import ApiKey
from asyndbt.lm.providers.openai._waits import asked_wait, reset_wait

PROVIDER: Final = "openai"
_LONGEST: Final = 400
"""Most characters of the provider's message in an error."""
_READ: Final = 10_000
"""Characters that are searched: a proxy may send whole pages."""

_NO_MONEY: Final = re.compile(
    r"insufficient[_ ]?(quota|balance|funds|credit)|arrearage|billing|payment required|"
    r"exceeded_current_quota|exceeded your current quota|out of credits|"
    r"(account|credit) balance",
    re.IGNORECASE,
)
_NO_MONEY_CODE: Final = re.compile(
    r"insufficient_(quota|balance)|arrearage|billing|exceeded_current_quota", re.IGNORECASE
)
_FILTERED: Final = re.compile(
    r"content_filter|content_policy_violation|data_?inspection_?failed|"
    r"responsibleaipolicyviolation|content filtering policy|input was flagged",
    re.IGNORECASE,
)
_TOO_LONG: Final = re.compile(
    r"context_length_exceeded|string_above_max_length|exceed_context_size|maximum context length|"
    r"context (length|window|size)|prompt is too long|input is too long|range of input length|"
    r"maximum number of tokens allowed",
    re.IGNORECASE,
)
_NO_CHAT: Final = re.compile(r"not a chat model|chat[ _]template", re.IGNORECASE)
_CHAT_ONLY: Final = re.compile(r"is a chat model", re.IGNORECASE)
_WORDS: Final = ("message", "detail", "msg", "status_msg", "error_msg", "error_description")
"""Fields of an error that hold its words."""
_CODES: Final = ("code", "status", "status_code", "http_status", "error_code")
_ECHO: Final = re.compile(r"""['"]input\\?['"] ?:|\binput_value=""")
"""Where a server that validates bodies begins to repeat the request."""
_BAD_KEY: Final = re.compile(r"api[ _-]?key", re.IGNORECASE)
ROLES: Final = re.compile(
    r"\broles?\b.{0,60}\b(not |un|must |alternat|invalid|only|expected)|conversation roles|"
    r"(not |un|only |invalid |unexpected |unknown ).{0,40}\broles?\b|"
    r"system (message|prompt|instruction)|developer instruction|jinja|template ?error|"
    r"error.{0,30}chat template",
    re.IGNORECASE,
)
"""Complaints of a chat template that knows fewer roles, whatever status it fails with."""
_KINDS: Final = (
    (402, _NO_MONEY),
    (429, re.compile(r"rate.?limit|too many requests|quota|throttl|resource_?exhausted", re.I)),
    (503, re.compile(r"overload|unavailable|capacity|try again", re.I)),
    (401, re.compile(r"api[ _-]?key|unauthori[sz]ed|authenticat|credentials", re.I)),
    (404, re.compile(r"not[ _]found|does not exist", re.I)),
    (400, re.compile(r"invalid_?(request|argument)|unsupported_", re.I)),
)
"""Statuses by the words of errors that come without one."""
_OK: Final = 200
_REMEDIES: Final = {
    401: "check the key that lm.api_key_env names",
    403: "check what the key that lm.api_key_env names may use",
    404: "check lm.model, lm.api and lm.base_url",
}


class RejectedError(ExampleError):
    """The endpoint does not accept a request as it is; another form may be accepted.

    `parameter` is the field that it rejects, or empty; `refusal` is the reason why it will never
    answer this prompt, None if the form of the request may be the cause.
    """

    def __init__(self, words: str, status: int, parameter: str, refusal: str | None) -> None:
        super().__init__(words, provider=PROVIDER, status=status)
        self.words, self.parameter, self.refusal = words, parameter, refusal

    def final(self, others_answered: bool = False) -> ModelError:
        """Return the final error: this prompt's alone if others were answered."""
        kind = ExampleError if others_answered else ModelError
        return kind(self.words, provider=PROVIDER, status=self.status)


@dataclass(frozen=True, slots=True)
class _Complaint:
    code: str
    parameter: str
    words: str

    @property
    def all(self) -> str:
        return f"{self.code} {self.words}"


def error_of_status(
    status: int, body: Any, headers: Mapping[str, str], address: str, key: ApiKey
) -> ModelError:
    """Return the error that a reply is, without the key in its text.

    With status 200 the status that is meant is in the body, or follows from its words.  `body` is
    parsed JSON or a text; names in `headers` are in lower case.

    Examples
    --------
    >>> body = {"error": {"message": "no such model"}}
    >>> print(error_of_status(404, body, {}, "http://127.0.0.1:9/v1", ApiKey()))
    HTTP 404: no such model; check lm.model, lm.api and lm.base_url
    """
    complaint = _complaint(body, key)
    words = f"HTTP {status}: {complaint.words or 'no explanation'}"
    if status == _OK:
        status = _meant_status(body, complaint)
        words = f"HTTP 200 with error {status}: {complaint.words or 'no explanation'}"
    other = _other_api(complaint)
    words += f"; {other}" if other else ""
    if status in (400, 403, 413, 422, 501) and (refusal := _refusal(status, complaint)):
        return RejectedError(words, status, complaint.parameter, refusal)
    wait = asked_wait(headers, body, complaint.words)
    if _no_money(status, complaint, wait):
        return ModelError(f"{words}; check the account", provider=PROVIDER, status=status)
    if status == 429:
        wait = reset_wait(headers, body) if wait is None else wait
        return RateLimitError(words, provider=PROVIDER, status=status, retry_after=wait)
    if status in (400, 422, 500, 501) and ROLES.search(complaint.words) and not other:
        return RejectedError(words, status, complaint.parameter, None)
    if status in (408, 409) or (status >= 500 and status != 501):
        return TransientError(
            words,
            provider=PROVIDER,
            status=status,
            kind=f"http {status}",
            charged=False,
            retry_after=asked_wait(headers, body),
        )
    if status in (400, 413, 422, 501) and not _BAD_KEY.search(complaint.words):
        return RejectedError(words, status, complaint.parameter, None)
    remedy = f"; {_REMEDIES[status]}" if status in _REMEDIES and not other else ""
    if status == 404 and remedy and not address.endswith("/v1"):
        remedy += ", which usually ends in /v1"
    return ModelError(f"{words}{remedy}", provider=PROVIDER, status=status)


def _other_api(complaint: _Complaint) -> str:
    """Advice where the endpoint has only the other way to be asked; else empty."""
    if _NO_CHAT.search(complaint.words):
        return 'a base model is asked with lm.api = "completions"'
    return 'set lm.api = "chat"' if _CHAT_ONLY.search(complaint.words) else ""


def _refusal(status: int, complaint: _Complaint) -> str | None:
    if _FILTERED.search(complaint.all):
        return "content filter"
    if status == 413 or (status != 403 and _TOO_LONG.search(complaint.all)):
        return "too long"
    return None


def _no_money(status: int, complaint: _Complaint, wait: float | None) -> bool:
    """Distinguish exhausted quota from rate limiting, which some providers word alike."""
    if status == 402 or _NO_MONEY_CODE.search(complaint.code):
        return True
    plausible = status in (400, 403) or (status == 429 and wait is None)
    return plausible and _NO_MONEY.search(complaint.all) is not None


def error_of_failure(error: Exception, address: str, key: ApiKey) -> TransientError:
    """Return the error of a request without a complete reply.

    Only without a connection it is certain that nothing is charged.

    Examples
    --------
    >>> class ConnectError(Exception): ...
    >>> print(error_of_failure(ConnectError("refused"), "http://127.0.0.1:9/v1", ApiKey()))
    no connection to http://127.0.0.1:9/v1 (lm.base_url): ConnectError: refused
    """
    cause = error if isinstance(error, TimeoutError) else error.__cause__ or error
    names = {each.__name__ for each in type(cause).__mro__}
    if names & {"ConnectError", "ConnectTimeout", "ProxyError", "UnsupportedProtocol"}:
        kind, what = "connection", f"no connection to {address} (lm.base_url)"
    elif names & {"TimeoutException", "TimeoutError"}:
        kind = what = "timeout"
    else:
        kind = what = "connection lost"
    message = _line(f"{what}: {type(cause).__name__}: {cause}", key)
    charged = kind != "connection"
    return TransientError(message, provider=PROVIDER, kind=kind, charged=charged)


def _inner(body: Any) -> Any:
    """Return the part of a body that says what is wrong."""
    while isinstance(body, list) and body:
        body = body[0]
    if isinstance(body, dict):
        for name in ("error", "errors", "base_resp"):
            if body.get(name):
                return _inner(body[name])
    return body


def _complaint(body: Any, key: ApiKey) -> _Complaint:
    inner = _inner(body)
    if not isinstance(inner, dict):
        return _Complaint("", "", _line("" if inner is None else str(inner), key))
    detail, more = inner.get("innererror"), inner.get("metadata")
    codes = [inner.get(name) for name in ("code", "type", "status")]
    codes += [detail.get("code")] if isinstance(detail, dict) else []
    said = next((inner[name] for name in _WORDS if inner.get(name)), inner)
    words = said if isinstance(said, str) else _findings(said)
    if isinstance(more, dict) and isinstance(more.get("raw"), str):
        # A gateway's own words are beside those of the provider behind it.
        words += f": {more['raw']}"
    code = " ".join(str(each) for each in codes if each)
    return _Complaint(code, str(inner.get("param") or ""), _line(words, key))


def _meant_status(body: Any, complaint: _Complaint) -> int:
    """Return the status that an error in a reply with status 200 stands for."""
    inner = _inner(body)
    given = [inner.get(name) for name in _CODES] if isinstance(inner, dict) else []
    for code in map(str, given):
        if code.isdecimal() and int(code) in range(400, 600):
            return int(code)
    return next((status for status, words in _KINDS if words.search(complaint.all)), 500)


def _findings(said: Any) -> str:
    """Text of validation errors, without the request that they quote."""
    if not isinstance(said, list):
        return json.dumps(said)
    found = []
    for each in said:
        if isinstance(each, dict):
            place = each.get("loc") or ""
            place = ".".join(map(str, place)) if isinstance(place, list) else place
            found.append(": ".join(str(part) for part in (place, each.get("msg")) if part))
    return "; ".join(found)


def _line(words: str, key: ApiKey) -> str:
    unsent = _ECHO.split(words[:_READ], maxsplit=1)[0]
    folded = " ".join(key.redact(unsent).split())
    return folded if len(folded) <= _LONGEST else f"{folded[:_LONGEST]}..."
