"""The tuning landscape of the demo tasks: what kinds of prompts are worth, in per cent correct.

    python -m training.pocket.landscape [--rows 60] [--draws 16] [--tasks entailment,paraphrase]

Every site draws its demonstrations from its own training rows and answers its own test rows; a
fragment is shared by the sites.  Figures are means over the sites; a standard deviation is that
of one site over draws.  "Best known" prompts use the hidden signs of the task to propose
candidates and are chosen on validation rows: upper marks for a tuner, not proven optima.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from asyndbt.pocket import (
    ARBITRARY_LABELS,
    TASKS,
    Item,
    false_clues,
    fragment_vocabulary,
    true_clues,
)

from .bench import FRAGMENT_WORDS, Bench, Demonstrations, Words

__all__ = ["COLUMNS", "landscape"]

CLUE_WORDS: Final = 8

Candidates = dict[str, list[Demonstrations]]
"""Demonstrations to choose from, by site."""


# ------------------------------------------------------------------ figures
def _plain(bench: Bench) -> dict[str, float]:
    return {"plain": bench.over_sites(bench.accuracy)}


def _demonstrations(bench: Bench) -> dict[str, float]:
    def drawn(per_class: int, wrong: float = 0.0) -> list[float]:
        return bench.over_draws(
            lambda site: bench.accuracy(site, bench.demonstrations(site, per_class, wrong))
        )

    mean, deviation = drawn(1)
    return {
        "demos 1": mean,
        "sd": deviation,
        "demos 2": drawn(2)[0],
        "demos 4": drawn(4)[0],
        "quarter wrong 4": drawn(4, 0.25)[0],
        "wrong 1": drawn(1, 1.0)[0],
        "wrong 4": drawn(4, 1.0)[0],
    }


def _arbitrary(bench: Bench) -> dict[str, float]:
    def figure(site: str) -> float:
        labels = bench.rng.sample(ARBITRARY_LABELS, len(bench.labels))
        return bench.accuracy(site, bench.demonstrations(site, 4), labels=labels)

    return {"arbitrary 4": bench.over_draws(figure)[0]}


def _fragments(bench: Bench) -> dict[str, float]:
    def drawn(pool: Words, words: int) -> list[float]:
        return bench.over_draws(
            lambda site: bench.accuracy(site, (), bench.fragment(pool, words)), bench.draws // 2
        )

    mean, deviation = drawn(fragment_vocabulary(), FRAGMENT_WORDS)
    return {
        "fragment": mean,
        "fragment sd": deviation,
        "informative": drawn(true_clues(bench.signed), CLUE_WORDS)[0],
        "misleading": drawn(false_clues(bench.signed), CLUE_WORDS)[0],
    }


def _best(bench: Bench) -> dict[str, float]:
    """Best of random draws, and the best known prompts of one kind and of both kinds."""
    vocabulary, sites = fragment_vocabulary(), bench.task.sites
    random = [bench.fragment(vocabulary) for _ in range(bench.best_of // 2)]
    clues = [bench.fragment(bench.clues_to_tell()) for _ in range(6)]
    shots: Candidates = {site: _candidates(bench, site) for site in sites}
    known: Candidates = {
        site: shots[site]
        + _candidates(bench, site, bench.is_telling)
        + _candidates(bench, site, bench.is_needed)
        for site in sites
    }
    return {
        "best demos": _tuned(bench, shots, ())[1],
        "best known demos": _tuned(bench, known, ())[1],
        "best fragment": _told(bench, random)[1],
        "best known fragment": _told(bench, random + clues)[1],
        "random both": bench.over_draws(
            lambda site: bench.accuracy(
                site, bench.demonstrations(site), bench.fragment(vocabulary)
            )
        )[0],
        "best known both": max(
            _tuned(bench, known, words)
            for words in (_told(bench, clues)[0], _told(bench, random + clues)[0])
        )[1],
    }


def _candidates(
    bench: Bench, site: str, wanted: Callable[[Item], bool] = lambda item: True
) -> list[Demonstrations]:
    return [bench.demonstrations(site, wanted=wanted) for _ in range(bench.best_of)]


def _tuned(bench: Bench, candidates: Candidates, words: Words) -> tuple[float, float]:
    """Validation and test accuracy of each site's best demonstrations with a given fragment."""
    chosen = {site: bench.best_demonstrations(site, candidates[site], words) for site in candidates}
    validation = bench.over_sites(
        lambda site: bench.accuracy(site, chosen[site], words, split="validation")
    )
    return validation, bench.over_sites(lambda site: bench.accuracy(site, chosen[site], words))


def _told(bench: Bench, candidates: Sequence[Words]) -> tuple[Words, float]:
    """Fragment with the best validation accuracy, and its test accuracy."""
    words = bench.best_fragment(candidates)
    return words, bench.over_sites(lambda site: bench.accuracy(site, (), words))


_FIGURES: Final = (_plain, _demonstrations, _arbitrary, _fragments, _best)
COLUMNS: Final = (
    "plain",
    "demos 1",
    "sd",
    "demos 2",
    "demos 4",
    "quarter wrong 4",
    "wrong 1",
    "wrong 4",
    "arbitrary 4",
    "fragment",
    "fragment sd",
    "informative",
    "misleading",
    "best demos",
    "best known demos",
    "best fragment",
    "best known fragment",
    "random both",
    "best known both",
)
"""Names of the figures, in the order of the table."""


def landscape(name: str, rows: int = 60, draws: int = 16, best_of: int = 48) -> dict[str, float]:
    """Measure all figures of one demo task, in per cent.

    Parameters
    ----------
    name : str
        A key of `TASKS`.
    rows : int
        Test rows per site.
    draws : int
        Draws per figure and site.
    best_of : int
        Candidates per site for the "best" figures; without any these are left out.

    Returns
    -------
    dict of str to float
        Keys are `COLUMNS`.
    """
    bench, figures = Bench(name, rows, draws, best_of), {}
    for part in _FIGURES if best_of else _FIGURES[:-1]:
        figures.update(part(bench))
    return figures


def main() -> None:
    """Print the table: a line per figure, a column per task and one of means."""
    parser = argparse.ArgumentParser(description="The tuning landscape of the demo tasks.")
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--rows", type=int, default=60, help="test rows per site")
    parser.add_argument("--draws", type=int, default=16, help="draws per figure and site")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    args = parser.parse_args()
    table: dict[str, dict[str, float]] = {}
    for name in args.tasks.split(","):
        table[name] = landscape(name, args.rows, args.draws)
        print(f"{name} is done", file=sys.stderr)
    print("| | " + " | ".join(table) + " | mean |\n|---|" + "---|" * (len(table) + 1))
    for key in COLUMNS:
        values = [row[key] for row in table.values()]
        cells = " | ".join(f"{value:.1f}" for value in (*values, statistics.fmean(values)))
        print(f"| {key} | {cells} |")
    if args.json:
        args.json.write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main()
