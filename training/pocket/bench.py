"""`Bench`: draws prompts of a demo task and measures them, for the table of `landscape`."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from asyndbt.pocket import (
    CLUED_DIMS,
    INSTRUCTION_WORDS,
    PLAIN_KIND,
    TASKS,
    Item,
    PocketModel,
    PocketTask,
    Split,
    fragment_vocabulary,
    items,
    signed,
    true_clues,
)

__all__ = ["FRAGMENT_WORDS", "Bench", "Demonstrations", "Words"]

FRAGMENT_WORDS: Final = 6
VALIDATION_ROWS: Final = 40

Demonstrations = Sequence[tuple[Item, int]]
Words = Sequence[str]


@dataclass
class Bench:
    """One task with its rows by site and a generator for draws.

    Attributes
    ----------
    name : str
        A key of `TASKS`.
    rows : int
        Test rows per site.
    draws : int
        Draws per figure and site.
    best_of : int
        Candidates per site for the best demonstrations; half as many fragments.
    """

    name: str
    rows: int = 60
    draws: int = 16
    best_of: int = 48

    def __post_init__(self) -> None:
        self.model = PocketModel.load()
        self.task: PocketTask = TASKS[self.name]
        self.signed = signed(self.name)
        self.labels = tuple(self.task.labels.values())
        self.rng = Random(f"landscape {self.name}")
        self._measured: dict[object, float] = {}

    def items(self, site: str, split: Split) -> list[Item]:
        """Items of one site; of the test and validation splits a fixed number."""
        limit = {"train": None, "validation": VALIDATION_ROWS, "test": self.rows}[split]
        return [item for item in items(self.name)[split] if item.site == site][:limit]

    def accuracy(
        self,
        site: str,
        demonstrations: Demonstrations = (),
        fragment: Words = (),
        labels: Words | None = None,
        split: Split = "test",
    ) -> float:
        """Share of right answers of one site, in per cent; measured once for every prompt."""
        words = tuple(labels or self.labels)
        prompt = (site, tuple(demonstrations), tuple(fragment), words, split)
        if prompt not in self._measured:
            self._measured[prompt] = self._measure(site, demonstrations, fragment, words, split)
        return self._measured[prompt]

    def _measure(
        self, site: str, demonstrations: Demonstrations, fragment: Words, words: Words, split: Split
    ) -> float:
        note = f" Note: {' '.join(fragment)}." if fragment else ""

        def line(item: Item) -> str:
            return f"Question: {item.question(self.task.instruction)}{note} Answer:"

        beginning = "".join(f"{line(item)} {words[told]}\n" for item, told in demonstrations)
        queries = self.items(site, split)
        scores = self.model.label_log_probabilities(
            [beginning + line(item) for item in queries], words
        )
        gold = [self.signed.classes.index(item.label_class) for item in queries]
        return 100 * float((scores.argmax(1) == gold).mean())

    # -------------------------------------------------------------- draws
    def demonstrations(
        self,
        site: str,
        per_class: int = 1,
        wrong: float = 0.0,
        wanted: Callable[[Item], bool] = lambda item: True,
    ) -> Demonstrations:
        """Draw demonstrations in random order; a share `wrong` has the label of another class."""
        drawn: list[tuple[Item, int]] = []
        for index, label_class in enumerate(self.signed.classes):
            pool = [i for i in self.items(site, "train") if i.label_class == label_class]
            preferred = [item for item in pool if wanted(item)]
            for item in self.rng.sample(preferred or pool, per_class):
                shift = self.rng.random() < wrong
                drawn.append((item, (index + shift) % len(self.labels)))
        self.rng.shuffle(drawn)
        return drawn

    def fragment(self, pool: Words, words: int = FRAGMENT_WORDS) -> list[str]:
        """Draw different words of a pool, filled up with instruction words."""
        drawn = self.rng.sample(list(pool), min(words, len(pool)))
        return drawn + self.rng.sample(INSTRUCTION_WORDS, words - len(drawn))

    def clues_to_tell(self) -> list[str]:
        """Return the true clue words of "-" dims that the fragment vocabulary has."""
        offered = set(fragment_vocabulary())
        lies = {word for dim in self.signed.family.dims for word in dim.clues[0]}
        return [word for word in true_clues(self.signed) if word in offered - lies]

    def is_telling(self, item: Item) -> bool:
        """Whether an item shows a "-" sign."""
        return item.kind != PLAIN_KIND and self.signed.signs[item.kind] < 0

    def is_needed(self, item: Item) -> bool:
        """Whether an item shows a "-" sign that no fragment can tell."""
        dims = self.signed.family.dims
        clued = CLUED_DIMS[self.signed.family.name]
        return self.is_telling(item) and dims[item.kind].name not in clued

    # -------------------------------------------------------------- statistics
    def over_draws(self, figure: Callable[[str], float], draws: int | None = None) -> list[float]:
        """Mean over sites and draws, and mean over sites of the standard deviation over draws."""
        means, deviations = [], []
        for site in self.task.sites:
            values = [figure(site) for _ in range(draws or self.draws)]
            means.append(statistics.fmean(values))
            deviations.append(statistics.pstdev(values))
        return [statistics.fmean(means), statistics.fmean(deviations)]

    def over_sites(self, figure: Callable[[str], float]) -> float:
        """Mean over the sites."""
        return statistics.fmean(figure(site) for site in self.task.sites)

    def best_demonstrations(
        self, site: str, candidates: Sequence[Demonstrations], fragment: Words = ()
    ) -> Demonstrations:
        """Return the candidate with the highest accuracy on validation rows."""
        return max(
            candidates, key=lambda shown: self.accuracy(site, shown, fragment, split="validation")
        )

    def best_fragment(self, candidates: Sequence[Words]) -> Words:
        """Return the fragment with the highest mean accuracy on the sites' validation rows."""

        def score(words: Words) -> float:
            return self.over_sites(lambda site: self.accuracy(site, (), words, split="validation"))

        return max(candidates, key=score)
