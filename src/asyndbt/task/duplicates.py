"""Examples that occur more than once: found, removed and reported."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from asyndbt.task.example import Example

__all__ = ["Content", "DuplicateReport", "Unique", "without", "without_repeats"]

Content = tuple[tuple[str, str], ...]
"""What `Example.content` returns."""


@dataclass(frozen=True)
class DuplicateReport:
    """What a split removed because it occurred more than once.

    Parameters
    ----------
    removed : mapping of (str, str) to int
        Examples removed from the first part because they also occur in the second one; both are
        the same part where an example stood there twice.
    contradictions : mapping of str to int
        Examples removed from a part because their text stands there with two labels.

    Examples
    --------
    >>> report = DuplicateReport({("train", "test"): 2, ("train", "train"): 1})
    >>> print(report)
    2 examples of train occur in test too: removed from train
    1 example of train stood there before: removed
    """

    removed: Mapping[tuple[str, str], int] = field(default_factory=dict)
    contradictions: Mapping[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """Examples removed, for whatever reason."""
        return sum(self.removed.values()) + sum(self.contradictions.values())

    def __str__(self) -> str:
        lines = []
        for (part, other), count in self.removed.items():
            if part == other:
                lines.append(f"{_examples(count)} of {part} stood there before: removed")
            else:
                occur = "occurs" if count == 1 else "occur"
                lines.append(
                    f"{_examples(count)} of {part} {occur} in {other} too: removed from {part}"
                )
        lines += [
            f"{_examples(count)} of {part} had a text with two labels: removed"
            for part, count in self.contradictions.items()
        ]
        return "\n".join(lines)


@dataclass(frozen=True)
class Unique:
    """Examples without repeats, and what was left out."""

    examples: list[Example]
    repeats: int
    contradictions: int


def without_repeats(examples: Iterable[Example], *, keep_contradictions: bool = False) -> Unique:
    """Keep the first of repeated examples, and none of those whose text has two labels.

    Parameters
    ----------
    examples : iterable of Example
    keep_contradictions : bool
        Keep a text once per label: a test file is not to be tidied up.

    Returns
    -------
    Unique
        In the order of `examples`.
    """
    first: dict[tuple[Content, str], Example] = {}
    repeats = 0
    for example in examples:
        key = example.content, example.label
        repeats += key in first
        first.setdefault(key, example)
    labels = Counter(content for content, _ in first)
    kept = [
        example
        for (content, _), example in first.items()
        if keep_contradictions or labels[content] == 1
    ]
    return Unique(kept, repeats, len(first) - len(kept))


def without(examples: Iterable[Example], contents: Collection[Content]) -> list[Example]:
    """Examples whose content is not among `contents`."""
    return [example for example in examples if example.content not in contents]


def _examples(count: int) -> str:
    return "1 example" if count == 1 else f"{count:,} examples"
