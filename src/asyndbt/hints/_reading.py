"""Hints out of what a language model wrote."""

from __future__ import annotations

import re
from typing import Final

from asyndbt._spelling import composed
from asyndbt.hints._words import words_of
from asyndbt.lm import Thought
from asyndbt.prompt import LONGEST_ENTRY

_LEAD: Final = re.compile(
    r"(?:[\s>#*•·–—‣◦-]|\(?\d{1,2}[.):]|[a-zA-Z][.)]\s|hints?\s*\d*\s*:)+", re.IGNORECASE
)
"""What stands before a line of a list."""
_FRAME: Final = "\"'“”„‘’«»`* "
_LEAST_WORDS: Final = 2


def read_hints(text: str, most: int) -> list[str]:
    r"""Return the hints that a text lists, one on a line, `most` at most.

    Thoughts, bullets, numbers, quotation marks, bold type and signs that a terminal would obey are
    taken off. Left out are lines that announce others (they end in a colon), that are longer than
    an entry of a vocabulary, or a single word, and repetitions. A hint ends in a full stop, so that
    several read as sentences.

    Examples
    --------
    >>> read_hints('Here are two hints:\n1. **"Mind negations"**\n2) Read it twice!', 8)
    ['Mind negations.', 'Read it twice!']
    """
    found: dict[str, str] = {}
    for line in composed(Thought.of(text).answer(text)).splitlines():
        lead = _LEAD.match(line)
        bare = " ".join(line[lead.end() if lead else 0 :].replace("**", "").split()).strip(_FRAME)
        if bare.endswith(":"):
            continue
        bare = "".join(filter(str.isprintable, bare))
        hint = bare if bare.endswith((".", "!", "?", "。")) else f"{bare.rstrip(' ,;')}."
        words = words_of(hint)
        if len(words) >= _LEAST_WORDS and len(hint) <= LONGEST_ENTRY:
            found.setdefault(" ".join(words), hint)
    return list(found.values())[:most]
