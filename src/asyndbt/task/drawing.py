"""Drawing a site's parts from its examples: per class, seeded, disjoint.

Which example goes where is decided by a keyed hash of seed, site and text, so a split depends on
what the files hold and on the seed alone, not on the order of rows or sites, and a row added later
moves few others.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from hashlib import blake2b

from asyndbt.errors import ConfigError, DataError
from asyndbt.task.example import Example
from asyndbt.task.site_data import SiteData
from asyndbt.task.task import Task

__all__ = ["Drawing", "SplitSizes", "seeded_order"]


@dataclass(frozen=True)
class SplitSizes:
    """How many examples of each class a site uses for what.

    None means: what the parts with a number leave, shared equally among the parts without one.

    Parameters
    ----------
    pool_per_class : int or None
        Candidates for demonstrations, from the training file.
    train_per_class : int or None
        Training queries, from the training file.
    validation_per_class : int or None
        Validation queries, from the validation file, or from the training file if there is none.
    """

    pool_per_class: int | None = 20
    train_per_class: int | None = None
    validation_per_class: int | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None and value < 1:
                raise ConfigError(
                    f"data.{field.name}: {value} given; it must be 1 or more, or left out"
                )


def seeded_order(examples: Iterable[Example], *salt: object) -> list[Example]:
    """Order examples by a keyed hash of their content: random, yet the same on every machine.

    Parameters
    ----------
    examples : iterable of Example
    *salt : object
        Seed and purpose, as ``str``: another salt is another order.
    """
    key = blake2b("\x1f".join(map(str, salt)).encode()).digest()

    def place(example: Example) -> bytes:
        text = "\x1f".join(part for pair in example.content for part in pair)
        return blake2b(f"{text}\x1f{example.label}".encode(), key=key, digest_size=16).digest()

    return sorted(examples, key=place)


@dataclass(frozen=True)
class Drawing:
    """Draws the parts of one site from its cleaned examples.

    Parameters
    ----------
    task : Task
    name : str
        Name of the site.
    sizes : SplitSizes
    seed : int
    """

    task: Task
    name: str
    sizes: SplitSizes
    seed: int

    def site(
        self, train: Sequence[Example], validation: Sequence[Example] | None, test: list[Example]
    ) -> SiteData:
        """Put the site together; validation queries come from `train` where it is None."""
        wanted = {"pool": self.sizes.pool_per_class, "train": self.sizes.train_per_class}
        if validation is None:
            wanted["validation"] = self.sizes.validation_per_class
        drawn = self._draw("training", train, wanted)
        if validation is not None:
            drawn |= self._validation(validation)
        return SiteData(
            self.name,
            tuple(drawn["pool"]),
            tuple(drawn["train"]),
            tuple(drawn["validation"]),
            tuple(test),
        )

    def _validation(self, examples: Sequence[Example]) -> dict[str, list[Example]]:
        if not examples:
            raise DataError(
                f"site {self.name!r}: no validation example is left after duplicates of test data"
                " were removed; add others"
            )
        if self.sizes.validation_per_class is None:
            return {"validation": self._ordered(examples)}
        return self._draw("validation", examples, {"validation": self.sizes.validation_per_class})

    def _draw(
        self, source: str, examples: Sequence[Example], wanted: Mapping[str, int | None]
    ) -> dict[str, list[Example]]:
        by_class = defaultdict(list)
        for example in self._ordered(examples):
            by_class[self.task.class_of(example.label)].append(example)
        drawn: dict[str, list[Example]] = {part: [] for part in wanted}
        for index, label in enumerate(self.task.labels):
            members = by_class[index]
            self._check(source, label, len(members), wanted)
            for part, count in _shares(len(members), wanted).items():
                drawn[part] += members[:count]
                members = members[count:]
        return {part: self._ordered(members) for part, members in drawn.items()}

    def _ordered(self, examples: Iterable[Example]) -> list[Example]:
        return seeded_order(examples, self.seed, self.name, "split")

    def _check(self, source: str, label: str, have: int, wanted: Mapping[str, int | None]) -> None:
        need = sum(count or 1 for count in wanted.values())
        if have >= need:
            return
        parts = " + ".join(f"{count or 'at least 1'} for {part}" for part, count in wanted.items())
        settings = " or ".join(f"data.{part}_per_class" for part, count in wanted.items() if count)
        lower = f", or lower {settings}" if settings and have >= len(wanted) else ""
        raise DataError(
            f"site {self.name!r}, class {label!r}: {have} {source} examples, {need} needed"
            f" ({parts}; duplicates do not count); add some{lower}"
        )


def _shares(have: int, wanted: Mapping[str, int | None]) -> dict[str, int]:
    left = have - sum(count or 0 for count in wanted.values())
    open_parts = [part for part, count in wanted.items() if count is None]
    shares = {part: count for part, count in wanted.items() if count is not None}
    for index, part in enumerate(open_parts):
        # Rounded up for the earlier parts: training queries come before validation queries.
        shares[part] = -(-(left - index) // len(open_parts))
    return {part: shares[part] for part in wanted}
