"""From a word of the lexicon to a text: sites, registers and sentence templates.

`RENDER` maps a family to a function that writes one item of a given kind and side for a site.
Standard library only.
"""

from collections.abc import Callable
from random import Random
from typing import Final

from asyndbt.pocket._lexicon import DIMS, PLAIN, VERB_GROUPS, Words

PLAIN_KIND: Final = -1
"""Kind of an item whose class does not depend on a sign; other kinds are indices of dims."""


def _words(text: str) -> Words:
    return tuple(text.split())


_OPENERS: Final[dict[str, Words]] = {
    "magazine": ("overall", "honestly", "frankly", "interestingly"),
    "chat": ("omg", "yo", "lol", "well"),
    "newswire": ("yesterday", "reportedly", "initially", "finally"),
}
_SENTIMENT: Final[dict[str, tuple[Words, Words, Words]]] = {
    "movies": (
        _words("movie film plot script acting scene ending cast dialogue soundtrack"),
        _OPENERS["magazine"],
        ("{opener} the {noun} was {adverb} {word}", "{opener} i found the {noun} {adverb} {word}"),
    ),
    "phones": (
        _words("phone handset battery screen camera keypad charger speaker button display"),
        _OPENERS["chat"],
        ("{opener} {adverb} {word} {noun}", "{opener} this {noun} is {adverb} {word}"),
    ),
    "meals": (
        _words("restaurant soup pasta dessert service menu steak salad wine breakfast"),
        _OPENERS["newswire"],
        ("{opener} guests called the {noun} {adverb} {word}", "{opener} the {noun} seemed {word}"),
    ),
}
_ADVERBS: Final = _words("very quite really truly rather so pretty totally")
_PEOPLE: Final = _words(
    "reporter neighbor speaker visitor writer student driver manager child guest"
)
_MENTIONS: Final = _words(
    "discussed mentioned explained described praised ignored remembered watched noticed liked"
)
_FUNCTIONS: Final = _words("amf smf upf pcf udm udr ausf nrf nssf nef af chf gnb sepp")
_CIRCUMSTANCES: Final[dict[str, Words]] = {
    "core": ("during registration", "about sessions"),
    "edge": ("near antennas", "during handover"),
    "cloud": ("within clusters", "after scaling"),
}
_DEVICES: Final = _words("router switch tower cable sensor server modem relay")
_PLACES: Final = _words("paris london tokyo cairo lima oslo")
_OWNERS: Final[dict[str, Words]] = {
    "home": ("mother", "father"),
    "office": ("boss", "clerk"),
    "shop": ("seller", "buyer"),
}
_GOODS: Final[tuple[Words, ...]] = (
    ("sofa", "couch", "settee"),
    ("car", "automobile", "sedan"),
    ("house", "home", "dwelling"),
    ("jacket", "coat", "parka"),
    ("gift", "present", "donation"),
)


def _content_word(rng: Random, family: str, kind: int, side: int) -> str:
    if kind == PLAIN_KIND:
        return rng.choice(PLAIN[family][side])
    return rng.choice(DIMS[family][kind].poles[side])


def _squeeze(text: str) -> str:
    return " ".join(text.split())


def _render_sentiment(rng: Random, kind: int, side: int, site: str) -> tuple[str, None]:
    word = _content_word(rng, "sentiment", kind, side)
    nouns, openers, templates = _SENTIMENT[site]
    text = rng.choice(templates).format(
        opener=rng.choice((*openers, "")),
        noun=rng.choice(nouns),
        adverb=rng.choice((*_ADVERBS, "")),
        word=word,
    )
    return _squeeze(text), None


def _render_topic(rng: Random, kind: int, side: int, site: str) -> tuple[str, None]:
    word = _content_word(rng, "topic", kind, side)
    opener = rng.choice((*_OPENERS[site], ""))
    return _squeeze(f"{opener} the {rng.choice(_PEOPLE)} {rng.choice(_MENTIONS)} the {word}"), None


def _render_telecom(rng: Random, kind: int, side: int, site: str) -> tuple[str, str]:
    word = _content_word(rng, "telecom", kind, side)
    first, second = rng.sample(_FUNCTIONS, 2)
    when = rng.choice(_CIRCUMSTANCES[site])
    return f"{first} and {second}", f"the {first} {word} the {second} {when}"


def _verb_pair(rng: Random, family: str, kind: int, side: int) -> tuple[str, str]:
    """Two verbs: of the same group, unless the item is plain and of class 1."""
    groups = VERB_GROUPS[family]
    group = rng.randrange(2)
    other = 1 - group if kind == PLAIN_KIND and side == 1 else group
    return rng.choice(groups[group]), rng.choice(groups[other])


def _adverb(rng: Random, family: str, kind: int, side: int) -> str:
    return "" if kind == PLAIN_KIND else rng.choice(DIMS[family][kind].poles[side])


def _render_entailment(rng: Random, kind: int, side: int, site: str) -> tuple[str, str]:
    adverb = _adverb(rng, "entailment", kind, side)
    first, second = _verb_pair(rng, "entailment", kind, side)
    opener, device, place = rng.choice(_OPENERS[site]), rng.choice(_DEVICES), rng.choice(_PLACES)
    text_a = f"{opener} the {device} in {place} {first}"
    return text_a, _squeeze(f"the {device} {adverb} {second}")


def _render_paraphrase(rng: Random, kind: int, side: int, site: str) -> tuple[str, str]:
    adverb = _adverb(rng, "paraphrase", kind, side)
    first, second = _verb_pair(rng, "paraphrase", kind, side)
    who, goods = rng.choice(_OWNERS[site] + _PEOPLE[:4]), rng.choice(_GOODS)
    text_a = f"the {who} {first} the {rng.choice(goods)}"
    return text_a, _squeeze(f"the {who} {second} the {rng.choice(goods)} {adverb}")


RENDER: Final[dict[str, Callable[[Random, int, int, str], tuple[str, str | None]]]] = {
    "sentiment": _render_sentiment,
    "topic": _render_topic,
    "telecom": _render_telecom,
    "entailment": _render_entailment,
    "paraphrase": _render_paraphrase,
}


def surface_words() -> list[str]:
    """Return texts with all words that carry no meaning."""
    texts = [
        *(" ".join(words) for words in _OPENERS.values()),
        *(" ".join((*nouns, *forms)) for nouns, _, forms in _SENTIMENT.values()),
        *(" ".join(words) for words in _CIRCUMSTANCES.values()),
        *(" ".join(words) for words in _OWNERS.values()),
        *(" ".join(words) for words in _GOODS),
        " ".join((*_ADVERBS, *_PEOPLE, *_MENTIONS, *_FUNCTIONS, *_DEVICES, *_PLACES)),
    ]
    fields = ("opener", "noun", "adverb", "word")
    return [text.format(**dict.fromkeys(fields, "")) for text in texts]
