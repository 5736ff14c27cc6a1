import math
import random

import pytest

from asyndbt.lm.providers.openai._replies import Token
from asyndbt.lm.providers.openai._scoring import (
    label_log_probabilities,
    same_labels,
    shared_bytes,
    tokens_to_tell,
    vote_log_probabilities,
)

SENTIMENT = ["terrible", "great"]
DEGREES = ["great", "greatest", "bad"]


def tokens(*positions):
    """Tokens from (own piece, {piece: probability}) pairs; an own piece not listed has 0.01."""

    def raw(piece):
        return piece if isinstance(piece, bytes) else piece.encode()

    return [
        Token(
            raw(own),
            math.log(listed.get(own, 0.01)),
            tuple((raw(piece), math.log(chance)) for piece, chance in listed.items()),
        )
        for own, listed in positions
    ]


def scores(labels, *positions):
    return [math.exp(score) for score in label_log_probabilities(tokens(*positions), labels)]


@pytest.mark.parametrize(
    ("labels", "positions", "expected"),
    [
        # Case, spaces, quotes and markdown marks in front do not matter; all that starts counts.
        (
            SENTIMENT,
            [("great", {"great": 0.5, " Great": 0.2, "**gre": 0.05, "terr": 0.2})],
            [0.2, 0.75],
        ),
        (SENTIMENT, [("Great", {"Great": 0.6, '"T': 0.3})], [0.3, 0.6]),
        (SENTIMENT, [("great.", {"great.": 0.6, "terrible!": 0.3, "great-ish": 0.1})], [0.3, 0.6]),
        # Longer words that begin like a label are none.
        (SENTIMENT, [("great", {"great": 0.6, "terribly": 0.3, "terrible": 0.1})], [0.1, 0.6]),
        # Marks before the label are walked over; elsewhere they tell nothing.
        (
            SENTIMENT,
            [
                ("\n", {"\n": 0.5, "great": 0.1, " ": 0.4}),
                ("**", {"**": 1.0}),
                ("gr", {"gr": 0.8, "te": 0.2}),
            ],
            [0.1, 0.5],
        ),
        # The own path is read on while several labels remain, others are divided.
        (
            ["unlike", "unrelated"],
            [("un", {"un": 0.8, "u": 0.1}), ("rel", {"rel": 0.75, "like": 0.25})],
            [0.25, 0.65],
        ),
        # A whole label that may become another is decided by what follows, or by the end.
        (DEGREES, [("great", {"great": 0.6, "bad": 0.4})], [0.6, None, 0.4]),
        (
            DEGREES,
            [("great", {"great": 0.6, "bad": 0.4}), (".", {".": 0.5, "est": 0.5})],
            [0.3, 0.3, 0.4],
        ),
        (
            DEGREES,
            [("great", {"great": 0.6, "bad": 0.4}), ("", {"": 0.9, "est": 0.1})],
            [0.54, 0.06, 0.4],
        ),
        (DEGREES, [("great", {"great": 0.6, "bad": 0.4}), ("", {})], [0.6, None, 0.4]),
        (DEGREES, [("bad", {"great": 0.6, "bad": 0.4})], [0.3, 0.3, 0.4]),
        (
            ["great", "great deal"],
            [("great", {"great": 1.0}), (" d", {" d": 0.5, " one": 0.5}), ("eal", {"eal": 1.0})],
            [0.5, 0.5],
        ),
        # The own token need not be among the alternatives.
        (SENTIMENT, [("great", {"terr": 0.5, "Well": 0.3})], [0.5, 0.01]),
        # What would make another number or letter of it is not the label.
        (["1", "2"], [("1", {"1": 0.6, "2": 0.2, "1.5": 0.1, "12": 0.1})], [0.6, 0.2]),
        # Characters split between tokens.
        (
            ["好", "差"],
            [
                (b"\xe5", {b"\xe5": 0.9, b"\xe5\xa5": 0.1}),
                (b"\xa5\xbd", {b"\xa5\xbd": 0.5, b"\xb7": 0.25, "x": 0.25}),
            ],
            [0.55, 0.225],
        ),
        (["很好", "很差"], [("很", {"很": 1.0}), ("好的", {"好的": 0.6, "差": 0.4})], [0.6, 0.4]),
        # Labels that begin with a mark, and labels of one letter.
        (["-1", "1"], [("-", {"-": 0.6, "1": 0.4})], [0.6, 0.4]),
        (["-1", "1"], [("\u2212", {"\u2212": 0.6, "1": 0.4}), ("1", {"1": 1.0})], [0.6, 0.4]),
        (["\u22121", "0"], [("-1", {"-1": 0.6, "\u20131": 0.1, "0": 0.3})], [0.7, 0.3]),
        # The sign of a number is part of it, a mark before a word is not.
        (["1", "2"], [("2", {"2": 0.5, "-1": 0.2, "1": 0.2, "- 1": 0.1})], [0.3, 0.5]),
        (
            SENTIMENT,
            [("great", {"great": 0.6, "-terrible": 0.2, "\u201cterrible": 0.1})],
            [0.3, 0.6],
        ),
        (
            ["don't know", "sure"],
            [("don", {"don": 0.7, "sure": 0.3}), ("\u2019t", {"\u2019t": 1.0})],
            [0.7, 0.3],
        ),
        (["A", "B"], [("A", {"A": 0.5, "B)": 0.3, "And": 0.2})], [0.5, 0.3]),
        # Labels that only case tells apart are compared as they are.
        (["US", "us"], [("US", {"US": 0.6, "us": 0.3, "Us": 0.1})], [0.6, 0.3]),
    ],
)
def test_what_starts_a_label_is_its_mass(labels, positions, expected) -> None:
    found = scores(labels, *positions)
    for score, wanted in zip(found, expected, strict=True):
        if wanted is not None:
            assert score == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("labels", "positions", "expected"),
    [
        # The least of the list, where more is left.
        (["terrible", "great"], [("great", {"great": 0.6, "good": 0.1})], [0.1, 0.6]),
        # What is left, where that is less; both divided among the missing.
        (["bad", "awful", "great"], [("great", {"great": 0.6, "good": 0.3})], [0.05, 0.05, 0.6]),
        # Each at the last token where the answer might have become it.
        (
            ["unlike", "unrelated", "same"],
            [("un", {"un": 0.5, "x": 0.2}), ("rel", {"rel": 0.8, "q": 0.1})],
            [0.5 * 0.1, 0.5 * 0.8, 0.2],
        ),
        (
            ["bad", "great"],
            [("\n", {"\n": 0.5, "x": 0.4}), ("great", {"great": 0.8, "x": 0.1})],
            [0.05, 0.4],
        ),
    ],
)
def test_a_label_not_listed_gets_an_upper_bound(labels, positions, expected) -> None:
    assert scores(labels, *positions) == pytest.approx(expected)


@pytest.mark.parametrize(
    "positions",
    [
        [],
        [("The", {"The": 0.9, "Well": 0.1}), ("great", {"great": 1.0})],
        [("\n", {"\n": 1.0})],
        [("", {})],
    ],
)
def test_an_answer_that_starts_no_label_scores_none(positions) -> None:
    assert scores(SENTIMENT, *positions) == [0.0, 0.0]


def test_masses_never_sum_above_one() -> None:
    rng = random.Random(5)
    stock = [
        "great",
        "gre",
        "at",
        "est",
        "bad",
        "ba",
        " ",
        "\n",
        "**",
        "Great",
        "great.",
        "x",
        "",
        "d",
        "g",
        "b",
    ]
    for _ in range(500):
        positions = []
        for _ in range(rng.randint(1, 4)):
            listed = rng.sample(stock, rng.randint(1, 8))
            weights = [rng.random() for _ in listed]
            scale = rng.choice([1.0, 0.9, 0.3]) / sum(weights)
            chances = {piece: weight * scale for piece, weight in zip(listed, weights, strict=True)}
            positions.append((rng.choice(listed), chances))
        found = scores(["great", "greatest", "bad", "badly"], *positions)
        assert sum(found) <= 1.0 + 1e-6
        assert all(0.0 <= score <= 1.0 for score in found)


def test_tokens_until_one_label_is_left() -> None:
    def said(*texts):
        return [Token(text.encode(), 0.0, ()) for text in texts]

    assert tokens_to_tell(said("great"), SENTIMENT) == (0, 1)
    assert tokens_to_tell(said("\n", '"', "un", "rel", "ated"), ["unlike", "unrelated"]) == (2, 2)
    assert tokens_to_tell(said("great"), DEGREES) == (0, 2)
    assert tokens_to_tell(said("great", "est"), DEGREES) == (0, 2)
    assert tokens_to_tell(said("The", "great"), SENTIMENT) == (0, None)
    assert tokens_to_tell([], SENTIMENT) == (0, None)


def test_labels_alike() -> None:
    assert shared_bytes(["Great", "greatest", "bad"]) == [5, 5, 0]
    assert shared_bytes(["好", "差"]) == [1, 1]
    assert same_labels(["yes", "no"]) is None
    assert same_labels(["no", "very  good", "Very good"]) == ("very  good", "Very good")


def test_votes() -> None:
    votes = vote_log_probabilities(["great", "Great!", "terrible", "no idea"], SENTIMENT)
    assert votes == pytest.approx((math.log(1 / 3), math.log(2 / 3)))
    assert vote_log_probabilities(["great"], SENTIMENT) == (-math.inf, 0.0)
    assert vote_log_probabilities(["hm", ""], SENTIMENT) == (-math.inf, -math.inf)
