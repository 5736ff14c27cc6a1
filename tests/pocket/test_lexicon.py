from collections import Counter

from asyndbt.pocket import _lexicon as lexicon
from asyndbt.pocket._lexicon import DIMS
from asyndbt.pocket._tokenizer import words_of

CLUES = [w for dims in DIMS.values() for dim in dims for words in dim.clues for w in words]
POLES = [w for dims in DIMS.values() for dim in dims for words in dim.poles for w in words]
PLAIN = [w for classes in lexicon.PLAIN.values() for words in classes for w in words]
FILLERS = {
    *lexicon.INSTRUCTION_WORDS,
    *lexicon.OBJECT_WORDS,
    *(word for hint in lexicon.HINTS for word in words_of(hint)),
}


def test_a_word_has_one_meaning() -> None:
    repeated = [word for word, times in Counter(CLUES + POLES + PLAIN).items() if times > 1]
    assert repeated == []


def test_fillers_carry_no_meaning() -> None:
    assert FILLERS.isdisjoint({*CLUES, *POLES, *PLAIN})


def test_about_a_hundred_instruction_words_and_fifteen_short_hints() -> None:
    assert len(set(lexicon.INSTRUCTION_WORDS)) == 100
    assert len(lexicon.HINTS) == 15
    assert all(3 <= len(hint.split()) <= 6 for hint in lexicon.HINTS)


def test_natural_labels_are_not_words_of_the_texts() -> None:
    natural = {w for sets in lexicon.NATURAL_LABELS.values() for words in sets for w in words}
    assert natural.isdisjoint({*CLUES, *POLES, *PLAIN})
