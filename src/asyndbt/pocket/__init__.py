"""A tiny language model and its tasks, for demos, tests and the comparison of tuners.

The model is trained from scratch by ``training/pocket``; see ``docs/pocket-model.md``.
"""

from asyndbt.pocket._datasets import (
    CLUED_DIMS,
    SIZES,
    TASKS,
    PocketTask,
    Split,
    dataset,
    fragment_vocabulary,
    items,
    signed,
)
from asyndbt.pocket._grammar import (
    FAMILIES,
    Item,
    SignedTask,
    draw_item,
    false_clues,
    signed_task,
    true_clues,
)
from asyndbt.pocket._lexicon import ARBITRARY_LABELS, DIMS, INSTRUCTION_WORDS, VERB_GROUPS
from asyndbt.pocket._model import PocketModel
from asyndbt.pocket._server import PocketServer
from asyndbt.pocket._surface import PLAIN_KIND
from asyndbt.pocket._tokenizer import (
    ANSWER,
    NEWLINE,
    NOTE,
    PAD,
    QUESTION,
    START,
    Tokenizer,
    vocabulary,
)

__all__ = [
    "ANSWER",
    "ARBITRARY_LABELS",
    "CLUED_DIMS",
    "DIMS",
    "FAMILIES",
    "INSTRUCTION_WORDS",
    "NEWLINE",
    "NOTE",
    "PAD",
    "PLAIN_KIND",
    "QUESTION",
    "SIZES",
    "START",
    "TASKS",
    "VERB_GROUPS",
    "Item",
    "PocketModel",
    "PocketServer",
    "PocketTask",
    "SignedTask",
    "Split",
    "Tokenizer",
    "dataset",
    "draw_item",
    "false_clues",
    "fragment_vocabulary",
    "items",
    "signed",
    "signed_task",
    "true_clues",
    "vocabulary",
]
