"""Training episodes: prompts of random pocket tasks with the supervision of every position.

An episode draws a hidden task, demonstrations and a query: one line per demonstration, all with the
same note.  Held-out texts never occur here.
"""

from dataclasses import dataclass, field
from random import Random
from typing import Final

from asyndbt.pocket import (
    ANSWER,
    DIMS,
    FAMILIES,
    NEWLINE,
    PLAIN_KIND,
    START,
    VERB_GROUPS,
    Item,
    SignedTask,
    draw_item,
)

from .prompts import (
    TOKENIZER,
    Mode,
    choose_labels,
    note_ids,
    question_ids,
    random_note,
    random_task,
)

__all__ = ["CLUSTERS", "EVIDENCE", "Episode", "Recipe", "make_episode"]

CLUE_KIND: Final = 100
"""Added to a dim's index in the cluster key of its clue words."""
TOKEN_CAP: Final = 420
"""No demonstration is added to an episode that is longer than this."""


def _clusters() -> dict[tuple[str, int, int], int]:
    """(family, kind, side) -> id; the two sides of a dim, and of its clues, are id and id ^ 1."""
    keys: list[tuple[str, int, int]] = []
    for name, family in FAMILIES.items():
        dims = range(len(family.dims))
        keys += [(name, kind, side) for kind in dims for side in (0, 1)]
        keys += [(name, CLUE_KIND + kind, side) for kind in dims for side in (0, 1)]
    for name, family in FAMILIES.items():
        keys += [(name, PLAIN_KIND, side) for side in range(family.classes)]
    return {key: index for index, key in enumerate(keys)}


CLUSTERS: Final = _clusters()
_CLUE_OF: Final = {
    TOKENIZER.id_of(word): (name, kind, side)
    for name, dims in DIMS.items()
    for kind, dim in enumerate(dims)
    for side, words in enumerate(dim.clues)
    for word in words
}
_VERB_GROUP: Final = {
    TOKENIZER.id_of(word): group
    for groups in VERB_GROUPS.values()
    for group, words in enumerate(groups)
    for word in words
}

EVIDENCE: Final = ("same", "opposite", "clue", "verb")
"""What a taught head looks for: labels of demonstrations of the same word cluster, of the opposed
cluster, clue words of the query's dim, the first verb of a pair."""


@dataclass(frozen=True)
class Recipe:
    """How to draw episodes.

    Attributes
    ----------
    shots : tuple of int
        Numbers of demonstrations to choose from.
    mode : "natural", "flipped" or "arbitrary"
        Label words: the natural ones, the natural ones permuted, any words.
    note : float
        Share of prompts with a note.
    truthful : float
        Share of notes made of true clues mostly.
    plain : float
        Share of plain items.
    noise : float
        Share of demonstrations with a label drawn at random.
    bare : float
        Share of prompts with a note whose demonstrations lack it.
    """

    shots: tuple[int, ...]
    mode: Mode = "natural"
    note: float = 0.5
    truthful: float = 0.0
    plain: float = 0.34
    noise: float = 0.0
    bare: float = 0.1


@dataclass
class Episode:
    """Token ids of one prompt and what its positions are taught.

    Attributes
    ----------
    ids : list of int
    answers : list of (position, label token, candidate tokens)
    evidence : list of (kind, looking position, positions to look at)
        `kind` indexes `EVIDENCE`.
    clusters : list of (position, cluster id, stage)
        Stage 0 or 1: readable after the first or second block.
    signs : list of (position, family index, signs)
    shown : list of (label position, 4 * family index + dim, 1 for sign +1 else 0)
    """

    ids: list[int] = field(default_factory=lambda: [START])
    answers: list[tuple[int, int, list[int]]] = field(default_factory=list)
    evidence: list[tuple[int, int, list[int]]] = field(default_factory=list)
    clusters: list[tuple[int, int, int]] = field(default_factory=list)
    signs: list[tuple[int, int, tuple[int, ...]]] = field(default_factory=list)
    shown: list[tuple[int, int, int]] = field(default_factory=list)


def make_episode(rng: Random, recipe: Recipe, shots: int) -> Episode:
    """Draw a task and an episode with at most `shots` demonstrations and one query.

    Every answer position is supervised once the answer can be known there.
    """
    task = random_task(rng)
    instructions = task.family.instructions
    usual = rng.random() < 0.7
    writer = _Writer(
        task=task,
        labels=[TOKENIZER.id_of(word) for word in choose_labels(rng, task, recipe.mode)],
        instruction=instructions[0] if usual else rng.choice(instructions),
        note=random_note(rng, task, recipe.truthful) if rng.random() < recipe.note else [],
        natural=recipe.mode == "natural",
    )
    even = rng.random() < 0.5
    weights = [1.0 if even else rng.choice((0.2, 1.0, 3.0)) for _ in task.signs]
    bare = rng.random() < recipe.bare
    for label_class in _demonstrated_classes(rng, task, shots):
        if len(writer.episode.ids) > TOKEN_CAP:
            break
        item = draw_item(rng, task, label_class, plain_share=recipe.plain, dim_weights=weights)
        noisy = rng.random() < recipe.noise
        told = rng.randrange(len(task.classes)) if noisy else task.classes.index(label_class)
        writer.add(item, told, noted=not bare)
    writer.add(draw_item(rng, task, plain_share=recipe.plain, dim_weights=weights), None, True)
    return writer.episode


def _demonstrated_classes(rng: Random, task: SignedTask, shots: int) -> list[int]:
    """Balanced in random order, or at times drawn freely."""
    if rng.random() < 0.3:
        return [rng.choice(task.classes) for _ in range(shots)]
    classes = [task.classes[index % len(task.classes)] for index in range(shots)]
    rng.shuffle(classes)
    return classes


@dataclass
class _Writer:
    """Appends demonstrations and the query to an episode, with the supervision of each."""

    task: SignedTask
    labels: list[int]
    instruction: str
    note: list[str]
    natural: bool
    episode: Episode = field(default_factory=Episode)
    told: set[int] = field(default_factory=set)
    lines: int = 0
    labels_of: dict[int, list[int]] = field(default_factory=dict)
    clues_of: dict[int, list[int]] = field(default_factory=dict)

    def add(self, item: Item, told: int | None, noted: bool) -> None:
        """Append one line; `told` is the index of the label shown, None for the query."""
        episode, name = self.episode, self.task.family.name
        question = question_ids(item, self.instruction)
        if self.task.family.is_pair and name in VERB_GROUPS:
            self._supervise_verbs(question)
        episode.ids += question
        if noted:
            self._add_note()
        episode.ids.append(ANSWER)
        at, gold = len(episode.ids) - 1, self.task.classes.index(item.label_class)
        cluster = CLUSTERS[(name, item.kind, item.side)]
        self._supervise_answer(at, gold, cluster, item.kind)
        if told is not None:
            self._add_label(at + 1, told, gold, cluster, item.kind)

    def _add_note(self) -> None:
        start, name = len(self.episode.ids), self.task.family.name
        self.episode.ids += note_ids(self.note)
        for at in range(start, len(self.episode.ids)):
            clue = _CLUE_OF.get(self.episode.ids[at])
            if clue is None:
                continue
            family, kind, side = clue
            self.episode.clusters.append((at, CLUSTERS[(family, CLUE_KIND + kind, side)], 0))
            if family == name:
                self.clues_of.setdefault(kind, []).append(at)

    def _add_label(self, at: int, told: int, gold: int, cluster: int, kind: int) -> None:
        episode = self.episode
        episode.ids += [self.labels[told], NEWLINE]
        episode.clusters.append((at, cluster, 1))
        if self.natural and told == gold and kind != PLAIN_KIND:
            family = list(FAMILIES).index(self.task.family.name)
            episode.shown.append((at, 4 * family + kind, int(self.task.signs[kind] > 0)))
        self.told.add(told)
        self.lines += 1
        self.labels_of.setdefault(cluster, []).append(at)

    def _supervise_answer(self, at: int, gold: int, cluster: int, kind: int) -> None:
        episode = self.episode
        known = gold in self.told and len(self.told) == len(self.labels) and self.lines >= 2
        if self.natural or known:
            episode.answers.append((at, self.labels[gold], self.labels))
        if cluster in self.labels_of:
            episode.evidence.append((0, at, list(self.labels_of[cluster])))
        if kind != PLAIN_KIND and cluster ^ 1 in self.labels_of:
            episode.evidence.append((1, at, list(self.labels_of[cluster ^ 1])))
        if kind in self.clues_of:
            episode.evidence.append((2, at, list(self.clues_of[kind])))
        if kind != PLAIN_KIND or self.task.family.name not in VERB_GROUPS:
            episode.clusters.append((at, cluster, 0))
        episode.clusters.append((at, cluster, 1))
        if self.natural:
            family = list(FAMILIES).index(self.task.family.name)
            episode.signs.append((at, family, self.task.signs))

    def _supervise_verbs(self, question: list[int]) -> None:
        """Teach the second verb to find the first and to tell whether both are of one group."""
        start = len(self.episode.ids)
        verbs = [
            (start + index, _VERB_GROUP[token])
            for index, token in enumerate(question)
            if token in _VERB_GROUP
        ]
        (first, group), (second, other) = verbs
        self.episode.evidence.append((3, second, [first]))
        same = CLUSTERS[(self.task.family.name, PLAIN_KIND, int(group != other))]
        self.episode.clusters.append((second, same, 0))
