"""Examples that occur more than once: found, removed and counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from asyndbt._text import counted
from asyndbt.task._example import Example

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
            examples = counted(count, "example")
            if part == other:
                lines.append(f"{examples} of {part} stood there before: removed")
            else:
                occur = "occurs" if count == 1 else "occur"
                lines.append(f"{examples} of {part} {occur} in {other} too: removed from {part}")
        for part, count in self.contradictions.items():
            examples = counted(count, "example")
            lines.append(f"{examples} of {part} had a text with two labels: removed")
        return "\n".join(lines)


@dataclass(frozen=True)
class Unique:
    """Examples without repeats, and what was left out."""

    examples: list[Example]
    repeats: int
    contradictions: int


def without_repeats(examples: Iterable[Example], *, keep_contradictions: bool = False) -> Unique:
    """Keep the first of equal examples, and none whose text has two labels.

    Parameters
    ----------
    examples : iterable of Example
    keep_contradictions : bool
        Keep a text once per label, as for test data.

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


@dataclass(frozen=True)
class Deduplicator:
    """Removes duplicates from the parts of sites, and counts them over all of these."""

    removed: Counter[tuple[str, str]] = field(default_factory=Counter)
    contradictions: Counter[str] = field(default_factory=Counter)

    @property
    def report(self) -> DuplicateReport:
        """What was removed so far."""
        return DuplicateReport(dict(self.removed), dict(self.contradictions))

    def test(self, examples: Iterable[Example]) -> list[Example]:
        """Test data without repeats."""
        unique = without_repeats(examples, keep_contradictions=True)
        self._count("test", "test", unique.repeats)
        return unique.examples

    def decision(
        self, part: str, examples: Sequence[Example], **others: Collection[Content]
    ) -> list[Example]:
        """Data that decisions rest on, without repeats, contradictions and texts of other parts.

        Parameters
        ----------
        part : str
            Name of the part, for the report.
        examples : sequence of Example
        **others : collection of Content
            Texts of other parts, by their names.
        """
        left = list(examples)
        for other, contents in others.items():
            before = len(left)
            left = without(left, contents)
            self._count(part, other, before - len(left))
        unique = without_repeats(left)
        self._count(part, part, unique.repeats)
        if unique.contradictions:
            self.contradictions[part] += unique.contradictions
        return unique.examples

    def _count(self, part: str, other: str, count: int) -> None:
        if count:
            self.removed[part, other] += count
