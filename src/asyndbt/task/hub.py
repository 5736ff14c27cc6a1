"""Rows that do not come from a file of the user's: `datasets` and the pocket world."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from asyndbt.errors import DataError, MissingExtraError
from asyndbt.task.files import Row

__all__ = ["read_datasets", "read_pocket"]


def read_datasets(name: str, labels: Sequence[str], base: Path) -> Iterator[Row]:
    """Read rows through the `datasets` library.

    Parameters
    ----------
    name : str
        ``NAME[/CONFIG][:SPLIT]``, where NAME may be ``owner/name`` of the Hugging Face hub or the
        path of a folder of data files; the split is ``train`` without one.
    labels : sequence of str
        Labels of the task: columns that hold class numbers with names are read as names where
        the task uses the names.
    base : pathlib.Path
        Folder that a path is relative to.

    Yields
    ------
    origin : str
    row : mapping

    Raises
    ------
    DataError
        If the library cannot load it.
    MissingExtraError
        If the library is not installed.
    """
    place, _, split = name.partition(":")
    table = _load(place, split or "train", base)
    names = {
        column: feature.names
        for column, feature in table.features.items()
        if set(labels) <= set(getattr(feature, "names", None) or ())
    }
    for number, row in enumerate(table, start=1):
        named = {
            column: known[row[column]]
            for column, known in names.items()
            if isinstance(row[column], int) and row[column] >= 0
        }
        yield f"datasets:{name} row {number}", {**row, **named}


def _load(place: str, split: str, base: Path) -> Any:
    try:
        import datasets
    except ImportError:
        raise MissingExtraError("datasets", "datasets") from None
    reasons = []
    for path, config in _candidates(place, base):
        try:
            return datasets.load_dataset(path, config, split=split)
        # The library raises errors of a dozen libraries below it.
        except Exception as error:
            reasons.append(f"{type(error).__name__}: {error}")
    # "owner/name" and "name/config" look alike: the first reading is the likelier one.
    raise DataError(
        f"datasets:{place}:{split}: cannot be loaded ({reasons[0]}); check name, configuration and"
        " split"
    )


def _candidates(place: str, base: Path) -> list[tuple[str, str | None]]:
    if not place:
        raise DataError("datasets: names no data set; write datasets:NAME[/CONFIG][:SPLIT]")
    if (base / place).is_dir():
        return [(str(base / place), None)]
    owner, _, rest = place.partition("/")
    name, _, config = rest.partition("/")
    if config:
        return [(f"{owner}/{name}", config)]
    return [(place, None), (owner, name)] if name else [(place, None)]


def read_pocket(name: str) -> Iterator[Row]:
    """Read rows of a pocket data set, such as ``sentiment-fans/train``.

    Yields
    ------
    origin : str
    row : mapping

    Raises
    ------
    DataError
        If the pocket world has no such task or split.
    """
    task, slash, split = name.partition("/")
    if not (task and slash and split):
        raise DataError(
            f"pocket:{name}: write pocket:TASK/SPLIT, such as pocket:sentiment-fans/train"
        )
    # Imported late: the pocket world is a model too, and most data does not come from it.
    from asyndbt.pocket import dataset

    try:
        rows = dataset(task, split)  # type: ignore[arg-type]  # any text: it is checked there
    except ValueError as error:
        raise DataError(f"pocket:{name}: {error}") from None
    for number, row in enumerate(rows, start=1):
        yield f"pocket:{name} row {number}", row
