"""Word lists of the pocket world: words of fixed class, dims, fillers and label words.

Words without a meaning for the task are in `asyndbt.pocket._surface`.  Standard library only.
"""

from dataclasses import dataclass
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


# ------------------------------------------------------------------ words of hidden sign
@dataclass(frozen=True)
class Dim:
    """One hidden factor of a family: words whose class depends on its sign in the task.

    The two *poles* are opposed groups of words ("compact" and "bulky").  With sign +1 the first
    pole means the first class, with -1 the second: "compact" praises a phone and blames a meal.
    *Clue* words in a prompt's note reveal the sign ("portable": small is good).

    Attributes
    ----------
    name : str
        Name, unique within the family.
    poles : tuple of two word tuples
        Opposed words; with sign +1 they mean `classes[0]` and `classes[1]`, with -1 the reverse.
    clues : tuple of two word tuples
        Note words that reveal sign +1 and sign -1.
    classes : tuple of two int
        The two classes that the poles can mean.
    """

    name: str
    poles: tuple[Words, Words]
    clues: tuple[Words, Words]
    classes: tuple[int, int] = (0, 1)


def _dim(
    name: str, first: str, second: str, plus: str, minus: str, classes: tuple[int, int] = (0, 1)
) -> Dim:
    return Dim(
        name,
        (_words(first), _words(second)),
        (_words(plus), _words(minus)),
        classes,
    )


DIMS: Final[dict[str, tuple[Dim, ...]]] = {
    "sentiment": (
        _dim(
            "size",
            "small tiny compact slim little mini narrow short",
            "large big huge bulky giant wide massive tall",
            "portable pocket travel luggage commuter handbag",
            "family spacious capacity crowd storage feast",
        ),
        _dim(
            "tempo",
            "fast quick rapid brisk speedy swift hasty hurried",
            "slow gradual lengthy unhurried leisurely lingering sluggish prolonged",
            "deadline rush hurry urgent express racing",
            "relax holiday vacation weekend meditation hammock",
        ),
        _dim(
            "novelty",
            "odd strange weird surprising unusual bizarre eccentric unpredictable",
            "predictable familiar ordinary usual conventional traditional standard typical",
            "adventure festival artist experimental explorer surprise",
            "tradition routine grandmother classic heritage ritual",
        ),
        _dim(
            "slang",
            "sick wicked insane killer filthy nasty savage brutal",
            "cute basic sweet tame polite mild harmless innocent",
            "teen street meme casual youth hiphop",
            "press editor dictionary grammar proper formal",
        ),
    ),
    "topic": (
        _dim(
            "sports-finance",
            "goal transfer score pitch rally",
            "pool draft bond hedge return",
            "arena athlete fitness jersey",
            "cash market bourse shareholder",
            (0, 1),
        ),
        _dim(
            "science-cooking",
            "solution reaction culture mixture compound",
            "stock reduction batch scale filter",
            "lab research academy professor",
            "kitchen chef supper apron",
            (2, 3),
        ),
        _dim(
            "sports-science",
            "field record jump target speed",
            "force wave cell track motion",
            "olympics champion medal fan",
            "physics biology journal theory",
            (0, 2),
        ),
        _dim(
            "finance-cooking",
            "interest balance share pie chip",
            "bread cut turnover roll crust",
            "money budget economy salary",
            "taste flavor hunger dinner",
            (1, 3),
        ),
    ),
    "telecom": (
        _dim(
            "plane",
            "tunnels encapsulates forwards buffers routes",
            "authenticates registers pages configures provisions",
            "throughput payload traffic bandwidth",
            "signalling procedure protocol handshake",
        ),
        _dim(
            "lifecycle",
            "mirrors clones shadows replicates duplicates",
            "replaces supersedes retires migrates outlives",
            "redundancy resilience failover backup",
            "evolution legacy upgrade generation",
        ),
        _dim(
            "counting",
            "bills meters charges rates invoices",
            "monitors logs samples audits traces",
            "revenue tariff billing subscription",
            "analytics telemetry observability dashboard",
        ),
        _dim(
            "trust",
            "trusts delegates peers federates vouches",
            "polices filters screens blocks throttles",
            "federation roaming partner alliance",
            "security firewall threat attack",
        ),
    ),
    "entailment": (
        _dim(
            "hedge",
            "possibly maybe perhaps conceivably",
            "certainly definitely surely undoubtedly",
            "lenient probable weak likelihood",
            "strict proof certain evidence",
        ),
        _dim(
            "frequency",
            "sometimes occasionally once rarely",
            "always constantly daily repeatedly",
            "instance event incident episode",
            "habit pattern trend regular",
        ),
        _dim(
            "cause",
            "accidentally unexpectedly mysteriously suddenly",
            "deliberately purposely knowingly intentionally",
            "chance luck nature random",
            "motive blame scheme intent",
        ),
        _dim(
            "extent",
            "partly slightly barely somewhat",
            "completely fully entirely utterly",
            "portion fraction minor tolerance",
            "whole total complete severity",
        ),
    ),
    "paraphrase": (
        _dim(
            "mood",
            "gladly happily eagerly cheerfully",
            "sadly grudgingly gloomily wearily",
            "feeling emotion mood smile",
            "fact action deed outcome",
        ),
        _dim(
            "place",
            "indoors upstairs inside nearby",
            "outdoors abroad downtown elsewhere",
            "building room address roof",
            "expedition map region distance",
        ),
        _dim(
            "time",
            "today tonight recently lately",
            "formerly earlier previously beforehand",
            "contemporary news modern current",
            "history archive memory past",
        ),
        _dim(
            "manner",
            "kindly graciously courteously politely",
            "bluntly rudely curtly coldly",
            "etiquette courtesy letter diplomat",
            "brevity telegram haste shorthand",
        ),
    ),
}
