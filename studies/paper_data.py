"""Make the files of rows that studies/paper.toml needs for the five tasks of GLUE.

    pip install '.[datasets]'
    python studies/paper_data.py [--source FOLDER] [--out FOLDER] [--seed 0]

Of every task, data/TASK/test.jsonl gets 200 rows of GLUE's validation split as they are drawn, so
that classes are as frequent as there; data/TASK/validation.jsonl gets 30 other rows of each class
of that split, and data/TASK/train.jsonl 180 rows of each class of the train split.  GLUE's own test
split has no labels.  A validation row is taken only if none of its texts is in a test row, a
training row only if none is in a test or validation row.  The rows come from ``nyu-mll/glue`` on
the Hugging Face hub, or from FOLDER/TASK with files that ``datasets.load_dataset`` reads, such as
train.parquet and validation.parquet.

The paper's 5G data are not public: who has them makes data/5g with the same three files.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from asyndbt.errors import AsyndbtError, DataError
from asyndbt.task import Example, builtin_task, read_datasets, seeded_order, without_repeats

__all__ = ["COLUMNS", "HUB", "drawn", "main"]

HUB: Final = "nyu-mll/glue"
COLUMNS: Final[Mapping[str, Mapping[str, str]]] = {
    "cola": {"text_a": "sentence"},
    "sst2": {"text_a": "sentence"},
    "mrpc": {"text_a": "sentence1", "text_b": "sentence2"},
    "qqp": {"text_a": "question1", "text_b": "question2"},
    "qnli": {"text_a": "question", "text_b": "sentence"},
}
"""GLUE's column for every field of a task."""
TRAIN_PER_CLASS: Final = 180
"""Three sites with 50 rows of a class to choose from and 10 to tune."""
VALIDATION_PER_CLASS: Final = 30
"""Three sites with 10 rows of a class to validate."""
TEST: Final = 200
"""The same rows for every site."""
_SPLITS: Final = ("train", "validation")
_PARTS: Final = ("train", "validation", "test")


def main(argv: Sequence[str] | None = None) -> None:
    """Write the files of all five tasks."""
    parser = argparse.ArgumentParser(description="Make the rows that studies/paper.toml needs.")
    parser.add_argument("--source", type=Path, help=f"folder of a folder per task, for {HUB}")
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent / "data", help="folder to write into"
    )
    parser.add_argument("--seed", type=int, default=0, help="another seed draws other rows")
    args = parser.parse_args(argv)
    try:
        for task in COLUMNS:
            given, held_out = (_examples(task, split, args.source) for split in _SPLITS)
            rows = drawn(task, given, held_out, args.seed)
            for part, some in zip(_PARTS, rows, strict=True):
                _write(some, args.out / task / f"{part}.jsonl")
            told = ", ".join(
                f"{len(some)} for {part}" for part, some in zip(_PARTS, rows, strict=True)
            )
            print(f"{args.out / task}: rows {told}")
    except AsyndbtError as error:
        raise SystemExit(str(error)) from None
    if not (args.out / "5g").exists():
        print(
            f"{args.out / '5g'} is missing, and its rows are not public: put train.jsonl, "
            'validation.jsonl and test.jsonl there, or take "5g" and the table [tasks.5g] out of '
            "the study"
        )


def drawn(
    task: str, train: Iterable[Example], held_out: Iterable[Example], seed: int
) -> tuple[list[Example], list[Example], list[Example]]:
    """Draw the rows of a task for training, validation and test; no text is in two of the parts.

    Training and validation rows are in even shares.  The test rows are drawn first, so that no
    other choice changes how frequent their classes are.

    Raises
    ------
    DataError
        If there are too few.
    """
    others = without_repeats(held_out).examples
    tested = seeded_order(others, seed, "test")[:TEST]
    if len(tested) < TEST:
        raise DataError(f"{task}: {len(tested)} different test rows, {TEST} are needed")
    validated = _even(task, "validation", others, tested, VALIDATION_PER_CLASS, seed)
    given = without_repeats(train).examples
    trained = _even(task, "training", given, [*tested, *validated], TRAIN_PER_CLASS, seed)
    return trained, validated, tested


def _even(
    task: str,
    kind: str,
    rows: Iterable[Example],
    taken: Iterable[Example],
    per_class: int,
    seed: int,
) -> list[Example]:
    """Draw rows of every class that share no text with those taken."""
    texts = {text for example in taken for text in _texts(example)}
    free = [each for each in rows if texts.isdisjoint(_texts(each))]
    chosen = []
    for label in builtin_task(task).labels:
        some = seeded_order((each for each in free if each.label == label), seed, "train")
        if len(some) < per_class:
            raise DataError(
                f"{task}: {len(some)} different {kind} rows of label {label} that share no text "
                f"with rows already taken, {per_class} are needed"
            )
        chosen += some[:per_class]
    return seeded_order(chosen, seed, "order")


def _texts(example: Example) -> set[str]:
    return {" ".join(text.lower().split()) for text in example.fields.values()}


def _examples(task: str, split: str, source: Path | None) -> list[Example]:
    """Read a split of GLUE; rows with an empty text are left out."""
    if source is not None and not (source / task).is_dir():
        raise DataError(f"{source / task}: no such folder")
    name, labels = f"{task}:{split}", builtin_task(task).labels
    found = []
    for origin, row in read_datasets(
        f"{HUB}/{name}" if source is None else name, labels, source or Path()
    ):
        missing = {*COLUMNS[task].values(), "label"} - row.keys()
        if missing or str(row["label"]) not in labels:
            wrong = f"no column {min(missing)}" if missing else f"label {row['label']}"
            raise DataError(f"{origin}: {wrong}: not a split of GLUE's {task} with labels")
        fields = {field: str(row[column]) for field, column in COLUMNS[task].items()}
        if all(text.strip() for text in fields.values()):
            found.append(Example(fields, str(row["label"])))
    return found


def _write(examples: Iterable[Example], file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    rows = ({**example.fields, "label": example.label} for example in examples)
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    file.write_text(lines, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
