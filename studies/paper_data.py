"""Make the files of rows that studies/paper.toml needs for the five tasks of GLUE.

    pip install '.[datasets]'
    python studies/paper_data.py [--source FOLDER] [--out FOLDER] [--seed 0]

Of every task, data/TASK/test.jsonl gets 200 rows of GLUE's validation split as they are drawn, so
that classes are as frequent as there, and data/TASK/train.jsonl gets 210 rows of each class of its
train split.  GLUE's own test split has no labels.  A training row is taken only if none of its
texts is in a test row.  The rows come from ``nyu-mll/glue`` on the Hugging Face hub, or from
FOLDER/TASK with files that ``datasets.load_dataset`` reads, such as train.parquet and
validation.parquet.

The paper's 5G data are not public: who has them makes data/5g with the same two files.
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
TRAIN_PER_CLASS: Final = 210
"""Three sites with 50 rows of a class to choose from, 10 to tune and 10 to validate."""
TEST: Final = 200
_SPLITS: Final = ("train", "validation")


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
            train, test = drawn(task, given, held_out, args.seed)
            _write(train, args.out / task / "train.jsonl")
            _write(test, args.out / task / "test.jsonl")
            print(f"{args.out / task}: {len(train)} rows for training, {len(test)} for the test")
    except AsyndbtError as error:
        raise SystemExit(str(error)) from None
    if not (args.out / "5g").exists():
        print(
            f"{args.out / '5g'} is missing, and its rows are not public: put train.jsonl and "
            'test.jsonl there, or take "5g" and the table [tasks.5g] out of the study'
        )


def drawn(
    task: str, train: Iterable[Example], test: Iterable[Example], seed: int
) -> tuple[list[Example], list[Example]]:
    """Draw the rows of a task, the training rows in even shares and free of all test texts.

    Raises
    ------
    DataError
        If there are too few.
    """
    tested = seeded_order(without_repeats(test).examples, seed, "test")[:TEST]
    if len(tested) < TEST:
        raise DataError(f"{task}: {len(tested)} different test rows, {TEST} are needed")
    texts = {text for example in tested for text in _texts(example)}
    free = [each for each in without_repeats(train).examples if texts.isdisjoint(_texts(each))]
    chosen = []
    for label in builtin_task(task).labels:
        rows = seeded_order((each for each in free if each.label == label), seed, "train")
        if len(rows) < TRAIN_PER_CLASS:
            raise DataError(
                f"{task}: {len(rows)} different training rows of label {label} that share no text "
                f"with the test rows, {TRAIN_PER_CLASS} are needed"
            )
        chosen += rows[:TRAIN_PER_CLASS]
    return seeded_order(chosen, seed, "order"), tested


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
