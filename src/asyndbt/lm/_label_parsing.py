"""Which label an answer in words names: never a wrong one, and none where two are named."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from asyndbt._spelling import caseless, plain_signs

# Thai to Burmese, Khmer, kana, Han, Hangul: words follow each other, or carry particles, unspaced.
_UNSPACED: Final = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_MARKS: Final = "\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0900-\u0963\u0966-\u0dff"
"""Marks on letters, which are no letters themselves."""
_LETTER: Final = rf"[^\W_{_UNSPACED}]"
_START: Final = rf"(?<!{_LETTER})(?<![{_MARKS}])(?<!{_LETTER}[-'_])"
_END: Final = rf"(?!{_LETTER})(?![{_MARKS}])(?![-'_]{_LETTER})"
_NUMBER: Final = re.compile(r"([-+]?)(\d+)(?:[.,](\d+))?")
_NUMBER_START: Final = r"(?<!\d[.,:/\u2044])(?<![-+\u2013.,/\u2044])"
_NUMBER_END: Final = r"(?![.,:/\u2044]\d)(?!\s?[%\u2030])(?:\s+out\s+of\s+\d+)?"
_ARTICLES: Final = "aeiouy"
_AFTER_LETTER: Final = (
    r"(?!\s+(?!(?:is|because|since|as|for|due|was|would|fits|the|it|or|and|nor)\b)[a-z])"
)
"""A letter before a noun is a word: "A great film" does not name the label A."""

_FRAME: Final = re.compile(r"^(?:(?![-+\u2013#])[\W_])+|(?:(?![-+#])[\W_])+$")
_BULLET: Final = re.compile(r"^\s*(?:[*\u2022>#]+|[-\u2013](?!\s*\d)|\(?\d+[.)])\s+")
_SENTENCE_END: Final = re.compile(
    r"[.!?](?!\w)|[;\n\u3002\uff01\uff1f\u0964]"
    r"|[,:\u2013]\s*(?:so|but|and so|hence|thus|therefore|then|it'?s|it is|this is|answer)\b",
    re.IGNORECASE,
)
_CERTAIN: Final = re.compile(
    r"\b(?:no doubt|without (?:a |any )?doubt|no question|not only|not just|nothing but"
    r"|can(?:not|'t) be denied|why not)\b",
    re.IGNORECASE,
)
_NEGATED: Final = re.compile(
    r"\b(?:not|never|neither|nor|cannot|hardly|barely|scarcely|rather than|instead of"
    r"|anything but|far from|other than|opposite of|unlikely|without|wrong|incorrect|except"
    r"|no longer|nowhere near|isnt|arent|wasnt|dont|doesnt|didnt|cant|wont)\b|n't\b"
    r"|\b(?:nicht|kein\w*|nie|niemals|weder|pas|jamais|nunca|n\u00e3o|tampoco|niet|geen|inte|ikke|nie"
    r"|\u043d\u0435|\u043d\u0438)\b"
    r"|\bno(?:\s+(?:es|\u00e8|so|very))?\s*[\"']?$|\bnon(?:\s+\w+)?\s*[\"']?$"
    r"|[\u4e0d\u975e\u6c92\u6ca1\u7121\u65e0\u672a]\w{0,2}[\"']?$",
    re.IGNORECASE,
)
"""In a sentence before a label: it says what the answer is not, or may say so."""
_DENIED: Final = re.compile(
    r"[\"'*_\s]*(?:(?:is|was|are|would be|seems|does|can|fits|applies)\s*(?:n't|not|hardly|wrong)\b"
    r"|(?:does|is|would|can|could)\s+(?:\w+\s+)?(?:not|never)\b|(?:is|does|would|ca)n't\b|cannot\b"
    r"|\s*(?:\u3067\u306f\u306a|\u3058\u3083\u306a|(?:\uc774|\uac00|\uc740|\ub294)?\s*\uc544[\ub2c8\ub2d9\ub2cc]))",
    re.IGNORECASE,
)
"""After a label, likewise."""
_REVISED: Final = re.compile(
    r"\b(?:actually|wait|correction|on second thoughts?|i meant?|scratch that|sorry|hmm+"
    r"|let me re\w+|or rather)\b",
    re.IGNORECASE,
)

_KEYS: Final = (
    r"(?:answer|label|sentiment|class|category|classification|prediction|verdict|conclusion"
    r"|decision|judge?ment|result|output|response|choice)"
)
_VALUE: Final = (
    r"(?:(?P<quote>[\"'])(?P<quoted>[^\"'\n]*)(?P=quote)(?=\s*(?:[.}\]]|,\s*[\"']\w+[\"']\s*:|$))"
    r"|(?P<plain>[^\n]*?)(?=\s*,\s*[\"']\w+[\"']\s*:|[}\n]|$))"
)
_STATED: Final = re.compile(
    rf"\\boxed\s*\{{(?:\\\w+\s*\{{)?(?P<boxed>[^{{}}\n]*)\}}"
    rf"|<(?P<tag>{_KEYS})\b[^<>]*>(?P<tagged>[^<>]*)</(?P=tag)>"
    rf"|\b{_KEYS}\b[\"'*_)\]]*\s*(?::|=>|->|=|\bis\b\s*:?)[\s*_]*{_VALUE}",
    re.IGNORECASE | re.MULTILINE,
)
"""What an answer states to be its answer, wherever it does so."""


def parse_label(text: str | None, label_words: Sequence[str]) -> int | None:
    r"""Index of the one label word that an answer names, None for no label or two different ones.

    Case, punctuation and markdown do not matter, nor which code points stand for quotation marks,
    apostrophes, dashes and digits, nor how letters with accents are composed.  The label may stand
    in a sentence, as a word of its own: "yes" is not in "yesterday", nor "related" in "un-related",
    nor "1" in "-1" or "1.5", but in "1.0".  Where one label is part of another, the longer one is
    read.  A label of one letter is read in its own case, unless it is the whole answer.

    What an answer states ("Answer: ...", a field of JSON, ``\boxed{...}``), or a line of nothing
    else, goes before labels in running text, where an explanation may mention others.  A label that
    is negated ("not great") or called in question later is not read.

    Examples
    --------
    >>> parse_label("The answer is: **Great**.", ["terrible", "great"])
    1
    >>> parse_label("great\n\nIt praises rather than calls it terrible.", ["terrible", "great"])
    1
    >>> parse_label("Yes, or rather no.", ["yes", "no"]) is None
    True
    >>> parse_label("Not great.", ["terrible", "great"]) is None
    True
    """
    return _reader(tuple(label_words)).read(plain_signs(text)) if text else None


def begins_with_label(text: str, label: str) -> bool:
    """Whether a text, in plain signs, begins with a label as a word of its own."""
    return _reader((label,)).pattern.match(text) is not None


@dataclass(frozen=True, slots=True)
class _Mention:
    label: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads texts, in plain signs; `pattern` has one group per label, the longest first."""

    pattern: re.Pattern[str]
    names: dict[str, int]

    def read(self, text: str) -> int | None:
        whole = self._whole(text)
        if whole is not None:
            return whole
        mentions = list(self._mentions(text))
        named = {mention.label for mention in mentions}
        if len(named) > 1 and _REVISED.search(text):
            return None
        told = {*self._stated(text), *self._alone(text)}
        if told:
            return told.pop() if len(told) == 1 else None
        if len(named) != 1 or any(_is_negated(text, mention) for mention in mentions):
            return None
        return named.pop()

    def _whole(self, text: str) -> int | None:
        """Label that a text consists of, whatever is around it."""
        found = self.names.get(caseless(text))
        return self.names.get(caseless(_FRAME.sub("", text))) if found is None else found

    def _mentions(self, text: str) -> Iterator[_Mention]:
        for match in self.pattern.finditer(text):
            assert match.lastgroup is not None
            yield _Mention(int(match.lastgroup.removeprefix("_")), *match.span())

    def _stated(self, text: str) -> Iterator[int]:
        for match in _STATED.finditer(text):
            groups = ("boxed", "tagged", "quoted", "plain")
            name = next(group for group in groups if match[group] is not None)
            start, end = match.span(name)
            # What is in quotes or brackets says by itself whether it is negated.
            since = 0 if name == "plain" else start
            whole = self._whole(text[start:end])
            inside = [m for m in self._mentions(text[since:end]) if m.start >= start - since]
            inside = inside if whole is None else [_Mention(whole, start - since, end - since)]
            labels = {mention.label for mention in inside}
            if len(labels) == 1 and not any(_is_negated(text[since:], each) for each in inside):
                yield labels.pop()

    def _alone(self, text: str) -> Iterator[int]:
        """Labels that a line consists of."""
        before = ""
        for line in text.splitlines():
            label = self._whole(_BULLET.sub("", line))
            if label is not None and not re.search(r"\b(?:not|never|no|nor)\W*$", before, re.I):
                yield label
            before = line if line.strip() else before


def _is_negated(text: str, mention: _Mention) -> bool:
    before = text[: mention.start]
    ends = list(_SENTENCE_END.finditer(before))
    clause = _CERTAIN.sub(" ", before[ends[-1].end() :] if ends else before)
    return bool(_NEGATED.search(clause) or _DENIED.match(text, mention.end))


@lru_cache(maxsize=256)
def _reader(label_words: tuple[str, ...]) -> _Reader:
    plain = [plain_signs(word).strip() for word in label_words]
    names: dict[str, int] = {}
    for index, word in enumerate(plain):
        names.setdefault(caseless(word), index)
    order = sorted(range(len(plain)), key=lambda index: (-len(plain[index]), index))
    groups = (f"(?P<_{index}>{_pattern(plain[index])})" for index in order)
    return _Reader(re.compile("|".join(groups)), names)


def _pattern(word: str) -> str:
    number = _NUMBER.fullmatch(word)
    if number:
        sign = "[-\u2013]" if number[1] == "-" else r"\+?"
        part = (number[3] or "").rstrip("0")
        rest = rf"[.,]{part}0*" if part else r"(?:\.(?!000\b)0+|,0{1,2})?"
        return f"{_START}{_NUMBER_START}{sign}{number[2]}{rest}{_END}{_NUMBER_END}"
    if len(word) == 1:
        after = _AFTER_LETTER if word.lower() in _ARTICLES else ""
        return f"{_START}{re.escape(word)}{_END}(?![+#]){after}"
    # Names of classes are written with spaces, hyphens or underscores.
    parts = re.split(r"([\s_\-\u2013]+)", word)
    body = "".join(
        r"(?:\s+|[_\-\u2013])"
        if place % 2 and parts[place - 1] and parts[place + 1]
        else re.escape(part).replace("\u2013", r"[-\u2013]")
        for place, part in enumerate(parts)
    )
    return f"{_START}(?i:{body}){_END}"
