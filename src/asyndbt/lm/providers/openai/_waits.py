"""How long an endpoint asks to wait, in every notation of headers, bodies and messages."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

_NUMBER: Final = r"\d+(?:\.\d+)?"
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_UNIT: Final = (
    r"(?P<ms>ms|milli\w*)|(?P<s>s|secs?|seconds?)|(?P<m>m|mins?|minutes?)|(?P<h>h|hrs?|hours?)"
    r"|(?P<d>d|days?)"
)
_PART: Final = re.compile(rf"({_NUMBER})\s*(?:{_UNIT})(?![a-z])(?:\s|,|and)*", re.IGNORECASE)
_PARTS: Final = rf"(?:{_NUMBER}\s*(?:ms|[a-z]+)(?:\s|,|and\s)*)+"
_ISO_DURATION: Final = re.compile(r"P(?:(\d+)D)?T?((?:[\d.]+[HMS])*)", re.IGNORECASE)
_SAID: Final = re.compile(
    r"\b(?:again|retry|wait|retrying|reset|resets|available)\s+(?:in|after|for|at least)?\s*"
    rf"(?:about |another )?({_PARTS})",
    re.IGNORECASE,
)
_ASKED: Final = re.compile(r"(?:x-?)?(?:ms-?)?retry-?(?:after|delay|in)(?:-?(?:ms|seconds|s))?")
_RESET: Final = re.compile(r".*rate-?limit.*reset.*|.*reset.*rate-?limit.*|x-reset.*")
_FIELD_OF_RATE_LIMIT: Final = re.compile(r"\bt=(\d+)")
_OF_MOMENTS: Final = 1e9
"""Least number that is a moment, in seconds since 1970, not a duration; milliseconds from 1e12."""
_LONGEST: Final = 366 * 86_400.0
"""Seconds; what is longer is no waiting time."""


def asked_wait(headers: Mapping[str, str], body: Any = None, words: str = "") -> float | None:
    """Return the seconds for which an endpoint asks to wait, None if it does not say.

    Headers, names in lower case, go before fields of the body, and these before `words`.

    Examples
    --------
    >>> asked_wait({"retry-after": "7"}), asked_wait({"retry-after-ms": "250"})
    (7.0, 0.25)
    >>> asked_wait({}, {"error": {"details": [{"retryDelay": "34s"}]}})
    34.0
    >>> asked_wait({}, words="Please try again in 6m0s.")
    360.0
    """
    for fields in (headers, *_objects(body)):
        waits = [
            (not name.endswith("ms"), seconds)
            for name, value in _named(fields, _ASKED)
            if (seconds := _seconds(value, 0.001 if name.endswith("ms") else 1.0)) is not None
        ]
        if waits:
            return min(waits)[1]
    found = _SAID.search(words)
    return _duration(found[1]) if found else None


def reset_wait(headers: Mapping[str, str], body: Any = None) -> float | None:
    """Return the seconds after which a rate limit that is used up begins anew, if they are told.

    Of several limits it is the longest of those of which nothing remains, or else the shortest.

    Examples
    --------
    >>> reset_wait({"x-ratelimit-reset-requests": "1s", "x-ratelimit-reset-tokens": "6m0s"})
    1.0
    >>> reset_wait({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "120ms"})
    0.12
    """
    for fields in (headers, *_objects(body)):
        waits, used_up = [], []
        lower = {str(name).lower(): value for name, value in fields.items()}
        for name, value in _named(fields, _RESET):
            if (seconds := _seconds(value)) is not None:
                waits.append(seconds)
                if str(lower.get(name.replace("reset", "remaining"), "")).strip() in ("0", "0.0"):
                    used_up.append(seconds)
        if waits:
            return max(used_up) if used_up else min(waits)
    found = _FIELD_OF_RATE_LIMIT.search(headers.get("ratelimit", ""))
    return float(found[1]) if found else None


def _objects(body: Any, depth: int = 8) -> Iterator[Mapping[str, Any]]:
    """Yield the objects within a body, outer ones first."""
    if isinstance(body, dict):
        yield body
    if depth and isinstance(body, dict | list):
        for each in body.values() if isinstance(body, dict) else body:
            yield from _objects(each, depth - 1)


def _named(fields: Mapping[str, Any], names: re.Pattern[str]) -> Iterator[tuple[str, Any]]:
    for name, value in fields.items():
        plain = re.sub(r"(?<=[a-z])(?=[A-Z])|_", "-", str(name)).lower()
        if names.fullmatch(plain):
            yield plain, value


def _seconds(value: Any, unit: float = 1.0) -> float | None:
    """Seconds from now to a moment, or of a duration in `unit` seconds if it names none."""
    if isinstance(value, dict):
        parts = (value.get("seconds") or 0, value.get("nanos") or 0)
        value = _number(parts[0], 1.0) + _number(parts[1], 1e-9)
    text, now = str(value).strip(), datetime.now(UTC)
    seconds = _number(text, unit)
    if math.isnan(seconds):
        duration = _duration(text)
        moment = _moment(text) if duration is None else None
        seconds = (moment - now).total_seconds() if moment else math.nan
        seconds = seconds if duration is None else duration
    elif seconds / unit >= _OF_MOMENTS:
        seconds = seconds / unit / (1000.0 if seconds / unit >= 1e12 else 1.0) - now.timestamp()
    return None if math.isnan(seconds) or seconds > _LONGEST else max(0.0, seconds)


def _number(value: Any, unit: float) -> float:
    """Return a number times its unit, NaN for anything else."""
    try:
        return float(value) * unit
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _duration(text: str) -> float | None:
    """Seconds of "1s", "6m0s", "120ms", "1 minute", "PT34S"; None for anything else."""
    iso = _ISO_DURATION.fullmatch(text)
    if iso and len(text) > 1:
        text = f"{iso[1] or 0}d{iso[2]}"
    total, place = 0.0, 0
    while part := _PART.match(text, place):
        total += float(part[1]) * _UNITS[part.lastgroup or "s"]
        place = part.end()
    return total if place and not text[place:].strip(" .") else None


def _moment(text: str) -> datetime | None:
    """Moment of an HTTP date or of ISO 8601."""
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            moment = read(text)
        except ValueError:
            continue
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return None
