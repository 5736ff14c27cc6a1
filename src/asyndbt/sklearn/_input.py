"""From what scikit-learn's users have to texts by field and labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_array

from asyndbt._text import listed
from asyndbt.task import Task, builtin_task


def texts_of(X: Any, fields: Sequence[str] | None, of: str) -> list[dict[str, str]]:
    """Return the texts of every sample by field.

    Parameters
    ----------
    X : array-like or data frame
        (n,) texts, or (n, columns) of texts or numbers.
    fields : sequence of str or None
        Fields of the task: columns of a data frame are found by these names, those without names
        by their order. None takes every column, under its own name where it has one.
    of : str
        Name of the estimator, for messages.

    Raises
    ------
    ValueError
        If X is sparse, has gaps or another shape, or a field has no column.
    """
    if hasattr(X, "columns") and all(isinstance(column, str) for column in X.columns):
        if fields is None and all(map(str.isidentifier, X.columns)):
            fields = tuple(X.columns)
        if missing := [name for name in fields or () if name not in X.columns]:
            raise ValueError(f"X has no column {listed(missing)}, only {listed(X.columns)}")
        X = X if fields is None else X[list(fields)]
    table = check_array(X, dtype=None, ensure_2d=False)
    if table.ndim == 1:
        if not all(isinstance(text, str) for text in table.tolist()):
            raise ValueError(
                "Expected 2D array, got 1D array instead: give one text a sample, or Reshape your "
                "data to (n_samples, n_columns)"
            )
        table = table.reshape(-1, 1)
    if np.iscomplexobj(table):
        raise ValueError("Complex data not supported")
    names = _names(table.shape[1]) if fields is None else tuple(fields)
    if table.shape[1] != len(names):
        raise ValueError(
            f"X has {table.shape[1]} features, but {of} is expecting {len(names)} features as input"
        )
    return [dict(zip(names, map(str, row), strict=True)) for row in table.tolist()]


def _names(columns: int) -> tuple[str, ...]:
    return ("text",) if columns == 1 else tuple(f"x{number}" for number in range(columns))


def default_instruction(fields: Sequence[str]) -> str:
    """Return a question about the columns of a table.

    Examples
    --------
    >>> default_instruction(["text"]), default_instruction(["age", "town"])
    ('What is the label of "{text}"?', 'What is the label of age "{age}", town "{town}"?')
    """
    if len(fields) == 1:
        return f'What is the label of "{{{fields[0]}}}"?'
    listing = ", ".join(f'{name} "{{{name}}}"' for name in fields)
    return f"What is the label of {listing}?"


def task_table(task: Mapping[str, Any] | str | None, classes: NDArray[Any]) -> dict[str, Any]:
    """Return the table ``[task]`` with the word of every class, by the class's text.

    Raises
    ------
    ConfigError
        If there is no such built-in task.
    ValueError
        If a class has no word.
    """
    table: dict[str, Any] = {"instruction": task} if isinstance(task, str) else dict(task or {})
    if (template := table.pop("template", None)) is not None:
        known = builtin_task(template)
        words = dict(zip(known.labels, known.label_words, strict=True))
        table = {"instruction": known.instruction, "labels": words, **table}
    texts = [str(label) for label in classes.tolist()]
    words = {str(label): word for label, word in (table.get("labels") or {}).items()}
    words = words or dict(zip(texts, texts, strict=True))
    if missing := [text for text in texts if text not in words]:
        raise ValueError(f"y has the label {listed(missing)}; task['labels'] has {listed(words)}")
    return {**table, "labels": {text: words[text] for text in texts}}


def fields_of(task: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Return the fields of the instruction, None without one; raises ConfigError."""
    if "instruction" not in task:
        return None
    labels = task["labels"]
    return Task(task["instruction"], tuple(labels), tuple(labels.values())).fields
