"""Demonstration slots: the candidates that each position of a prompt chooses from."""

from __future__ import annotations

from collections.abc import Mapping

from asyndbt._text import counted
from asyndbt.errors import ConfigError, DataError, Setting
from asyndbt.task._example import Example
from asyndbt.task._splits import SiteData, seeded_order
from asyndbt.task._task import Task


def demonstration_slots(
    site: SiteData,
    task: Task,
    *,
    per_class: int = 1,
    total: int | None = None,
    seed: int = 0,
) -> tuple[tuple[Example, ...], ...]:
    """Deal a site's pool to the demonstration slots of a prompt.

    The shares are disjoint, so a prompt with one example of each slot never shows one twice; they
    are cut to the same length V, as the demonstration policy is a U x V array. A class that the
    pool lacks has no slots: sites need not have the same number of them.

    Parameters
    ----------
    site : SiteData
    task : Task
    per_class : int
        Slots of each class; ignored if `total` is given.
    total : int, optional
        Slots in all, each with candidates of every class: for tasks with many classes.
    seed : int

    Returns
    -------
    tuple of tuple of Example
        U slots of V candidates: in class order with `per_class`, of the classes in the pool.

    Raises
    ------
    DataError
        If a slot would have fewer than 2 candidates.
    ConfigError
        If `per_class` or `total` is below 1.

    Examples
    --------
    >>> pool = tuple(Example({"text_a": f"text {i}"}, str(i % 2)) for i in range(8))
    >>> task = Task('Is "{text_a}" praise?', ("0", "1"), ("no", "yes"))
    >>> slots = demonstration_slots(SiteData("north", pool, (), (), ()), task, per_class=2)
    >>> [[example.label for example in slot] for slot in slots]
    [['0', '0'], ['0', '0'], ['1', '1'], ['1', '1']]
    """
    for name, value in (("per_class", per_class), ("total", total)):
        if value is not None and value < 1:
            raise ConfigError(Setting(name), f": {value} given; it must be 1 or more")
    ordered = seeded_order(site.pool, seed, site.name, "slots")
    members: dict[str, list[Example]] = {name: [] for name in task.classes}
    for example in ordered:
        members[task.classes[task.class_of(example.label)]].append(example)
    classes = {name: examples for name, examples in members.items() if examples}
    if total is not None:
        shares = _deal([example for examples in classes.values() for example in examples], total)
    else:
        shares = [share for examples in classes.values() for share in _deal(examples, per_class)]
    length = min(map(len, shares), default=0)
    if length < 2:
        _complain(site, classes or members, per_class, total)
    return tuple(tuple(share[:length]) for share in shares)


def _deal(examples: list[Example], shares: int) -> list[list[Example]]:
    return [examples[start::shares] for start in range(shares)]


def _complain(
    site: SiteData,
    classes: Mapping[str, list[Example]],
    per_class: int,
    total: int | None,
) -> None:
    if total is not None:
        raise DataError(
            f"site {site.name!r}: {counted(len(site.pool), 'example')} in the pool for "
            f"{counted(total, 'demonstration')}, {2 * total} needed (2 candidates each); raise ",
            Setting("pool_per_class"),
            " or lower ",
            Setting("total"),
        )
    least = min(classes, key=lambda label: len(classes[label]))
    raise DataError(
        f"site {site.name!r}, class {least!r}: {counted(len(classes[least]), 'example')} in "
        f"the pool for {counted(per_class, 'demonstration')}, {2 * per_class} needed (2 candidates "
        "each); raise ",
        Setting("pool_per_class"),
        " or lower ",
        Setting("per_class"),
    )
