"""Rows of pocket tasks, cut by site and put into files. Not a benchmark itself."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from asyndbt.pocket import TASKS, dataset

__all__ = ["site_tables", "training_rows"]

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
