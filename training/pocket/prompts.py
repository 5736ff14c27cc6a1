"""Parts of random prompts: tasks, label words, notes, and their tokens as the package renders them.

Question: <instruction with the texts> [Note: <words>.] Answer: <label>
"""

from random import Random
from typing import Final, Literal

from asyndbt.pocket import (
    ANSWER,
    DIMS,
    FAMILIES,
    NEWLINE,
    NOTE,
    QUESTION,
    START,
    Item,
    SignedTask,
    Tokenizer,
    false_clues,
    signed_task,
    true_clues,
)
from asyndbt.pocket import _lexicon as lexicon

__all__ = [
    "TOKENIZER",
    "Mode",
    "choose_labels",
    "note_ids",
    "prompt_ids",
    "question_ids",
    "random_note",
    "random_task",
]

Mode = Literal["natural", "flipped", "arbitrary"]
FAMILY_SHARES: Final = {
    "sentiment": 0.36,
    "topic": 0.2,
    "telecom": 0.13,
    "entailment": 0.16,
    "paraphrase": 0.15,
}
PLUS_SHARE: Final = 0.6
"""Prior of sign +1; the lean makes the plain prompt's guess the same everywhere."""
NOTE_LENGTHS: Final = (1, 2, 3, 4, 4, 6, 6, 6, 8, 8, 8, 10)

TOKENIZER: Final = Tokenizer()
FILLERS: Final = (
    *lexicon.INSTRUCTION_WORDS,
    *lexicon.INSTRUCTION_WORDS,
    *lexicon.OBJECT_WORDS,
    *lexicon.FUNCTION_WORDS,
    *lexicon.HINTS,
    *["xyzzy"] * 4,
)
"""Note entries without a meaning; "xyzzy" stands for any word outside the vocabulary."""
ALL_CLUES: Final = {
    name: sorted(word for dim in dims for words in dim.clues for word in words)
    for name, dims in DIMS.items()
}
LABEL_POOL: Final = tuple(
    word
    for word in dict.fromkeys(
        (
            *lexicon.ARBITRARY_LABELS,
            *lexicon.INSTRUCTION_WORDS,
            *lexicon.OBJECT_WORDS,
            *(word for sets in lexicon.NATURAL_LABELS.values() for words in sets for word in words),
        )
    )
    if word not in lexicon.UNSEEN_LABELS
)
"""Label words of the "arbitrary" mode: a large pool, so that copying them has to generalise."""


def random_task(rng: Random) -> SignedTask:
    """Draw a family, signs, and classes: topic uses two to four, sentiment two or three."""
    name = rng.choices(list(FAMILY_SHARES), list(FAMILY_SHARES.values()))[0]
    classes = None
    if name == "topic":
        size = rng.choice((2, 3, 4, 4))
        pair = rng.choice(FAMILIES[name].dims).classes
        classes = pair if size == 2 else tuple(sorted(rng.sample(range(4), size)))
    elif name == "sentiment" and rng.random() < 0.25:
        classes = (0, 1, 2)
    signs = "".join("+" if rng.random() < PLUS_SHARE else "-" for _ in range(4))
    return signed_task(name, signs, classes)


def choose_labels(rng: Random, task: SignedTask, mode: Mode) -> list[str]:
    """Label word of each class in use."""
    if mode == "arbitrary":
        return rng.sample(LABEL_POOL, len(task.classes))
    if task.family.name == "topic":
        words = [task.family.labels(4)[0][index] for index in task.classes]
    else:
        words = list(rng.choice(task.family.labels(len(task.classes))))
    return words if mode == "natural" else words[1:] + words[:1]


def random_note(rng: Random, task: SignedTask, truthful: float) -> list[str]:
    """Note entries: true clues, some lies, clues of other families, fillers and whole hints."""
    if rng.random() < truthful:
        true_share, false_share = 0.7, 0.0
    else:
        true_share, false_share = rng.choice((0.08, 0.2, 0.4)), rng.choice((0.0, 0.04, 0.1))
    rest = 1 - true_share - false_share
    others = ALL_CLUES[rng.choice(list(ALL_CLUES))]
    pools = (true_clues(task), false_clues(task), others, FILLERS)
    mine = {*pools[0], *pools[1]}
    entries: list[str] = []
    for _ in range(rng.choice(NOTE_LENGTHS)):
        source = rng.choices(pools, (true_share, false_share, 0.25 * rest, 0.75 * rest))[0]
        entry = rng.choice(source)
        known = source is others and entry in mine
        entries.append(rng.choice(FILLERS) if known else entry)
    return entries


def question_ids(item: Item, instruction: str) -> list[int]:
    """Tokens of ``Question: <instruction>``."""
    return [QUESTION, *TOKENIZER.encode(item.question(instruction))]


def note_ids(entries: list[str]) -> list[int]:
    """Tokens of `` Note: <words>.``, none without words."""
    return [NOTE, *TOKENIZER.encode(" ".join(entries) + ".")] if entries else []


def prompt_ids(
    instruction: str, query: Item, demonstrations: list[tuple[Item, str]], note: list[str]
) -> list[int]:
    """Tokens of a whole prompt, as the package renders it."""
    ids, tail = [START], [*note_ids(note), ANSWER]
    for item, label in demonstrations:
        ids += question_ids(item, instruction) + tail + [TOKENIZER.id_of(label), NEWLINE]
    return ids + question_ids(query, instruction) + tail
