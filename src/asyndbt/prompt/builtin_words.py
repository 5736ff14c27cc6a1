"""The built-in vocabulary: words that instructions are made of, and short hints."""

from __future__ import annotations

from typing import Final

__all__ = ["HINTS", "WORDS"]

_WORDS: Final = """
    carefully think step only answer respond exactly first consider meaning context decide compare
    both literal intent tone topic evidence reason briefly directly precisely judge overall
    sentence word phrase question statement detail key main implied stated explicit negation
    exception irony sarcasm hedge fact opinion claim premise conclusion relation difference
    similarity cause effect subject object verb grammar order number name time place expert
    strict lenient neutral objective honest confident cautious likely certain always never
    ignore focus check verify read again twice slowly before after then finally label option
    choose select pick match follow examples pattern style above below given following format
    single one lowercase reply output nothing else please important note remember avoid guess
"""

WORDS: Final = tuple(_WORDS.split())
"""Single words, distinct."""

HINTS: Final = (
    "think step by step",
    "read the text twice",
    "answer with one word",
    "consider the full context",
    "decide before you answer",
    "compare both texts word by word",
    "follow the examples above",
    "use the labels as shown",
    "watch out for negations",
    "judge the meaning, not the wording",
    "ignore names and numbers",
    "be careful and precise",
    "focus on the main claim",
    "do not guess from single words",
    "choose the most likely answer",
)
"""Short hints of three to six words."""
