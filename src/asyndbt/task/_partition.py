"""Partitions of data into sites, for experiments: independent (IID), Dirichlet, or shared."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from operator import attrgetter
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from asyndbt._text import counted
from asyndbt.errors import ConfigError, DataError, Setting
from asyndbt.task._example import Example


def partition_examples(
    examples: Sequence[Example],
    sites: int,
    kind: Literal["iid", "dirichlet"],
    *,
    alpha: float = 0.5,
    rng: np.random.Generator,
    name: str = "site",
    class_of: Callable[[Example], object] = attrgetter("label"),
) -> list[Example]:
    """Deal examples to sites ``NAME-1``, ``NAME-2``, ...

    Every class is dealt separately, and every site gets at least one example of it.  With
    ``dirichlet``, the shares of class u are

        (s_1, ..., s_n) ~ Dirichlet(alpha, ..., alpha),

    so sites differ in their classes if `alpha` is small; with ``iid`` the shares are equal.  The
    shares are drawn first: train, validation and test data of the same classes get the same shares
    from generators of the same seed.

    Parameters
    ----------
    examples : sequence of Example
    sites : int
        Number of sites.
    kind : {"iid", "dirichlet"}
    alpha : float
        Concentration of the Dirichlet distribution; ignored by ``iid``.
    rng : numpy.random.Generator
    name : str
        What the names of the sites begin with.
    class_of : callable, optional
        Class of an example; its label without.

    Returns
    -------
    list of Example
        The same examples in the same order, each with its site.

    Raises
    ------
    DataError
        If a class has fewer examples than there are sites.
    ConfigError
        If `sites`, `kind` or `alpha` is out of range.

    Examples
    --------
    >>> examples = [Example({"text_a": f"text {i}"}, str(i % 2)) for i in range(8)]
    >>> dealt = partition_examples(examples, 2, "iid", rng=np.random.default_rng(0))
    >>> sorted(example.site for example in dealt).count("site-1")
    4
    """
    _check(sites, kind, alpha)
    classes = [str(class_of(example)) for example in examples]
    labels = sorted(set(classes))
    shares = {
        label: rng.dirichlet(np.full(sites, alpha)) if kind == "dirichlet" else np.ones(sites)
        for label in labels
    }
    owners = np.zeros(len(examples), dtype=int)
    for label in labels:
        members = np.array([i for i, own in enumerate(classes) if own == label])
        if len(members) < sites:
            raise DataError(
                f"class {label!r}: {counted(len(members), 'example')} for {sites} sites, {sites} "
                "needed; add examples or use fewer sites"
            )
        counts = _counts(shares[label], len(members), rng)
        owners[members] = rng.permutation(np.repeat(np.arange(sites), counts))
    return [
        replace(example, site=f"{name}-{owner + 1}")
        for example, owner in zip(examples, owners, strict=True)
    ]


def share_examples(examples: Sequence[Example], sites: int) -> list[Example]:
    """Give every example to each of the sites ``site-1``, ``site-2``, ...

    Examples
    --------
    >>> row = Example({"text_a": "I am happy"}, "1")
    >>> [example.site for example in share_examples([row], 2)]
    ['site-1', 'site-2']
    """
    return [
        replace(example, site=f"site-{number}")
        for number in range(1, sites + 1)
        for example in examples
    ]


def divide_sites(names: Collection[str], sites: int) -> dict[str, int]:
    """Return into how many parts each of some sites is cut, so that there are `sites` of them.

    The first in alphabetical order are cut into one more where it does not divide.

    Raises
    ------
    ConfigError
        If there are more names than `sites`.

    Examples
    --------
    >>> divide_sites({"phones", "meals", "movies"}, 10)
    {'meals': 4, 'movies': 3, 'phones': 3}
    """
    if sites < len(names):
        raise ConfigError(
            Setting("sites"),
            f": {sites} given, and the data name {len(names)} sites already; it must be that or "
            "more",
        )
    each, more = divmod(sites, len(names))
    return {name: each + (place < more) for place, name in enumerate(sorted(names))}


def _check(sites: int, kind: str, alpha: float) -> None:
    if sites < 1:
        raise ConfigError(Setting("sites"), f": {sites} given; it must be 1 or more")
    if kind not in ("iid", "dirichlet"):
        raise ConfigError(Setting("kind"), f": {kind!r} given; it must be 'iid' or 'dirichlet'")
    if not 0 < alpha < float("inf"):
        raise ConfigError(Setting("alpha"), f": {alpha} given; it must be above 0")


def _counts(shares: NDArray[np.float64], total: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Split `total` by shares (sites,): one each, the rest by rounding the cumulative shares."""
    sites = len(shares)
    lot = rng.permutation(sites)  # so that rounding does not always favour the same site
    running = np.cumsum(shares[lot]) / shares.sum() * (total - sites)
    counts = np.ones(sites, dtype=np.int64)
    counts[lot] += np.diff(np.rint(running).astype(np.int64), prepend=0)
    return counts
