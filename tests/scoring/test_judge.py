"""The numbers that a judge's replies give."""

from __future__ import annotations

import math

import pytest

from asyndbt.scoring._judge import read_number


@pytest.mark.parametrize(
    ("reply", "scale", "value"),
    [
        ("7", 10, 7.0),
        ("Rating: 7.0, so 7.", 10, 7.0),
        ("8 points: 8/10", 10, 8.0),
        ("7 Out Of 10", 10, 7.0),
        ("5%", 10, 0.5),
        ("85 %", 100, 85.0),
        ("85% (8/10)", 10, 8.0),
        ("0.25", 1, 0.25),
        ("250000/1000000", 1_000_000, 250_000.0),
    ],
)
def test_the_number_that_is_meant_is_read(reply: str, scale: float, value: float) -> None:
    assert read_number(reply, scale) == value


@pytest.mark.parametrize(
    ("reply", "scale"),
    [("", 10), ("seven", 10), ("7 or 8", 10), ("11", 10), ("-1", 10), ("150 %", 10), ("v7", 10)],
)
def test_a_reply_that_is_not_clear_gives_none(reply: str, scale: float) -> None:
    assert math.isnan(read_number(reply, scale))
