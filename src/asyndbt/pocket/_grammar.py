"""The grammar of the pocket world: families, tasks, items and the hold-out rule.

All families share one abstract structure, so one learned mechanism serves all of them.  An item is
either *plain* (its class is fixed) or belongs to a *dim* whose two poles map to two classes by the
sign of the task:

    class of pole s in dim i  =  classes_i[s]      if sign_i = +1
                                 classes_i[1 - s]  if sign_i = -1

A prompt without demonstrations and note leaves the signs open; labels of demonstrations and clue
words of a note reveal them.  Standard library only.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from asyndbt.pocket._lexicon import DIMS, NATURAL_LABELS, Dim, Words
from asyndbt.pocket._surface import PLAIN_KIND, RENDER

HOLD_OUT_PARTS: Final = 8
"""One text in this many is never used in training."""


@dataclass(frozen=True)
class Family:
    """A family of tasks that share words, dims, sites and wordings.

    Attributes
    ----------
    name : str
    instructions : tuple of str
        Templates with `{text_a}` and, for pairs, `{text_b}`; the first one is the usual one.
    sites : tuple of str
        Three sources of text that differ in surface words.
    classes : int
        Number of classes that exist; a task may use fewer.
    """

    name: str
    instructions: tuple[str, ...]
    sites: tuple[str, str, str]
    classes: int = 2

    @property
    def dims(self) -> tuple[Dim, ...]:
        """Hidden factors of the family."""
        return DIMS[self.name]

    @property
    def is_pair(self) -> bool:
        """Whether an item has two texts."""
        return "{text_b}" in self.instructions[0]

    def labels(self, classes: int) -> tuple[Words, ...]:
        """Natural label words for a task of so many classes, in class order."""
        return tuple(words for words in NATURAL_LABELS[self.name] if len(words) == classes)


FAMILIES: Final[dict[str, Family]] = {
    family.name: family
    for family in (
        Family(
            "sentiment",
            ('How does "{text_a}" feel?', 'Review: "{text_a}". Verdict?', 'Is "{text_a}" praise?'),
            ("movies", "phones", "meals"),
            classes=3,
        ),
        Family(
            "topic",
            ('What is "{text_a}" about?', 'Topic of "{text_a}"?', 'Which area is "{text_a}"?'),
            ("magazine", "chat", "newswire"),
            classes=4,
        ),
        Family(
            "telecom",
            (
                'Are {text_a} related if "{text_b}"?',
                'Given "{text_b}", are {text_a} related?',
            ),
            ("core", "edge", "cloud"),
        ),
        Family(
            "entailment",
            (
                'Does "{text_a}" imply "{text_b}"?',
                'If "{text_a}", then "{text_b}"?',
            ),
            ("magazine", "chat", "newswire"),
        ),
        Family(
            "paraphrase",
            (
                'Does "{text_a}" mean "{text_b}"?',
                'Is "{text_a}" the same as "{text_b}"?',
            ),
            ("home", "office", "shop"),
        ),
    )
}


# ------------------------------------------------------------------ tasks
@dataclass(frozen=True)
class SignedTask:
    """A family with the classes in use and the hidden sign of every dim.

    Attributes
    ----------
    family : Family
    classes : tuple of int
        Classes in use.
    signs : tuple of int
        +1 or -1 per dim; 0 where the dim needs a class that is not in use.
    """

    family: Family
    classes: tuple[int, ...]
    signs: tuple[int, ...]


def signed_task(family: str, signs: str, classes: Sequence[int] | None = None) -> SignedTask:
    """Return the task of a family with signs written like ``"+-+-"``.

    Dims that need a class outside `classes` get sign 0.  The default is the first two classes, or
    all four of the topic family.
    """
    kind = FAMILIES[family]
    used = tuple(classes if classes is not None else range(4 if family == "topic" else 2))
    values = tuple(
        (1 if sign == "+" else -1) if set(dim.classes) <= set(used) else 0
        for sign, dim in zip(signs, kind.dims, strict=True)
    )
    return SignedTask(kind, used, values)


def _clues(task: SignedTask, truth: int) -> list[str]:
    return [
        word
        for sign, dim in zip(task.signs, task.family.dims, strict=True)
        if sign
        for word in dim.clues[0 if sign * truth > 0 else 1]
    ]


def true_clues(task: SignedTask) -> list[str]:
    """Return the note words that reveal the signs of the task."""
    return _clues(task, 1)


def false_clues(task: SignedTask) -> list[str]:
    """Return the note words that suggest the opposite signs."""
    return _clues(task, -1)


# ------------------------------------------------------------------ items
@dataclass(frozen=True)
class Item:
    """One text or pair of texts, with its class and its origin in the grammar.

    Attributes
    ----------
    text_a : str
    text_b : str or None
        Second text of a pair task.
    label_class : int
    kind : int
        Index of the dim, or `PLAIN_KIND`.
    side : int
        Pole of the dim; for plain items the class.
    site : str
    """

    text_a: str
    text_b: str | None
    label_class: int
    kind: int
    side: int
    site: str

    @property
    def key(self) -> str:
        """Both texts as one string: identity of the item, and the input of the hold-out rule."""
        return self.text_a if self.text_b is None else f"{self.text_a} ; {self.text_b}"

    def question(self, instruction: str) -> str:
        """Fill the instruction template with the texts."""
        return instruction.format(text_a=self.text_a, text_b=self.text_b)


def is_held_out(text: str) -> bool:
    """Whether a text is one of the eighth that training never uses (FNV-1a hash)."""
    value = 2166136261
    for byte in text.encode():
        value = ((value ^ byte) * 16777619) & 0xFFFFFFFF
    return (value >> 7) % HOLD_OUT_PARTS == 0


def draw_item(
    rng: Random,
    task: SignedTask,
    label_class: int | None = None,
    *,
    held_out: bool = False,
    site: str | None = None,
    plain_share: float = 0.34,
    dim_weights: Sequence[float] = (1, 1, 1, 1),
) -> Item:
    """Draw one item of a task.

    Parameters
    ----------
    rng : random.Random
    task : SignedTask
    label_class : int, optional
        Wanted class; random among the classes in use without it.
    held_out : bool
        Whether to draw from the held-out texts or from the others.
    site : str, optional
        One of the family's sites; random without it.
    plain_share : float
        Probability of a plain item, where the class has dims at all.
    dim_weights : sequence of float
        Relative frequency of the family's dims.
    """
    wanted = rng.choice(task.classes) if label_class is None else label_class
    while True:
        place = site or rng.choice(task.family.sites)
        kind, side = _draw_kind(rng, task, wanted, plain_share, dim_weights)
        text_a, text_b = RENDER[task.family.name](rng, kind, side, place)
        item = Item(text_a, text_b, wanted, kind, side, place)
        if is_held_out(item.key) == held_out:
            return item


def _draw_kind(
    rng: Random,
    task: SignedTask,
    wanted: int,
    plain_share: float,
    dim_weights: Sequence[float],
) -> tuple[int, int]:
    """Dim (or plain) and pole of an item of the wanted class."""
    usable = [
        index
        for index, (sign, dim) in enumerate(zip(task.signs, task.family.dims, strict=True))
        if sign and wanted in dim.classes
    ]
    if not usable or rng.random() < plain_share:
        return PLAIN_KIND, wanted
    kind = rng.choices(usable, [dim_weights[index] for index in usable])[0]
    side = task.family.dims[kind].classes.index(wanted)
    return kind, side if task.signs[kind] > 0 else 1 - side
