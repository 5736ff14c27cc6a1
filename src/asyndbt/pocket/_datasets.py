"""The demo tasks of the pocket model and their data sets.

Every text is held out from the training of the model.  A task has three sites that differ in
surface words, class balance and frequent dims, but share the hidden signs.  The model guesses "+"
for an unknown sign, so a prompt has to convey the "-" signs.

About half of the tasks are harder: nearly all signs are "-", and the clue words of some of these
dims are missing from `fragment_vocabulary`, so that only demonstrations can convey them, and one
demonstration per class is too few for all.  Standard library only.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from random import Random
from types import MappingProxyType
from typing import Any, Final, Literal

from asyndbt.pocket._grammar import FAMILIES, Item, SignedTask, draw_item, signed_task
from asyndbt.pocket._lexicon import DIMS, INSTRUCTION_WORDS, OBJECT_WORDS

Split = Literal["train", "validation", "test"]
SIZES: Final[Mapping[Split, int]] = MappingProxyType({"train": 480, "validation": 120, "test": 360})
"""Rows per split, spread evenly over the sites."""

CLUED_DIMS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "sentiment": ("size", "tempo"),
        "topic": ("sports-finance", "science-cooking", "finance-cooking"),
        "telecom": ("plane", "lifecycle"),
        "entailment": ("hedge", "frequency"),
        "paraphrase": ("mood",),
    }
)
"""Dims whose clue words are in the fragment vocabulary."""


@dataclass(frozen=True)
class PocketTask:
    """A demo task.

    Attributes
    ----------
    name : str
    instruction : str
        Template with `{text_a}` and, for pairs, `{text_b}`.
    labels : mapping of str to str
        Label in the data -> label word for the model.
    text_fields : tuple of str
    sites : tuple of str
        Names of the three sites.
    description : str
    """

    name: str
    instruction: str
    labels: Mapping[str, str]
    text_fields: tuple[str, ...]
    sites: tuple[str, str, str]
    description: str

    def config_tables(self, seed: int = 0) -> dict[str, dict[str, Any]]:
        """Return the tables of a configuration for this task, without the budget.

        Parameters
        ----------
        seed : int
            Another one gives other rows.
        """
        rows = f"@{seed}" if seed else ""
        splits: dict[str, Any] = {split: f"pocket:{self.name}/{split}{rows}" for split in SIZES}
        return {
            "task": {"instruction": self.instruction, "labels": dict(self.labels)},
            "data": {**splits, "site_column": "site"},
            "lm": {"provider": "pocket"},
            "method": {"vocabulary": "pocket"},
        }


Weights = tuple[float, ...]


@dataclass(frozen=True)
class _World:
    """Hidden parameters of a task.

    Attributes
    ----------
    family : str
    signs : str
        Sign of each dim.
    dims : three tuples of float
        Relative frequency of the dims at each site.
    plain : float
        Share of plain items.
    noise : float
        Share of rows with a wrong label.
    classes : tuple of int, optional
    """

    family: str
    signs: str
    dims: tuple[Weights, Weights, Weights]
    plain: float
    noise: float = 0.0
    classes: tuple[int, ...] | None = None


_CLASS_BALANCE: Final = ((1.4, 1.0, 0.8, 0.8), (0.8, 1.4, 1.0, 0.8), (1.0, 0.8, 1.4, 1.4))
_FIRST_TWO_CLUED: Final = ((3.0, 3.0, 5.0, 1.0), (3.0, 3.0, 1.0, 5.0), (3.0, 3.0, 3.0, 3.0))
_FIRST_CLUED: Final = ((6.0, 4.0, 2.0, 1.0), (6.0, 1.0, 4.0, 2.0), (6.0, 2.0, 1.0, 4.0))
_SPREAD: Final = ((5.0, 3.0, 1.0, 1.0), (1.0, 5.0, 3.0, 1.0), (1.0, 1.0, 3.0, 5.0))

_WORLDS: Final[dict[str, _World]] = {
    "sentiment-consumer": _World("sentiment", "----", _FIRST_TWO_CLUED, plain=0.55, noise=0.04),
    "sentiment-fans": _World(
        "sentiment", "-+-+", ((4, 1, 4, 1), (4, 2, 2, 1), (4, 1, 3, 2)), plain=0.45
    ),
    "sentiment-3way": _World(
        "sentiment", "--+-", ((4, 3, 1, 1), (3, 1, 2, 4), (4, 1, 2, 2)), 0.35, classes=(0, 1, 2)
    ),
    "telecom-relation": _World("telecom", "----", _FIRST_TWO_CLUED, plain=0.55, noise=0.03),
    "topic-4way": _World("topic", "-+--", _SPREAD, plain=0.45),
    "entailment": _World("entailment", "----", _FIRST_TWO_CLUED, plain=0.55, noise=0.05),
    "paraphrase": _World("paraphrase", "----", _FIRST_CLUED, plain=0.55, noise=0.02),
}


def _task(name: str, labels: dict[str, str], description: str) -> PocketTask:
    family = FAMILIES[_WORLDS[name].family]
    fields = ("text_a", "text_b") if family.is_pair else ("text_a",)
    return PocketTask(
        name,
        family.instructions[0],
        MappingProxyType(labels),
        fields,
        family.sites,
        description,
    )


TASKS: Final[Mapping[str, PocketTask]] = MappingProxyType(
    {
        task.name: task
        for task in (
            _task(
                "sentiment-consumer",
                {"positive": "great", "negative": "terrible"},
                "Praise or blame in reviews of films, phones and meals.",
            ),
            _task(
                "sentiment-fans",
                {"positive": "positive", "negative": "negative"},
                "Praise or blame in the words of fans, who use some words the other way round.",
            ),
            _task(
                "sentiment-3way",
                {"positive": "positive", "negative": "negative", "neutral": "neutral"},
                "Praise, blame or neither in reviews of films, phones and meals.",
            ),
            _task(
                "telecom-relation",
                {"related": "yes", "unrelated": "no"},
                "Whether two functions of a 5G core network are related, given a sentence.",
            ),
            _task(
                "topic-4way",
                {word: word for word in ("sports", "finance", "science", "cooking")},
                "What a short news line is about.",
            ),
            _task(
                "entailment",
                {"entailed": "yes", "not-entailed": "no"},
                "Whether the second sentence follows from the first.",
            ),
            _task(
                "paraphrase",
                {"paraphrase": "same", "other": "different"},
                "Whether two sentences mean the same.",
            ),
        )
    }
)


def signed(name: str) -> SignedTask:
    """Return the task with its hidden signs, for evaluation only."""
    world = _WORLDS[_known(name)]
    return signed_task(world.family, world.signs, world.classes)


def dataset(name: str, split: Split, seed: int = 0) -> list[dict[str, str]]:
    """Return the rows of one split of a demo task.

    Parameters
    ----------
    name : str
        A key of `TASKS`.
    split : "train", "validation" or "test"
        480, 120 or 360 rows; no text is in two splits.
    seed : int
        Another seed gives other rows.

    Returns
    -------
    list of dict
        Fields of the task (`text_a`, for pairs `text_b`), `label` and `site`.

    Raises
    ------
    ValueError
        When the task or the split does not exist.
    """
    if split not in SIZES:
        raise ValueError(f"split {split!r} does not exist; use one of {', '.join(SIZES)}")
    labels = list(TASKS[_known(name)].labels)
    used = signed(name).classes
    rows = []
    for item in items(name, seed)[split]:
        texts = {"text_a": item.text_a}
        if item.text_b is not None:
            texts["text_b"] = item.text_b
        label = labels[used.index(item.label_class)]
        rows.append({**texts, "label": label, "site": item.site})
    return rows


@lru_cache(maxsize=16)
def items(name: str, seed: int = 0) -> Mapping[Split, tuple[Item, ...]]:
    """Return the items behind the rows of all splits, for evaluation only."""
    stream = _item_stream(_WORLDS[_known(name)], Random(f"{name} {seed}"))
    return {split: tuple(next(stream) for _ in range(size)) for split, size in SIZES.items()}


def _item_stream(world: _World, rng: Random) -> Iterator[Item]:
    """Endless items without a repeated text, the sites in turn."""
    task = signed_task(world.family, world.signs, world.classes)
    taken: set[str] = set()
    while True:
        for site, name in enumerate(task.family.sites):
            balance = _CLASS_BALANCE[site][: len(task.classes)]
            while True:
                item = draw_item(
                    rng,
                    task,
                    rng.choices(task.classes, balance)[0],
                    held_out=True,
                    site=name,
                    plain_share=world.plain,
                    dim_weights=world.dims[site],
                )
                if item.key not in taken:
                    break
            taken.add(item.key)
            if rng.random() < world.noise:
                others = [label for label in task.classes if label != item.label_class]
                item = replace(item, label_class=rng.choice(others))
            yield item


def fragment_vocabulary() -> tuple[str, ...]:
    """Return the words that a fragment may use: some clues of all families, and fillers."""
    clues = [
        word
        for name, dims in DIMS.items()
        for dim in dims
        if dim.name in CLUED_DIMS[name]
        for words in dim.clues
        for word in words
    ]
    return tuple(sorted({*clues, *INSTRUCTION_WORDS, *OBJECT_WORDS}))


def _known(name: str) -> str:
    if name not in _WORLDS:
        raise ValueError(f"task {name!r} does not exist; use one of {', '.join(_WORLDS)}")
    return name
