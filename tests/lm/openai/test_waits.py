"""Waiting times, in every notation that endpoints have for them."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyndbt.lm.providers.openai._waits import asked_wait, reset_wait

NOW = datetime.now(UTC)
SOON = NOW + timedelta(hours=1)
MOMENTS = {
    "HTTP date": format_datetime(SOON, usegmt=True),
    "ISO 8601": SOON.isoformat(),
    "ISO 8601 in Z": SOON.strftime("%Y-%m-%dT%H:%M:%SZ"),
    "epoch": str(int(SOON.timestamp())),
    "epoch with parts": f"{SOON.timestamp():.3f}",
    "epoch in milliseconds": str(int(SOON.timestamp() * 1000)),
}
DURATIONS = [
    ("7", 7.0),
    ("0.5", 0.5),
    ("1s", 1.0),
    ("6m0s", 360.0),
    ("120ms", 0.12),
    ("1h2m3.5s", 3723.5),
    ("PT34S", 34.0),
    ("PT1M30S", 90.0),
    ("10 seconds", 10.0),
    ("1 minute", 60.0),
    ("-3", 0.0),
]
NONSENSE = ["", "soon", "nan", "inf", "1e400", "99999999", "1 parsec", "None", "\u0665\u2075"]


@pytest.mark.parametrize(("text", "seconds"), DURATIONS)
def test_durations(text: str, seconds: float) -> None:
    assert asked_wait({"retry-after": text}) == pytest.approx(seconds)
    assert reset_wait({"x-ratelimit-reset-requests": text}) == pytest.approx(seconds)


@pytest.mark.parametrize("text", MOMENTS.values(), ids=MOMENTS)
def test_moments(text: str) -> None:
    for found in (asked_wait({"retry-after": text}), reset_wait({"x-ratelimit-reset": text})):
        assert found is not None
        assert 3000 < found <= 3600


def test_a_moment_that_is_past_asks_for_no_waiting() -> None:
    assert asked_wait({"retry-after": (NOW - timedelta(hours=1)).isoformat()}) == 0.0
    assert reset_wait({"x-ratelimit-reset": str(int(NOW.timestamp()) - 60)}) == 0.0


@pytest.mark.parametrize("text", NONSENSE)
def test_what_is_no_waiting_time_is_none(text: str) -> None:
    assert asked_wait({"retry-after": text}) is None
    assert reset_wait({"x-ratelimit-reset": text}) is None


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"x-ms-retry-after-ms": "250"}, 0.25),
        ({"x-retry-after": "7"}, 7.0),
        ({"retry-after": "soon", "retry-after-ms": "250"}, 0.25),
    ],
)
def test_headers_that_ask_to_wait(headers: dict[str, str], expected: float) -> None:
    assert asked_wait(headers) == expected


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"details": [{"@type": "QuotaFailure"}, {"retryDelay": "34s"}]}},
        [{"error": {"details": [{"retryDelay": "34.0s"}]}}],
        {"error": {"retry_after": 34}},
        {"error": {"retry_after_ms": 34000}},
        {"error": {"metadata": {"retry_after_seconds": 34}}},
        {"retryAfterSeconds": "34"},
        {"detail": {"retry_delay": {"seconds": 34}}},
        {"error": {"metadata": {"headers": {"Retry-After": "34"}}}},
    ],
)
def test_bodies_that_ask_to_wait(body: object) -> None:
    assert asked_wait({}, body, "try again in 5s") == 34.0


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("Rate limit reached. Please try again in 1.5s. Visit the site.", 1.5),
        ("Please try again in 20ms.", 0.02),
        ("Please try again in 7m12s or later", 432.0),
        ("Please retry after 34 seconds.", 34.0),
        ("Please wait 1 minute and 30 seconds before", 90.0),
        ("Limit: 3 / min. Please try again in 20s", 20.0),
        ("quota resets in 2 hours", 7200.0),
        ("try again later", None),
        ("we tried 3 times", None),
    ],
)
def test_words_that_ask_to_wait(words: str, expected: float | None) -> None:
    assert asked_wait({}, None, words) == expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        # The limit of which nothing remains is the one that was hit.
        (
            {
                "x-ratelimit-remaining-requests": "9",
                "x-ratelimit-reset-requests": "1s",
                "x-ratelimit-remaining-tokens": "0",
                "x-ratelimit-reset-tokens": "6m0s",
            },
            360.0,
        ),
        ({"x-ratelimit-reset-requests": "8.64s", "x-ratelimit-reset-tokens": "120ms"}, 0.12),
        ({"anthropic-ratelimit-requests-reset": "12"}, 12.0),
        ({"ratelimit-reset": "50"}, 50.0),
        ({"x-rate-limit-reset": "50"}, 50.0),
        ({"x-ratelimit-reset-after": "2"}, 2.0),
        ({"ratelimit": '"default";r=0;t=30'}, 30.0),
        ({"x-ratelimit-limit": "7"}, None),
    ],
)
def test_limits_that_begin_anew(headers: dict[str, str], expected: float | None) -> None:
    assert reset_wait(headers) == expected


def test_headers_of_a_provider_behind_a_gateway_are_in_the_body() -> None:
    inner = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(SOON.timestamp() * 1000))}
    found = reset_wait({}, {"error": {"code": 429, "metadata": {"headers": inner}}})
    assert found is not None
    assert 3000 < found <= 3600


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["retryDelay", "retry_after", "reset", "a"]), inner, max_size=3
        )
    ),
    max_leaves=6,
)


@given(st.text(max_size=20), json_like, st.text(max_size=40))
def test_any_reply_is_read_without_an_error(header: str, body: object, words: str) -> None:
    for found in (
        asked_wait({"retry-after": header}, body, words),
        reset_wait({"x-ratelimit-reset": header}, body),
    ):
        assert found is None or 0.0 <= found < 4e7
