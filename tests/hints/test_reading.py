"""Hints are read out of whatever a model writes around them."""

from __future__ import annotations

import pytest

from asyndbt.hints import read_hints
from asyndbt.prompt import LONGEST_ENTRY

WANTED = ["Mind negations.", "Read the text twice."]


@pytest.mark.parametrize(
    "text",
    [
        "Mind negations.\nRead the text twice.",
        "Here are the hints:\n\n1. Mind negations\n2. Read the text twice\n",
        "- Mind negations\n* Read the text twice",
        "1) **Mind negations**\r\n2) **Read the text twice.**",
        "• “Mind negations”\n• “Read the text twice”",
        "<think>1. Nothing at all</think>\n(1) 'Mind negations'\n(2) `Read the text twice`",
        "Hint 1: Mind negations\nHint 2: Read the text twice",
        "Mind negations.\nmind  NEGATIONS\nRead the text twice.",
        "Sure!\n- Mind negations.\n- Read the text twice.",
    ],
)
def test_lists_of_all_kinds(text: str) -> None:
    assert read_hints(text, 8) == WANTED


def test_what_is_no_hint_is_left_out() -> None:
    assert read_hints("", 8) == []
    assert read_hints("...\n---\nOkay.\n42", 8) == []
    assert read_hints("<think>Mind negations, and", 8) == []
    assert read_hints("very " * LONGEST_ENTRY, 8) == []
    assert read_hints("Mind \x1b[31mnegations\x07.", 8) == ["Mind [31mnegations."]


def test_no_more_than_were_asked_for() -> None:
    text = "\n".join(f"Count the {number} first words" for number in ("two", "three", "four"))
    assert len(read_hints(text, 2)) == 2
