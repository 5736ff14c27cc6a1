"""The closed vocabulary of the pocket model and its regular-expression tokenizer."""

import re
from collections.abc import Iterable, Sequence
from typing import Final

from asyndbt.pocket import _lexicon as lexicon
from asyndbt.pocket._grammar import FAMILIES
from asyndbt.pocket._surface import surface_words

PAD, START, UNKNOWN, NEWLINE, ANSWER, NOTE, QUESTION = range(7)
_SPECIAL: Final = ("<pad>", "<start>", "<unk>", "\n", "answer:", "note:", "question:")
_TOKEN: Final = re.compile(r"(?:answer|note|question):|\n|[a-z0-9]+(?:[-'][a-z0-9]+)*|[^\sa-z0-9]")
_PUNCTUATION: Final = ". , ? ! ; : \" ' ( ) -"


def words_of(text: str) -> list[str]:
    """Split a text into lower-case words, punctuation, markers such as ``note:`` and newlines."""
    return _TOKEN.findall(text.lower())


def vocabulary() -> tuple[str, ...]:
    """All tokens of the pocket world in the order of their ids."""
    texts: list[str] = []
    for family in FAMILIES.values():
        texts += (text.format(text_a="", text_b="") for text in family.instructions)
    texts += [*surface_words(), _PUNCTUATION]
    for classes in (*lexicon.PLAIN.values(), *lexicon.VERB_GROUPS.values()):
        texts += (" ".join(words) for words in classes)
    for dims in lexicon.DIMS.values():
        texts += (" ".join(words) for dim in dims for words in dim.poles + dim.clues)
    for sets in lexicon.NATURAL_LABELS.values():
        texts += (" ".join(words) for words in sets)
    texts += [*lexicon.HINTS]
    texts.append(" ".join(lexicon.INSTRUCTION_WORDS + lexicon.OBJECT_WORDS))
    texts.append(" ".join(lexicon.FUNCTION_WORDS))
    texts.append(" ".join(lexicon.ARBITRARY_LABELS + lexicon.UNSEEN_LABELS))
    words = (word for text in texts for word in words_of(text))
    return tuple(dict.fromkeys((*_SPECIAL, *words)))


class Tokenizer:
    """Maps texts to token ids over a closed vocabulary; other words become ``<unk>``.

    Parameters
    ----------
    words : iterable of str, optional
        Tokens in the order of their ids; `vocabulary()` by default.
    """

    def __init__(self, words: Iterable[str] | None = None) -> None:
        self.words: tuple[str, ...] = tuple(vocabulary() if words is None else words)
        self._ids = {word: index for index, word in enumerate(self.words)}

    def __len__(self) -> int:
        return len(self.words)

    def encode(self, text: str) -> list[int]:
        """Token ids of a text, without the start token."""
        return [self._ids.get(word, UNKNOWN) for word in words_of(text)]

    def decode(self, ids: Sequence[int]) -> str:
        """Tokens of the ids, separated by spaces."""
        return " ".join(self.words[index] for index in ids)

    def id_of(self, word: str) -> int:
        """Id of a single known word.

        Raises
        ------
        ValueError
            When the word is not exactly one known token.
        """
        ids = self.encode(word)
        if len(ids) != 1 or ids[0] == UNKNOWN:
            raise ValueError(
                f"label {word!r} is not one word of the pocket vocabulary: it splits into "
                f"{words_of(word)}, of which {self._unknown(word) or 'all'} "
                f"{'are unknown' if self._unknown(word) else 'are known'}; use a single known word"
            )
        return ids[0]

    def unknown_words(self, text: str) -> tuple[int, int]:
        """Count the unknown words of a text and all of them, punctuation aside."""
        words = [word for word in words_of(text) if word[0].isalnum()]
        return sum(word not in self._ids for word in words), len(words)

    def _unknown(self, text: str) -> list[str]:
        return [word for word in words_of(text) if word not in self._ids]
