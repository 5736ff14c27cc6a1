"""Partitions of data without sites, for experiments: independent (IID), Dirichlet, or shared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from asyndbt._text import counted
from asyndbt.errors import ConfigError, DataError, Setting
from asyndbt.task._task import Example


def partition_examples(
    examples: Sequence[Example],
    sites: int,
    kind: Literal["iid", "dirichlet"],
    *,
    alpha: float = 0.5,
    rng: np.random.Generator,
) -> list[Example]:
    """Deal examples to sites ``site-1``, ``site-2``, ...

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
    labels = sorted({example.label for example in examples})
    shares = {
        label: rng.dirichlet(np.full(sites, alpha)) if kind == "dirichlet" else np.ones(sites)
        for label in labels
    }
    owners = np.zeros(len(examples), dtype=int)
    for label in labels:
        members = np.array([i for i, example in enumerate(examples) if example.label == label])
        if len(members) < sites:
            raise DataError(
                f"class {label!r}: {counted(len(members), 'example')} for {sites} sites, {sites} "
                "needed; add examples or use fewer sites"
            )
        counts = _counts(shares[label], len(members), rng)
        owners[members] = rng.permutation(np.repeat(np.arange(sites), counts))
    return [
        replace(example, site=f"site-{owner + 1}")
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
