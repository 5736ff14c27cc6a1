"""Word lists of the pocket world: words of fixed class, fillers and label words.

The words whose class depends on a task's hidden signs, and the clue words that tell these signs,
stand in `asyndbt.pocket._dims`; the words that merely dress up a text in `asyndbt.pocket._surface`.
Standard library only.
"""

from typing import Final

Words = tuple[str, ...]


def _words(text: str) -> Words:
    return tuple(text.split())


# ------------------------------------------------------------------ words with a meaning
PLAIN: Final[dict[str, tuple[Words, ...]]] = {
    "sentiment": (
        _words(
            "excellent wonderful superb lovely brilliant fantastic delightful impressive amazing"
            " perfect outstanding splendid"
        ),
        _words(
            "awful horrible poor dreadful disappointing lousy annoying mediocre pathetic"
            " unpleasant useless broken"
        ),
        _words("average passable middling tolerable unremarkable moderate acceptable fair"),
    ),
    "topic": (
        _words("striker coach goalkeeper sprinter referee stadium league trophy"),
        _words("banker auditor investor loan dividend mortgage ledger invoice"),
        _words("physicist biologist astronomer telescope molecule experiment theorem genome"),
        _words("baker butcher recipe oven spice dough skillet sauce"),
    ),
    "telecom": (
        _words("calls queries notifies serves invokes contacts"),
        _words("ignores avoids bypasses excludes skips forgets"),
    ),
}

VERB_GROUPS: Final[dict[str, tuple[Words, Words]]] = {
    "entailment": (
        _words("failed crashed stopped broke stalled"),
        _words("worked ran started recovered operated"),
    ),
    "paraphrase": (
        _words("bought purchased acquired ordered collected"),
        _words("sold donated discarded delivered lent"),
    ),
}

# ------------------------------------------------------------------ words without a meaning
INSTRUCTION_WORDS: Final = _words(
    "carefully think step only answer respond brief exact first consider meaning context decide"
    " compare both sentence word tone topic literal careful please now following given text then"
    " next clear best most never read again check focus simple reader line mark help final every"
    " each clearly directly honest concise judge label class choose select option question"
    " statement claim phrase detail key term main idea point explain reason logic common sense"
    " expert critic analyst assistant task rule hint example similar general specific precise"
    " correct accurate closely consistent confident objective calm slowly twice exactly reply"
    " output single verdict wording opinion theme usage instruction"
)

HINTS: Final[Words] = (
    "look at the verb",
    "read it twice",
    "think step by step",
    "answer with one word",
    "consider the full context",
    "decide before you answer",
    "compare both sentences first",
    "focus on the last word",
    "be careful and precise",
    "use the examples above",
    "judge the tone not the topic",
    "take a deep breath",
    "ignore words without meaning",
    "follow the labels shown",
    "mind the adverb",
)

OBJECT_WORDS: Final = _words(
    "paper river stone winter summer music window bottle garden pencil doctor village coin lamp"
    " spoon ladder bridge candle carpet anchor basket feather hammer island jungle kettle lantern"
    " magnet needle orchard parcel quilt ribbon saddle umbrella violin whistle blue green red table"
)

FUNCTION_WORDS: Final = _words(
    "a an and are as be by do does for how in is it not of on or so that the these this those to"
    " was what with you your should"
)

# ------------------------------------------------------------------ label words
NATURAL_LABELS: Final[dict[str, tuple[Words, ...]]] = {
    "sentiment": (
        ("great", "terrible"),
        ("good", "bad"),
        ("positive", "negative"),
        ("happy", "sad"),
        ("positive", "negative", "neutral"),
        ("great", "terrible", "okay"),
    ),
    "topic": (("sports", "finance", "science", "cooking"),),
    "telecom": (("yes", "no"), ("related", "unrelated"), ("true", "false")),
    "entailment": (("yes", "no"), ("true", "false")),
    "paraphrase": (("same", "different"), ("yes", "no"), ("true", "false")),
}

UNSEEN_LABELS: Final = _words("river stone bottle pencil lamp spoon anchor violin")
"""Words that never serve as a label in training: copying them shows that copying is general."""

ARBITRARY_LABELS: Final = _words(
    "alpha beta foo bar kappa omega zip zap apple lemon rome berlin tiger lion gamma delta mango"
    " cherry eagle shark up down two three four ping pong"
)
