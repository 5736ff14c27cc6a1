"""Rows of pocket tasks, dealt to sites and put into files. Not a benchmark itself."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, zip_longest
from pathlib import Path

from asyndbt.pocket import TASKS, dataset

__all__ = ["CUTS", "POOL", "deal", "site_tables", "training_rows"]

Rows = list[dict[str, str]]

CUTS = {10: (4, 3, 3), 3: (1, 1, 1)}
"""Sites that each of a task's flavours is dealt to, by the number of sites."""
POOL = 20
"""Rows of a site that are for demonstrations."""
_VALIDATION = 12
_MOST_SEEDS = 40


def site_tables(
    rows: Mapping[str, Iterable[Mapping[str, str]]], sites: Sequence[str], folder: Path
) -> dict[str, dict[str, str]]:
    """Write the rows of some sites to files and return the tables ``[data.sites.NAME]``.

    Parameters
    ----------
    rows : mapping of str to rows
        By split (train, validation, test), with the column ``site``.
    sites : sequence of str
        Sites to write; rows of others are left out.
    folder : Path
    """
    tables: dict[str, dict[str, str]] = {site: {} for site in sites}
    for split, content in rows.items():
        lines: dict[str, list[str]] = {site: [] for site in sites}
        for row in content:
            if row["site"] in lines:
                kept = {key: value for key, value in row.items() if key != "site"}
                lines[row["site"]].append(json.dumps(kept))
        for site in sites:
            path = folder / site / f"{split}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("\n".join(lines[site]) + "\n", encoding="utf-8")
            tables[site][split] = str(path.resolve())
    return tables


def deal(task: str, sites: int, seed: int) -> dict[str, Rows]:
    """Deal a task's rows to sites; by split, with the site's name in column ``site``."""
    flavours = dict(zip(TASKS[task].sites, CUTS[sites], strict=True))
    hands = max(CUTS[sites])
    held_out = [*dataset(task, "validation", seed), *dataset(task, "test", seed)]
    dealt: dict[str, Rows] = {"train": [], "validation": [], "test": []}
    for flavour, count in flavours.items():
        train = _hands(_of(dataset(task, "train", seed), flavour), hands)
        for number, (own, rest) in enumerate(
            zip(train, _hands(_of(held_out, flavour), count), strict=False), start=1
        ):
            name = f"{flavour}-{number}"
            for split, rows in (
                ("train", own),
                ("validation", rest[:_VALIDATION]),
                ("test", rest[_VALIDATION:]),
            ):
                dealt[split] += [{**row, "site": name} for row in rows]
    return dealt


def _of(rows: Sequence[dict[str, str]], flavour: str) -> Rows:
    return [row for row in rows if row["site"] == flavour]


def _hands(rows: Rows, count: int) -> list[Rows]:
    """Deal rows class by class, and put those of a hand in an order in which classes take turns."""
    ordered = sorted(rows, key=lambda row: row["label"])
    return [_in_turn(ordered[hand::count]) for hand in range(count)]


def _in_turn(rows: Rows) -> Rows:
    by_label = defaultdict(list)
    for row in rows:
        by_label[row["label"]].append(row)
    turns = zip_longest(*by_label.values())
    return [row for row in chain.from_iterable(turns) if row is not None]


def training_rows(task: str, per_class: int, first: int = 0) -> list[dict[str, str]]:
    """Training rows of as many data seeds, `first` and on, as give every site so many of a class.

    Texts of the validation and test splits of the first, and repeats, are left out.
    """
    taken = {_text(row) for split in ("validation", "test") for row in dataset(task, split, first)}
    rows: list[dict[str, str]] = []
    known = TASKS[task]
    for seed in range(first, first + _MOST_SEEDS):
        for row in dataset(task, "train", seed):
            if _text(row) not in taken:
                taken.add(_text(row))
                rows.append(row)
        counts = Counter((row["site"], row["label"]) for row in rows)
        if min(counts[site, label] for site in known.sites for label in known.labels) >= per_class:
            return rows
    raise RuntimeError(f"{task}: no {per_class} different rows of every class and site")


def _text(row: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(row[key] for key in sorted(row) if key.startswith("text"))
