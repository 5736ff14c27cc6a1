"""The dims of each family: words whose class depends on a hidden sign of the task.

A dim has two *poles*, opposed groups of words ("compact" and "bulky").  With sign +1 the first pole
means the first class, with -1 the second: "compact" praises a phone and blames a meal.  *Clue*
words in a prompt's note tell the sign ("portable": small is good).  Standard library only.
"""

from dataclasses import dataclass
from typing import Final

from asyndbt.pocket._lexicon import Words


@dataclass(frozen=True)
class Dim:
    """One hidden factor of a family.

    Attributes
    ----------
    name : str
        Name, unique within the family.
    poles : tuple of two word tuples
        Opposed words; with sign +1 they mean `classes[0]` and `classes[1]`, with -1 the reverse.
    clues : tuple of two word tuples
        Note words that tell sign +1 and sign -1.
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
        (tuple(first.split()), tuple(second.split())),
        (tuple(plus.split()), tuple(minus.split())),
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
